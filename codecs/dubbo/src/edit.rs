//! Editing attachments: what stays is kept by range, so that a large body is not copied.
//!
//! Attachments are a map: one value for each name, the last one counts. To add is therefore to set.
//! Lists, maps and objects are never taken out of a body, because references count them.

use heptad_core::{Fault, HeaderEdit, Outcome, Reason, Splice};

use crate::{
    body::{Body, Entry, Place},
    frame::FIXED,
    hessian::{Scalar, Small, pieces, text_len},
};

/// Writes the frame of `body` with edited attachments and this id. `flag`: the reply's flag in a new
/// form, instead of what stands in front of the given offset.
///
/// Nothing is written when there is an error.
pub(crate) fn edited(
    body: &Body<'_>,
    id: u64,
    edits: &[HeaderEdit],
    out: &mut Splice<'_>,
) -> Result<(), Fault> {
    let frame = out.frame();
    let (mut cuts, mut cut, mut stuck) = (Small::<16>::default(), 0, false);
    let place = body.attachments(&mut |entry| match fate(entry, frame, edits) {
        Fate::Stays => {}
        Fate::Goes => {
            cuts.push(entry.at as u32); // Offsets in a frame are below 4 GiB.
            cuts.push(entry.end as u32);
            cut += entry.end.saturating_sub(entry.at);
        }
        Fate::Stuck => stuck = true,
    });
    let place = place.map_err(|_| UNREADABLE)?;
    if stuck {
        return Err(STUCK);
    }
    let added: usize = added(edits).map(|(n, v)| text_len(n).saturating_add(text_len(v))).sum();
    let (at, map) = match place {
        Place::None { .. } if added == 0 => {
            put_head(out, id, frame.len().saturating_sub(FIXED))?;
            out.keep(FIXED..frame.len());
            return Ok(());
        }
        Place::None { at } => (at, 1),
        Place::Map { at, end } => (at, end.saturating_sub(at).saturating_sub(cut)),
    };
    put_head(out, id, at.saturating_sub(FIXED) + map + added + 1)?;
    match place {
        Place::None { at } => {
            out.keep(FIXED..at);
            out.put(b"H");
        }
        Place::Map { end, .. } => {
            let mut from = FIXED;
            let mut number = 0;
            while let (Some(at), Some(end)) = (cuts.get(number), cuts.get(number + 1)) {
                out.keep(from..at as usize);
                from = end as usize;
                number += 2;
            }
            out.keep(from..end);
        }
    }
    put_added(edits, out);
    Ok(())
}

/// Writes a reply that has no attachments with some. `what` is its flag without any, which ends at
/// the offset `end`.
pub(crate) fn attached(
    what: u8,
    end: usize,
    id: u64,
    edits: &[HeaderEdit],
    out: &mut Splice<'_>,
) -> Result<(), Fault> {
    let len = out.frame().len();
    let added: usize = added(edits).map(|(n, v)| text_len(n).saturating_add(text_len(v))).sum();
    if added == 0 {
        put_head(out, id, len.saturating_sub(FIXED))?;
        out.keep(FIXED..len);
        return Ok(());
    }
    put_head(out, id, len.saturating_sub(end) + added + 3)?;
    out.put(&[0x90 + what + 3]);
    out.keep(end..len);
    out.put(b"H");
    put_added(edits, out);
    Ok(())
}

enum Fate {
    Stays,
    Goes,
    /// It should go and cannot.
    Stuck,
}

fn fate(entry: &Entry, frame: &[u8], edits: &[HeaderEdit]) -> Fate {
    let Scalar::Text(_) = entry.key else {
        return Fate::Stays;
    };
    let mut fate = Fate::Stays;
    for edit in edits {
        let (name, must) = match edit {
            HeaderEdit::Set { name, .. } | HeaderEdit::Remove { name } => (name, true),
            HeaderEdit::Add { name, .. } => (name, false),
            _ => continue,
        };
        if entry.is(frame, name) {
            fate = match entry.value {
                Scalar::Container if must => return Fate::Stuck,
                // What is added stands behind it, and counts.
                Scalar::Container => continue,
                _ => Fate::Goes,
            };
        }
    }
    fate
}

/// What is there after all edits that was not there before.
fn added(edits: &[HeaderEdit]) -> impl Iterator<Item = (&str, &str)> {
    edits.iter().enumerate().filter_map(|(i, edit)| {
        let (HeaderEdit::Set { name, value } | HeaderEdit::Add { name, value }) = edit else {
            return None;
        };
        let mut later = edits.get(i + 1..).unwrap_or_default().iter();
        let again = later.any(|edit| match edit {
            HeaderEdit::Set { name: other, .. }
            | HeaderEdit::Add { name: other, .. }
            | HeaderEdit::Remove { name: other } => other == name,
            _ => false,
        });
        (!again).then_some((&**name, &**value))
    })
}

fn put_added(edits: &[HeaderEdit], out: &mut Splice<'_>) {
    for (name, value) in added(edits) {
        pieces(name, |piece| out.put(piece));
        pieces(value, |piece| out.put(piece));
    }
    out.put(b"Z");
}

/// The fixed head with another id and body length.
pub(crate) fn put_head(out: &mut Splice<'_>, id: u64, body: usize) -> Result<(), Fault> {
    let body = u32::try_from(body).map_err(|_| TOO_LONG)?;
    out.keep(0..4);
    out.put(&id.to_be_bytes());
    out.put(&body.to_be_bytes());
    Ok(())
}

const TOO_LONG: Fault = Fault::too_large(Reason::FrameSize, "body is too long after an edit");
/// The attachments of a request that should be edited cannot be found.
pub(crate) const UNREADABLE: Fault =
    Fault::new(Outcome::BadRequest, Reason::Unsupported, "attachments cannot be read to be edited");
const STUCK: Fault = Fault::new(
    Outcome::BadRequest,
    Reason::Unsupported,
    "an attachment that is not a text cannot be replaced or removed",
);
