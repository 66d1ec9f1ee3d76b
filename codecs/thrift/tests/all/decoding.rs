//! What is found in requests and replies, by dialect.

use heptad_core::{Codec, Ctx, Fault, Flavour, Kind, Outcome, Reason, Step, Unknown};
use heptad_thrift::{ClientProtocol, ClientTransport, Tag, Thrift, ThriftOptions, ThriftUpstream};

use crate::wire::*;

#[test]
fn calls_are_the_same_in_every_dialect() {
    for t in TRANSPORTS {
        for p in PROTOCOLS {
            for (name, service, method) in [
                ("list", None, "list"),
                ("Reviews:list", Some("Reviews"), "list"),
                ("a:b:c", Some("a"), "b:c"),
                (":x", Some(""), "x"),
                ("é:ü", Some("é"), "ü"),
            ] {
                let codec = codec();
                let mut conn = session(&codec);
                for (kind, is) in [(CALL, Kind::Request), (ONEWAY, Kind::Oneway)] {
                    let bytes = frame(t, p, kind, name, 77, &args());
                    let what = format!("{t:?} {p:?} {name}");
                    // Bytes of the next frame change nothing.
                    let two = [&bytes[..], &bytes[..]].concat();
                    let (meta, _) = request(&codec, &mut conn, &two);
                    assert_eq!(
                        (meta.kind, meta.id, meta.len as usize),
                        (is, 77, bytes.len()),
                        "{what}"
                    );
                    let (mut a, mut b) = (Vec::new(), Vec::new());
                    let found = codec.service(&conn, &meta, &bytes, &mut a);
                    assert_eq!(found, Ok(service.map(str::as_bytes)), "{what}");
                    let found = codec.method(&conn, &meta, &bytes, &mut b);
                    assert_eq!(found, Ok(Some(method.as_bytes())), "{what}");
                    assert_eq!(
                        codec.keep(&conn, &meta, &bytes, &mut Vec::new()),
                        method.as_bytes()
                    );
                }
            }
        }
    }
}

#[test]
fn a_framed_call_is_known_by_its_head() {
    for t in [T::Framed, T::Header, T::Nested] {
        for p in PROTOCOLS {
            let codec = codec();
            let bytes = frame(t, p, CALL, "list", 5, &args());
            let (meta, _) = request(&codec, &mut session(&codec), &bytes);
            let head = meta.head as usize;
            assert!(head < bytes.len());
            let (again, _) = request(&codec, &mut session(&codec), &bytes[..head]);
            assert_eq!(again, meta, "{t:?} {p:?}");
            let less =
                codec.decode_request(&mut session(&codec), &Ctx::default(), &bytes[..head - 1]);
            assert_eq!(less, Ok(Step::Need(head)), "{t:?} {p:?}");
        }
    }
}

#[test]
fn replies_are_told_apart() {
    let declared = |id| V::Struct(vec![(id, V::Struct(vec![(1, text("no"))]))]);
    let nested = V::Struct(vec![
        (9, V::Struct(vec![(2, V::I32(1))])),
        (1, text("says type 5")),
        (2, V::I32(5)),
    ]);
    let table: Vec<(u8, V, Outcome, Option<&str>)> = vec![
        (REPLY, V::Struct(vec![]), Outcome::Ok, None),
        (REPLY, result("yes"), Outcome::Ok, None),
        (REPLY, V::Struct(vec![(0, V::Bool(true))]), Outcome::Ok, None),
        (REPLY, declared(1), Outcome::AppError, Some("EXCEPTION_1")),
        (REPLY, declared(16), Outcome::AppError, Some("EXCEPTION_16")),
        (REPLY, declared(700), Outcome::AppError, Some("EXCEPTION")),
        (EXCEPTION, exception("?", 0), Outcome::ProtocolError, Some("UNKNOWN")),
        (EXCEPTION, exception("?", 1), Outcome::ProtocolError, Some("UNKNOWN_METHOD")),
        (EXCEPTION, exception("?", 6), Outcome::ProtocolError, Some("INTERNAL_ERROR")),
        (EXCEPTION, exception("?", 10), Outcome::ProtocolError, Some("UNSUPPORTED_CLIENT_TYPE")),
        (EXCEPTION, exception("?", 11), Outcome::Overloaded, Some("LOADSHEDDING")),
        (EXCEPTION, exception("?", 12), Outcome::Timeout, Some("TIMEOUT")),
        (EXCEPTION, exception("?", 99), Outcome::ProtocolError, Some("UNKNOWN")),
        (EXCEPTION, exception("?", -1), Outcome::ProtocolError, Some("UNKNOWN")),
        (EXCEPTION, V::Struct(vec![]), Outcome::ProtocolError, Some("UNKNOWN")),
        (EXCEPTION, exception(&"x".repeat(70_000), 6), Outcome::ProtocolError, Some("UNKNOWN")),
        (EXCEPTION, nested, Outcome::ProtocolError, Some("MISSING_RESULT")),
    ];
    for t in TRANSPORTS {
        for p in PROTOCOLS {
            for (kind, body, outcome, code) in &table {
                let codec = codec();
                let bytes = frame(t, p, *kind, "list", 3, body);
                let mut conn = link(&codec, ThriftUpstream::default(), Flavour::default());
                let meta = reply(&codec, &mut conn, &One(3, Tag::default()), &bytes);
                assert_eq!(meta.outcome, *outcome, "{t:?} {p:?} {body:?}");
                assert_eq!(codec.code_name(&meta, &bytes), *code, "{t:?} {p:?} {body:?}");
                assert_eq!((meta.id, meta.len as usize), (3, bytes.len()));
            }
        }
    }
}

