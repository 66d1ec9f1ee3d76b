//! From bytes to a [`Meta`], by the tables. It knows both sides' frames and changes nothing.

use std::ops::Range;

use heptad_core::{Ctx, Fault, Kind, Meta, Outcome, Reason, Span, Step};

use crate::{
    json,
    section::{self, Bad, Entry, Value},
    table::{
        Expect, Extent, Fixed, Form, Id, Named, OTHER, Part, Protobuf, Shape, Slot, Table,
        UNEXPECTED, Version, What, Written,
    },
};

/// Who sent the bytes; an index of both sides' tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Client = 0,
    Server = 1,
}

/// Bits of [`Meta::aux`] that name the shape; the others are the offset of the headers.
const SHAPE_BITS: u32 = 8;
/// Most shapes of a table.
pub(crate) const MOST_SHAPES: usize = (1 << SHAPE_BITS) - 1;

/// So many bytes may always be asked for.
const LEAST_HEAD: usize = 32;

/// The shape that a decoded frame has.
pub(crate) fn shape_of<'t>(table: &'t Table, meta: &Meta) -> Option<(usize, &'t Shape)> {
    let number = (meta.aux & MOST_SHAPES as u32).checked_sub(1)? as usize;
    Some((number, table.shapes.get(number)?))
}

const fn malformed(text: &'static str) -> Fault {
    Fault::malformed(text)
}

