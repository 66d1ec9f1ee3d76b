//! What came back from an endpoint: replies by their status and flag, heartbeats, farewells.

use heptad_core::{Ctx, Fault, Kind, Meta, Outcome, Reason, Step};

use crate::{
    codec::step_of,
    frame::{EVENT, FASTJSON, FIXED, HESSIAN2, Head, OK, REQUEST, STATUSES, TWO_WAY},
    hessian::{Bad, Limits, Reader, Units},
};

/// [`Meta::code`] of an exception that the application threw.
const EXCEPTION: u32 = 1;
/// [`Meta::code`] of a reply whose flag is none.
const NO_FLAG: u32 = 2;

/// The name of an error code.
pub(crate) fn code_name(code: u32) -> Option<&'static str> {
    match code {
        0 => None,
        EXCEPTION => Some("EXCEPTION"),
        NO_FLAG => Some("UNKNOWN_FLAG"),
        _ => {
            let known = STATUSES.iter().find(|(status, ..)| u32::from(*status) == code);
            Some(known.map_or("OTHER", |(_, name, _)| name))
        }
    }
}

/// What the first number of a reply's body says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flag {
    /// 0 exception, 1 value, 2 null.
    pub(crate) what: u8,
    /// Attachments follow.
    pub(crate) attachments: bool,
    /// Behind it.
    pub(crate) end: usize,
}

impl Flag {
    /// Of a frame with status [`OK`] in Hessian 2.
    pub(crate) fn of(frame: &[u8]) -> Result<Self, Bad> {
        let mut reader = Reader::new(frame, FIXED, Units::Utf16, Limits::default());
        let flag = u8::try_from(reader.int()?).ok().filter(|flag| *flag < 6);
        let flag = flag.ok_or(Bad::Malformed)?;
        Ok(Self { what: flag % 3, attachments: flag >= 3, end: reader.at() })
    }

    /// Values between the flag and the attachments.
    pub(crate) const fn values(self) -> u32 {
        if self.what == 2 { 0 } else { 1 }
    }
}

/// Looks at the bytes an endpoint sent.
pub(crate) fn decode(cx: &Ctx, buf: &[u8]) -> Result<Step<()>, Fault> {
    let head = match step_of(cx, buf)? {
        Ok(head) => head,
        Err(step) => return Ok(step),
    };
    let len = head.len as usize;
    let meta = |kind| Meta::frame(kind, len).id(head.id);
    if head.is(REQUEST) {
        if head.is(EVENT) && head.is(TWO_WAY) {
            let serialization = u32::from(head.serialization());
            return Ok(Step::Frame(meta(Kind::Ping).aux(serialization), ()));
        }
        let Some(frame) = buf.get(..len) else {
            return Ok(Step::Need(len));
        };
        return Ok(if head.is(EVENT) && is_read_only(&head, frame) {
            Step::Frame(meta(Kind::GoAway), ())
        } else {
            // Calls back to a client find no way through shared links. Who makes them gets no
            // answer; other clients' calls on the link are not disturbed.
            Step::Skip(len)
        });
    }
    if head.is(EVENT) {
        return Ok(Step::Frame(meta(Kind::Pong), ()));
    }
    let reply = |outcome, code| Ok(Step::Frame(meta(Kind::Reply).outcome(outcome).code(code), ()));
    if head.status != OK {
        let known = STATUSES.iter().find(|(status, ..)| *status == head.status);
        let outcome = known.map_or(Outcome::ProtocolError, |(_, _, outcome)| *outcome);
        // Statuses that are not listed must not be taken for one of the codes above.
        let code = if known.is_some() { u32::from(head.status) } else { u32::from(u8::MAX) };
        return reply(outcome, code);
    }
    let good = has_plain_flag(buf) && len > FIXED;
    if good || head.serialization() != HESSIAN2 {
        return reply(Outcome::Ok, 0);
    }
    match Flag::of(buf.get(..buf.len().min(len)).unwrap_or_default()) {
        Ok(Flag { what: 0, .. }) => reply(Outcome::AppError, EXCEPTION),
        Ok(_) => reply(Outcome::Ok, 0),
        Err(Bad::Short(need)) if need <= len => Ok(Step::Need(need)),
        Err(_) => reply(Outcome::ProtocolError, NO_FLAG),
    }
}

/// A value or null, in the one byte that nearly everybody writes.
fn has_plain_flag(frame: &[u8]) -> bool {
    matches!(frame.get(FIXED), Some(0x91 | 0x92 | 0x94 | 0x95))
}

/// Whether a whole frame is a reply that is known to be good by that byte.
pub(crate) fn is_plain(frame: &[u8]) -> bool {
    let is_reply = |head: Head| !head.is(REQUEST) && !head.is(EVENT) && head.status == OK;
    Head::of(frame).is_some_and(is_reply) && has_plain_flag(frame)
}

/// The event with which a server asks for no new requests.
fn is_read_only(head: &Head, frame: &[u8]) -> bool {
    let body = frame.get(FIXED..).unwrap_or_default();
    match head.serialization() {
        HESSIAN2 => body == READ_ONLY,
        FASTJSON => body.trim_ascii() == b"\"R\"",
        _ => false,
    }
}

/// Its body.
pub(crate) const READ_ONLY: &[u8] = b"\x01R";

/// A frame that its sender may not send.
pub(crate) const UNEXPECTED: Fault =
    Fault::new(Outcome::BadRequest, Reason::Unexpected, "unexpected kind of frame");
