//! Writing a frame for the other connection: with other ids and headers, in another transport, and
//! if need be in another protocol. What stays is kept by range.

use std::ops::Range;

use heptad_core::{Fault, Meta, Outcome, Reason, Rewrite, Splice};

use crate::{
    conn::{Conn, Tag},
    cursor::{Bound, Varint},
    decode::{encoding, end_of},
    dialect::{Dialect, Protocol, Transport},
    frame::{Content, Frame, aux, fault, parse_packed, split_id},
    header::{self, Persistent, Piece, Rewritten},
    message::{Around, Head},
    token::Bounds,
    transcode::transcode,
    zlib,
};

const TOO_LONG: Fault = Fault::too_large(Reason::FrameSize, "the frame is too long when rewritten");
const NO_JSON: Fault = Fault::new(
    Outcome::BadRequest,
    Reason::Unsupported,
    "JSON cannot be converted to another protocol, nor another one to JSON",
);

/// Bytes of the message that is written.
#[derive(Clone, Copy)]
enum Bytes<'a> {
    /// A range of the old frame from here to there.
    Old(usize, usize),
    /// Others.
    New(&'a [u8]),
}

impl Bytes<'_> {
    const fn len(&self) -> usize {
        match self {
            Self::Old(start, end) => end.saturating_sub(*start),
            Self::New(bytes) => bytes.len(),
        }
    }

    fn write(&self, out: &mut Splice<'_>) {
        match *self {
            Self::Old(start, end) => out.keep(start..end),
            Self::New(bytes) => out.put(bytes),
        }
    }
}

/// Writes `out`'s frame, which came on `from`, for `to`.
pub(crate) fn rewrite(
    from: &Conn,
    to: &Conn,
    meta: &Meta,
    tag: Tag,
    edit: &Rewrite<'_>,
    out: &mut Splice<'_>,
) -> Result<(), Fault> {
    let bytes = out.frame();
    let frame = Frame::again(meta, bytes)?;
    let end = frame.len.unwrap_or(bytes.len()).min(bytes.len());
    let most = from.cx.max_frame as usize;
    let inflated;
    let packed;
    let (head, message, message_end) = match &frame.content {
        Content::Message(head) => (head, bytes, end),
        Content::Packed => {
            inflated = zlib::all(bytes.get(frame.payload..end).unwrap_or_default(), most)?;
            let id = frame.header.as_ref().map_or(0, |header| header.protocol);
            packed = parse_packed(id, &inflated, inflated.len()).map_err(fault)?;
            (&packed, &*inflated, inflated.len())
        }
        _ => return Err(Fault::malformed("a Thrift frame without a message")),
    };
    let same = Dialect::new(frame.transport, head.protocol);
    let wanted = if to.is_link { to.dialect } else { tag.dialect().or(to.dialect) };
    let target = wanted.or(same);
    let transport = target.transport.unwrap_or(frame.transport);
    let protocol = target.protocol.unwrap_or(head.protocol);

    // A frame may contain less than a message, or more than one: without the frame, a server would
    // take what follows for the rest of it, or what is left over for a call that nobody has judged.
    let message_end = if transport == Transport::Unframed && frame.transport != transport {
        end_of(head, &from.cx, message, message_end)?
    } else {
        message_end
    };

    // The pieces of the message.
    let old = |range: Range<usize>| match frame.content {
        Content::Packed => Bytes::New(message.get(range).unwrap_or_default()),
        _ => Bytes::Old(range.start, range.end),
    };
    let transcoded;
    let body = if head.protocol.same_body(protocol) {
        old(head.body..message_end)
    } else {
        let (Some(source), Some(_)) = (encoding(head.protocol), encoding(protocol)) else {
            return Err(NO_JSON);
        };
        let bounds = Bounds::new(&from.cx, Bound::end(message_end));
        transcoded = transcode(source, message, head.body, &bounds, most)?;
        Bytes::New(&transcoded)
    };
    let strip = to.is_link && to.strip_service;
    let name = if strip { head.names(message).1 } else { head.name.clone() };
    let outer_seq = frame.header.as_ref().map_or(head.seq, |header| header.seq);
    let (inner, outer) = edit.id.map_or((head.seq, outer_seq), split_id);
    let around = Around::new(protocol, head.kind, inner, name.len());
    let len = around.len() + name.len() + body.len();

    match transport {
        Transport::Unframed => {}
        Transport::Framed => out.put(&length(len)?),
        Transport::Header | Transport::Nested => {
            let nested = transport == Transport::Nested;
            let known = from.persistent.as_deref();
            put_header(&frame, known, edit, (protocol, outer), nested, len, out)?;
        }
    }
    out.put(around.before());
    old(name).write(out);
    out.put(around.after());
    body.write(out);
    Ok(())
}

