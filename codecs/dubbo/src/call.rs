//! A request taken apart into owned values, as the codec's attributes show it: for tools that print
//! requests and for tests. The router itself never builds this.

use heptad_core::{Codec, Ctx, Flavour, Meta, Side, Step, Want};

use crate::{
    body::{Body, Notes},
    codec::{Dubbo, Tag},
    hessian::{Limits, Scalar},
};

/// A request as rules see it. What could not be read is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The `service` attribute.
    pub service: Option<String>,
    /// The `method` attribute.
    pub method: Option<String>,
    /// The `header.version` attribute.
    pub version: Option<String>,
    /// The attachments, in the order of the frame.
    pub attachments: Option<Vec<(String, Shown)>>,
    /// The arguments; of a generic call those that it carries.
    pub args: Option<Vec<Shown>>,
}

/// A value that rules can compare.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shown {
    /// A text.
    Text(String),
    /// An integer of either size.
    Int(i64),
    /// True or false.
    Bool(bool),
    /// Null.
    Null,
    /// Something else.
    Other,
}

impl Call {
    /// Takes the first frame of `bytes` apart, if it is a request, and tells how long it is.
    /// `None`: there is no whole frame, or it is broken.
    pub fn read(bytes: &[u8]) -> Option<(Option<Self>, usize)> {
        let codec = Dubbo::default();
        let mut conn = codec.open(Side::Session, Flavour::default());
        match codec.decode_request(&mut conn, &Ctx::default().want(Want::EVERYTHING), bytes).ok()? {
            Step::Frame(meta, tag) => {
                let frame = bytes.get(..meta.len as usize)?;
                Some((Self::of(&codec, &conn, &meta, tag, frame), frame.len()))
            }
            Step::Skip(n) => Some((None, n)),
            _ => None,
        }
    }

    fn of(
        codec: &Dubbo,
        conn: &<Dubbo as Codec>::Conn,
        meta: &Meta,
        _: Tag,
        frame: &[u8],
    ) -> Option<Self> {
        use heptad_core::Kind::{Oneway, Request};
        if !matches!(meta.kind, Request | Oneway) {
            return None;
        }
        let text = |found: heptad_core::Found<'_>| {
            found.ok().flatten().map(|text| String::from_utf8_lossy(text).into_owned())
        };
        let mut call = Self {
            service: text(codec.service(conn, meta, frame, &mut Vec::new())),
            method: text(codec.method(conn, meta, frame, &mut Vec::new())),
            version: text(codec.header(conn, meta, frame, "version", &mut Vec::new())),
            ..Self::default()
        };
        if meta.aux == 0 {
            return Some(call);
        }
        let body = Body::new(frame, Notes(meta.aux), Limits::default());
        let mut found = Vec::new();
        let place = body.attachments(&mut |entry| {
            if let Shown::Text(key) = Shown::of(entry.key, frame) {
                found.push((key, Shown::of(entry.value, frame)));
            }
        });
        call.attachments = place.ok().map(|_| found);
        let args = (0..).map_while(|n| body.scalar(n).transpose());
        let args: Result<Vec<_>, _> = args.map(|a| a.map(|a| Shown::of(a, frame))).collect();
        call.args = args.ok();
        Some(call)
    }
}

impl Shown {
    fn of(scalar: Scalar, frame: &[u8]) -> Self {
        match scalar {
            Scalar::Null => Self::Null,
            Scalar::Bool(truth) => Self::Bool(truth),
            Scalar::Int(n) => Self::Int(n),
            Scalar::Text(text) => {
                let mut scratch = Vec::new();
                Self::Text(String::from_utf8_lossy(text.read(frame, &mut scratch)).into_owned())
            }
            Scalar::Other | Scalar::Container => Self::Other,
        }
    }
}
