//! The demo's Redis-like stores: a handful of commands over a map in memory, on real sockets. They
//! count what they did, for the verdict; they know nothing of the router in front of them.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Mutex, PoisonError},
};

use super::{resp::Value, service::Service};

/// One store.
#[derive(Debug, Default)]
pub(crate) struct Store(Mutex<Content>);

/// What a store holds and did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    /// Keys and values.
    pub(crate) keys: HashMap<String, Item>,
    /// Commands served, by name.
    pub(crate) served: BTreeMap<String, u64>,
    /// Errors answered, by code.
    pub(crate) errors: BTreeMap<String, u64>,
}

/// A value in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Text(String),
    List(Vec<String>),
}

const WRONGTYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

impl Store {
    /// A copy of everything.
    pub(crate) fn content(&self) -> Content {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Service for Store {
    fn answer(&self, buf: &[u8], out: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let Some((command, len)) = Value::decode(buf).map_err(|_| io::ErrorKind::InvalidData)?
        else {
            return Ok(None);
        };
        let mut content = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        content.command(&command).encode(out);
        Ok(Some(len))
    }
}

impl Content {
    fn command(&mut self, command: &Value) -> Value {
        let Value::Array(items) = command else {
            return Value::Error("ERR expected a command".to_owned());
        };
        let words: Option<Vec<&str>> = items
            .iter()
            .map(|item| match item {
                Value::Bulk(bytes) => std::str::from_utf8(bytes).ok(),
                _ => None,
            })
            .collect();
        let Some((name, args)) = words.as_deref().and_then(<[&str]>::split_first) else {
            return Value::Error("ERR expected a command of texts".to_owned());
        };
        let name = name.to_ascii_uppercase();
        let reply = self.answer(&name, args);
        if let Some(code) = reply.code() {
            *self.errors.entry(code.to_owned()).or_default() += 1;
        }
        *self.served.entry(name).or_default() += 1;
        reply
    }

    fn answer(&mut self, name: &str, args: &[&str]) -> Value {
        match (name, args) {
            ("PING", []) => Value::Simple("PONG".to_owned()),
            ("PING" | "ECHO", [text]) => Value::bulk(*text),
            ("SELECT", ["0"]) => Value::ok(),
            ("DBSIZE", []) => count(self.keys.len()),
            ("SET", [key, value]) => {
                self.set(key, value);
                Value::ok()
            }
            ("MSET", [_, _, ..]) if args.len().is_multiple_of(2) => {
                for pair in args.chunks_exact(2) {
                    if let [key, value] = pair {
                        self.set(key, value);
                    }
                }
                Value::ok()
            }
            ("GET", [key]) => match self.keys.get(*key) {
                Some(Item::Text(value)) => Value::bulk(value.as_str()),
                Some(Item::List(_)) => Value::Error(WRONGTYPE.to_owned()),
                None => Value::Nil,
            },
            ("MGET", [_, ..]) => Value::Array(
                args.iter()
                    .map(|key| match self.keys.get(*key) {
                        Some(Item::Text(value)) => Value::bulk(value.as_str()),
                        _ => Value::Nil,
                    })
                    .collect(),
            ),
            ("DEL" | "UNLINK", [_, ..]) => {
                count(args.iter().filter(|key| self.keys.remove(**key).is_some()).count())
            }
            ("EXISTS", [_, ..]) => {
                count(args.iter().filter(|key| self.keys.contains_key(**key)).count())
            }
            ("INCR", [key]) => self.incr(key),
            ("RPUSH", [key, value]) => {
                let item = self.keys.entry((*key).to_owned());
                match item.or_insert_with(|| Item::List(Vec::new())) {
                    Item::Text(_) => Value::Error(WRONGTYPE.to_owned()),
                    Item::List(list) => {
                        list.push((*value).to_owned());
                        count(list.len())
                    }
                }
            }
            ("LLEN", [key]) => match self.keys.get(*key) {
                Some(Item::List(list)) => count(list.len()),
                Some(Item::Text(_)) => Value::Error(WRONGTYPE.to_owned()),
                None => Value::Int(0),
            },
            _ => Value::Error(format!("ERR unknown command '{name}' or wrong arguments")),
        }
    }

    fn set(&mut self, key: &str, value: &str) {
        self.keys.insert(key.to_owned(), Item::Text(value.to_owned()));
    }

    fn incr(&mut self, key: &str) -> Value {
        let old = match self.keys.get(key) {
            None => 0,
            Some(Item::List(_)) => return Value::Error(WRONGTYPE.to_owned()),
            Some(Item::Text(text)) => match text.parse::<i64>() {
                Ok(n) => n,
                Err(_) => {
                    return Value::Error("ERR value is not an integer or out of range".to_owned());
                }
            },
        };
        let new = old.saturating_add(1);
        self.set(key, &new.to_string());
        Value::Int(new)
    }
}

fn count(n: usize) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(content: &mut Content, line: &str) -> Value {
        content.command(&Value::Array(line.split(' ').map(Value::bulk).collect()))
    }

    #[test]
    fn commands_answer_as_redis_does() {
        let mut c = Content::default();
        assert_eq!(run(&mut c, "get a"), Value::Nil);
        assert_eq!(run(&mut c, "MSET a 1 b 2"), Value::ok());
        assert_eq!(run(&mut c, "INCR a"), Value::Int(2));
        assert_eq!(
            run(&mut c, "MGET a x b"),
            Value::Array(vec![Value::bulk("2"), Value::Nil, Value::bulk("2")])
        );
        assert_eq!(run(&mut c, "EXISTS a a x"), Value::Int(2));
        assert_eq!(run(&mut c, "DEL a x"), Value::Int(1));
        assert_eq!(run(&mut c, "RPUSH l v"), Value::Int(1));
        assert_eq!(run(&mut c, "GET l").code(), Some("WRONGTYPE"));
        assert_eq!(run(&mut c, "MSET a").code(), Some("ERR"));
        assert_eq!(c.errors.values().sum::<u64>(), 2);
        assert_eq!(c.served.get("GET"), Some(&2));
    }
}
