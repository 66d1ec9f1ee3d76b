//! The policies that come with Heptad, one file each.
//!
//! A filter knows attributes and outcomes, never a protocol; it does no I/O and reads no clock.
#![forbid(unsafe_code)]
