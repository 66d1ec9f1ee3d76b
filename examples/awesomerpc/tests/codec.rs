//! AwesomeRPC's codec frame by frame: bytes in, expectation out.

use awesomerpc::{AwesomeRpc, FIXED, STATUSES, wire::Message};
use heptad_core::{
    Answer, Codec, Ctx, Fault, HeaderEdit, Kind, Meta, Outcome, Question, Reason, Rewrite, Splice,
    Step,
};

struct Nothing;

impl heptad_core::Asked<()> for Nothing {
    fn tag(&self, _: u64) -> Option<()> {
        None
    }
}

fn codec() -> AwesomeRpc {
    AwesomeRpc::default()
}

fn request(bytes: &[u8]) -> Result<Step<()>, Fault> {
    codec().decode_request(&mut (), &Ctx::default(), bytes)
}

fn reply(bytes: &[u8]) -> Result<Step<()>, Fault> {
    codec().decode_reply(&mut (), &Nothing, &Ctx::default(), bytes)
}

#[test]
fn a_stream_that_is_reset_is_no_success() {
    for (status, code) in [(0, "OTHER"), (1, STATUSES[1].0)] {
        let mut message = Message::new(Kind::Reset, 7);
        message.status = status;
        let bytes = message.to_bytes();
        let meta = frame(reply(&bytes));
        assert_ne!(meta.outcome, Outcome::Ok);
        assert_eq!(codec().code_name(&meta, &bytes), Some(code));
    }
}

fn frame(step: Result<Step<()>, Fault>) -> Meta {
    match step {
        Ok(Step::Frame(meta, ())) => meta,
        other => panic!("{other:?}"),
    }
}

fn reason(step: Result<Step<()>, Fault>) -> (bool, Outcome, Reason) {
    match step {
        Ok(Step::Reject(_, fault)) => (false, fault.outcome, fault.reason),
        Err(fault) => (true, fault.outcome, fault.reason),
        other => panic!("{other:?}"),
    }
}

/// A frame by the drawing in the documentation.
fn raw(kind: u8, head: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xA1, kind];
    bytes.extend((head.len() as u16).to_be_bytes());
    bytes.extend(((head.len() + body.len()) as u32).to_be_bytes());
    bytes.extend([0, 0, 1, 2]);
    bytes.extend(head);
    bytes.extend(body);
    bytes
}

#[test]
fn a_request_is_laid_out_as_drawn() {
    let bytes = raw(1, b"\x07reviews\x04list\x04user\x00\x05jason", b"page=1");
    let message =
        Message::request(0x0102, "reviews", "list").header("user", "jason").body("page=1");
    assert_eq!(message.to_bytes(), bytes);
    assert_eq!(Message::decode(&bytes), Ok(Some((message, bytes.len()))));

    let meta = frame(request(&bytes));
    assert_eq!((meta.kind, meta.id), (Kind::Request, 0x0102));
    assert_eq!((meta.len as usize, meta.head as usize), (bytes.len(), bytes.len() - 6));
    assert_eq!(meta.service.of(&bytes), Some(&b"reviews"[..]));
    assert_eq!(meta.method.of(&bytes), Some(&b"list"[..]));
    let header = |name| {
        codec().header(&(), &meta, &bytes, name, &mut Vec::new()).map(|v| v.map(<[u8]>::to_vec))
    };
    assert_eq!(header("user"), Ok(Some(b"jason".to_vec())));
    assert_eq!(header("User"), Ok(None));
    assert_eq!(header("jason"), Ok(None));
}

#[test]
fn a_frame_is_known_before_its_body_has_come() {
    let bytes = Message::request(1, "a", "b").body(vec![b'x'; 1000]).to_bytes();
    assert_eq!(request(&bytes[..1]), Ok(Step::Need(FIXED)));
    assert_eq!(request(&bytes[..FIXED]), Ok(Step::Need(FIXED + 4)));
    assert_eq!(frame(request(&bytes[..FIXED + 4])).len as usize, bytes.len());
}

