//! Every key of the file, with its form, its default and what it does.
//!
//! The check, its messages and the JSON schema are made from this table, so they cannot disagree
//! about what keys there are. The [reader](crate::read) gives the defaults their values.

use heptad_cluster::HashFunction;
use heptad_core::Outcome;

use crate::shape::{
    Also, Exact, KeyRule,
    Need::{self, Absent, Default, Required},
    Record, Shape,
};

const fn key(key: &'static str, shape: &'static Shape, need: Need, doc: &'static str) -> KeyRule {
    KeyRule { key, shape, need, doc }
}

const fn record(what: &'static str, keys: &'static [KeyRule], also: Also) -> Record {
    Record { what, keys, also }
}

/// A count, a weight.
const MANY: i64 = 1 << 24;
/// Bytes.
const HUGE: u64 = 1 << 40;

static TEXT: Shape = Shape::Text;
static NAME: Shape = Shape::Name;
static BOOL: Shape = Shape::Bool;
static ATTRIBUTE: Shape = Shape::Attribute;
static COUNT: Shape = Shape::Whole(1, MANY);
static WEIGHT: Shape = Shape::Whole(0, 1_000_000);
static TIME: Shape = Shape::Duration { off: false };
static TIME_OR_OFF: Shape = Shape::Duration { off: true };
static FRAME_BYTES: Shape = Shape::Size(64, u32::MAX as u64);
static BYTES: Shape = Shape::Size(1, HUGE);

pub(crate) static ROOT: Record = record(
    "the file",
    &[
        key(
            "workers",
            &Shape::Whole(1, 1024),
            Absent("one per core"),
            "How many worker threads there are.",
        ),
        key(
            "moderation",
            &BOOL,
            Default("false"),
            "Whether workers that idle much pause for about 0.1 ms where requests come together in it.",
        ),
        key(
            "admin",
            &Shape::Record(&ADMIN),
            Absent("no admin server"),
            "The admin server: metrics, health, this file and clusters.",
        ),
        key("log", &Shape::Record(&LOG), Default("{}"), "What is logged, to standard error."),
        key(
            "listeners",
            &Shape::List(&Shape::Record(&LISTENER), 1),
            Required,
            "Where clients connect.",
        ),
        key(
            "clusters",
            &Shape::List(&Shape::Record(&CLUSTER), 0),
            Default("[]"),
            "Where requests go.",
        ),
    ],
    Also::Nothing,
);

static ADMIN: Record = record(
    "the admin server",
    &[
        key(
            "listen",
            &Shape::Address { listen: true },
            Default("127.0.0.1:9901"),
            "Its ip:port; a loopback address unless `public` is true.",
        ),
        key(
            "public",
            &BOOL,
            Default("false"),
            "Whether it may listen on other addresses than loopback ones. It asks nobody for a \
             password.",
        ),
        key(
            "tap",
            &Shape::Word(|| vec!["off", "redacted", "full"]),
            Default("off"),
            "What `heptad tap` and `heptad record` may see: nothing, requests without their bytes, \
             or all of them.",
        ),
    ],
    Also::Nothing,
);

static LOG: Record = record(
    "logs",
    &[key(
        "level",
        &Shape::Word(|| vec!["off", "error", "warn", "info", "debug", "trace"]),
        Default("info"),
        "The least severe level that is logged.",
    )],
    Also::Nothing,
);

static LISTENER: Record = record(
    "a listener",
    &[
        key("name", &NAME, Required, "Unique; a label of metrics."),
        key("listen", &Shape::Address { listen: true }, Required, "ip:port or unix:/path."),
        key(
            "codec",
            &Shape::Codec,
            Required,
            "The protocol: its name, or a mapping from its name to its options.",
        ),
        key(
            "filters",
            &Shape::List(&Shape::Filter, 0),
            Default("[]"),
            "Policies that each request passes, in order.",
        ),
        key(
            "routes",
            &Shape::List(&Shape::Record(&ROUTE), 1),
            Required,
            "The first one that matches a request wins.",
        ),
        key("limits", &Shape::Record(&LIMITS), Default("{}"), "What one listener spends at most."),
        key(
            "idle_timeout",
            &TIME_OR_OFF,
            Default("off"),
            "A session without a request for this time is closed.",
        ),
        key(
            "drain_timeout",
            &TIME,
            Default("30s"),
            "How long requests in flight are waited for when the listener stops.",
        ),
    ],
    Also::Nothing,
);

