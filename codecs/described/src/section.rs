//! Headers in each of their forms: going through them, and finding one. It knows a section's bytes
//! and nothing of frames around it.

use std::ops::Range;

use heptad_core::{Found, Unknown};

use crate::{
    json,
    table::{Field, Form, Protobuf, Written},
};

/// The section does not have its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bad;

/// A header; ranges count from the section's first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    /// All of it.
    pub(crate) all: Range<usize>,
    pub(crate) name: Range<usize>,
    pub(crate) value: Range<usize>,
}

/// Calls `each` with every header until it says `false`.
pub(crate) fn each(
    form: &Form,
    section: &[u8],
    mut each: impl FnMut(Pair) -> bool,
) -> Result<(), Bad> {
    match &form.written {
        Written::Pairs { name, value, nulls } => pairs(*name, *value, *nulls, section, each),
        Written::Lines { separator, terminator } => {
            let mut at = 0;
            while let Some(rest) = section.get(at..).filter(|rest| !rest.is_empty()) {
                let (len, next) = match memchr::memmem::find(rest, terminator) {
                    Some(len) => (len, len + terminator.len()),
                    None => (rest.len(), rest.len()),
                };
                let line = rest.get(..len).unwrap_or_default();
                if !line.is_empty() {
                    let name = memchr::memmem::find(line, separator).ok_or(Bad)?;
                    let value = at + name + separator.len();
                    let pair =
                        Pair { all: at..at + next, name: at..at + name, value: value..at + len };
                    if !each(pair) {
                        return Ok(());
                    }
                }
                at += next;
            }
            Ok(())
        }
        Written::Json => json::members(section, each).ok_or(Bad),
    }
}

#[inline]
fn pairs(
    name: Field,
    value: Field,
    nulls: bool,
    section: &[u8],
    mut each: impl FnMut(Pair) -> bool,
) -> Result<(), Bad> {
    let mut at = 0;
    while at < section.len() {
        let names = text(name, nulls, section, at)?;
        let values = text(value, nulls, section, names.end)?;
        let end = values.end;
        if !each(Pair { all: at..end, name: names, value: values }) {
            return Ok(());
        }
        at = end;
    }
    Ok(())
}

/// A text behind its length at an offset.
#[inline]
fn text(length: Field, nulls: bool, section: &[u8], at: usize) -> Result<Range<usize>, Bad> {
    let rest = section.get(at..).ok_or(Bad)?;
    let mut len = length.read(rest).ok_or(Bad)?;
    if nulls && len == length.most() {
        len = 0;
    }
    let len = usize::try_from(len).map_err(|_| Bad)?;
    let start = at + usize::from(length.width);
    let end = start.checked_add(len).filter(|end| *end <= section.len()).ok_or(Bad)?;
    Ok(start..end)
}

/// Whether a header's name is this one.
#[inline]
pub(crate) fn is(form: &Form, section: &[u8], pair: &Pair, name: &[u8]) -> bool {
    let known = section.get(pair.name.clone()).unwrap_or_default();
    match form.written {
        Written::Json if known.contains(&b'\\') => json::text_is(known, name),
        _ => known == name,
    }
}

/// The value of the header of this name that counts.
pub(crate) fn find<'a>(
    form: &Form,
    section: &'a [u8],
    name: &str,
    scratch: &'a mut Vec<u8>,
) -> Found<'a> {
    let mut found = None;
    each(form, section, |pair| {
        let hit = is(form, section, &pair, name.as_bytes());
        if hit {
            found = Some(pair.value);
        }
        !(hit && form.first)
    })
    .map_err(|Bad| Unknown)?;
    match found {
        None => Ok(None),
        Some(value) => show(form, section.get(value).ok_or(Unknown)?, scratch),
    }
}

/// A value as rules see it.
pub(crate) fn show<'a>(form: &Form, value: &'a [u8], scratch: &'a mut Vec<u8>) -> Found<'a> {
    match form.written {
        Written::Json => json::show(value, scratch),
        _ => Ok(Some(value)),
    }
}

