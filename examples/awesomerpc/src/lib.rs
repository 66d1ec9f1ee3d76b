//! A small length-prefixed RPC: the worked example for codec authors.
