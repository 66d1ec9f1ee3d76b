//! Commands that Debian's redis-server 7.0 does not have yet, from the documentation of Redis 7.2 to
//! 8.4 and Valkey 8 to 9, and of the modules that ship with Redis. By hand.

use super::row::{Begin, Keys, Request, Response, Row, flag};

const R: u16 = flag::READONLY;
const W: u16 = flag::WRITE;

const KEY: &[Keys] = &[Keys::Range { begin: Begin::At(1), last: 0, step: 1, limit: 0 }];
const KEY_2: &[Keys] = &[Keys::Range { begin: Begin::At(2), last: 0, step: 1, limit: 0 }];
const TWO: &[Keys] = &[Keys::Range { begin: Begin::At(1), last: 1, step: 1, limit: 0 }];
/// All but the last argument.
const ALL_BUT_PATH: &[Keys] = &[Keys::Range { begin: Begin::At(1), last: -2, step: 1, limit: 0 }];
/// Of `MSETEX numkeys key value …`.
const PAIRS: &[Keys] = &[Keys::Count { begin: Begin::At(1), count: 0, first: 1, step: 2 }];
const TRIPLES: &[Keys] = &[Keys::Range { begin: Begin::At(1), last: -1, step: 3, limit: 0 }];
const DEST_COUNT: &[Keys] =
    &[KEY[0], Keys::Count { begin: Begin::At(2), count: 0, first: 1, step: 1 }];

const fn row(name: &'static str, arity: i16, flags: u16, keys: &'static [Keys]) -> Row {
    Row { name, arity, flags, keys, request: Request::None, response: Response::None, subs: &[] }
}

