//! A described protocol as a codec: the tables behind the trait that coded protocols implement.

use std::{fmt, marker::PhantomData, sync::Arc};

use heptad_core::{
    Answer, Asked, Codec, Ctx, Fault, Flavour, Found, Kind, Meta, NoOptions, Options, OptionsError,
    Outcome, Question, Rewrite, Side, Splice, Step, Traits, Unknown,
};

use crate::{
    answer::{self, Filling},
    decode::{APP_ERROR, From, decode, shape_of},
    description::Protocol,
    edit, json,
    section::{self, Value},
    table::{Answers, Fixed, MOST_INITIAL, Shape, Table, Template, Timeout, What, Written},
};

/// Where a described codec has its description from.
pub trait Origin: Send + Sync + 'static {
    /// The codec's name in configuration.
    const NAME: &'static str;
    /// Options of the listener's `codec:` entry.
    type Options: Options;

    /// The protocol.
    fn protocol(options: &Self::Options) -> Result<Protocol, OptionsError>;
}

/// A codec made of a description.
pub struct Described<O> {
    table: Arc<Table>,
    origin: PhantomData<fn() -> O>,
}

impl<O> Clone for Described<O> {
    fn clone(&self) -> Self {
        Self { table: self.table.clone(), origin: PhantomData }
    }
}

impl<O> fmt::Debug for Described<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Described").field(&self.table.name).finish()
    }
}

impl<O> Described<O> {
    /// The codec of a protocol.
    pub fn of(protocol: &Protocol) -> Self {
        Self { table: protocol.table.clone(), origin: PhantomData }
    }

    fn shape(&self, meta: &Meta) -> Option<&Shape> {
        shape_of(&self.table, meta).map(|(_, shape)| shape)
    }

    /// Templates of the version of a frame, or of the connection.
    fn answers(&self, conn: &Conn, meta: &Meta) -> Option<&Answers> {
        let version = self.shape(meta).map_or(conn.version, |shape| shape.version);
        self.table.versions.get(usize::from(version)).map(|version| &version.answers)
    }

    fn put(
        &self,
        template: Option<&Template>,
        filling: &Filling<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let template = template.ok_or(Fault::malformed("the protocol cannot say this"))?;
        answer::put(&self.table, template, filling, out)
    }

    /// The attribute at a fixed place, or where the decoder found it.
    fn text<'a>(
        &'a self,
        meta: &Meta,
        frame: &'a [u8],
        span: heptad_core::Span,
        unknown: impl Fn(&Shape) -> bool,
        of: impl Fn(&Shape) -> &Option<Fixed>,
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        let shape = self.shape(meta).ok_or(Unknown)?;
        if let Some(Fixed::Number { field, names }) = of(shape) {
            let number = field.read(frame).ok_or(Unknown)?;
            if let Some((_, name)) = names.iter().find(|(known, _)| *known == number) {
                return Ok(Some(name.as_bytes()));
            }
            section::decimal(number, scratch);
            return Ok(Some(scratch));
        }
        let value = span.of(frame);
        if value.is_none() && unknown(shape) {
            return Err(Unknown);
        }
        match (value, shape.headers.and_then(|number| shape.parts.get(number))) {
            // A string that could not be shown as it stands was left in its quotes.
            (Some([b'"', ..]), Some(part)) => match &part.what {
                What::Headers(form) if matches!(form.written, Written::Json) => {
                    json::show(value.unwrap_or_default(), scratch)
                }
                _ => Ok(value),
            },
            _ => Ok(value),
        }
    }

    /// Of a heartbeat nothing is kept but what was found: what its answer repeats of it goes there,
    /// into the two numbers that mean nothing on heartbeats.
    #[inline]
    fn remember(&self, step: Step<()>, buf: &[u8]) -> Step<()> {
        match step {
            Step::Frame(meta, ()) if meta.kind == Kind::Ping => {
                let version = self.shape(&meta).map_or(0, |shape| usize::from(shape.version));
                let version = self.table.versions.get(version);
                let pong = version.and_then(|version| version.answers.pong.as_ref());
                let bytes = pong.into_iter().flat_map(|pong| &pong.copy).flat_map(|copy| {
                    let (from, _, width) = *copy;
                    buf.get(from..from.saturating_add(width)).unwrap_or_default()
                });
                let all = bytes.fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
                Step::Frame(meta.code((all >> 32) as u32).wait_ms(all as u32), ())
            }
            step => step,
        }
    }

    /// The bytes of the part with headers.
    fn section<'a>(&self, shape: &Shape, meta: &Meta, frame: &'a [u8]) -> Option<&'a [u8]> {
        use crate::table::{Extent, Field};
        let part = shape.parts.get(shape.headers?)?;
        let at = (meta.aux >> 8) as usize;
        let end = match part.extent {
            Extent::Rest => match &shape.head {
                Some(head) => usize::try_from(head.of(frame)?).ok()?,
                None => {
                    let len = meta.len as usize;
                    len.checked_sub(shape.crc_of(frame))?.checked_sub(self.table.delimiter.len())?
                }
            },
            Extent::Prefix(field) => {
                let place = at.checked_sub(usize::from(field.width))?;
                let len = Field { at: place, ..field }.read(frame)?;
                at.checked_add(usize::try_from(len).ok()?)?
            }
            Extent::Field(field) => at.checked_add(usize::try_from(field.read(frame)?).ok()?)?,
            Extent::Size(size) => at.checked_add(size)?,
        };
        frame.get(at..end)
    }
}

