//! The Thrift codec through the checks that every codec is put through, in every dialect.

use heptad_core::Outcome;
use heptad_testkit::conformance::Conformance;

use crate::wire::*;

fn requests(t: T, p: P) -> Vec<u8> {
    let long = V::Struct(vec![(1, text(&"x".repeat(140)))]);
    [
        frame(t, p, CALL, "reviews:list", 7, &args()),
        frame(t, p, ONEWAY, "note", 0, &V::Struct(vec![(1, text("seen"))])),
        frame(t, p, CALL, "ping", u32::MAX, &V::Struct(vec![])),
        frame(t, p, CALL, "Reviews:get:all", 0x8000_0001, &long),
    ]
    .concat()
}

fn replies(t: T, p: P) -> Vec<u8> {
    let declared = V::Struct(vec![(2, V::Struct(vec![(1, text("no such review"))]))]);
    [
        frame(t, p, REPLY, "ping", u32::MAX, &V::Struct(vec![])),
        frame(t, p, REPLY, "list", 7, &result("five stars")),
        frame(t, p, REPLY, "get", 0x8000_0001, &declared),
    ]
    .concat()
}

#[test]
fn every_dialect_keeps_the_contract() {
    for t in TRANSPORTS {
        for p in PROTOCOLS {
            let (asked, back) = (requests(t, p), replies(t, p));
            let failed = frame(t, p, EXCEPTION, "list", 7, &exception("out of order", 6));
            let mut suite = Conformance::new(codec())
                .requests(&asked, 4)
                .replies(&asked, &back, 3)
                .replies(&asked, &failed, 1)
                .rounds(60);
            if t == T::Unframed {
                suite = suite.whole_frames();
            }
            println!("{t:?} {p:?}");
            let report = suite.assert();
            assert_eq!(report.frames, 8);
        }
    }
}

#[test]
fn theader_with_headers_and_two_ids_keeps_the_contract() {
    for p in PROTOCOLS {
        let call = |seq| message(p, CALL, "reviews:list", seq, &args());
        let done = |seq| message(p, REPLY, "list", seq, &result("five stars"));
        let plain = Header::new(9).pairs(&[("user", "jason"), ("trace", "0af7651916cd43dd")]);
        let other = Header::new(0).pairs(&[]).pairs(&[("user", ""), ("zone", "a")]);
        let bare = Header { flags: 5, ..Header::new(u32::MAX) };
        let asked =
            [plain.frame(p, &call(1)), other.frame(p, &call(u32::MAX)), bare.frame(p, &call(4))]
                .concat();
        let back = [
            bare.frame(p, &done(4)),
            Header::new(9).pairs(&[("load", "3")]).frame(p, &done(1)),
            other.frame(p, &done(u32::MAX)),
        ]
        .concat();
        let suite = Conformance::new(codec()).rounds(60).headers(&["user", "trace", "zone"]);
        suite.requests(&asked, 3).replies(&asked, &back, 3).assert();
    }
}

#[test]
fn hostile_requests() {
    let call = frame(T::Framed, P::Strict, CALL, "list", 7, &args());
    let reply = frame(T::Framed, P::Strict, REPLY, "list", 7, &args());
    let long_json = [b"[1,\"".to_vec(), vec![b'a'; 4096]].concat();
    Conformance::new(codec())
        .hostile(b"GET / HTTP/1.1\r\n\r\n", Outcome::BadRequest)
        .hostile(b"\x02\0\0\0\x80\x01\0\x01", Outcome::TooLarge)
        .hostile(b"\0\0\0\x20\x80\x01\0\x01\xff\xff\xff\xff", Outcome::BadRequest)
        .hostile(&long_json, Outcome::TooLarge)
        .hostile(&[call, reply].concat(), Outcome::BadRequest)
        .assert();
}

#[test]
fn compressed_messages_keep_the_contract() {
    let zlib = |header: &Header, seq, kind| {
        let value = if kind == CALL { args() } else { result("five stars") };
        header.frame(P::Compact, &message(P::Compact, kind, "list", seq, &value))
    };
    let header = Header { transforms: vec![1], ..Header::new(9).pairs(&[("user", "jason")]) };
    let (asked, back) = (zlib(&header, 7, CALL), zlib(&header, 7, REPLY));
    let suite = Conformance::new(codec()).rounds(60).recodes().whole_frames();
    suite.requests(&asked, 1).replies(&asked, &back, 1).assert();
}

heptad_testkit::conformance! {
    codec: codec(),
    requests: [
        [
            frame(T::Framed, P::Strict, CALL, "reviews:list", 7, &args()),
            frame(T::Framed, P::Strict, ONEWAY, "note", 8, &V::Struct(vec![])),
        ],
        [frame(T::Unframed, P::Compact, CALL, "list", 7, &args())],
    ],
    replies: [
        [frame(T::Framed, P::Strict, CALL, "list", 7, &args())] =>
            [frame(T::Framed, P::Strict, REPLY, "list", 7, &result("five stars"))],
    ],
    with: |suite| suite.whole_frames().rounds(100),
}