/// Looks at the bytes that one side sent. `scanned` is how many of them are known to be without a
/// delimiter.
pub(crate) fn decode(
    table: &Table,
    from: From,
    cx: &Ctx,
    buf: &[u8],
    scanned: &mut u32,
) -> Result<Step<()>, Fault> {
    let version = match table.versions.as_ref() {
        [only] if buf.starts_with(&only.magic) => only,
        versions => match choose(versions, buf)? {
            Ok(version) => version,
            Err(need) => return Ok(Step::Need(need)),
        },
    };
    let whole = if table.delimiter.is_empty() {
        None
    } else {
        match delimited(&table.delimiter, cx, buf, scanned)? {
            Ok(len) => Some(len),
            Err(step) => return Ok(step),
        }
    };
    let have = whole.map_or(buf.len(), |len| len.saturating_sub(table.delimiter.len()));
    if have < version.least {
        return match whole {
            Some(_) => Err(malformed("the frame is too short")),
            None => Ok(Step::Need(version.least)),
        };
    }
    let value = version.kind.map_or(Some(0), |kind| kind.read(buf));
    let number = version.kinds.of(value.unwrap_or(u64::MAX), from as usize);
    let Some(shape) = table.shapes.get(usize::from(number)) else {
        return Err(if number == UNEXPECTED {
            Fault::new(Outcome::BadRequest, Reason::Unexpected, "unexpected kind of frame")
        } else {
            malformed("unknown kind of frame")
        });
    };
    if have < shape.initial {
        return match whole {
            Some(_) => Err(malformed("the frame is too short")),
            None if shape.initial > (cx.max_head as usize).max(LEAST_HEAD) => {
                Err(Fault::too_large(Reason::HeadSize, "the initial bytes are too many"))
            }
            None => Ok(Step::Need(shape.initial)),
        };
    }
    let trailer = shape.crc_of(buf);
    let (len, content) = match (whole, &shape.length) {
        (Some(len), _) => (len, have),
        (None, Some(length)) => {
            let content = length.of(buf).ok_or(malformed("a length that makes no sense"))?;
            let len = content.saturating_add(trailer as u64);
            if len > u64::from(cx.max_frame) {
                return Err(Fault::too_large(Reason::FrameSize, "frame is too long"));
            }
            if content < shape.initial as u64 {
                return Err(malformed("the length is less than the initial bytes"));
            }
            (len as usize, content as usize)
        }
        (None, None) => (shape.initial.saturating_add(trailer), shape.initial),
    };
    let aux = u32::from(number).saturating_add(1);
    let mut meta = Meta::frame(shape.kind, len).aux(aux);
    if let Some(Id::Fixed(field)) = &shape.id {
        meta = meta.id(field.read(buf).unwrap_or_default());
    }
    // From here on the end of the frame is known: a bad request is answered, and the connection
    // goes on behind it.
    let refuse =
        |meta: Meta, fault| if shape.asks() { Ok(Step::Reject(meta, fault)) } else { Err(fault) };
    let too_long = Fault::too_large(Reason::HeadSize, "head is too long");
    let end = match &shape.head {
        Some(head) => {
            let head = head.of(buf).ok_or(malformed("a head that makes no sense"))?;
            if head > content as u64 {
                return Err(malformed("head is longer than its frame"));
            }
            let head = head as usize;
            meta = meta.head(head);
            if head > cx.max_head as usize && whole.is_none() {
                return refuse(meta, too_long);
            }
            if buf.len() < head {
                return Ok(Step::Need(head));
            }
            head
        }
        None => content,
    };
    let known = shape.head.is_some() || whole.is_some();
    let mut walk = Walk {
        shape,
        frame: buf.get(..buf.len().min(end)).unwrap_or_default(),
        at: shape.initial,
        end,
        facts: Facts::default(),
        cx,
    };
    match walk.parts() {
        Ok(()) => {}
        Err(Stop::Need(need)) if need <= end && !known => {
            if need > cx.max_head as usize {
                return refuse(meta, too_long);
            }
            return Ok(Step::Need(need));
        }
        Err(Stop::Need(_)) => return refuse(meta, malformed("head ends inside of a part")),
        Err(Stop::Fault(fault)) => return refuse(meta, fault),
    }
    let Walk { at, facts, .. } = walk;
    if !known && at > cx.max_head as usize {
        return refuse(meta, too_long);
    }
    let head = if whole.is_some() { len } else { at };
    if (known && at != end && shape.head.is_some()) || (!shape.body && at != content) {
        return refuse(meta, malformed("there is more in the frame than there should be"));
    }
    // A checksum is over all of the frame, and stands at its end.
    meta = meta.head(if trailer > 0 { len } else { head });
    if !matches!(shape.id, None | Some(Id::Fixed(_))) {
        meta = meta.id(facts.id);
    }
    if facts.headers_at >= 1 << (32 - SHAPE_BITS) {
        return refuse(meta, too_long);
    }
    meta.aux |= facts.headers_at << SHAPE_BITS;
    meta.service = facts.service;
    meta.method = facts.method;
    meta.key = facts.key;
    finish(table, shape, buf, &facts, &mut meta);
    Ok(Step::Frame(meta, ()))
}

/// What is not in the parts, and what follows from it.
#[inline]
fn finish(table: &Table, shape: &Shape, buf: &[u8], facts: &Facts, meta: &mut Meta) {
    let text = |fixed: &Option<Fixed>, span: &mut Span| {
        if let Some(Fixed::Text { at, size }) = fixed {
            let text = buf.get(*at..at.saturating_add(*size)).unwrap_or_default();
            let blank = |byte: &u8| matches!(byte, 0 | b' ');
            let len = text.iter().rposition(|byte| !blank(byte)).map_or(0, |last| last + 1);
            *span = Span::new(*at, len);
        }
    };
    if shape.asks() {
        text(&shape.service, &mut meta.service);
        text(&shape.method, &mut meta.method);
        text(&shape.key, &mut meta.key);
        if shape.after != [None; 3] {
            for (after, span) in
                shape.after.iter().zip([&mut meta.service, &mut meta.method, &mut meta.key])
            {
                let whole = span.of(buf).unwrap_or_default();
                if let Some(last) = after.and_then(|after| memchr::memrchr(after, whole)) {
                    let at = (span.at as usize).saturating_add(last + 1);
                    *span = Span::new(at, whole.len().saturating_sub(last + 1));
                }
            }
        }
        if facts.oneway && meta.kind == Kind::Request {
            meta.kind = Kind::Oneway;
        }
    } else if matches!(shape.kind, Kind::Reply | Kind::End | Kind::Reset) {
        let status = shape.status.and_then(|field| field.read(buf)).or(facts.status);
        if let Some(status) = status {
            let found = table.statuses.iter().find(|known| known.value == status);
            meta.outcome = found.map_or(Outcome::ProtocolError, |known| known.outcome);
            if meta.outcome != Outcome::Ok {
                meta.code = u32::try_from(status).unwrap_or(OTHER);
            }
        }
        if facts.app_error && meta.outcome == Outcome::Ok {
            meta.outcome = Outcome::AppError;
            meta.code = APP_ERROR;
        }
        if meta.kind == Kind::Reset && meta.outcome == Outcome::Ok {
            // Whatever it says or does not say, a stream that is reset is no success.
            meta.outcome = Outcome::ProtocolError;
            meta.code = OTHER;
        }
    }
}

