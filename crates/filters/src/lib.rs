//! The policies that come with Heptad, one file each.
//!
//! A filter knows attributes and outcomes, never a protocol; it does no I/O and reads no clock.
#![forbid(unsafe_code)]

mod authorize;
mod buckets;
#[cfg(test)]
mod fake;
mod gcra;
mod inject_fault;
mod lease;
mod limit_concurrency;
mod limit_rate;
mod slots;
mod tally;

pub use authorize::{Authorize, AuthorizeOptions};
pub use inject_fault::{InjectFault, InjectFaultOptions, InjectedRefusal};
pub use limit_concurrency::{LimitConcurrency, LimitConcurrencyOptions};
pub use limit_rate::{LimitRate, LimitRateOptions};
