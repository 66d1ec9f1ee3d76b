//! Heads, prefixes, attributes, replies and answers: bytes in, expectation out.

mod common;

use common::*;
use heptad_core::{
    Answer, Codec, Ctx, Fault, Kind, Meta, Outcome, Question, Reason, Span, Step, Want,
};
use heptad_dubbo::{Dubbo, Tag, wire};

fn fault(step: Result<Step<Tag>, Fault>) -> (bool, Outcome, Reason) {
    match step {
        Ok(Step::Reject(_, fault)) => (false, fault.outcome, fault.reason),
        Err(fault) => (true, fault.outcome, fault.reason),
        other => panic!("{other:?}"),
    }
}

fn meta<T: std::fmt::Debug>(step: Result<Step<T>, Fault>) -> Meta {
    match step {
        Ok(Step::Frame(meta, _)) => meta,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_is_laid_out_as_drawn() {
    let bytes = call(b"\x01I\x97H\x04user\x05jasonZ");
    let call = Call::of(&bytes);
    assert_eq!((call.meta.kind, call.meta.id), (Kind::Request, 5));
    assert_eq!(call.meta.len as usize, bytes.len());
    assert_eq!((call.meta.service, call.meta.method), (Span::new(23, 3), Span::new(33, 4)));
    assert_eq!((call.service(), call.method()), (is("svc"), is("list")));
    assert_eq!((call.header("user"), call.header("User")), (is("jason"), ABSENT));
    assert_eq!((call.arg(0), call.arg(1)), (is("7"), ABSENT));
    assert_eq!((call.header("version"), call.header("group")), (is("1.0.0"), ABSENT));
    assert_eq!((call.header("interface"), call.header("path")), (is("svc"), is("svc")));

    let (read, len) = wire::read_request(&bytes).unwrap().unwrap();
    assert_eq!(len, bytes.len());
    assert_eq!((read.id, read.two_way, &*read.framework), (5, true, "2.0.2"));
    assert_eq!((&*read.service, &*read.version, &*read.method), ("svc", "1.0.0", "list"));
    assert_eq!((&*read.types, &read.args[..]), ("I", &[wire::Value::Int(7)][..]));
    assert_eq!(read.attachment("user"), Some("jason"));
}

#[test]
fn a_request_is_refused_or_waited_for_as_early_as_can_be() {
    let bytes = call(b"\x01I\x97H\x04user\x05jasonZ");
    let mut at = 0;
    let mut needs = Vec::new();
    while let Ok(Step::Need(n)) = request(&bytes[..at]) {
        needs.push(n);
        at = n;
    }
    // The head; then each text's tag and the text.
    assert_eq!(needs, [16, 17, 22, 23, 26, 27, 32, 33, 37, bytes.len()]);
    assert_eq!(meta(request(&bytes)).len as usize, bytes.len());
    // Where no rule asks for attachments the prefix is enough, and nobody looks behind it.
    let step = request_with(&Ctx::default(), &bytes[..37]);
    assert_eq!(meta(step).len as usize, bytes.len());
    let override_path = call(b"\x01I\x97H\x04path\x05otherZ");
    let seen = Call::with(&Ctx::default(), &override_path);
    assert_eq!(seen.service(), is("svc"));
    assert_eq!(seen.header("path"), is("other"));
    let mut want = Want::default();
    want.service = true;
    let seen = Call::with(&Ctx::default().want(want), &override_path);
    assert_eq!(seen.service(), is("other"), "a rule on the service asks for them");
}

#[test]
fn flags_tell_what_a_frame_is() {
    let body = b"\x052.0.2\x03svc\x051.0.0\x04list\0N";
    for (flags, kind) in [
        (0xc2, Kind::Request),
        (0x82, Kind::Oneway),
        (0xe2, Kind::Ping),
        (0x22, Kind::Pong),
        (0x62, Kind::Pong),
        (0xe6, Kind::Ping),
    ] {
        assert_eq!(meta(request(&raw(flags, 0, 1, body))).kind, kind, "{flags:#x}");
    }
    let event = raw(0xa2, 0, 1, b"\x01R");
    assert_eq!(request(&event), Ok(Step::Skip(event.len())));
    assert_eq!(request(&event[..17]), Ok(Step::Need(event.len())));
    let unexpected = (true, Outcome::BadRequest, Reason::Unexpected);
    assert_eq!(fault(request(&raw(0x02, 20, 1, b"\x92"))), unexpected);

    for (flags, body, kind) in [
        (0x02, &b"\x92"[..], Kind::Reply),
        (0x22, b"N", Kind::Pong),
        (0xe2, b"N", Kind::Ping),
        (0xa2, b"\x01R", Kind::GoAway),
        (0xa6, b"\"R\"\r\n", Kind::GoAway),
    ] {
        assert_eq!(meta(reply(&raw(flags, 20, 1, body))).kind, kind, "{flags:#x}");
    }
    for (flags, body) in [(0xa2, &b"\x01W"[..]), (0xa8, b"\x01R"), (0xc2, body), (0x82, body)] {
        let bytes = raw(flags, 0, 1, body);
        assert_eq!(reply(&bytes[..16]), Ok(Step::Need(bytes.len())));
        assert_eq!(reply(&bytes), Ok(Step::Skip(bytes.len())), "{flags:#x}");
    }
}

#[test]
fn what_is_wrong_with_a_prefix_is_refused_and_with_a_head_is_fatal() {
    let malformed = |fatal| (fatal, Outcome::BadRequest, Reason::Malformed);
    for (name, body) in [
        ("no body", &b""[..]),
        ("ends in the path", b"\x052.0.2\x05svc"),
        ("ends before the method", b"\x052.0.2\x03svc\x051.0.0"),
        ("the path is a number", b"\x052.0.2\x91\x051.0.0\x04list\0N"),
        ("the path is null", b"\x052.0.2N\x051.0.0\x04list\0N"),
        ("the method is null", b"\x052.0.2\x03svc\x051.0.0N\0N"),
        ("the version is a number", b"\x052.0.2\x03svc\x91\x04list\0N"),
        ("an overlong form of svc", b"\x052.0.2\x03s\xc1\xb6c\x051.0.0\x04list\0N"),
        ("half a character", b"\x052.0.2\x03s\xc3vc\x051.0.0\x04list\0N"),
        ("a lone second byte", b"\x052.0.2\x03s\x80c\x051.0.0\x04list\0N"),
        ("four bytes", b"\x052.0.2\x02\xf0\x9f\x98\x80\x051.0.0\x04list\0N"),
        ("a hundred chunks", &[&b"\x052.0.2"[..], &b"R\0\0".repeat(100)].concat()),
    ] {
        assert_eq!(fault(request(&raw(0xc2, 0, 1, body))), malformed(false), "{name}");
    }
    assert_eq!(fault(request(b"GET / HTTP/1.1\r\n")), malformed(true));
    assert_eq!(fault(request(b"G")), malformed(true));
    let mut bytes = raw(0xc2, 0, 1, b"");
    bytes[1] = 0xba;
    assert_eq!(fault(request(&bytes)), malformed(true));
}

#[test]
fn limits_hold_from_the_first_sixteen_bytes() {
    let too_large = |fatal, reason| (fatal, Outcome::TooLarge, reason);
    let bytes = call(b"\0N");
    let cx = curious().max_frame(bytes.len() as u32).max_head(37);
    assert_eq!(meta(request_with(&cx, &bytes)).len as usize, bytes.len());
    let small = cx.max_frame(bytes.len() as u32 - 1);
    assert_eq!(fault(request_with(&small, &bytes[..16])), too_large(true, Reason::FrameSize));
    let short = cx.max_head(36);
    assert_eq!(fault(request_with(&short, &bytes)), too_large(false, Reason::HeadSize));
    assert_eq!(fault(request_with(&short, &bytes[..33])), too_large(false, Reason::HeadSize));
    // A gigabyte of path; a body and an event of 4 GiB.
    let long = raw(0xc2, 0, 1, b"\x052.0.2S\xff\xff");
    let mut long = [&long[..], &[b'x'; 1 << 16]].concat();
    long[12..16].copy_from_slice(&0x00f0_0000_u32.to_be_bytes());
    assert_eq!(fault(request(&long[..25])), too_large(false, Reason::HeadSize));
    for flags in [0xc2, 0xa2, 0xe2, 0x22] {
        let mut huge = raw(flags, 0, 1, b"");
        huge[12..16].copy_from_slice(&[0xff; 4]);
        assert_eq!(fault(request(&huge)), too_large(true, Reason::FrameSize), "{flags:#x}");
    }
    let mut event = raw(0xa2, 0, 1, b"");
    event[12..16].copy_from_slice(&(1_u32 << 20).to_be_bytes());
    assert_eq!(fault(request(&event)), too_large(true, Reason::HeadSize));
}

#[test]
fn spellings_that_a_server_takes_for_the_same_are_the_same() {
    let plain = call(b"\0N");
    for path in
        [&b"S\0\x03svc"[..], b"R\0\x01sS\0\x02vc", b"R\0\x03svc\0", b"0\x03svc", b"R\0\0\x03svc"]
    {
        let body = [b"\x052.0.2", path, b"\x051.0.0\x04list\0N"].concat();
        let call = Call::of(&raw(0xc2, 0, 1, &body));
        assert_eq!((call.service(), call.method()), (is("svc"), is("list")), "{path:?}");
    }
    assert_eq!(Call::of(&plain).service(), is("svc"));
    let body = b"\x052.0.2\x03svcN\x02\xc3\xa9\xe4\xb8\xad\0H\x04\xed\xa0\xbd\xed\xb8\x80xy\x01aZ";
    let call = Call::of(&raw(0xc2, 0, 1, body));
    assert_eq!(call.method(), is("é中"));
    assert_eq!(call.header("version"), ABSENT, "null");
    assert_eq!(call.header("😀xy"), is("a"), "a name of two surrogates and two letters");
}

#[test]
fn attachments_override_the_prefix_as_in_a_java_server() {
    for (tail, service, version) in [
        (&b"\0H\x04path\x05otherZ"[..], is("other"), is("1.0.0")),
        (b"\0H\x04path\x03svc\x04path\x05otherZ", is("other"), is("1.0.0")),
        (b"\0H\x04path\x05other\x04path\x03svcZ", is("svc"), is("1.0.0")),
        (b"\0H\x07version\x012Z", is("svc"), is("2")),
        (b"\0H\x07version\x92Z", is("svc"), is("2")),
        (b"\0H\x07versionNZ", is("svc"), ABSENT),
        (b"\0H\x04path\x91Z", UNKNOWN, is("1.0.0")),
        (b"\0H\x04pathNZ", UNKNOWN, is("1.0.0")),
        (b"\0H\x04pathQ\x90Z", UNKNOWN, is("1.0.0")),
        (b"\0H\x91\x05other\x54\x05otherZ", is("svc"), is("1.0.0")),
        (b"\0M\x11java.util.HashMap\x04path\x05otherZ", is("other"), is("1.0.0")),
        (b"\0M\x90R\0\x02paS\0\x02th\x05otherZ", is("other"), is("1.0.0")),
        (b"\0N", is("svc"), is("1.0.0")),
        (b"\0", is("svc"), is("1.0.0")),
        // What cannot be read to its end may say anything.
        (b"\0H", UNKNOWN, UNKNOWN),
        (b"\0HZN", UNKNOWN, UNKNOWN),
        (b"\0\x91", UNKNOWN, UNKNOWN),
        (b"\0H\x04pathZ", UNKNOWN, UNKNOWN),
        (b"N", UNKNOWN, UNKNOWN),
        (b"\x01?N", UNKNOWN, UNKNOWN),
        (b"\x01I", UNKNOWN, UNKNOWN),
        (b"\x01I\x40HZ", UNKNOWN, UNKNOWN),
    ] {
        let call = Call::of(&call(tail));
        assert_eq!(call.service(), service, "{}", tail.escape_ascii());
        assert_eq!(call.header("version"), version, "{}", tail.escape_ascii());
    }
}

#[test]
fn values_have_a_form_or_are_unknown() {
    for (value, header, arg) in [
        (&b"\x05jason"[..], is("jason"), is("jason")),
        (b"0\x05jason", is("jason"), is("jason")),
        (b"\0", is(""), is("")),
        (b"\x02\xc3\xa9\xc3\xa8", is("éè"), is("éè")),
        (b"\x80", is("-16"), is("-16")),
        (b"\xbf", is("47"), is("47")),
        (b"\xc0\0", is("-2048"), is("-2048")),
        (b"\xcf\xff", is("2047"), is("2047")),
        (b"\xd0\0\0", is("-262144"), is("-262144")),
        (b"\xd7\xff\xff", is("262143"), is("262143")),
        (b"I\x80\0\0\0", is("-2147483648"), is("-2147483648")),
        (b"\xd8", is("-8"), is("-8")),
        (b"\xef", is("15"), is("15")),
        (b"\xf0\0", is("-2048"), is("-2048")),
        (b"\xff\xff", is("2047"), is("2047")),
        (b"\x38\0\0", is("-262144"), is("-262144")),
        (b"\x3f\xff\xff", is("262143"), is("262143")),
        (b"\x59\xff\xff\xff\xff", is("-1"), is("-1")),
        (
            b"L\x7f\xff\xff\xff\xff\xff\xff\xff",
            is(&i64::MAX.to_string()),
            is(&i64::MAX.to_string()),
        ),
        (b"T", UNKNOWN, is("true")),
        (b"F", UNKNOWN, is("false")),
        (b"N", ABSENT, ABSENT),
        (b"\x5b", UNKNOWN, UNKNOWN),
        (b"\x5c", UNKNOWN, UNKNOWN),
        (b"\x5d\x01", UNKNOWN, UNKNOWN),
        (b"\x5e\x01\x01", UNKNOWN, UNKNOWN),
        (b"\x5f\0\0\0\x01", UNKNOWN, UNKNOWN),
        (b"D\0\0\0\0\0\0\0\0", UNKNOWN, UNKNOWN),
        (b"\x4a\0\0\0\0\0\0\0\0", UNKNOWN, UNKNOWN),
        (b"\x4b\0\0\0\0", UNKNOWN, UNKNOWN),
        (b"\x22ab", UNKNOWN, UNKNOWN),
        (b"\x34\x02ab", UNKNOWN, UNKNOWN),
        (b"A\0\x01aB\0\x01b", UNKNOWN, UNKNOWN),
        (b"A\0\x01a\x20", UNKNOWN, UNKNOWN),
        (b"\x78", UNKNOWN, UNKNOWN),
        (b"\x57\x91\x57ZZ", UNKNOWN, UNKNOWN),
        (b"\x58\x91N", UNKNOWN, UNKNOWN),
        (b"\x71\x04[int\x91", UNKNOWN, UNKNOWN),
        (b"U\x04[int\x91Z", UNKNOWN, UNKNOWN),
        (b"V\x90\x91\x91", UNKNOWN, UNKNOWN),
        (b"M\x01tHZ\x78Z", UNKNOWN, UNKNOWN),
        (b"C\x01a\x92\x01x\x01y\x60\x91N", UNKNOWN, UNKNOWN),
        (b"C\x01a\x90C\x01b\x91\x01xO\x91N", UNKNOWN, UNKNOWN),
        (b"Q\x90", UNKNOWN, UNKNOWN),
    ] {
        let name = value.escape_ascii();
        let as_header = call(&[b"\0H\x01a\x01b\x01h", value, b"\x01z\x01yZ"].concat());
        let as_header = Call::of(&as_header);
        assert_eq!(as_header.header("h"), header, "header {name}");
        assert_eq!(as_header.header("z"), is("y"), "behind {name}");
        let as_arg = call(&[b"\x03III\x91", value, b"\x05otherHZ"].concat());
        let as_arg = Call::of(&as_arg);
        assert_eq!(as_arg.arg(1), arg, "arg {name}");
        assert_eq!((as_arg.arg(0), as_arg.arg(2)), (is("1"), is("other")), "around {name}");
        assert_eq!(as_arg.arg(3), ABSENT);
    }
}

const GENERIC: &[u8] = b"08Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;";

/// A generic call.
fn invoke(method: &str, args: &[u8]) -> Call {
    let prefix = [b"\x052.0.2\x03svc\0", &[method.len() as u8][..], method.as_bytes()].concat();
    let bytes = raw(0xc2, 0, 1, &[&prefix, GENERIC, args, b"H\x04user\x01xZ"].concat());
    Call::of(&bytes)
}

#[test]
fn a_generic_call_is_the_call_that_is_meant() {
    for (args, method, first, second) in [
        (&b"\x04liststhree"[..], is("list"), UNKNOWN, UNKNOWN),
        (b"\x04listNN", is("list"), ABSENT, ABSENT),
        (b"\x04listN\x7a\x03one\x92", is("list"), is("one"), is("2")),
        (b"\x04listN\x72\x07[object\x03one\x92", is("list"), is("one"), is("2")),
        (b"\x04listN\x57\x03oneTZ", is("list"), is("one"), is("true")),
        (b"\x04listN\x58\x91N", is("list"), ABSENT, ABSENT),
        (b"\x04listN\x57Z", is("list"), ABSENT, ABSENT),
        (b"\x04list\x79\x01sHZ", is("list"), UNKNOWN, UNKNOWN),
        (b"\x06 list\tNN", is("list"), ABSENT, ABSENT),
        (b"R\0\x02lis\x02stNN", UNKNOWN, UNKNOWN, UNKNOWN),
        (b"R\0\x02li\x02stNN", is("list"), ABSENT, ABSENT),
        (b"NNN", UNKNOWN, ABSENT, ABSENT),
        (b"\x91NN", UNKNOWN, ABSENT, ABSENT),
        (b"\x04listN\x7a\x78\x03two", is("list"), UNKNOWN, is("two")),
    ] {
        for name in ["$invoke", "$invokeAsync"] {
            let call = invoke(name, args);
            assert_eq!(call.method(), method, "{}", args.escape_ascii());
            assert_eq!(call.arg(0), first, "{}", args.escape_ascii());
            assert_eq!(call.arg(1), second, "{}", args.escape_ascii());
        }
    }
    assert_eq!(invoke("$invoke", b"\x04listNN").header("user"), is("x"));
    // With any other number of arguments it is a method of that name.
    let bytes = raw(0xc2, 0, 1, b"\x052.0.2\x03svc\0\x07$invoke\x01I\x97N");
    let call = Call::of(&bytes);
    assert_eq!((call.method(), call.arg(0)), (is("$invoke"), is("7")));
}

#[test]
fn four_byte_characters_are_counted_as_their_writer_counted_them() {
    // 😀 and a letter: three units of UTF-16 for Java and JavaScript, two characters for Python.
    for text in
        [&b"\x03\xf0\x9f\x98\x80x"[..], b"\x02\xf0\x9f\x98\x80x", b"\x03\xed\xa0\xbd\xed\xb8\x80x"]
    {
        let tail = [b"\x02IJ", text, b"\x91H\x04user\x05jason\x01e", text, b"Z"].concat();
        let call = Call::of(&call(&tail));
        assert_eq!((call.arg(0), call.arg(1)), (is("😀x"), is("1")), "{text:?}");
        assert_eq!((call.header("user"), call.header("e")), (is("jason"), is("😀x")));
        assert_eq!(call.service(), is("svc"));
    }
    let alone = Call::of(&call(b"\x01I\x01\xf0\x9f\x98\x80HZ"));
    assert_eq!(alone.arg(0), is("😀"));
    let only_one = b"\x02II\x02\xf0\x9f\x98\x80\x03abcH\x04path\x05otherZ";
    assert_eq!(Call::of(&call(only_one)).service(), is("other"), "only one makes sense");
    // Both readings make sense and differ: nobody knows what the server will see.
    let both = Call::of(&call(b"\x02II\x02\xf0\x9f\x98\x80\x21\x20HZ"));
    assert_eq!((both.arg(0), both.service()), (UNKNOWN, is("svc")));
    // A reading that ends at a limit may be the right one all the same.
    let deep = call(b"\x02II\x02\xf0\x9f\x98\x80\x79\x79\x79NH\x04path\x05otherZ");
    let within = |depth| Call::with(&curious().max_depth(depth), &deep).service();
    assert_eq!((within(1), within(2), within(3)), (UNKNOWN, UNKNOWN, is("other")));
}

#[test]
fn nesting_and_parts_have_limits() {
    let nested =
        |depth: usize| call(&[b"\x01I", &b"\x79".repeat(depth)[..], b"NH\x01a\x01bZ"].concat());
    let cx = curious().max_depth(10).max_parts(30);
    assert_eq!(Call::with(&cx, &nested(10)).header("a"), is("b"));
    assert_eq!(Call::with(&cx, &nested(11)).header("a"), UNKNOWN);
    assert_eq!(Call::with(&cx, &nested(11)).service(), UNKNOWN);
    let wide = |n: usize| call(&[b"\x01I\x57", &b"\x91".repeat(n)[..], b"ZH\x01a\x01bZ"].concat());
    // The types, the list, what is in it, a key and a value.
    assert_eq!(Call::with(&cx, &wide(26)).header("a"), is("b"));
    assert_eq!(Call::with(&cx, &wide(27)).header("a"), UNKNOWN);
}

#[test]
fn the_clients_time_out_is_an_attachment() {
    for (value, ms) in [
        (&b"\x041000"[..], Some(1000)),
        (b"\xcb\xe8", Some(1000)),
        (b"L\0\0\0\0\0\0\x03\xe8", Some(1000)),
        (b"\x05 1000", Some(1000)),
        (b"\x010", None),
        (b"\x02-1", None),
        (b"\x90", None),
        (b"\x8f", None),
        (b"\x03abc", None),
        (b"L\x7f\0\0\0\0\0\0\0", None),
        (b"T", None),
        (b"N", None),
    ] {
        let call = Call::of(&call(&[b"\0H\x07timeout", value, b"Z"].concat()));
        assert_eq!(call.timeout(), ms, "{}", value.escape_ascii());
    }
    assert_eq!(Call::of(&call(b"\0N")).timeout(), None);
}

#[test]
fn other_serializations_are_unknown_and_not_absent() {
    for id in [3, 4, 6, 8, 21, 22, 31] {
        let call = Call::of(&raw(0xc0 | id, 0, 1, b"\"2.0.2\"\n\"svc\"\n"));
        assert_eq!(call.meta.kind, Kind::Request);
        assert_eq!((call.service(), call.method()), (UNKNOWN, UNKNOWN));
        assert_eq!((call.header("user"), call.arg(0)), (UNKNOWN, UNKNOWN));
        assert_eq!(call.timeout(), None);
        let meta = meta(reply(&raw(id, 20, 1, b"0\n")));
        assert_eq!((meta.kind, meta.outcome), (Kind::Reply, Outcome::Ok));
    }
}

#[test]
fn replies_end_by_their_status_and_flag() {
    use Outcome::{AppError, Overloaded, ProtocolError, Timeout};
    for (status, body, outcome, name) in [
        (20, &b"\x90N"[..], AppError, Some("EXCEPTION")),
        (20, b"\x91N", Outcome::Ok, None),
        (20, b"\x92", Outcome::Ok, None),
        (20, b"\x93NHZ", AppError, Some("EXCEPTION")),
        (20, b"\x94NHZ", Outcome::Ok, None),
        (20, b"\x95HZ", Outcome::Ok, None),
        (20, b"\xc8\x01N", Outcome::Ok, None),
        (20, b"\xd4\0\x01N", Outcome::Ok, None),
        (20, b"I\0\0\0\0N", AppError, Some("EXCEPTION")),
        (20, b"\x96", ProtocolError, Some("UNKNOWN_FLAG")),
        (20, b"\x8f", ProtocolError, Some("UNKNOWN_FLAG")),
        (20, b"\x01a", ProtocolError, Some("UNKNOWN_FLAG")),
        (20, b"I\0\0", ProtocolError, Some("UNKNOWN_FLAG")),
        (20, b"", ProtocolError, Some("UNKNOWN_FLAG")),
        (25, b"", ProtocolError, Some("SERIALIZATION_ERROR")),
        (30, b"", Timeout, Some("CLIENT_TIMEOUT")),
        (31, b"", Timeout, Some("SERVER_TIMEOUT")),
        (35, b"", ProtocolError, Some("CHANNEL_INACTIVE")),
        (40, b"", ProtocolError, Some("BAD_REQUEST")),
        (50, b"", ProtocolError, Some("BAD_RESPONSE")),
        (60, b"", ProtocolError, Some("SERVICE_NOT_FOUND")),
        (70, b"", ProtocolError, Some("SERVICE_ERROR")),
        (80, b"", ProtocolError, Some("SERVER_ERROR")),
        (90, b"", ProtocolError, Some("CLIENT_ERROR")),
        (100, b"", Overloaded, Some("SERVER_THREADPOOL_EXHAUSTED_ERROR")),
        (0, b"", ProtocolError, Some("OTHER")),
        (1, b"", ProtocolError, Some("OTHER")),
        (255, b"", ProtocolError, Some("OTHER")),
    ] {
        let bytes = raw(0x02, status, 9, body);
        let meta = meta(reply(&bytes));
        assert_eq!((meta.kind, meta.id), (Kind::Reply, 9));
        assert_eq!(meta.outcome, outcome, "{status} {body:?}");
        assert_eq!(Dubbo::default().code_name(&meta, &bytes), name, "{status} {body:?}");
    }
    // Known from the flag on, before the value has come.
    let bytes = raw(0x02, 20, 9, &[b"\x91S\x40\0", &[b'x'; 1 << 14][..]].concat());
    assert_eq!(reply(&bytes[..16]), Ok(Step::Need(17)));
    assert_eq!(meta(reply(&bytes[..17])).len as usize, bytes.len());
}

#[test]
fn answers_tell_clients_what_happened() {
    let cases = [
        (Outcome::Timeout, 31),
        (Outcome::BadRequest, 40),
        (Outcome::TooLarge, 40),
        (Outcome::ProtocolError, 50),
        (Outcome::NoRoute, 60),
        (Outcome::Denied, 70),
        (Outcome::Unauthenticated, 70),
        (Outcome::NoEndpoint, 80),
        (Outcome::ConnectFailed, 80),
        (Outcome::Reset, 80),
        (Outcome::Draining, 80),
        (Outcome::FaultInjected, 80),
        (Outcome::Limited, 100),
        (Outcome::Overloaded, 100),
    ];
    let answered = |flags: u8, answer: &Answer<'_>| {
        let call = Call::of(&raw(flags, 0, 9, b"\x052.0.2\x03svc\0\x04list\0N"));
        let mut out = Vec::new();
        let question = Question::new(&call.meta, call.tag);
        Dubbo::default().answer(&mut session(), &question, answer, &mut out).unwrap();
        out
    };
    let reason = Reason::None;
    for (outcome, status) in cases {
        let sorry = Answer::Error { outcome, reason, text: "sorry, é" };
        for flags in [0xc2, 0xc8] {
            let bytes = answered(flags, &sorry);
            assert_eq!(bytes, raw(0x02, status, 9, b"\x08sorry, \xc3\xa9"), "{outcome}");
        }
        assert_eq!(answered(0xc6, &sorry), raw(0x06, status, 9, "\"sorry, é\"\n".as_bytes()));
        assert_eq!(answered(0x82, &sorry), b"", "a oneway has no reply");
    }
    let hello = Answer::Direct { text: "hello" };
    assert_eq!(answered(0xc2, &hello), raw(0x02, 20, 9, b"\x91\x05hello"));
    assert_eq!(answered(0xc3, &hello), raw(0x02, 20, 9, b"\x91\x05hello"));
    let odd = Answer::Direct { text: "a \"b\" \\ \u{1}" };
    assert_eq!(answered(0xc6, &odd), raw(0x06, 20, 9, b"1\n\"a \\\"b\\\" \\\\ \\u0001\"\n"));
    assert_eq!(answered(0x82, &hello), b"");
    assert_eq!(answered(0xe2, &Answer::Pong), raw(0x22, 20, 9, b"N"));
    assert_eq!(answered(0xe6, &Answer::Pong), raw(0x26, 20, 9, b"null"));
    assert_eq!(answered(0xe8, &Answer::Pong), raw(0x22, 20, 9, b"N"));

    let long = "ü".repeat(40_000);
    let bytes = answered(0xc2, &Answer::Direct { text: &long });
    let (reply, len) = wire::read_reply(&bytes).unwrap().unwrap();
    assert_eq!(len, bytes.len());
    assert_eq!(reply.result, wire::Outcome::Value(wire::Value::Text(long)));
}

#[test]
fn heartbeats_and_farewells_are_javas() {
    let mut out = Vec::new();
    assert!(Dubbo::default().ping(&mut session(), 77, &mut out));
    assert_eq!(out, raw(0xe2, 0, 77, b"N"));
    assert_eq!(out, wire::heartbeat(77));
    out.clear();
    assert!(Dubbo::default().drain(&mut session(), &mut out));
    assert_eq!(out, raw(0xa2, 0, 0, b"\x01R"));
    assert_eq!(out, wire::read_only());
    // A server's heartbeat is answered in the serialization that it came in.
    for (flags, pong) in [(0xe2, raw(0x22, 20, 3, b"N")), (0xe6, raw(0x26, 20, 3, b"null"))] {
        let to = meta(reply(&raw(flags, 0, 3, b"N")));
        out.clear();
        let question = Question::new(&to, Tag::default());
        Dubbo::default().answer(&mut session(), &question, &Answer::Pong, &mut out).unwrap();
        assert_eq!(out, pong);
    }
}
