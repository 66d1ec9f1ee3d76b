//! The bodies of a codec's fuzz targets, as functions that anybody can call: a fuzzer with bytes of
//! its own, and ordinary tests with those that were kept.
//!
//! An input says who sent it and how it is to be read, so that one corpus serves all three targets:
//!
//! ```text
//! u8 control | from a server: u16 n, n bytes that were asked | bytes
//!
//! control: 1 from a server, 2 rules want everything, 4 small limits; the rest varies the cuts
//! ```

use std::{fs, path::Path};

use heptad_core::{Codec, Ctx, Kind, Want};

use super::{
    Conformance, Failure, From, Rule, Sample, Trace, answers,
    chunks::{equal, random_cuts},
    feed::guard,
    garbage, greet, linear, parts, rewrite, template,
};

/// Bits of an input's first byte.
pub mod control {
    /// The bytes come from a server.
    pub const SERVER: u8 = 1;
    /// Rules want whatever there is.
    pub const WANT: u8 = 2;
    /// Frames, heads, parts and depth have small limits.
    pub const SMALL: u8 = 4;
}

/// Longest input that is looked at; longer ones say nothing new and take their time.
const LONGEST: usize = 16 << 10;

/// Frames of an input that are answered and rewritten: each is tried on a connection that has read
/// all that came before it.
const FRAMES: usize = 8;

/// So many of the frames, from the first to the last.
pub(super) fn spread<T>(all: &[T]) -> impl Iterator<Item = &T> {
    all.iter().step_by(all.len().div_ceil(FRAMES).max(1))
}

/// What a fuzz target does with an input.
pub type Target<C> = fn(&Conformance<C>, &[u8]);

/// The three targets of a codec, by name.
pub fn targets<C: Codec>() -> [(&'static str, Target<C>); 3] {
    [("decode", decode), ("chunks", chunks), ("rewrite", rewrite)]
}

/// Reads the input: no panic, progress or a fault, limits hold, attributes can be asked, and what is
/// refused or asked for can be answered.
///
/// # Panics
/// When a rule is broken.
pub fn decode<C: Codec>(set: &Conformance<C>, data: &[u8]) {
    run(set, data, |input| {
        let whole = set.peer(input.cx, &input.sample)?.feed_whole(&input.sample.bytes)?;
        if input.control & control::SMALL != 0 {
            return Ok(()); // An answer may be longer than those limits.
        }
        match input.sample.from {
            From::Client => garbage::refused(set, input.cx, &input.sample.bytes, &whole)?,
            From::Server => settled(set, &input, &whole)?,
        }
        answers::some(set, input.cx, &input.sample, &whole, input.control)?;
        answers::connection(set, input.cx)?;
        greet::check(set, input.cx)
    });
}

/// The replies of a server come to the session that asked.
fn settled<C: Codec>(
    set: &Conformance<C>,
    input: &Input,
    whole: &Trace<C::Tag>,
) -> Result<(), Failure> {
    let mut session = set.end(input.cx, From::Client);
    session.feed_whole(&input.sample.asked)?;
    for (at, meta, tag) in rewrite::frames(whole) {
        let frame = input.sample.bytes.get(at..at + meta.len as usize);
        if let (Kind::Reply, Some(frame)) = (meta.kind, frame) {
            guard("settled", || set.codec.settled(&mut session.conn, tag, &meta, frame))
                .map_err(|(rule, why)| Failure::new(rule, &input.sample.bytes, at, why))?;
        }
    }
    Ok(())
}

/// Reads the input in one piece, byte by byte and in random pieces: the same frames, in linear time.
///
/// # Panics
/// When a rule is broken.
pub fn chunks<C: Codec>(set: &Conformance<C>, data: &[u8]) {
    run(set, data, |Input { control, cx, sample }| {
        let bytes = &sample.bytes;
        let whole = set.peer(cx, &sample)?.feed_whole(bytes)?;
        let mut random = fastrand::Rng::with_seed(control.into());
        for cuts in [(1..=bytes.len()).collect(), random_cuts(&mut random, bytes.len())] {
            let trace = set.peer(cx, &sample)?.feed(bytes, cuts.iter().copied())?;
            equal(bytes, &whole, &trace)
                .map_err(|failure| failure.within(format!("reads that end at {cuts:?}")))?;
        }
        linear::scan(set, cx, &sample, bytes, linear::READ)
    });
}

/// Rewrites every frame of the input: decoded again it says the same, with its new id and headers.
///
/// # Panics
/// When a rule is broken.
pub fn rewrite<C: Codec>(set: &Conformance<C>, data: &[u8]) {
    run(set, data, |Input { cx, sample, .. }| {
        let cx = set.cx.want(cx.want);
        let whole = set.peer(cx, &sample)?.feed_whole(&sample.bytes)?;
        rewrite::ids(set, cx, &sample, &sample.bytes, &whole, rewrite::Demand::Gentle)?;
        if set.headers.is_some() {
            rewrite::some_headers(set, cx, &sample, &whole)?;
        }
        template::check(set, cx, &sample, &whole)?;
        parts::check(set, cx, &sample, &whole)
    });
}

/// Runs the named target, or all three if it is none of them, over every file of a folder; gives
/// how many there were. For ordinary tests over a corpus.
///
/// # Panics
/// When a rule is broken, with the file's name; when the folder cannot be read.
pub fn replay<C: Codec>(set: &Conformance<C>, target: &str, folder: &Path) -> usize {
    let all = targets::<C>();
    let named: Vec<_> = all.iter().filter(|(name, _)| *name == target).collect();
    let chosen = if named.is_empty() { all.iter().collect() } else { named };
    let files = files(folder);
    for (name, bytes) in &files {
        for (target, run) in &chosen {
            let shown = Shown(format!("{target} of {name}"));
            run(set, bytes);
            std::mem::forget(shown);
        }
    }
    files.len()
}

/// The files of a folder in the order of their names.
///
/// # Panics
/// When the folder cannot be read.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |e: std::io::Error| -> ! { panic!("{}: {e}", folder.display()) };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|e| read(e)) {
        let path = entry.unwrap_or_else(|e| read(e)).path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap_or_else(|e| read(e));
            files.push((path.display().to_string(), bytes));
        }
    }
    files.sort();
    files
}

