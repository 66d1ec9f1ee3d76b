//! Messages in every dialect, written without the codec: values by the `thrift` crate, or by hand
//! what it does not have (JSON, THeader).

use std::io::Write;

use heptad_core::{
    Asked, Chain, Codec, Ctx, Fault, Flavour, HeaderEdit, Meta, Rewrite, Side, Splice, Step,
};
use heptad_thrift::{Conn, Tag, Thrift, ThriftOptions, ThriftUpstream};
use thrift::protocol::{
    TBinaryOutputProtocol, TCompactOutputProtocol, TFieldIdentifier, TListIdentifier,
    TMapIdentifier, TMessageIdentifier, TMessageType, TOutputProtocol, TSetIdentifier,
    TStructIdentifier, TType,
};

/// How a message is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum P {
    Strict,
    Old,
    Compact,
    Json,
}

/// How it is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum T {
    Unframed,
    Framed,
    Header,
    Nested,
}

pub(crate) const PROTOCOLS: [P; 4] = [P::Strict, P::Old, P::Compact, P::Json];
pub(crate) const TRANSPORTS: [T; 4] = [T::Unframed, T::Framed, T::Header, T::Nested];

pub(crate) const CALL: u8 = 1;
pub(crate) const REPLY: u8 = 2;
pub(crate) const EXCEPTION: u8 = 3;
pub(crate) const ONEWAY: u8 = 4;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum V {
    Bool(bool),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    Double(f64),
    Bytes(Vec<u8>),
    Uuid(u128),
    List(TType, Vec<V>),
    Set(TType, Vec<V>),
    Map(TType, TType, Vec<(V, V)>),
    Struct(Vec<(i16, V)>),
}

pub(crate) fn text(s: &str) -> V {
    V::Bytes(s.as_bytes().to_vec())
}

impl V {
    pub(crate) fn ty(&self) -> TType {
        match self {
            V::Bool(_) => TType::Bool,
            V::I8(_) => TType::I08,
            V::I16(_) => TType::I16,
            V::I32(_) => TType::I32,
            V::I64(_) => TType::I64,
            V::Double(_) => TType::Double,
            V::Bytes(_) => TType::String,
            V::Uuid(_) => TType::Uuid,
            V::List(..) => TType::List,
            V::Set(..) => TType::Set,
            V::Map(..) => TType::Map,
            V::Struct(_) => TType::Struct,
        }
    }

    fn write(&self, o: &mut dyn TOutputProtocol) -> thrift::Result<()> {
        match self {
            V::Bool(v) => o.write_bool(*v),
            V::I8(v) => o.write_i8(*v),
            V::I16(v) => o.write_i16(*v),
            V::I32(v) => o.write_i32(*v),
            V::I64(v) => o.write_i64(*v),
            V::Double(v) => o.write_double(*v),
            V::Bytes(v) => o.write_bytes(v),
            V::Uuid(v) => o.write_uuid(&uuid::Uuid::from_u128(*v)),
            V::List(ty, all) => {
                o.write_list_begin(&TListIdentifier::new(*ty, all.len() as i32))?;
                all.iter().try_for_each(|v| v.write(o))?;
                o.write_list_end()
            }
            V::Set(ty, all) => {
                o.write_set_begin(&TSetIdentifier::new(*ty, all.len() as i32))?;
                all.iter().try_for_each(|v| v.write(o))?;
                o.write_set_end()
            }
            V::Map(k, v, all) => {
                o.write_map_begin(&TMapIdentifier::new(*k, *v, all.len() as i32))?;
                for (k, v) in all {
                    k.write(o)?;
                    v.write(o)?;
                }
                o.write_map_end()
            }
            V::Struct(fields) => {
                o.write_struct_begin(&TStructIdentifier::new("s"))?;
                for (id, v) in fields {
                    o.write_field_begin(&TFieldIdentifier::new("f", v.ty(), *id))?;
                    v.write(o)?;
                    o.write_field_end()?;
                }
                o.write_field_stop()?;
                o.write_struct_end()
            }
        }
    }

