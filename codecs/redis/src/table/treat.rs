//! What each command means for the connection it runs on, and for several endpoints.
//!
//! A command shares a link with other clients' only if it is listed here as one that leaves the
//! connection as it was; whatever is not listed gets a link for itself.

use super::row::{Request, Response, Row, flag};

/// What a command means for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Leaves the connection as it was: may share a link.
    Plain,
    /// Needs a link for itself, or is not known: may change the connection.
    Exchange,
    /// May wait; the time-out's place is given.
    Block(Wait),
    /// `PING`
    Ping,
    /// `AUTH`
    Auth,
    /// `HELLO`
    Hello,
    /// `QUIT`
    Quit,
    /// `RESET`
    Reset,
    /// `SELECT`
    Select,
    /// `MULTI`
    Multi,
    /// `EXEC`
    Exec,
    /// `DISCARD`
    Discard,
    /// `WATCH`
    Watch,
    /// `UNWATCH`
    Unwatch,
    /// `SUBSCRIBE`, `PSUBSCRIBE`, `SSUBSCRIBE`
    Subscribe(Family),
    /// Their opposites.
    Unsubscribe(Family),
    /// `MONITOR`
    Monitor,
    /// `CLIENT REPLY`
    Reply,
    /// `CLIENT SETNAME`
    SetName,
    /// `CLIENT SETINFO`
    SetInfo,
    /// Sets something on the connection that must hold for what follows, so that the session gets
    /// links of its own.
    Own(Sticky),
    /// `ACL WHOAMI`
    WhoAmI,
    /// `SCAN`
    Scan,
    /// `WAIT`, `WAITAOF`; the time-out's place is given.
    Wait(Wait),
    /// `REPLCONF`
    Replica,
    /// Turns the connection into something that is not requests and replies.
    Refused,
}

/// Where a command says how long it may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The last argument, in seconds.
    LastSeconds,
    /// The first argument, in seconds.
    FirstSeconds,
    /// The last argument, in milliseconds.
    LastMillis,
    /// Behind the word `BLOCK`, in milliseconds; without it there is no waiting.
    Block,
}

/// A kind of subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `SUBSCRIBE`
    Channel,
    /// `PSUBSCRIBE`
    Pattern,
    /// `SSUBSCRIBE`
    Shard,
}

/// What an `Own` command sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sticky {
    /// `CLIENT TRACKING`
    Tracking,
    /// `CLIENT NO-EVICT`
    NoEvict,
    /// `CLIENT NO-TOUCH`
    NoTouch,
    /// `READONLY`, `READWRITE`
    ReadOnly,
    /// `CLIENT CAPA`
    Capa,
    /// The one link matters, and nothing can be repeated elsewhere (`CLIENT ID`, `ASKING`).
    Link,
}

/// What several endpoints do with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    /// The endpoint of its keys, which must be one.
    Key,
    /// Each key's endpoint; the parts are merged.
    Split(Merge),
    /// All, merged.
    All(Merge),
    /// The first.
    Home,
    /// Any one.
    Any,
    /// The one that a cursor names.
    Cursor,
    /// Refused.
    Alone,
    /// Not known: the first argument is taken for the key.
    FirstArgument,
}

/// How replies of several endpoints become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merge {
    /// The first error, or else the first reply.
    AllOk,
    /// The first reply that is not an error, or else the first error.
    OneOk,
    /// The sum of numbers.
    Sum,
    /// The smallest number; of arrays element by element.
    Min,
    /// The largest number; of arrays element by element.
    Max,
    /// 1 where all say 1; of arrays element by element.
    And,
    /// 1 where any says 1; of arrays element by element.
    Or,
    /// All elements of all arrays.
    Concat,
    /// The first that is not null.
    NotNull,
    /// The values in the order of the keys.
    Values,
}

/// Classifies a row of the table.
pub(super) fn treat(row: &Row) -> (Act, Spread) {
    (act(row.name), spread(row))
}

/// Whether a command may touch keys that it does not name: rules on keys must not be passed by one.
pub(super) fn open(row: &Row) -> bool {
    let search = row.name.starts_with("ft.") && row.keys.is_empty();
    search || OPEN.contains(&row.name)
}