/// Puts what was remembered of a heartbeat where it stood.
fn recall(pong: &Template, ping: &Meta, kept: &mut [u8]) {
    let mut all = u64::from(ping.code) << 32 | u64::from(ping.wait_ms);
    for (from, _, width) in pong.copy.iter().rev() {
        let place = kept.get_mut(*from..from.saturating_add(*width)).unwrap_or_default();
        for byte in place.iter_mut().rev() {
            *byte = all as u8;
            all >>= 8;
        }
    }
}

/// State of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conn {
    /// The version spoken, by its number in the description.
    version: u8,
    /// Bytes of a frame that are known to hold no delimiter.
    scanned: u32,
}

impl<O: Origin> Codec for Described<O> {
    const NAME: &'static str = O::NAME;
    type Options = O::Options;
    type Upstream = NoOptions;
    type Conn = Conn;
    type Tag = ();

    fn new(options: &Self::Options) -> Result<Self, OptionsError> {
        O::protocol(options).map(|protocol| Self::of(&protocol))
    }

    fn name(&self) -> &str {
        &self.table.name
    }

    fn traits(&self) -> Traits {
        self.table.traits
    }

    fn open(&self, _: Side<'_, NoOptions>, flavour: Flavour) -> Conn {
        Conn { version: u8::try_from(flavour.0).unwrap_or_default(), scanned: 0 }
    }

    fn decode_request(&self, conn: &mut Conn, cx: &Ctx, buf: &[u8]) -> Result<Step<()>, Fault> {
        let step = decode(&self.table, From::Client, cx, buf, &mut conn.scanned)?;
        Ok(self.remember(step, buf))
    }

    fn decode_reply<A: Asked<()>>(
        &self,
        conn: &mut Conn,
        _: &A,
        cx: &Ctx,
        buf: &[u8],
    ) -> Result<Step<()>, Fault> {
        match decode(&self.table, From::Server, cx, buf, &mut conn.scanned)? {
            Step::Reject(_, fault) => Err(fault), // Only requests can be answered and passed over.
            step => Ok(self.remember(step, buf)),
        }
    }

    fn answer(
        &self,
        conn: &mut Conn,
        to: &Question<'_, ()>,
        answer: &Answer<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let answers = self.answers(conn, to.meta).ok_or(Fault::malformed("no such version"))?;
        let mut filling = Filling { id: to.meta.id, kept: to.kept, ..Filling::default() };
        filling.status = self.table.ok;
        let mut kept = [0; MOST_INITIAL];
        let template = match *answer {
            Answer::Pong => {
                if let Some(pong) = &answers.pong {
                    recall(pong, to.meta, &mut kept);
                    filling.kept = &kept;
                }
                &answers.pong
            }
            _ if to.meta.kind == Kind::Oneway => return Ok(()), // Its sender does not listen.
            Answer::Direct { text } => {
                filling.text = text;
                &answers.direct
            }
            Answer::Error { outcome, text, .. } => {
                filling.text = text;
                filling.status = answer::status_of(&self.table, outcome);
                match (&answers.stream_error, to.meta.kind) {
                    (own @ Some(_), Kind::Open) => own,
                    _ => &answers.error,
                }
            }
            _ => &None,
        };
        self.put(template.as_ref(), &filling, out)
    }

