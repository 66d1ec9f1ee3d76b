//! Work that grows with the input and no faster: a peer that sends byte by byte must not make the
//! decoder read the same bytes over and over.
//!
//! A decoder's own instructions cannot be counted from outside, but whether it reads a byte can be
//! found out: where other bytes in the same place make it say something else, it has looked. So the
//! bytes offered are summed up first, which is all that a decoder *could* scan; only where that is
//! too much, some calls are made again with what was offered before spoilt, here and there.

use heptad_core::{Codec, Ctx, Step};

use super::{
    Conformance, Failure, Rule, Sample, Trace,
    feed::{Call, Peer},
};

/// How often a byte may be scanned, all in all, and what is free. A decoder may look at the fixed
/// part of a head, or a short name in it, with each call.
const TIMES: usize = 32;
const FREE: usize = 2048;
/// Length of what is sent that never becomes a frame, and of the reads in which it comes.
const HOSTILE: usize = 32 << 10;
pub(super) const READ: usize = 61;
/// At how many places a call is tried, and how many bytes are spoilt there.
const PLACES: usize = 8;
const SPOILT: usize = 4;

pub(super) fn check<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    sample: &Sample,
    _: &Trace<C::Tag>,
) -> Result<(), Failure> {
    let mut random = fastrand::Rng::with_seed(set.seed ^ 0x6c69_6e65);
    scan(set, cx, sample, &sample.bytes, 1)?;
    for filler in [b"a".as_slice(), b"0", b"\0", b"\xff", b"( ", b"1\r\n", b"\x01\0\0\0"] {
        let cut = random.usize(..sample.bytes.len());
        let rest = filler.iter().copied().cycle().take(HOSTILE);
        let bytes: Vec<u8> = sample.bytes[..cut].iter().copied().chain(rest).collect();
        let name = format!("the first {cut} bytes and then '{}'", filler.escape_ascii());
        scan(set, cx, sample, &bytes, READ).map_err(|failure| failure.within(name))?;
    }
    Ok(())
}

pub(super) fn scan<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    sample: &Sample,
    bytes: &[u8],
    read: usize,
) -> Result<(), Failure> {
    let mut peer = set.peer(cx, sample)?;
    peer.feed(bytes, cuts(bytes.len(), read))?;
    let calls = peer.calls;
    let offered: usize = calls.iter().map(|call| call.seen - call.at).sum();
    let budget = TIMES * bytes.len() + FREE;
    if offered <= budget {
        return Ok(());
    }
    // Calls that follow another one for the same frame, the most expensive ones last.
    let mut again: Vec<(Call, Call)> = calls
        .windows(2)
        .filter_map(|pair| match *pair {
            [before, call] if before.at == call.at && call.waits => Some((before, call)),
            _ => None,
        })
        .collect();
    again.sort_by_key(|(_, call)| call.seen - call.at);
    // A late one tells, and one from the middle confirms it. The last may say what it says anyhow.
    let mut scanned = 0;
    for place in [again.len() * 7 / 8, again.len() / 2] {
        let Some(&(before, call)) = again.get(place) else {
            return Ok(());
        };
        let Some(share) = share(set, cx, sample, bytes, (before, call), read)? else {
            return Ok(());
        };
        scanned = bytes.len() + (offered as f64 * share) as usize;
        if scanned <= budget {
            return Ok(());
        }
    }
    let (_, last) = again.last().copied().unwrap_or((calls[0], calls[0]));
    let (bytes_sent, calls) = (bytes.len(), calls.len());
    let detail =
        format!("{bytes_sent} bytes in reads of {read}: {calls} calls scan some {scanned} bytes");
    Err(Failure::new(Rule::Linear, bytes, last.at, detail))
}

/// Reads of `read` bytes each.
fn cuts(len: usize, read: usize) -> impl Iterator<Item = usize> {
    (0..len).step_by(read).map(move |at| len.min(at + read))
}

/// Which part of the bytes that were offered before is read again by a call that waits for more. One
/// that ends its frame may look back once.
fn share<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    sample: &Sample,
    bytes: &[u8],
    (before, call): (Call, Call),
    read: usize,
) -> Result<Option<f64>, Failure> {
    let old = before.seen - before.at;
    let offered = &bytes[call.at..call.seen];
    let says = |offered: &[u8]| -> Result<Option<String>, Failure> {
        let mut peer: Peer<'_, C> = set.peer(cx, sample)?;
        peer.feed(&bytes[..before.seen], cuts(before.seen, read))?;
        // Bytes that change under a decoder may confuse it: what it says then is not judged.
        Ok(match peer.step(offered) {
            Ok(Ok(Step::Need(n))) => Some(format!("{n}")),
            _ => None,
        })
    };
    let Some(expected) = says(offered)? else {
        return Ok(None);
    };
    let mut looked = 0;
    for place in 0..PLACES {
        let start = old * (2 * place + 1) / (2 * PLACES);
        let range = start..old.min(start + SPOILT);
        for poison in [b"\0".as_slice(), b"\xff", b"\n", b"\r\n", b"\"", b"0", b"\x80\x01"] {
            let mut spoilt = offered.to_vec();
            let fill = poison.iter().copied().cycle();
            spoilt[range.clone()].iter_mut().zip(fill).for_each(|(byte, other)| *byte = other);
            if says(&spoilt)?.as_ref() != Some(&expected) {
                looked += 1;
                break;
            }
        }
    }
    Ok(Some(f64::from(looked) / PLACES as f64))
}
