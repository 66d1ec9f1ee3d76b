//! Edits of headers that are fields of a protobuf message, or of a message within it. It knows fields
//! by number and nothing of the frame around the message.

use std::ops::Range;

use heptad_core::{Fault, HeaderEdit};

use super::{Count, Edited, Sink, UNREADABLE, added, name_of};
use crate::{
    section::{self, Entry, Value},
    table::{Id, Protobuf},
};

impl Edited<'_> {
    pub(super) fn protobuf(
        &self,
        form: &Protobuf,
        old: &Range<usize>,
        sink: &mut impl Sink,
    ) -> Result<(), Fault> {
        if form.within != 0 && !self.edits.is_empty() {
            return self.within(form, old, sink);
        }
        self.message(form, old, true, sink)
    }

    /// A message whose headers stand in the message that a field of it is. Of several such fields
    /// the last one gets what is added, as readers take them together.
    fn within(
        &self,
        form: &Protobuf,
        old: &Range<usize>,
        sink: &mut impl Sink,
    ) -> Result<(), Fault> {
        let own = |edit: &HeaderEdit| {
            form.fields.iter().any(|(known, _)| name_of(edit) == Some(&**known))
        };
        if self.id.is_some() || self.edits.iter().any(own) {
            return Err(UNREADABLE);
        }
        let message = self.frame.get(old.clone()).ok_or(UNREADABLE)?;
        let is = |entry: &Entry| match &entry.value {
            Value::Bytes(bytes) if entry.number == form.within => Some(bytes.clone()),
            _ => None,
        };
        let mut last = None;
        section::fields(message, |entry| {
            last = is(&entry).map(|_| entry.all.start).or(last);
            true
        })
        .map_err(|_| UNREADABLE)?;
        let inner = Protobuf { headers: form.headers, within: 0, fields: Box::default() };
        let put = |bytes: Range<usize>, adds: bool, sink: &mut _| {
            let mut count = Count(0);
            self.message(&inner, &bytes, adds, &mut count)?;
            put_varint(u64::from(form.within) << 3 | 2, sink);
            put_varint(count.0 as u64, sink);
            self.message(&inner, &bytes, adds, sink)
        };
        let (mut done, mut good) = (0, Ok(()));
        section::fields(message, |entry| {
            if let Some(bytes) = is(&entry) {
                sink.keep(old.start + done..old.start + entry.all.start);
                done = entry.all.end;
                let bytes = old.start + bytes.start..old.start + bytes.end;
                good = put(bytes, last == Some(entry.all.start), sink);
            }
            good.is_ok()
        })
        .map_err(|_| UNREADABLE)?;
        good?;
        sink.keep(old.start + done..old.end);
        if last.is_none() && added(self.edits).next().is_some() {
            put(old.end..old.end, true, sink)?;
        }
        Ok(())
    }

    fn message(
        &self,
        form: &Protobuf,
        old: &Range<usize>,
        adds: bool,
        sink: &mut impl Sink,
    ) -> Result<(), Fault> {
        let message = self.frame.get(old.clone()).ok_or(UNREADABLE)?;
        let own = |name: &str| {
            form.fields.iter().find(|(known, _)| **known == *name).map(|(_, number)| *number)
        };
        let id = match (self.id, &self.shape.id) {
            (Some(id), Some(Id::Numbered(number))) => Some((id, *number)),
            _ => None,
        };
        // The last one counts, so the others may stay; what is zero is not written at all.
        let mut last = None;
        let mut bad = false;
        section::fields(message, |entry| {
            if let (Some((_, number)), Value::Varint(_)) = (id, &entry.value)
                && number == entry.number
            {
                last = Some(entry.all.start);
            }
            true
        })
        .map_err(|_| UNREADABLE)?;
        let mut done = 0;
        let whole = section::fields(message, |entry| {
            let gone = self.ends(|name| match (own(name), &entry.value) {
                (Some(number), _) => number == entry.number,
                (None, Value::Bytes(bytes)) if form.headers == Some(entry.number) => {
                    match section::map_entry(message, bytes.clone()) {
                        Ok((key, _)) => message.get(key) == Some(name.as_bytes()),
                        Err(_) => {
                            bad = true;
                            false
                        }
                    }
                }
                _ => false,
            });
            let renumbered = id.filter(|_| last == Some(entry.all.start));
            if gone || renumbered.is_some() {
                sink.keep(old.start + done..old.start + entry.all.start);
                done = entry.all.end;
            }
            if let Some((id, number)) = renumbered {
                put_numbered(number, id, sink);
            }
            true
        });
        if whole.is_err() || bad {
            return Err(UNREADABLE);
        }
        sink.keep(old.start + done..old.end);
        if let (Some((id, number)), None) = (id, last) {
            put_numbered(number, id, sink);
        }
        for (name, value) in added(self.edits).filter(|_| adds) {
            match (own(name), form.headers) {
                (Some(number), _) => {
                    put_varint(u64::from(number) << 3 | 2, sink);
                    put_varint(value.len() as u64, sink);
                    sink.put(value.as_bytes());
                }
                (None, Some(number)) => {
                    let len = |text: &str| 1 + varint_len(text.len()) + text.len();
                    put_varint(u64::from(number) << 3 | 2, sink);
                    put_varint((len(name) + len(value)) as u64, sink);
                    for (key, text) in [(0x0a, name), (0x12, value)] {
                        sink.put(&[key]);
                        put_varint(text.len() as u64, sink);
                        sink.put(text.as_bytes());
                    }
                }
                (None, None) => {}
            }
        }
        Ok(())
    }
}

fn varint_len(number: usize) -> usize {
    section::varint_bytes(number as u64).1
}

fn put_varint(number: u64, sink: &mut impl Sink) {
    let (bytes, len) = section::varint_bytes(number);
    sink.put(bytes.get(..len).unwrap_or_default());
}

/// A number as a field of a message; zero is left out, as writers of protobuf do.
fn put_numbered(number: u32, value: u64, sink: &mut impl Sink) {
    if value != 0 {
        put_varint(u64::from(number) << 3, sink);
        put_varint(value, sink);
    }
}
