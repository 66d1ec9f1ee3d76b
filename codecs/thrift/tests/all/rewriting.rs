//! What is written for the other connection: ids, names, headers, transports, protocols.

use heptad_core::{Codec, Ctx, Fault, Flavour, Outcome, Reason, Step};
use heptad_thrift::{ServerProtocol, ServerTransport, Tag, ThriftUpstream};

use crate::wire::*;

fn upstream(transport: ServerTransport, protocol: ServerProtocol) -> ThriftUpstream {
    let mut upstream = ThriftUpstream::default();
    (upstream.transport, upstream.protocol) = (transport, protocol);
    upstream
}

const SERVER_TRANSPORTS: [(ServerTransport, Option<T>); 4] = [
    (ServerTransport::Same, None),
    (ServerTransport::Framed, Some(T::Framed)),
    (ServerTransport::Unframed, Some(T::Unframed)),
    (ServerTransport::Header, Some(T::Header)),
];

const SERVER_PROTOCOLS: [(ServerProtocol, Option<P>); 4] = [
    (ServerProtocol::Same, None),
    (ServerProtocol::Binary, Some(P::Strict)),
    (ServerProtocol::Compact, Some(P::Compact)),
    (ServerProtocol::Json, Some(P::Json)),
];

/// Arguments that look the same after they were in compact, where empty containers say less.
fn plain_args() -> V {
    let V::Struct(mut fields) = args() else { unreachable!() };
    fields.retain(|(id, _)| *id != 12);
    V::Struct(fields)
}