#[test]
fn what_is_wrong_with_a_request_is_refused_and_with_a_frame_is_fatal() {
    let malformed = |fatal| (fatal, Outcome::BadRequest, Reason::Malformed);
    let unexpected = (true, Outcome::BadRequest, Reason::Unexpected);
    for (name, bytes, expected) in [
        ("head ends in the method", raw(1, b"\x01a\x05list", b""), malformed(false)),
        ("no method", raw(6, b"\x01a", b""), malformed(false)),
        ("half a header", raw(2, b"\x01a\x01b\x04user\x00\x06jason", b""), malformed(false)),
        ("not the protocol", b"GET / HTTP/1.1\r\n".to_vec(), malformed(true)),
        ("kind 0", raw(0, b"", b""), malformed(true)),
        ("kind 11", raw(11, b"", b""), malformed(true)),
        ("reply from a client", raw(3, b"\0", b""), unexpected),
        ("goaway from a client", raw(10, b"", b""), unexpected),
        ("data with a head", raw(7, b"x", b""), malformed(true)),
        ("ping with a body", raw(4, b"", b"x"), malformed(true)),
        ("reset without status", raw(9, b"", b"x"), malformed(true)),
    ] {
        assert_eq!(reason(request(&bytes)), expected, "{name}");
    }
    let mut bytes = raw(1, b"\x01a\x01b", b"");
    bytes[3] = 5;
    assert_eq!(reason(request(&bytes)), malformed(true), "head longer than the frame");
    for (name, bytes) in [
        ("request from a server", raw(1, b"\x01a\x01b", b"")),
        ("open from a server", raw(6, b"\x01a\x01b", b"")),
    ] {
        assert_eq!(reason(reply(&bytes)), unexpected, "{name}");
    }
    assert_eq!(reason(reply(&raw(3, b"\0\0", b""))), malformed(true), "two status bytes");
}

#[test]
fn limits_hold_from_the_first_twelve_bytes() {
    let bytes =
        Message::request(1, "a", "b").header("x", "1").header("y", "2").body("12345").to_bytes();
    let (len, head) = (bytes.len() as u32, bytes.len() as u32 - 5);
    let first = |cx: Ctx, n: usize| codec().decode_request(&mut (), &cx, &bytes[..n]);
    let cx = Ctx::default().max_frame(len).max_head(head).max_parts(2);
    assert_eq!(frame(first(cx, bytes.len())).len, len);
    let too_large = |reason| (Outcome::TooLarge, reason);
    for (cx, n, fatal, expected) in [
        (cx.max_frame(len - 1), FIXED, true, too_large(Reason::FrameSize)),
        (cx.max_head(head - 1), FIXED, false, too_large(Reason::HeadSize)),
        (cx.max_parts(1), bytes.len(), false, too_large(Reason::Parts)),
    ] {
        let (is_fatal, outcome, reason) = reason(first(cx, n));
        assert_eq!((is_fatal, (outcome, reason)), (fatal, expected));
    }
    let gigabyte = [0xA1, 1, 0, 4, 0x40, 0, 0, 0, 0, 0, 0, 1];
    let (fatal, outcome, reason) = reason(request(&gigabyte));
    assert_eq!((fatal, (outcome, reason)), (true, too_large(Reason::FrameSize)));
}

#[test]
fn statuses_have_names_and_outcomes() {
    for (status, (name, outcome)) in STATUSES.iter().enumerate() {
        let bytes = Message::error(1, name, "text").to_bytes();
        assert_eq!(usize::from(bytes[FIXED]), status, "{name}");
        let meta = frame(reply(&bytes));
        assert_eq!(meta.outcome, *outcome, "{name}");
        let expected = (status > 0).then_some(*name);
        assert_eq!(codec().code_name(&meta, &bytes), expected);
    }
    let bytes = raw(3, b"\xff", b"");
    let meta = frame(reply(&bytes));
    assert_eq!(meta.outcome, Outcome::ProtocolError);
    assert_eq!(codec().code_name(&meta, &bytes), Some("OTHER"));
}

