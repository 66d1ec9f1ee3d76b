//! The end of a connection that hears requests and says replies.

use std::fmt;

use bytes::{Bytes, BytesMut};
use heptad_core::{
    Accepted, Answer, Attr, Codec, Ctx, Fault, Flavour, Found, Meta, Question, Side, Step,
};
use tokio_util::codec::{Decoder, Encoder};

use crate::{FrameError, cut::Cut};

/// Decodes requests; encodes replies, either frames as bytes or [`Answered`], which the codec puts
/// into its protocol's words.
pub struct ServerEnd<C: Codec> {
    codec: C,
    conn: C::Conn,
    cx: Ctx,
    cut: Cut<C::Tag>,
    scratch: Vec<u8>,
}

impl<C: Codec> fmt::Debug for ServerEnd<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerEnd").field("codec", &C::NAME).finish_non_exhaustive()
    }
}

/// A request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request<T> {
    /// What the decoder found in it.
    pub meta: Meta,
    /// What the codec remembers of it.
    pub tag: T,
    /// The whole frame.
    pub bytes: Bytes,
    /// Why it must be refused, although the connection goes on.
    pub fault: Option<Fault>,
}

impl<T> Request<T> {
    /// The method as it stands in the frame; see [`ServerEnd::attr`] for the canonical spelling.
    pub fn method(&self) -> Option<&[u8]> {
        self.meta.method.of(&self.bytes)
    }

    /// The service as it stands in the frame.
    pub fn service(&self) -> Option<&[u8]> {
        self.meta.service.of(&self.bytes)
    }
}

/// An answer that the codec is to write: an error, or a success with a short text.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "a pair, for callers to build")]
pub struct Answered<'a, T> {
    /// What it answers.
    pub to: &'a Request<T>,
    /// What it says.
    pub answer: Answer<'a>,
}

impl<C: Codec> ServerEnd<C> {
    /// The end of a new connection, with the codec's default limits.
    pub fn new(codec: C) -> Self {
        let cx = Ctx::default().max_frame(codec.traits().max_frame);
        Self::limited(codec, cx)
    }

    /// The end of a new connection, with limits and wants of the caller's: what [`ServerEnd::attr`]
    /// is going to ask of headers must be wanted.
    pub fn limited(codec: C, cx: Ctx) -> Self {
        let conn = codec.open(Side::Session, Flavour::default());
        Self { codec, conn, cx, cut: Cut::new(), scratch: Vec::new() }
    }

    /// An attribute of a request, as routes and filters see it; absent if it is none of a frame's.
    pub fn attr<'a>(&'a mut self, of: &'a Request<C::Tag>, attr: &Attr) -> Found<'a> {
        self.scratch.clear();
        let Self { codec, conn, scratch, .. } = self;
        let (meta, frame) = (&of.meta, &*of.bytes);
        match attr {
            Attr::Service => codec.service(conn, meta, frame, scratch),
            Attr::Method => codec.method(conn, meta, frame, scratch),
            Attr::Key => codec.key(conn, meta, frame, scratch),
            Attr::Header(name) => codec.header(conn, meta, frame, name, scratch),
            Attr::Arg(n) => codec.arg(conn, meta, frame, *n, scratch),
            _ => Ok(None),
        }
    }

    /// Lets a request that is about to be performed change the connection's state (its protocol
    /// version, a transaction begun), and tells whether the codec would answer it by itself: then
    /// send [`Answer::Local`].
    pub fn accept(&mut self, request: &Request<C::Tag>) -> Accepted {
        self.codec.accepted(&mut self.conn, &request.meta, request.tag, &request.bytes)
    }
}

impl<C: Codec> Decoder for ServerEnd<C> {
    type Item = Request<C::Tag>;
    type Error = FrameError;

    fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Self::Item>, FrameError> {
        let Self { codec, conn, cx, cut, .. } = self;
        let decode =
            |bytes: &[u8]| -> Result<Step<C::Tag>, Fault> { codec.decode_request(conn, cx, bytes) };
        let found = cut.next(buf, cx.max_frame, decode)?;
        Ok(found.map(|(found, bytes)| Request {
            meta: found.meta,
            tag: found.tag,
            bytes,
            fault: found.fault,
        }))
    }
}

impl<C: Codec> Encoder<Bytes> for ServerEnd<C> {
    type Error = FrameError;

    /// Writes the bytes as they are.
    fn encode(&mut self, frame: Bytes, out: &mut BytesMut) -> Result<(), FrameError> {
        out.extend_from_slice(&frame);
        Ok(())
    }
}

impl<C: Codec> Encoder<Answered<'_, C::Tag>> for ServerEnd<C> {
    type Error = FrameError;

    /// Writes nothing if the request's sender does not listen.
    fn encode(
        &mut self,
        Answered { to, answer }: Answered<'_, C::Tag>,
        out: &mut BytesMut,
    ) -> Result<(), FrameError> {
        self.scratch.clear();
        let kept = self.codec.keep(&self.conn, &to.meta, &to.bytes, &mut self.scratch);
        let kept = kept.get(..Question::<C::Tag>::KEPT).unwrap_or(kept).to_vec();
        let question = Question::new(&to.meta, to.tag).kept(&kept);
        let mut frame = Vec::new();
        self.codec.answer(&mut self.conn, &question, &answer, &mut frame)?;
        out.extend_from_slice(&frame);
        Ok(())
    }
}
