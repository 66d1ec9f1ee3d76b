//! Sessions over several endpoints, through the engine: what is split, merged, and refused.
//!
//! Behind it are three model servers that know just the commands of these tests.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use heptad_cluster::{Balance, DEFAULT_TABLE_SIZE, Endpoint, Spec};
use heptad_core::{Attr, Codec, Outcome};
use heptad_engine::{Cluster, Engine, Links, Plan, Route, Target};
use heptad_redis::{Redis, RedisOptions};
use heptad_route::{Expr, Table, Text};
use heptad_testkit::sim::{
    Client, Io, Profile, Script, Sim,
    resp::{Value, line},
};

const SHARDS: usize = 3;

/// What one server has, and every command that it was sent.
#[derive(Debug, Default)]
struct Shard {
    keys: BTreeMap<String, String>,
    seen: Vec<String>,
    /// Every command on data is answered with this.
    fails: Option<&'static str>,
    /// What was published here.
    published: VecDeque<(String, String)>,
}

/// A link to it.
struct Server {
    shard: Rc<RefCell<Shard>>,
    input: Vec<u8>,
    queued: Option<Vec<Vec<String>>>,
    channels: BTreeSet<String>,
    heard: usize,
}

impl Server {
    fn command(&mut self, io: &mut Io<'_>, words: Vec<String>) -> Option<Value> {
        let name = words[0].to_uppercase();
        match (&*name, &mut self.queued) {
            ("MULTI", _) => {
                self.queued = Some(Vec::new());
                return Some(Value::ok());
            }
            ("EXEC", queued) => {
                let queued = queued.take()?;
                if queued.iter().any(|w| w.len() < 2 && w[0] == "GET") {
                    return Some(Value::Error("EXECABORT Transaction discarded".to_owned()));
                }
                return Some(Value::Array(queued.iter().map(|w| self.data(w)).collect()));
            }
            (_, Some(queued)) => {
                queued.push(words);
                return Some(Value::Simple("QUEUED".to_owned()));
            }
            ("SUBSCRIBE", None) => {
                self.channels.insert(words[1].clone());
                self.heard = self.shard.borrow().published.len();
                io.after(Duration::from_millis(1), 0);
                let n = self.channels.len() as i64;
                let all = vec![Value::bulk("subscribe"), Value::bulk(&words[1]), Value::Int(n)];
                return Some(Value::Array(all));
            }
            _ => {}
        }
        Some(self.data(&words))
    }

    fn data(&self, words: &[String]) -> Value {
        let shard = &mut *self.shard.borrow_mut();
        if let Some(error) = shard.fails {
            return Value::Error(error.to_owned());
        }
        let keys = &mut shard.keys;
        let args = &words[1..];
        let int = |n: usize| Value::Int(n as i64);
        match &*words[0].to_uppercase() {
            "GET" => keys.get(&args[0]).map_or(Value::Null, Value::bulk),
            "MGET" => {
                let value = |k| keys.get(k).map_or(Value::Null, Value::bulk);
                Value::Array(args.iter().map(value).collect())
            }
            "MSETNX" if args.chunks(2).any(|p| keys.contains_key(&p[0])) => Value::Int(0),
            name @ ("SET" | "MSET" | "MSETNX") => {
                keys.extend(args.chunks(2).map(|p| (p[0].clone(), p[1].clone())));
                if name == "MSETNX" { Value::Int(1) } else { Value::ok() }
            }
            "EXISTS" | "TOUCH" => int(args.iter().filter(|k| keys.contains_key(*k)).count()),
            "DEL" | "UNLINK" => int(args.iter().filter(|k| keys.remove(*k).is_some()).count()),
            "SCAN" => {
                let from: usize = args[0].parse().expect("a cursor");
                let all: Vec<_> = keys.keys().skip(from).take(7).map(Value::bulk).collect();
                let next = if from + 7 < keys.len() { from + 7 } else { 0 };
                Value::Array(vec![Value::bulk(next.to_string()), Value::Array(all)])
            }
            "KEYS" => Value::Array(keys.keys().map(Value::bulk).collect()),
            "DBSIZE" => int(keys.len()),
            "FLUSHALL" => {
                keys.clear();
                Value::ok()
            }
            "SCRIPT" => Value::bulk("e0e1f9fabfc9d4800c877a703b823ac0578ff8db"),
            "RENAME" => match keys.remove(&args[0]) {
                Some(value) => {
                    keys.insert(args[1].clone(), value);
                    Value::ok()
                }
                None => Value::Error("ERR no such key".to_owned()),
            },
            "TIME" => Value::Array(vec![Value::bulk("1"), Value::bulk("2")]),
            "PUBLISH" => {
                shard.published.push_back((args[0].clone(), args[1].clone()));
                Value::Int(1)
            }
            other => Value::Error(format!("ERR unknown command '{other}'")),
        }
    }
}

