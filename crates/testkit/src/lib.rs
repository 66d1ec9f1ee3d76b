//! Simulator with virtual time, codec conformance checks, counting allocator.
