//! What is remembered of a request until its reply: what it asks of the connection, in a few bytes.

use crate::table::Family;

/// What decoding and answering must remember of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tag {
    pub(crate) ask: Ask,
    /// Decoded between `MULTI` and `EXEC`: if it is refused, so is the transaction.
    pub(crate) queued: bool,
    /// The command that `CLIENT REPLY SKIP` silences.
    pub(crate) skip: bool,
}

/// What a request asks of the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Nothing: request and reply.
    #[default]
    Plain,
    /// Answered by Heptad.
    Say(Say),
    /// Kept until the transaction has a key; answered by Heptad.
    Defer,
    /// To be queued by the server.
    Queue,
    Select,
    /// The version; the user that it logs in as; whether it has credentials to be cut out.
    Hello {
        resp3: bool,
        user: Option<u16>,
        cut: bool,
    },
    SetName,
    SetInfo,
    /// A command that is repeated on other links, and its place.
    Sticky(u8),
    /// The link must not be used by others afterwards.
    Spend,
    /// The same, and the session keeps it.
    Taint,
    Multi,
    /// `effects`: queued commands change the connection. `keep`: the link stays held.
    Exec {
        effects: bool,
        keep: bool,
    },
    Discard {
        keep: bool,
    },
    /// Whether it is the first.
    Watch(bool),
    Unwatch {
        keep: bool,
    },
    /// `lane`: over a link besides the others.
    Subscribe {
        family: Family,
        names: u32,
        named: bool,
    },
    Unsubscribe {
        family: Family,
        names: u32,
        named: bool,
        keep: bool,
    },
    Monitor,
    /// `named`: as of subscriptions. `per_endpoint`: of links at each endpoint.
    Reset(Lanes),
    Scan,
    Wait,
    Login(u16),
    Replies(Mode),
}

/// The argument of `CLIENT REPLY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    On,
    Off,
    Skip,
}

/// Which link a `RESET` is sent over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lanes {
    /// None: answered by Heptad.
    None,
    One,
    Named,
    PerEndpoint,
    /// More than one: answered, and the connection closed, which frees them all.
    Several,
}

/// What Heptad says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    Ok,
    /// `+OK`, and the connection is closed.
    Bye,
    /// `MULTI` is answered here.
    Begin,
    /// `EXEC` of nothing.
    Empty,
    /// `EXEC` of a transaction with a refused command.
    Abort,
    /// `DISCARD` of what no server knows of.
    Discarded,
    /// The name of the user.
    WhoAmI,
    /// A whole error line without its `-`.
    Error(&'static str),
    /// The same, in a transaction, which it spoils.
    Spoil(&'static str),
}
