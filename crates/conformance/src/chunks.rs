//! Any chunking: the same frames for every cut, for prefixes, for what is pipelined, and at limits.

use std::fmt::Debug;

use heptad_core::{Codec, Ctx, Outcome};

use super::{Conformance, Event, Failure, From, Peer, Rule, Sample, Trace, feed::SMALLEST_LIMIT};

/// Above this many bytes cuts and prefixes are sampled instead of all being made.
const ALL_CUTS: usize = 2048;

pub(super) fn check<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    sample: &Sample,
    whole: &Trace<C::Tag>,
) -> Result<(), Failure> {
    let bytes = &sample.bytes;
    let mut random = fastrand::Rng::with_seed(set.seed);
    let cuts: Vec<usize> = if bytes.len() <= ALL_CUTS {
        (1..bytes.len()).collect()
    } else {
        (0..ALL_CUTS).map(|_| random.usize(1..bytes.len())).collect()
    };

    for &cut in &cuts {
        let prefix = &bytes[..cut];
        let trace = set.peer(cx, sample)?.feed_whole(prefix)?;
        prefix_of(prefix, whole, &trace).map_err(|f| f.within(format!("the first {cut} bytes")))?;
    }

    let again = |cuts: &[usize], name: &str| {
        let trace = set.peer(cx, sample)?.feed(bytes, cuts.iter().copied());
        trace.and_then(|trace| equal(bytes, whole, &trace)).map_err(|f| f.within(name))
    };
    for &cut in &cuts {
        again(&[cut, bytes.len()], &format!("a read of {cut} bytes and one of the rest"))?;
    }
    again(&(1..=bytes.len()).collect::<Vec<_>>(), "reads of one byte")?;
    for _ in 0..set.rounds {
        let cuts = random_cuts(&mut random, bytes.len());
        again(&cuts, &format!("reads that end at {cuts:?}"))?;
    }

    pipelined(set, cx, sample, whole)?;
    limits(set, cx, sample, whole)
}

/// Cuts that rise to `len`, few or many.
pub(super) fn random_cuts(random: &mut fastrand::Rng, len: usize) -> Vec<usize> {
    let mut cuts = Vec::new();
    let most = 1 + random.usize(..len.max(1));
    let mut at = 0;
    while at < len {
        at = (at + 1 + random.usize(..most)).min(len);
        cuts.push(at);
    }
    cuts
}

/// The same events, up to the end of the bytes.
pub(super) fn equal<T: Debug>(
    bytes: &[u8],
    whole: &Trace<T>,
    cut: &Trace<T>,
) -> Result<(), Failure> {
    for i in 0..whole.events.len().max(cut.events.len()) {
        match (whole.events.get(i), cut.events.get(i)) {
            (Some(a), Some(b)) if a.same(b) => {}
            (a, b) => {
                let at = a.or(b).map_or(0, Event::at);
                let detail = format!("event {i} is in one read\n    {a:?}\n  and cut\n    {b:?}");
                return Err(Failure::new(Rule::Chunking, bytes, at, detail));
            }
        }
    }
    if whole.end != cut.end {
        let detail = format!("in one read {} bytes are used, cut {}", whole.end, cut.end);
        return Err(Failure::new(Rule::Chunking, bytes, whole.end.min(cut.end), detail));
    }
    Ok(())
}

fn prefix_of<T: Debug>(bytes: &[u8], whole: &Trace<T>, trace: &Trace<T>) -> Result<(), Failure> {
    for (i, event) in trace.events.iter().enumerate() {
        if !whole.events.get(i).is_some_and(|all| all.same(event)) {
            let detail = format!("event {i} is {event:?}, of all bytes {:?}", whole.events.get(i));
            return Err(Failure::new(Rule::Truncated, bytes, event.at(), detail));
        }
    }
    let ends_here = |event: &&Event<T>| match event {
        Event::Frame { at, meta, .. } => at + meta.len as usize <= bytes.len(),
        _ => false,
    };
    let expected = whole.events.iter().filter(ends_here).count();
    if trace.events.len() < expected {
        let detail = format!("{} frames of {expected} that are whole", trace.events.len());
        return Err(Failure::new(Rule::Truncated, bytes, trace.end, detail));
    }
    Ok(())
}

/// The sample twice in one read. The second time its frames may mean something else, because the
/// first may have changed the connection; but there are as many, at the same places.
fn pipelined<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    sample: &Sample,
    whole: &Trace<C::Tag>,
) -> Result<(), Failure> {
    let twice = sample.bytes.repeat(2);
    let mut peer: Peer<'_, C> = set.peer(cx, sample)?;
    peer.asked = peer.asked.twice();
    let trace = peer.feed_whole(&twice)?;
    let places = |events: &[Event<C::Tag>]| events.iter().map(Event::at).collect::<Vec<_>>();
    let first = places(&whole.events);
    let second = first.iter().map(|at| at + sample.bytes.len());
    let expected: Vec<usize> = first.iter().copied().chain(second).collect();
    let same = |(a, b): (&Event<C::Tag>, &Event<C::Tag>)| a.same(b);
    let found = places(&trace.events);
    if found != expected || !whole.events.iter().zip(&trace.events).all(same) {
        let detail = format!("twice the sample has frames at {found:?} and not at {expected:?}");
        return Err(Failure::new(Rule::Pipelined, &twice, sample.bytes.len(), detail));
    }
    Ok(())
}

/// Each frame, with limits that are one byte too small for it.
fn limits<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    sample: &Sample,
    whole: &Trace<C::Tag>,
) -> Result<(), Failure> {
    let bytes = &sample.bytes;
    let bytewise = set.peer(cx, sample)?.feed(bytes, 1..=bytes.len())?;
    // The first frame that is longer, or must be seen further, than all before it.
    let (mut longest, mut furthest) = (1, SMALLEST_LIMIT);
    for (i, event) in bytewise.events.iter().enumerate() {
        let Event::Frame { seen, meta, .. } = *event else {
            continue;
        };
        let mut tries = Vec::new();
        if meta.len > longest {
            tries.push((Rule::MaxFrame, cx.max_frame(meta.len - 1)));
            longest = meta.len;
        }
        if sample.from == From::Client && !set.whole_frames && seen > furthest {
            tries.push((Rule::MaxHead, cx.max_head(u32::try_from(seen - 1).unwrap_or(u32::MAX))));
            furthest = seen;
        }
        for (rule, cx) in tries {
            for cuts in [vec![bytes.len()], (1..=bytes.len()).collect()] {
                let name = format!("frame {i}, limit {} or {}", cx.max_frame, cx.max_head);
                let trace = set.peer(cx, sample)?.feed(bytes, cuts);
                let trace = trace.map_err(|failure| failure.within(&name))?;
                let told = match trace.events.get(i) {
                    Some(Event::Reject { fault, .. } | Event::Fault { fault, .. }) => {
                        fault.outcome == Outcome::TooLarge
                    }
                    _ => false,
                };
                let before = whole.events.iter().zip(&trace.events).take(i);
                if !told || !before.into_iter().all(|(a, b)| a.same(b)) {
                    let detail = format!("event {i} is {:?}", trace.events.get(i));
                    return Err(Failure::new(rule, bytes, event.at(), detail).within(name));
                }
            }
        }
    }
    Ok(())
}