impl Script for Server {
    fn heard(&mut self, io: &mut Io<'_>, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while !self.input.is_empty()
            && let Some((Value::Array(words), n)) = Value::decode(&self.input)
        {
            self.input.drain(..n);
            let text = |word| match word {
                Value::Bulk(bytes) => String::from_utf8(bytes).expect("text"),
                other => panic!("a command is made of bulks: {other:?}"),
            };
            let words: Vec<String> = words.into_iter().map(text).collect();
            self.shard.borrow_mut().seen.push(words.join(" "));
            if let Some(reply) = self.command(io, words) {
                let mut out = Vec::new();
                reply.encode(false, &mut out);
                io.send(&out);
            }
        }
    }

    fn timer(&mut self, io: &mut Io<'_>, _: u64) {
        let shard = self.shard.borrow();
        for (channel, text) in shard.published.iter().skip(self.heard) {
            if self.channels.contains(channel) {
                let mut out = Vec::new();
                let all = [&"message".to_owned(), channel, text].map(Value::bulk);
                Value::Array(all.to_vec()).encode(false, &mut out);
                io.send(&out);
            }
        }
        self.heard = shard.published.len();
        io.after(Duration::from_millis(1), 0);
    }
}

/// What a client heard.
#[derive(Default)]
struct Ear(Rc<RefCell<Vec<u8>>>);

impl Script for Ear {
    fn heard(&mut self, _: &mut Io<'_>, bytes: &[u8]) {
        self.0.borrow_mut().extend_from_slice(bytes);
    }
}

/// Three servers behind one engine.
struct World {
    sim: Sim,
    shards: Vec<Rc<RefCell<Shard>>>,
}

/// A client and what it heard.
type Voice = (Client, Rc<RefCell<Vec<u8>>>);

impl World {
    fn new() -> Self {
        let endpoints = (0..SHARDS).map(|i| Endpoint::new(format!("r:{i}"))).collect();
        let balance = Balance::Maglev { table_size: DEFAULT_TABLE_SIZE, failover: false };
        let cluster = Cluster::new("r", Spec::new(balance, endpoints)).expect("balances");
        let cluster = cluster.links(Links::default().per_endpoint(1));
        let denied = Target::Refuse(Outcome::Denied, "not this one".into());
        let routes = vec![
            Route::new("denied", denied),
            Route::new("all", Target::Cluster(0)).timeout(Some(Duration::from_secs(2))),
        ];
        let rules = [Expr::Attr(Attr::Method, Text::Exact("MY.CMD".to_owned())), Expr::All(vec![])];
        let table = Table::compile(&rules).expect("two rules");
        let plan = Plan::new("test", table, routes, vec![cluster]);
        let codec = Redis::new(&RedisOptions::default()).expect("defaults are fine");
        let mut sim = Sim::new(Engine::new(codec, Arc::new(plan), 1), 1);
        let shards: Vec<_> = (0..SHARDS).map(|_| Rc::<RefCell<Shard>>::default()).collect();
        for (i, shard) in shards.iter().enumerate() {
            let shard = shard.clone();
            sim.endpoint(&format!("r:{i}"), Profile::default(), move |_| {
                Box::new(Server {
                    shard: shard.clone(),
                    input: Vec::new(),
                    queued: None,
                    channels: BTreeSet::new(),
                    heard: 0,
                })
            });
        }
        Self { sim, shards }
    }

    fn client(&mut self) -> Voice {
        let heard = Rc::<RefCell<Vec<u8>>>::default();
        (self.sim.client(Profile::default(), Ear(heard.clone())), heard)
    }

