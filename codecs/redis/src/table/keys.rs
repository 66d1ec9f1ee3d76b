//! Which arguments are keys: the table's key specifications applied to a request, and where they do
//! not say enough, the words that redis-server looks at itself.

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
    /// The command may touch keys that are not among these.
    pub(crate) open: bool,
}

/// The keys of a request with `argc` arguments; `first` is the number of the argument that the
/// specification counts as argument 0 (the name).
pub(crate) fn key_args<'a>(entry: &Entry, frame: &'a [u8], argc: u32) -> KeyArgs<'a> {
    let mut ranges = Ranges::default();
    let mut used = 0;
    let mut open = entry.open;
    let mut add = |range| {
        if let Some(slot) = ranges.get_mut(used) {
            *slot = range;
            used += 1;
        }
    };
    for spec in entry.keys {
        match (range(spec, frame, argc), spec) {
            (Some(range), _) => add(range),
            // Options, of which the words below know more.
            (None, Keys::Unknown | Keys::Range { begin: Begin::Word(..), .. }) => {}
            // What is counted or must be there is not, or is counted in a way not known here.
            (None, _) => open = true,
        }
    }
    if let Some(options) = options(&entry.name, frame) {
        open |= options.patterns;
        if let Some(at) = options.store {
            add((at, at, 1));
        }
    }
    let last = ranges.iter().map(|r| r.1).max().unwrap_or(0);
    let skip_empty = &*entry.name == "MIGRATE";
    if skip_empty && last == 3 {
        // An empty key means those behind `KEYS`, which was not found.
        open |= Args::of(frame).nth(3).is_some_and(|key| key.text.is_empty());
    }
    KeyArgs {
        args: Args::of(frame),
        at: 0,
        last,
        ranges,
        skip_empty,
        // A command that takes keys was given none that are known of.
        open: open || (last == 0 && !entry.keys.is_empty()),
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
        // A value of another option may be the word: options are read as the server reads them.
        Begin::Word("STREAMS", _) => behind(frame, 1, "STREAMS", STREAM_OPTIONS),
        Begin::Word("KEYS", _) => behind(frame, 6, "KEYS", MIGRATE_OPTIONS),
        Begin::Word(..) => None,
    }
    .filter(|at| *at < argc)
}

/// Options in front of the keys of `XREAD` and `XREADGROUP`, and how many values they have.
const STREAM_OPTIONS: &[(&str, usize)] =
    &[("COUNT", 1), ("BLOCK", 1), ("GROUP", 2), ("NOACK", 0), ("CLAIM", 1)];

/// Options in front of the keys of `MIGRATE`.
const MIGRATE_OPTIONS: &[(&str, usize)] = &[("COPY", 0), ("REPLACE", 0), ("AUTH", 1), ("AUTH2", 2)];

/// The number of the argument behind a word, in front of which only these options may stand, from
/// this argument on.
fn behind(frame: &[u8], from: usize, word: &str, options: &[(&str, usize)]) -> Option<u32> {
    let mut args = Args::of(frame).zip(0_u32..).skip(from);
    while let Some((arg, at)) = args.next() {
        if is(&arg, word) {
            return Some(at + 1);
        }
        let (_, values) = options.iter().find(|(name, _)| is(&arg, name))?;
        if *values > 0 {
            args.nth(values - 1);
        }
    }
    None
}

/// What the options of a command say of keys.
#[derive(Clone, Copy, Debug, Default)]
struct Stored {
    /// The number of the key that the result is written to: the last one that is named counts.
    store: Option<u32>,
    /// Keys are made from patterns and values.
    patterns: bool,
}

