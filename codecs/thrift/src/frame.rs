//! A frame in each of the transports: where its message is, and what is known of it. Says nothing
//! about what becomes of it.

use heptad_core::{Ctx, Fault, Meta, Reason};

use crate::{
    cursor::{Bound, Cursor, Parse, Stop},
    dialect::{Dialect, LONGEST, Protocol, Transport},
    header::{Header, Transform},
    message::{Head, kind},
    quick,
    zlib::Inflate,
};

/// [`Meta::aux`]: the dialect, and what else is the matter with a frame.
pub(crate) mod aux {
    /// The message is compressed.
    pub(crate) const PACKED: u32 = 1 << 6;
    /// A transform that cannot be undone.
    pub(crate) const BAD_TRANSFORM: u32 = 1 << 7;
    /// A protocol that is not known.
    pub(crate) const BAD_PROTOCOL: u32 = 1 << 8;
}

/// A frame, as far as the head of its message.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) transport: Transport,
    /// Its THeader, if it has one.
    pub(crate) header: Option<Header>,
    pub(crate) content: Content,
    /// Where the message or what was made of it begins.
    pub(crate) payload: usize,
    /// Its end. An unframed message has one only when its struct has been walked through.
    pub(crate) len: Option<usize>,
}

/// What is in a frame.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Message(Head),
    /// Compressed.
    Packed,
    /// Transformed in a way that cannot be undone here.
    UnknownTransform,
    /// Encoded in a way that is not known.
    UnknownProtocol,
}

impl Frame {
    /// Reads a frame up to the end of the message's head.
    pub(crate) fn parse(transport: Transport, cx: &Ctx, buf: &[u8]) -> Parse<Self> {
        let quick = if transport == Transport::Framed { quick::frame(cx, buf) } else { None };
        match quick {
            Some(frame) => Ok(frame),
            None => Self::general(transport, cx, buf),
        }
    }

    /// The same for any transport and protocol.
    pub(crate) fn general(transport: Transport, cx: &Ctx, buf: &[u8]) -> Parse<Self> {
        let limit = Bound::head(cx.max_head as usize);
        let max = Bound::frame(cx.max_frame as usize);
        let mut cursor = Cursor::new(buf, 0, max, limit);
        let mut header = None;
        let mut len = None;
        if transport != Transport::Unframed {
            let outer = cursor.u32()?;
            let end = outer as usize + 4;
            if outer > LONGEST || end > max.at {
                return Err(max.fault.into());
            }
            if transport == Transport::Nested && cursor.u32()?.saturating_add(4) != outer {
                return Err(Fault::malformed("a THeader frame that does not fill its frame").into());
            }
            cursor = cursor.until(Bound::end(end));
            if transport.has_headers() {
                header = Some(Header::parse(&mut cursor)?);
            }
            len = Some(end);
        }
        let payload = cursor.at();
        let content = match &header {
            Some(Header { transform: Transform::Zlib, .. }) => Content::Packed,
            Some(Header { transform: Transform::Unknown, .. }) => Content::UnknownTransform,
            Some(header) => match Protocol::of_header(header.protocol, cursor.peek()?) {
                Some(protocol) => Content::Message(Head::parse(protocol, &mut cursor)?),
                None => Content::UnknownProtocol,
            },
            None => {
                let protocol = Protocol::of(cursor.peek()?)?;
                Content::Message(Head::parse(protocol, &mut cursor)?)
            }
        };
        Ok(Self { transport, header, content, payload, len })
    }

    /// Reads a frame again that is all there and was found to be good.
    pub(crate) fn again(meta: &Meta, frame: &[u8]) -> Result<Self, Fault> {
        let transport = Dialect::from_bits(meta.aux).transport.ok_or(GONE)?;
        let cx = Ctx::default().max_head(u32::MAX).max_frame(u32::MAX);
        Self::parse(transport, &cx, frame).map_err(fault)
    }

    /// The head of a message that is compressed, and as much of it as was inflated for that.
    pub(crate) fn unpack_head(&self, cx: &Ctx, buf: &[u8]) -> Result<(Vec<u8>, Head), Fault> {
        let most = cx.max_head as usize;
        let id = self.header.as_ref().map_or(0, |header| header.protocol);
        let whole = self.len.is_some_and(|len| buf.len() >= len);
        let end = self.len.unwrap_or(buf.len()).min(buf.len());
        let mut inflate = Inflate::new(buf.get(self.payload..end).unwrap_or_default());
        loop {
            let more = inflate.head(most)?;
            match parse_packed(id, &inflate.out, most) {
                Ok(head) => {
                    // A reply's outcome stands behind its head.
                    let enough = match head.kind {
                        kind::EXCEPTION => most,
                        _ => head.body.saturating_add(16),
                    };
                    while inflate.out.len() < enough && inflate.head(most)? {}
                    return Ok((inflate.out, head));
                }
                Err(Stop::Fault(fault)) => return Err(fault),
                Err(Stop::Need(_)) if more => {}
                Err(Stop::Need(_)) if whole && inflate.out.len() < most => {
                    return Err(Bound::end(0).fault);
                }
                Err(Stop::Need(_)) => return Err(Bound::head(0).fault),
            }
        }
    }

    /// The id of a call: that of its message, and above it how that of its THeader differs.
    pub(crate) fn id(&self, seq: u32) -> u64 {
        let outer = self.header.as_ref().map_or(seq, |header| header.seq);
        join_ids(seq, outer)
    }
}

/// The head of a message that was compressed.
pub(crate) fn parse_packed(id: u32, inflated: &[u8], most: usize) -> Parse<Head> {
    let bound = Bound::head(most);
    let mut cursor = Cursor::new(inflated, 0, bound, bound);
    let protocol = Protocol::of_header(id, cursor.peek()?).ok_or(WRONG_PROTOCOL)?;
    Head::parse(protocol, &mut cursor)
}

/// Both ids of a call as one.
pub(crate) const fn join_ids(inner: u32, outer: u32) -> u64 {
    inner as u64 | ((inner ^ outer) as u64) << 32
}

/// The ids of message and THeader.
pub(crate) const fn split_id(id: u64) -> (u32, u32) {
    let inner = id as u32;
    (inner, inner ^ (id >> 32) as u32)
}

/// What is wrong with a frame that cannot be read although it is all there.
pub(crate) const fn fault(stop: Stop) -> Fault {
    match stop {
        Stop::Fault(fault) => fault,
        Stop::Need(_) => GONE,
    }
}

const GONE: Fault = Fault::malformed("a Thrift frame that is not whole");

pub(crate) const WRONG_PROTOCOL: Fault = Fault::new(
    heptad_core::Outcome::BadRequest,
    Reason::Unsupported,
    "a THeader with a protocol that is not known, or not that of its message",
);

pub(crate) const WRONG_TRANSFORM: Fault = Fault::new(
    heptad_core::Outcome::BadRequest,
    Reason::Unsupported,
    "a THeader with a transform that is not known",
);
