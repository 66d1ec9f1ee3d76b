//! Frames as messages.

use super::{Value, WireError, read::Source, value::Writer};
use crate::{
    frame::{EVENT, FIXED, HESSIAN2, Head, MAGIC, OK, REQUEST, TWO_WAY, put},
    hessian::{put_int, put_text},
    reply::READ_ONLY,
};

/// The framework version that requests name: one whose clients read attachments of replies.
const FRAMEWORK: &str = "2.0.2";
/// Longest frame that is read.
const MAX_FRAME: u32 = 16 << 20;

/// A frame, taken apart.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// A call.
    Request(Request),
    /// The reply to one.
    Reply(Reply),
    /// A heartbeat that wants an answer.
    Ping(u64),
    /// The answer to a heartbeat.
    Pong(u64),
    /// The server wants no new requests.
    ReadOnly,
    /// Another event that wants no answer.
    Event,
}

/// A call.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Request {
    /// Repeated by the reply.
    pub id: u64,
    /// Whether there is to be a reply.
    pub two_way: bool,
    /// The version of the protocol that the client's framework speaks.
    pub framework: String,
    /// The service, by the name of its interface.
    pub service: String,
    /// The version of the service.
    pub version: String,
    /// The method.
    pub method: String,
    /// The types of the arguments, as the Java virtual machine writes them.
    pub types: String,
    /// The arguments.
    pub args: Vec<Value>,
    /// The attachments that are texts by name.
    pub attachments: Vec<(String, Value)>,
}

impl Request {
    /// The attachment of this name that counts, if it is a text.
    pub fn attachment(&self, name: &str) -> Option<&str> {
        last(&self.attachments, name)
    }
}

/// A reply.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Reply {
    /// The request's.
    pub id: u64,
    /// What came of it.
    pub result: Outcome,
    /// Attachments, if the reply has them.
    pub attachments: Vec<(String, Value)>,
}

impl Reply {
    /// The attachment of this name that counts, if it is a text.
    pub fn attachment(&self, name: &str) -> Option<&str> {
        last(&self.attachments, name)
    }
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::exhaustive_enums, reason = "the protocol has these and no others")]
pub enum Outcome {
    /// A value, or null.
    Value(Value),
    /// What the application threw.
    Exception(Value),
    /// Another status than 20, and its text.
    Error(u8, String),
}

fn last<'a>(attachments: &'a [(String, Value)], name: &str) -> Option<&'a str> {
    attachments.iter().rev().find(|(known, _)| known == name)?.1.text()
}

/// A call for one reply. `types` are the arguments' as the Java virtual machine writes them, one for
/// each: `Ljava/lang/String;I`. The attachments are what is given, and the path, as of every client.
pub fn request(
    id: u64,
    service: &str,
    version: &str,
    method: &str,
    types: &str,
    args: &[Value],
    attachments: &[(&str, &str)],
) -> Vec<u8> {
    call(REQUEST | TWO_WAY, id, (service, version, method, types), args, attachments)
}

/// A call without a reply; everything else is as in [`request`].
pub fn oneway(
    id: u64,
    service: &str,
    version: &str,
    method: &str,
    types: &str,
    args: &[Value],
    attachments: &[(&str, &str)],
) -> Vec<u8> {
    call(REQUEST, id, (service, version, method, types), args, attachments)
}

fn call(
    flags: u8,
    id: u64,
    (service, version, method, types): (&str, &str, &str, &str),
    args: &[Value],
    attachments: &[(&str, &str)],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, flags | HESSIAN2, 0, id, |out| {
        for text in [FRAMEWORK, service, version, method, types] {
            put_text(out, text);
        }
        let mut writer = Writer::default();
        args.iter().for_each(|arg| writer.put(out, arg));
        let all = [("path", service)].into_iter().chain(attachments.iter().copied());
        writer.put(out, &map(all));
    });
    bytes
}

fn map<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    Value::Map(pairs.map(|(name, value)| (name.into(), value.into())).collect())
}

/// A reply: a value (or [`Value::Null`]), or an error with its status and text.
pub fn reply(id: u64, result: Result<Value, (u8, &str)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    match result {
        Ok(value) => put(&mut bytes, HESSIAN2, OK, id, |out| match value {
            Value::Null => put_int(out, 2),
            value => {
                put_int(out, 1);
                Writer::default().put(out, &value);
            }
        }),
        Err((status, text)) => put(&mut bytes, HESSIAN2, status, id, |out| put_text(out, text)),
    }
    bytes
}

/// A reply with what the application threw.
pub fn exception(id: u64, thrown: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, HESSIAN2, OK, id, |out| {
        put_int(out, 0);
        Writer::default().put(out, thrown);
    });
    bytes
}

