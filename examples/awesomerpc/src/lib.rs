//! AwesomeRPC, a small length-prefixed RPC, and its codec: the worked example for codec authors.
//!
//! Everything a protocol needs to be routed by Heptad is one trait, implemented in this file; it
//! knows the core crate and nothing else. `head` has its byte work, and [`wire`] is no part of the
//! codec: it is what a client or a server of the protocol would use.
//!
//! A frame (all numbers are big endian):
//!
//! ```text
//!  0       1       2               4                               8                             12
//! +-------+-------+---------------+-------------------------------+-------------------------------+
//! | magic | kind  | head: u16     | length: u32                   | id: u32                       |
//! +-------+-------+---------------+-------------------------------+-------------------------------+
//! | head bytes of head, then length - head bytes of body                                          |
//! +-----------------------------------------------------------------------------------------------+
//!
//! head of request, oneway, open:   u8 n, service[n] | u8 n, method[n] | headers up to its end, each
//!                                  u8 n, name[n] | u16 n, value[n]
//! head of reply, reset:            u8 status
//! all other kinds have no head; ping, pong and goaway have no body either
//! ```
//!
//! The body of an error reply is text for humans. A request gets one reply. A stream is opened with
//! `open`; both sides send `data`; `end` from the client means that it has no more to say, and
//! `end`, `reset` or `reply` from the server that the stream is over. `reset` from a client gives up
//! a stream or a request: the server ends it in one of the ways above, unless it already has. Of
//! several headers with one name the first counts.
//!
//! The protocol was made to be routed: the length of the head is at a fixed place, so the decoder
//! asks for bytes twice at most and may answer before the body has come.
#![forbid(unsafe_code)]

mod head;
pub mod wire;

use std::ops::Range;

use heptad_core::{
    Answer, Asked, Codec, Ctx, Fault, Flavour, Found, Kind, Meta, NoOptions, OptionsError, Outcome,
    Question, Reason, Rewrite, Side, Splice, Step, Template, Traits, Unknown,
};

use head::{Pair, edited, take_pair, take_span};

/// First byte of every frame: the protocol and its version.
pub const MAGIC: u8 = 0xA1;
/// Bytes in front of the head.
pub const FIXED: usize = 12;

/// What a frame's kind byte means: the kind at this index plus one.
pub const KINDS: [Kind; 10] = [
    Kind::Request,
    Kind::Oneway,
    Kind::Reply,
    Kind::Ping,
    Kind::Pong,
    Kind::Open,
    Kind::Data,
    Kind::End,
    Kind::Reset,
    Kind::GoAway,
];

/// What a status byte means, by index: its name, and the outcome Heptad counts it as. A status that
/// is not listed is `OTHER`, a protocol error.
pub const STATUSES: [(&str, Outcome); 13] = [
    ("OK", Outcome::Ok),
    ("APP_ERROR", Outcome::AppError),
    ("UNAVAILABLE", Outcome::ProtocolError),
    ("UNKNOWN_METHOD", Outcome::ProtocolError),
    ("BAD_REQUEST", Outcome::BadRequest),
    ("TOO_LARGE", Outcome::TooLarge),
    ("UNAUTHENTICATED", Outcome::Unauthenticated),
    ("DENIED", Outcome::Denied),
    ("LIMITED", Outcome::Limited),
    ("OVERLOADED", Outcome::Overloaded),
    ("TIMEOUT", Outcome::Timeout),
    ("CANCELLED", Outcome::Cancelled),
    ("DRAINING", Outcome::Draining),
];

/// The status byte with this name; the one of `UNAVAILABLE` if there is none.
pub fn status(name: &str) -> u8 {
    let at = STATUSES.iter().position(|(known, _)| *known == name);
    u8::try_from(at.unwrap_or(2)).unwrap_or(2)
}

/// The codec. It has no options, and no state: not of itself, nor of a connection, nor does a reply
/// need to know its request to be understood.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct AwesomeRpc;

impl Codec for AwesomeRpc {
    const NAME: &'static str = "awesomerpc";
    type Options = NoOptions;
    type Upstream = NoOptions;
    type Conn = ();
    type Tag = ();

    fn new(_: &NoOptions) -> Result<Self, OptionsError> {
        Ok(Self)
    }

    fn traits(&self) -> Traits {
        Traits::by_id(32)
    }