/// Commands.
pub(super) static ROWS: &[Row] = &[
    // Redis 7.2.
    Row {
        request: Request::AllShards,
        response: Response::Min,
        ..row("waitaof", 4, flag::BLOCKING, &[])
    },
    // Redis 7.4: time to live of hash fields.
    row("hexpire", -6, W, KEY),
    row("hpexpire", -6, W, KEY),
    row("hexpireat", -6, W, KEY),
    row("hpexpireat", -6, W, KEY),
    row("hexpiretime", -5, R, KEY),
    row("hpexpiretime", -5, R, KEY),
    row("httl", -5, R, KEY),
    row("hpttl", -5, R, KEY),
    row("hpersist", -5, W, KEY),
    // Redis 8.
    row("hgetex", -5, W, KEY),
    row("hsetex", -6, W, KEY),
    row("hgetdel", -5, W, KEY),
    row("xdelex", -5, W, KEY),
    row("xackdel", -6, W, KEY),
    row("xcfgset", -2, W, KEY),
    row("delex", -2, W, KEY),
    row("digest", 2, R, KEY),
    row("msetex", -4, W, PAIRS),
    row("vadd", -5, W, KEY),
    row("vcard", 2, R, KEY),
    row("vdim", 2, R, KEY),
    row("vemb", -3, R, KEY),
    row("vgetattr", 3, R, KEY),
    row("vinfo", 2, R, KEY),
    row("vismember", 3, R, KEY),
    row("vlinks", -3, R, KEY),
    row("vrandmember", -2, R, KEY),
    row("vrange", -4, R, KEY),
    row("vrem", 3, W, KEY),
    row("vsetattr", 4, W, KEY),
    row("vsim", -4, R, KEY),
    // Valkey.
    row("delifeq", 3, W, KEY),
    // JSON.
    row("json.arrappend", -4, W, KEY),
    row("json.arrindex", -4, R, KEY),
    row("json.arrinsert", -5, W, KEY),
    row("json.arrlen", -2, R, KEY),
    row("json.arrpop", -2, W, KEY),
    row("json.arrtrim", 5, W, KEY),
    row("json.clear", -2, W, KEY),
    row("json.debug", -2, R, KEY_2),
    row("json.del", -2, W, KEY),
    row("json.forget", -2, W, KEY),
    row("json.get", -2, R, KEY),
    row("json.merge", 4, W, KEY),
    row("json.mget", -3, R, ALL_BUT_PATH),
    row("json.mset", -4, W, TRIPLES),
    row("json.numincrby", 4, W, KEY),
    row("json.nummultby", 4, W, KEY),
    row("json.objkeys", -2, R, KEY),
    row("json.objlen", -2, R, KEY),
    row("json.resp", -2, R, KEY),
    row("json.set", -4, W, KEY),
    row("json.strappend", -3, W, KEY),
    row("json.strlen", -2, R, KEY),
    row("json.toggle", -2, W, KEY),
    row("json.type", -2, R, KEY),
    // Probabilistic.
    row("bf.add", 3, W, KEY),
    row("bf.card", 2, R, KEY),
    row("bf.exists", 3, R, KEY),
    row("bf.info", -2, R, KEY),
    row("bf.insert", -4, W, KEY),
    row("bf.loadchunk", 4, W, KEY),
    row("bf.madd", -3, W, KEY),
    row("bf.mexists", -3, R, KEY),
    row("bf.reserve", -4, W, KEY),
    row("bf.scandump", 3, R, KEY),
    row("cf.add", 3, W, KEY),
    row("cf.addnx", 3, W, KEY),
    row("cf.count", 3, R, KEY),
    row("cf.del", 3, W, KEY),
    row("cf.exists", 3, R, KEY),
    row("cf.info", 2, R, KEY),
    row("cf.insert", -4, W, KEY),
    row("cf.insertnx", -4, W, KEY),
    row("cf.loadchunk", 4, W, KEY),
    row("cf.mexists", -3, R, KEY),
    row("cf.reserve", -3, W, KEY),
    row("cf.scandump", 3, R, KEY),
    row("cms.incrby", -4, W, KEY),
    row("cms.info", 2, R, KEY),
    row("cms.initbydim", 4, W, KEY),
    row("cms.initbyprob", 4, W, KEY),
    row("cms.merge", -4, W, DEST_COUNT),
    row("cms.query", -3, R, KEY),
    row("topk.add", -3, W, KEY),
    row("topk.count", -3, R, KEY),
    row("topk.incrby", -4, W, KEY),
    row("topk.info", 2, R, KEY),
    row("topk.list", -2, R, KEY),
    row("topk.query", -3, R, KEY),
    row("topk.reserve", -3, W, KEY),
    row("tdigest.add", -3, W, KEY),
    row("tdigest.byrank", -3, R, KEY),
    row("tdigest.byrevrank", -3, R, KEY),
    row("tdigest.cdf", -3, R, KEY),
    row("tdigest.create", -2, W, KEY),
    row("tdigest.info", 2, R, KEY),
    row("tdigest.max", 2, R, KEY),
    row("tdigest.merge", -4, W, DEST_COUNT),
    row("tdigest.min", 2, R, KEY),
    row("tdigest.quantile", -3, R, KEY),
    row("tdigest.rank", -3, R, KEY),
    row("tdigest.reset", 2, W, KEY),
    row("tdigest.revrank", -3, R, KEY),
    row("tdigest.trimmed_mean", 4, R, KEY),
    // Time series.
    row("ts.add", -4, W, KEY),
    row("ts.alter", -2, W, KEY),
    row("ts.create", -2, W, KEY),
    row("ts.createrule", -6, W, TWO),
    row("ts.decrby", -3, W, KEY),
    row("ts.del", 4, W, KEY),
    row("ts.deleterule", 3, W, TWO),
    row("ts.get", -2, R, KEY),
    row("ts.incrby", -3, W, KEY),
    row("ts.info", -2, R, KEY),
    row("ts.madd", -4, W, TRIPLES),
    row("ts.range", -4, R, KEY),
    row("ts.revrange", -4, R, KEY),
    // Search: indexes span the keys of a whole server, so that several endpoints cannot share them.
    row("ft._list", 1, R, &[]),
    row("ft.aggregate", -3, R, &[]),
    row("ft.aliasadd", 3, W, &[]),
    row("ft.aliasdel", 2, W, &[]),
    row("ft.aliasupdate", 3, W, &[]),
    row("ft.alter", -6, W, &[]),
    row("ft.create", -4, W, &[]),
    row("ft.cursor", -3, R, &[]),
    row("ft.dictadd", -3, W, &[]),
    row("ft.dictdel", -3, W, &[]),
    row("ft.dictdump", 2, R, &[]),
    row("ft.dropindex", -2, W, &[]),
    row("ft.explain", -3, R, &[]),
    row("ft.info", 2, R, &[]),
    row("ft.profile", -5, R, &[]),
    row("ft.search", -3, R, &[]),
    row("ft.spellcheck", -3, R, &[]),
    row("ft.sugadd", -4, W, KEY),
    row("ft.sugdel", 3, W, KEY),
    row("ft.sugget", -3, R, KEY),
    row("ft.suglen", 2, R, KEY),
    row("ft.syndump", 2, R, &[]),
    row("ft.synupdate", -4, W, &[]),
    row("ft.tagvals", 3, R, &[]),
];

/// Subcommands that older servers' containers do not have.
pub(super) static SUBS: &[(&str, &[Row])] = &[
    (
        "client",
        &[
            row("client|setinfo", 4, 0, &[]),
            row("client|no-touch", 3, 0, &[]),
            row("client|capa", -3, 0, &[]),
            row("client|import-source", 3, 0, &[]),
        ],
    ),
    (
        "cluster",
        &[
            row("cluster|myshardid", 2, 0, &[]),
            row("cluster|slot-stats", -4, 0, &[]),
            row("cluster|migration", -4, flag::ADMIN, &[]),
        ],
    ),
    ("script", &[row("script|show", 3, 0, &[])]),
];
