//! Set-up, tests and generators: what CI and the README call.
fn main() {}