/// The options of commands that may name a key anywhere among them.
fn options(name: &str, frame: &[u8]) -> Option<Stored> {
    let (first, sort) = match name {
        "SORT" | "SORT_RO" => (2, true),
        "GEORADIUS" => (6, false),
        "GEORADIUSBYMEMBER" => (5, false),
        _ => return None,
    };
    let mut args = Args::of(frame).zip(0_u32..).skip(first);
    let mut found = Stored::default();
    while let Some((arg, _)) = args.next() {
        if is(&arg, "STORE") || (!sort && is(&arg, "STOREDIST")) {
            found.store = args.next().map(|(_, at)| at).or(found.store);
        } else if sort && is(&arg, "LIMIT") {
            args.nth(1);
        } else if sort && (is(&arg, "GET") || is(&arg, "BY")) {
            found.patterns = true;
            args.next();
        } else if !sort && is(&arg, "COUNT") {
            args.next();
        }
    }
    Some(found)
}

fn is(arg: &Arg<'_>, word: &str) -> bool {
    arg.text.eq_ignore_ascii_case(word.as_bytes())
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
        assert_eq!(keys(line).0, expect, "{line}");
    }

    /// Whether rules on keys can rely on them.
    #[track_caller]
    fn check_open(line: &str, open: bool) {
        assert_eq!(keys(line).1, open, "{line}");
    }

    fn keys(line: &str) -> (Vec<String>, bool) {
        let table = Table::new([]).expect("well formed");
        let frame = format!("{line}\r\n").into_bytes();
        let args: Vec<_> = Args::of(&frame).map(|a| a.text.into_owned()).collect();
        let mut index = table.find(&args[0]);
        if let Some(sub) = args.get(1).and_then(|s| table.find_sub(index, s)) {
            index = sub;
        }
        let keys = key_args(table.entry(index), &frame, args.len() as u32);
        let open = keys.open;
        (keys.map(|(_, a)| String::from_utf8_lossy(&a.text).into_owned()).collect(), open)
    }

    #[test]
    fn words_are_no_keywords_where_they_are_values() {
        check("xreadgroup count 1 group streams c streams s 0", &["s"]);
        check("xreadgroup group g streams streams s 0", &["s"]);
        check("xread count 1 strange streams s 0", &[]);
        check("georadius g 1 2 3 m store a store b", &["g", "b"]);
        check("georadius g 1 2 3 m store storedist storedist b", &["g", "b"]);
        check("georadius g 1 2 3 m count store store b", &["g", "b"]);
        check("georadiusbymember g m 3 m storedist b", &["g", "b"]);
        check("migrate h 1 \"\" 0 5 keys a keys b", &["a", "keys", "b"]);
        check("migrate h 1 \"\" 0 5 auth2 keys keys copy keys a", &["a"]);
        check("sort a store by", &["a", "by"]);
    }

    #[test]
    fn keys_that_cannot_be_known_are_said_to_be_so() {
        for line in [
            "get a",
            "mset a 1 b 2",
            "zunionstore d 2 a b",
            "sort a limit 0 1 store d",
            "sort_ro a desc",
            "xread streams a 0",
            "xreadgroup group g c streams a >",
            "migrate h 1 \"\" 0 5 keys a",
            "migrate h 1 k 0 5",
            "georadius g 1 2 3 m",
            "object encoding a",
            "memory usage a",
            "json.get a",
            "ping",
            "info",
            "config get x",
            "exec",
            "client tracking on",
        ] {
            check_open(line, false);
        }
        for line in [
            "eval s 0",
            "eval s 1 a",
            "EVALSHA s 1 a",
            "eval_ro s 1 a",
            "evalsha_ro s 1 a",
            "fcall f 1 a",
            "fcall_ro f 1 a",
            "sort a by w_*",
            "sort a get # get w_*",
            "sort_ro a limit 0 1 by nosort",
            "zunionstore d 99999999999 a b",
            "zunion x a b",
            "xread count 1 strange streams s 0",
            "migrate h 1 \"\" 0 5 strange keys a",
            "nosuch a",
            "mymodule.get a",
            "ft.search idx x",
            "object nosuch a",
            "memory",
            "debug object a",
            "keys *",
            "scan 0",
            "randomkey",
            "flushall",
            "flushdb",
            "swapdb 0 1",
            "monitor",
            "cluster getkeysinslot 0 10",
        ] {
            check_open(line, true);
        }
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
