//! Decoding from the outside: any chunking, garbage, and another implementation as the oracle.

use heptad_core::{Asked, Codec, Ctx, Flavour, Kind, Side, Step};
use heptad_redis::{Redis, RedisOptions, Tag};
use proptest::prelude::*;
use redis_protocol::{
    resp2::{
        self,
        types::{OwnedFrame as Frame2, Resp2Frame},
    },
    resp3::{
        self,
        types::{OwnedFrame as Frame3, Resp3Frame},
    },
};

fn codec() -> Redis {
    Redis::new(&RedisOptions::default()).expect("defaults are fine")
}

struct Nothing;

impl Asked<Tag> for Nothing {
    fn tag(&self, _: u64) -> Option<Tag> {
        Some(Tag::default())
    }
}

/// What was found: the length and method of each frame, skips left out, and whether it ended in a
/// fault.
type Found = (Vec<(u32, Vec<u8>)>, bool);

/// Decodes requests from `bytes`, handed over in pieces that end at `cuts`, as an engine would: not
/// again before what was needed is there, and each frame twice.
fn requests(bytes: &[u8], cuts: &[usize]) -> Found {
    let codec = codec();
    let mut conn = codec.open(Side::Session, Flavour::default());
    let cx = Ctx::default();
    let (mut found, mut at, mut need) = (Vec::new(), 0, 1);
    for end in cuts.iter().copied().chain([bytes.len()]) {
        while end > at && end - at >= need {
            match codec.decode_request(&mut conn, &cx, &bytes[at..end]) {
                Ok(Step::Need(n)) => {
                    assert!(n > end - at, "asks for what it has");
                    need = n;
                }
                Ok(Step::Skip(n)) => {
                    assert!(n > 0);
                    at += n;
                    need = 1;
                }
                Ok(Step::Frame(meta, tag)) => {
                    let again = codec.decode_request(&mut conn, &cx, &bytes[at..end]);
                    assert_eq!(again, Ok(Step::Frame(meta, tag)), "decoding is not pure");
                    let frame = &bytes[at..at + meta.len as usize];
                    let mut scratch = Vec::new();
                    let method = codec.method(&conn, &meta, frame, &mut scratch);
                    let method = method.expect("readable").unwrap_or_default().to_vec();
                    found.push((meta.len, method));
                    at += frame.len();
                    need = 1;
                }
                Ok(Step::Reject(meta, _)) => {
                    found.push((meta.len, b"!".to_vec()));
                    at += meta.len as usize;
                    need = 1;
                }
                Ok(_) => unreachable!("there are no other steps"),
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}

/// The same for replies.
fn replies(bytes: &[u8], cuts: &[usize]) -> (Vec<(u32, Kind)>, bool) {
    let codec = codec();
    let mut link = codec.open(Side::Link(&Default::default()), Flavour::default());
    let cx = Ctx::default();
    let (mut found, mut at, mut need) = (Vec::new(), 0, 1);
    for end in cuts.iter().copied().chain([bytes.len()]) {
        while end > at && end - at >= need {
            match codec.decode_reply(&mut link, &Nothing, &cx, &bytes[at..end]) {
                Ok(Step::Need(n)) => {
                    assert!(n > end - at, "asks for what it has");
                    need = n;
                }
                Ok(Step::Frame(meta, ())) => {
                    assert!(meta.len > 0);
                    found.push((meta.len, meta.kind));
                    at += meta.len as usize;
                    need = 1;
                }
                Ok(_) => unreachable!("replies are frames"),
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}

const REQUESTS: &[u8] = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n\r\n*0\r\nPING\r\nset \"a b\" 'c'\r\n\
    *3\r\n$3\r\nset\r\n$1\r\nk\r\n$10\r\n0123456789\r\n*4\r\n$4\r\nMGET\r\n$1\r\na\r\n$0\r\n\r\n\
    $2\r\nbc\r\n*-1\r\n*3\r\n$6\r\nconfig\r\n$3\r\nget\r\n$1\r\n*\r\n*1\r\n$5\r\nMULTI\r\n";
const REPLIES: &[u8] =
    b"+OK\r\n:1\r\n$5\r\nhello\r\n*2\r\n$1\r\na\r\n*1\r\n$-1\r\n%1\r\n+a\r\n#t\r\n\
    >2\r\n+invalidate\r\n_\r\n-ERR no\r\n|1\r\n+a\r\n:1\r\n+b\r\n=7\r\ntxt:abc\r\n,1.5\r\n";

#[test]
fn any_chunking_gives_the_same_frames() {
    let whole = requests(REQUESTS, &[]);
    assert_eq!(whole.0.len(), 7);
    assert!(!whole.1);
    for i in 0..REQUESTS.len() {
        for j in i..REQUESTS.len() {
            assert_eq!(requests(REQUESTS, &[i, j]), whole, "{i} {j}");
        }
    }
    let each: Vec<_> = (0..REQUESTS.len()).collect();
    assert_eq!(requests(REQUESTS, &each), whole);

    let whole = replies(REPLIES, &[]);
    assert_eq!(whole.0.len(), 10);
    for i in 0..REPLIES.len() {
        for j in i..REPLIES.len() {
            assert_eq!(replies(REPLIES, &[i, j]), whole, "{i} {j}");
        }
    }
}

#[test]
fn a_bomb_of_nested_arrays_is_a_fault_and_no_deep_stack() {
    let bomb = b"*1\r\n".repeat(1 << 20);
    assert_eq!(replies(&bomb, &[]), (vec![], true));
    assert_eq!(requests(&bomb, &[]), (vec![], true));
}

#[test]
fn a_large_array_in_many_pieces_is_scanned_once() {
    // Quadratic scanning of this would take minutes, even optimised.
    let mut bytes = b"*200000\r\n".to_vec();
    bytes.extend(b"$3\r\nabc\r\n".repeat(200_000));
    let cuts: Vec<_> = (0..bytes.len()).step_by(7).collect();
    assert_eq!(replies(&bytes, &cuts).0, [(bytes.len() as u32, Kind::Reply)]);
    let mut args = b"*200000\r\n$4\r\nmget\r\n".to_vec();
    args.extend(b"$3\r\nabc\r\n".repeat(199_999));
    let cuts: Vec<_> = (0..args.len()).step_by(7).collect();
    assert_eq!(requests(&args, &cuts).0, [(args.len() as u32, b"MGET".to_vec())]);
}

fn frame2() -> impl Strategy<Value = Frame2> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let leaf = prop_oneof![
        "[a-zA-Z0-9 ]{0,20}".prop_map(|s| Frame2::SimpleString(s.into_bytes())),
        "[A-Z]{1,8} [a-z ]{0,20}".prop_map(Frame2::Error),
        any::<i64>().prop_map(Frame2::Integer),
        bytes().prop_map(Frame2::BulkString),
        Just(Frame2::Null),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop::collection::vec(inner, 0..8).prop_map(Frame2::Array)
    })
}

fn frame3() -> impl Strategy<Value = Frame3> {
    let text = "[a-z]{0,12}";
    let attributes = None;
    let leaf = prop_oneof![
        text.prop_map(move |s| Frame3::SimpleString { data: s.into_bytes(), attributes: None }),
        any::<i64>().prop_map(|data| Frame3::Number { data, attributes: None }),
        any::<bool>().prop_map(|data| Frame3::Boolean { data, attributes: None }),
        prop::collection::vec(any::<u8>(), 0..40)
            .prop_map(|data| Frame3::BlobString { data, attributes: None }),
        prop::collection::vec(any::<u8>(), 0..40)
            .prop_map(|data| Frame3::BlobError { data, attributes: None }),
        (-1e9..1e9_f64).prop_map(|data| Frame3::Double { data, attributes: None }),
        Just(Frame3::Null),
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        let attributes = attributes.clone();
        prop::collection::vec(inner, 0..8)
            .prop_map(move |data| Frame3::Array { data, attributes: attributes.clone() })
    })
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..6)
}

fn places(cuts: &[prop::sample::Index], len: usize) -> Vec<usize> {
    let mut all: Vec<_> = cuts.iter().map(|c| c.index(len.max(1))).collect();
    all.sort_unstable();
    all
}

proptest! {
    #[test]
    fn resp2_ends_where_another_implementation_ends_it(
        frames in prop::collection::vec(frame2(), 1..5),
        cuts in cuts(),
    ) {
        let mut bytes = Vec::new();
        let mut lens = Vec::new();
        for frame in &frames {
            let mut one = vec![0; frame.encode_len(false)];
            let len = resp2::encode::encode(&mut one, frame, false).expect("it fits");
            bytes.extend_from_slice(&one[..len]);
            lens.push((len as u32, Kind::Reply));
        }
        let whole = (lens, false);
        prop_assert_eq!(&replies(&bytes, &[]), &whole);
        prop_assert_eq!(&replies(&bytes, &places(&cuts, bytes.len())), &whole);
    }

    #[test]
    fn resp3_ends_where_another_implementation_ends_it(
        frames in prop::collection::vec(frame3(), 1..5),
        cuts in cuts(),
    ) {
        let mut bytes = Vec::new();
        let mut lens = Vec::new();
        for frame in &frames {
            let mut one = vec![0; frame.encode_len(false)];
            let len = resp3::encode::complete::encode(&mut one, frame, false).expect("it fits");
            bytes.extend_from_slice(&one[..len]);
            lens.push((len as u32, Kind::Reply));
        }
        let whole = (lens, false);
        prop_assert_eq!(&replies(&bytes, &[]), &whole);
        prop_assert_eq!(&replies(&bytes, &places(&cuts, bytes.len())), &whole);
    }

    #[test]
    fn commands_end_where_another_implementation_ends_them(
        words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..9),
        cuts in cuts(),
    ) {
        let frame = Frame2::Array(words.into_iter().map(Frame2::BulkString).collect());
        let mut bytes = vec![0; frame.encode_len(false)];
        let len = resp2::encode::encode(&mut bytes, &frame, false).expect("it fits");
        prop_assert_eq!(len, bytes.len());
        let (found, fault) = requests(&bytes, &places(&cuts, len));
        prop_assert!(!fault);
        prop_assert_eq!(found.iter().map(|f| f.0).collect::<Vec<_>>(), vec![len as u32]);
    }

    #[test]
    fn garbage_is_cut_anywhere_without_panic(
        bytes in prop::collection::vec(
            prop_oneof![any::<u8>(), prop::sample::select(&b"*$+-:%~>|0123\r\n\" '"[..])], 0..200),
        cuts in cuts(),
    ) {
        let places = places(&cuts, bytes.len());
        prop_assert_eq!(requests(&bytes, &places), requests(&bytes, &[]));
        prop_assert_eq!(replies(&bytes, &places), replies(&bytes, &[]));
    }
}

#[test]
fn policy_sees_one_spelling_of_what_the_server_takes_for_the_same() {
    let codec = codec();
    let check = |bytes: &[u8], method: &str, key: Option<&str>| {
        let mut conn = codec.open(Side::Session, Flavour::default());
        let step = codec.decode_request(&mut conn, &Ctx::default(), bytes);
        let Ok(Step::Frame(meta, _)) = step else { panic!("{step:?}") };
        let (mut one, mut two) = (Vec::new(), Vec::new());
        let method_found = codec.method(&conn, &meta, bytes, &mut one);
        let found = (method_found, codec.key(&conn, &meta, bytes, &mut two));
        let expect = (Ok(Some(method.as_bytes())), Ok(key.map(str::as_bytes)));
        assert_eq!(found, expect, "{}", bytes.escape_ascii());
    };
    check(b"*2\r\n$3\r\ngEt\r\n$1\r\nk\r\n", "GET", Some("k"));
    check(b"*2\r\n$6\r\nmy.Cmd\r\n$1\r\nk\r\n", "MY.CMD", Some("k"));
    check(b"*1\r\n$6\r\nmy.cmd\r\n", "MY.CMD", None);
    check(b"*1\r\n$0\r\n\r\n", "", None);
    check(b"my.cmd k\r\n", "MY.CMD", Some("k"));
    check(b"\"\\x6dy.cmd\" 'k'\r\n", "MY.CMD", Some("k"));
    check(b"g\"et\" \"\\x6b\"\r\n", "GET", Some("k"));
    check(b"mset \"\\x6b\" 1 b 2\r\n", "MSET", Some("k"));
    check(b"config get \"\\x6b\"\r\n", "CONFIG", None);
    check(b"ping\r\n", "PING", None);
    let long = format!("*1\r\n$70\r\n{}\r\n", "x".repeat(70));
    check(long.as_bytes(), &"X".repeat(64), None);
}