static LIMITS: Record = record(
    "limits",
    &[
        key("max_frame", &FRAME_BYTES, Absent("the codec's own"), "Longest frame."),
        key(
            "max_head",
            &FRAME_BYTES,
            Default("64KiB"),
            "Most bytes that are looked at to find what a frame asks for.",
        ),
        key(
            "max_parts",
            &COUNT,
            Default("1048576"),
            "Most elements, arguments or headers of a frame.",
        ),
        key("max_depth", &Shape::Whole(1, 1024), Default("64"), "Deepest nesting of a frame."),
        key(
            "in_flight",
            &COUNT,
            Default("1024"),
            "Requests in flight of one session; it is not read from beyond.",
        ),
        key(
            "sessions",
            &COUNT,
            Default("65536"),
            "Sessions of a worker; further connections are closed at once.",
        ),
        key(
            "soft_mark",
            &BYTES,
            Default("256KiB"),
            "A session with more unread reply bytes than this is not read from.",
        ),
        key(
            "hard_mark",
            &BYTES,
            Default("8MiB"),
            "A session with more unread reply bytes than this is closed.",
        ),
        key(
            "buffered",
            &BYTES,
            Default("512MiB"),
            "Unfinished frames and waiting requests of all sessions of a worker.",
        ),
        key(
            "queue",
            &COUNT,
            Default("1024"),
            "Requests waiting for a link, per endpoint and worker.",
        ),
    ],
    Also::Nothing,
);

static ROUTE: Record = record(
    "a route",
    &[
        key("name", &NAME, Required, "Unique in its listener; a label of metrics."),
        key(
            "match",
            &MATCH,
            Absent("every request"),
            "Which requests it is for; all keys must match.",
        ),
        key(
            "to",
            &Shape::Either(
                &[Shape::Name, Shape::Table("cluster", &WEIGHT)],
                "the name of a cluster, or a mapping from clusters to weights",
            ),
            Absent("`answer` says what happens"),
            "The cluster that requests go to, or several with their weights.",
        ),
        key(
            "answer",
            &Shape::Record(&ANSWER),
            Absent("requests go `to` a cluster"),
            "Answers requests without asking anybody.",
        ),
        key("timeout", &TIME_OR_OFF, Default("15s"), "How long a client waits for its reply."),
        key(
            "client_timeout",
            &BOOL,
            Default("false"),
            "Lets a time-out that the request carries (Dubbo's attachment `timeout`, THeader's \
             `client_timeout`) shorten `timeout`.",
        ),
        key(
            "mirror",
            &Shape::Either(
                &[Shape::Name, Shape::Record(&MIRROR)],
                "the name of a cluster, or a mapping with `to`",
            ),
            Absent("nothing is copied"),
            "Sends copies of requests to another cluster; nobody waits for their replies.",
        ),
        key(
            "request_headers",
            &Shape::Record(&HEADERS),
            Default("{}"),
            "Edits of request headers.",
        ),
        key("response_headers", &Shape::Record(&HEADERS), Default("{}"), "Edits of reply headers."),
        key(
            "hash_on",
            &ATTRIBUTE,
            Absent("the key for balancers, chance for weights"),
            "The attribute that decides among weighted clusters and feeds hashing balancers, so \
             that equal values go the same way.",
        ),
    ],
    Also::OneOf(&["to", "answer"], None),
);

static MIRROR: Record = record(
    "a mirror",
    &[
        key("to", &Shape::Name, Required, "The cluster that copies go to."),
        key("percent", &Shape::Whole(1, 100), Default("100"), "How many of a hundred are copied."),
        key(
            "compare",
            &Shape::Word(|| vec!["none", "outcome", "bytes"]),
            Default("none"),
            "What is done with a copy's reply: nothing, or its outcome and code, or its bytes too, \
             are compared with the original's and counted.",
        ),
    ],
    Also::Nothing,
);

static ANSWER: Record = record(
    "an answer",
    &[
        key(
            "ok",
            &Shape::Line(0, 512),
            Absent("`error` says what is answered"),
            "Text of a successful reply.",
        ),
        key(
            "error",
            &Shape::Line(0, 512),
            Absent("`ok` says what is answered"),
            "Text of an error.",
        ),
        key("outcome", &Shape::Word(refusals), Default("denied"), "The kind of error."),
    ],
    Also::OneOf(&["ok", "error"], Some(["outcome", "error"])),
);

fn refusals() -> Vec<&'static str> {
    let own = |o: &&Outcome| !matches!(o, Outcome::Ok | Outcome::AppError);
    Outcome::ALL.iter().filter(own).map(|o| o.as_str()).collect()
}

static HEADERS: Record = record(
    "header edits",
    &[
        key(
            "set",
            &Shape::Table("header", &HEADER_VALUE),
            Default("{}"),
            "Replaces all headers of the name by one.",
        ),
        key(
            "add",
            &Shape::Table("header", &HEADER_VALUE),
            Default("{}"),
            "Adds a header, whatever is there.",
        ),
        key(
            "remove",
            &Shape::List(&Shape::Line(1, 1024), 0),
            Default("[]"),
            "Removes all headers of the name. Removals come first, then `set`, then `add`.",
        ),
    ],
    Also::Nothing,
);