#[test]
fn args_are_read_by_field_id() {
    let codec = codec();
    for t in TRANSPORTS {
        for p in PROTOCOLS {
            let bytes = frame(t, p, CALL, "list", 5, &args());
            let mut conn = session(&codec);
            let (meta, _) = request(&codec, &mut conn, &bytes);
            let table: [(u16, Result<Option<&str>, Unknown>); 14] = [
                (1, Ok(Some("jason \"j\" \\ é"))),
                (2, Ok(Some("-7"))),
                (3, Ok(Some("true"))),
                (4, Err(Unknown)),
                (5, Err(Unknown)),
                (6, Err(Unknown)),
                (8, Ok(Some("-300"))),
                (9, Ok(Some("1125899906842624"))),
                (10, Ok(Some("7"))),
                (13, Ok(Some("false"))),
                (15, Err(Unknown)),
                (16, Ok(None)),
                (40, Ok(None)),
                (40_000, Err(Unknown)),
            ];
            for (id, expected) in table {
                let mut scratch = Vec::new();
                let found = codec.arg(&conn, &meta, &bytes, id, &mut scratch);
                let expected = expected.map(|v| v.map(str::as_bytes));
                assert_eq!(found, expected, "{t:?} {p:?} {id}");
            }
        }
    }
    // A server may take the first or the last of two.
    let twice = V::Struct(vec![(1, text("a")), (1, text("b"))]);
    for p in PROTOCOLS {
        let bytes = frame(T::Framed, p, CALL, "x", 5, &twice);
        let mut conn = session(&codec);
        let (meta, _) = request(&codec, &mut conn, &bytes);
        assert_eq!(codec.arg(&conn, &meta, &bytes, 1, &mut Vec::new()), Err(Unknown), "{p:?}");
    }
}

type Expected<'a> = Result<Option<&'a str>, Unknown>;

