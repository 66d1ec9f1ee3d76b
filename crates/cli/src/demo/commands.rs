//! One Redis client of the demo: pipelines of commands on keys that it alone writes, so that it
//! knows every answer before it comes.

use std::{collections::VecDeque, io};

use fastrand::Rng;

use super::{
    policed::{ONE_IN, Told, Who},
    resp::{Value, command},
    stores::Item,
    traffic::{Client, Commands},
};

/// Commands sent at once.
const BATCH: usize = 16;
/// Keys of each client: few enough to be written again and again, enough to be spread.
const KEYS: usize = 200;
/// A key that all clients increment.
pub(crate) const HITS: &str = "hits";
/// A key that all clients increment more often than its limit allows.
pub(crate) const HOT: &str = "greedy:hits";

/// One client.
#[derive(Debug)]
pub(crate) struct Commander {
    name: String,
    rng: Rng,
    written: u64,
    last_hits: i64,
    waiting: VecDeque<(&'static str, Expect)>,
    seen: Commands,
}

#[derive(Clone, Debug)]
enum Expect {
    Exactly(Value),
    /// An error with this code.
    Code(&'static str),
    /// The router refuses it.
    Denied,
    /// Any number: an increment of [`HOT`].
    Hot,
    /// More than the last time.
    Hits,
}

impl Commander {
    /// The client with this number.
    pub(crate) fn new(n: u32) -> Self {
        Self {
            name: format!("client-{n}"),
            rng: Rng::with_seed(u64::from(n) + 1000),
            written: 0,
            last_hits: 0,
            waiting: VecDeque::new(),
            seen: Commands::default(),
        }
    }

    fn key(&mut self) -> String {
        format!("{}:{}", self.name, self.rng.usize(..KEYS))
    }

    fn keys(&mut self) -> [String; 3] {
        std::array::from_fn(|_| self.key())
    }

    fn value(&mut self) -> String {
        self.written += 1;
        format!("{}/{}", self.name, self.written)
    }

    fn set(&mut self, key: String, value: String) {
        self.seen.expected.insert(key, Item::Text(value));
    }

    fn get(&self, key: &str) -> Value {
        match self.seen.expected.get(key) {
            Some(Item::Text(text)) => Value::bulk(text.as_str()),
            _ => Value::Nil,
        }
    }

    fn next(&mut self, out: &mut Vec<u8>) -> (&'static str, Expect) {
        if self.rng.u32(..ONE_IN) == 0 {
            return self.send(out, "INCR", vec![HOT.to_owned()], Expect::Hot);
        }
        let (name, args, expect): (_, Vec<String>, _) = match self.rng.u32(..32) {
            0..=11 => {
                let key = self.key();
                let value = self.get(&key);
                ("GET", vec![key], Expect::Exactly(value))
            }
            12..=19 => {
                let (key, value) = (self.key(), self.value());
                self.set(key.clone(), value.clone());
                ("SET", vec![key, value], Expect::Exactly(Value::ok()))
            }
            20..=22 => {
                let keys = self.keys();
                let values = keys.iter().map(|key| self.get(key)).collect();
                ("MGET", keys.into(), Expect::Exactly(Value::Array(values)))
            }
            23..=24 => {
                let mut args = Vec::new();
                for key in self.keys() {
                    let value = self.value();
                    self.set(key.clone(), value.clone());
                    args.extend([key, value]);
                }
                ("MSET", args, Expect::Exactly(Value::ok()))
            }
            25 => {
                let keys = self.keys();
                let gone =
                    keys.iter().filter(|key| self.seen.expected.remove(*key).is_some()).count();
                ("DEL", keys.into(), Expect::Exactly(int(gone)))
            }
            26 => {
                let keys = self.keys();
                let there = keys.iter().filter(|key| self.seen.expected.contains_key(*key)).count();
                ("EXISTS", keys.into(), Expect::Exactly(int(there)))
            }
            27..=28 => ("INCR", vec![HITS.to_owned()], Expect::Hits),
            29 => ("PING", Vec::new(), Expect::Exactly(Value::Simple("PONG".to_owned()))),
            30 => {
                // A list where a text is asked for: Redis's own error must come through.
                let key = format!("{}:list", self.name);
                let expect = if self.seen.expected.contains_key(&key) {
                    return self.send(out, "GET", vec![key], Expect::Code("WRONGTYPE"));
                } else {
                    Expect::Exactly(Value::Int(1))
                };
                self.seen.expected.insert(key.clone(), Item::List(vec!["first".to_owned()]));
                ("RPUSH", vec![key, "first".to_owned()], expect)
            }
            _ => ("FLUSHALL", Vec::new(), Expect::Denied),
        };
        self.send(out, name, args, expect)
    }

    fn send(
        &self,
        out: &mut Vec<u8>,
        name: &'static str,
        args: Vec<String>,
        expect: Expect,
    ) -> (&'static str, Expect) {
        let words: Vec<&str> = std::iter::once(name).chain(args.iter().map(|a| &**a)).collect();
        command(out, &words);
        (name, expect)
    }

    fn settle(&mut self, name: &'static str, expect: &Expect, reply: &Value) {
        let who = match expect {
            Expect::Denied => Who::Private,
            Expect::Hot => Who::Greedy,
            _ => Who::Other,
        };
        let told = told(reply);
        let refused = self.seen.policed.settle(who, told);
        if told == Some(Told::Limited) && who != Who::Greedy {
            // It is in the account of policies, and nothing was done.
            return;
        }
        let right = match (expect, reply) {
            (Expect::Exactly(value), reply) => reply == value,
            (Expect::Hits, Value::Int(n)) if *n > self.last_hits => {
                self.last_hits = *n;
                self.seen.hits += 1;
                true
            }
            (Expect::Code(code), reply) => reply.code() == Some(code),
            (Expect::Hot, Value::Int(_)) => true,
            (Expect::Hot | Expect::Denied, _) => refused,
            _ => false,
        };
        if !right {
            return self.seen.odd.note(|| format!("{name}: {expect:?} expected, got {reply:?}"));
        }
        if let Some(code) = reply.code() {
            *self.seen.errors.entry(code.to_owned()).or_default() += 1;
        }
        *self.seen.right.entry(name).or_default() += 1;
    }
}

impl Client for Commander {
    type Account = Commands;

    fn ask(&mut self, out: &mut Vec<u8>) {
        for _ in 0..BATCH {
            let sent = self.next(out);
            self.waiting.push_back(sent);
        }
    }

    fn hear(&mut self, buf: &[u8]) -> io::Result<(usize, bool)> {
        let mut done = 0;
        while let Some((value, len)) = Value::decode(buf.get(done..).unwrap_or_default())
            .map_err(|_| io::Error::other("the answer is not RESP"))?
        {
            done += len;
            match self.waiting.pop_front() {
                Some((name, expect)) => self.settle(name, &expect, &value),
                None => self.seen.odd.note(|| format!("an answer to nothing: {value:?}")),
            }
        }
        Ok((done, self.waiting.is_empty()))
    }

    fn broke(&mut self, error: &io::Error) {
        self.waiting.clear();
        self.seen.odd.note(|| format!("redis connection: {error}"));
    }

    fn seen(self) -> Commands {
        self.seen
    }
}

/// What the router's own errors say.
fn told(reply: &Value) -> Option<Told> {
    let Value::Error(text) = reply else { return None };
    let denied = text.strip_prefix("NOPERM heptad: ").and_then(|text| Told::Denied.by(text));
    denied.or_else(|| Told::Limited.by(text.strip_prefix("ERR heptad: ")?))
}

fn int(n: usize) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}
