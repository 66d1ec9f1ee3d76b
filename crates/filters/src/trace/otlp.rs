//! Spans as OpenTelemetry's collectors read them: `ExportTraceServiceRequest` of OTLP 1, encoded
//! by hand.
//!
//! A record becomes a `ScopeSpans.spans` field, and many of them, one after the other, a request:
//! fields of a list may stand anywhere in a message. Numbers of fields are those of
//! `opentelemetry/proto/{common,resource,trace,collector}`.

use heptad_core::{Outcome, Reason, Render, Wall};

use super::context::Context;
use crate::record::{Ended, Reader, Seen, put_number};

/// The longest `tracestate` that is told: what the W3C asks to be kept at least.
const MAX_STATE: usize = 512;

/// Server: it answers a request that came from elsewhere.
const KIND: u64 = 2;
const STATUS_ERROR: u64 = 2;
/// The parent is known to be in another process.
const REMOTE: u32 = 0x300;

/// Appends what a record begins with; attributes and the end come after it.
pub(super) fn put_head(out: &mut Vec<u8>, own: &Context, parent: Option<&[u8; 8]>, state: &[u8]) {
    out.extend_from_slice(&own.trace);
    out.extend_from_slice(&own.span);
    out.extend_from_slice(parent.unwrap_or(&[0; 8]));
    let state = if state.len() <= MAX_STATE { state } else { &[] };
    // At most MAX_STATE.
    out.extend_from_slice(&(state.len() as u16).to_le_bytes());
    out.extend_from_slice(state);
}

/// The attributes that a record has between its head and its end, in order.
pub(super) const ATTRS: [&str; 8] = [
    "service",
    "method",
    "protocol",
    "listener",
    "source.ip",
    "source.port",
    "source.principal",
    "destination.port",
];

/// Makes spans of records.
#[derive(Debug)]
pub(super) struct Spans {
    /// The part of every batch that says who it is from.
    resource: Vec<u8>,
    scope: Vec<u8>,
}

impl Spans {
    pub(super) fn new(service_name: &str) -> Self {
        let mut resource = Vec::new();
        message(&mut resource, 1, |out| text(out, 1, "service.name", service_name.as_bytes()));
        let mut scope = Vec::new();
        message(&mut scope, 1, |out| {
            bytes(out, 1, b"heptad");
            bytes(out, 2, env!("CARGO_PKG_VERSION").as_bytes());
        });
        Self { resource, scope }
    }

    fn span(record: &[u8], wall: Wall, out: &mut Vec<u8>) -> Option<()> {
        let mut reader = Reader(record);
        let trace: [u8; 16] = reader.array()?;
        let span: [u8; 8] = reader.array()?;
        let parent: [u8; 8] = reader.array()?;
        let len = u16::from_le_bytes(reader.array()?);
        let (state, rest) = reader.0.split_at_checked(len.into())?;
        let mut reader = Reader(rest);
        let mut seen = [Seen::Absent; ATTRS.len()];
        for slot in &mut seen {
            *slot = reader.value();
        }
        let end = reader.end()?;
        message(out, 2, |out| {
            bytes(out, 1, &trace);
            bytes(out, 2, &span);
            if !state.is_empty() {
                string(out, 3, state);
            }
            let known = parent != [0; 8];
            if known {
                bytes(out, 4, &parent);
            }
            message(out, 5, |out| name(out, &seen));
            number(out, 6, KIND);
            fixed(out, 7, wall.nanos(end.started));
            fixed(out, 8, wall.nanos(end.ended));
            attributes(out, &seen, &end);
            if end.outcome != Outcome::Ok {
                message(out, 15, |out| status(out, &end));
            }
            // Sampled, or there would be no record.
            let flags = 1 | if known { REMOTE } else { 0 };
            varint(out, 16 << 3 | 5);
            out.extend_from_slice(&flags.to_le_bytes());
        });
        Some(())
    }
}

impl Render for Spans {
    fn record(&self, record: &[u8], wall: Wall, out: &mut Vec<u8>) {
        // Only this filter's workers push, so that every record is one.
        let _ = Self::span(record, wall, out);
    }