#[test]
fn calls_and_replies_go_from_every_dialect_to_every_other() {
    let codec = codec();
    for t in TRANSPORTS {
        for p in PROTOCOLS {
            for (server_t, to_t) in SERVER_TRANSPORTS {
                for (server_p, to_p) in SERVER_PROTOCOLS {
                    let (to_t, to_p) = (to_t.unwrap_or(t), to_p.unwrap_or(p));
                    let bytes = frame(t, p, CALL, "S:list", 77, &plain_args());
                    let mut conn = session(&codec);
                    let (meta, tag) = request(&codec, &mut conn, &bytes);
                    let flavour = codec.flavour(&conn, &meta);
                    let mut server = link(&codec, upstream(server_t, server_p), flavour);
                    let sent = rewrite(&codec, (&conn, &server), &meta, tag, Some(5), &[], &bytes);
                    let what = format!("{t:?} {p:?} to {to_t:?} {to_p:?}");
                    if (p == P::Json) != (to_p == P::Json) {
                        let Err(Fault { outcome, reason, .. }) = sent else { panic!("{what}") };
                        assert_eq!((outcome, reason), (Outcome::BadRequest, Reason::Unsupported));
                        continue;
                    }
                    let expected = frame(to_t, to_p, CALL, "S:list", 5, &plain_args());
                    assert_eq!(sent.as_deref(), Ok(&expected[..]), "{what}");

                    for (kind, body) in [
                        (REPLY, plain_args()),
                        (REPLY, V::Struct(vec![])),
                        (EXCEPTION, exception("no", 6)),
                    ] {
                        let answer = frame(to_t, to_p, kind, "list", 5, &body);
                        let found = reply(&codec, &mut server, &One(5, tag), &answer);
                        let back = rewrite(
                            &codec,
                            (&server, &conn),
                            &found,
                            tag,
                            Some(meta.id),
                            &[],
                            &answer,
                        );
                        let expected = frame(t, p, kind, "list", 77, &body);
                        assert_eq!(back.as_deref(), Ok(&expected[..]), "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn an_empty_map_is_converted() {
    let codec = codec();
    let body = V::Struct(vec![(
        1,
        V::Map(thrift::protocol::TType::I32, thrift::protocol::TType::I32, vec![]),
    )]);
    let bytes = frame(T::Framed, P::Strict, CALL, "x", 1, &body);
    let mut conn = session(&codec);
    let (meta, tag) = request(&codec, &mut conn, &bytes);
    let compact = upstream(ServerTransport::Same, ServerProtocol::Compact);
    let mut server = link(&codec, compact, codec.flavour(&conn, &meta));
    let sent = rewrite(&codec, (&conn, &server), &meta, tag, Some(1), &[], &bytes);
    assert_eq!(sent.unwrap(), frame(T::Framed, P::Compact, CALL, "x", 1, &body));
    let answer = frame(T::Framed, P::Compact, REPLY, "x", 1, &body);
    let found = reply(&codec, &mut server, &One(1, tag), &answer);
    let back = rewrite(&codec, (&server, &conn), &found, tag, Some(1), &[], &answer).unwrap();
    assert_eq!(back[back.len() - 7..], [0, 0, 0, 0, 0, 0, 0], "no types, no pairs, and the end");
}

#[test]
fn the_service_is_taken_off_where_the_cluster_says_so() {
    let codec = codec();
    let mut strip = ThriftUpstream::default();
    strip.strip_service = true;
    for t in TRANSPORTS {
        for p in PROTOCOLS {
            for (name, sent_name) in [("S:list", "list"), ("list", "list"), ("a:b:c", "b:c")] {
                let bytes = frame(t, p, CALL, name, 77, &args());
                let mut conn = session(&codec);
                let (meta, tag) = request(&codec, &mut conn, &bytes);
                let server = link(&codec, strip, codec.flavour(&conn, &meta));
                let sent =
                    rewrite(&codec, (&conn, &server), &meta, tag, Some(1 << 20), &[], &bytes);
                assert_eq!(sent.unwrap(), frame(t, p, CALL, sent_name, 1 << 20, &args()));
            }
        }
    }
}

#[test]
fn both_ids_come_back_whatever_the_server_echoes() {
    let codec = codec();
    for p in PROTOCOLS {
        for nested in [false, true] {
            let wrap = |header: Header, payload: &[u8]| {
                let bytes = header.frame(p, payload);
                if nested { framed(&bytes) } else { bytes }
            };
            let asked = wrap(Header::new(u32::MAX), &message(p, CALL, "x", 3, &args()));
            let mut conn = session(&codec);
            let (meta, tag) = request(&codec, &mut conn, &asked);
            let mut server = link(&codec, ThriftUpstream::default(), codec.flavour(&conn, &meta));
            let sent = rewrite(&codec, (&conn, &server), &meta, tag, Some(8), &[], &asked);
            let expected = wrap(Header::new(8), &message(p, CALL, "x", 8, &args()));
            assert_eq!(sent.unwrap(), expected);
            for (outer, inner) in [(8, 8), (0, 8), (8, 0), (700, 8)] {
                let header = || Header { flags: 2, ..Header::new(outer) };
                let answer = wrap(header(), &message(p, REPLY, "x", inner, &result("r")));
                let found = reply(&codec, &mut server, &One(8, tag), &answer);
                let back =
                    rewrite(&codec, (&server, &conn), &found, tag, Some(meta.id), &[], &answer);
                let header = Header { seq: u32::MAX, ..header() };
                assert_eq!(back.unwrap(), wrap(header, &message(p, REPLY, "x", 3, &result("r"))));
            }
        }
    }
}

#[test]
fn headers_are_edited_in_both_directions() {
    let codec = codec();
    let call = message(P::Compact, CALL, "x", 1, &args());
    let had = Header::new(1).pairs(&[("user", "a"), ("zone", "z")]);
    let table: Vec<(Header, Vec<_>, Header)> = vec![
        (had.clone(), vec![], had.clone()),
        (
            had.clone(),
            vec![set("user", "b")],
            Header::new(1).pairs(&[("zone", "z"), ("user", "b")]),
        ),
        (
            had.clone(),
            vec![add("user", "b")],
            Header::new(1).pairs(&[("user", "a"), ("zone", "z"), ("user", "b")]),
        ),
        (had.clone(), vec![remove("user")], Header::new(1).pairs(&[("zone", "z")])),
        (had.clone(), vec![remove("user"), remove("zone")], Header::new(1)),
        (
            had.clone(),
            vec![remove("user"), add("user", "c")],
            Header::new(1).pairs(&[("zone", "z"), ("user", "c")]),
        ),
        (Header::new(1), vec![set("user", "b")], Header::new(1).pairs(&[("user", "b")])),
        // Blocks that are not known stay where they are: at the end.
        (
            had.clone().tail(&[7, 1, 2]),
            vec![remove("zone")],
            Header::new(1).pairs(&[("user", "a")]).tail(&[7, 1, 2, 0, 0, 0]),
        ),
        // No header is persistent on a link that others use too.
        (
            Header::new(1).persistent(&[("user", "a")]),
            vec![],
            Header::new(1).pairs(&[("user", "a")]),
        ),
    ];
    for (before, edits, after) in table {
        let bytes = before.frame(P::Compact, &call);
        let mut conn = session(&codec);
        let (meta, tag) = request(&codec, &mut conn, &bytes);
        let server = link(&codec, ThriftUpstream::default(), codec.flavour(&conn, &meta));
        let sent = rewrite(&codec, (&conn, &server), &meta, tag, Some(1), &edits, &bytes).unwrap();
        let expected = after.frame(P::Compact, &call);
        if before.tail.is_empty() {
            assert_eq!(sent, expected, "{edits:?}");
        } else {
            let again = request(&codec, &mut session(&codec), &sent).0;
            assert_eq!(again.len as usize, sent.len());
            assert!(sent.windows(3).any(|w| w == [7, 1, 2]), "{}", sent.escape_ascii());
        }

        let mut server = link(&codec, ThriftUpstream::default(), codec.flavour(&conn, &meta));
        let answer = before.frame(P::Compact, &message(P::Compact, REPLY, "x", 1, &result("r")));
        let found = reply(&codec, &mut server, &One(1, tag), &answer);
        let back = rewrite(&codec, (&server, &conn), &found, tag, Some(meta.id), &edits, &answer);
        if before.tail.is_empty() {
            let expected =
                after.frame(P::Compact, &message(P::Compact, REPLY, "x", 1, &result("r")));
            assert_eq!(back.unwrap(), expected, "{edits:?}");
        }
    }
}

#[test]
fn edits_make_headers_on_links_that_have_them_and_are_lost_on_others() {
    let codec = codec();
    let bytes = frame(T::Framed, P::Strict, CALL, "x", 1, &args());
    let mut conn = session(&codec);
    let (meta, tag) = request(&codec, &mut conn, &bytes);
    let edits = [set("user", "jason")];
    let same = link(&codec, ThriftUpstream::default(), codec.flavour(&conn, &meta));
    let sent = rewrite(&codec, (&conn, &same), &meta, tag, Some(1), &edits, &bytes);
    assert_eq!(sent.unwrap(), bytes);
    let header = upstream(ServerTransport::Header, ServerProtocol::Same);
    let header = link(&codec, header, codec.flavour(&conn, &meta));
    let sent = rewrite(&codec, (&conn, &header), &meta, tag, Some(1), &edits, &bytes);
    let payload = message(P::Strict, CALL, "x", 1, &args());
    let expected = Header::new(1).pairs(&[("user", "jason")]).frame(P::Strict, &payload);
    assert_eq!(sent.unwrap(), expected);
}

#[test]
fn compressed_messages_are_understood_and_forwarded_as_they_were_before() {
    let codec = codec();
    let long = V::Struct(vec![(1, text(&"x".repeat(100_000))), (2, V::I32(3))]);
    for p in PROTOCOLS {
        for body in [args(), long.clone()] {
            let call = message(p, CALL, "S:list", 3, &body);
            let bytes = Header::new(9).transform(1).pairs(&[("user", "a")]).frame(p, &call);
            let mut conn = session(&codec);
            let (meta, tag) = request(&codec, &mut conn, &bytes);
            assert_eq!(meta.id, 3 | (3 ^ 9) << 32);
            let (mut a, mut b) = (Vec::new(), Vec::new());
            assert_eq!(codec.service(&conn, &meta, &bytes, &mut a), Ok(Some(&b"S"[..])));
            assert_eq!(codec.method(&conn, &meta, &bytes, &mut b), Ok(Some(&b"list"[..])));
            assert_eq!(codec.keep(&conn, &meta, &bytes, &mut Vec::new()), b"list");
            let mut c = Vec::new();
            assert_eq!(codec.header(&conn, &meta, &bytes, "user", &mut c), Ok(Some(&b"a"[..])));
            let two = if body == long { "3" } else { "-7" };
            let mut c = Vec::new();
            assert_eq!(codec.arg(&conn, &meta, &bytes, 2, &mut c), Ok(Some(two.as_bytes())));
            let mut server = link(&codec, ThriftUpstream::default(), codec.flavour(&conn, &meta));
            let sent = rewrite(&codec, (&conn, &server), &meta, tag, Some(5), &[], &bytes).unwrap();
            let call = message(p, CALL, "S:list", 5, &body);
            let mut found = request(&codec, &mut session(&codec), &sent).0;
            assert_eq!((found.id, found.len as usize), (5, sent.len()));
            assert_eq!(sent[sent.len() - call.len()..], call);
            found.aux = meta.aux & !(1 << 6);
            let mut c = Vec::new();
            assert_eq!(codec.header(&conn, &found, &sent, "user", &mut c), Ok(Some(&b"a"[..])));

            let done = message(p, EXCEPTION, "list", 5, &exception(&"y".repeat(5000), 6));
            let answer = Header::new(5).transform(1).frame(p, &done);
            let found = reply(&codec, &mut server, &One(5, tag), &answer);
            assert_eq!(codec.code_name(&found, &answer), Some("INTERNAL_ERROR"), "{p:?}");
            let back = rewrite(&codec, (&server, &conn), &found, tag, Some(meta.id), &[], &answer);
            let done = message(p, EXCEPTION, "list", 3, &exception(&"y".repeat(5000), 6));
            let back = back.unwrap();
            assert_eq!(back[back.len() - done.len()..], done);
            assert_eq!(back[8..12], 9_u32.to_be_bytes());
        }
    }
}

#[test]
fn a_bomb_is_not_inflated() {
    let codec = codec();
    let long = V::Struct(vec![(1, text(&"x".repeat(3 << 20)))]);
    let bytes =
        Header::new(9).transform(1).frame(P::Strict, &message(P::Strict, CALL, "x", 3, &long));
    let cx = Ctx::default().max_frame(1 << 20);
    let mut conn = session(&codec);
    let Ok(Step::Frame(meta, tag)) = codec.decode_request(&mut conn, &cx, &bytes) else {
        panic!("its head is small")
    };
    let server = link(&codec, ThriftUpstream::default(), Flavour::default());
    let sent = rewrite(&codec, (&conn, &server), &meta, tag, Some(5), &[], &bytes);
    assert_eq!(sent.unwrap_err().outcome, Outcome::TooLarge);
    assert!(codec.arg(&conn, &meta, &bytes, 1, &mut Vec::new()).is_err());
}

#[test]
fn a_conversion_is_bounded() {
    let codec = codec();
    // Each element takes one byte in compact, and eight in binary.
    let many = V::List(thrift::protocol::TType::I64, vec![V::I64(0); 200_000]);
    let bytes = frame(T::Framed, P::Compact, CALL, "x", 3, &V::Struct(vec![(1, many)]));
    let cx = Ctx::default().max_frame(1 << 20);
    let mut conn = session(&codec);
    let Ok(Step::Frame(meta, tag)) = codec.decode_request(&mut conn, &cx, &bytes) else {
        panic!("it is short enough")
    };
    let binary = upstream(ServerTransport::Same, ServerProtocol::Binary);
    let server = link(&codec, binary, codec.flavour(&conn, &meta));
    let sent = rewrite(&codec, (&conn, &server), &meta, tag, Some(5), &[], &bytes);
    assert_eq!(sent.unwrap_err().outcome, Outcome::TooLarge);
}

#[test]
fn a_reply_to_an_unknown_dialect_stays_as_it_is() {
    let codec = codec();
    let answer = frame(T::Header, P::Compact, REPLY, "x", 5, &result("r"));
    let mut server = link(&codec, ThriftUpstream::default(), Flavour::default());
    let found = reply(&codec, &mut server, &One(5, Tag::default()), &answer);
    let to = (&server, &session(&codec));
    let back = rewrite(&codec, to, &found, Tag::default(), Some(5), &[], &answer);
    assert_eq!(back.unwrap(), answer);
}

/// A frame with more than a message in it would be two calls for a server without frames, one of
/// which no rule has seen; one with less would swallow the next client's.
#[test]
fn only_the_message_of_a_frame_goes_to_servers_without_frames() {
    let codec = codec();
    for p in PROTOCOLS {
        let call = message(p, CALL, "list", 3, &args());
        let hidden = message(p, CALL, "drop_everything", 4, &args());
        let short = &call[..call.len() - 1];
        let zlib = Header { transforms: vec![1], ..Header::new(3) };
        let two = [&call[..], &hidden].concat();
        for way in 0..3 {
            let wrap = |message: &[u8]| match way {
                0 => framed(message),
                1 => Header::new(3).frame(p, message),
                _ => zlib.frame(p, message),
            };
            for (bytes, whole) in [(wrap(&call), true), (wrap(&two), true), (wrap(short), false)] {
                let mut conn = session(&codec);
                let (meta, tag) = request(&codec, &mut conn, &bytes);
                let unframed = upstream(ServerTransport::Unframed, ServerProtocol::Same);
                let server = link(&codec, unframed, codec.flavour(&conn, &meta));
                let sent = rewrite(&codec, (&conn, &server), &meta, tag, Some(3), &[], &bytes);
                if whole {
                    assert_eq!(sent.as_deref(), Ok(&call[..]), "{p:?}");
                } else {
                    assert_eq!(sent.unwrap_err().outcome, Outcome::BadRequest, "{p:?}");
                }
            }
        }
    }
}
