//! The plugin trait for a protocol, and what passes between a codec and the engine.

use std::fmt::Debug;

use crate::{
    Answer, Ctx, Fault, Flavour, Found, Meta, Options, OptionsError, Outcome, Part, PartReply,
    Reason, Rewrite, Side, Splice, Step, Template, Traits,
};

/// A wire protocol as the router needs to know it: where a frame ends, what it asks for, how to
/// rewrite it, and how to answer in the protocol's own words.
///
/// A codec is a value: built once from its options, cloned to each worker, immutable. All state of a
/// connection lives in [`Codec::Conn`]. Required are a name, `new`, `traits`, `open`, the two
/// decoders and `answer`; everything else has a default that suits a plain request/reply protocol.
///
/// No method may panic on any input, block, read a clock or draw randomness.
pub trait Codec: Clone + Send + Sync + Sized + 'static {
    /// The name in configuration, and in metrics and logs unless [`Codec::name`] has another one:
    /// lower case, one word.
    const NAME: &'static str;

    /// Whether requests can have headers at all. Unless told: yes. Where they cannot, filters'
    /// edits are dropped at once, and filters are told so that they need not make any.
    const HEADERS: bool = true;

    /// Options of a listener's `codec:` entry; [`NoOptions`](crate::NoOptions) if there are none.
    type Options: Options;
    /// Options of a cluster, under the codec's name (credentials, database, dialect).
    type Upstream: Options;
    /// State of one connection, session or link: version, database, login, resume point of a scan.
    type Conn: Send;
    /// What decoding a reply must remember of its request.
    type Tag: Copy + Default + PartialEq + Debug + Send;

    /// Builds the codec; the error is shown at the options in the configuration file.
    fn new(options: &Self::Options) -> Result<Self, OptionsError>;

    /// The `protocol` attribute. Only a codec that is many protocols, by its options, has another
    /// one than [`Codec::NAME`].
    fn name(&self) -> &str {
        Self::NAME
    }

    /// The protocol's fixed properties and defaults. Called once per engine.
    fn traits(&self) -> Traits;

    /// The state of a new connection. Links are opened for a flavour, see [`Codec::flavour`].
    fn open(&self, side: Side<'_, Self::Upstream>, flavour: Flavour) -> Self::Conn;

    /// Looks at the bytes a client sent, beginning at a frame's first byte.
    ///
    /// `buf` is never empty and never consumed: until this returns `Frame`, only a resume point may
    /// be saved in `conn`; it is not called again before `Need(n)` is met, and then with the same
    /// bytes and more. The same bytes must give the same frames however they are cut. A `Frame` may
    /// be decoded a second time (after a wait), so that other state of `conn` changes in
    /// [`Codec::accepted`] or [`Codec::settled`] only.
    ///
    /// An error is fatal: it is answered, and the connection closed.
    fn decode_request(
        &self,
        conn: &mut Self::Conn,
        cx: &Ctx,
        buf: &[u8],
    ) -> Result<Step<Self::Tag>, Fault>;

    /// Looks at the bytes an endpoint sent, as [`Codec::decode_request`]. `asked` tells what was
    /// asked. Here `conn` (the link's state) may change when a whole frame is returned: each reply
    /// frame is decoded exactly once. An error closes the link.
    fn decode_reply<A: Asked<Self::Tag>>(
        &self,
        conn: &mut Self::Conn,
        asked: &A,
        cx: &Ctx,
        buf: &[u8],
    ) -> Result<Step<()>, Fault>;

    /// Appends an answer of Heptad's own to `out`, in the dialect of `conn` and with the client's
    /// id. Also used to answer a heartbeat of an endpoint (`conn` is then a link's).
    ///
    /// Must not fail for `Pong` and `Error` unless the protocol has no way to say it; the
    /// connection is then closed.
    fn answer(
        &self,
        conn: &mut Self::Conn,
        to: &Question<'_, Self::Tag>,
        answer: &Answer<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault>;

    /// Whether a connection whose first bytes are these speaks the protocol, for listeners of
    /// several ones. Never `No` for the beginning of what may be a client's first frame, however it
    /// is cut; `Yes` as soon as it can be told. Unless told: what the decoder says of them.
    fn sniff(&self, bytes: &[u8]) -> Sniff {
        let ctx = Ctx::default().max_frame(self.traits().max_frame);
        let mut conn = self.open(Side::Session, Flavour::default());
        match self.decode_request(&mut conn, &ctx, bytes) {
            Err(_) => Sniff::No,
            // Who has been shown so much and still waits for more has recognized it.
            Ok(Step::Need(_)) if bytes.len() < Sniff::ENOUGH => Sniff::More,
            Ok(_) => Sniff::Yes,
        }
    }

    // ---- defaulted: reading ----
    //
    // All of these read a whole request. `conn` is the session's state, and `scratch`, which comes
    // empty, may be used to decode into. `Err(Unknown)`: it cannot be told.

    /// The `service` attribute. Whoever overrides one of these three does it to give the canonical
    /// spelling (upper-case command, method without its service prefix): two spellings that an
    /// endpoint takes for the same must give the same bytes, or rules that name it can be passed by.
    fn service<'a>(
        &'a self,
        conn: &'a Self::Conn,
        meta: &Meta,
        frame: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        let _ = (conn, scratch);
        Ok(meta.service.of(frame))
    }

    /// The `method` attribute.
    fn method<'a>(
        &'a self,
        conn: &'a Self::Conn,
        meta: &Meta,
        frame: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        let _ = (conn, scratch);
        Ok(meta.method.of(frame))
    }

    /// The `key` attribute, and what hashing balancers hash.
    fn key<'a>(
        &'a self,
        conn: &'a Self::Conn,
        meta: &Meta,
        frame: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        let _ = (conn, scratch);
        Ok(meta.key.of(frame))
    }

    /// The value of a header, read lazily. Of several with the name the one that an endpoint
    /// would take.
    fn header<'a>(
        &'a self,
        conn: &'a Self::Conn,
        meta: &Meta,
        frame: &'a [u8],
        name: &str,
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        let _ = (conn, meta, frame, name, scratch);
        Ok(None)
    }

    /// Calls `each` with the name and value of every header, in order, for people who look at a
    /// frame. `Err(Unknown)`: not all of them can be read.
    fn headers(
        &self,
        conn: &Self::Conn,
        meta: &Meta,
        frame: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), crate::Unknown> {
        let _ = (conn, meta, frame, each);
        Ok(())
    }

    /// The value of an argument: text as it is, an integer in decimal, truth as `true` or `false`;
    /// `Err(Unknown)` for whatever has no such form. The codec says what numbers mean.
    fn arg<'a>(
        &'a self,
        conn: &'a Self::Conn,
        meta: &Meta,
        frame: &'a [u8],
        number: u16,
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        let _ = (conn, meta, frame, number, scratch);
        Err(crate::Unknown)
    }

    /// How long the client says that it waits, in milliseconds. Asked only where a route lets
    /// clients shorten its time-out.
    fn timeout(&self, conn: &Self::Conn, meta: &Meta, frame: &[u8]) -> Option<u32> {
        let _ = (conn, meta, frame);
        None
    }

    /// What an answer of Heptad's own must repeat of the request besides its id (a method's name),
    /// because the request is gone by then: kept with the request and given back as
    /// [`Question::kept`]. What is longer than [`Question::KEPT`] bytes is cut. For a rejected frame
    /// `frame` is what has come of it.
    fn keep<'a>(
        &'a self,
        conn: &'a Self::Conn,
        meta: &Meta,
        frame: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        let _ = (conn, meta, frame, scratch);
        &[]
    }

    /// The name of the error code of a reply (`WRONGTYPE`, `UNKNOWN_METHOD`); at most 64 bytes,
    /// interned with a bound by the engine. `None` for replies without one.
    fn code_name<'a>(&'a self, meta: &Meta, frame: &'a [u8]) -> Option<&'a str> {
        let _ = (meta, frame);
        None
    }

    /// Where an error reply says that the request should go instead (`MOVED`, `ASK`). Asked only for
    /// clusters whose keys live in slots that may move; the request is then sent again, a bounded
    /// number of times, and the client does not see this reply.
    fn redirect<'a>(&self, meta: &Meta, frame: &'a [u8]) -> Option<Redirect<'a>> {
        let _ = (meta, frame);
        None
    }

    // ---- defaulted: writing ----

    /// Writes the frame with a new id, with header edits, or for one part of a fan-out. `from` and
    /// `to` are the states of the connection it came on and of the one it is written to, `tag` is
    /// that of the request. An error is answered in its place.
    ///
    /// The default keeps the frame as it is: right for protocols in order and without headers.
    fn rewrite(
        &self,
        from: &Self::Conn,
        to: &Self::Conn,
        meta: &Meta,
        tag: Self::Tag,
        edit: &Rewrite<'_>,
        out: &mut Splice<'_>,
    ) -> Result<(), Fault> {
        let _ = (from, to, meta, tag, edit);
        out.keep_all();
        Ok(())
    }

    /// What other frames have in common with this one, so that they need not be decoded. `from` and
    /// `to` are the connections it came on and was written to. Asked for requests of one endpoint and
    /// for their good replies, where ids pair them.
    ///
    /// A frame that the template matches is one that `decode_request` or `decode_reply` would give
    /// with the same meta, but for the id, the length and a head that is the whole frame, and with the
    /// same tag, whatever is behind the head; that has the same service, method, kept words and
    /// flavour; that changes nothing when it is decoded, nor when it is accepted, which is
    /// [`Accepted::Forward`]; and of which `rewrite` with another id and no header edits makes the
    /// same bytes, but for the id. All of that as long as nothing else has come on `from`, and on a
    /// `to` that has not changed. What is read of a reply must not depend on the request's tag.
    fn template(
        &self,
        from: &Self::Conn,
        to: &Self::Conn,
        meta: &Meta,
        tag: Self::Tag,
        frame: &[u8],
    ) -> Option<Template> {
        let _ = (from, to, meta, tag, frame);
        None
    }

    // ---- defaulted: the session's state ----

    /// Filters and routing have passed and the frame is about to be sent: the session's state may
    /// change now. Not called for refused frames, nor for `Ping` and stream frames after `Open`.
    fn accepted(
        &self,
        conn: &mut Self::Conn,
        meta: &Meta,
        tag: Self::Tag,
        frame: &[u8],
    ) -> Accepted {
        let _ = (conn, meta, tag, frame);
        Accepted::Forward
    }

    /// The reply to a `Login` or `Control` frame, or to one whose `bind` is not `Shared`, has come
    /// and is about to be written to the session.
    fn settled(&self, conn: &mut Self::Conn, tag: Self::Tag, reply: &Meta, frame: &[u8]) {
        let _ = (conn, tag, reply, frame);
    }

    /// Who the session proved to be; read after a `Login` or `Control` frame settled.
    fn principal<'a>(&self, conn: &'a Self::Conn) -> Option<&'a str> {
        let _ = conn;
        None
    }

    /// Which flavour of shared link the frame needs (protocol version and database, say). Links of
    /// different flavours never mix.
    fn flavour(&self, conn: &Self::Conn, meta: &Meta) -> Flavour {
        let _ = (conn, meta);
        Flavour::default()
    }

    // ---- defaulted: the link's state ----

    /// Prepares a new link: called once with `None` when it is connected, then with each frame the
    /// endpoint sends, until it returns `Ready`. Whatever is appended to `out` is sent. An error
    /// closes the link and fails what waits for it with `connect_failed`/`greeting`.
    fn greet(
        &self,
        conn: &mut Self::Conn,
        heard: Option<(&Meta, &[u8])>,
        out: &mut Vec<u8>,
    ) -> Result<Greet, Fault> {
        let _ = (conn, heard, out);
        Ok(Greet::Ready)
    }

    /// Bytes ahead of a frame that goes over a link of the session's own (any `bind` but
    /// `Shared`), to bring the link to the session's state.
    fn prelude(
        &self,
        session: &mut Self::Conn,
        link: &mut Self::Conn,
        meta: &Meta,
        tag: Self::Tag,
        out: &mut Vec<u8>,
    ) -> Prelude {
        let _ = (session, link, meta, tag, out);
        Prelude::NONE
    }

    /// Whether a link that was used by one session alone may be used by another. If not, it is
    /// closed when released.
    fn reusable(&self, link: &Self::Conn) -> bool {
        let _ = link;
        true
    }

    /// Appends a heartbeat with this id; `false` if the protocol has none. Its reply is a `Pong`
    /// or a `Reply`.
    fn ping(&self, conn: &mut Self::Conn, id: u64, out: &mut Vec<u8>) -> bool {
        let _ = (conn, id, out);
        false
    }

    /// The client of this open request is gone or no longer waits: appends whatever tells the
    /// endpoint so. `false` if the protocol cannot say it. The id stays in use until the endpoint
    /// has answered all the same.
    fn abandon(&self, conn: &mut Self::Conn, id: u64, tag: Self::Tag, out: &mut Vec<u8>) -> bool {
        let _ = (conn, id, tag, out);
        false
    }

    /// Appends the protocol's request to go elsewhere, on a session that will be closed once idle;
    /// `false` if the protocol has none.
    fn drain(&self, conn: &mut Self::Conn, out: &mut Vec<u8>) -> bool {
        let _ = (conn, out);
        false
    }

    // ---- defaulted: fan-out ----

    /// Lists every key of a frame, in order. `Err(Unknown)` if it may touch others than those: rules
    /// on keys must not be passed by.
    fn keys(
        &self,
        conn: &Self::Conn,
        meta: &Meta,
        tag: Self::Tag,
        frame: &[u8],
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(), crate::Unknown> {
        let _ = tag;
        if let Some(key) = self.key(conn, meta, frame, &mut Vec::new())? {
            each(key);
        }
        Ok(())
    }

    /// Appends the request for the chosen keys of a `Split` frame.
    fn split(
        &self,
        meta: &Meta,
        tag: Self::Tag,
        frame: &[u8],
        part: &Part<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let _ = (meta, tag, part);
        out.extend_from_slice(frame);
        Ok(())
    }

    /// Merges the replies to the parts of a `Split` or `All` frame (more than one part) into one
    /// reply for the session, and says how the request ended.
    fn join(
        &self,
        conn: &mut Self::Conn,
        to: &Question<'_, Self::Tag>,
        parts: &[PartReply<'_>],
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Fault> {
        let _ = (conn, to, parts, out);
        Err(Fault::new(Outcome::BadRequest, Reason::Unsupported, "cannot be merged"))
    }

    /// The endpoint, of `of` endpoints, of a frame whose fan-out is `Index`.
    fn index(&self, meta: &Meta, tag: Self::Tag, frame: &[u8], of: usize) -> usize {
        let _ = (meta, tag, frame, of);
        0
    }
}

/// What a codec says of a connection's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sniff {
    /// It is the protocol.
    Yes,
    /// It is another one, or none.
    No,
    /// It cannot be told yet.
    More,
}

impl Sniff {
    /// Bytes that a decoder must have seen to be believed when it waits for more.
    pub const ENOUGH: usize = 16;
}

/// What was asked on a link.
pub trait Asked<T> {
    /// The tag of the request with this id; for protocols in order (pass 0) of the oldest one
    /// without its reply. `None` if nothing is outstanding there. During `greet`, and for the
    /// replies to a prelude, the default tag.
    fn tag(&self, id: u64) -> Option<T>;
}

/// The request that an answer is for. Its bytes are gone.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Question<'a, T> {
    /// What the decoder found; `meta.id` is the client's id. Spans point into bytes that are gone.
    pub meta: &'a Meta,
    /// The decoder's tag.
    pub tag: T,
    /// What [`Codec::keep`] wanted kept of it.
    pub kept: &'a [u8],
}