/// See [`open`]. Scripts reach keys that they did not declare.
const OPEN: &[&str] = &[
    "cluster|getkeysinslot",
    "debug",
    "eval",
    "eval_ro",
    "evalsha",
    "evalsha_ro",
    "failover",
    "fcall",
    "fcall_ro",
    "flushall",
    "flushdb",
    "keys",
    "module|load",
    "module|loadex",
    "monitor",
    "pfdebug",
    "psync",
    "randomkey",
    "replicaof",
    "scan",
    "slaveof",
    "swapdb",
    "sync",
];

fn act(name: &str) -> Act {
    match name {
        "ping" => Act::Ping,
        "auth" => Act::Auth,
        "hello" => Act::Hello,
        "quit" => Act::Quit,
        "reset" => Act::Reset,
        "select" => Act::Select,
        "multi" => Act::Multi,
        "exec" => Act::Exec,
        "discard" => Act::Discard,
        "watch" => Act::Watch,
        "unwatch" => Act::Unwatch,
        "subscribe" => Act::Subscribe(Family::Channel),
        "psubscribe" => Act::Subscribe(Family::Pattern),
        "ssubscribe" => Act::Subscribe(Family::Shard),
        "unsubscribe" => Act::Unsubscribe(Family::Channel),
        "punsubscribe" => Act::Unsubscribe(Family::Pattern),
        "sunsubscribe" => Act::Unsubscribe(Family::Shard),
        "monitor" => Act::Monitor,
        "client|reply" => Act::Reply,
        "client|setname" => Act::SetName,
        "client|setinfo" => Act::SetInfo,
        "client|tracking" => Act::Own(Sticky::Tracking),
        "client|no-evict" => Act::Own(Sticky::NoEvict),
        "client|no-touch" => Act::Own(Sticky::NoTouch),
        "client|capa" => Act::Own(Sticky::Capa),
        "client|id" | "client|caching" | "client|import-source" | "asking" | "script|debug" => {
            Act::Own(Sticky::Link)
        }
        "readonly" | "readwrite" => Act::Own(Sticky::ReadOnly),
        "acl|whoami" => Act::WhoAmI,
        "scan" => Act::Scan,
        "wait" | "waitaof" => Act::Wait(Wait::LastMillis),
        "blpop" | "brpop" | "blmove" | "brpoplpush" | "bzpopmin" | "bzpopmax" => {
            Act::Block(Wait::LastSeconds)
        }
        "blmpop" | "bzmpop" => Act::Block(Wait::FirstSeconds),
        "xread" | "xreadgroup" => Act::Block(Wait::Block),
        "sync" | "psync" => Act::Refused,
        "replconf" => Act::Replica,
        name if SHARED.binary_search(&name).is_ok() => Act::Plain,
        // The modules' commands are added by hand and work on their keys.
        name if name.contains('.') => Act::Plain,
        _ => Act::Exchange,
    }
}

