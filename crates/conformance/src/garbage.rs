//! Bytes that are not the protocol: no panic, progress or a fault, limits hold (all of which
//! `feed` watches), cuts make no difference, and what is refused can be answered.

use heptad_core::{Answer, Codec, Ctx, Meta, Question};

use super::{
    Conformance, Event, Failure, From, Rule, Sample, Trace, answers,
    chunks::{equal, random_cuts},
    feed::guard,
    rewrite,
};

pub(super) fn check<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    sample: &Sample,
    _: &Trace<C::Tag>,
) -> Result<(), Failure> {
    let mut random = fastrand::Rng::with_seed(set.seed ^ 0x6761_7262);
    for round in 0..set.rounds {
        let mut bytes = sample.bytes.clone();
        // One round in eight has nothing of the sample; the others have it with some damage.
        if round % 8 == 0 {
            let len = 1 + random.usize(..64);
            bytes = std::iter::repeat_with(|| random.u8(..)).take(len).collect();
        } else {
            for _ in 0..=random.usize(..3) {
                damage(&mut random, &mut bytes);
            }
        }
        if bytes.is_empty() {
            continue;
        }
        let name = format!("damaged sample, round {round} of seed {:#x}", set.seed);
        one(set, cx, sample, &bytes, &mut random).map_err(|failure| failure.within(name))?;
    }
    Ok(())
}

fn one<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    sample: &Sample,
    bytes: &[u8],
    random: &mut fastrand::Rng,
) -> Result<(), Failure> {
    let whole = set.peer(cx, sample)?.feed_whole(bytes)?;
    for cuts in [random_cuts(random, bytes.len()), (1..=bytes.len()).collect()] {
        let trace = set.peer(cx, sample)?.feed(bytes, cuts.iter().copied());
        trace
            .and_then(|trace| equal(bytes, &whole, &trace))
            .map_err(|f| f.within(format!("reads that end at {cuts:?}")))?;
    }
    rewrite::ids(set, cx, sample, bytes, &whole, rewrite::Demand::Gentle)?;
    if sample.from == From::Client {
        refused(set, cx, bytes, &whole)?;
    }
    Ok(())
}

/// Faults are told to the client before the connection is closed or goes on.
pub(super) fn refused<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    bytes: &[u8],
    whole: &Trace<C::Tag>,
) -> Result<(), Failure> {
    for event in &whole.events {
        let (meta, fault, at) = match *event {
            Event::Reject { at, meta, fault } => (meta, fault, at),
            Event::Fault { at, fault } => (Meta::default(), fault, at),
            Event::Frame { .. } => continue,
        };
        let mut peer = set.end(cx, From::Client);
        peer.feed_whole(&bytes[..at])?;
        let tag = C::Tag::default();
        let answer =
            Answer::Error { outcome: fault.outcome, reason: fault.reason, text: fault.text };
        let mut out = Vec::new();
        let written = guard("answer", || {
            let question = Question::new(&meta, tag);
            set.codec.answer(&mut peer.conn, &question, &answer, &mut out)
        });
        // A protocol without a word for it may close the connection instead.
        let written = written.map_err(|(rule, why)| Failure::new(rule, bytes, at, why))?;
        if written.is_ok() && !out.is_empty() {
            let client = set.client(cx, &peer.conn, &meta);
            answers::one_reply(set, client, Rule::Answer, (&meta, tag), &out)
                .map_err(|failure| failure.within(format!("the answer to {event:?}")))?;
        }
    }
    Ok(())
}

/// One small change, of the kinds that find mistakes in length fields, numbers and ends.
fn damage(random: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    const EXTREMES: [&[u8]; 10] = [
        &[0xff; 4],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0; 4],
        &[0xff; 2],
        &[0xff; 8],
        b"-1",
        b"99999999999999999999",
        b"2147483648",
        b"\r\n",
        b"\n",
    ];
    let at = random.usize(..=bytes.len());
    let until = (at + random.usize(..16)).min(bytes.len());
    match random.u8(..8) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, random.u8(..)),
        2 => drop(bytes.drain(at..until)),
        3 => bytes.extend_from_within(at..until),
        4 => {
            let copy = bytes[at..until].to_vec();
            let to = random.usize(..=bytes.len());
            bytes.splice(to..to, copy);
        }
        5 => {
            let extreme = EXTREMES[random.usize(..EXTREMES.len())];
            let end = (at + extreme.len()).min(bytes.len());
            bytes.splice(at..end, extreme.iter().copied());
        }
        6 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.u8(..8);
            }
        }
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.u8(..);
            }
        }
    }
}
