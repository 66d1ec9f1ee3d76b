//! The policies that come with Heptad, one file each.
//!
//! A filter knows attributes and outcomes, never a protocol; it does no I/O and reads no clock.
#![forbid(unsafe_code)]

mod access_log;
mod authorize;
mod buckets;
#[cfg(test)]
mod fake;
mod gcra;
mod inject_fault;
mod lease;
mod limit_concurrency;
mod limit_rate;
mod record;
mod sample;
mod slots;
mod tally;
mod trace;

pub use access_log::{AccessLog, AccessLogOptions, FILE, Only};
pub use authorize::{Authorize, AuthorizeOptions};
pub use inject_fault::{InjectFault, InjectFaultOptions, InjectedRefusal};
pub use limit_concurrency::{LimitConcurrency, LimitConcurrencyOptions};
pub use limit_rate::{LimitRate, LimitRateOptions};
pub use trace::{OTLP, Trace, TraceOptions};
