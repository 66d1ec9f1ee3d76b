//! Which arguments are keys: the table's key specifications applied to a request.

use super::{Begin, Entry, Keys};
use crate::args::{Arg, Args};

/// Ranges of argument numbers that are keys: first, last, step.
type Ranges = [(u32, u32, u32); 4];

/// Iterates over the key arguments of a request, in the order they stand there.
#[derive(Clone, Debug)]
pub(crate) struct KeyArgs<'a> {
    args: Args<'a>,
    at: u32,
    last: u32,
    ranges: Ranges,
    /// `MIGRATE` names no key with an empty one in front of `KEYS`.
    skip_empty: bool,
}

/// The keys of a request with `argc` arguments; `first` is the number of the argument that the
/// specification counts as argument 0 (the name).
pub(crate) fn key_args<'a>(entry: &Entry, frame: &'a [u8], argc: u32) -> KeyArgs<'a> {
    let mut ranges = Ranges::default();
    let mut used = 0;
    for spec in entry.keys {
        let range = match spec {
            Keys::Unknown => None,
            spec => range(spec, frame, argc),
        };
        if let (Some(range), Some(slot)) = (range, ranges.get_mut(used)) {
            *slot = range;
            used += 1;
        }
    }
    if &*entry.name == "SORT"
        && let (Some(at), Some(slot)) = (sort_store(frame), ranges.get_mut(used))
    {
        *slot = (at, at, 1);
    }
    KeyArgs {
        args: Args::of(frame),
        at: 0,
        last: ranges.iter().map(|r| r.1).max().unwrap_or(0),
        ranges,
        skip_empty: &*entry.name == "MIGRATE",
    }
}

impl<'a> Iterator for KeyArgs<'a> {
    /// The argument's number, and the argument.
    type Item = (u32, Arg<'a>);

    fn next(&mut self) -> Option<(u32, Arg<'a>)> {
        while self.at <= self.last && self.last > 0 {
            let arg = self.args.next()?;
            let at = self.at;
            self.at += 1;
            let is_key = self.ranges.iter().any(|(first, last, step)| {
                *first > 0 && at >= *first && at <= *last && (at - first).is_multiple_of(*step)
            });
            if is_key && !(self.skip_empty && arg.text.is_empty()) {
                return Some((at, arg));
            }
        }
        None
    }
}

/// The numbers that one specification names; `None` if there are none, or if the request is not
/// well formed (the server will say so).
fn range(spec: &Keys, frame: &[u8], argc: u32) -> Option<(u32, u32, u32)> {
    match *spec {
        Keys::Range { begin, last, step, limit } => {
            let first = start(begin, frame, argc)?;
            let behind = argc.checked_sub(first)?;
            let end = if last >= 0 {
                i64::from(first) + i64::from(last)
            } else if limit <= 1 {
                i64::from(argc) + i64::from(last)
            } else {
                i64::from(first) + i64::from(behind / u32::from(limit)) + i64::from(last)
            };
            let end = u32::try_from(end).ok().filter(|e| *e >= first && *e < argc)?;
            Some((first, end, u32::from(step.max(1))))
        }
        Keys::Count { begin, count, first, step } => {
            let begin = start(begin, frame, argc)?;
            let arg = Args::of(frame).nth((begin + u32::from(count)) as usize)?;
            let n = number(&arg.text)?;
            let step = u32::from(step.max(1));
            let first = begin + u32::from(first);
            let end =
                n.checked_sub(1)?.checked_mul(step)?.checked_add(first).filter(|e| *e < argc)?;
            Some((first, end, step))
        }
        Keys::Unknown => None,
    }
}

fn start(begin: Begin, frame: &[u8], argc: u32) -> Option<u32> {
    match begin {
        Begin::At(at) => Some(u32::from(at)).filter(|at| *at < argc),
        Begin::Word(word, from) => {
            let is = |arg: &Arg<'_>| arg.text.eq_ignore_ascii_case(word.as_bytes());
            let mut args = Args::of(frame).zip(0_u32..);
            let found = if from >= 0 {
                args.find(|(arg, i)| *i >= u32::from(from.unsigned_abs()) && is(arg))
            } else {
                let end = argc.checked_sub(u32::from(from.unsigned_abs()))?;
                args.take_while(|(_, i)| *i <= end).filter(|(arg, i)| *i > 0 && is(arg)).last()
            };
            found.map(|(_, i)| i + 1).filter(|i| *i < argc)
        }
    }
}

/// The number of the argument behind the last `STORE` of a `SORT`, which may stand anywhere behind
/// the key.
fn sort_store(frame: &[u8]) -> Option<u32> {
    let mut args = Args::of(frame).zip(0_u32..).skip(2);
    let mut found = None;
    while let Some((arg, _)) = args.next() {
        let is = |word: &str| arg.text.eq_ignore_ascii_case(word.as_bytes());
        if is("LIMIT") {
            args.nth(1);
        } else if is("GET") || is("BY") {
            args.next();
        } else if is("STORE") {
            found = args.next().map(|(_, i)| i).or(found);
        }
    }
    found
}

/// A number of at most nine digits.
fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    text.iter().try_fold(0_u32, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
}

#[cfg(test)]
mod tests {
    use super::super::Table;
    use super::*;