/// Calls `each` with the name and value of every header, as rules see them.
pub(crate) fn list(
    form: &Form,
    section: &[u8],
    to: &mut dyn FnMut(&[u8], &[u8]),
) -> Result<(), Unknown> {
    let (mut name, mut value) = (Vec::new(), Vec::new());
    let mut known = true;
    let whole = each(form, section, |pair| {
        let plain = section.get(pair.name).unwrap_or_default();
        name.clear();
        let named = match form.written {
            Written::Json => json::unescape(plain, |bytes| name.extend_from_slice(bytes)),
            _ => {
                name.extend_from_slice(plain);
                Some(())
            }
        };
        value.clear();
        match show(form, section.get(pair.value).unwrap_or_default(), &mut value) {
            Ok(Some(value)) if named.is_some() => to(&name, value),
            Ok(None) if named.is_some() => {}
            _ => known = false,
        }
        known
    });
    if whole.is_ok() && known { Ok(()) } else { Err(Unknown) }
}

/// A field of a protobuf message; ranges count from the message's first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) all: Range<usize>,
    pub(crate) number: u32,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// With its number.
    Varint(u64),
    Bytes(Range<usize>),
    /// Of four or eight bytes.
    Fixed,
}

/// Calls `each` with every field of a message until it says `false`.
pub(crate) fn fields(message: &[u8], mut each: impl FnMut(Entry) -> bool) -> Result<(), Bad> {
    let mut at = 0;
    while at < message.len() {
        let start = at;
        let key = varint(message, &mut at)?;
        let number = u32::try_from(key >> 3).ok().filter(|n| *n > 0).ok_or(Bad)?;
        let value = match key & 7 {
            0 => Value::Varint(varint(message, &mut at)?),
            1 => {
                at += 8;
                Value::Fixed
            }
            2 => {
                let len = usize::try_from(varint(message, &mut at)?).map_err(|_| Bad)?;
                let end = at.checked_add(len).ok_or(Bad)?;
                let bytes = at..end;
                at = end;
                Value::Bytes(bytes)
            }
            5 => {
                at += 4;
                Value::Fixed
            }
            _ => return Err(Bad),
        };
        if at > message.len() {
            return Err(Bad);
        }
        if !each(Entry { all: start..at, number, value }) {
            return Ok(());
        }
    }
    Ok(())
}

fn varint(bytes: &[u8], at: &mut usize) -> Result<u64, Bad> {
    let mut number = 0_u64;
    for shift in 0..10_u32 {
        let byte = *bytes.get(*at).ok_or(Bad)?;
        *at += 1;
        number |= u64::from(byte & 0x7f).checked_shl(7 * shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Bad)
}

/// Name and value of an entry of a map, by range; what is not there is empty.
pub(crate) fn map_entry(
    message: &[u8],
    entry: Range<usize>,
) -> Result<(Range<usize>, Range<usize>), Bad> {
    let inner = message.get(entry.clone()).ok_or(Bad)?;
    let (mut name, mut value) = (entry.start..entry.start, entry.start..entry.start);
    fields(inner, |field| {
        if let Value::Bytes(bytes) = field.value {
            let bytes = entry.start + bytes.start..entry.start + bytes.end;
            match field.number {
                1 => name = bytes,
                2 => value = bytes,
                _ => {}
            }
        }
        true
    })?;
    Ok((name, value))
}

/// The value of a header in a message.
pub(crate) fn find_field<'a>(
    form: &Protobuf,
    message: &'a [u8],
    name: &str,
    scratch: &'a mut Vec<u8>,
) -> Found<'a> {
    let own = form.fields.iter().find(|(known, _)| **known == *name).map(|(_, number)| *number);
    if form.within != 0 && own.is_none() {
        let mut inside = None;
        fields(message, |entry| {
            if let (Value::Bytes(bytes), true) = (entry.value, entry.number == form.within) {
                inside = Some(bytes);
            }
            true
        })
        .map_err(|Bad| Unknown)?;
        let inside = inside.map_or(Some(&[][..]), |inside| message.get(inside)).ok_or(Unknown)?;
        let form = Protobuf { headers: form.headers, within: 0, fields: Box::default() };
        return find_field(&form, inside, name, scratch);
    }
    let (mut found, mut number, mut bad) = (None, None, false);
    fields(message, |entry| {
        match entry.value {
            Value::Varint(value) if own == Some(entry.number) => {
                (found, number) = (None, Some(value));
            }
            Value::Bytes(bytes) if own == Some(entry.number) => {
                (found, number) = (Some(bytes), None);
            }
            Value::Bytes(bytes) if own.is_none() && form.headers == Some(entry.number) => {
                match map_entry(message, bytes) {
                    Ok((key, value)) if message.get(key.clone()) == Some(name.as_bytes()) => {
                        found = Some(value);
                    }
                    Ok(_) => {}
                    Err(Bad) => bad = true,
                }
            }
            _ => {}
        }
        true
    })
    .map_err(|Bad| Unknown)?;
    match (bad, found, number) {
        (true, ..) => Err(Unknown),
        (_, Some(range), _) => message.get(range).map(Some).ok_or(Unknown),
        (_, None, Some(number)) => {
            decimal(number, scratch);
            Ok(Some(scratch))
        }
        _ => Ok(None),
    }
}