    fn open(&self, _: Side<'_, NoOptions>, _: Flavour) {}

    fn decode_request(&self, (): &mut (), cx: &Ctx, buf: &[u8]) -> Result<Step<()>, Fault> {
        decode(cx, buf, |kind| !matches!(kind, Kind::Reply | Kind::GoAway))
    }

    fn decode_reply<A: Asked<()>>(
        &self,
        (): &mut (),
        _: &A,
        cx: &Ctx,
        buf: &[u8],
    ) -> Result<Step<()>, Fault> {
        let step = decode(cx, buf, |kind| !has_headers(kind))?;
        if let Step::Reject(_, fault) = step {
            return Err(fault); // Only requests can be answered and passed over.
        }
        Ok(step)
    }

    /// Every kind of request is answered by a reply; a reply also ends a stream.
    fn answer(
        &self,
        (): &mut (),
        to: &Question<'_, ()>,
        answer: &Answer<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let (status, text) = match *answer {
            Answer::Pong => return put(out, Kind::Pong, to.meta.id, &[], &[]),
            _ if to.meta.kind == Kind::Oneway => return Ok(()), // Its sender does not listen.
            Answer::Direct { text } => (status("OK"), text),
            Answer::Error { outcome, text, .. } => (status_of(outcome), text),
            _ => return Err(Fault::malformed("AwesomeRPC has no answers of its own")),
        };
        put(out, Kind::Reply, to.meta.id, &[status], text.as_bytes())
    }

    fn header<'a>(
        &'a self,
        (): &'a (),
        meta: &Meta,
        frame: &'a [u8],
        name: &str,
        _: &'a mut Vec<u8>,
    ) -> Found<'a> {
        if !has_headers(meta.kind) {
            return Ok(None);
        }
        // The decoder has found every pair to be whole.
        let mut pairs = frame.get(pairs(meta)).ok_or(Unknown)?;
        while let Some((known, value)) = take_pair(&mut pairs) {
            if known == name.as_bytes() {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn headers(
        &self,
        (): &(),
        meta: &Meta,
        frame: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Unknown> {
        if has_headers(meta.kind) {
            let mut pairs = frame.get(pairs(meta)).ok_or(Unknown)?;
            while let Some((name, value)) = take_pair(&mut pairs) {
                each(name, value);
            }
        }
        Ok(())
    }

    fn code_name<'a>(&'a self, meta: &Meta, _: &'a [u8]) -> Option<&'a str> {
        match (meta.kind, meta.code as usize) {
            (Kind::Reply | Kind::Reset, code @ 1..) => {
                Some(STATUSES.get(code).map_or("OTHER", |(name, _)| name))
            }
            _ => None,
        }
    }

    /// Only what changes is written anew: the fixed part, and headers that an edit adds. What stays
    /// is kept by range, so that the engine need not copy a large body.
    fn rewrite(
        &self,
        (): &(),
        (): &(),
        meta: &Meta,
        (): (),
        edit: &Rewrite<'_>,
        out: &mut Splice<'_>,
    ) -> Result<(), Fault> {
        let id = wire_id(edit.id.unwrap_or(meta.id))?;
        let body = meta.head as usize..meta.len as usize;
        if edit.headers.is_empty() || !has_headers(meta.kind) {
            out.keep(0..8);
            out.put(&id);
            out.keep(FIXED..body.end);
            return Ok(());
        }
        // Once to learn how long the head gets, which stands in front of it, and once to write it.
        let (frame, pairs) = (out.frame(), pairs(meta));
        let mut head = Some(pairs.start.saturating_sub(FIXED));
        edited(frame, pairs.clone(), edit.headers, |pair| {
            head = head.and_then(|head| head.checked_add(pair.len()?));
        });
        let kind = frame.get(1).copied().unwrap_or_default();
        let too_long = Fault::too_large(Reason::HeadSize, "headers are too long after an edit");
        let head = head.and_then(|head| u16::try_from(head).ok());
        let head = head.ok_or(too_long)?;
        let length = body.len().saturating_add(head.into());
        let length = u32::try_from(length).map_err(|_| too_long)?;
        out.put(&[MAGIC, kind]);
        out.put(&head.to_be_bytes());
        out.put(&length.to_be_bytes());
        out.put(&id);
        out.keep(FIXED..pairs.start);
        edited(frame, pairs, edit.headers, |pair| match pair {
            Pair::Old(range) => out.keep(range),
            Pair::New(name, value) => {
                out.put(&[name.len() as u8]); // Fits: `Pair::len` said so.
                out.put(name.as_bytes());
                out.put(&(value.len() as u16).to_be_bytes());
                out.put(value.as_bytes());
            }
        });
        out.keep(body);
        Ok(())
    }

    /// What stands in the head is all that is read of a frame, and where it ends is in front of it.
    fn template(&self, (): &(), (): &(), meta: &Meta, (): (), _: &[u8]) -> Option<Template> {
        Template::new(meta.head as usize, 4, FIXED as u32, 8..FIXED)
    }

    fn ping(&self, (): &mut (), id: u64, out: &mut Vec<u8>) -> bool {
        put(out, Kind::Ping, id, &[], &[]).is_ok()
    }

    fn abandon(&self, (): &mut (), id: u64, (): (), out: &mut Vec<u8>) -> bool {
        put(out, Kind::Reset, id, &[status("CANCELLED")], &[]).is_ok()
    }

    fn drain(&self, (): &mut (), out: &mut Vec<u8>) -> bool {
        put(out, Kind::GoAway, 0, &[], &[]).is_ok()
    }
}

/// Both directions have the same frames; `expected` tells which kinds the sender may send.
fn decode(cx: &Ctx, buf: &[u8], expected: fn(Kind) -> bool) -> Result<Step<()>, Fault> {
    if buf.first() != Some(&MAGIC) {
        return Err(Fault::malformed("not AwesomeRPC 1"));
    }
    let Some(&[_, kind, h0, h1, l0, l1, l2, l3, i0, i1, i2, i3]) = buf.first_chunk::<FIXED>()
    else {
        return Ok(Step::Need(FIXED));
    };
    let kind = KINDS.get(usize::from(kind).wrapping_sub(1)).copied();
    let kind = kind.ok_or(Fault::malformed("unknown kind of frame"))?;
    if !expected(kind) {
        return Err(Fault::new(
            Outcome::BadRequest,
            Reason::Unexpected,
            "unexpected kind of frame",
        ));
    }
    let head = FIXED + usize::from(u16::from_be_bytes([h0, h1]));
    let len = u32::from_be_bytes([l0, l1, l2, l3]).saturating_add(FIXED as u32);
    if len > cx.max_frame {
        return Err(Fault::too_large(Reason::FrameSize, "frame is too long"));
    }
    if head > len as usize {
        return Err(Fault::malformed("head is longer than its frame"));
    }
    let id = u32::from_be_bytes([i0, i1, i2, i3]);
    let meta = Meta::frame(kind, len as usize).head(head).id(id.into());
    // From here on the end of the frame is known: a bad request is answered, and the connection
    // goes on behind it.
    let refuse = |fault| {
        if has_headers(kind) { Ok(Step::Reject(meta, fault)) } else { Err(fault) }
    };
    if head > cx.max_head as usize {
        return refuse(Fault::too_large(Reason::HeadSize, "head is too long"));
    }
    let Some(mut rest) = buf.get(FIXED..head) else {
        return Ok(Step::Need(head));
    };
    match kind {
        Kind::Request | Kind::Oneway | Kind::Open => {
            let service = take_span(&mut rest, head);
            let method = take_span(&mut rest, head);
            let (Some(service), Some(method)) = (service, method) else {
                return refuse(Fault::malformed("head ends inside of service or method"));
            };
            let mut count = 0_u32;
            while !rest.is_empty() {
                count = count.saturating_add(1);
                if count > cx.max_parts {
                    return refuse(Fault::too_large(Reason::Parts, "too many headers"));
                }
                if take_pair(&mut rest).is_none() {
                    return refuse(Fault::malformed("head ends inside of a header"));
                }
            }
            Ok(Step::Frame(meta.service(service).method(method), ()))
        }
        Kind::Reply | Kind::Reset => {
            let [status] = *rest else {
                return Err(Fault::malformed("head must be one status byte"));
            };
            let known = STATUSES.get(usize::from(status));
            let outcome = known.map_or(Outcome::ProtocolError, |(_, outcome)| *outcome);
            if kind == Kind::Reset && outcome == Outcome::Ok {
                // Whatever it says, a stream that is reset is no success.
                return Ok(Step::Frame(meta.code(u32::MAX).outcome(Outcome::ProtocolError), ()));
            }
            Ok(Step::Frame(meta.code(status.into()).outcome(outcome), ()))
        }
        Kind::Data | Kind::End if rest.is_empty() => Ok(Step::Frame(meta, ())),
        Kind::Ping | Kind::Pong | Kind::GoAway if len as usize == FIXED => {
            Ok(Step::Frame(meta, ()))
        }
        _ => Err(Fault::malformed("this kind of frame is empty")),
    }
}

/// Appends a frame.
fn put(out: &mut Vec<u8>, kind: Kind, id: u64, head: &[u8], body: &[u8]) -> Result<(), Fault> {
    let too_long = Fault::too_large(Reason::FrameSize, "frame is too long");
    let number = KINDS.iter().position(|known| *known == kind).unwrap_or(KINDS.len());
    let head_len = u16::try_from(head.len()).map_err(|_| too_long)?;
    let length = head.len().saturating_add(body.len());
    let length = u32::try_from(length).map_err(|_| too_long)?;
    let id = wire_id(id)?;
    out.extend_from_slice(&[MAGIC, u8::try_from(number + 1).unwrap_or(u8::MAX)]);
    out.extend_from_slice(&head_len.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&id);
    out.extend_from_slice(head);
    out.extend_from_slice(body);
    Ok(())
}

/// Traits promise ids of 32 bits, so the engine will not choose a longer one.
fn wire_id(id: u64) -> Result<[u8; 4], Fault> {
    let id = u32::try_from(id).map_err(|_| Fault::malformed("id has more than 32 bits"))?;
    Ok(id.to_be_bytes())
}

/// The kinds whose head is service, method and headers: those that ask for something.
const fn has_headers(kind: Kind) -> bool {
    matches!(kind, Kind::Request | Kind::Oneway | Kind::Open)
}

/// Where a request's headers are: between its method and the end of the head.
const fn pairs(meta: &Meta) -> Range<usize> {
    meta.method.range().end..meta.head as usize
}

/// How Heptad's own errors are told to a client.
fn status_of(outcome: Outcome) -> u8 {
    let at = match outcome {
        Outcome::NoRoute => return status("UNKNOWN_METHOD"),
        _ => STATUSES.iter().position(|(_, known)| *known == outcome),
    };
    at.and_then(|at| u8::try_from(at).ok()).unwrap_or_else(|| status("UNAVAILABLE"))
}
