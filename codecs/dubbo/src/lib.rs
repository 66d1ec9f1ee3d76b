//! The Dubbo protocol: a codec for the heptad router, and [`wire`] for clients, servers and tests.
//!
//! A frame is a head of 16 bytes and a body in the serialization that the head names (numbers are
//! big endian):
//!
//! ```text
//!  0       2       3        4                               12              16
//! +-------+-------+--------+-------------------------------+---------------+------
//! | magic | flags | status | id                            | body length   | body
//! +-------+-------+--------+-------------------------------+---------------+------
//!
//! flags:   0x80 request, 0x40 two-way, 0x20 event, the low five bits name the serialization
//! request: framework version, path, service version, method, argument types, the arguments,
//!          attachments: all of them Hessian 2 values
//! reply:   status 20: a flag (exception, value, null; each without or with attachments), the value,
//!          the attachments; any other status: a text
//! ```
//!
//! | word | what it is here |
//! | --- | --- |
//! | `service` | the path, or what the attachment `path` says instead, as a Java server takes it |
//! | `method` | the method; of `$invoke` and `$invokeAsync` the one that is really called |
//! | `header.<name>` | an attachment; `version`, `interface` and `path` are there without one too |
//! | `arg.<n>` | an argument by its place from 0; of `$invoke` one of those that it carries |
//!
//! Bodies in other serializations than Hessian 2 are routed on what the head says; whatever stands
//! in such a body is unknown, which is not the same as absent.
//!
//! Attachments are looked at only where a rule, a filter or a header edit asks for something behind
//! the prefix, or for the service, which they may override. Then a request is gone through once, to its end, because that is where attachments
//! are and what they may override, as a Java server has it: what cannot be read to its end, or passes
//! `max_depth` or `max_parts`, makes every attribute that attachments could change unknown. So a
//! client cannot hide an attachment behind what only its server understands. `max_head` limits what
//! stands in front of the argument types.
#![forbid(unsafe_code)]

mod answer;
mod body;
mod call;
mod codec;
mod edit;
mod frame;
mod hessian;
mod reply;
pub mod wire;

pub use call::{Call, Shown};
pub use codec::{Conn, Dubbo, Tag};