fn length(len: usize) -> Result<[u8; 4], Fault> {
    let len = u32::try_from(len).ok().filter(|len| *len <= crate::dialect::LONGEST);
    Ok(len.ok_or(TOO_LONG)?.to_be_bytes())
}

/// Writes lengths and THeader ahead of a message of `len` bytes.
fn put_header(
    frame: &Frame,
    known: Option<&Persistent>,
    edit: &Rewrite<'_>,
    (protocol, seq): (Protocol, u32),
    nested: bool,
    len: usize,
    out: &mut Splice<'_>,
) -> Result<(), Fault> {
    let infos = frame.header.as_ref().map_or(0..0, |header| header.infos.clone());
    let flags = frame.header.as_ref().map_or(0, |header| header.flags);
    let rewritten = Rewritten { frame: out.frame(), infos, known, edits: edit.headers };
    let unchanged = rewritten.unchanged();
    // Protocol and number of transforms: none.
    let first = [protocol.header_id(), 0];
    let (mut pairs, mut size) = (0_u64, first.len());
    let unknown = if unchanged {
        size += rewritten.infos.len();
        rewritten.infos.clone()
    } else {
        let unknown = rewritten.pairs(|piece| {
            pairs += 1;
            size += match piece {
                Piece::Old(range) => range.len(),
                Piece::New(name, value) => varstring(name) + varstring(value),
            };
        });
        if pairs > 0 {
            size += 1 + Varint::new(pairs).as_slice().len();
        }
        size += unknown.len();
        unknown
    };
    let (units, zeros) = header::size(size)?;
    let total = header::FIXED + size + zeros.len() + len;
    if nested {
        out.put(&length(total + 4)?);
    }
    out.put(&length(total)?);
    out.put(&header::fixed(flags, seq, units));
    out.put(&first);
    if pairs > 0 {
        out.put(&[header::PAIRS as u8]);
        out.put(Varint::new(pairs).as_slice());
        rewritten.pairs(|piece| match piece {
            Piece::Old(range) => out.keep(range),
            Piece::New(name, value) => {
                for text in [name, value] {
                    out.put(Varint::new(text.len() as u64).as_slice());
                    out.put(text);
                }
            }
        });
    }
    out.keep(unknown);
    out.put(zeros);
    Ok(())
}

fn varstring(text: &[u8]) -> usize {
    Varint::new(text.len() as u64).as_slice().len() + text.len()
}

/// A whole message, inflated if need be, and its head.
pub(crate) fn open<'a>(
    meta: &Meta,
    frame: &'a [u8],
    most: usize,
    inflated: &'a mut Vec<u8>,
) -> Result<(Head, &'a [u8]), Fault> {
    let parsed = Frame::again(meta, frame)?;
    match parsed.content {
        Content::Message(head) => Ok((head, frame.get(..meta.len as usize).unwrap_or(frame))),
        Content::Packed if meta.aux & aux::PACKED != 0 => {
            *inflated = zlib::all(frame.get(parsed.payload..).unwrap_or_default(), most)?;
            let id = parsed.header.map_or(0, |header| header.protocol);
            let head = parse_packed(id, inflated, inflated.len()).map_err(fault)?;
            Ok((head, inflated))
        }
        _ => Err(Fault::malformed("a Thrift frame without a message")),
    }
}