    /// What the client hears within 50 ms of saying the lines.
    fn say(&mut self, voice: &Voice, lines: &[&str]) -> Vec<Value> {
        for text in lines {
            self.sim.send(voice.0, &line(text));
        }
        self.sim.run(Duration::from_millis(50));
        let mut bytes = voice.1.borrow_mut();
        let mut values = Vec::new();
        while !bytes.is_empty() {
            let (value, n) = Value::decode(&bytes).expect("whole values");
            bytes.drain(..n);
            values.push(value);
        }
        values
    }

    fn one(&mut self, voice: &Voice, text: &str) -> Value {
        let mut all = self.say(voice, &[text]);
        assert_eq!(all.len(), 1, "{text}: {all:?}");
        all.remove(0)
    }

    /// Sixty keys, and which shard each one is on.
    fn fill(&mut self, voice: &Voice) -> Vec<(String, usize)> {
        let keys: Vec<String> = (0..60).map(|i| format!("k{i}")).collect();
        for key in &keys {
            assert_eq!(self.one(voice, &format!("SET {key} v{key}")), Value::ok());
        }
        let shard =
            |key: &String| self.shards.iter().position(|s| s.borrow().keys.contains_key(key));
        let all: Vec<_> =
            keys.iter().map(|k| (k.clone(), shard(k).expect("is on a shard"))).collect();
        for at in 0..SHARDS {
            assert!(all.iter().filter(|(_, s)| *s == at).count() >= 2, "keys on every shard");
        }
        self.forget();
        all
    }

    /// Forgets what the servers were sent.
    fn forget(&self) {
        self.shards.iter().for_each(|s| s.borrow_mut().seen.clear());
    }

    fn seen(&self, at: usize) -> Vec<String> {
        self.shards[at].borrow().seen.clone()
    }
}

fn key_on(keys: &[(String, usize)], shard: usize, nth: usize) -> &str {
    let mut on = keys.iter().filter(|(_, s)| *s == shard);
    on.nth(nth).map(|(k, _)| k.as_str()).expect("keys on every shard")
}

#[track_caller]
fn assert_error(value: &Value, start: &str) {
    assert!(matches!(value, Value::Error(text) if text.starts_with(start)), "{value:?}");
}

#[test]
fn many_keys_are_split_by_shard_and_merged_in_their_order() {
    let mut world = World::new();
    let me = world.client();
    let keys = world.fill(&me);
    let names: Vec<&str> = keys.iter().map(|(k, _)| k.as_str()).collect();
    let all = names.join(" ");

    // In key order, a missing one and a repeated one included.
    let values = world.one(&me, &format!("MGET {all} nowhere k7"));
    let mut expect: Vec<_> = names.iter().map(|k| Value::bulk(format!("v{k}"))).collect();
    expect.extend([Value::Null, Value::bulk("vk7")]);
    assert_eq!(values, Value::Array(expect));
    for at in 0..SHARDS {
        let seen = world.seen(at);
        assert_eq!(seen.len(), 1, "one part to each shard");
        let mine = seen[0].split(' ').skip(1).filter(|k| *k != "nowhere");
        assert!(mine.clone().count() >= 2);
        for key in mine {
            assert_eq!(keys.iter().find(|(k, _)| k == key).map(|(_, s)| *s), Some(at), "{key}");
        }
    }

    assert_eq!(world.one(&me, &format!("EXISTS {all} nowhere k7")), Value::Int(61));
    assert_eq!(world.one(&me, &format!("TOUCH {all}")), Value::Int(60));
    let pairs: Vec<String> = names.iter().map(|k| format!("{k} w{k}")).collect();
    assert_eq!(world.one(&me, &format!("MSET {}", pairs.join(" "))), Value::ok());
    assert_eq!(world.one(&me, "GET k33"), Value::bulk("wk33"));
    assert_eq!(world.one(&me, &format!("DEL {}", names[..20].join(" "))), Value::Int(20));
    assert_eq!(world.one(&me, &format!("UNLINK {all}")), Value::Int(40));
    assert_eq!(world.one(&me, &format!("MSETNX {}", pairs.join(" "))), Value::Int(1));
    assert_eq!(world.one(&me, "MSETNX k1 x fresh x fresher x"), Value::Int(0));
    assert_eq!(world.one(&me, "GET k1"), Value::bulk("wk1"));
    world.sim.finish_clean();
}

