//! Bytes that must be refused: those that the test names, and samples under limits on what cannot
//! be counted from outside (parts, depth), which a codec may not know but must not get wrong.

use heptad_core::{Codec, Ctx, Outcome};

use super::{
    Conformance, Event, Failure, From, Rule, Sample, Trace,
    chunks::{equal, random_cuts},
    garbage,
};

/// Bytes of a client, the last frame of which must be refused.
pub(super) struct Hostile {
    pub(super) bytes: Vec<u8>,
    pub(super) outcome: Outcome,
}

pub(super) fn check<C: Codec>(set: &Conformance<C>, cx: Ctx) -> Result<(), Failure> {
    for (number, hostile) in set.hostile.iter().enumerate() {
        let name = format!("hostile sample {number}");
        one(set, cx, hostile).map_err(|failure| failure.within(name))?;
    }
    Ok(())
}

fn one<C: Codec>(set: &Conformance<C>, cx: Ctx, hostile: &Hostile) -> Result<(), Failure> {
    let bytes = &hostile.bytes;
    let whole = set.end(cx, From::Client).feed_whole(bytes)?;
    let fault = match whole.events.last() {
        Some(Event::Reject { fault, .. } | Event::Fault { fault, .. }) => Some(fault.outcome),
        _ => None,
    };
    if fault != Some(hostile.outcome) {
        let detail = format!("expected {:?}, found {:?}", hostile.outcome, whole.events);
        return Err(Failure::new(Rule::Hostile, bytes, whole.end, detail));
    }
    let mut random = fastrand::Rng::with_seed(set.seed ^ 0x686f_7374);
    let all: Vec<usize> = (1..=bytes.len()).collect();
    for cuts in [all, random_cuts(&mut random, bytes.len())] {
        let trace = set.end(cx, From::Client).feed(bytes, cuts)?;
        equal(bytes, &whole, &trace)?;
    }
    garbage::refused(set, cx, bytes, &whole)
}

/// The sample with few parts and little depth allowed.
pub(super) fn parts<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    sample: &Sample,
    whole: &Trace<C::Tag>,
) -> Result<(), Failure> {
    let bytes = &sample.bytes;
    for limit in [0, 1, 2, 3, 5, 8, 16] {
        for cx in [cx.max_parts(limit), cx.max_depth(limit)] {
            let name = format!("max_parts {}, max_depth {}", cx.max_parts, cx.max_depth);
            let trace = set.peer(cx, sample)?.feed_whole(bytes)?;
            for (i, event) in trace.events.iter().enumerate() {
                match event {
                    event if whole.events.get(i).is_some_and(|old| alike(old, event)) => {}
                    // What comes after it may mean something else without it.
                    Event::Reject { fault, .. } | Event::Fault { fault, .. }
                        if fault.outcome == Outcome::TooLarge =>
                    {
                        break;
                    }
                    event => {
                        let detail = format!("{event:?}");
                        let failure = Failure::new(Rule::MaxParts, bytes, event.at(), detail);
                        return Err(failure.within(name));
                    }
                }
            }
        }
    }
    Ok(())
}

/// The same frame; what could not be counted may be unknown about it.
fn alike<T: std::fmt::Debug>(a: &Event<T>, b: &Event<T>) -> bool {
    match (a, b) {
        (Event::Frame { at, meta, .. }, Event::Frame { at: place, meta: other, .. }) => {
            at == place && (meta.kind, meta.len, meta.id) == (other.kind, other.len, other.id)
        }
        _ => a.same(b),
    }
}
