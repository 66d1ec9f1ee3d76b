//! Reading and editing the parts of a head. Nothing here knows what a frame is.

use std::ops::Range;

use heptad_core::{HeaderEdit, Span};

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(n)?;
    *rest = left;
    Some(taken)
}

fn take_short<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let &[n] = take(rest, 1)?.first_chunk()?;
    take(rest, n.into())
}

/// A short string as a span; `rest` ends at the offset `end` of the frame.
pub(crate) fn take_span(rest: &mut &[u8], end: usize) -> Option<Span> {
    let text = take_short(rest)?;
    let at = end.checked_sub(rest.len())?.checked_sub(text.len())?;
    Some(Span::new(at, text.len()))
}

/// A header: name and value.
pub(crate) fn take_pair<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let name = take_short(rest)?;
    let &n = take(rest, 2)?.first_chunk()?;
    Some((name, take(rest, u16::from_be_bytes(n).into())?))
}

/// A header of an edited frame: a range of the old frame, or name and value.
pub(crate) enum Pair<'a> {
    Old(Range<usize>),
    New(&'a str, &'a str),
}

impl Pair<'_> {
    /// Bytes in the frame; `None` if name or value are too long to be written.
    pub(crate) fn len(&self) -> Option<usize> {
        match self {
            Self::Old(range) => Some(range.len()),
            Self::New(name, value) => {
                u8::try_from(name.len()).ok()?;
                u16::try_from(value.len()).ok()?;
                Some(3 + name.len() + value.len())
            }
        }
    }
}

/// Calls `each` with the headers as they are after all edits. An edit replaces or removes what is in
/// the frame and what the edits before it have added.
pub(crate) fn edited<'e>(
    frame: &[u8],
    pairs: Range<usize>,
    edits: &'e [HeaderEdit],
    mut each: impl FnMut(Pair<'e>),
) {
    let ends = |edits: &[HeaderEdit], known: &[u8]| {
        edits.iter().any(|edit| match edit {
            HeaderEdit::Set { name, .. } | HeaderEdit::Remove { name } => name.as_bytes() == known,
            _ => false,
        })
    };
    let mut rest = frame.get(pairs.clone()).unwrap_or_default();
    let mut at = pairs.start;
    while let Some((name, _)) = take_pair(&mut rest) {
        let next = pairs.end.saturating_sub(rest.len());
        if !ends(edits, name) {
            each(Pair::Old(at..next));
        }
        at = next;
    }
    for (i, edit) in edits.iter().enumerate() {
        if let HeaderEdit::Set { name, value } | HeaderEdit::Add { name, value } = edit
            && !ends(edits.get(i + 1..).unwrap_or_default(), name.as_bytes())
        {
            each(Pair::New(name, value));
        }
    }
}
