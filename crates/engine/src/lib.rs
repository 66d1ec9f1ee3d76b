//! The sans-I/O router: sessions, links, exchanges, attempts.