    fn service<'a>(
        &'a self,
        _: &'a Conn,
        meta: &Meta,
        frame: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        self.text(
            meta,
            frame,
            meta.service,
            |shape| shape.unknown[0],
            |shape| &shape.service,
            scratch,
        )
    }

    fn method<'a>(
        &'a self,
        _: &'a Conn,
        meta: &Meta,
        frame: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        self.text(
            meta,
            frame,
            meta.method,
            |shape| shape.unknown[1],
            |shape| &shape.method,
            scratch,
        )
    }

    fn key<'a>(
        &'a self,
        _: &'a Conn,
        meta: &Meta,
        frame: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        self.text(meta, frame, meta.key, |shape| shape.unknown[2], |shape| &shape.key, scratch)
    }

    fn header<'a>(
        &'a self,
        _: &'a Conn,
        meta: &Meta,
        frame: &'a [u8],
        name: &str,
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        let Some(shape) = self.shape(meta).filter(|shape| shape.has_headers()) else {
            return Ok(None);
        };
        let section = self.section(shape, meta, frame).ok_or(Unknown)?;
        let part = shape.headers.and_then(|number| shape.parts.get(number)).ok_or(Unknown)?;
        match &part.what {
            What::Headers(form) => section::find(form, section, name, scratch),
            What::Protobuf(form) => section::find_field(form, section, name, scratch),
            _ => Ok(None),
        }
    }

    fn headers(
        &self,
        _: &Conn,
        meta: &Meta,
        frame: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Unknown> {
        let Some(shape) = self.shape(meta).filter(|shape| shape.has_headers()) else {
            return Ok(());
        };
        let section = self.section(shape, meta, frame).ok_or(Unknown)?;
        let part = shape.headers.and_then(|number| shape.parts.get(number)).ok_or(Unknown)?;
        match &part.what {
            What::Headers(form) => section::list(form, section, each),
            What::Protobuf(form) => section::list_fields(form, section, each),
            _ => Ok(()),
        }
    }

    fn timeout(&self, conn: &Conn, meta: &Meta, frame: &[u8]) -> Option<u32> {
        let shape = self.shape(meta)?;
        let number = match shape.timeout.as_ref()? {
            // All ones are how some say that they do not care.
            Timeout::Fixed(field) => field.read(frame).filter(|n| *n != field.most())?,
            Timeout::Named(name) => {
                let mut scratch = Vec::new();
                let value = self.header(conn, meta, frame, name, &mut scratch).ok()??;
                section::parse(value)?
            }
            Timeout::Numbered(wanted) => {
                let mut found = None;
                let message = self.section(shape, meta, frame)?;
                let read = section::fields(message, |entry| {
                    if let Value::Varint(number) = entry.value
                        && entry.number == *wanted
                    {
                        found = Some(number);
                    }
                    true
                });
                read.ok().and(found)?
            }
        };
        u32::try_from(number).ok().filter(|millis| *millis > 0)
    }

    fn keep<'a>(
        &'a self,
        _: &'a Conn,
        meta: &Meta,
        frame: &'a [u8],
        _: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        let version = self.shape(meta).map(|shape| usize::from(shape.version));
        let kept = version.and_then(|version| self.table.versions.get(version));
        let kept = kept.map_or(0, |version| version.kept);
        frame.get(..kept).unwrap_or_default()
    }

    fn code_name<'a>(&'a self, meta: &Meta, _: &'a [u8]) -> Option<&'a str> {
        if matches!(meta.outcome, Outcome::Ok) {
            return None;
        }
        if meta.code == APP_ERROR {
            return Some("APP_ERROR");
        }
        let mut known = self.table.statuses.iter();
        let known = known.find(|status| status.value == u64::from(meta.code));
        Some(known.map_or("OTHER", |status| &*status.name))
    }

    fn rewrite(
        &self,
        _: &Conn,
        _: &Conn,
        meta: &Meta,
        (): (),
        edit: &Rewrite<'_>,
        out: &mut Splice<'_>,
    ) -> Result<(), Fault> {
        let shape = self.shape(meta).ok_or(Fault::malformed("a frame that was not decoded"))?;
        edit::rewrite(&self.table, shape, meta, edit, out)
    }

    fn flavour(&self, _: &Conn, meta: &Meta) -> Flavour {
        Flavour(self.shape(meta).map_or(0, |shape| u32::from(shape.version)))
    }

    fn ping(&self, conn: &mut Conn, id: u64, out: &mut Vec<u8>) -> bool {
        let template = self.answers(conn, &Meta::default()).and_then(|a| a.ping.as_ref());
        let filling = Filling { id, status: self.table.ok, ..Filling::default() };
        self.put(template, &filling, out).is_ok()
    }

    fn abandon(&self, conn: &mut Conn, id: u64, (): (), out: &mut Vec<u8>) -> bool {
        let template = self.answers(conn, &Meta::default()).and_then(|a| a.cancel.as_ref());
        let status = answer::status_of(&self.table, Outcome::Cancelled);
        let filling = Filling { id, status, ..Filling::default() };
        self.put(template, &filling, out).is_ok()
    }

    fn drain(&self, conn: &mut Conn, out: &mut Vec<u8>) -> bool {
        let template = self.answers(conn, &Meta::default()).and_then(|a| a.goaway.as_ref());
        self.put(template, &Filling::default(), out).is_ok()
    }
}
