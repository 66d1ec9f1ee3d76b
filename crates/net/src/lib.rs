//! The tokio driver: workers, listeners, dialing, flush, drain.
