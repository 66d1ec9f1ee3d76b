//! Frames of Heptad's own, written from templates. It knows the tables and nothing of what a frame
//! is an answer to but its id, kind and the bytes that were kept of it.

use heptad_core::{Fault, Outcome, Reason};

use crate::{
    json,
    model::{NumberForm, TextForm},
    section,
    table::{Extent, Field, Id, Piece, Table, Template, What},
};

/// What a template is filled with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filling<'a> {
    pub(crate) id: u64,
    pub(crate) status: u64,
    pub(crate) text: &'a str,
    /// Initial bytes of the request; may be too few, then nothing is repeated.
    pub(crate) kept: &'a [u8],
}

/// The status that tells a client of an outcome of Heptad's own.
pub(crate) fn status_of(table: &Table, outcome: Outcome) -> u64 {
    table.says.get(outcome as usize).copied().unwrap_or_default()
}

const TOO_LONG: Fault = Fault::too_large(Reason::FrameSize, "the answer is too long");

/// Appends a frame; nothing is appended if it cannot be written.
pub(crate) fn put(
    table: &Table,
    template: &Template,
    filling: &Filling<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let start = out.len();
    let written = write(table, template, filling, out, start);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn write(
    table: &Table,
    template: &Template,
    filling: &Filling<'_>,
    out: &mut Vec<u8>,
    start: usize,
) -> Result<(), Fault> {
    let shape = table.shapes.get(template.shape).ok_or(TOO_LONG)?;
    let status = template.status.unwrap_or(filling.status);
    out.extend_from_slice(&template.initial);
    for (from, to, width) in &template.copy {
        let from = filling.kept.get(*from..from.saturating_add(*width));
        let to = start.saturating_add(*to);
        if let (Some(from), Some(to)) = (from, out.get_mut(to..to.saturating_add(*width))) {
            to.copy_from_slice(from);
        }
    }
    let set = |out: &mut Vec<u8>, field: Field, number: u64| {
        let frame = out.get_mut(start..).unwrap_or_default();
        if field.write(frame, number) { Ok(()) } else { Err(TOO_LONG) }
    };
    if let Some(Id::Fixed(field)) = &shape.id {
        set(out, *field, filling.id)?;
    }
    if let Some(field) = shape.status {
        set(out, field, status)?;
    }
    for (number, part) in shape.parts.iter().enumerate() {
        let at = out.len();
        let prefix = match part.extent {
            Extent::Prefix(field) => usize::from(field.width),
            _ => 0,
        };
        out.extend_from_slice([0; 8].get(..prefix).unwrap_or_default());
        let content = out.len();
        match &part.what {
            What::Status(field) => {
                let bytes = field.bytes(status);
                out.extend_from_slice(bytes.get(..usize::from(field.width)).unwrap_or_default());
            }
            _ => {
                let pieces = template.parts.get(number).map_or(&[][..], |pieces| pieces);
                put_pieces(pieces, filling, status, out);
            }
        }
        let len = out.len().saturating_sub(content);
        match part.extent {
            Extent::Prefix(field) => {
                let place = out.get_mut(at..).unwrap_or_default();
                if !field.write(place, len as u64) {
                    return Err(TOO_LONG);
                }
            }
            Extent::Field(field) => set(out, field, len as u64)?,
            Extent::Size(size) => out.resize(content.saturating_add(size), 0),
            Extent::Rest => {}
        }
    }
    let head = out.len().saturating_sub(start) as u64;
    let mut instead = template.instead.iter();
    let instead = instead.find(|other| filling.kept.get(other.at) == Some(&other.is));
    let body = instead.map_or(&template.body, |other| &other.body);
    put_pieces(body, filling, status, out);
    let whole = out.len().saturating_sub(start) as u64;
    if let Some(length) = shape.head.as_ref().filter(|length| length.more.is_empty()) {
        set(out, length.first, less(head, length.base)?)?;
    }
    if let Some((field, base)) = shape.total {
        set(out, field, less(whole, base)?)?;
    }
    if let Some(field) = shape.rest {
        set(out, field, whole.saturating_sub(head))?;
    }
    if shape.crc_of(out.get(start..).unwrap_or_default()) > 0 {
        let sum = crc32fast::hash(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&sum.to_be_bytes());
    }
    out.extend_from_slice(&table.delimiter);
    Ok(())
}

/// What a field must say for this length.
fn less(len: u64, base: i64) -> Result<u64, Fault> {
    len.checked_add_signed(base.saturating_neg()).ok_or(TOO_LONG)
}

fn put_pieces(pieces: &[Piece], filling: &Filling<'_>, status: u64, out: &mut Vec<u8>) {
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => out.extend_from_slice(bytes),
            Piece::Id(form) => put_number(*form, filling.id, out),
            Piece::Status(form) => put_number(*form, status, out),
            Piece::Text(form) => put_text(*form, filling.text, out),
        }
    }
}

fn put_number(form: NumberForm, number: u64, out: &mut Vec<u8>) {
    match form {
        NumberForm::Decimal => section::decimal(number, out),
        NumberForm::Varint => {
            let (bytes, len) = section::varint_bytes(number);
            out.extend_from_slice(bytes.get(..len).unwrap_or_default());
        }
    }
}

fn put_text(form: TextForm, text: &str, out: &mut Vec<u8>) {
    let mut sized = |text: &str, width: usize| {
        let len = (text.len() as u64).to_be_bytes();
        out.extend_from_slice(len.get(8 - width..).unwrap_or_default());
        out.extend_from_slice(text.as_bytes());
    };
    match form {
        TextForm::Plain => out.extend_from_slice(text.as_bytes()),
        TextForm::U8 => sized(cut(text, usize::from(u8::MAX)), 1),
        TextForm::U16 => sized(cut(text, usize::from(u16::MAX)), 2),
        TextForm::U32 => sized(cut(text, u32::MAX as usize), 4),
        TextForm::Varint => {
            put_number(NumberForm::Varint, text.len() as u64, out);
            out.extend_from_slice(text.as_bytes());
        }
        TextForm::Hessian => {
            // Counted in UTF-16 units, and characters beyond the first plane as two of them.
            let text = cut(text, usize::from(u16::MAX));
            let units = text.encode_utf16().count();
            out.push(b'S');
            out.extend_from_slice(&u16::try_from(units).unwrap_or(u16::MAX).to_be_bytes());
            for unit in text.encode_utf16() {
                let low = |shift: u32| 0x80 | (unit >> shift) as u8 & 0x3f;
                match unit {
                    0..0x80 => out.push(unit as u8),
                    0x80..0x800 => out.extend([0xc0 | (unit >> 6) as u8, low(0)]),
                    _ => out.extend([0xe0 | (unit >> 12) as u8, low(6), low(0)]),
                }
            }
        }
        TextForm::Json => json::quote(text, |bytes| out.extend_from_slice(bytes)),
    }
}

/// The beginning of a text, at most so many bytes.
fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}