#[test]
fn a_part_that_fails_is_an_error_and_no_partial_reply() {
    let mut world = World::new();
    let me = world.client();
    let keys = world.fill(&me);
    let three: Vec<_> = (0..SHARDS).map(|s| key_on(&keys, s, 0)).collect();
    let three = three.join(" ");
    world.shards[1].borrow_mut().fails = Some("OOM command not allowed");
    for name in ["MGET", "DEL", "EXISTS", "TOUCH", "UNLINK"] {
        assert_error(&world.one(&me, &format!("{name} {three}")), "OOM command");
    }
    for name in ["DBSIZE", "KEYS *", "FLUSHALL"] {
        assert_error(&world.one(&me, name), "OOM command");
    }
    // Its other half is there, and so is the session.
    let other = key_on(&keys, 2, 1);
    assert_eq!(world.one(&me, &format!("SET {other} x")), Value::ok());
    world.shards[1].borrow_mut().fails = None;
    world.sim.set_up("r:1", false);
    assert_error(&world.one(&me, &format!("MGET {three}")), "ERR heptad: ");
    assert_eq!(world.one(&me, &format!("GET {other}")), Value::bulk("x"));
    world.sim.finish_clean();
}

#[test]
fn scan_visits_every_key_of_every_shard_and_ends() {
    let mut world = World::new();
    let me = world.client();
    let keys = world.fill(&me);
    let (mut cursor, mut seen) = ("0".to_owned(), BTreeSet::new());
    for turn in 0.. {
        assert!(turn < 60, "it ends");
        let reply = world.one(&me, &format!("SCAN {cursor} COUNT 7"));
        let Value::Array(parts) = &reply else { panic!("{reply:?}") };
        let [Value::Bulk(next), Value::Array(page)] = &parts[..] else { panic!("{reply:?}") };
        for key in page {
            let Value::Bulk(key) = key else { panic!("{key:?}") };
            assert!(seen.insert(key.clone()), "no key comes twice");
        }
        cursor = String::from_utf8(next.clone()).expect("digits");
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), keys.len());
    world.sim.finish_clean();
}

