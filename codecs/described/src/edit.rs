//! A frame with another id or other headers. The frame is gone through twice: once to learn how long
//! it gets, because lengths stand in front of what they count, and once to write it. It knows what
//! the decoder has found to be whole.

mod message;

use std::ops::Range;

use heptad_core::{Fault, HeaderEdit, Meta, Outcome, Reason, Rewrite, Splice};

use crate::{
    decode::content,
    json, section,
    table::{Extent, Field, Form, Id, MOST_INITIAL, Shape, Table, What, Written},
};

const TOO_LONG: Fault = Fault::too_large(Reason::HeadSize, "headers are too long after an edit");
const NO_ID: Fault = Fault::malformed("an id that does not fit");
const UNREADABLE: Fault =
    Fault::new(Outcome::BadRequest, Reason::Unsupported, "headers cannot be read to be edited");
const UNFIT: Fault = Fault::new(
    Outcome::BadRequest,
    Reason::Unsupported,
    "a header holds what its protocol ends headers with",
);

const UNFIT_ID: Fault =
    Fault::new(Outcome::BadRequest, Reason::Unsupported, "the header with the id cannot be edited");

/// The header that an edit is about.
fn name_of(edit: &HeaderEdit) -> Option<&str> {
    match edit {
        HeaderEdit::Set { name, .. }
        | HeaderEdit::Add { name, .. }
        | HeaderEdit::Remove { name } => Some(name),
        _ => None,
    }
}

/// Where an edited frame goes.
trait Sink {
    fn put(&mut self, bytes: &[u8]);
    fn keep(&mut self, range: Range<usize>);
}

/// Counts.
struct Count(usize);

impl Sink for Count {
    fn put(&mut self, bytes: &[u8]) {
        self.0 = self.0.saturating_add(bytes.len());
    }

    fn keep(&mut self, range: Range<usize>) {
        self.0 = self.0.saturating_add(range.len());
    }
}

/// Writes, and sums up if there is a checksum.
struct Write<'a, 'f> {
    out: &'a mut Splice<'f>,
    frame: &'f [u8],
    crc: Option<crc32fast::Hasher>,
}

impl Sink for Write<'_, '_> {
    fn put(&mut self, bytes: &[u8]) {
        if let Some(crc) = &mut self.crc {
            crc.update(bytes);
        }
        self.out.put(bytes);
    }

    fn keep(&mut self, range: Range<usize>) {
        if let Some(crc) = &mut self.crc {
            crc.update(self.frame.get(range.clone()).unwrap_or_default());
        }
        self.out.keep(range);
    }
}

/// Writes the frame anew.
pub(crate) fn rewrite(
    table: &Table,
    shape: &Shape,
    meta: &Meta,
    edit: &Rewrite<'_>,
    out: &mut Splice<'_>,
) -> Result<(), Fault> {
    let len = meta.len as usize;
    let headers = if shape.headers.is_some() { edit.headers } else { &[] };
    let trailer = shape.crc_of(out.frame());
    if headers.is_empty() && trailer == 0 {
        match (&shape.id, edit.id) {
            (_, None) | (None, _) => {
                out.keep(0..len);
                return Ok(());
            }
            (Some(Id::Fixed(field)), Some(id)) => {
                if id > field.most() {
                    return Err(NO_ID);
                }
                out.keep(0..field.at);
                out.put(field.bytes(id).get(..usize::from(field.width)).unwrap_or_default());
                out.keep(field.end()..len);
                return Ok(());
            }
            _ => {}
        }
    }
    let frame = out.frame();
    let edited = Edited {
        shape,
        frame,
        head: match shape.head.as_ref().and_then(|head| head.of(frame)) {
            Some(head) => usize::try_from(head).unwrap_or(len),
            None => len.saturating_sub(trailer).saturating_sub(table.delimiter.len()),
        },
        id: edit.id.filter(|_| !matches!(shape.id, None | Some(Id::Fixed(_)))),
        edits: headers,
    };
    edited.check(table)?;
    let mut initial = [0; MOST_INITIAL];
    let initial = initial.get_mut(..shape.initial).ok_or(TOO_LONG)?;
    initial.copy_from_slice(frame.get(..shape.initial).ok_or(UNREADABLE)?);
    if let (Some(Id::Fixed(field)), Some(id)) = (&shape.id, edit.id)
        && !field.write(initial, id)
    {
        return Err(NO_ID);
    }
    let old = edited.section()?;
    let mut count = Count(0);
    edited.put(&old, &mut count)?;
    for field in &shape.grow {
        let number = field.read(initial).ok_or(TOO_LONG)?;
        let number = number.saturating_add(count.0 as u64).checked_sub(old.content.len() as u64);
        if !number.is_some_and(|number| field.write(initial, number)) {
            return Err(TOO_LONG);
        }
    }
    let prefix = old.prefix.map(|field| (field, field.bytes(count.0 as u64)));
    if let Some((field, _)) = prefix
        && count.0 as u64 > field.most()
    {
        return Err(TOO_LONG);
    }
    let whole = len.saturating_sub(old.content.len()).saturating_add(count.0);
    if u32::try_from(whole).is_err() {
        return Err(TOO_LONG);
    }

    let crc = (trailer > 0).then(crc32fast::Hasher::new);
    let mut write = Write { out, frame, crc };
    write.put(initial);
    let prefixed = prefix.map_or(0, |(field, _)| usize::from(field.width));
    write.keep(shape.initial..old.content.start.saturating_sub(prefixed));
    if let Some((field, bytes)) = prefix {
        write.put(bytes.get(..usize::from(field.width)).unwrap_or_default());
    }
    edited.put(&old, &mut write)?;
    let end = len.saturating_sub(trailer);
    write.keep(old.content.end..end);
    if let Some(crc) = write.crc {
        // A frame that came with a wrong sum leaves with one that is just as wrong.
        let came = crc32fast::hash(frame.get(..end).unwrap_or_default());
        let said = Field { at: end, width: 4, little: false }.read(frame).unwrap_or_default();
        let sum = crc.finalize() ^ came ^ said as u32;
        out.put(&sum.to_be_bytes());
    }
    Ok(())
}

