//! Whole topologies in virtual time, from a seed: clients, one engine, endpoints, and a network
//! between them that chops, delays, stalls and breaks.
//!
//! A [`Sim`] drives a [`heptad_engine::Machine`] as `net` does, but owns the clock. Clients and
//! servers are [`Script`]s: they hear bytes and send bytes, and know nothing of the engine. The same
//! seed gives the same run. After every step the engine checks its structural invariants; when a
//! test fails, the seed and the last events are printed. `SIM_SEED=n` runs one seed of [`seeds`].
//!
//! Nothing here knows a protocol but [`resp`], a small model of a Redis server.

mod net;
pub mod resp;
mod script;
mod trace;
mod world;

pub use net::Profile;
pub use script::{End, Io, Script};
pub use world::{Client, Sim};

/// The seeds `0..n`, or only the one in the environment variable `SIM_SEED`.
pub fn seeds(n: u64) -> impl Iterator<Item = u64> {
    let one = std::env::var("SIM_SEED").ok().and_then(|s| s.parse().ok());
    let range = one.map_or(0..n, |seed: u64| seed..seed + 1);
    range.into_iter()
}