impl<'a, T> Question<'a, T> {
    /// Most bytes of a request that are kept, and only while it is in flight.
    pub const KEPT: usize = 1024;

    /// The question that `meta` and `tag` describe.
    pub const fn new(meta: &'a Meta, tag: T) -> Self {
        Self { meta, tag, kept: &[] }
    }

    /// Sets [`Question::kept`].
    pub const fn kept(mut self, bytes: &'a [u8]) -> Self {
        self.kept = bytes;
        self
    }
}

/// What becomes of a frame that passed the filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accepted {
    /// It is sent to an endpoint.
    #[default]
    Forward,
    /// The codec answers itself: the engine calls `answer` with [`Answer::Local`]. Nothing written
    /// means silence.
    Local,
    /// As `Local`, and the session is closed after everything was written.
    LocalClose,
}

/// Where a request should go instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redirect<'a> {
    /// `host:port`, known already or not.
    pub address: &'a str,
    /// The slot that lives there from now on; `None` if this is for one request only.
    pub slot: Option<u16>,
    /// Bytes that must go right ahead of the request, and how many replies to them to swallow.
    pub ahead: (&'static [u8], u32),
}

impl<'a> Redirect<'a> {
    /// The slot has moved for good.
    pub const fn moved(address: &'a str, slot: u16) -> Self {
        Self { address, slot: Some(slot), ahead: (&[], 0) }
    }

    /// For this request only, which must follow these bytes.
    pub const fn once(address: &'a str, ahead: (&'static [u8], u32)) -> Self {
        Self { address, slot: None, ahead }
    }
}

/// What was written ahead of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prelude {
    /// How many replies to swallow.
    pub replies: u32,
    /// Whether the frame must wait for them. Costs a round trip; needed where an endpoint treats a
    /// frame differently if others are in front of it.
    pub wait: bool,
}

impl Prelude {
    /// Nothing.
    pub const NONE: Self = Self { replies: 0, wait: false };

    /// Something with this many replies.
    pub const fn new(replies: u32, wait: bool) -> Self {
        Self { replies, wait }
    }
}

/// How far the preparation of a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Greet {
    /// The link may carry requests.
    Ready,
    /// The endpoint must say something first.
    Wait,
}
