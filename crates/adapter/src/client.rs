//! The end of a connection that says requests and hears replies.

use std::{collections::VecDeque, fmt};

use bytes::{Bytes, BytesMut};
use heptad_core::{
    Asked, Codec, Ctx, Fault, Flavour, Kind, Meta, Outcome, Pairing, Reason, Side, Step,
};
use tokio_util::codec::{Decoder, Encoder};

use crate::{FrameError, cut::Cut};

/// Encodes requests, which are whole frames as bytes; decodes replies.
///
/// It reads each request as it is sent, so that the codec can tell what its reply will be. It does
/// not number them (ids are the caller's; they must not be in use), and it logs in nowhere: what a
/// link of a router would say first, the caller says.
pub struct ClientEnd<C: Codec> {
    codec: C,
    conn: C::Conn,
    /// What is sent is read as a session's would be.
    session: C::Conn,
    cx: Ctx,
    cut: Cut<()>,
    asked: Outstanding<C::Tag>,
}

impl<C: Codec> fmt::Debug for ClientEnd<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientEnd")
            .field("codec", &C::NAME)
            .field("outstanding", &self.asked.list.len())
            .finish_non_exhaustive()
    }
}

/// A reply, or something else that the server sent (see [`Meta::kind`]).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reply<T> {
    /// What the decoder found in it.
    pub meta: Meta,
    /// The tag of the request that it replies to; none if it replies to nothing that is known.
    pub tag: Option<T>,
    /// The whole frame.
    pub bytes: Bytes,
}

impl<C: Codec> ClientEnd<C> {
    /// The end of a new connection to a server with these options, with the codec's default limits.
    pub fn new(codec: C, upstream: &C::Upstream) -> Self {
        let cx = Ctx::default().max_frame(codec.traits().max_frame);
        Self::limited(codec, upstream, cx)
    }

    /// The end of a new connection, with limits of the caller's.
    pub fn limited(codec: C, upstream: &C::Upstream, cx: Ctx) -> Self {
        let conn = codec.open(Side::Link(upstream), Flavour::default());
        let session = codec.open(Side::Session, Flavour::default());
        let by_id = matches!(codec.traits().pairing, Pairing::ById { .. });
        let asked = Outstanding { by_id, list: VecDeque::new() };
        Self { codec, conn, session, cx, cut: Cut::new(), asked }
    }

    /// How many requests have no reply yet.
    pub fn outstanding(&self) -> usize {
        self.asked.list.len()
    }
}

impl<C: Codec> Encoder<Bytes> for ClientEnd<C> {
    type Error = FrameError;

    /// Sends one or more whole requests. After an error nothing of them is sent.
    fn encode(&mut self, frames: Bytes, out: &mut BytesMut) -> Result<(), FrameError> {
        let known = self.asked.list.len();
        let mut rest = BytesMut::from(&*frames);
        let mut cut = Cut::new();
        while !rest.is_empty() {
            let Self { codec, session, cx, .. } = self;
            let decode = |bytes: &[u8]| codec.decode_request(session, cx, bytes);
            let found = match cut.next(&mut rest, cx.max_frame, decode) {
                Ok(Some((found, bytes))) => found.fault.map_or(Ok((found, bytes)), Err),
                // Blank space behind a frame is none.
                Ok(None) if rest.is_empty() => break,
                Ok(None) => Err(Fault::malformed("this is not a whole request")),
                Err(fault) => Err(fault),
            };
            let (found, bytes) = match found {
                Ok(found) => found,
                Err(fault) => {
                    self.asked.list.truncate(known);
                    return Err(fault.into());
                }
            };
            self.codec.accepted(&mut self.session, &found.meta, found.tag, &bytes);
            let replied =
                matches!(found.meta.kind, Kind::Request | Kind::Open | Kind::Login | Kind::Control);
            // What has an id of its own waits for it; in order a heartbeat takes its turn.
            if replied || (found.meta.kind == Kind::Ping && !self.asked.by_id) {
                self.asked.list.push_back((found.meta.id, found.tag));
            }
        }
        out.extend_from_slice(&frames);
        Ok(())
    }
}

impl<C: Codec> Decoder for ClientEnd<C> {
    type Item = Reply<C::Tag>;
    type Error = FrameError;

    fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Self::Item>, FrameError> {
        let Self { codec, conn, session, cx, cut, asked } = self;
        let decode = |bytes: &[u8]| -> Result<Step<()>, Fault> {
            codec.decode_reply(conn, asked, cx, bytes)
        };
        let Some((found, bytes)) = cut.next(buf, cx.max_frame, decode)? else { return Ok(None) };
        if found.fault.is_some() {
            let text = "a reply that cannot be used";
            return Err(Fault::new(Outcome::ProtocolError, Reason::Unexpected, text).into());
        }
        let meta = found.meta;
        let tag = match meta.kind {
            Kind::Reply | Kind::End | Kind::Reset => asked.take(meta.id),
            Kind::Pong if !asked.by_id => asked.take(meta.id),
            Kind::Data => asked.tag(meta.id),
            _ => None,
        };
        if let Some(tag) = tag.filter(|_| meta.kind == Kind::Reply) {
            codec.settled(session, tag, &meta, &bytes);
        }
        Ok(Some(Reply { meta, tag, bytes }))
    }
}

/// Requests without their reply, in the order sent.
#[derive(Debug)]
struct Outstanding<T> {
    by_id: bool,
    list: VecDeque<(u64, T)>,
}

impl<T: Copy> Outstanding<T> {
    fn place(&self, id: u64) -> Option<usize> {
        if !self.by_id {
            return (!self.list.is_empty()).then_some(0);
        }
        self.list.iter().position(|(known, _)| *known == id)
    }

    fn take(&mut self, id: u64) -> Option<T> {
        let place = self.place(id)?;
        self.list.remove(place).map(|(_, tag)| tag)
    }
}

impl<T: Copy> Asked<T> for Outstanding<T> {
    fn tag(&self, id: u64) -> Option<T> {
        self.list.get(self.place(id)?).map(|(_, tag)| *tag)
    }
}
