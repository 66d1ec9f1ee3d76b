//! `access_log`: a line for each request, to a file or a standard stream.
//!
//! A worker makes the line, in buffers that it uses again, and hands it over when the request is
//! over; making it at once costs less than to hand over what it is made of. The feed's reader, on
//! its thread, sets the time and writes it.

mod format;
mod line;

use std::sync::Arc;

use heptad_core::{
    End, Feed, FeedWriter, Filter, FilterWorker, OptionsError, Outcome, Repeats, Request, Time,
    Verdict, Want,
    units::{Period, Size},
};
use heptad_route::{Expr, MAX_DEPTH, Match, Tri};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    record::Slots,
    sample::{Sample, percent},
};
use format::{BadFormat, Format};
use line::{Begun, Lines};

/// What performs the feed.
pub const FILE: &str = "file";

/// Conditions of `only` at most: each is a bit of what a filter may remember.
const MAX_CONDITIONS: usize = 32;

/// Options of `access_log`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AccessLogOptions {
    /// Where to: a file's path, `stdout` or `stderr`.
    pub path: String,
    /// `json`, or text in which names between braces stand for values. Unless told: json.
    pub format: Option<String>,
    /// The values that a line of json has; unless told: all but headers, arguments and
    /// `destination.port`.
    pub fields: Vec<String>,
    /// Which requests: those for which at least one of these conditions holds. None: all.
    pub only: Vec<Only>,
    /// How many of them, per cent. Unless told: all.
    pub sample: Option<f64>,
    /// How many bytes of records may wait for the writer, for each worker. Unless told: 1MiB.
    pub buffer: Option<Size>,
}

/// A condition on a request that is over; everything that is given must hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Only {
    /// It ended in one of these; `error` is every outcome but `ok`.
    pub outcomes: Vec<String>,
    /// It took longer than this.
    pub slower_than: Option<Period>,
    /// It matches, or it cannot be told whether it does.
    #[serde(rename = "match")]
    pub matches: Match,
}

/// The filter: writes a line for each request.
#[derive(Debug)]
pub struct AccessLog {
    plan: Arc<Plan>,
    feed: Arc<Feed>,
}

/// What all workers do.
#[derive(Debug)]
struct Plan {
    format: Arc<Format>,
    only: Vec<Condition>,
    /// Per cent.
    sample: f64,
}

#[derive(Debug)]
struct Condition {
    expr: Expr,
    /// A bit for each outcome.
    outcomes: u32,
    slower_than: Option<Period>,
}

impl AccessLog {
    /// The filter of these options.
    pub fn new(options: &AccessLogOptions) -> Result<Self, OptionsError> {
        if options.path.is_empty() {
            let message = "say where to: a file's path, `stdout` or `stderr`";
            return Err(OptionsError::new("path", message));
        }
        let format = match options.format.as_deref() {
            None | Some("json") => {
                Format::json(&options.fields).map_err(|BadFormat(at, why)| {
                    let at = at.map_or_else(|| "fields".to_owned(), |at| format!("fields.{at}"));
                    OptionsError::new(at, why)
                })?
            }
            Some(_) if !options.fields.is_empty() => {
                let why = "only json has fields: a text names its values itself";
                return Err(OptionsError::new("fields", why));
            }
            Some(template) => Format::text(template)
                .map_err(|error| OptionsError::new("format", error.to_string()))?,
        };
        let sample = percent("sample", options.sample)?;
        if options.only.len() > MAX_CONDITIONS {
            return Err(OptionsError::new("only", format!("more than {MAX_CONDITIONS}")));
        }
        let only = options.only.iter().enumerate();
        let only = only.map(|(at, only)| condition(at, only)).collect::<Result<_, _>>()?;
        let buffer = buffer("buffer", options.buffer)?;
        let format = Arc::new(format);
        let feed = Feed::new(FILE, options.path.as_str(), buffer, format.clone());
        Ok(Self { plan: Arc::new(Plan { format, only, sample }), feed })
    }
}

/// Bytes of a ring.
pub(crate) fn buffer(option: &str, value: Option<Size>) -> Result<usize, OptionsError> {
    const BUFFERS: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 30;
    let bytes = value.map_or(1 << 20, |size| size.0);
    if BUFFERS.contains(&bytes) {
        return Ok(usize::try_from(bytes).unwrap_or(1 << 20));
    }
    Err(OptionsError::new(option, "64KiB to 1GiB"))
}