/// A heartbeat that wants an answer.
pub fn heartbeat(id: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, REQUEST | TWO_WAY | EVENT | HESSIAN2, 0, id, |out| out.push(b'N'));
    bytes
}

/// The answer to a heartbeat.
pub fn pong(id: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, EVENT | HESSIAN2, OK, id, |out| out.push(b'N'));
    bytes
}

/// A server's wish for no new requests.
pub fn read_only() -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, REQUEST | EVENT | HESSIAN2, 0, 0, |out| out.extend_from_slice(READ_ONLY));
    bytes
}

/// Takes the first frame of `buf` apart and tells how many bytes it had; `None` until all of it is
/// there. After an error the connection is of no more use.
pub fn read(buf: &[u8]) -> Result<Option<(Message, usize)>, WireError> {
    if buf.iter().zip(MAGIC).any(|(byte, magic)| *byte != magic) {
        return Err(WireError("not Dubbo"));
    }
    let Some(head) = Head::of(buf) else {
        return Ok(None);
    };
    if head.len > MAX_FRAME {
        return Err(WireError("frame is too long"));
    }
    let len = head.len as usize;
    let Some(body) = buf.get(FIXED..len) else {
        return Ok(None);
    };
    let message = match (head.is(EVENT), head.is(REQUEST)) {
        (true, true) if head.is(TWO_WAY) => Message::Ping(head.id),
        (true, true) if body == READ_ONLY => Message::ReadOnly,
        (true, true) => Message::Event,
        (true, false) => Message::Pong(head.id),
        _ if head.serialization() != HESSIAN2 => return Err(WireError("not Hessian 2")),
        (false, true) => Message::Request(request_of(&head, body)?),
        (false, false) => Message::Reply(reply_of(&head, body)?),
    };
    Ok(Some((message, len)))
}

/// As [`read`], for servers that want nothing but requests.
pub fn read_request(buf: &[u8]) -> Result<Option<(Request, usize)>, WireError> {
    match read(buf)? {
        Some((Message::Request(request), len)) => Ok(Some((request, len))),
        Some(_) => Err(WireError("not a request")),
        None => Ok(None),
    }
}

/// As [`read`], for clients that want nothing but replies.
pub fn read_reply(buf: &[u8]) -> Result<Option<(Reply, usize)>, WireError> {
    match read(buf)? {
        Some((Message::Reply(reply), len)) => Ok(Some((reply, len))),
        Some(_) => Err(WireError("not a reply")),
        None => Ok(None),
    }
}

fn request_of(head: &Head, body: &[u8]) -> Result<Request, WireError> {
    let mut source = Source::new(body);
    let mut request = Request {
        id: head.id,
        two_way: head.is(TWO_WAY),
        framework: source.text()?,
        service: source.text()?,
        version: source.text()?,
        method: source.text()?,
        types: source.text()?,
        ..Request::default()
    };
    for _ in 0..arity(&request.types) {
        request.args.push(source.value()?);
    }
    request.attachments = attachments(&mut source)?;
    Ok(request)
}

fn reply_of(head: &Head, body: &[u8]) -> Result<Reply, WireError> {
    let mut source = Source::new(body);
    let (result, has) = if head.status == OK {
        let flag = source.int()?;
        let result = match flag % 3 {
            0 => Outcome::Exception(source.value()?),
            1 => Outcome::Value(source.value()?),
            2 => Outcome::Value(Value::Null),
            _ => return Err(WireError("unknown flag")),
        };
        (result, flag >= 3)
    } else {
        (Outcome::Error(head.status, source.text()?), false)
    };
    let attachments = if has { attachments(&mut source)? } else { Vec::new() };
    if !source.is_empty() {
        return Err(WireError("body is too long"));
    }
    Ok(Reply { id: head.id, result, attachments })
}

fn attachments(source: &mut Source<'_>) -> Result<Vec<(String, Value)>, WireError> {
    if source.is_empty() {
        return Ok(Vec::new());
    }
    let pairs = match source.value()? {
        Value::Map(pairs) => pairs,
        Value::Null => Vec::new(),
        _ => return Err(WireError("attachments are not a map")),
    };
    if !source.is_empty() {
        return Err(WireError("body is too long"));
    }
    let texts = pairs.into_iter().filter_map(|(key, value)| match key {
        Value::Text(key) => Some((key, value)),
        _ => None,
    });
    Ok(texts.collect())
}

/// How many types there are: what is left of each without the brackets of arrays is a letter, or a
/// name from `L` to a semicolon.
fn arity(types: &str) -> usize {
    let mut rest = types.trim_start_matches('[');
    let mut count = 0;
    while let Some(first) = rest.chars().next() {
        let end = if first == 'L' { rest.find(';').map_or(rest.len(), |at| at + 1) } else { 1 };
        rest = rest.get(end..).unwrap_or_default().trim_start_matches('[');
        count += 1;
    }
    count
}
