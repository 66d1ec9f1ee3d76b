//! One reply out of several endpoints' replies.

use heptad_core::{Fault, Outcome, PartReply, Reason};

use crate::{
    answer::error,
    resp::{head, number},
    scan::Elements,
    table::Merge,
};

/// Merges the replies to the parts of a request.
pub(crate) fn join(
    merge: Merge,
    parts: &[PartReply<'_>],
    out: &mut Vec<u8>,
) -> Result<Outcome, Fault> {
    match merge {
        Merge::OneOk => {
            if let Some(frame) = parts.iter().find_map(success) {
                out.extend_from_slice(frame);
                return Ok(Outcome::Ok);
            }
        }
        Merge::NotNull => {
            let mut good = parts.iter().filter_map(success).peekable();
            let first = good.peek().copied();
            if let Some(frame) = good.find(|f| !is_null(f)).or(first) {
                out.extend_from_slice(frame);
                return Ok(Outcome::Ok);
            }
        }
        _ => {}
    }
    // What fails at one endpoint fails as a whole, with that endpoint's error.
    if let Some(failed) = parts.iter().find(|p| success(p).is_none()) {
        return Ok(match failed.reply {
            Ok((meta, frame)) => {
                out.extend_from_slice(frame);
                meta.outcome
            }
            Err((outcome, reason, text)) => {
                error(out, outcome, reason, text);
                outcome
            }
        });
    }
    let frames = || parts.iter().filter_map(success);
    match merge {
        Merge::AllOk | Merge::OneOk | Merge::NotNull => {
            out.extend_from_slice(frames().next().unwrap_or_default());
        }
        Merge::Sum => fold(frames(), out, i64::saturating_add)?,
        Merge::Min => fold(frames(), out, i64::min)?,
        Merge::Max => fold(frames(), out, i64::max)?,
        Merge::And => fold(frames(), out, |a, b| i64::from(a != 0 && b != 0))?,
        Merge::Or => fold(frames(), out, |a, b| i64::from(a != 0 || b != 0))?,
        Merge::Concat => {
            let lists = frames().map(Elements::of).collect::<Option<Vec<_>>>();
            let lists = lists.ok_or(ODD)?;
            let kind = frames().next().and_then(|f| f.first().copied());
            let total = lists.iter().map(Elements::left).sum();
            head(out, kind.unwrap_or(b'*'), total);
            for list in lists {
                out.extend_from_slice(list.bytes());
            }
        }
        Merge::Values => values(parts, out)?,
    }
    Ok(Outcome::Ok)
}

/// The reply, if it is not an error.
fn success<'a>(part: &PartReply<'a>) -> Option<&'a [u8]> {
    match part.reply {
        Ok((meta, frame)) if meta.outcome == Outcome::Ok => Some(frame),
        _ => None,
    }
}

fn is_null(frame: &[u8]) -> bool {
    matches!(frame, b"$-1\r\n" | b"*-1\r\n" | b"_\r\n")
}

/// Puts each value at its key's place.
fn values(parts: &[PartReply<'_>], out: &mut Vec<u8>) -> Result<(), Fault> {
    let count = parts.iter().map(|p| p.part.picks.len()).sum();
    let mut all: Vec<&[u8]> = vec![b""; count];
    for part in parts {
        let mut list = success(part).and_then(Elements::of).ok_or(ODD)?;
        for pick in part.part.picks {
            let value = list.next().ok_or(ODD)?;
            *all.get_mut(*pick as usize).ok_or(ODD)? = value;
        }
    }
    head(out, b'*', count as u64);
    for value in all {
        out.extend_from_slice(value);
    }
    Ok(())
}

/// Folds numbers, or arrays of numbers element by element.
fn fold<'a>(
    mut frames: impl Iterator<Item = &'a [u8]>,
    out: &mut Vec<u8>,
    f: impl Fn(i64, i64) -> i64,
) -> Result<(), Fault> {
    let first = frames.next().ok_or(ODD)?;
    let Some(list) = Elements::of(first) else {
        let mut total = integer(first)?;
        for frame in frames {
            total = f(total, integer(frame)?);
        }
        number(out, total);
        return Ok(());
    };
    let mut totals = list.map(integer).collect::<Result<Vec<_>, _>>()?;
    for frame in frames {
        let mut list = Elements::of(frame).ok_or(ODD)?;
        for total in &mut totals {
            *total = f(*total, integer(list.next().ok_or(ODD)?)?);
        }
    }
    head(out, b'*', totals.len() as u64);
    for total in totals {
        number(out, total);
    }
    Ok(())
}