/// [`Meta::code`] of an application's error that has no status.
pub(crate) const APP_ERROR: u32 = OTHER - 1;

/// The version whose magic the bytes have, or how many are needed to tell.
fn choose<'v>(versions: &'v [Version], buf: &[u8]) -> Result<Result<&'v Version, usize>, Fault> {
    let mut partial = None;
    for version in versions {
        if buf.starts_with(&version.magic) {
            return Ok(Ok(version));
        }
        if version.magic.starts_with(buf) {
            let need = version.magic.len();
            partial = Some(partial.map_or(need, |least: usize| least.min(need)));
        }
    }
    match partial {
        Some(need) => Ok(Err(need)),
        None => Err(malformed("this is not the protocol")),
    }
}

/// The length of the frame that ends with the delimiter.
fn delimited(
    delimiter: &[u8],
    cx: &Ctx,
    buf: &[u8],
    scanned: &mut u32,
) -> Result<Result<usize, Step<()>>, Fault> {
    let limit = cx.max_frame as usize;
    let seen = buf.get(..buf.len().min(limit)).unwrap_or_default();
    let from = (*scanned as usize).min(seen.len());
    let found = memchr::memmem::find(seen.get(from..).unwrap_or_default(), delimiter);
    if let Some(at) = found {
        *scanned = 0;
        return Ok(Ok(from + at + delimiter.len()));
    }
    if buf.len() >= limit {
        return Err(Fault::too_large(Reason::FrameSize, "frame is too long"));
    }
    // The delimiter may have begun.
    let done = (seen.len() + 1).saturating_sub(delimiter.len());
    *scanned = u32::try_from(done).unwrap_or_default();
    Ok(Err(Step::Need(buf.len() + 1)))
}

/// What stands in the parts.
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    service: Span,
    method: Span,
    key: Span,
    id: u64,
    status: Option<u64>,
    oneway: bool,
    app_error: bool,
    headers_at: u32,
}

enum Stop {
    /// So many bytes of the frame are needed.
    Need(usize),
    Fault(Fault),
}

impl std::convert::From<Bad> for Stop {
    fn from(_: Bad) -> Self {
        Self::Fault(malformed("head ends inside of a header"))
    }
}

/// Where a part's content is: its range, given where it begins. Used by decoding and by editing.
pub(crate) fn content(
    part: &Part,
    frame: &[u8],
    at: usize,
    end: usize,
) -> Result<Range<usize>, usize> {
    let (start, len) = match part.extent {
        Extent::Rest => return Ok(at..end.max(at)),
        Extent::Prefix(field) => {
            let start = at.saturating_add(usize::from(field.width));
            match frame.get(at..).and_then(|rest| field.read(rest)) {
                Some(len) => (start, len),
                None => return Err(start),
            }
        }
        Extent::Field(field) => (at, field.read(frame).unwrap_or(u64::MAX)),
        Extent::Size(size) => (at, size as u64),
    };
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    Ok(start..start.saturating_add(len))
}