fn spread(row: &Row) -> Spread {
    match row.name {
        "scan" => return Spread::Cursor,
        "ping" | "echo" => return Spread::Any,
        "mget" | "json.mget" if row.name == "mget" => return Spread::Split(Merge::Values),
        "randomkey" => return Spread::All(Merge::NotNull),
        "keys" | "slowlog|get" | "pubsub|shardchannels" => return Spread::All(Merge::Concat),
        "lastsave" => return Spread::All(Merge::Min),
        "acl|setuser" | "acl|deluser" | "acl|load" | "acl|save" | "bgrewriteaof" | "bgsave"
        | "client|pause" | "client|unpause" | "config|resetstat" | "config|rewrite"
        | "ft.alter" | "ft.create" | "save" | "swapdb" => return Spread::All(Merge::AllOk),
        "asking"
        | "client|caching"
        | "client|import-source"
        | "client|kill"
        | "client|unblock"
        | "debug"
        | "failover"
        | "module|load"
        | "module|loadex"
        | "module|unload"
        | "pfselftest"
        | "pubsub|shardnumsub"
        | "readonly"
        | "readwrite"
        | "replicaof"
        | "script|debug"
        | "shutdown"
        | "slaveof" => return Spread::Alone,
        name if name.starts_with("ft.") && row.keys.is_empty() => return Spread::Alone,
        name if name.starts_with("cluster|") && row.flags & flag::ADMIN != 0 => {
            return Spread::Alone;
        }
        _ => {}
    }
    let merge = match row.response {
        Response::None | Response::Special => None,
        Response::OneSucceeded => Some(Merge::OneOk),
        Response::AllSucceeded => Some(Merge::AllOk),
        Response::And => Some(Merge::And),
        Response::Or => Some(Merge::Or),
        Response::Min => Some(Merge::Min),
        Response::Max => Some(Merge::Max),
        Response::Sum => Some(Merge::Sum),
    };
    match (row.request, merge) {
        (Request::AllNodes | Request::AllShards, Some(merge)) => Spread::All(merge),
        (Request::MultiShard, Some(merge)) => Spread::Split(merge),
        _ if !row.keys.is_empty() => Spread::Key,
        // What tells about one server: always the same one.
        _ => Spread::Home,
    }
}

/// Every command and subcommand that leaves its connection as it was and does not wait by its own
/// will; sorted.
#[rustfmt::skip]
const SHARED: &[&str] = &[
    "acl|cat", "acl|deluser", "acl|dryrun", "acl|genpass", "acl|getuser", "acl|help", "acl|list",
    "acl|load", "acl|log", "acl|save", "acl|setuser", "acl|users",
    "append",
    "bgrewriteaof", "bgsave", "bitcount", "bitfield", "bitfield_ro", "bitop", "bitpos",
    "client|help", "client|list", "client|pause", "client|unblock", "client|unpause",
    "cluster|addslots", "cluster|addslotsrange", "cluster|bumpepoch",
    "cluster|count-failure-reports", "cluster|countkeysinslot", "cluster|delslots",
    "cluster|delslotsrange", "cluster|failover", "cluster|flushslots", "cluster|forget",
    "cluster|getkeysinslot", "cluster|help", "cluster|info", "cluster|keyslot", "cluster|links",
    "cluster|meet", "cluster|migration", "cluster|myid", "cluster|myshardid", "cluster|nodes",
    "cluster|replicas", "cluster|replicate", "cluster|reset", "cluster|saveconfig",
    "cluster|set-config-epoch", "cluster|setslot", "cluster|shards", "cluster|slaves",
    "cluster|slot-stats", "cluster|slots",
    "command", "command|count", "command|docs", "command|getkeys", "command|getkeysandflags",
    "command|help", "command|info", "command|list",
    "config|get", "config|help", "config|resetstat", "config|rewrite", "config|set",
    "copy",
    "dbsize", "decr", "decrby", "del", "delex", "delifeq", "digest", "dump",
    "echo", "eval", "eval_ro", "evalsha", "evalsha_ro", "exists", "expire", "expireat",
    "expiretime",
    "fcall", "fcall_ro", "flushall", "flushdb", "function|delete", "function|dump",
    "function|flush", "function|help", "function|kill", "function|list", "function|load",
    "function|restore", "function|stats",
    "geoadd", "geodist", "geohash", "geopos", "georadius", "georadius_ro", "georadiusbymember",
    "georadiusbymember_ro", "geosearch", "geosearchstore", "get", "getbit", "getdel", "getex",
    "getrange", "getset",
    "hdel", "hexists", "hexpire", "hexpireat", "hexpiretime", "hget", "hgetall", "hgetdel",
    "hgetex", "hincrby", "hincrbyfloat", "hkeys", "hlen", "hmget", "hmset", "hpersist", "hpexpire",
    "hpexpireat", "hpexpiretime", "hpttl", "hrandfield", "hscan", "hset", "hsetex", "hsetnx",
    "hstrlen", "httl", "hvals",
    "incr", "incrby", "incrbyfloat", "info",
    "keys",
    "lastsave", "latency|doctor", "latency|graph", "latency|help", "latency|histogram",
    "latency|history", "latency|latest", "latency|reset", "lcs", "lindex", "linsert", "llen",
    "lmove", "lmpop", "lolwut", "lpop", "lpos", "lpush", "lpushx", "lrange", "lrem", "lset",
    "ltrim",
    "memory|doctor", "memory|help", "memory|malloc-stats", "memory|purge", "memory|stats",
    "memory|usage", "mget", "migrate", "module|help", "module|list", "move", "mset", "msetex",
    "msetnx",
    "object|encoding", "object|freq", "object|help", "object|idletime", "object|refcount",
    "persist", "pexpire", "pexpireat", "pexpiretime", "pfadd", "pfcount", "pfdebug", "pfmerge",
    "pfselftest", "psetex", "pttl", "publish", "pubsub|channels", "pubsub|help", "pubsub|numpat",
    "pubsub|numsub", "pubsub|shardchannels", "pubsub|shardnumsub",
    "randomkey", "rename", "renamenx", "replicaof", "restore", "restore-asking", "role", "rpop",
    "rpoplpush", "rpush", "rpushx",
    "sadd", "save", "scard", "script|exists", "script|flush", "script|help", "script|kill",
    "script|load", "script|show", "sdiff", "sdiffstore", "set", "setbit", "setex", "setnx",
    "setrange", "sinter", "sintercard", "sinterstore", "sismember", "slaveof", "slowlog|get",
    "slowlog|help", "slowlog|len", "slowlog|reset", "smembers", "smismember", "smove", "sort",
    "sort_ro", "spop", "spublish", "srandmember", "srem", "sscan", "strlen", "substr", "sunion",
    "sunionstore", "swapdb",
    "time", "touch", "ttl", "type",
    "unlink",
    "vadd", "vcard", "vdim", "vemb", "vgetattr", "vinfo", "vismember", "vlinks", "vrandmember",
    "vrange", "vrem", "vsetattr", "vsim",
    "xack", "xackdel", "xadd", "xautoclaim", "xcfgset", "xclaim", "xdel", "xdelex",
    "xgroup|create", "xgroup|createconsumer", "xgroup|delconsumer", "xgroup|destroy",
    "xgroup|help", "xgroup|setid", "xinfo|consumers", "xinfo|groups", "xinfo|help",
    "xinfo|stream", "xlen", "xpending", "xrange", "xrevrange", "xsetid", "xtrim",
    "zadd", "zcard", "zcount", "zdiff", "zdiffstore", "zincrby", "zinter", "zintercard",
    "zinterstore", "zlexcount", "zmpop", "zmscore", "zpopmax", "zpopmin", "zrandmember", "zrange",
    "zrangebylex", "zrangebyscore", "zrangestore", "zrank", "zrem", "zremrangebylex",
    "zremrangebyrank", "zremrangebyscore", "zrevrange", "zrevrangebylex", "zrevrangebyscore",
    "zrevrank", "zscan", "zscore", "zunion", "zunionstore",
];