/// The part that is edited.
struct Section<'a> {
    what: Option<&'a What>,
    content: Range<usize>,
    prefix: Option<Field>,
}

struct Edited<'a> {
    shape: &'a Shape,
    frame: &'a [u8],
    head: usize,
    /// A new id that is written among the headers.
    id: Option<u64>,
    edits: &'a [HeaderEdit],
}

impl<'a> Edited<'a> {
    /// Where the headers are; nothing at the end of the initial bytes if there are none.
    fn section(&self) -> Result<Section<'a>, Fault> {
        let none = self.shape.initial..self.shape.initial;
        let Some(number) =
            self.shape.headers.filter(|_| self.id.is_some() || !self.edits.is_empty())
        else {
            return Ok(Section { what: None, content: none, prefix: None });
        };
        let mut at = self.shape.initial;
        for (place, part) in self.shape.parts.iter().enumerate() {
            let range = content(part, self.frame, at, self.head).map_err(|_| UNREADABLE)?;
            at = range.end;
            if place == number {
                let prefix = match part.extent {
                    Extent::Prefix(field) => Some(field),
                    _ => None,
                };
                return Ok(Section { what: Some(&part.what), content: range, prefix });
            }
        }
        Err(UNREADABLE)
    }

    /// Whether the new headers can be told apart from what is around them.
    fn check(&self, table: &Table) -> Result<(), Fault> {
        let form = self.shape.headers.and_then(|number| self.shape.parts.get(number));
        let form = form.map(|part| &part.what);
        let has = |text: &str, bytes: &[u8]| {
            !bytes.is_empty() && memchr::memmem::find(text.as_bytes(), bytes).is_some()
        };
        // The id pairs a reply with its request, whoever wants it to be another.
        if let Some(Id::Named(id)) = &self.shape.id
            && self.edits.iter().any(|edit| name_of(edit) == Some(&**id))
        {
            return Err(UNFIT_ID);
        }
        for (name, value) in added(self.edits) {
            let unfit = match form {
                Some(What::Headers(Form {
                    written: Written::Lines { separator, terminator },
                    ..
                })) => {
                    // A separator may also come of the end of a name and its own beginning.
                    has(name, separator)
                        || name.is_empty()
                        || [name, value].iter().any(|text| has(text, terminator))
                        || terminator
                            .first()
                            .is_some_and(|byte| value.as_bytes().last() == Some(byte))
                }
                // Quoting leaves no control characters.
                Some(What::Headers(Form { written: Written::Json, .. })) => {
                    let (name, value) = (name.as_bytes(), value.as_bytes());
                    table
                        .delimiter
                        .iter()
                        .any(|byte| *byte >= b' ' && (name.contains(byte) || value.contains(byte)))
                }
                _ => false,
            };
            let plain = !matches!(form, Some(What::Headers(Form { written: Written::Json, .. })));
            if unfit || (plain && [name, value].iter().any(|text| has(text, &table.delimiter))) {
                return Err(UNFIT);
            }
        }
        Ok(())
    }

    fn put(&self, old: &Section<'_>, sink: &mut impl Sink) -> Result<(), Fault> {
        match old.what {
            Some(What::Headers(form)) => self.headers(form, &old.content, sink),
            Some(What::Protobuf(form)) => self.protobuf(form, &old.content, sink),
            _ => {
                sink.keep(old.content.clone());
                Ok(())
            }
        }
    }

    /// Whether an edit ends a header that is there.
    fn ends(&self, mut is: impl FnMut(&str) -> bool) -> bool {
        self.edits.iter().any(|edit| match edit {
            HeaderEdit::Set { name, .. } | HeaderEdit::Remove { name } => is(name),
            _ => false,
        })
    }

    fn headers(&self, form: &Form, old: &Range<usize>, sink: &mut impl Sink) -> Result<(), Fault> {
        let section = self.frame.get(old.clone()).ok_or(UNREADABLE)?;
        let json = matches!(form.written, Written::Json);
        // Without edits even the blanks stay.
        let anew = json && !self.edits.is_empty();
        let (mut done, mut first, mut replaced) = (0, true, false);
        if anew {
            sink.put(b"{");
        }
        let whole = section::each(form, section, |pair| {
            if self.ends(|name| section::is(form, section, &pair, name.as_bytes())) {
                if !anew {
                    sink.keep(old.start + done..old.start + pair.all.start);
                }
                done = pair.all.end;
                return true;
            }
            if anew {
                if !std::mem::take(&mut first) {
                    sink.put(b",");
                }
                done = pair.all.start;
            }
            if let (Some(id), Some(Id::Named(name))) = (self.id, &self.shape.id)
                && section::is(form, section, &pair, name.as_bytes())
                && !(form.first && replaced)
            {
                replaced = true;
                sink.keep(old.start + done..old.start + pair.value.start);
                put_digits(id, sink);
                done = pair.value.end;
            }
            if anew {
                sink.keep(old.start + done..old.start + pair.all.end);
                done = pair.all.end;
            }
            true
        });
        whole.map_err(|_| UNREADABLE)?;
        if !anew {
            sink.keep(old.start + done..old.end);
        }
        let ended = match &form.written {
            Written::Lines { terminator, .. } => {
                section.is_empty() || section.ends_with(terminator)
            }
            _ => true,
        };
        if !ended
            && let Written::Lines { terminator, .. } = &form.written
            && added(self.edits).next().is_some()
        {
            sink.put(terminator);
        }
        for (name, value) in added(self.edits) {
            match &form.written {
                Written::Pairs { name: n, value: v, .. } => {
                    for (field, text) in [(n, name), (v, value)] {
                        let len = text.len() as u64;
                        if len > field.most() {
                            return Err(TOO_LONG);
                        }
                        let bytes = field.bytes(len);
                        sink.put(bytes.get(..usize::from(field.width)).unwrap_or_default());
                        sink.put(text.as_bytes());
                    }
                }
                Written::Lines { separator, terminator } => {
                    for bytes in [name.as_bytes(), separator, value.as_bytes(), terminator] {
                        sink.put(bytes);
                    }
                }
                Written::Json => {
                    if !std::mem::take(&mut first) {
                        sink.put(b",");
                    }
                    json::quote(name, |bytes| sink.put(bytes));
                    sink.put(b":");
                    json::quote(value, |bytes| sink.put(bytes));
                }
            }
        }
        if anew {
            sink.put(b"}");
        }
        Ok(())
    }
}

fn put_digits(id: u64, sink: &mut impl Sink) {
    let (digits, at) = section::digits(id);
    sink.put(digits.get(at..).unwrap_or_default());
}

/// What is there after all edits that was not there before.
fn added(edits: &[HeaderEdit]) -> impl Iterator<Item = (&str, &str)> {
    edits.iter().enumerate().filter_map(|(i, edit)| {
        let (HeaderEdit::Set { name, value } | HeaderEdit::Add { name, value }) = edit else {
            return None;
        };
        let mut later = edits.get(i + 1..).unwrap_or_default().iter();
        let again = later.any(|edit| match edit {
            HeaderEdit::Set { name: other, .. } | HeaderEdit::Remove { name: other } => {
                other == name
            }
            _ => false,
        });
        (!again).then_some((&**name, &**value))
    })
}