static HEADER_VALUE: Shape = Shape::Line(0, 8192);

/// The keys of a match; only filters know which route and cluster were found.
macro_rules! matches {
    ($shape:ident, $keys:ident, $what:literal, $($routed:expr),*) => {
        pub(crate) static $shape: Shape = Shape::Record(&$keys);

        static $keys: Record = record(
            $what,
            &[
                key("service", &TEXT_MATCH, Absent("any"), "The service."),
                key("method", &TEXT_MATCH, Absent("any"), "The method or command."),
                key("key", &TEXT_MATCH, Absent("any"), "The first key."),
                key("header.<name>", &TEXT_MATCH, Absent("any"), "A header."),
                key(
                    "arg.<number>",
                    &TEXT_MATCH,
                    Absent("any"),
                    "An argument: Dubbo's and Redis's by place from 0, Thrift's by the field's id.",
                ),
                key("protocol", &TEXT_MATCH, Absent("any"), "The codec's name."),
                key("listener", &TEXT_MATCH, Absent("any"), "The listener's name."),
                key(
                    "source.ip",
                    &IP_MATCH,
                    Absent("any"),
                    "The client's address: an address or a network.",
                ),
                key("source.port", &PORT_MATCH, Absent("any"), "The client's port."),
                key(
                    "source.principal",
                    &TEXT_MATCH,
                    Absent("any"),
                    "Who the client proved to be.",
                ),
                key("destination.port", &PORT_MATCH, Absent("any"), "The listener's port."),
                $($routed,)*
                key("not", &$shape, Absent("nothing"), "Must not match."),
                key("any", &Shape::List(&$shape, 1), Absent("nothing"), "At least one must match."),
                key("all", &Shape::List(&$shape, 1), Absent("nothing"), "Every one must match."),
            ],
            Also::Nothing,
        );
    };
}

matches!(MATCH, MATCH_KEYS, "a match",);
matches!(
    FILTER_MATCH,
    FILTER_MATCH_KEYS,
    "a match of a filter",
    key("route", &TEXT_MATCH, Absent("any"), "The name of the route that was found."),
    key("cluster", &TEXT_MATCH, Absent("any"), "The name of the cluster that was chosen.")
);

macro_rules! text_match {
    ($shape:ident, $words:ident, $what:literal, $exact:expr, $expected:literal, $($range:expr)?) => {
        static $shape: Shape =
            Shape::Either(&[Shape::Exact($exact), Shape::Record(&$words)], $expected);

        static $words: Record = record(
            $what,
            &[
                key("prefix", &TEXT, Absent("anything"), "Begins with this."),
                key("suffix", &TEXT, Absent("anything"), "Ends with this."),
                key("contains", &TEXT, Absent("anything"), "Has this in it."),
                key(
                    "regex",
                    &Shape::Regex,
                    Absent("anything"),
                    "A regular expression that matches the whole value.",
                ),
                $(key(
                    "range",
                    $range,
                    Absent("anything"),
                    "A whole number from the first to the second, both included.",
                ),)?
                key(
                    "present",
                    &BOOL,
                    Absent("either"),
                    "Whether there is a value at all.",
                ),
                key("not", &$shape, Absent("anything"), "Must not match."),
                key(
                    "any",
                    &Shape::List(&$shape, 1),
                    Absent("anything"),
                    "At least one must match.",
                ),
                key(
                    "all",
                    &Shape::List(&$shape, 1),
                    Absent("anything"),
                    "Every one must match.",
                ),
            ],
            Also::Some,
        );
    };
}

text_match!(
    TEXT_MATCH,
    TEXT_WORDS,
    "a match of text",
    Exact::Text,
    "a value, or a mapping like `{ prefix: … }`",
    &Shape::Range
);
text_match!(
    PORT_MATCH,
    PORT_WORDS,
    "a match of a port",
    Exact::Port,
    "a port, or a mapping like `{ range: [1024, 65535] }`",
    &Shape::Range
);
text_match!(
    IP_MATCH,
    IP_WORDS,
    "a match of an address",
    Exact::Ip,
    "an address or a network, or a mapping like `{ not: 10.0.0.0/8 }`",
);

