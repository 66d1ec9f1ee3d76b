//! Bytes that are meant to hurt: lengths, depths, counts, and what is cut off.

use heptad_core::{Codec, Ctx, Fault, Outcome, Reason, Step};
use thrift::protocol::TType;

use crate::wire::*;

const MALFORMED: (Outcome, Reason) = (Outcome::BadRequest, Reason::Malformed);
const UNSUPPORTED: (Outcome, Reason) = (Outcome::BadRequest, Reason::Unsupported);
const FRAME: (Outcome, Reason) = (Outcome::TooLarge, Reason::FrameSize);
const HEAD: (Outcome, Reason) = (Outcome::TooLarge, Reason::HeadSize);
const DEPTH: (Outcome, Reason) = (Outcome::TooLarge, Reason::Depth);
const PARTS: (Outcome, Reason) = (Outcome::TooLarge, Reason::Parts);

/// In one read and byte by byte.
#[track_caller]
fn check(cx: Ctx, bytes: &[u8], expected: (Outcome, Reason)) {
    let codec = codec();
    let mut whole = session(&codec);
    let step = codec.decode_request(&mut whole, &cx, bytes);
    match step {
        Err(Fault { outcome, reason, .. }) | Ok(Step::Reject(_, Fault { outcome, reason, .. })) => {
            assert_eq!((outcome, reason), expected, "{}", bytes.escape_ascii());
        }
        other => panic!("{other:?}: {}", bytes.escape_ascii()),
    }
    let mut conn = session(&codec);
    let mut need = 1;
    for end in 1..=bytes.len() {
        if end < need {
            continue;
        }
        match codec.decode_request(&mut conn, &cx, &bytes[..end]) {
            Ok(Step::Need(n)) => {
                assert!(n > end && n <= cx.max_frame as usize);
                need = n;
            }
            Err(fault) | Ok(Step::Reject(_, fault)) => {
                assert_eq!((fault.outcome, fault.reason), expected);
                return;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("still waiting for {need} bytes: {}", bytes.escape_ascii());
}

fn unframed(body: &[u8]) -> Vec<u8> {
    [b"\x80\x01\0\x01\0\0\0\x01x\0\0\0\x01", body].concat()
}

fn compact(body: &[u8]) -> Vec<u8> {
    [b"\x82\x21\x01\x01x", body].concat()
}

#[test]
fn lengths_that_lie() {
    let cx = Ctx::default().max_frame(1 << 20);
    // Of frames.
    check(cx, b"\x3f\xff\xff\xff\x80\x01", FRAME);
    check(cx, b"\0\x10\0\0\x80\x01", FRAME);
    check(cx, b"\0\0\0\x08\x80\x01\0\x01\0\0\0\x01x", MALFORMED);
    check(cx, b"\0\0\0\x0d\x80\x01\0\x01\0\0\0\x02xy\0\0\0\x01", MALFORMED);
    check(cx, b"\0\0\0\x20\0\0\0\x10\x0f\xff", MALFORMED);
    // Of names.
    check(cx, b"\x80\x01\0\x01\xff\xff\xff\xffx", MALFORMED);
    check(cx, b"\x80\x01\0\x01\x7f\xff\xff\xffx", FRAME);
    check(cx, b"\x80\x01\0\x01\0\x02\0\0x", HEAD);
    check(cx, b"\x82\x21\x01\xff\xff\xff\xff\x0f", MALFORMED);
    check(cx, b"\x82\x21\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", MALFORMED);
    check(cx, &[&b"[1,\""[..], &[b'x'; 2000]].concat(), HEAD);
    // Of strings and containers.
    check(cx, &unframed(b"\x0b\0\x01\xff\xff\xff\xff"), MALFORMED);
    check(cx, &unframed(b"\x0b\0\x01\x7f\xff\xff\xff"), FRAME);
    check(cx, &unframed(b"\x0f\0\x01\x02\x80\0\0\0"), MALFORMED);
    check(cx, &unframed(b"\x0f\0\x01\x02\x7f\xff\xff\xff"), PARTS);
    check(cx, &unframed(b"\x0f\0\x01\x0a\0\x0f\xff\xff"), FRAME);
    check(cx, &unframed(b"\x0d\0\x01\x0b\x0b\x7f\xff\xff\xff"), PARTS);
    check(cx, &compact(b"\x18\xff\xff\xff\xff\x07"), FRAME);
    check(cx, &compact(b"\x18\xff\xff\xff\xff\x0f"), MALFORMED);
    check(cx, &compact(b"\x19\xf1\xff\xff\xff\xff\x07"), PARTS);
    check(cx, &compact(b"\x1b\xff\xff\xff\xff\x07\x11"), PARTS);
}

#[test]
fn types_that_do_not_exist() {
    let cx = Ctx::default();
    check(cx, &unframed(b"\x07\0\x01"), MALFORMED);
    check(cx, &unframed(b"\x0f\0\x01\0\0\0\0\x01\0"), MALFORMED);
    check(cx, &unframed(b"\x0d\0\x01\x0b\x01\0\0\0\x01"), MALFORMED);
    check(cx, &compact(b"\x1e"), MALFORMED);
    check(cx, &compact(b"\x19\x1f"), MALFORMED);
    check(cx, &compact(b"\x16\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), MALFORMED);
    check(cx, b"\x80\x02\0\x01\0\0\0\x01x", MALFORMED);
    check(cx, b"\x82\x22\x01\x01x", MALFORMED);
}

#[test]
fn nesting() {
    let cx = Ctx::default().max_depth(8);
    let deep = |n: usize| (0..n).fold(V::Struct(vec![]), |v, _| V::Struct(vec![(1, v)]));
    let lists = |n: usize| {
        let list = (0..n).fold(V::List(TType::Bool, vec![]), |v, _| V::List(TType::List, vec![v]));
        V::Struct(vec![(1, list)])
    };
    let codec = codec();
    for p in [P::Strict, P::Old, P::Compact] {
        check(cx, &message(p, CALL, "x", 1, &deep(8)), DEPTH);
        check(cx, &message(p, CALL, "x", 1, &lists(7)), DEPTH);
        for good in [deep(7), lists(6)] {
            let bytes = message(p, CALL, "x", 1, &good);
            let step = codec.decode_request(&mut session(&codec), &cx, &bytes);
            assert!(matches!(step, Ok(Step::Frame(..))), "{p:?} {step:?}");
        }
    }
    check(cx, &message(P::Json, CALL, "x", 1, &deep(20)), DEPTH);
    check(cx, &[&b"[1,\"x\",1,1,"[..], &[b'['; 100_000]].concat(), DEPTH);
    check(Ctx::default(), &compact(&b"\x1c".repeat(100_000)), DEPTH);
    check(Ctx::default(), &unframed(&b"\x0c\0\x01".repeat(100_000)), DEPTH);
}

#[test]
fn unframed_messages_that_never_end() {
    let cx = Ctx::default().max_frame(5_000);
    let fields = |n: usize| V::Struct((0..n).map(|_| (1, V::I8(1))).collect());
    for p in PROTOCOLS {
        check(cx, &message(p, CALL, "x", 1, &fields(4_000)), FRAME);
    }
}

#[test]
fn json_that_is_none() {
    let cx = Ctx::default();
    for text in [
        "[2,\"x\",1,1,{}]",
        "[1, \"x\",1,1,{}]",
        "[1,\"x\",1,01,{}]",
        "[1,\"x\",1,-0,{}]",
        "[1,\"x\",1,4294967295,{}]",
        "[1,\"x\",1,99999999999,{}]",
        "[1,\"x\",1,,{}]",
        "[1,\"x\\u003ay\",1,1,{}]",
        "[1,\"x\",1,1,{]}",
        "[1,\"x\",1,1,{}}",
        "[1,\"x\",1,1,\x01]",
    ] {
        check(cx, text.as_bytes(), MALFORMED);
    }
}

#[test]
fn theaders_that_lie() {
    let cx = Ctx::default();
    let call = message(P::Strict, CALL, "x", 1, &V::Struct(vec![]));
    let good = Header::new(1).pairs(&[("user", "jason")]).frame(P::Strict, &call);
    let with = |at: usize, bytes: &[u8]| {
        let mut frame = good.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    check(cx, &with(12, &[0xff, 0xff]), MALFORMED); // the header's size
    check(cx, &with(15, &[0xff]), UNSUPPORTED); // the number of transforms
    check(cx, &with(17, &[0x7f]), MALFORMED); // the number of pairs
    check(cx, &with(18, &[0x7f]), MALFORMED); // the length of a name
    check(cx, &with(23, &[0x7f]), MALFORMED); // the length of a value
    let many = vec![("", ""); 500];
    let frame = Header::new(1).pairs(&many).frame(P::Strict, &call);
    check(cx.max_parts(499), &frame, PARTS);
    check(cx.max_head(1000), &frame, HEAD);
    let packed = Header::new(1).transform(1).frame(P::Strict, &call);
    let mut broken = packed.clone();
    let end = broken.len();
    broken[end - 12..].fill(0xff);
    check(cx, &broken, MALFORMED);
    let endless = vec![b'x'; 100_000];
    let name = [b"\x80\x01\0\x01\0\x01\x86\xa0", &endless[..]].concat();
    check(cx.max_head(1000), &Header::new(1).transform(1).frame(P::Strict, &name), HEAD);
}

#[test]
fn persistent_headers_are_bounded() {
    let codec = codec();
    let cx = Ctx::default().max_head(2_000);
    let call = message(P::Strict, CALL, "x", 1, &V::Struct(vec![]));
    let mut conn = session(&codec);
    let mut refused = 0;
    for i in 0..200 {
        let (name, value) = (format!("name-{i}"), "v".repeat(50));
        let bytes = Header::new(1).persistent(&[(&name, &value)]).frame(P::Strict, &call);
        match codec.decode_request(&mut conn, &cx, &bytes) {
            Ok(Step::Frame(meta, tag)) => drop(codec.accepted(&mut conn, &meta, tag, &bytes)),
            Ok(Step::Reject(_, fault)) => {
                assert_eq!((fault.outcome, fault.reason), HEAD);
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(refused > 170, "{refused}");
    // The same again and again costs nothing more.
    let mut conn = session(&codec);
    for i in 0..200 {
        let bytes = Header::new(1).persistent(&[("name", &i.to_string())]).frame(P::Strict, &call);
        let step = codec.decode_request(&mut conn, &cx, &bytes);
        let Ok(Step::Frame(meta, tag)) = step else { panic!("{step:?}") };
        codec.accepted(&mut conn, &meta, tag, &bytes);
    }
}