/// Commands that get a link for themselves for one exchange, each with its reason.
#[cfg(test)]
const ALONE_ON_A_LINK: &[(&str, &str)] = &[
    ("client|getname", "tells of the connection"),
    ("client|getredir", "tells of the connection"),
    ("client|info", "tells of the connection"),
    ("client|kill", "may close the connection"),
    ("client|trackinginfo", "tells of the connection"),
    ("debug", "may stop the server for seconds"),
    ("failover", "the server drops writers"),
    ("module|load", "a module may do anything"),
    ("module|loadex", "a module may do anything"),
    ("module|unload", "a module may do anything"),
    ("shutdown", "closes the connection without a reply"),
    // Containers without a subcommand, or with one that is not known.
    ("acl", "unknown subcommand"),
    ("client", "unknown subcommand"),
    ("cluster", "unknown subcommand"),
    ("config", "unknown subcommand"),
    ("function", "unknown subcommand"),
    ("latency", "unknown subcommand"),
    ("memory", "unknown subcommand"),
    ("module", "unknown subcommand"),
    ("object", "unknown subcommand"),
    ("pubsub", "unknown subcommand"),
    ("script", "unknown subcommand"),
    ("slowlog", "unknown subcommand"),
    ("xgroup", "unknown subcommand"),
    ("xinfo", "unknown subcommand"),
];

