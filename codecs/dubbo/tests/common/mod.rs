//! One request or reply through the codec, and what it says of it.
#![allow(dead_code, reason = "each test file uses some of it")]

use heptad_core::{
    Asked, Chain, Codec, Ctx, Fault, Flavour, Found, HeaderEdit, Meta, NoOptions, Rewrite, Side,
    Splice, Step, Unknown, Want,
};
use heptad_dubbo::{Conn, Dubbo, Tag};

pub(crate) struct Nothing;

impl Asked<Tag> for Nothing {
    fn tag(&self, _: u64) -> Option<Tag> {
        None
    }
}

/// What an attribute is: `Ok(None)` is absent, `Err` unknown.
pub(crate) type Is = Result<Option<String>, Unknown>;

pub(crate) fn is(text: &str) -> Is {
    Ok(Some(text.to_owned()))
}

pub(crate) const ABSENT: Is = Ok(None);
pub(crate) const UNKNOWN: Is = Err(Unknown);

/// Limits as they are by default, and rules that ask for attachments.
pub(crate) fn curious() -> Ctx {
    Ctx::default().want(Want::EVERYTHING)
}

pub(crate) fn request(bytes: &[u8]) -> Result<Step<Tag>, Fault> {
    request_with(&curious(), bytes)
}

pub(crate) fn request_with(cx: &Ctx, bytes: &[u8]) -> Result<Step<Tag>, Fault> {
    Dubbo::default().decode_request(&mut session(), cx, bytes)
}

pub(crate) fn reply(bytes: &[u8]) -> Result<Step<()>, Fault> {
    let codec = Dubbo::default();
    let mut link = codec.open(Side::Link(&NoOptions::default()), Flavour::default());
    codec.decode_reply(&mut link, &Nothing, &Ctx::default(), bytes)
}

pub(crate) fn session() -> Conn {
    Dubbo::default().open(Side::Session, Flavour::default())
}

/// A request that was decoded.
pub(crate) struct Call {
    pub(crate) bytes: Vec<u8>,
    pub(crate) conn: Conn,
    pub(crate) meta: Meta,
    pub(crate) tag: Tag,
}

impl Call {
    #[track_caller]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self::with(&curious(), bytes)
    }

    #[track_caller]
    pub(crate) fn with(cx: &Ctx, bytes: &[u8]) -> Self {
        let mut conn = session();
        match Dubbo::default().decode_request(&mut conn, cx, bytes) {
            Ok(Step::Frame(meta, tag)) => Self { bytes: bytes.to_vec(), conn, meta, tag },
            other => panic!("{other:?}"),
        }
    }

    fn text(found: Found<'_>) -> Is {
        Ok(found?.map(|text| String::from_utf8_lossy(text).into_owned()))
    }

    pub(crate) fn service(&self) -> Is {
        let codec = Dubbo::default();
        Self::text(codec.service(&self.conn, &self.meta, &self.bytes, &mut Vec::new()))
    }

    pub(crate) fn method(&self) -> Is {
        let codec = Dubbo::default();
        Self::text(codec.method(&self.conn, &self.meta, &self.bytes, &mut Vec::new()))
    }

    pub(crate) fn header(&self, name: &str) -> Is {
        let codec = Dubbo::default();
        Self::text(codec.header(&self.conn, &self.meta, &self.bytes, name, &mut Vec::new()))
    }

    pub(crate) fn arg(&self, number: u16) -> Is {
        let codec = Dubbo::default();
        Self::text(codec.arg(&self.conn, &self.meta, &self.bytes, number, &mut Vec::new()))
    }

    pub(crate) fn timeout(&self) -> Option<u32> {
        Dubbo::default().timeout(&self.conn, &self.meta, &self.bytes)
    }

    pub(crate) fn rewritten(
        &self,
        id: Option<u64>,
        edits: &[HeaderEdit],
    ) -> Result<Vec<u8>, Fault> {
        rewritten(&self.conn, &self.bytes, &self.meta, self.tag, id, edits)
    }
}

pub(crate) fn rewritten(
    from: &Conn,
    frame: &[u8],
    meta: &Meta,
    tag: Tag,
    id: Option<u64>,
    edits: &[HeaderEdit],
) -> Result<Vec<u8>, Fault> {
    let mut out = Chain::default();
    let mut splice = Splice::new(frame, None, &mut out);
    let edit = Rewrite::new(id, edits);
    let result = Dubbo::default().rewrite(from, &session(), meta, tag, &edit, &mut splice);
    match result {
        Ok(()) => Ok(out.to_vec()),
        Err(fault) => {
            assert!(out.is_empty(), "a fault writes nothing");
            Err(fault)
        }
    }
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

/// A frame by the drawing in the documentation.
pub(crate) fn raw(flags: u8, status: u8, id: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xda, 0xbb, flags, status];
    bytes.extend(id.to_be_bytes());
    bytes.extend((body.len() as u32).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A request whose types, arguments and attachments are these bytes.
pub(crate) fn call(tail: &[u8]) -> Vec<u8> {
    raw(0xc2, 0, 5, &[b"\x052.0.2\x03svc\x051.0.0\x04list", tail].concat())
}