    fn json(&self, out: &mut String) {
        let name = |ty: TType| match ty {
            TType::Bool => "tf",
            TType::I08 => "i8",
            TType::I16 => "i16",
            TType::I32 => "i32",
            TType::I64 => "i64",
            TType::Double => "dbl",
            TType::String => "str",
            TType::Uuid => "uid",
            TType::List => "lst",
            TType::Set => "set",
            TType::Map => "map",
            _ => "rec",
        };
        match self {
            V::Bool(v) => out.push(if *v { '1' } else { '0' }),
            V::I8(v) => out.push_str(&v.to_string()),
            V::I16(v) => out.push_str(&v.to_string()),
            V::I32(v) => out.push_str(&v.to_string()),
            V::I64(v) => out.push_str(&v.to_string()),
            V::Double(v) => out.push_str(&format!("{v:?}")),
            V::Uuid(v) => out.push_str(&format!("\"{v:x}\"")),
            V::Bytes(v) => {
                let text = String::from_utf8_lossy(v).replace('\\', "\\\\").replace('"', "\\\"");
                out.push_str(&format!("\"{text}\""));
            }
            V::List(ty, all) | V::Set(ty, all) => {
                out.push_str(&format!("[\"{}\",{}", name(*ty), all.len()));
                for v in all {
                    out.push(',');
                    v.json(out);
                }
                out.push(']');
            }
            V::Map(k, v, all) => {
                out.push_str(&format!("[\"{}\",\"{}\",{},{{", name(*k), name(*v), all.len()));
                for (i, (k, v)) in all.iter().enumerate() {
                    let mut key = String::new();
                    k.json(&mut key);
                    let comma = if i == 0 { "" } else { "," };
                    let quote = if key.starts_with('"') { "" } else { "\"" };
                    out.push_str(&format!("{comma}{quote}{key}{quote}:"));
                    v.json(out);
                }
                out.push_str("}]");
            }
            V::Struct(fields) => {
                out.push('{');
                for (i, (id, v)) in fields.iter().enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    out.push_str(&format!("{comma}\"{id}\":{{\"{}\":", name(v.ty())));
                    v.json(out);
                    out.push('}');
                }
                out.push('}');
            }
        }
    }
}

/// A message.
pub(crate) fn message(p: P, kind: u8, name: &str, seq: u32, body: &V) -> Vec<u8> {
    let kind_of = match kind {
        CALL => TMessageType::Call,
        REPLY => TMessageType::Reply,
        EXCEPTION => TMessageType::Exception,
        _ => TMessageType::OneWay,
    };
    let id = TMessageIdentifier::new(name, kind_of, seq as i32);
    let mut out = Vec::new();
    let write = |o: &mut dyn TOutputProtocol| {
        o.write_message_begin(&id)?;
        body.write(o)?;
        o.write_message_end()
    };
    match p {
        P::Strict => write(&mut TBinaryOutputProtocol::new(&mut out, true)),
        P::Old => write(&mut TBinaryOutputProtocol::new(&mut out, false)),
        P::Compact => write(&mut TCompactOutputProtocol::new(&mut out)),
        P::Json => {
            let mut text = format!("[1,\"{name}\",{kind},{},", seq as i32);
            body.json(&mut text);
            text.push(']');
            out = text.into_bytes();
            Ok(())
        }
    }
    .expect("a vector takes it");
    out
}

pub(crate) fn framed(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes(), payload].concat()
}

/// A THeader, written by hand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Header {
    pub(crate) flags: u16,
    pub(crate) seq: u32,
    pub(crate) transforms: Vec<u8>,
    /// Id of the block, and pairs.
    pub(crate) blocks: Vec<(u8, Vec<(String, String)>)>,
    /// Anything behind the blocks.
    pub(crate) tail: Vec<u8>,
}

fn varint(mut n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

impl Header {
    pub(crate) fn new(seq: u32) -> Self {
        Self { seq, ..Self::default() }
    }

    fn block(mut self, id: u8, pairs: &[(&str, &str)]) -> Self {
        let pairs = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        self.blocks.push((id, pairs));
        self
    }

    pub(crate) fn pairs(self, pairs: &[(&str, &str)]) -> Self {
        self.block(1, pairs)
    }

    pub(crate) fn persistent(self, pairs: &[(&str, &str)]) -> Self {
        self.block(2, pairs)
    }

    pub(crate) fn transform(mut self, id: u8) -> Self {
        self.transforms.push(id);
        self
    }

    pub(crate) fn tail(mut self, bytes: &[u8]) -> Self {
        self.tail = bytes.to_vec();
        self
    }

    pub(crate) fn frame(&self, p: P, payload: &[u8]) -> Vec<u8> {
        let mut head = vec![match p {
            P::Strict | P::Old => 0,
            P::Json => 1,
            P::Compact => 2,
        }];
        head.push(self.transforms.len() as u8);
        head.extend_from_slice(&self.transforms);
        for (id, pairs) in &self.blocks {
            head.push(*id);
            head.extend(varint(pairs.len()));
            for text in pairs.iter().flat_map(|(k, v)| [k, v]) {
                head.extend(varint(text.len()));
                head.extend_from_slice(text.as_bytes());
            }
        }
        head.extend_from_slice(&self.tail);
        head.resize(head.len().next_multiple_of(4), 0);
        let zlib = self.transforms == [1];
        let payload = if zlib { deflate(payload) } else { payload.to_vec() };
        let mut all = vec![0x0f, 0xff];
        all.extend_from_slice(&self.flags.to_be_bytes());
        all.extend_from_slice(&self.seq.to_be_bytes());
        all.extend_from_slice(&(head.len() as u16 / 4).to_be_bytes());
        all.extend(head);
        all.extend(payload);
        framed(&all)
    }
}

pub(crate) fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).expect("a vector takes it");
    out.finish().expect("a vector takes it")
}

