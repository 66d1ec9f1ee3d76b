//! Answers of Heptad's own, in the client's dialect: a `TApplicationException`, or a string.

use heptad_core::{Answer, Fault, Kind, Outcome, Question, Reason};

use crate::{
    conn::{Conn, Tag},
    cursor::{Varint, zigzag},
    dialect::{Dialect, Protocol, Transport},
    frame::{aux, split_id},
    header, json,
    message::{Around, kind},
    reply::exception,
};

/// Appends the answer.
pub(crate) fn answer(
    conn: &Conn,
    to: &Question<'_, Tag>,
    answer: &Answer<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    if to.meta.kind == Kind::Oneway {
        return Ok(()); // Its sender does not listen.
    }
    let dialect = Dialect::from_bits(to.meta.aux).or(conn.dialect);
    let Some(transport) = dialect.transport else {
        return Err(Fault::malformed("the client's dialect is not known"));
    };
    let protocol = dialect.protocol.unwrap_or(Protocol::Strict);
    let (inner, outer) = split_id(to.meta.id);
    let (ty, text) = match *answer {
        Answer::Error { outcome, reason, text } => {
            (Some(exception_for(to.meta.aux, outcome, reason)), text)
        }
        Answer::Direct { text } => (None, text),
        _ => return Err(Fault::malformed("Thrift has no answers of its own")),
    };

    let start = out.len();
    let mut lengths = [None; 2];
    let reserve = |out: &mut Vec<u8>, of: &mut Option<usize>| {
        *of = Some(out.len());
        out.extend_from_slice(&[0; 4]);
    };
    let [first, second] = &mut lengths;
    if transport != Transport::Unframed {
        reserve(out, first);
    }
    if transport == Transport::Nested {
        reserve(out, second);
    }
    if transport.has_headers() {
        out.extend_from_slice(&header::fixed(0, outer, 1));
        out.extend_from_slice(&[protocol.header_id(), 0, 0, 0]);
    }
    let kind = if ty.is_some() { kind::EXCEPTION } else { kind::REPLY };
    let name = to.kept;
    if protocol == Protocol::Json {
        // The name may have been cut.
        let around = Around::new(protocol, kind, inner, 0);
        out.extend_from_slice(around.before().get(..3).unwrap_or_default());
        json::escape(name, out);
        out.extend_from_slice(around.after().get(1..).unwrap_or_default());
    } else {
        let around = Around::new(protocol, kind, inner, name.len());
        out.extend_from_slice(around.before());
        out.extend_from_slice(name);
        out.extend_from_slice(around.after());
    }
    body(protocol, ty, text, out);
    for at in lengths.into_iter().flatten() {
        let len = u32::try_from(out.len().saturating_sub(at + 4)).unwrap_or(u32::MAX);
        if let Some(place) = out.get_mut(at..at + 4) {
            place.copy_from_slice(&len.to_be_bytes());
        }
    }
    debug_assert!(out.len() > start);
    Ok(())
}

/// The struct: message and type of an exception, or the string that is a result.
fn body(protocol: Protocol, ty: Option<u32>, text: &str, out: &mut Vec<u8>) {
    let field: u8 = if ty.is_some() { 1 } else { 0 };
    let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
    match protocol {
        Protocol::Strict | Protocol::Old => {
            out.extend_from_slice(&[11, 0, field]);
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(text.as_bytes());
            if let Some(ty) = ty {
                out.extend_from_slice(&[8, 0, 2]);
                out.extend_from_slice(&ty.to_be_bytes());
            }
            out.push(0);
        }
        Protocol::Compact => {
            // Field 0 has no short form.
            match field {
                0 => out.extend_from_slice(&[0x08, 0]),
                _ => out.push(0x18),
            }
            out.extend_from_slice(Varint::new(len.into()).as_slice());
            out.extend_from_slice(text.as_bytes());
            if let Some(ty) = ty {
                out.push(0x15);
                out.extend_from_slice(Varint::new(zigzag(ty.into())).as_slice());
            }
            out.push(0);
        }
        Protocol::Json => {
            let head: &[u8] = if ty.is_some() { b"{\"1\":{\"str\":" } else { b"{\"0\":{\"str\":" };
            out.extend_from_slice(head);
            json::escape(text.as_bytes(), out);
            out.push(b'}');
            if let Some(ty) = ty {
                out.extend_from_slice(b",\"2\":{\"i32\":");
                if ty > 9 {
                    out.push(b'0' + (ty / 10 % 10) as u8);
                }
                out.push(b'0' + (ty % 10) as u8);
                out.push(b'}');
            }
            out.extend_from_slice(b"}]");
        }
    }
}

/// The type of exception that fits.
const fn exception_for(bits: u32, outcome: Outcome, reason: Reason) -> u32 {
    if bits & aux::BAD_TRANSFORM != 0 {
        return exception::INVALID_TRANSFORM;
    }
    if bits & aux::BAD_PROTOCOL != 0 {
        return exception::INVALID_PROTOCOL;
    }
    match (outcome, reason) {
        (Outcome::NoRoute, _) => exception::UNKNOWN_METHOD,
        (Outcome::BadRequest, Reason::Unexpected) => exception::INVALID_MESSAGE_TYPE,
        (Outcome::BadRequest, Reason::Unsupported) => exception::INVALID_PROTOCOL,
        (Outcome::BadRequest | Outcome::TooLarge | Outcome::ProtocolError, _) => {
            exception::PROTOCOL_ERROR
        }
        _ => exception::INTERNAL_ERROR,
    }
}
