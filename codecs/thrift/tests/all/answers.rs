//! Answers of Heptad's own, read as the client would.

use heptad_core::{Answer, Codec, Ctx, Fault, Flavour, Meta, Outcome, Question, Reason, Step};
use heptad_thrift::{
    ClientProtocol, ClientTransport, Conn, Tag, Thrift, ThriftOptions, ThriftUpstream,
};

use crate::wire::*;

fn answered(conn: &mut Conn, meta: &Meta, tag: Tag, kept: &[u8], answer: &Answer<'_>) -> Vec<u8> {
    let mut out = b"before".to_vec();
    let question = Question::new(meta, tag).kept(kept);
    codec().answer(conn, &question, answer, &mut out).expect("the dialect is known");
    assert_eq!(&out[..6], b"before");
    out.split_off(6)
}

#[test]
fn answers_are_exceptions_in_the_clients_dialect() {
    let codec = codec();
    let table = [
        (Outcome::NoRoute, Reason::None, 1),
        (Outcome::BadRequest, Reason::Malformed, 7),
        (Outcome::BadRequest, Reason::Unexpected, 2),
        (Outcome::BadRequest, Reason::Unsupported, 9),
        (Outcome::TooLarge, Reason::FrameSize, 7),
        (Outcome::Timeout, Reason::Request, 6),
        (Outcome::Overloaded, Reason::Queue, 6),
        (Outcome::Limited, Reason::None, 6),
        (Outcome::Denied, Reason::None, 6),
        (Outcome::ConnectFailed, Reason::Refused, 6),
    ];
    for t in TRANSPORTS {
        for p in PROTOCOLS {
            for (outcome, reason, ty) in table {
                let bytes = frame(t, p, CALL, "S:list", 77, &args());
                let mut conn = session(&codec);
                let (meta, tag) = request(&codec, &mut conn, &bytes);
                let answer = Answer::Error { outcome, reason, text: "no \"é\"" };
                let out = answered(&mut conn, &meta, tag, b"list", &answer);
                let expected = frame(t, p, EXCEPTION, "list", 77, &exception("no \"é\"", ty));
                assert_eq!(out, expected, "{t:?} {p:?} {outcome:?}");
                let mut server = link(&codec, ThriftUpstream::default(), Flavour::default());
                let found = reply(&codec, &mut server, &One(77, tag), &out);
                assert_eq!(found.code, ty as u32);
            }
        }
    }
}

#[test]
fn a_direct_answer_is_a_result_with_a_string() {
    let codec = codec();
    for t in TRANSPORTS {
        for p in PROTOCOLS {
            let bytes = frame(t, p, CALL, "list", 77, &args());
            let mut conn = session(&codec);
            let (meta, tag) = request(&codec, &mut conn, &bytes);
            let out = answered(&mut conn, &meta, tag, b"list", &Answer::Direct { text: "five" });
            assert_eq!(out, frame(t, p, REPLY, "list", 77, &result("five")), "{t:?} {p:?}");
        }
    }
}

#[test]
fn an_answer_has_both_ids() {
    let codec = codec();
    let bytes = Header::new(9).frame(P::Compact, &message(P::Compact, CALL, "x", 3, &args()));
    let mut conn = session(&codec);
    let (meta, tag) = request(&codec, &mut conn, &bytes);
    let answer = Answer::Error { outcome: Outcome::Denied, reason: Reason::None, text: "no" };
    let out = answered(&mut conn, &meta, tag, b"x", &answer);
    let expected = message(P::Compact, EXCEPTION, "x", 3, &exception("no", 6));
    assert_eq!(out, Header::new(9).frame(P::Compact, &expected));
}

#[test]
fn rejects_are_answered_with_their_kind() {
    let codec = codec();
    let call = message(P::Compact, CALL, "x", 3, &V::Struct(vec![]));
    for (bytes, ty) in [
        (Header::new(9).transform(3).frame(P::Compact, &call), 8),
        (Header::new(9).frame(P::Json, &call), 9),
    ] {
        let mut conn = session(&codec);
        let step = codec.decode_request(&mut conn, &Ctx::default(), &bytes);
        let Ok(Step::Reject(meta, fault)) = step else { panic!("{step:?}") };
        let answer =
            Answer::Error { outcome: fault.outcome, reason: fault.reason, text: fault.text };
        let out = answered(&mut conn, &meta, Tag::default(), b"", &answer);
        let expected = message(P::Strict, EXCEPTION, "", 9, &exception(fault.text, ty));
        assert_eq!(out, Header::new(9).frame(P::Strict, &expected));
    }
}

#[test]
fn nobody_is_told_what_cannot_be_said() {
    let codec = codec();
    let bytes = frame(T::Framed, P::Strict, ONEWAY, "note", 77, &args());
    let mut conn = session(&codec);
    let (meta, tag) = request(&codec, &mut conn, &bytes);
    let answer = Answer::Error { outcome: Outcome::Denied, reason: Reason::None, text: "no" };
    assert!(answered(&mut conn, &meta, tag, b"note", &answer).is_empty(), "a oneway");
    // A fault before the first frame: in the dialect if it is known by then.
    let question = Meta::default();
    let mut fresh = session(&codec);
    let question = Question::new(&question, Tag::default());
    let mut out = Vec::new();
    assert!(codec.answer(&mut fresh, &question, &answer, &mut out).is_err() && out.is_empty());
    let half = codec.decode_request(&mut fresh, &Ctx::default(), b"\0\0\0\x20\x82");
    assert!(matches!(half, Ok(Step::Need(_))));
    assert!(codec.answer(&mut fresh, &question, &answer, &mut out).is_ok() && !out.is_empty());
    assert_eq!(out, frame(T::Framed, P::Compact, EXCEPTION, "", 0, &exception("no", 6)));
}

#[test]
fn a_client_of_a_refused_dialect_is_told_in_it() {
    let mut options = ThriftOptions::default();
    options.transport = ClientTransport::Header;
    let header = Thrift::new(&options).expect("it is fine");
    let mut options = ThriftOptions::default();
    options.protocol = ClientProtocol::Json;
    let json = Thrift::new(&options).expect("it is fine");
    for p in [P::Strict, P::Old, P::Compact] {
        for (codec, t) in [
            (&header, T::Framed),
            (&header, T::Unframed),
            (&json, T::Framed),
            (&json, T::Unframed),
            (&json, T::Header),
        ] {
            let mut conn = session(codec);
            let bytes = frame(t, p, CALL, "list", 5, &args());
            for _ in 0..2 {
                let fault = codec.decode_request(&mut conn, &Ctx::default(), &bytes).unwrap_err();
                let Fault { outcome, reason, text, .. } = fault;
                let answer = Answer::Error { outcome, reason, text };
                let out = answered(&mut conn, &Meta::default(), Tag::default(), b"", &answer);
                assert_eq!(out, frame(t, p, EXCEPTION, "", 0, &exception(text, 9)), "{t:?} {p:?}");
            }
        }
    }
}