/// A message in a frame; a THeader has the same id, and no info headers.
pub(crate) fn wrap(t: T, p: P, seq: u32, payload: &[u8]) -> Vec<u8> {
    match t {
        T::Unframed => payload.to_vec(),
        T::Framed => framed(payload),
        T::Header => Header::new(seq).frame(p, payload),
        T::Nested => framed(&Header::new(seq).frame(p, payload)),
    }
}

pub(crate) fn frame(t: T, p: P, kind: u8, name: &str, seq: u32, body: &V) -> Vec<u8> {
    wrap(t, p, seq, &message(p, kind, name, seq, body))
}

/// Arguments with something of every type.
pub(crate) fn args() -> V {
    let inner = V::Struct(vec![(1, V::I8(-5)), (2, V::Bool(false)), (40, text("deep"))]);
    V::Struct(vec![
        (1, text("jason \"j\" \\ é")),
        (2, V::I32(-7)),
        (3, V::Bool(true)),
        (4, V::List(TType::I64, vec![V::I64(i64::MIN), V::I64(1 << 40)])),
        (5, V::Map(TType::String, TType::Double, vec![(text("k"), V::Double(1.5))])),
        (6, inner.clone()),
        (7, V::Set(TType::Struct, vec![inner.clone(), inner])),
        (8, V::I16(-300)),
        (9, V::I64(1 << 50)),
        (10, V::I8(7)),
        (11, V::List(TType::Bool, vec![V::Bool(true), V::Bool(false)])),
        (12, V::Map(TType::I32, TType::List, vec![])),
        (13, V::Bool(false)),
        (14, V::List(TType::String, vec![])),
        (15, V::Uuid(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff)),
        (300, V::List(TType::I32, (0..20).map(V::I32).collect())),
    ])
}

pub(crate) fn result(s: &str) -> V {
    V::Struct(vec![(0, text(s))])
}

pub(crate) fn exception(message: &str, ty: i32) -> V {
    V::Struct(vec![(1, text(message)), (2, V::I32(ty))])
}

pub(crate) fn codec() -> Thrift {
    Thrift::new(&ThriftOptions::default()).expect("defaults are fine")
}

pub(crate) fn session(codec: &Thrift) -> Conn {
    codec.open(Side::Session, Flavour::default())
}

pub(crate) fn link(codec: &Thrift, upstream: ThriftUpstream, flavour: Flavour) -> Conn {
    codec.open(Side::Link(&upstream), flavour)
}

/// Knows any one id, with this tag.
pub(crate) struct One(pub(crate) u64, pub(crate) Tag);

impl Asked<Tag> for One {
    fn tag(&self, id: u64) -> Option<Tag> {
        (id == self.0).then_some(self.1)
    }
}

/// Decodes one request that is all there.
#[track_caller]
pub(crate) fn request(codec: &Thrift, conn: &mut Conn, bytes: &[u8]) -> (Meta, Tag) {
    match codec.decode_request(conn, &Ctx::default(), bytes) {
        Ok(Step::Frame(meta, tag)) => (meta, tag),
        other => panic!("{other:?}: {}", bytes.escape_ascii()),
    }
}

/// Decodes one reply that is all there.
#[track_caller]
pub(crate) fn reply(codec: &Thrift, conn: &mut Conn, asked: &One, bytes: &[u8]) -> Meta {
    match codec.decode_reply(conn, asked, &Ctx::default(), bytes) {
        Ok(Step::Frame(meta, ())) => meta,
        other => panic!("{other:?}: {}", bytes.escape_ascii()),
    }
}

/// Rewrites a frame.
#[allow(clippy::too_many_arguments)]
pub(crate) fn rewrite(
    codec: &Thrift,
    (from, to): (&Conn, &Conn),
    meta: &Meta,
    tag: Tag,
    id: Option<u64>,
    edits: &[HeaderEdit],
    frame: &[u8],
) -> Result<Vec<u8>, Fault> {
    let mut chain = Chain::default();
    let frame = &frame[..meta.len as usize];
    let mut splice = Splice::new(frame, None, &mut chain);
    codec.rewrite(from, to, meta, tag, &Rewrite::new(id, edits), &mut splice)?;
    Ok(chain.to_vec())
}

pub(crate) fn set(name: &str, value: &str) -> HeaderEdit {
    HeaderEdit::Set { name: name.into(), value: value.into() }
}

pub(crate) fn add(name: &str, value: &str) -> HeaderEdit {
    HeaderEdit::Add { name: name.into(), value: value.into() }
}

pub(crate) fn remove(name: &str) -> HeaderEdit {
    HeaderEdit::Remove { name: name.into() }
}
