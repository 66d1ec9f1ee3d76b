//! Routing rules compiled to an indexed look-up.