#[test]
fn what_is_asked_of_all_is_merged() {
    let mut world = World::new();
    let me = world.client();
    let keys = world.fill(&me);
    assert_eq!(world.one(&me, "DBSIZE"), Value::Int(60));
    let Value::Array(found) = world.one(&me, "KEYS *") else { panic!("an array") };
    let mut expect: Vec<_> = keys.iter().map(|(k, s)| (*s, k.clone())).collect();
    expect.sort();
    // Shard after shard, each in its own order.
    let expect: Vec<_> = expect.into_iter().map(|(_, k)| Value::bulk(k)).collect();
    assert_eq!(found, expect);
    let sha = Value::bulk("e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    world.forget();
    assert_eq!(world.one(&me, "SCRIPT LOAD return_1"), sha);
    assert_eq!(world.one(&me, "FLUSHALL"), Value::ok());
    for at in 0..SHARDS {
        assert_eq!(world.seen(at), ["SCRIPT LOAD return_1", "FLUSHALL"]);
    }
    assert_eq!(world.one(&me, "DBSIZE"), Value::Int(0));
    world.sim.finish_clean();
}

#[test]
fn two_keys_of_one_command_must_be_on_one_shard() {
    let mut world = World::new();
    let me = world.client();
    let keys = world.fill(&me);
    let (a, b, c) = (key_on(&keys, 0, 0), key_on(&keys, 0, 1), key_on(&keys, 1, 0));
    assert_error(&world.one(&me, &format!("RENAME {a} {c}")), "CROSSSLOT");
    assert!((0..SHARDS).all(|at| world.seen(at).is_empty()), "nobody was asked");
    assert_eq!(world.one(&me, &format!("RENAME {a} {b}")), Value::ok());
    assert_eq!(world.one(&me, &format!("GET {b}")), Value::bulk(format!("v{a}")));
    world.sim.finish_clean();
}

#[test]
fn a_transaction_lives_on_the_shard_of_its_first_key() {
    let mut world = World::new();
    let me = world.client();
    let keys = world.fill(&me);
    let queued = || Value::Simple("QUEUED".to_owned());
    for shard in 0..SHARDS {
        world.forget();
        let (a, b) = (key_on(&keys, shard, 0), key_on(&keys, shard, 1));
        // Commands without a key wait until a key says where to.
        assert_eq!(world.say(&me, &["MULTI", "TIME"]), [Value::ok(), queued()]);
        assert!((0..SHARDS).all(|at| world.seen(at).is_empty()), "nobody was asked yet");
        let (set, get) = (format!("SET {a} 1"), format!("GET {b}"));
        assert_eq!(world.say(&me, &[&set, &get]), [queued(), queued()]);
        let time = Value::Array(vec![Value::bulk("1"), Value::bulk("2")]);
        let expect = Value::Array(vec![time, Value::ok(), Value::bulk(format!("v{b}"))]);
        assert_eq!(world.one(&me, "EXEC"), expect);
        assert_eq!(world.seen(shard), ["MULTI", "TIME", &set, &get, "EXEC"]);
        let others = (0..SHARDS).filter(|at| *at != shard);
        assert_eq!(others.map(|at| world.seen(at).len()).sum::<usize>(), 0);

        // A key that lives elsewhere is refused, and spoils it.
        let foreign = key_on(&keys, (shard + 1) % SHARDS, 0);
        world.say(&me, &["MULTI", &get]);
        assert_error(&world.one(&me, &format!("SET {foreign} 2")), "CROSSSLOT");
        assert_error(&world.one(&me, "EXEC"), "EXECABORT");
        // Nor does it matter how the key is spelt.
        world.say(&me, &["MULTI", &get]);
        let escaped = format!("SET \"\\x6b{}\" 2\r\n", &foreign[1..]);
        world.sim.send(me.0, escaped.as_bytes());
        assert_error(&world.say(&me, &[])[0], "CROSSSLOT");
        assert_error(&world.one(&me, "EXEC"), "EXECABORT");
        let kept = world.one(&me, &format!("GET {foreign}"));
        assert_ne!(kept, Value::bulk("2"));
    }
    world.sim.finish_clean();
}

#[test]
fn publishers_and_subscribers_meet_at_home() {
    let mut world = World::new();
    let (one, two, speaker) = (world.client(), world.client(), world.client());
    for me in [&one, &two] {
        let expect = [Value::bulk("subscribe"), Value::bulk("news"), Value::Int(1)];
        assert_eq!(world.one(me, "SUBSCRIBE news"), Value::Array(expect.to_vec()));
    }
    assert_eq!(world.one(&speaker, "PUBLISH news hello"), Value::Int(1));
    let message = ["message", "news", "hello"].map(Value::bulk).to_vec();
    for me in [&one, &two] {
        assert_eq!(world.say(me, &[]), [Value::Array(message.clone())]);
    }
    assert!((1..SHARDS).all(|at| world.seen(at).is_empty()), "all of it at the first");
    world.sim.finish_clean();
}

#[test]
fn a_rule_sees_an_unknown_command_however_it_is_spelt() {
    let mut world = World::new();
    let me = world.client();
    for text in ["MY.CMD k", "my.cmd k", "My.cMD"] {
        assert_error(&world.one(&me, text), "NOPERM");
    }
    world.sim.send(me.0, b"\"\\x6dy.cmd\" k\r\n");
    assert_error(&world.say(&me, &[])[0], "NOPERM");
    assert_error(&world.one(&me, "OTHER.CMD k"), "ERR unknown command");
    world.sim.finish_clean();
}

#[test]
fn a_key_goes_to_its_shard_however_it_is_spelt() {
    let mut world = World::new();
    let me = world.client();
    let keys = world.fill(&me);
    for (key, _) in &keys {
        world.sim.send(me.0, format!("get \"\\x6b{}\"\r\n", &key[1..]).as_bytes());
        assert_eq!(world.say(&me, &[]), [Value::bulk(format!("v{key}"))]);
    }
    // A transaction begins where such a key is.
    let (foreign, shard) = &keys[0];
    world.say(&me, &["MULTI"]);
    world.sim.send(me.0, format!("get \"\\x6b{}\"\r\n", &foreign[1..]).as_bytes());
    world.say(&me, &[]);
    assert_eq!(world.one(&me, "EXEC"), Value::Array(vec![Value::bulk(format!("v{foreign}"))]));
    assert_eq!(world.seen(*shard).last().map(String::as_str), Some("EXEC"));
    world.sim.finish_clean();
}
