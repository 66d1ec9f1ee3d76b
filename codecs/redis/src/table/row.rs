//! What the command table says about one command: a name, an arity, flags, where the keys are and
//! how several endpoints share it. Plain data, written by the generator and by hand.

/// One command or subcommand. Subcommands are named `container|sub`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Lower case, as redis-server prints it.
    pub(crate) name: &'static str,
    /// Arguments with the name: exactly, or at least if negative.
    pub(crate) arity: i16,
    /// Bits of [`flag`].
    pub(crate) flags: u16,
    /// Where the keys are.
    pub(crate) keys: &'static [Keys],
    /// The tip `request_policy`.
    pub(crate) request: Request,
    /// The tip `response_policy`.
    pub(crate) response: Response,
    /// Subcommands.
    pub(crate) subs: &'static [Row],
}

/// Flags that the codec reads.
pub(crate) mod flag {
    /// Does not change data.
    pub(crate) const READONLY: u16 = 1;
    /// May change data.
    pub(crate) const WRITE: u16 = 1 << 1;
    /// May wait by its own will.
    pub(crate) const BLOCKING: u16 = 1 << 2;
    /// Refused by the server inside of a transaction.
    pub(crate) const NO_MULTI: u16 = 1 << 3;
    /// For administrators.
    pub(crate) const ADMIN: u16 = 1 << 4;
    /// Publishes or subscribes.
    pub(crate) const PUBSUB: u16 = 1 << 5;
}

/// A group of keys among the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// From `begin` to `last` (relative to `begin`; negative: from the end), every `step`-th, of
    /// the remaining arguments only one `limit`-th where `limit` is above 1.
    Range { begin: Begin, last: i16, step: u8, limit: u8 },
    /// As many as the argument at `begin + count` says, from `begin + first`, every `step`-th.
    Count { begin: Begin, count: u8, first: u8, step: u8 },
    /// Cannot be told from the table.
    Unknown,
}

/// Where a group of keys begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// At this argument.
    At(u8),
    /// Behind this word, looked for from this argument (negative: backwards from the end).
    Word(&'static str, i8),
}

/// The tip `request_policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// No tip.
    None,
    /// `all_nodes`
    AllNodes,
    /// `all_shards`
    AllShards,
    /// `multi_shard`
    MultiShard,
    /// `special`
    Special,
}

/// The tip `response_policy`.
#[allow(dead_code, reason = "not every server's table has every policy")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    /// No tip.
    None,
    /// `one_succeeded`
    OneSucceeded,
    /// `all_succeeded`
    AllSucceeded,
    /// `agg_logical_and`
    And,
    /// `agg_logical_or`
    Or,
    /// `agg_min`
    Min,
    /// `agg_max`
    Max,
    /// `agg_sum`
    Sum,
    /// `special`
    Special,
}
