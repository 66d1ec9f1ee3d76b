//! What `heptad record` wrote: JSON, a line for each request and each reply, behind a first line
//! that says which listener it was.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::bytes::digits;

/// The requests of one connection, in order.
pub(super) struct Session {
    pub(super) number: u64,
    pub(super) requests: Vec<Request>,
}

pub(super) struct Request {
    pub(super) call: u64,
    pub(super) nanos: u64,
    /// Service and method.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    /// What came of it; none if the recording ended before.
    pub(super) reply: Option<Reply>,
}

/// What came of a request: as it was recorded, or as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) outcome: String,
    pub(super) code: String,
    pub(super) bytes: Vec<u8>,
}

pub(super) fn read(text: &str) -> Result<Vec<Session>, String> {
    let mut sessions: Vec<Session> = Vec::new();
    let mut place: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let bad = |why: String| format!("line {}: {why}", number + 1);
        if line.trim().is_empty() {
            continue;
        }
        let value: Value = serde_json::from_str(line).map_err(|error| bad(error.to_string()))?;
        let side = value["side"].as_str();
        if side.is_none() {
            continue;
        }
        let word = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let count = |name: &str| {
            value[name].as_u64().ok_or_else(|| bad(format!("`{name}` is missing or no number")))
        };
        let bytes = digits(word("hex").as_bytes()).map_err(bad)?;
        let call = count("call")?;
        if side == Some("reply") {
            let reply = Reply { outcome: word("outcome"), code: word("code"), bytes };
            let found = place.get(&call).and_then(|(session, request)| {
                sessions.get_mut(*session)?.requests.get_mut(*request)
            });
            if let Some(request) = found {
                request.reply = Some(reply);
            }
            continue;
        }
        if bytes.is_empty() {
            return Err(bad("a request without its bytes cannot be sent".to_owned()));
        }
        let session = count("session")?;
        let at = sessions.iter().position(|known| known.number == session);
        let at = at.unwrap_or_else(|| {
            sessions.push(Session { number: session, requests: Vec::new() });
            sessions.len() - 1
        });
        let (service, method) = (word("service"), word("method"));
        let dot = if service.is_empty() { "" } else { "." };
        let name = format!("{service}{dot}{method}");
        if let Some(session) = sessions.get_mut(at) {
            place.insert(call, (at, session.requests.len()));
            let nanos = count("nanos")?;
            session.requests.push(Request { call, nanos, name, bytes, reply: None });
        }
    }
    Ok(sessions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_find_their_requests() {
        let text = r#"{"listener":"a","frames":true}
{"side":"request","nanos":5,"call":1,"session":9,"service":"s","method":"m","hex":"6162"}
{"side":"request","nanos":6,"call":2,"session":8,"service":"","method":"GET","hex":"63"}

{"side":"reply","nanos":7,"call":2,"session":8,"outcome":"ok","code":"","hex":"64"}
"#;
        let all = read(text).expect("a recording");
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].number, &*all[0].requests[0].name), (9, "s.m"));
        assert_eq!(all[0].requests[0].reply, None);
        let reply = all[1].requests[0].reply.clone().expect("a reply");
        assert_eq!((&*reply.outcome, &reply.bytes[..]), ("ok", &b"d"[..]));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        assert!(read("{\n").err().expect("no JSON").starts_with("line 1: "));
        let redacted = r#"{"side":"request","nanos":5,"call":1,"session":9,"method":"m"}"#;
        assert!(read(redacted).err().expect("no bytes").contains("without its bytes"));
    }
}