fn integer(value: &[u8]) -> Result<i64, Fault> {
    value
        .strip_prefix(b":")
        .and_then(|v| v.strip_suffix(b"\r\n"))
        .and_then(|v| std::str::from_utf8(v).ok())
        .and_then(|v| v.parse().ok())
        .ok_or(ODD)
}

const ODD: Fault =
    Fault::new(Outcome::ProtocolError, Reason::Partial, "the endpoints' replies cannot be merged");

#[cfg(test)]
mod tests {
    use heptad_core::{Meta, Part};

    use super::*;

    fn check(merge: Merge, replies: &[&str], expect: &str) {
        let metas: Vec<Meta> = replies
            .iter()
            .map(|r| {
                let outcome = if r.starts_with('-') { Outcome::AppError } else { Outcome::Ok };
                Meta::reply(r.len(), outcome)
            })
            .collect();
        // Keys go to the endpoints in turn.
        let of = replies.len();
        let picks: Vec<Vec<u32>> =
            (0..of).map(|i| (0..5).filter(|k| *k as usize % of == i).collect()).collect();
        let parts: Vec<_> = replies
            .iter()
            .zip(&metas)
            .enumerate()
            .map(|(i, (r, meta))| {
                let part = Part::new(i, of, &picks[i]);
                let reply = if r.is_empty() {
                    Err((Outcome::Timeout, Reason::Request, "too late"))
                } else {
                    Ok((meta, r.as_bytes()))
                };
                PartReply::new(part, reply)
            })
            .collect();
        let mut out = Vec::new();
        let result = join(merge, &parts, &mut out);
        let said = match result {
            Ok(_) => String::from_utf8_lossy(&out).into_owned(),
            Err(fault) => fault.text.to_owned(),
        };
        assert_eq!(said, expect, "{merge:?} {replies:?}");
    }

    #[test]
    fn replies_are_merged_by_their_policy() {
        use Merge::*;
        check(Sum, &[":1\r\n", ":2\r\n"], ":3\r\n");
        check(Min, &[":1\r\n", ":0\r\n"], ":0\r\n");
        check(Max, &[":1\r\n", ":7\r\n"], ":7\r\n");
        check(Min, &["*2\r\n:1\r\n:5\r\n", "*2\r\n:3\r\n:0\r\n"], "*2\r\n:1\r\n:0\r\n");
        check(And, &["*2\r\n:1\r\n:0\r\n", "*2\r\n:1\r\n:1\r\n"], "*2\r\n:1\r\n:0\r\n");
        check(Or, &[":0\r\n", ":1\r\n"], ":1\r\n");
        check(AllOk, &["+OK\r\n", "+OK\r\n"], "+OK\r\n");
        check(AllOk, &["+OK\r\n", "-ERR no\r\n"], "-ERR no\r\n");
        check(AllOk, &["+OK\r\n", ""], "-ERR heptad: too late\r\n");
        check(OneOk, &["-NOTBUSY x\r\n", "+OK\r\n"], "+OK\r\n");
        check(OneOk, &["-NOTBUSY x\r\n", "-NOTBUSY y\r\n"], "-NOTBUSY x\r\n");
        check(
            Concat,
            &["*1\r\n$1\r\na\r\n", "*0\r\n", "*2\r\n+b\r\n*1\r\n+c\r\n"],
            "*3\r\n$1\r\na\r\n+b\r\n*1\r\n+c\r\n",
        );
        check(Concat, &["~1\r\n+a\r\n", "~1\r\n+b\r\n"], "~2\r\n+a\r\n+b\r\n");
        check(NotNull, &["$-1\r\n", "$1\r\nk\r\n"], "$1\r\nk\r\n");
        check(NotNull, &["_\r\n", "_\r\n"], "_\r\n");
        check(NotNull, &["", "$1\r\nk\r\n"], "$1\r\nk\r\n");
        check(
            Values,
            &["*3\r\n$1\r\na\r\n$-1\r\n$1\r\ne\r\n", "*2\r\n$1\r\nb\r\n$1\r\nd\r\n"],
            "*5\r\n$1\r\na\r\n$1\r\nb\r\n$-1\r\n$1\r\nd\r\n$1\r\ne\r\n",
        );
        check(Values, &["*3\r\n+a\r\n+c\r\n+e\r\n", "-LOADING x\r\n"], "-LOADING x\r\n");
        check(Values, &["*1\r\n+a\r\n", "*2\r\n+b\r\n+d\r\n"], ODD.text);
        check(Sum, &[":1\r\n", "+OK\r\n"], ODD.text);
        check(Sum, &[":1\r\n", "-WRONGTYPE x\r\n", ":2\r\n"], "-WRONGTYPE x\r\n");
    }
}
