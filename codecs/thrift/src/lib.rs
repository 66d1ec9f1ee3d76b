//! Thrift for Heptad: the transports framed, unframed and THeader, and the protocols binary (strict
//! and old), compact and JSON, each as its clients or servers speak it.
//!
//! Of a framed message only the head is read: method, type, sequence id, and of a THeader its info
//! headers. An unframed message has to be walked to its end, which is done once, whatever the reads
//! it comes in. A frame is written anew only where it must be: sequence ids, headers, the transport,
//! or, between binary and compact, the whole struct.
#![forbid(unsafe_code)]

mod answer;
mod args;
mod codec;
mod conn;
mod cursor;
mod decode;
mod dialect;
mod frame;
mod header;
mod json;
mod message;
mod options;
mod quick;
mod reply;
mod rewrite;
mod token;
mod transcode;
mod zlib;

pub use codec::Thrift;
pub use conn::{Conn, Tag};
pub use options::{
    ClientProtocol, ClientTransport, ServerProtocol, ServerTransport, ThriftOptions, ThriftUpstream,
};
