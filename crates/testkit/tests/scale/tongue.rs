//! A protocol as clients and servers of a random world speak it. What is said is always the same: a
//! word of [`Verb`] and a token that no other request has. Nothing here knows the engine.

use heptad_core::Codec;

/// What a client wants of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// The token, soon.
    Echo,
    /// The token, later.
    Slow,
    /// Nothing, for ever.
    Never,
    /// An error.
    Fail,
    /// The link is broken in place of a reply.
    Die,
    /// The link is broken in the middle of the reply.
    Torn,
    /// The token and many bytes.
    Big,
    /// The link ends politely after what was said before, in place of a reply.
    Leave,
    /// What is no reply at all.
    Garbage,
}

impl Verb {
    pub(crate) const ALL: [(Self, &'static str); 9] = [
        (Self::Echo, "GET"),
        (Self::Slow, "HGETALL"),
        (Self::Never, "TYPE"),
        (Self::Fail, "LLEN"),
        (Self::Die, "STRLEN"),
        (Self::Torn, "TTL"),
        (Self::Big, "SMEMBERS"),
        (Self::Leave, "HLEN"),
        (Self::Garbage, "ZCARD"),
    ];

    /// As it is written; the names are commands with one key, for the sake of one protocol.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(verb, _)| *verb == self).expect("every verb has a name").1
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(verb, _)| *verb)
    }
}

/// Bytes behind the token in the reply to [`Verb::Big`].
pub(crate) const BIG: usize = 3_000;

/// What a client heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// The id, where replies have one.
    pub(crate) id: Option<u64>,
    /// What was said, or why not.
    pub(crate) result: Result<String, String>,
}

/// What a server heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Do what the verb says.
    Call { id: u64, verb: Verb, token: String },
    /// The same without a reply.
    Oneway { token: String },
    /// Say this after so many milliseconds.
    Say(Vec<u8>, u64),
    /// Nothing is expected.
    Quiet,
}

/// What a request does to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Plain,
    /// A link is held, so that its loss takes the session with it.
    Holds,
    /// Nobody takes what it waits for but the client: it ends with the client's last word.
    Waits,
}

/// A request that is none of the verbs.
#[derive(Debug)]
pub(crate) struct Extra {
    pub(crate) bytes: Vec<u8>,
    /// The only good reply.
    pub(crate) says: String,
    pub(crate) sort: Sort,
}

/// A protocol.
pub(crate) trait Tongue: Default + 'static {
    type Codec: Codec;
    /// What a server remembers of a link.
    type Link: Default;

    const NAME: &'static str;
    /// Replies come in the order of the requests, and requests reach an endpoint in that order.
    const ORDERED: bool;
    /// Servers answer in order.
    const QUEUES: bool;
    /// The attribute that holds the token.
    const TOKEN: &'static str;
    /// Endpoints cannot be exchanged for one another.
    const KEYED: bool = false;

    fn call(id: u64, verb: Verb, token: &str) -> Vec<u8>;

    /// Without a reply, if there is such a thing.
    fn oneway(token: &str) -> Option<Vec<u8>> {
        let _ = token;
        None
    }

    /// Requests of the protocol's own, that belong together.
    fn extra(rng: &mut fastrand::Rng, token: &str) -> Vec<Extra> {
        let _ = (rng, token);
        Vec::new()
    }

    /// The next thing that a client hears, `None` in it if it means nothing, and its length.
    fn said(buf: &[u8]) -> Option<(Option<Said>, usize)>;

    /// The next thing that a server hears, and its length.
    fn asked(link: &mut Self::Link, buf: &[u8]) -> Option<(Asked, usize)>;

    /// A server's reply.
    fn answer(id: u64, result: Result<&str, &str>) -> Vec<u8>;

    /// What neither side may say.
    fn garbage() -> &'static [u8];
}