#[test]
fn headers_are_found_as_a_server_would() {
    let codec = codec();
    let call = message(P::Compact, CALL, "x", 1, &V::Struct(vec![]));
    let cases: [(Header, &str, Expected<'_>); 8] = [
        (Header::new(1), "user", Ok(None)),
        (Header::new(1).pairs(&[("user", "a")]), "user", Ok(Some("a"))),
        (Header::new(1).pairs(&[("user", "a")]), "User", Ok(None)),
        (Header::new(1).pairs(&[("user", "a"), ("user", "b")]), "user", Ok(Some("b"))),
        (Header::new(1).pairs(&[("user", "")]), "user", Ok(Some(""))),
        (
            Header::new(1).pairs(&[("user", "a")]).persistent(&[("user", "b")]),
            "user",
            Ok(Some("a")),
        ),
        (Header::new(1).persistent(&[("user", "b")]), "user", Ok(Some("b"))),
        (Header::new(1).pairs(&[("user", "a")]).tail(&[9, 1, 2]), "user", Err(Unknown)),
    ];
    for (header, name, expected) in cases {
        for nested in [false, true] {
            let mut bytes = header.frame(P::Compact, &call);
            if nested {
                bytes = framed(&bytes);
            }
            let mut conn = session(&codec);
            let (meta, _) = request(&codec, &mut conn, &bytes);
            let mut scratch = Vec::new();
            let found = codec.header(&conn, &meta, &bytes, name, &mut scratch);
            assert_eq!(found, expected.map(|v| v.map(str::as_bytes)), "{header:?}");
        }
    }
    let bytes = framed(&call);
    let mut conn = session(&codec);
    let (meta, _) = request(&codec, &mut conn, &bytes);
    assert_eq!(codec.header(&conn, &meta, &bytes, "user", &mut Vec::new()), Ok(None));
}

#[test]
fn a_client_may_say_how_long_it_waits() {
    let codec = codec();
    let call = message(P::Strict, CALL, "x", 1, &V::Struct(vec![]));
    let table =
        [("250", Some(250)), ("0", Some(0)), ("soon", None), ("-1", None), ("99999999999", None)];
    for (text, expected) in table {
        let bytes = Header::new(1).pairs(&[("client_timeout", text)]).frame(P::Strict, &call);
        let mut conn = session(&codec);
        let (meta, _) = request(&codec, &mut conn, &bytes);
        assert_eq!(codec.timeout(&conn, &meta, &bytes), expected, "{text}");
    }
    let bytes = framed(&call);
    let mut conn = session(&codec);
    let (meta, _) = request(&codec, &mut conn, &bytes);
    assert_eq!(codec.timeout(&conn, &meta, &bytes), None);
}

#[test]
fn fixed_options_refuse_other_dialects_in_clear_words() {
    let transports = [
        (ClientTransport::Auto, &TRANSPORTS[..], ""),
        (ClientTransport::Framed, &[T::Framed], "only the framed transport"),
        (ClientTransport::Unframed, &[T::Unframed], "only the unframed transport"),
        (ClientTransport::Header, &[T::Header, T::Nested], "only the THeader transport"),
    ];
    let protocols = [
        (ClientProtocol::Auto, &PROTOCOLS[..], ""),
        (ClientProtocol::Binary, &[P::Strict, P::Old], "only the binary protocol"),
        (ClientProtocol::Compact, &[P::Compact], "only the compact protocol"),
        (ClientProtocol::Json, &[P::Json], "only the JSON protocol"),
    ];
    for (transport, ts, t_text) in transports {
        for (protocol, ps, p_text) in protocols {
            let mut options = ThriftOptions::default();
            (options.transport, options.protocol) = (transport, protocol);
            let codec = Thrift::new(&options).expect("these are fine");
            for t in TRANSPORTS {
                for p in PROTOCOLS {
                    let bytes = frame(t, p, CALL, "list", 5, &args());
                    let step = codec.decode_request(&mut session(&codec), &Ctx::default(), &bytes);
                    let expected = match (ts.contains(&t), ps.contains(&p)) {
                        (false, _) => t_text,
                        (true, false) => p_text,
                        _ => "",
                    };
                    match step {
                        Ok(Step::Frame(..)) => assert_eq!(expected, "", "{t:?} {p:?}"),
                        Err(Fault { text, .. }) => assert!(
                            !expected.is_empty() && text.starts_with(expected),
                            "{options:?} {t:?} {p:?}: {text}"
                        ),
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
    }
}

#[test]
fn a_connection_keeps_its_dialect() {
    let codec = codec();
    let mut conn = session(&codec);
    request(&codec, &mut conn, &frame(T::Framed, P::Strict, CALL, "x", 1, &args()));
    // Strict and old are both binary.
    request(&codec, &mut conn, &frame(T::Framed, P::Old, CALL, "x", 1, &args()));
    for (t, p) in [(T::Framed, P::Compact), (T::Header, P::Strict), (T::Unframed, P::Strict)] {
        let bytes = frame(t, p, CALL, "x", 1, &args());
        let step = codec.decode_request(&mut conn, &Ctx::default(), &bytes);
        assert!(step.is_err(), "{t:?} {p:?}: {step:?}");
    }
}

#[test]
fn both_ids_are_one_and_replies_are_found_by_either() {
    let codec = codec();
    let bytes =
        Header::new(9).frame(P::Strict, &message(P::Strict, CALL, "x", 3, &V::Struct(vec![])));
    let (meta, tag) = request(&codec, &mut session(&codec), &bytes);
    assert_eq!(meta.id, 3 | (3 ^ 9) << 32);
    for (outer, inner) in [(8, 8), (8, 3), (3, 8), (0, 8), (8, 0)] {
        let done = message(P::Strict, REPLY, "x", inner, &result("r"));
        let bytes = Header::new(outer).frame(P::Strict, &done);
        let mut conn = link(&codec, ThriftUpstream::default(), Flavour::default());
        assert_eq!(reply(&codec, &mut conn, &One(8, tag), &bytes).id, 8, "{outer} {inner}");
    }
}

#[test]
fn rejected_frames_do_not_end_the_connection() {
    let codec = codec();
    let call = message(P::Strict, CALL, "x", 3, &V::Struct(vec![]));
    let wrong = message(P::Strict, REPLY, "x", 3, &V::Struct(vec![]));
    let unsupported = (Outcome::BadRequest, Reason::Unsupported);
    let table = [
        (Header::new(9).transform(3).frame(P::Strict, &call), unsupported, 9),
        (Header::new(9).transform(2).frame(P::Strict, &call), unsupported, 9),
        (Header::new(9).frame(P::Compact, &call), unsupported, 9),
        (framed(&wrong), (Outcome::BadRequest, Reason::Unexpected), 3),
        (wrong, (Outcome::BadRequest, Reason::Unexpected), 3),
    ];
    for (bytes, expected, id) in table {
        let step = codec.decode_request(&mut session(&codec), &Ctx::default(), &bytes);
        match step {
            Ok(Step::Reject(meta, fault)) => {
                assert_eq!((fault.outcome, fault.reason), expected);
                assert_eq!((meta.len as usize, meta.id), (bytes.len(), id));
            }
            other => panic!("{other:?}"),
        }
    }
}