struct Walk<'a> {
    shape: &'a Shape,
    /// What has come, up to the end of the head.
    frame: &'a [u8],
    at: usize,
    /// Where the head must end, or the frame.
    end: usize,
    facts: Facts,
    cx: &'a Ctx,
}

impl Walk<'_> {
    fn parts(&mut self) -> Result<(), Stop> {
        for part in &self.shape.parts {
            let range = content(part, self.frame, self.at, self.end).map_err(Stop::Need)?;
            if range.end > self.frame.len() {
                return Err(Stop::Need(range.end));
            }
            let span = Span::new(range.start, range.len());
            self.at = range.end;
            match &part.what {
                What::Service => self.facts.service = span,
                What::Method => self.facts.method = span,
                What::Key => self.facts.key = span,
                What::Opaque => {}
                What::Status(field) => {
                    self.facts.status = self.frame.get(range).and_then(|bytes| field.read(bytes));
                }
                What::Headers(form) => {
                    self.facts.headers_at = span.at;
                    self.headers(form, range)?;
                }
                What::Protobuf(form) => {
                    self.facts.headers_at = span.at;
                    self.protobuf(form, range)?;
                }
            }
        }
        Ok(())
    }

    fn too_many() -> Stop {
        Stop::Fault(Fault::too_large(Reason::Parts, "too many headers"))
    }

    fn headers(&mut self, form: &Form, range: Range<usize>) -> Result<(), Stop> {
        let section = self.frame.get(range.clone()).unwrap_or_default();
        let (shape, most) = (self.shape, self.cx.max_parts);
        let mut count = 0_u32;
        let (mut many, mut wrong) = (false, false);
        let mut seen = 0_u32;
        let facts = &mut self.facts;
        section::each(form, section, |pair| {
            count += 1;
            many = count > most;
            for (place, Named { name, slot, fallback }) in shape.named.iter().enumerate() {
                if section::is(form, section, &pair, name) {
                    let bit = 1_u32.checked_shl(place as u32).unwrap_or(0);
                    if (seen & bit != 0 && form.first) || (*fallback && seen & (bit >> 1) != 0) {
                        continue;
                    }
                    seen |= bit;
                    let value = section.get(pair.value.clone()).unwrap_or_default();
                    let at = range.start.saturating_add(pair.value.start);
                    wrong |= !header(form, shape, facts, *slot, value, at);
                }
            }
            !many
        })?;
        if many {
            return Err(Self::too_many());
        }
        let needs_id = matches!(shape.id, Some(Id::Named(_)));
        let has_id =
            |(place, named): (usize, &Named)| named.slot == Slot::Id && seen >> place & 1 == 1;
        if needs_id && !shape.named.iter().enumerate().any(has_id) {
            return Err(Stop::Fault(malformed("the id is missing")));
        }
        if wrong {
            return Err(Stop::Fault(malformed("an id or status that is not a number")));
        }
        Ok(())
    }

    fn protobuf(&mut self, form: &Protobuf, range: Range<usize>) -> Result<(), Stop> {
        let message = self.frame.get(range.clone()).unwrap_or_default();
        let (shape, most, facts) = (self.shape, self.cx.max_parts, &mut self.facts);
        let span =
            |bytes: &Range<usize>| Span::new(range.start.saturating_add(bytes.start), bytes.len());
        if shape.status.is_none() && shape.numbered.iter().any(|wanted| wanted.slot == Slot::Status)
        {
            // Zero is not written.
            facts.status = Some(0);
        }
        let mut count = 0_u32;
        let mut bad = false;
        section::fields(message, |entry| {
            count = count.saturating_add(1);
            if let (Value::Bytes(bytes), true) = (&entry.value, form.headers == Some(entry.number))
            {
                bad |= form.within == 0 && section::map_entry(message, bytes.clone()).is_err();
            }
            let mut note = |entry: &Entry, within: u32| {
                let wanted = shape.numbered.iter();
                for wanted in wanted.filter(|w| w.number == entry.number && w.within == within) {
                    match (wanted.slot, &entry.value) {
                        (Slot::Service, Value::Bytes(bytes)) => facts.service = span(bytes),
                        (Slot::Method, Value::Bytes(bytes)) => facts.method = span(bytes),
                        (Slot::Key, Value::Bytes(bytes)) => facts.key = span(bytes),
                        (Slot::Id, Value::Varint(id)) => facts.id = *id,
                        (Slot::Status, Value::Varint(status)) => facts.status = Some(*status),
                        (Slot::Oneway, value) => {
                            facts.oneway = holds(&shape.oneway, message, value);
                        }
                        (Slot::AppError, value) => {
                            facts.app_error = holds(&shape.app_error, message, value);
                        }
                        _ => {}
                    }
                }
            };
            note(&entry, 0);
            if let Value::Bytes(bytes) = &entry.value
                && shape.numbered.iter().any(|wanted| wanted.within == entry.number)
            {
                let inner = message.get(bytes.clone()).unwrap_or_default();
                let whole = section::fields(inner, |mut field| {
                    count = count.saturating_add(1);
                    if let Value::Bytes(inside) = &mut field.value {
                        *inside = bytes.start + inside.start..bytes.start + inside.end;
                    }
                    note(&field, entry.number);
                    count <= most
                });
                bad |= whole.is_err();
            }
            count <= most
        })?;
        if count > most {
            return Err(Self::too_many());
        }
        if bad { Err(Bad.into()) } else { Ok(()) }
    }
}

