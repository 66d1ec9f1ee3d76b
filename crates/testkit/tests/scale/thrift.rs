//! Thrift, framed and strict binary: clients expect their order, links carry one call at a time.

use heptad_thrift::Thrift as Codec;

use crate::tongue::{Asked, Said, Tongue, Verb};

#[derive(Default)]
pub(crate) struct Thrift;

const CALL: u8 = 1;
const REPLY: u8 = 2;
const EXCEPTION: u8 = 3;
const ONEWAY: u8 = 4;

/// A message with one text at most.
fn message(kind: u8, name: &str, seq: u32, field: u8, text: &str) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 0, 0x80, 1, 0, kind];
    out.extend_from_slice(&(name.len() as u32).to_be_bytes());
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&seq.to_be_bytes());
    out.extend_from_slice(&[11, 0, field]);
    out.extend_from_slice(&(text.len() as u32).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    if kind == EXCEPTION {
        out.extend_from_slice(&[8, 0, 2, 0, 0, 0, 6]);
    }
    out.push(0);
    let len = out.len() as u32 - 4;
    out[..4].copy_from_slice(&len.to_be_bytes());
    out
}

/// Bytes with their length in front.
fn text(buf: &mut &[u8]) -> String {
    let (len, rest) = buf.split_first_chunk::<4>().expect("a length");
    let (text, rest) = rest.split_at(u32::from_be_bytes(*len) as usize);
    *buf = rest;
    String::from_utf8_lossy(text).into_owned()
}

/// Kind, name, sequence id, the text of its first field if it is one, and the length.
fn read(buf: &[u8]) -> Option<(u8, String, u32, Option<String>, usize)> {
    let (len, rest) = buf.split_first_chunk::<4>()?;
    let len = u32::from_be_bytes(*len) as usize;
    let mut body = rest.get(..len)?;
    assert_eq!(body[..3], [0x80, 1, 0], "a strict message");
    let kind = body[3];
    body = &body[4..];
    let name = text(&mut body);
    let (seq, rest) = body.split_first_chunk::<4>().expect("a sequence id");
    body = rest;
    let said = (body.first() == Some(&11)).then(|| {
        body = &body[3..];
        text(&mut body)
    });
    Some((kind, name, u32::from_be_bytes(*seq), said, len + 4))
}

impl Tongue for Thrift {
    type Codec = Codec;
    type Link = ();

    const NAME: &'static str = "thrift";
    const ORDERED: bool = true;
    const QUEUES: bool = true;
    const TOKEN: &'static str = "arg.1";

    fn call(id: u64, verb: Verb, token: &str) -> Vec<u8> {
        message(CALL, verb.name(), id as u32, 1, token)
    }

    fn oneway(token: &str) -> Option<Vec<u8>> {
        Some(message(ONEWAY, Verb::Echo.name(), u32::MAX, 1, token))
    }

    fn said(buf: &[u8]) -> Option<(Option<Said>, usize)> {
        let (kind, _, seq, text, n) = read(buf)?;
        let text = text.unwrap_or_default();
        let result = if kind == REPLY { Ok(text) } else { Err(text) };
        Some((Some(Said { id: Some(seq.into()), result }), n))
    }

    fn asked((): &mut (), buf: &[u8]) -> Option<(Asked, usize)> {
        let (kind, name, seq, token, n) = read(buf)?;
        let token = token.expect("calls have a text");
        let verb = Verb::from_name(&name).expect("a method that clients call");
        let asked = match kind {
            ONEWAY => Asked::Oneway { token },
            _ => Asked::Call { id: seq.into(), verb, token },
        };
        Some((asked, n))
    }

    fn answer(id: u64, result: Result<&str, &str>) -> Vec<u8> {
        match result {
            Ok(text) => message(REPLY, "m", id as u32, 0, text),
            Err(text) => message(EXCEPTION, "m", id as u32, 1, text),
        }
    }

    fn garbage() -> &'static [u8] {
        &[0, 0, 0, 40, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77]
    }
}