/// Calls `each` with the name and value of every header in a message: the entries of its map, and
/// the fields that are headers by themselves.
pub(crate) fn list_fields(
    form: &Protobuf,
    message: &[u8],
    each: &mut dyn FnMut(&[u8], &[u8]),
) -> Result<(), Unknown> {
    let mut bad = false;
    let mut scratch = Vec::new();
    let whole = fields(message, |entry| {
        if let Value::Bytes(bytes) = &entry.value {
            let inner = message.get(bytes.clone()).unwrap_or_default();
            if form.within != 0 && form.within == entry.number {
                let form = Protobuf { headers: form.headers, within: 0, fields: Box::default() };
                bad |= list_fields(&form, inner, each).is_err();
            }
            if form.within == 0 && form.headers == Some(entry.number) {
                match map_entry(message, bytes.clone()) {
                    Ok((name, value)) => each(
                        message.get(name).unwrap_or_default(),
                        message.get(value).unwrap_or_default(),
                    ),
                    Err(Bad) => bad = true,
                }
            }
        }
        for (name, _) in form.fields.iter().filter(|(_, number)| *number == entry.number) {
            match &entry.value {
                Value::Bytes(bytes) => {
                    each(name.as_bytes(), message.get(bytes.clone()).unwrap_or_default());
                }
                Value::Varint(number) => {
                    scratch.clear();
                    decimal(*number, &mut scratch);
                    each(name.as_bytes(), &scratch);
                }
                Value::Fixed => {}
            }
        }
        !bad
    });
    if whole.is_ok() && !bad { Ok(()) } else { Err(Unknown) }
}

/// Appends a number in decimal digits.
pub(crate) fn decimal(number: u64, out: &mut Vec<u8>) {
    let (digits, at) = digits(number);
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// A number's decimal digits: they stand at the end, from the offset on.
pub(crate) fn digits(mut number: u64) -> ([u8; 20], usize) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    loop {
        at = at.saturating_sub(1);
        if let Some(place) = digits.get_mut(at) {
            *place = b'0' + (number % 10) as u8;
        }
        number /= 10;
        if number == 0 || at == 0 {
            return (digits, at);
        }
    }
}

/// A number written in decimal digits as [`decimal`] writes it.
pub(crate) fn parse(text: &[u8]) -> Option<u64> {
    match text {
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] if text.len() <= 20 => text.iter().try_fold(0_u64, |number, digit| {
            let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
            number.checked_mul(10)?.checked_add(digit.into())
        }),
        _ => None,
    }
}

/// A protobuf number's bytes and how many of them count.
pub(crate) fn varint_bytes(mut number: u64) -> ([u8; 10], usize) {
    let mut bytes = [0; 10];
    for (i, place) in bytes.iter_mut().enumerate() {
        *place = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            return (bytes, i + 1);
        }
        *place |= 0x80;
    }
    (bytes, 10)
}