fn condition(at: usize, only: &Only) -> Result<Condition, OptionsError> {
    let Only { outcomes, slower_than, matches } = only;
    let mut bits = 0_u32;
    for (n, word) in outcomes.iter().enumerate() {
        bits |= match Outcome::ALL.iter().find(|outcome| outcome.as_str() == word) {
            Some(outcome) => 1 << *outcome as u32,
            None if word == "error" => !(1 << Outcome::Ok as u32),
            None => {
                let words: Vec<_> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
                let why = format!("no outcome is called {word}: error, {}", words.join(", "));
                return Err(OptionsError::new(format!("only.{at}.outcomes.{n}"), why));
            }
        };
    }
    if matches.0.depth() > MAX_DEPTH {
        let why = format!("nested deeper than {MAX_DEPTH} levels");
        return Err(OptionsError::new(format!("only.{at}.match"), why));
    }
    Ok(Condition {
        expr: matches.0.clone(),
        outcomes: if outcomes.is_empty() { u32::MAX } else { bits },
        slower_than: *slower_than,
    })
}

impl Plan {
    /// Which conditions the request itself does not rule out, a bit for each; none if it will not
    /// be written.
    fn wanted(&self, request: &mut dyn Request) -> u32 {
        if self.only.is_empty() {
            return 1;
        }
        let mut bits = 0;
        for (at, condition) in self.only.iter().enumerate() {
            if condition.expr.eval(request) != Tri::False {
                bits |= 1 << at;
            }
        }
        bits
    }

    /// Whether one of these conditions holds, now that the request is over.
    fn holds(&self, bits: u32, now: Time, end: &End<'_>) -> bool {
        if self.only.is_empty() {
            return true;
        }
        self.only.iter().enumerate().any(|(at, condition)| {
            bits & (1 << at) != 0
                && condition.outcomes & (1 << end.outcome as u32) != 0
                && condition.slower_than.is_none_or(|most| now - end.started > most.0)
        })
    }
}

impl Filter for AccessLog {
    fn name(&self) -> &str {
        "access_log"
    }

    fn worker(&self, seed: u64) -> Box<dyn FilterWorker> {
        Box::new(Worker {
            lines: Lines::new(self.plan.format.clone()),
            plan: self.plan.clone(),
            feed: self.feed.writer(),
            slots: Slots::default(),
            sample: Sample::new(self.plan.sample, seed),
        })
    }

    fn want(&self) -> Want {
        let mut want = Want::default();
        self.plan.format.attrs().for_each(|attr| want |= attr.want());
        for condition in &self.plan.only {
            condition.expr.attrs(&mut |attr| want |= attr.want());
        }
        want
    }

    fn explain(&self, request: &mut dyn Request) -> String {
        let target = self.feed.target();
        match self.plan.wanted(request) {
            0 => "writes no line: no condition of `only` can hold".to_owned(),
            _ if self.plan.only.is_empty() => {
                format!("writes {} per cent of these to {target}", self.plan.sample)
            }
            bits => {
                let numbers = (0..MAX_CONDITIONS).filter(|at| bits & (1 << at) != 0);
                let numbers: Vec<String> = numbers.map(|at| at.to_string()).collect();
                format!(
                    "writes {} per cent of these to {target} if they end as only.{} says",
                    self.plan.sample,
                    numbers.join(" or only.")
                )
            }
        }
    }

    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        count(&self.feed, each);
    }

    fn feed(&self) -> Option<&Arc<Feed>> {
        Some(&self.feed)
    }
}

/// What is counted of every feed.
pub(crate) fn count(feed: &Feed, each: &mut dyn FnMut(&str, u64)) {
    each("recorded", feed.recorded());
    each("dropped", feed.dropped());
    each("failed", feed.failed());
}

struct Worker {
    plan: Arc<Plan>,
    lines: Lines,
    feed: FeedWriter,
    slots: Slots<Begun>,
    sample: Sample,
}

impl FilterWorker for Worker {
    fn request(&mut self, _: Time, request: &mut dyn Request, scratch: &mut u64) -> Verdict {
        if !self.sample.has_this() {
            return Verdict::Pass;
        }
        let bits = self.plan.wanted(request);
        if bits != 0
            && let Some((slot, begun)) = self.slots.take()
        {
            self.lines.begin(request, begun);
            // The buffer's number, from 1, and the conditions.
            *scratch = u64::from(bits) << 32 | (u64::from(slot) + 1);
        }
        Verdict::Pass
    }

    /// Where not all requests are of interest, one that was not drawn is like any other.
    fn repeats(&self) -> Repeats {
        if self.sample.is_all() { Repeats::No } else { Repeats::Always }
    }

    fn repeated(&mut self) -> bool {
        !self.sample.has_next()
    }

    fn done(&mut self, now: Time, end: &End<'_>, scratch: u64) {
        let bits = (scratch >> 32) as u32;
        let Some(slot) = (scratch as u32).checked_sub(1) else {
            return;
        };
        if self.plan.holds(bits, now, end)
            && let Some(begun) = self.slots.get(slot)
        {
            // What has no room is counted there.
            let _ = self.feed.push(self.lines.end(now, end, begun));
        }
        self.slots.give(slot);
    }
}
