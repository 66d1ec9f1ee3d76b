//! Against the `thrift` crate: random structs, read and converted as it would.

use heptad_core::{Codec, Ctx, Step};
use heptad_thrift::{ServerProtocol, ThriftUpstream};
use proptest::prelude::*;
use thrift::protocol::{
    TBinaryInputProtocol, TCompactInputProtocol, TInputProtocol, TMessageIdentifier, TMessageType,
    TType,
};

use crate::wire::*;

/// How far a field's id is from that of the field before it. The crate writes a distance of 15 in
/// the long form, where others and this codec write the short one.
fn step() -> impl Strategy<Value = i16> {
    prop_oneof![1_i16..15, 16_i16..3000, -300_i16..0]
}

fn fields(fields: Vec<(i16, V)>) -> V {
    let ids = fields.iter().scan(0, |id, (step, _)| {
        *id += step;
        Some(*id)
    });
    V::Struct(ids.zip(fields.iter().map(|(_, v)| v.clone())).collect())
}

/// A value, and the type of it: all elements of a container have one type.
fn value() -> impl Strategy<Value = V> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(V::Bool),
        any::<i8>().prop_map(V::I8),
        any::<i16>().prop_map(V::I16),
        any::<i32>().prop_map(V::I32),
        any::<i64>().prop_map(V::I64),
        (-1000_i64..1000).prop_map(V::I64),
        any::<f64>().prop_map(V::Double),
        any::<u128>().prop_map(V::Uuid),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(V::Bytes),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            proptest::collection::vec((step(), inner.clone()), 0..8).prop_map(fields),
            (inner.clone(), 1_usize..20).prop_map(|(v, n)| V::List(v.ty(), vec![v; n])),
            (inner.clone(), 1_usize..20).prop_map(|(v, n)| V::Set(v.ty(), vec![v; n])),
            (inner.clone(), inner, 1_usize..5).prop_map(|(k, v, n)| V::Map(
                k.ty(),
                v.ty(),
                vec![(k, v); n]
            )),
            Just(V::List(TType::String, vec![])),
            Just(V::Map(TType::I32, TType::Struct, vec![])),
        ]
    })
}

fn body() -> impl Strategy<Value = V> {
    proptest::collection::vec((step(), value()), 0..6).prop_map(fields)
}

/// Empty maps do not tell their types in compact.
fn has_empty_map(v: &V) -> bool {
    match v {
        V::Map(_, _, all) => {
            all.is_empty() || all.iter().any(|(k, v)| has_empty_map(k) || has_empty_map(v))
        }
        V::List(_, all) | V::Set(_, all) => all.iter().any(has_empty_map),
        V::Struct(all) => all.iter().any(|(_, v)| has_empty_map(v)),
        _ => false,
    }
}

/// Reads a message to its end: its head, and the bytes that were read.
fn read(p: P, bytes: &[u8]) -> thrift::Result<(TMessageIdentifier, usize)> {
    let mut rest = bytes;
    let all = |i: &mut dyn TInputProtocol| {
        let id = i.read_message_begin()?;
        i.skip_till_depth(TType::Struct, 60)?;
        Ok::<_, thrift::Error>(id)
    };
    let id = match p {
        P::Strict => all(&mut TBinaryInputProtocol::new(&mut rest, true))?,
        P::Old => all(&mut TBinaryInputProtocol::new(&mut rest, false))?,
        _ => all(&mut TCompactInputProtocol::new(&mut rest))?,
    };
    Ok((id, bytes.len() - rest.len()))
}

