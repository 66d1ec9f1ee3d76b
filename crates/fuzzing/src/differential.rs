//! The codecs against decoders that others wrote: where both read a frame it has the same length,
//! and what the other one reads, the codec does not take for garbage.

use heptad_core::{Asked, Codec, Ctx, Fault, Flavour, Outcome, Side, Step};
use heptad_redis::{Redis, Tag as RedisTag};
use heptad_testkit::fuzz::control::SERVER;
use heptad_thrift::{Tag as ThriftTag, Thrift};
use redis_protocol::{
    resp2::{self, types::OwnedFrame as Frame2},
    resp3,
};
use thrift::protocol::{TBinaryInputProtocol, TCompactInputProtocol, TInputProtocol, TType};

use crate::suites::{REDIS, codec};

/// Longest input; the other decoders copy what they read.
const LONGEST: usize = 16 << 10;

struct Anything;

impl Asked<RedisTag> for Anything {
    fn tag(&self, _: u64) -> Option<RedisTag> {
        Some(RedisTag::default())
    }
}

impl Asked<ThriftTag> for Anything {
    fn tag(&self, _: u64) -> Option<ThriftTag> {
        Some(ThriftTag::default())
    }
}

/// The first frame, by the codec: its length, and why it cannot be forwarded.
enum First {
    Frame(usize),
    Reject(usize),
    Need,
    Fault(Fault),
}

fn first<T>(step: Result<Step<T>, Fault>) -> First {
    match step {
        Ok(Step::Frame(meta, _)) => First::Frame(meta.len as usize),
        Ok(Step::Reject(meta, _)) => First::Reject(meta.len as usize),
        Ok(_) => First::Need,
        Err(fault) => First::Fault(fault),
    }
}

/// The payload of an input of the other targets, and whether a server sent it.
fn payload(data: &[u8]) -> Option<(bool, &[u8])> {
    let (control, rest) = data.get(..data.len().min(LONGEST))?.split_first()?;
    if control & SERVER == 0 {
        return Some((false, rest));
    }
    let (len, rest) = rest.split_first_chunk::<2>()?;
    Some((true, rest.get(usize::from(u16::from_be_bytes(*len))..)?))
}

pub(crate) fn redis(data: &[u8]) {
    let Some((server, bytes)) = payload(data) else {
        return;
    };
    if server { redis_reply(bytes) } else { redis_request(bytes) }
}

/// Requests that are arrays; what else the other one calls a frame is none.
fn redis_request(bytes: &[u8]) {
    if bytes.first() != Some(&b'*') {
        return;
    }
    let redis = REDIS.with(Redis::clone);
    let mut conn = redis.open(Side::Session, Flavour::default());
    let ours = first(redis.decode_request(&mut conn, &Ctx::default(), bytes));
    let theirs = match resp2::decode::decode(bytes) {
        Ok(Some((frame, len))) => is_request(&frame)
            .then_some(len)
            .filter(|_| same(bytes, len, |buf| resp2::encode::encode(buf, &frame, false).ok())),
        _ => None,
    };
    match (ours, theirs) {
        (First::Frame(ours) | First::Reject(ours), Some(theirs)) => {
            assert_eq!(ours, theirs, "{:?}", bytes.escape_ascii().to_string());
        }
        (First::Need, Some(theirs)) => {
            panic!("a whole request of {theirs} bytes: {}", bytes.escape_ascii())
        }
        (First::Fault(fault), Some(theirs)) if fault.outcome != Outcome::TooLarge => {
            panic!("{fault:?} for {theirs} bytes: {}", bytes.escape_ascii())
        }
        // The other one is more lenient or stricter with numbers (signs, leading zeros), and this
        // codec takes an inline command for what it is.
        _ => {}
    }
}

fn is_request(frame: &Frame2) -> bool {
    match frame {
        Frame2::Array(all) if !all.is_empty() => {
            all.iter().all(|one| matches!(one, Frame2::BulkString(_)))
        }
        _ => false,
    }
}

/// Whether a frame that was read is written as it was: the other decoder takes more for a frame
/// than what its own encoder, or any server, would ever write.
fn same(bytes: &[u8], len: usize, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
    let mut buf = vec![0; len + 64];
    write(&mut buf) == Some(len) && buf.get(..len) == bytes.get(..len)
}

