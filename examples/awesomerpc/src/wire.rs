//! Owned messages for clients, servers and tests of AwesomeRPC. It knows the layout of a frame and
//! nothing of routing; the decoder is written apart from the codec's, so that each checks the other.

use std::fmt;

use heptad_core::{Fault, Kind};

use crate::{FIXED, KINDS, MAGIC, STATUSES, put, status};

/// Longest frame that [`Message::decode`] accepts, bytes.
pub const MAX_FRAME: usize = 16 << 20;

/// One frame, taken apart. Fields that its kind does not have are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// One of [`KINDS`].
    pub kind: Kind,
    /// The id that a request and its reply, or the frames of a stream, have in common.
    pub id: u32,
    /// Of replies and resets: an index into [`STATUSES`].
    pub status: u8,
    /// Of requests: at most 255 bytes.
    pub service: String,
    /// Of requests: at most 255 bytes.
    pub method: String,
    /// Of requests: names of at most 255 bytes, values of at most 65 535.
    pub headers: Vec<(String, String)>,
    /// What the application said; on error replies text for humans.
    pub body: Vec<u8>,
}

impl Message {
    /// A frame of `kind` with nothing but its id: ping, pong, end, goaway, an empty data frame.
    pub fn new(kind: Kind, id: u32) -> Self {
        Self { kind, id, ..Self::default() }
    }

    /// A request for one reply.
    pub fn request(id: u32, service: &str, method: &str) -> Self {
        Self {
            service: service.to_owned(),
            method: method.to_owned(),
            ..Self::new(Kind::Request, id)
        }
    }

    /// A request without a reply.
    pub fn oneway(service: &str, method: &str) -> Self {
        Self { kind: Kind::Oneway, ..Self::request(0, service, method) }
    }

    /// Opens a stream.
    pub fn open(id: u32, service: &str, method: &str) -> Self {
        Self { kind: Kind::Open, ..Self::request(id, service, method) }
    }

    /// A frame of a stream.
    pub fn data(id: u32, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Kind::Data, id).body(body)
    }

    /// A successful reply.
    pub fn reply(id: u32, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Kind::Reply, id).body(body)
    }

    /// An error reply with the status of this name (see [`STATUSES`]).
    pub fn error(id: u32, name: &str, text: &str) -> Self {
        Self { status: status(name), ..Self::reply(id, text) }
    }

    /// Gives up a request or a stream, with the status of this name.
    pub fn reset(id: u32, name: &str) -> Self {
        Self { status: status(name), ..Self::new(Kind::Reset, id) }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The value of the first header of this name.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(known, _)| known == name)?;
        Some(value)
    }

    /// The name of the status; `OTHER` if it has none.
    pub fn status_name(&self) -> &'static str {
        let status = STATUSES.get(usize::from(self.status));
        status.map_or("OTHER", |(name, _)| name)
    }

    /// Appends the frame. Nothing is written when a part is too long for its length field.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), WireError> {
        let mut head = Vec::new();
        match self.kind {
            Kind::Request | Kind::Oneway | Kind::Open => {
                short(&mut head, &self.service)?;
                short(&mut head, &self.method)?;
                for (name, value) in &self.headers {
                    short(&mut head, name)?;
                    let len = u16::try_from(value.len()).map_err(|_| WireError("long value"))?;
                    head.extend_from_slice(&len.to_be_bytes());
                    head.extend_from_slice(value.as_bytes());
                }
            }
            Kind::Reply | Kind::Reset => head.push(self.status),
            _ => {}
        }
        put(out, self.kind, self.id.into(), &head, &self.body)
            .map_err(|Fault { text, .. }| WireError(text))
    }

    /// The frame as bytes.
    ///
    /// # Panics
    /// When a part is too long for its length field; use [`Message::encode`] where that can be.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self.encode(&mut out) {
            Ok(()) => out,
            Err(error) => panic!("{error}: {self:?}"),
        }
    }

    /// Takes the first frame of `buf` apart and tells how many bytes it had; `None` until all of
    /// it is there. After an error the connection is of no more use.
    pub fn decode(buf: &[u8]) -> Result<Option<(Self, usize)>, WireError> {
        let Some((fixed, rest)) = buf.split_first_chunk::<FIXED>() else {
            return Ok(None);
        };
        let [magic, kind, h0, h1, l0, l1, l2, l3, id @ ..] = *fixed;
        if magic != MAGIC {
            return Err(WireError("not AwesomeRPC 1"));
        }
        let kind = usize::from(kind).checked_sub(1);
        let kind = kind.and_then(|kind| KINDS.get(kind));
        let kind = *kind.ok_or(WireError("unknown kind of frame"))?;
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if length > MAX_FRAME - FIXED {
            return Err(WireError("frame is too long"));
        }
        let Some(content) = rest.get(..length) else {
            return Ok(None);
        };
        let head_len = usize::from(u16::from_be_bytes([h0, h1]));
        let (head, body) =
            content.split_at_checked(head_len).ok_or(WireError("head is longer than its frame"))?;
        let mut message = Self::new(kind, u32::from_be_bytes(id)).body(body);
        let mut reader = Reader(head);
        match kind {
            Kind::Request | Kind::Oneway | Kind::Open => {
                message.service = reader.short()?;
                message.method = reader.short()?;
                while !reader.0.is_empty() {
                    let name = reader.short()?;
                    let [a, b] = reader.array()?;
                    let value = reader.text(u16::from_be_bytes([a, b]).into())?;
                    message.headers.push((name, value));
                }
            }
            Kind::Reply | Kind::Reset => [message.status] = reader.array()?,
            _ => {}
        }
        if reader.0.is_empty() {
            Ok(Some((message, FIXED + length)))
        } else {
            Err(WireError("head is too long"))
        }
    }
}

/// Bytes that are not AwesomeRPC, or a message that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WireError(&'static str);

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwesomeRPC: {}", self.0)
    }
}

impl std::error::Error for WireError {}

fn short(out: &mut Vec<u8>, text: &str) -> Result<(), WireError> {
    out.push(u8::try_from(text.len()).map_err(|_| WireError("long name"))?);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(WireError("short head"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn text(&mut self, len: usize) -> Result<String, WireError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(WireError("short head"))?;
        self.0 = rest;
        String::from_utf8(taken.to_vec()).map_err(|_| WireError("a name that is not UTF-8"))
    }

    fn short(&mut self) -> Result<String, WireError> {
        let [len] = self.array()?;
        self.text(len.into())
    }
}
