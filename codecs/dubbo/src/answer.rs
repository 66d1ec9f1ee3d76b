//! Answers of Heptad's own, in words that clients turn into exceptions with the text.
//!
//! A client reads a reply's body in the serialization that the reply names, so that Hessian 2, which
//! every client has, serves for all; only whoever asked in JSON is answered in JSON.

use heptad_core::{Answer, Fault, Kind, Meta, Outcome};

use crate::{
    frame::{EVENT, FASTJSON, HESSIAN2, OK, put},
    hessian::{put_int, put_text},
};

/// Writes the answer to a frame in the given serialization.
pub(crate) fn answer(
    to: &Meta,
    serialization: u8,
    answer: &Answer<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let json = serialization == FASTJSON;
    let flags = if json { FASTJSON } else { HESSIAN2 };
    let (status, text) = match *answer {
        Answer::Pong => {
            let null: &[u8] = if json { b"null" } else { b"N" };
            put(out, EVENT | flags, OK, to.id, |out| out.extend_from_slice(null));
            return Ok(());
        }
        _ if to.kind == Kind::Oneway => return Ok(()), // Its sender does not listen.
        Answer::Direct { text } => (OK, text),
        Answer::Error { outcome, text, .. } => (status_of(outcome), text),
        _ => return Err(Fault::malformed("Dubbo has no answers of its own")),
    };
    put(out, flags, status, to.id, |out| match (json, status) {
        (false, OK) => {
            put_int(out, 1);
            put_text(out, text);
        }
        (false, _) => put_text(out, text),
        (true, OK) => {
            out.extend_from_slice(b"1\n");
            put_json(out, text);
        }
        (true, _) => put_json(out, text),
    });
    Ok(())
}

/// The status with which clients are told. All but the time-outs become the same exception in Java;
/// the number is in its log, and tells other clients whether to try elsewhere.
fn status_of(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Timeout => 31,
        Outcome::BadRequest | Outcome::TooLarge => 40,
        Outcome::ProtocolError => 50,
        Outcome::NoRoute => 60,
        Outcome::Denied | Outcome::Unauthenticated => 70,
        Outcome::Overloaded | Outcome::Limited => 100,
        _ => 80,
    }
}

/// One line of JSON.
fn put_json(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
            '\0'..='\x1f' => {
                let hex = |n: u8| b"0123456789abcdef".get(usize::from(n)).copied();
                let (high, low) = (hex(c as u8 >> 4), hex(c as u8 & 15));
                out.extend_from_slice(b"\\u00");
                out.extend(high.into_iter().chain(low));
            }
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.extend_from_slice(b"\"\n");
}