pub(crate) static CLUSTER: Record = record(
    "a cluster",
    &[
        key("name", &NAME, Required, "Unique; a label of metrics."),
        key(
            "endpoints",
            &Shape::List(
                &Shape::Either(
                    &[Shape::Address { listen: false }, Shape::Record(&ENDPOINT)],
                    "an address, or a mapping with `address`",
                ),
                1,
            ),
            Required,
            "Its servers.",
        ),
        key(
            "balance",
            &Shape::Either(
                &[Shape::Word(balances), Shape::Record(&BALANCE)],
                "a word, or a mapping like `{ ring: { failover: true } }`",
            ),
            Default("round_robin"),
            "How an endpoint is chosen.",
        ),
        key(
            "hash",
            &Shape::Record(&HASH),
            Default("{}"),
            "How keys are hashed, where a key decides. With `slots` it is always the slot's.",
        ),
        key("links", &Shape::Record(&LINKS), Default("{}"), "Connections to its endpoints."),
        key(
            "connect_timeout",
            &TIME,
            Default("3s"),
            "How long connecting and logging in may take together.",
        ),
    ],
    Also::Upstreams,
);

fn balances() -> Vec<&'static str> {
    vec!["round_robin", "random", "least_request", "ring", "maglev", "modula", "slots"]
}

static ENDPOINT: Record = record(
    "an endpoint",
    &[
        key(
            "address",
            &Shape::Address { listen: false },
            Required,
            "ip:port, host:port or unix:/path.",
        ),
        key("weight", &WEIGHT, Default("1"), "Its share, relative to the other endpoints."),
        key(
            "name",
            &Shape::Line(1, 255),
            Absent("the address"),
            "What consistent hashing hashes, so that the address may change.",
        ),
        key(
            "slots",
            &Shape::List(&Shape::Slots, 0),
            Default("[]"),
            "Redis slots that live here, for `balance: slots`.",
        ),
    ],
    Also::Nothing,
);

static BALANCE: Record = record(
    "a way to balance",
    &[
        key(
            "ring",
            &Shape::Record(&RING),
            Absent("another way"),
            "Ketama, as twemproxy lays it out.",
        ),
        key(
            "modula",
            &Shape::Record(&MODULA),
            Absent("another way"),
            "Hash modulo the sum of weights.",
        ),
        key(
            "maglev",
            &Shape::Record(&MAGLEV),
            Absent("another way"),
            "More even than the ring, and a quicker look-up; agrees with no other program.",
        ),
    ],
    Also::OneOf(&["ring", "modula", "maglev"], None),
);

static RING: Record = record(
    "a ring",
    &[key(
        "failover",
        &BOOL,
        Default("false"),
        "Whether the keys of an unusable endpoint go to the next one.",
    )],
    Also::Nothing,
);

static MODULA: Record = record(
    "modula",
    &[key(
        "order",
        &Shape::Word(|| vec!["identity", "listed"]),
        Default("identity"),
        "In which order endpoints are counted: `identity` is twemproxy's, `listed` predixy's.",
    )],
    Also::Nothing,
);

static MAGLEV: Record = record(
    "maglev",
    &[
        key(
            "table_size",
            &Shape::Whole(2, 5_000_011),
            Default("65537"),
            "Places in the table: a prime, best a hundred times the endpoints.",
        ),
        key(
            "failover",
            &BOOL,
            Default("false"),
            "Whether the keys of an unusable endpoint go to others.",
        ),
    ],
    Also::Nothing,
);

static HASH: Record = record(
    "a key hash",
    &[
        key(
            "function",
            &Shape::Word(|| HashFunction::ALL.iter().map(|f| f.as_str()).collect()),
            Default("fnv1a_64"),
            "The hash function.",
        ),
        key(
            "tag",
            &Shape::Tag,
            Absent("the whole key"),
            "Two characters, like `\"{}\"`: only what is between them in a key is hashed.",
        ),
    ],
    Also::Nothing,
);

static LINKS: Record = record(
    "links",
    &[
        key(
            "per_endpoint",
            &Shape::Whole(1, 1024),
            Default("2"),
            "Shared links per endpoint and worker.",
        ),
        key(
            "max_in_flight",
            &COUNT,
            Default("1024"),
            "Most requests in flight on a shared link; further ones wait.",
        ),
        key(
            "share",
            &BOOL,
            Absent("the codec's own"),
            "Whether calls of several sessions share links.",
        ),
        key(
            "max",
            &COUNT,
            Default("1024"),
            "Most links per endpoint and worker that belong to one session or call at a time.",
        ),
        key(
            "idle_timeout",
            &TIME,
            Default("60s"),
            "An unused link that is not shared is closed after this time.",
        ),
        key(
            "ping",
            &TIME_OR_OFF,
            Default("off"),
            "A link that sent nothing for this time is pinged, and closed if it stays silent.",
        ),
        key(
            "max_buffered",
            &BYTES,
            Default("4MiB"),
            "Most bytes waiting to be written to a link; further requests wait.",
        ),
        key(
            "orphan_age",
            &TIME,
            Default("10s"),
            "A link in order is closed when the reply it owes first is this much too late.",
        ),
    ],
    Also::Nothing,
);