#[cfg(test)]
mod tests {
    use super::super::{generated, newer};
    use super::*;

    fn rows() -> impl Iterator<Item = &'static Row> {
        let with_subs = |r: &'static Row| std::iter::once(r).chain(r.subs);
        generated::ROWS
            .iter()
            .chain(newer::ROWS)
            .flat_map(with_subs)
            .chain(newer::SUBS.iter().flat_map(|(_, rows)| *rows))
    }

    #[test]
    fn every_command_has_been_judged() {
        assert!(SHARED.is_sorted(), "look-up is by halving");
        for row in rows() {
            let listed = SHARED.contains(&row.name) || row.name.contains('.');
            let alone = ALONE_ON_A_LINK.iter().any(|(name, _)| *name == row.name);
            match act(row.name) {
                Act::Plain => assert!(listed, "{} is shared but not listed", row.name),
                Act::Exchange => assert!(alone && !listed, "{} has no judgement", row.name),
                other => assert!(!listed && !alone, "{} is {other:?} and listed", row.name),
            }
            if row.flags & flag::BLOCKING != 0 {
                let waits = matches!(act(row.name), Act::Block(_) | Act::Wait(_));
                assert!(waits, "{} blocks", row.name);
            }
        }
        for name in SHARED {
            assert!(rows().any(|r| r.name == *name), "{name} is not in the table");
        }
    }

    #[test]
    fn no_command_that_changes_its_connection_is_plain() {
        for name in [
            "asking",
            "auth",
            "client|caching",
            "client|capa",
            "client|id",
            "client|no-evict",
            "client|no-touch",
            "client|reply",
            "client|setinfo",
            "client|setname",
            "client|tracking",
            "discard",
            "exec",
            "hello",
            "monitor",
            "multi",
            "psubscribe",
            "psync",
            "punsubscribe",
            "quit",
            "readonly",
            "readwrite",
            "replconf",
            "reset",
            "script|debug",
            "select",
            "ssubscribe",
            "subscribe",
            "sunsubscribe",
            "sync",
            "unsubscribe",
            "unwatch",
            "wait",
            "watch",
        ] {
            assert!(rows().any(|r| r.name == name) && act(name) != Act::Plain, "{name}");
        }
    }

    #[test]
    fn open_commands_are_in_the_table() {
        for name in OPEN {
            assert!(rows().any(|r| r.name == *name), "{name} is not in the table");
        }
    }

    #[test]
    fn policies_come_from_the_tips() {
        let of = |name: &str| rows().find(|r| r.name == name).map(spread);
        for (name, expect) in [
            ("get", Spread::Key),
            ("mget", Spread::Split(Merge::Values)),
            ("mset", Spread::Split(Merge::AllOk)),
            ("msetnx", Spread::Split(Merge::Min)),
            ("del", Spread::Split(Merge::Sum)),
            ("exists", Spread::Split(Merge::Sum)),
            ("touch", Spread::Split(Merge::Sum)),
            ("unlink", Spread::Split(Merge::Sum)),
            ("dbsize", Spread::All(Merge::Sum)),
            ("flushall", Spread::All(Merge::AllOk)),
            ("script|load", Spread::All(Merge::AllOk)),
            ("script|exists", Spread::All(Merge::And)),
            ("script|kill", Spread::All(Merge::OneOk)),
            ("function|load", Spread::All(Merge::AllOk)),
            ("wait", Spread::All(Merge::Min)),
            ("keys", Spread::All(Merge::Concat)),
            ("info", Spread::Home),
            ("function|stats", Spread::Home),
            ("publish", Spread::Home),
            ("spublish", Spread::Key),
            ("config|set", Spread::All(Merge::AllOk)),
            ("config|get", Spread::Home),
            ("scan", Spread::Cursor),
            ("debug", Spread::Alone),
            ("sinter", Spread::Key),
        ] {
            assert_eq!(of(name), Some(expect), "{name}");
        }
    }
}
