//! How a request ended, by the first fields of its reply.

use heptad_core::{Ctx, Meta, Outcome};

use crate::{
    cursor::{Bound, Parse, Stop},
    decode::encoding,
    json,
    message::{Head, kind},
    token::{Bounds, Encoding, Token, Type, Walk},
};

/// Types of a `TApplicationException`, by number. The last two are of fbthrift.
pub(crate) const EXCEPTIONS: [&str; 13] = [
    "UNKNOWN",
    "UNKNOWN_METHOD",
    "INVALID_MESSAGE_TYPE",
    "WRONG_METHOD_NAME",
    "BAD_SEQUENCE_ID",
    "MISSING_RESULT",
    "INTERNAL_ERROR",
    "PROTOCOL_ERROR",
    "INVALID_TRANSFORM",
    "INVALID_PROTOCOL",
    "UNSUPPORTED_CLIENT_TYPE",
    "LOADSHEDDING",
    "TIMEOUT",
];

/// Numbers of the types that are used here.
pub(crate) mod exception {
    pub(crate) const UNKNOWN: u32 = 0;
    pub(crate) const UNKNOWN_METHOD: u32 = 1;
    pub(crate) const INVALID_MESSAGE_TYPE: u32 = 2;
    pub(crate) const INTERNAL_ERROR: u32 = 6;
    pub(crate) const PROTOCOL_ERROR: u32 = 7;
    pub(crate) const INVALID_TRANSFORM: u32 = 8;
    pub(crate) const INVALID_PROTOCOL: u32 = 9;
    pub(crate) const LOADSHEDDING: u32 = 11;
    pub(crate) const TIMEOUT: u32 = 12;
}

/// Declared exceptions by the id of their field.
const DECLARED: [&str; 17] = [
    "EXCEPTION",
    "EXCEPTION_1",
    "EXCEPTION_2",
    "EXCEPTION_3",
    "EXCEPTION_4",
    "EXCEPTION_5",
    "EXCEPTION_6",
    "EXCEPTION_7",
    "EXCEPTION_8",
    "EXCEPTION_9",
    "EXCEPTION_10",
    "EXCEPTION_11",
    "EXCEPTION_12",
    "EXCEPTION_13",
    "EXCEPTION_14",
    "EXCEPTION_15",
    "EXCEPTION_16",
];

/// The name of a reply's code.
pub(crate) fn code_name(meta: &Meta) -> Option<&'static str> {
    let code = meta.code as usize;
    match meta.outcome {
        Outcome::Ok => None,
        Outcome::AppError => Some(DECLARED.get(code).copied().unwrap_or("EXCEPTION")),
        _ => Some(EXCEPTIONS.get(code).copied().unwrap_or("UNKNOWN")),
    }
}

/// How the request ended, and the code. `end` is where the message ends or, if it was not inflated
/// to its end, what is there of it.
pub(crate) fn classify(
    head: &Head,
    walk: &mut Walk,
    cx: &Ctx,
    buf: &[u8],
    end: usize,
) -> Parse<(Outcome, u32)> {
    match head.kind {
        kind::REPLY => {
            let id = match first_field(head, walk, cx, buf, end) {
                Ok(id) => id,
                Err(Stop::Need(n)) => return Err(Stop::Need(n)),
                // The client will find out as well; the frame is whole.
                Err(Stop::Fault(_)) => return Ok((Outcome::ProtocolError, exception::UNKNOWN)),
            };
            Ok(match id {
                None | Some(0) => (Outcome::Ok, 0),
                Some(id) => (Outcome::AppError, u32::from(id as u16)),
            })
        }
        kind::EXCEPTION => {
            let seen = end.min((cx.max_head as usize).max(head.body));
            if buf.len() < seen {
                return Err(Stop::Need(seen));
            }
            let ty = exception_type(head, walk, cx, buf.get(..seen).unwrap_or(buf));
            Ok(match ty.unwrap_or(exception::UNKNOWN) {
                exception::LOADSHEDDING => (Outcome::Overloaded, exception::LOADSHEDDING),
                exception::TIMEOUT => (Outcome::Timeout, exception::TIMEOUT),
                ty => (Outcome::ProtocolError, ty),
            })
        }
        _ => Err(heptad_core::Fault::malformed("neither a reply nor an exception").into()),
    }
}

fn first_field(
    head: &Head,
    walk: &mut Walk,
    cx: &Ctx,
    buf: &[u8],
    end: usize,
) -> Parse<Option<i16>> {
    let bound = Bound::end(end);
    let Some(encoding) = encoding(head.protocol) else {
        let seen = buf.get(..end.min(buf.len())).unwrap_or(buf);
        return match json::first_field(seen, head.body) {
            Ok(json::First::None) => Ok(None),
            Ok(json::First::Field(id)) => Ok(Some(id)),
            Err(Stop::Need(n)) if n > end => Err(bound.fault.into()),
            Err(stop) => Err(stop),
        };
    };
    walk.start(head.body);
    Ok(match walk.next(encoding, buf, &Bounds::new(cx, bound))? {
        Some(Token::Field(_, id)) => Some(id),
        _ => None,
    })
}

/// Field 2 of a `TApplicationException`, if it can be read.
fn exception_type(head: &Head, walk: &mut Walk, cx: &Ctx, buf: &[u8]) -> Option<u32> {
    match encoding(head.protocol) {
        Some(encoding) => {
            walk.start(head.body);
            binary_type(encoding, walk, cx, buf)
        }
        None => {
            let (ty, at) = json::field(buf, head.body, 2, cx).ok()??;
            let digits = std::str::from_utf8(buf.get(at)?).ok()?;
            (ty == b"i32").then(|| digits.parse().ok())?
        }
    }
}

fn binary_type(encoding: Encoding, walk: &mut Walk, cx: &Ctx, buf: &[u8]) -> Option<u32> {
    let bounds = Bounds::new(cx, Bound::end(buf.len()));
    let next = |walk: &mut Walk| walk.next(encoding, buf, &bounds).ok().flatten();
    loop {
        // A field of the exception itself, not of something in it.
        let outermost = walk.depth() == 1;
        let token = next(walk)?;
        if outermost && token == Token::Field(Type::I32, 2) {
            return match next(walk)? {
                Token::I32(ty) => u32::try_from(ty).ok(),
                _ => None,
            };
        }
    }
}