fn redis_reply(bytes: &[u8]) {
    let redis = REDIS.with(Redis::clone);
    let mut link = redis.open(Side::Link(&Default::default()), Flavour::default());
    let ours = first(redis.decode_reply(&mut link, &Anything, &Ctx::default(), bytes));
    let resp2 = resp2::decode::decode(bytes).ok().flatten();
    let resp2 = resp2.filter(|(frame, len)| {
        same(bytes, *len, |buf| resp2::encode::encode(buf, frame, false).ok())
    });
    // Attributes are a frame of their own there, and aggregates without an end nowhere in use.
    let resp3 = if bytes.contains(&b'|') {
        None
    } else {
        resp3::decode::complete::decode(bytes).ok().flatten()
    };
    let resp3 = resp3.filter(|(frame, len)| {
        same(bytes, *len, |buf| resp3::encode::complete::encode(buf, frame, false).ok())
    });
    let (resp2, resp3) = (resp2.map(|(_, len)| len), resp3.map(|(_, len)| len));
    for theirs in [resp2, resp3].into_iter().flatten() {
        match ours {
            First::Frame(ours) if ours == theirs => {}
            // Too deep, too many or too long for the limits.
            First::Fault(Fault { outcome: Outcome::TooLarge, .. }) => {}
            // Pieces of a string without a length, which no server sends.
            First::Fault(Fault { text: "unknown type of reply", .. }) if bytes.contains(&b';') => {}
            // A CR or an LF alone within a line: no server sends one.
            First::Fault(Fault { text: "line is not ended by CR LF", .. }) => {}
            First::Frame(ours) => {
                panic!("{ours} bytes, and not {theirs}: {}", bytes.escape_ascii())
            }
            First::Need => panic!("a whole reply of {theirs} bytes: {}", bytes.escape_ascii()),
            First::Reject(_) => panic!("a reply was rejected: {}", bytes.escape_ascii()),
            First::Fault(fault) => {
                panic!("{fault:?} for {theirs} bytes: {}", bytes.escape_ascii())
            }
        }
    }
}

/// What messages begin with, in the two protocols that the crate has.
enum Speaks {
    Strict,
    Compact,
}

/// Reads a message to its end.
fn read(speaks: &Speaks, bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    let all = |input: &mut dyn TInputProtocol| {
        input.read_message_begin()?;
        input.skip_till_depth(TType::Struct, 60)
    };
    let read = match speaks {
        Speaks::Strict => all(&mut TBinaryInputProtocol::new(&mut rest, true)),
        Speaks::Compact => all(&mut TCompactInputProtocol::new(&mut rest)),
    };
    read.ok().map(|()| bytes.len() - rest.len())
}

/// Unframed messages, whose end must be found.
pub(crate) fn thrift(data: &[u8]) {
    let Some((server, bytes)) = payload(data) else {
        return;
    };
    // A frame's message is read without its frame.
    let bytes = match bytes {
        [0, _, _, _, rest @ ..] if matches!(rest, [0x80 | 0x82, ..]) => rest,
        _ => bytes,
    };
    let speaks = match bytes {
        [0x80, 1, ..] => Speaks::Strict,
        [0x82, ..] => Speaks::Compact,
        _ => return,
    };
    // The other one believes every length, and takes the memory for it at once.
    let thrift: Thrift = codec();
    let ours = if server {
        let mut link = thrift.open(Side::Link(&Default::default()), Flavour::default());
        first(thrift.decode_reply(&mut link, &Anything, &Ctx::default(), bytes))
    } else {
        let mut session = thrift.open(Side::Session, Flavour::default());
        first(thrift.decode_request(&mut session, &Ctx::default(), bytes))
    };
    match ours {
        First::Frame(ours) | First::Reject(ours) => {
            let message = bytes.get(..ours).unwrap_or(bytes);
            if let Some(theirs) = read(&speaks, message) {
                assert_eq!(ours, theirs, "{}", message.escape_ascii());
            }
            // One byte less is no message for either.
            let short = message.get(..ours.saturating_sub(1)).unwrap_or_default();
            assert_eq!(read(&speaks, short), None, "{}", message.escape_ascii());
        }
        First::Need | First::Fault(_) => {}
    }
}
