//! A small model of a Redis server, and the protocol as a client needs it.
//!
//! The model knows a few commands of each sort that matters to a router: plain ones, several keys,
//! transactions, blocking ones, pub/sub, tracking, and state of the connection. What it says is what
//! redis-server says; `EVAL depth` alone is its own: it replies with so deep a nesting.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    time::Duration,
};

use heptad_core::Time;

use super::{Io, Script};

/// A value of RESP2 or RESP3.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// `+`
    Simple(String),
    /// `-`
    Error(String),
    /// `:`
    Int(i64),
    /// `$`
    Bulk(Vec<u8>),
    /// `$-1`, `*-1`, `_`
    Null,
    /// `*`
    Array(Vec<Value>),
    /// `%`, flattened
    Map(Vec<Value>),
    /// `>`
    Push(Vec<Value>),
}

impl Value {
    /// A bulk string.
    pub fn bulk(text: impl AsRef<[u8]>) -> Self {
        Self::Bulk(text.as_ref().to_vec())
    }

    /// `+OK`
    pub fn ok() -> Self {
        Self::Simple("OK".to_owned())
    }

    /// Takes the first value of `buf` apart and tells how many bytes it had.
    ///
    /// # Panics
    /// If the bytes are not RESP.
    pub fn decode(buf: &[u8]) -> Option<(Self, usize)> {
        let end = buf.windows(2).position(|w| w == b"\r\n")?;
        let line = String::from_utf8_lossy(&buf[1..end]).into_owned();
        let mut at = end + 2;
        let mut many = |n: usize| {
            let mut all = Vec::new();
            for _ in 0..n {
                let (value, len) = Self::decode(&buf[at..])?;
                all.push(value);
                at += len;
            }
            Some(all)
        };
        let number = || line.parse::<i64>().unwrap_or_else(|_| panic!("not a number: {line:?}"));
        let value = match buf[0] {
            b'+' => Self::Simple(line),
            b'-' => Self::Error(line),
            b':' => Self::Int(number()),
            b'_' => Self::Null,
            b'$' | b'*' if number() < 0 => Self::Null,
            b'$' => {
                let n = number() as usize;
                let bytes = buf.get(at..at + n + 2)?;
                at += n + 2;
                Self::Bulk(bytes[..n].to_vec())
            }
            b'*' => Self::Array(many(number() as usize)?),
            b'>' => Self::Push(many(number() as usize)?),
            b'%' => Self::Map(many(2 * number() as usize)?),
            other => {
                panic!("not RESP: {:?} in {:?}", other as char, buf.escape_ascii().to_string())
            }
        };
        Some((value, at))
    }