const READABLE: [P; 3] = [P::Strict, P::Old, P::Compact];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn unframed_messages_end_where_the_crate_says(
        body in body(),
        name in "[a-zA-Z_:]{0,20}",
        seq: u32,
        oneway: bool,
        cuts in proptest::collection::vec(1_usize..40, 1..20),
        which in 0_usize..3,
    ) {
        let p = READABLE[which];
        let kind = if oneway { ONEWAY } else { CALL };
        let bytes = message(p, kind, &name, seq, &body);
        let two = [&bytes[..], &bytes[..]].concat();
        let (id, end) = read(p, &two).expect("it wrote it");
        prop_assert_eq!(end, bytes.len());
        let codec = codec();
        let mut conn = session(&codec);
        let cx = Ctx::default();
        let (mut seen, mut need) = (0, 1);
        for n in cuts.iter().cycle() {
            seen = (seen + n).min(two.len());
            if seen < need {
                continue;
            }
            match codec.decode_request(&mut conn, &cx, &two[..seen]) {
                Ok(Step::Need(n)) => {
                    prop_assert!(n > seen && n <= bytes.len());
                    need = n;
                }
                Ok(Step::Frame(meta, _)) => {
                    prop_assert_eq!(meta.len as usize, end);
                    prop_assert_eq!(meta.id, u64::from(id.sequence_number as u32));
                    let found = codec.method(&conn, &meta, &bytes, &mut Vec::new())
                        .map(|v| v.map(<[u8]>::to_vec));
                    let method = id.name.split_once(':').map_or(&*id.name, |(_, method)| method);
                    prop_assert_eq!(found, Ok(Some(method.as_bytes().to_vec())));
                    let is_oneway = meta.kind == heptad_core::Kind::Oneway;
                    prop_assert_eq!(is_oneway, id.message_type == TMessageType::OneWay);
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn conversions_are_what_the_crate_would_have_written(
        body in body(),
        seq: u32,
        from in 0_usize..3,
        to_compact: bool,
    ) {
        let codec = codec();
        let from = READABLE[from];
        let mut upstream = ThriftUpstream::default();
        let (server, to) = if to_compact {
            (ServerProtocol::Compact, P::Compact)
        } else {
            (ServerProtocol::Binary, P::Strict)
        };
        upstream.protocol = server;
        let bytes = frame(T::Framed, from, CALL, "S:m", seq, &body);
        let mut conn = session(&codec);
        let (meta, tag) = request(&codec, &mut conn, &bytes);
        let mut server = link(&codec, upstream, codec.flavour(&conn, &meta));
        let sent = rewrite(&codec, (&conn, &server), &meta, tag, Some(9), &[], &bytes).unwrap();
        let lossy = has_empty_map(&body);
        if !(lossy && from == P::Compact && !to_compact) {
            prop_assert_eq!(&sent, &frame(T::Framed, to, CALL, "S:m", 9, &body));
        }
        let (_, end) = read(to, &sent[4..]).expect("it can be read");
        prop_assert_eq!(end + 4, sent.len());
        // And the same bytes come back.
        let echoed = frame(T::Framed, to, REPLY, "S:m", 9, &body);
        let found = reply(&codec, &mut server, &One(9, tag), &echoed);
        let back = rewrite(&codec, (&server, &conn), &found, tag, Some(meta.id), &[], &echoed);
        if !(lossy && to_compact && from != P::Compact) {
            prop_assert_eq!(back.unwrap(), frame(T::Framed, from, REPLY, "S:m", seq, &body));
        }
    }

    #[test]
    fn random_bytes_never_break_the_readers(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let codec = codec();
        for head in [&b"\x80\x01\0\x01\0\0\0\x01x\0\0\0\x01"[..], b"\x82\x21\x01\x01x", b"[1,\"x\",1,1,"] {
            let all = [head, &bytes].concat();
            let framed = framed(&all);
            let mut conn = session(&codec);
            let (meta, tag) = request(&codec, &mut conn, &framed);
            for id in 0..4 {
                let _ = codec.arg(&conn, &meta, &framed, id, &mut Vec::new());
            }
            for to in [ServerProtocol::Binary, ServerProtocol::Compact] {
                let mut upstream = ThriftUpstream::default();
                upstream.protocol = to;
                let server = link(&codec, upstream, codec.flavour(&conn, &meta));
                let _ = rewrite(&codec, (&conn, &server), &meta, tag, Some(9), &[], &framed);
            }
            let _ = codec.decode_request(&mut session(&codec), &Ctx::default(), &all);
        }
    }
}