/// An input from a client or, behind what it was asked, from a server.
pub fn input(control: u8, asked: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![control];
    if control & control::SERVER != 0 {
        let asked = asked.get(..usize::from(u16::MAX)).unwrap_or(asked);
        out.extend_from_slice(&(asked.len() as u16).to_be_bytes());
        out.extend_from_slice(asked);
    }
    out.extend_from_slice(bytes);
    out
}

impl<C: Codec> Conformance<C> {
    /// The samples as inputs of fuzz targets: what a corpus begins with.
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        let inputs = |sample: &Sample| {
            let from = if sample.from == From::Server { control::SERVER } else { 0 };
            [0, control::WANT, control::SMALL]
                .map(|how| input(from | how, &sample.asked, &sample.bytes))
        };
        self.samples.iter().flat_map(inputs).collect()
    }

    /// Writes [`Conformance::seeds`] to a folder, under names that say no more than their number.
    pub fn write_seeds(&self, folder: &Path) -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        for (number, bytes) in self.seeds().iter().enumerate() {
            fs::write(folder.join(format!("sample-{number:02}")), bytes)?;
        }
        Ok(())
    }
}

/// An input that was taken apart.
struct Input {
    control: u8,
    cx: Ctx,
    sample: Sample,
}

fn run<C: Codec>(
    set: &Conformance<C>,
    data: &[u8],
    check: impl FnOnce(Input) -> Result<(), Failure>,
) {
    let Some((&control, rest)) = data.get(..data.len().min(LONGEST)).and_then(<[u8]>::split_first)
    else {
        return;
    };
    let (from, asked, bytes) = if control & control::SERVER == 0 {
        (From::Client, &[][..], rest)
    } else {
        let Some((len, rest)) = rest.split_first_chunk::<2>() else {
            return;
        };
        let Some((asked, bytes)) = rest.split_at_checked(u16::from_be_bytes(*len).into()) else {
            return;
        };
        (From::Server, asked, bytes)
    };
    if bytes.is_empty() {
        return;
    }
    let mut cx = set.cx;
    if control & control::SMALL != 0 {
        cx = cx.max_frame(256).max_head(128).max_parts(8).max_depth(4);
    }
    if control & control::WANT != 0 {
        cx = cx.want(Want::EVERYTHING);
    }
    let sample = Sample { from, asked: asked.to_vec(), bytes: bytes.to_vec(), frames: 0 };
    match check(Input { control, cx, sample }) {
        // What was asked is none of this codec's requests: such an input says nothing.
        Err(Failure { rule: Rule::Sample, .. }) | Ok(()) => {}
        Err(failure) => panic!("{}", failure.within(format!("codec {}", C::NAME))),
    }
}

/// Tells on the way of a panic which input it was.
struct Shown(String);

impl Drop for Shown {
    fn drop(&mut self) {
        eprintln!("broken by {}", self.0);
    }
}