fn holds(expect: &Option<Expect>, message: &[u8], value: &Value) -> bool {
    match (expect, value) {
        (Some(Expect::Number(wanted)), Value::Varint(number)) => wanted == number,
        (Some(Expect::Other(other)), Value::Varint(number)) => other != number,
        (Some(Expect::Text(text)), Value::Bytes(bytes)) => message.get(bytes.clone()) == Some(text),
        _ => false,
    }
}

/// Notes what a header says; `false` if it should be a number and is none.
fn header(
    form: &Form,
    shape: &Shape,
    facts: &mut Facts,
    slot: Slot,
    value: &[u8],
    at: usize,
) -> bool {
    let mut plain = value;
    let mut start = at;
    if matches!(form.written, Written::Json)
        && let [b'"', inner @ .., b'"'] = value
    {
        // With escapes the quotes stay, so that whoever reads the span knows.
        if !inner.contains(&b'\\') {
            (plain, start) = (inner, at.saturating_add(1));
        }
    }
    let is = |expect: &Option<Expect>| match expect {
        Some(Expect::Text(text)) => match form.written {
            Written::Json => match value {
                [b'"', inner @ .., b'"'] => json::text_is(inner, text),
                other => other == &**text,
            },
            _ => plain == &**text,
        },
        Some(Expect::Number(number)) => section::parse(plain) == Some(*number),
        Some(Expect::Other(number)) => section::parse(plain) != Some(*number),
        None => false,
    };
    let span = Span::new(start, plain.len());
    match slot {
        Slot::Service => facts.service = span,
        Slot::Method => facts.method = span,
        Slot::Key => facts.key = span,
        Slot::Oneway => facts.oneway = is(&shape.oneway),
        Slot::AppError => facts.app_error = is(&shape.app_error),
        Slot::Id => match section::parse(value) {
            Some(id) => facts.id = id,
            None => return false,
        },
        Slot::Status => match section::parse(plain) {
            Some(status) => facts.status = Some(status),
            None => return false,
        },
    }
    true
}
