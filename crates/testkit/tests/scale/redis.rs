//! Redis: everything in order, on shared links; and transactions, blocking pops and several keys.

use heptad_redis::Redis as Codec;
use heptad_testkit::sim::resp::{Value, command, line};

use crate::tongue::{Asked, Extra, Said, Sort, Tongue, Verb};

#[derive(Default)]
pub(crate) struct Redis;

/// A value as one text; errors anywhere in it make it one.
fn text(value: &Value) -> Result<String, String> {
    Ok(match value {
        Value::Simple(text) => text.clone(),
        Value::Error(text) => return Err(text.clone()),
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Array(all) => all.iter().map(text).collect::<Result<Vec<_>, _>>()?.join(","),
        Value::Null => "nil".to_owned(),
        other => format!("{other:?}"),
    })
}

fn bytes(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(false, &mut out);
    out
}

impl Tongue for Redis {
    type Codec = Codec;
    /// The keys of the transaction; none if it is spoilt.
    type Link = Option<Option<Vec<String>>>;

    const NAME: &'static str = "redis";
    const ORDERED: bool = true;
    const QUEUES: bool = true;
    const TOKEN: &'static str = "key";
    const KEYED: bool = true;

    fn call(_: u64, verb: Verb, token: &str) -> Vec<u8> {
        command(&[verb.name(), token])
    }

    fn extra(rng: &mut fastrand::Rng, token: &str) -> Vec<Extra> {
        let one =
            |text: &str, says: &str, sort| Extra { bytes: line(text), says: says.to_owned(), sort };
        match rng.u32(0..3) {
            0 => {
                let keys = [0, 1, 2].map(|n| format!("{token}.{n}"));
                vec![one(&format!("MGET {}", keys.join(" ")), &keys.join(","), Sort::Plain)]
            }
            1 => vec![one(&format!("BLPOP {token} 0.05"), "nil", Sort::Waits)],
            _ => vec![
                one("MULTI", "OK", Sort::Holds),
                one(&format!("GET {token}.t"), "QUEUED", Sort::Holds),
                one(&format!("STRLEN {token}.t"), "QUEUED", Sort::Holds),
                one("EXEC", &format!("{token}.t,{token}.t"), Sort::Holds),
            ],
        }
    }

    fn said(buf: &[u8]) -> Option<(Option<Said>, usize)> {
        if buf.is_empty() {
            return None;
        }
        let (value, n) = Value::decode(buf)?;
        Some((Some(Said { id: None, result: text(&value) }), n))
    }

    fn asked(multi: &mut Self::Link, buf: &[u8]) -> Option<(Asked, usize)> {
        if buf.is_empty() {
            return None;
        }
        let (value, n) = Value::decode(buf)?;
        let Value::Array(words) = value else {
            panic!("{value:?} is no command");
        };
        let words: Vec<String> = words.iter().map(|word| text(word).expect("no error")).collect();
        let key = words.get(1).cloned().unwrap_or_default();
        let say = |value: Value| Asked::Say(bytes(&value), 0);
        let asked = match (&*words[0], multi.as_mut()) {
            ("EXEC", _) => say(match multi.take() {
                Some(Some(keys)) => Value::Array(keys.iter().map(Value::bulk).collect()),
                Some(None) => Value::Error("EXECABORT there were errors".to_owned()),
                None => Value::Error("ERR EXEC without MULTI".to_owned()),
            }),
            ("DISCARD", _) => {
                *multi = None;
                say(Value::ok())
            }
            ("MULTI", Some(_)) => say(Value::Error("ERR nested".to_owned())),
            // How a router says that a command of the transaction was refused.
            (_, Some(queued)) if words.len() < 2 => {
                *queued = None;
                say(Value::Error("ERR wrong number of arguments".to_owned()))
            }
            (_, Some(queued)) => {
                queued.iter_mut().for_each(|keys| keys.push(key.clone()));
                say(Value::Simple("QUEUED".to_owned()))
            }
            ("MULTI", None) => {
                *multi = Some(Some(Vec::new()));
                say(Value::ok())
            }
            ("MGET", None) => say(Value::Array(words[1..].iter().map(Value::bulk).collect())),
            ("BLPOP", None) => Asked::Say(b"*-1\r\n".to_vec(), 50),
            ("PING", None) => say(Value::Simple("PONG".to_owned())),
            (name, None) => match Verb::from_name(name) {
                Some(verb) => Asked::Call { id: 0, verb, token: key },
                None => say(Value::ok()),
            },
        };
        Some((asked, n))
    }

    fn answer(_: u64, result: Result<&str, &str>) -> Vec<u8> {
        bytes(&match result {
            Ok(text) => Value::bulk(text),
            Err(text) => Value::Error(format!("ERR {text}")),
        })
    }

    fn garbage() -> &'static [u8] {
        b"*1\r\n$-7\r\n"
    }
}
