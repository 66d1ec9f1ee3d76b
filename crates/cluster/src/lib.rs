//! Endpoints, key hashing and balancers.
//!
//! Everything here is pure: no clock, no sockets, no entropy; seeds are arguments. What is usable
//! and how loaded it is, the caller knows and says at each pick.
#![forbid(unsafe_code)]

mod balancer;
mod draw;
mod endpoint;
mod hash;
mod maglev;
mod modula;
mod ring;
mod slots;
mod turn;
mod weighted;

pub use balancer::{Balance, BalanceError, Balancer, Spec};
pub use endpoint::Endpoint;
pub use hash::{HashFunction, KeyHash, ParseHashFunctionError};
pub use maglev::DEFAULT_TABLE_SIZE;
pub use modula::Order;
pub use slots::{SLOTS, redis_slot};
pub use weighted::Weighted;