    fn batch(&self, records: &[u8], out: &mut Vec<u8>) {
        message(out, 1, |out| {
            out.extend_from_slice(&self.resource);
            message(out, 2, |out| {
                out.extend_from_slice(&self.scope);
                out.extend_from_slice(records);
            });
        });
    }
}

/// `service/method`, or as much of it as there is.
fn name(out: &mut Vec<u8>, seen: &[Seen<'_>; ATTRS.len()]) {
    let [service, method, protocol, ..] = *seen;
    match (service, method) {
        (Seen::Bytes(service, _), Seen::Bytes(method, _)) => {
            lossy(out, service);
            out.push(b'/');
            lossy(out, method);
        }
        (Seen::Bytes(one, _), _) | (_, Seen::Bytes(one, _)) => lossy(out, one),
        _ => {
            if let Seen::Bytes(protocol, _) = protocol {
                lossy(out, protocol);
            }
        }
    }
}

fn attributes(out: &mut Vec<u8>, seen: &[Seen<'_>; ATTRS.len()], end: &Ended<'_>) {
    const NAMES: [&str; ATTRS.len()] = [
        "rpc.service",
        "rpc.method",
        "rpc.system",
        "heptad.listener",
        "client.address",
        "client.port",
        "heptad.principal",
        "server.port",
    ];
    for (name, value) in NAMES.iter().zip(seen) {
        match value {
            Seen::Bytes(value, _) => text(out, 9, name, value),
            Seen::Ip(ip) => text(out, 9, name, ip.to_string().as_bytes()),
            Seen::Number(value) => whole(out, 9, name, *value),
            // An attribute that is not there says so by not being there.
            Seen::Absent | Seen::Unknown => {}
        }
    }
    text(out, 9, "heptad.outcome", end.outcome.as_str().as_bytes());
    if end.reason != Reason::None {
        text(out, 9, "heptad.reason", end.reason.as_str().as_bytes());
    }
    for (name, value) in [
        ("heptad.code", end.code),
        ("heptad.route", end.route),
        ("heptad.cluster", end.cluster),
        ("heptad.endpoint", end.endpoint),
    ] {
        if !value.is_empty() {
            text(out, 9, name, value);
        }
    }
    for (name, value) in [
        ("heptad.attempts", end.attempts.into()),
        ("heptad.request_bytes", end.request_bytes),
        ("heptad.reply_bytes", end.reply_bytes),
    ] {
        whole(out, 9, name, value);
    }
}

fn status(out: &mut Vec<u8>, end: &Ended<'_>) {
    message(out, 2, |out| {
        out.extend_from_slice(end.outcome.as_str().as_bytes());
        if end.reason != Reason::None {
            out.push(b'/');
            out.extend_from_slice(end.reason.as_str().as_bytes());
        }
        if !end.code.is_empty() {
            out.extend_from_slice(b": ");
            lossy(out, end.code);
        }
    });
    number(out, 3, STATUS_ERROR);
}

/// A `KeyValue` of text.
fn text(out: &mut Vec<u8>, field: u64, key: &str, value: &[u8]) {
    message(out, field, |out| {
        bytes(out, 1, key.as_bytes());
        message(out, 2, |out| string(out, 1, value));
    });
}

/// A `KeyValue` of a number. OTLP's are signed.
fn whole(out: &mut Vec<u8>, field: u64, key: &str, value: u64) {
    message(out, field, |out| {
        bytes(out, 1, key.as_bytes());
        message(out, 2, |out| match i64::try_from(value) {
            Ok(_) => number(out, 3, value),
            Err(_) => message(out, 1, |out| put_number(out, value)),
        });
    });
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

fn fixed(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Text of protobuf must be UTF-8.
fn string(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    message(out, field, |out| lossy(out, value));
}

fn lossy(out: &mut Vec<u8>, value: &[u8]) {
    for chunk in value.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// A field of which the length is known once it is written.
fn message(out: &mut Vec<u8>, field: u64, write: impl FnOnce(&mut Vec<u8>)) {
    varint(out, field << 3 | 2);
    let at = out.len();
    write(out);
    let len = out.len() - at;
    let end = out.len();
    varint(out, len as u64);
    let size = out.len() - end;
    if let Some(written) = out.get_mut(at..) {
        written.rotate_right(size);
    }
}