    /// Appends the value in the given version of the protocol.
    pub fn encode(&self, resp3: bool, out: &mut Vec<u8>) {
        let mut many = |mark: char, n: usize, all: &[Self]| {
            out.extend_from_slice(format!("{mark}{n}\r\n").as_bytes());
            all.iter().for_each(|v| v.encode(resp3, out));
        };
        match self {
            Self::Array(all) => many('*', all.len(), all),
            Self::Push(all) => many(if resp3 { '>' } else { '*' }, all.len(), all),
            Self::Map(all) if resp3 => many('%', all.len() / 2, all),
            Self::Map(all) => many('*', all.len(), all),
            Self::Simple(s) => out.extend_from_slice(format!("+{s}\r\n").as_bytes()),
            Self::Error(s) => out.extend_from_slice(format!("-{s}\r\n").as_bytes()),
            Self::Int(n) => out.extend_from_slice(format!(":{n}\r\n").as_bytes()),
            Self::Null if resp3 => out.extend_from_slice(b"_\r\n"),
            Self::Null => out.extend_from_slice(b"$-1\r\n"),
            Self::Bulk(bytes) => {
                out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// A command as bytes.
pub fn command(words: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    Value::Array(words.iter().map(Value::bulk).collect()).encode(false, &mut out);
    out
}

/// A command from one line of text, cut at spaces.
pub fn line(text: &str) -> Vec<u8> {
    command(&text.split_whitespace().collect::<Vec<_>>())
}

/// What the links of one server have in common.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Store {
    /// Strings, by database and key.
    pub strings: BTreeMap<(u32, Vec<u8>), Vec<u8>>,
    /// Lists.
    pub lists: BTreeMap<(u32, Vec<u8>), VecDeque<Vec<u8>>>,
    /// Every command that came, with the number of its link.
    pub seen: Vec<(usize, Vec<String>)>,
    /// How many links there were.
    pub links: usize,
    /// Links that wait in a blocking command now.
    pub blocked: usize,
    /// Every command is answered only after up to so long.
    pub think: Duration,
    /// What every login is answered with, if it is refused.
    pub refuses: Option<String>,
    /// Links that are stalled: what comes is kept and answered when this is lifted.
    pub frozen: bool,
    published: Vec<(Vec<u8>, Vec<u8>)>,
    written: Vec<Vec<u8>>,
    changes: BTreeMap<(u32, Vec<u8>), u64>,
}

impl Store {
    /// The commands of one name that came, as lines.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let named = self.seen.iter().filter(|(_, c)| c[0] == name);
        named.map(|(_, c)| c.join(" ")).collect()
    }

    /// Links that carried a command of this name.
    pub fn links_of(&self, name: &str) -> BTreeSet<usize> {
        self.seen.iter().filter(|(_, c)| c[0] == name).map(|(link, _)| *link).collect()
    }
}

/// One link of a model server.
#[derive(Debug)]
pub struct Server {
    store: Rc<RefCell<Store>>,
    link: usize,
    input: Vec<u8>,
    resp3: bool,
    db: u32,
    queued: Option<Vec<Vec<Vec<u8>>>>,
    queue_failed: bool,
    watched: Vec<((u32, Vec<u8>), u64)>,
    blocked: Option<(Vec<Vec<u8>>, Time)>,
    channels: BTreeSet<Vec<u8>>,
    heard: usize,
    /// `CLIENT TRACKING` is on: keys that were read, and how many writes are known.
    tracked: Option<(BTreeSet<Vec<u8>>, usize)>,
    polls: bool,
    silent: bool,
    skip: bool,
}

const POLL: u64 = 0;
const EVERY: Duration = Duration::from_millis(1);

impl Server {
    /// A link to the server with this store.
    pub fn new(store: Rc<RefCell<Store>>) -> Self {
        store.borrow_mut().links += 1;
        let (link, heard) = (store.borrow().links, store.borrow().published.len());
        Self {
            link,
            heard,
            store,
            input: Vec::new(),
            resp3: false,
            db: 0,
            queued: None,
            queue_failed: false,
            watched: Vec::new(),
            blocked: None,
            channels: BTreeSet::new(),
            tracked: None,
            polls: false,
            silent: false,
            skip: false,
        }
    }

    fn say(&self, io: &mut Io<'_>, value: &Value) {
        let mut out = Vec::new();
        value.encode(self.resp3, &mut out);
        io.send(&out);
    }

    fn poll_later(&mut self, io: &mut Io<'_>) {
        if !self.polls {
            self.polls = true;
            io.after(EVERY, POLL);
        }
    }

    fn work(&mut self, io: &mut Io<'_>) {
        while self.blocked.is_none() && !self.input.is_empty() {
            if self.store.borrow().frozen {
                return self.poll_later(io);
            }
            let Some((Value::Array(words), n)) = Value::decode(&self.input) else {
                return;
            };
            self.input.drain(..n);
            let words: Vec<Vec<u8>> = words
                .into_iter()
                .map(|w| match w {
                    Value::Bulk(b) => b,
                    other => panic!("a command is made of bulk strings: {other:?}"),
                })
                .collect();
            let mut shown: Vec<String> =
                words.iter().map(|w| String::from_utf8_lossy(w).into_owned()).collect();
            shown[0].make_ascii_uppercase();
            self.store.borrow_mut().seen.push((self.link, shown.clone()));
            let quiet = self.silent || std::mem::take(&mut self.skip);
            if let Some(reply) = self.command(io, &shown, words)
                && !quiet
                && !self.silent
                && !self.skip
            {
                self.say(io, &reply);
            }
        }
    }

    fn command(&mut self, io: &mut Io<'_>, c: &[String], words: Vec<Vec<u8>>) -> Option<Value> {
        if let Some(queue) = &mut self.queued {
            match &*c[0] {
                "EXEC" | "DISCARD" => {}
                "MULTI" => return Some(Value::Error("ERR MULTI calls can not be nested".into())),
                "GET" if c.len() != 2 => {
                    self.queue_failed = true;
                    let text = "ERR wrong number of arguments for 'get' command";
                    return Some(Value::Error(text.into()));
                }
                _ => {
                    queue.push(words);
                    return Some(Value::Simple("QUEUED".into()));
                }
            }
        }
        let family = ["SUBSCRIBE", "UNSUBSCRIBE", "PING", "RESET", "QUIT"];
        if !self.resp3 && !self.channels.is_empty() && !family.contains(&&*c[0]) {
            let text =
                format!("ERR Can't execute '{}': only subscribe family", c[0].to_lowercase());
            return Some(Value::Error(text));
        }
        Some(match &*c[0] {
            "MULTI" => {
                self.queued = Some(Vec::new());
                Value::ok()
            }
            "DISCARD" => {
                self.watched.clear();
                self.queue_failed = false;
                match self.queued.take() {
                    Some(_) => Value::ok(),
                    None => Value::Error("ERR DISCARD without MULTI".into()),
                }
            }
            "EXEC" => {
                let Some(queue) = self.queued.take() else {
                    return Some(Value::Error("ERR EXEC without MULTI".into()));
                };
                let watched = std::mem::take(&mut self.watched);
                let changes = &self.store.borrow().changes.clone();
                if std::mem::take(&mut self.queue_failed) {
                    let text = "EXECABORT Transaction discarded because of previous errors.";
                    Value::Error(text.into())
                } else if watched.iter().any(|(k, v)| changes.get(k).copied().unwrap_or(0) != *v) {
                    Value::Null
                } else {
                    let mut replies = Vec::new();
                    for words in queue {
                        let mut c: Vec<String> =
                            words.iter().map(|w| String::from_utf8_lossy(w).into_owned()).collect();
                        c[0].make_ascii_uppercase();
                        replies.extend(self.command(io, &c, words));
                    }
                    Value::Array(replies)
                }
            }
            "BLPOP" => {
                let keys = words[1..words.len() - 1].to_vec();
                let secs: f64 = c[c.len() - 1].parse().unwrap_or(0.0);
                let until =
                    if secs == 0.0 { Time::NEVER } else { io.now + Duration::from_secs_f64(secs) };
                if let Some(found) = self.pop(&keys) {
                    return Some(found);
                }
                self.blocked = Some((keys, until));
                self.store.borrow_mut().blocked += 1;
                self.poll_later(io);
                return None;
            }
            "SUBSCRIBE" | "UNSUBSCRIBE" => {
                let name = c[0].to_lowercase();
                let mut named = words[1..].to_vec();
                if named.is_empty() {
                    named = self.channels.iter().cloned().collect();
                }
                for channel in &named {
                    if name == "subscribe" {
                        self.channels.insert(channel.clone());
                    } else {
                        self.channels.remove(channel);
                    }
                    let n = Value::Int(self.channels.len() as i64);
                    self.say(io, &Value::Push(vec![Value::bulk(&name), Value::bulk(channel), n]));
                }
                if named.is_empty() {
                    self.say(
                        io,
                        &Value::Push(vec![Value::bulk(&name), Value::Null, Value::Int(0)]),
                    );
                }
                self.poll_later(io);
                return None;
            }
            "CLIENT" if c.get(1).is_some_and(|w| w.eq_ignore_ascii_case("reply")) => {
                match &*c[2].to_uppercase() {
                    "OFF" => self.silent = true,
                    "SKIP" => self.skip = true,
                    _ => {
                        self.silent = false;
                        return Some(Value::ok());
                    }
                }
                return None;
            }
            "CLIENT" if c.get(1).is_some_and(|w| w.eq_ignore_ascii_case("tracking")) => {
                let on = c.get(2).is_some_and(|w| w.eq_ignore_ascii_case("on"));
                let written = self.store.borrow().written.len();
                self.tracked = on.then(|| (BTreeSet::new(), written));
                self.poll_later(io);
                Value::ok()
            }
            "HELLO" => {
                self.resp3 = c.get(1).map_or(self.resp3, |v| v == "3");
                let pair = |k: &str, v: Value| [Value::bulk(k), v];
                let all = [
                    pair("server", Value::bulk("redis")),
                    pair("version", Value::bulk("7.0.0")),
                    pair("proto", Value::Int(if self.resp3 { 3 } else { 2 })),
                    pair("id", Value::Int(self.link as i64)),
                    pair("mode", Value::bulk("standalone")),
                    pair("role", Value::bulk("master")),
                    pair("modules", Value::Array(vec![])),
                ];
                Value::Map(all.into_iter().flatten().collect())
            }
            "SELECT" => match c[1].parse() {
                Ok(db @ 0..16) => {
                    self.db = db;
                    Value::ok()
                }
                _ => Value::Error("ERR DB index is out of range".into()),
            },
            "PING" if !self.channels.is_empty() && !self.resp3 => {
                Value::Array(vec![Value::bulk("pong"), Value::bulk("")])
            }
            "PING" => Value::Simple("PONG".into()),
            "WAIT" => Value::Int(0),
            "AUTH" if self.store.borrow().refuses.is_some() => {
                Value::Error(self.store.borrow().refuses.clone().unwrap_or_default())
            }
            "AUTH" | "CLIENT" | "UNWATCH" | "RESET" | "READONLY" => Value::ok(),
            "WATCH" => {
                for key in &words[1..] {
                    let key = (self.db, key.clone());
                    let at = self.store.borrow().changes.get(&key).copied().unwrap_or(0);
                    self.watched.push((key, at));
                }
                Value::ok()
            }
            _ => self.data(c, words),
        })
    }

    /// Tells a tracking client which of the keys it read were written since.
    fn invalidate(&mut self, io: &mut Io<'_>) {
        let Some((read, known)) = &mut self.tracked else {
            return;
        };
        let written = self.store.borrow().written[*known..].to_vec();
        *known += written.len();
        let stale: Vec<_> = written.into_iter().filter(|key| read.remove(key)).collect();
        for key in stale {
            let keys = Value::Array(vec![Value::Bulk(key)]);
            self.say(io, &Value::Push(vec![Value::bulk("invalidate"), keys]));
        }
    }

    fn pop(&mut self, keys: &[Vec<u8>]) -> Option<Value> {
        let mut store = self.store.borrow_mut();
        for key in keys {
            if let Some(list) = store.lists.get_mut(&(self.db, key.clone()))
                && let Some(first) = list.pop_front()
            {
                return Some(Value::Array(vec![Value::bulk(key), Value::Bulk(first)]));
            }
        }
        None
    }

    /// Commands on data.
    fn data(&mut self, c: &[String], words: Vec<Vec<u8>>) -> Value {
        let db = self.db;
        let mut store = self.store.borrow_mut();
        let store = &mut *store;
        let at = |i: usize| (db, words.get(i).cloned().unwrap_or_default());
        let changed = |changes: &mut BTreeMap<_, u64>, key| *changes.entry(key).or_default() += 1;
        if let (Some((read, _)), "GET" | "MGET") = (&mut self.tracked, &*c[0]) {
            read.extend(words[1..].iter().cloned());
        }
        match &*c[0] {
            "EVAL" => (0..c[1].parse().unwrap_or(0))
                .fold(Value::Int(1), |inner, _: u32| Value::Array(vec![inner])),
            "GET" => store.strings.get(&at(1)).map_or(Value::Null, Value::bulk),
            "SET" => {
                store.strings.insert(at(1), words[2].clone());
                changed(&mut store.changes, at(1));
                store.written.push(words[1].clone());
                Value::ok()
            }
            "MSET" => {
                for pair in words[1..].chunks(2) {
                    store.strings.insert((db, pair[0].clone()), pair[1].clone());
                }
                Value::ok()
            }
            "MGET" => Value::Array(
                words[1..]
                    .iter()
                    .map(|k| store.strings.get(&(db, k.clone())).map_or(Value::Null, Value::bulk))
                    .collect(),
            ),
            "DEL" => Value::Int(
                words[1..]
                    .iter()
                    .filter(|k| store.strings.remove(&(db, k.to_vec())).is_some())
                    .count() as i64,
            ),
            "INCR" => {
                let old = store
                    .strings
                    .get(&at(1))
                    .map_or(Some(0), |v| String::from_utf8_lossy(v).parse::<i64>().ok());
                match old {
                    Some(n) => {
                        store.strings.insert(at(1), (n + 1).to_string().into_bytes());
                        changed(&mut store.changes, at(1));
                        Value::Int(n + 1)
                    }
                    None => Value::Error("ERR value is not an integer or out of range".into()),
                }
            }
            "LPUSH" | "RPUSH" => {
                let list = store.lists.entry(at(1)).or_default();
                for value in &words[2..] {
                    list.push_front(value.clone());
                }
                Value::Int(list.len() as i64)
            }
            "LLEN" => Value::Int(store.lists.get(&at(1)).map_or(0, |l| l.len() as i64)),
            "PUBLISH" => {
                store.published.push((words[1].clone(), words[2].clone()));
                Value::Int(1)
            }
            "DBSIZE" => Value::Int(store.strings.keys().filter(|k| k.0 == db).count() as i64),
            other => Value::Error(format!("ERR unknown command '{other}'")),
        }
    }
}

impl Script for Server {
    fn heard(&mut self, io: &mut Io<'_>, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        let think = self.store.borrow().think.as_micros() as u64;
        if think == 0 {
            self.work(io);
        } else {
            let wait = io.rng.u64(0..=think);
            io.after(Duration::from_micros(wait), POLL + 1);
        }
    }

    fn timer(&mut self, io: &mut Io<'_>, token: u64) {
        if token != POLL {
            return self.work(io);
        }
        self.polls = false;
        if let Some((keys, until)) = self.blocked.clone() {
            let found = self.pop(&keys);
            if found.is_some() || until <= io.now {
                self.blocked = None;
                self.store.borrow_mut().blocked -= 1;
                let null = if self.resp3 { &b"_\r\n"[..] } else { b"*-1\r\n" };
                match found {
                    Some(found) => self.say(io, &found),
                    None => io.send(null),
                }
            } else {
                self.poll_later(io);
            }
        }
        let published = self.store.borrow().published[self.heard..].to_vec();
        self.heard += published.len();
        for (channel, text) in published {
            if self.channels.contains(&channel) {
                let all = vec![Value::bulk("message"), Value::Bulk(channel), Value::Bulk(text)];
                self.say(io, &Value::Push(all));
            }
        }
        self.invalidate(io);
        if !self.channels.is_empty() || self.tracked.is_some() {
            self.poll_later(io);
        }
        self.work(io);
    }

    fn closed(&mut self, _: Time) {
        if self.blocked.take().is_some() {
            self.store.borrow_mut().blocked -= 1;
        }
    }
}
