//! Heptad: a pluggable layer-7 protocol framework.
//!
//! This is the facade for programs that embed a whole router: a [`Registry`] says which protocols
//! there are, [`Registry::load`] reads a configuration, [`Heptad::start`] runs it on threads of its
//! own, and [`Running`] is the handle to look at it, reload it and stop it.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use heptad::{Heptad, Registry};
//!
//! let registry = Registry::standard();
//! let text = std::fs::read_to_string("heptad.yaml")?;
//! let model = registry.load("heptad.yaml", &text)?;
//! let running = Heptad::start(&registry, model)?;
//! println!("{}", running.metrics_text().await);
//! running.stop(Duration::from_secs(10)).await;
//! # Ok(()) }
//! ```
//!
//! Instead of a file, [`build`] takes routes, clusters and filters as values; and instead of threads
//! of its own, a [`Host`]'s runtime, streams, connector and metrics sink will do ([`Heptad::host`],
//! [`Builder::host`]).
//!
//! Who writes a codec depends on [`core`] alone; who has an event loop of their own takes
//! [`engine`]; both are re-exported here for those who want everything.
#![forbid(unsafe_code)]

#[cfg(feature = "admin")]
mod admin;
pub mod build;
mod compile;
mod described;
mod explain;
mod hosted;
mod inspect;
mod metrics;
mod outlets;
mod process;
mod registry;
mod running;
mod setup;
mod table;
mod tap;
mod totals;

#[cfg(feature = "admin")]
pub use admin::{Admin, SetLog};
pub use build::{BuildError, Builder};
pub use described::{description, protocol_name};
pub use explain::{ExplainError, Explanation, Question, explain};
pub use heptad_cluster as cluster;
pub use heptad_config as config;
pub use heptad_config::{Model, Problem, Problems};
pub use heptad_core as core;
pub use heptad_engine as engine;
pub use heptad_filters as filters;
pub use heptad_net as net;
pub use heptad_redis as redis;
pub use heptad_route as route;
pub use hosted::{Host, HostError, Hosted, Streams};
pub use inspect::{
    Broken, Found, FrameFacts, Headers, InspectError, Inspected, Inspector, Known, Piece, Sender,
    inspect, inspector, spoken,
};
pub use metrics::{CONTENT_TYPE, render};
pub use process::Process;
pub use registry::{Machines, Registry};
pub use running::{EndpointTotals, Heptad, ListenerInfo, Running, StartError};
pub use table::Table;
pub use tap::{TapError, TapFrame, TapOptions, Tapping};
pub use totals::{DifferenceRow, MirrorTotals, SeriesTotals, Totals};
