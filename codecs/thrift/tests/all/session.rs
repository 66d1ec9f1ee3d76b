//! What a connection remembers: persistent headers of clients and of servers, and where decoding
//! stopped.

use heptad_core::{Codec, Ctx, Step};
use heptad_thrift::ThriftUpstream;

use crate::wire::*;

#[test]
fn a_persistent_header_holds_for_its_session_and_for_no_other() {
    let codec = codec();
    let call = |seq| message(P::Compact, CALL, "x", seq, &args());
    let first = Header::new(1).persistent(&[("user", "jason")]).frame(P::Compact, &call(1));
    let second = Header::new(2).pairs(&[("zone", "z")]).frame(P::Compact, &call(2));
    let (mut a, mut b) = (session(&codec), session(&codec));
    let (meta, tag) = request(&codec, &mut a, &first);
    let server = link(&codec, ThriftUpstream::default(), codec.flavour(&a, &meta));
    codec.accepted(&mut a, &meta, tag, &first);
    let sent = rewrite(&codec, (&a, &server), &meta, tag, Some(5), &[], &first).unwrap();
    let expected = Header::new(5).pairs(&[("user", "jason")]).frame(P::Compact, &call(5));
    assert_eq!(sent, expected, "once, and not as a persistent one");

    for (conn, user, pairs) in [
        (&mut a, Some("jason"), &[("user", "jason"), ("zone", "z")][..]),
        (&mut b, None, &[("zone", "z")][..]),
    ] {
        let (meta, tag) = request(&codec, conn, &second);
        let mut scratch = Vec::new();
        let found = codec.header(conn, &meta, &second, "user", &mut scratch);
        assert_eq!(found, Ok(user.map(str::as_bytes)));
        codec.accepted(conn, &meta, tag, &second);
        let sent = rewrite(&codec, (conn, &server), &meta, tag, Some(6), &[], &second).unwrap();
        assert_eq!(sent, Header::new(6).pairs(pairs).frame(P::Compact, &call(6)));
    }

    // A later one replaces it; an edit may take it away; a header of the call counts before it.
    let third = Header::new(3).persistent(&[("user", "other")]).frame(P::Compact, &call(3));
    let (meta, tag) = request(&codec, &mut a, &third);
    codec.accepted(&mut a, &meta, tag, &third);
    let (meta, tag) = request(&codec, &mut a, &second);
    let found =
        codec.header(&a, &meta, &second, "user", &mut Vec::new()).map(|v| v.map(<[u8]>::to_vec));
    assert_eq!(found, Ok(Some(b"other".to_vec())));
    let sent = rewrite(&codec, (&a, &server), &meta, tag, Some(6), &[remove("user")], &second);
    let expected = Header::new(6).pairs(&[("zone", "z")]).frame(P::Compact, &call(6));
    assert_eq!(sent.unwrap(), expected);
    let own = Header::new(2).pairs(&[("user", "own")]).frame(P::Compact, &call(2));
    let (meta, tag) = request(&codec, &mut a, &own);
    assert_eq!(codec.header(&a, &meta, &own, "user", &mut Vec::new()), Ok(Some(&b"own"[..])));
    let sent = rewrite(&codec, (&a, &server), &meta, tag, Some(6), &[], &own).unwrap();
    let found = request(&codec, &mut b, &sent).0;
    let mut scratch = Vec::new();
    assert_eq!(codec.header(&b, &found, &sent, "user", &mut scratch), Ok(Some(&b"own"[..])));
}

#[test]
fn a_servers_persistent_header_is_added_to_its_later_replies() {
    let codec = codec();
    let call = Header::new(1).frame(P::Strict, &message(P::Strict, CALL, "x", 1, &args()));
    let mut conn = session(&codec);
    let (meta, tag) = request(&codec, &mut conn, &call);
    let mut server = link(&codec, ThriftUpstream::default(), codec.flavour(&conn, &meta));
    let done = message(P::Strict, REPLY, "x", 1, &result("r"));
    let first = Header::new(1).persistent(&[("host", "h1")]).frame(P::Strict, &done);
    let second = Header::new(1).frame(P::Strict, &done);
    for answer in [first, second] {
        let found = reply(&codec, &mut server, &One(1, tag), &answer);
        let back = rewrite(&codec, (&server, &conn), &found, tag, Some(meta.id), &[], &answer);
        assert_eq!(back.unwrap(), Header::new(1).pairs(&[("host", "h1")]).frame(P::Strict, &done));
    }
}

#[test]
fn a_compressed_frame_is_the_same_in_any_reads() {
    let codec = codec();
    // Bytes that do not compress, so that the frame is longer than a head may be.
    let noise: Vec<u8> =
        (0..50_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for body in [args(), V::Struct(vec![(1, V::Bytes(noise))])] {
        let call = message(P::Compact, CALL, "S:list", 3, &body);
        let bytes = Header::new(9).transform(1).pairs(&[("user", "a")]).frame(P::Compact, &call);
        for max_head in [4096, u32::MAX] {
            let cx = Ctx::default().max_head(max_head);
            let whole = codec.decode_request(&mut session(&codec), &cx, &bytes);
            assert!(matches!(whole, Ok(Step::Frame(..))), "{whole:?}");
            let mut conn = session(&codec);
            let mut need = 1;
            for end in 1..=bytes.len() {
                if end < need {
                    continue;
                }
                match codec.decode_request(&mut conn, &cx, &bytes[..end]) {
                    Ok(Step::Need(n)) => {
                        assert!(n > end && n <= bytes.len().min(max_head as usize));
                        need = n;
                    }
                    other => {
                        assert_eq!(other, whole);
                        break;
                    }
                }
            }
        }
    }
}
