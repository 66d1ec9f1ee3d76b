//! The Thrift codec from the outside: bytes in, expectation out.

mod alloc;
mod answers;
mod conformance;
mod decoding;
mod hostile;
mod oracle;
mod rewriting;
mod session;
mod wire;