#[test]
fn answers_tell_clients_what_happened() {
    let to = Meta::request(20).id(9);
    for (outcome, name) in [
        (Outcome::NoRoute, "UNKNOWN_METHOD"),
        (Outcome::NoEndpoint, "UNAVAILABLE"),
        (Outcome::Reset, "UNAVAILABLE"),
        (Outcome::FaultInjected, "UNAVAILABLE"),
        (Outcome::ProtocolError, "UNAVAILABLE"),
        (Outcome::Denied, "DENIED"),
        (Outcome::Timeout, "TIMEOUT"),
        (Outcome::Overloaded, "OVERLOADED"),
    ] {
        let mut out = Vec::new();
        let reason = Reason::None;
        // `Answer` is built by the engine; a codec's tests may build it too.
        let answer = Answer::Error { outcome, reason, text: "sorry" };
        codec().answer(&mut (), &Question::new(&to, ()), &answer, &mut out).expect("an answer");
        let expected = Message::error(9, name, "sorry");
        assert_eq!(Message::decode(&out), Ok(Some((expected, out.len()))), "{outcome}");
    }
    let mut out = Vec::new();
    let oneway = Meta::frame(Kind::Oneway, 20);
    let answer = Answer::Direct { text: "hello" };
    codec().answer(&mut (), &Question::new(&oneway, ()), &answer, &mut out).expect("silence");
    assert!(out.is_empty());
}

#[test]
fn edits_that_do_not_fit_write_nothing() {
    let bytes = Message::request(1, "a", "b").header("user", "jason").body("x").to_bytes();
    let meta = frame(request(&bytes));
    let set =
        |name: String, value: String| HeaderEdit::Set { name: name.into(), value: value.into() };
    for edit in [
        set("n".repeat(256), String::new()),
        set("n".into(), "v".repeat(65_536)),
        set("n".into(), "v".repeat(65_520)), // Fits its own length field, but not the head's.
    ] {
        let mut out = heptad_core::Chain::default();
        let edits = [edit];
        let edit = Rewrite::new(Some(2), &edits);
        let mut splice = Splice::new(&bytes, None, &mut out);
        let result = codec().rewrite(&(), &(), &meta, (), &edit, &mut splice);
        assert_eq!(result.map_err(|fault| fault.reason), Err(Reason::HeadSize));
        assert!(out.is_empty());
    }
}

#[test]
fn an_edited_frame_is_what_a_client_would_have_sent() {
    let message = Message::request(1, "reviews", "list")
        .header("user", "jason")
        .header("trace", "7")
        .header("user", "james")
        .body("page=1");
    let bytes = message.to_bytes();
    let meta = frame(request(&bytes));
    let edits = [
        HeaderEdit::Add { name: "via".into(), value: "heptad".into() },
        HeaderEdit::Set { name: "user".into(), value: "anna".into() },
        HeaderEdit::Add { name: "user".into(), value: "otto".into() },
    ];
    let mut out = heptad_core::Chain::default();
    let edit = Rewrite::new(Some(77), &edits);
    let mut splice = Splice::new(&bytes, None, &mut out);
    codec().rewrite(&(), &(), &meta, (), &edit, &mut splice).expect("a frame");
    let expected = Message::request(77, "reviews", "list")
        .header("trace", "7")
        .header("via", "heptad")
        .header("user", "anna")
        .header("user", "otto")
        .body("page=1");
    assert_eq!(out.to_vec(), expected.to_bytes());
    assert_eq!(expected.value("user"), Some("anna"));
}

#[test]
fn nothing_is_allocated_once_buffers_are_warm() {
    let bytes = Message::request(1, "reviews", "list").header("user", "jason").to_bytes();
    let edits = [HeaderEdit::Set { name: "user".into(), value: "anna".into() }];
    let (mut chain, mut out, mut scratch) = (heptad_core::Chain::default(), Vec::new(), Vec::new());
    let mut exchange = || {
        let meta = frame(request(&bytes));
        let rpc = codec();
        let user = rpc.header(&(), &meta, &bytes, "user", &mut scratch);
        assert_eq!(user, Ok(Some(&b"jason"[..])));
        chain.clear();
        let edit = Rewrite::new(Some(2), &edits);
        let mut splice = Splice::new(&bytes, None, &mut chain);
        assert_eq!(codec().rewrite(&(), &(), &meta, (), &edit, &mut splice), Ok(()));
        out.clear();
        let answer = Answer::Direct { text: "five stars" };
        let question = Question::new(&meta, ());
        assert_eq!(codec().answer(&mut (), &question, &answer, &mut out), Ok(()));
    };
    exchange();
    let ((), counts) = heptad_testkit::alloc::count(exchange);
    assert_eq!(counts.allocations, 0, "{counts:?}");
}
