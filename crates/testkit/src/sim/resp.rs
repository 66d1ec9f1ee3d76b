//! A small model of a Redis server, and the protocol as a client needs it.