    fn check(line: &str, expect: &[&str]) {
        let table = Table::new([]).expect("well formed");
        let frame = format!("{line}\r\n").into_bytes();
        let args: Vec<_> = Args::of(&frame).map(|a| a.text.into_owned()).collect();
        let mut index = table.find(&args[0]);
        if let Some(sub) = args.get(1).and_then(|s| table.find_sub(index, s)) {
            index = sub;
        }
        let keys: Vec<_> = key_args(table.entry(index), &frame, args.len() as u32)
            .map(|(_, a)| String::from_utf8_lossy(&a.text).into_owned())
            .collect();
        assert_eq!(keys, expect, "{line}");
    }

    #[test]
    fn keys_are_where_redis_says() {
        check("get a", &["a"]);
        check("get", &[]);
        check("mget a b c", &["a", "b", "c"]);
        check("mset a 1 b 2", &["a", "b"]);
        check("bitop and d a b", &["d", "a", "b"]);
        check("blpop a b 0", &["a", "b"]);
        check("blmpop 0 2 a b left", &["a", "b"]);
        check("eval s 2 a b c", &["a", "b"]);
        check("eval s 0 a", &[]);
        check("eval s 9 a", &[]);
        check("eval s -1 a", &[]);
        check("zunionstore d 2 a b weights 1 2", &["d", "a", "b"]);
        check("zunion 2 a b withscores", &["a", "b"]);
        check("xread count 1 streams a b 0 0", &["a", "b"]);
        check("xread count 1", &[]);
        check("xreadgroup group g c block 5 streams s >", &["s"]);
        check("sort a by w_* get # store d limit 0 1", &["a", "d"]);
        check("sort a by store get store", &["a"]);
        check("sort_ro a by w_*", &["a"]);
        check("migrate h 1 \"\" 0 5 copy keys a b", &["a", "b"]);
        check("migrate h 1 k 0 5 auth keys", &["k"]);
        check("georadius g 1 2 3 m store d", &["g", "d"]);
        check("object encoding a", &["a"]);
        check("memory usage a samples 5", &["a"]);
        check("xgroup create s g $", &["s"]);
        check("xinfo stream s", &["s"]);
        check("ping a", &[]);
        check("lcs a b len", &["a", "b"]);
        check("copy a b", &["a", "b"]);
        check("ssubscribe a b", &["a", "b"]);
        check("hexpire h 10 fields 1 f", &["h"]);
        check("msetex 2 a 1 b 2 ex 5", &["a", "b"]);
    }
}
