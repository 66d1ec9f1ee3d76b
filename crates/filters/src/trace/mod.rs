//! `trace`: a request's place in a distributed trace, and a span for it if the trace is sampled.
//!
//! Reads the W3C's headers, has itself put in between, and hands a span over when the request is
//! over. Spans are encoded and sent by the feed's reader, on its thread.

mod context;
mod otlp;

use std::sync::Arc;

use heptad_core::{
    Attr, End, Feed, FeedWriter, Filter, FilterWorker, HeaderEdit, OptionsError, Repeats, Request,
    Time, Value, Verdict, Want, units::Size,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    access_log::{buffer, count},
    record::{Slots, put_end, put_value},
    sample::{Sample, percent},
};
use context::Context;
use otlp::{ATTRS, Spans, put_head};

/// What performs the feed.
pub const OTLP: &str = "otlp";

/// Options of `trace`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct TraceOptions {
    /// The address of a collector, to which spans are sent by OTLP over HTTP:
    /// `http://127.0.0.1:4318`. Unless told: no spans are made.
    pub otlp: Option<String>,
    /// How many traces that begin here are sampled, per cent. Unless told: all. A trace that began
    /// elsewhere is sampled if it was there.
    pub sample: Option<f64>,
    /// `service.name` of the spans. Unless told: heptad.
    pub service_name: Option<String>,
    /// Whether requests are sent on with the trace context. Unless told: yes.
    pub propagate: Option<bool>,
    /// How many bytes of spans may wait for the collector, for each worker. Unless told: 1MiB.
    pub buffer: Option<Size>,
}

/// The filter: keeps traces together, and makes a span for each request of those sampled.
#[derive(Debug)]
pub struct Trace {
    plan: Arc<Plan>,
    feed: Option<Arc<Feed>>,
}

#[derive(Debug)]
struct Plan {
    sample: f64,
    propagate: bool,
    parent: Attr,
    state: Attr,
    attrs: Vec<Attr>,
}

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

impl Trace {
    /// The filter of these options.
    pub fn new(options: &TraceOptions) -> Result<Self, OptionsError> {
        let sample = percent("sample", options.sample)?;
        let buffer = buffer("buffer", options.buffer)?;
        let name = options.service_name.as_deref().unwrap_or("heptad");
        let feed = match options.otlp.as_deref() {
            None => None,
            Some(to) if !to.starts_with("http://") => {
                let why = "the address of a collector, without TLS: `http://127.0.0.1:4318`";
                return Err(OptionsError::new("otlp", why));
            }
            Some(to) => Some(Feed::new(OTLP, to, buffer, Spans::new(name))),
        };
        let attrs = ATTRS.iter().filter_map(|name| name.parse().ok()).collect();
        let plan = Plan {
            sample,
            propagate: options.propagate.unwrap_or(true),
            parent: Attr::Header(PARENT.into()),
            state: Attr::Header(STATE.into()),
            attrs,
        };
        Ok(Self { plan: Arc::new(plan), feed })
    }
}

impl Filter for Trace {
    fn name(&self) -> &str {
        "trace"
    }

    fn worker(&self, seed: u64) -> Box<dyn FilterWorker> {
        Box::new(Worker {
            plan: self.plan.clone(),
            feed: self.feed.as_ref().map(Feed::writer),
            slots: Slots::default(),
            sample: Sample::new(self.plan.sample, seed),
            repeats: Repeats::No,
        })
    }

    fn want(&self) -> Want {
        let mut want = Want::default();
        (want.headers, want.edits) = (true, self.plan.propagate);
        want
    }

    fn explain(&self, request: &mut dyn Request) -> String {
        let sample = self.plan.sample;
        match parent(request, &self.plan.parent) {
            Ok(Some(Context { sampled: true, .. })) => "goes on with a sampled trace".to_owned(),
            Ok(Some(_)) => "goes on with a trace that is not sampled".to_owned(),
            _ => format!("begins a trace, of which {sample} per cent are sampled"),
        }
    }

    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        if let Some(feed) = &self.feed {
            count(feed, each);
        }
    }

    fn feed(&self) -> Option<&Arc<Feed>> {
        self.feed.as_ref()
    }
}

struct Worker {
    plan: Arc<Plan>,
    feed: Option<FeedWriter>,
    slots: Slots<Vec<u8>>,
    sample: Sample,
    /// `Always` where requests cannot carry a context: then chance alone decides.
    repeats: Repeats,
}

/// The header cannot be read, and so it is not known what would be replaced.
struct Unreadable;

/// The context that a request came with.
fn parent(request: &mut dyn Request, header: &Attr) -> Result<Option<Context>, Unreadable> {
    match request.attr(header) {
        Ok(Some(Value::Bytes(bytes))) => Ok(Context::parse(bytes)),
        Ok(_) => Ok(None),
        Err(_) => Err(Unreadable),
    }
}

impl Worker {
    fn begin(&mut self, sampled: bool) -> Context {
        // An id of zeros is none.
        let trace = self.sample.rng.u128(1..).to_be_bytes();
        Context { trace, span: [0; 8], sampled }
    }
}

impl FilterWorker for Worker {
    fn request(&mut self, _: Time, request: &mut dyn Request, scratch: &mut u64) -> Verdict {
        let headers = request.headers();
        self.repeats = if headers { Repeats::No } else { Repeats::Always };
        let found = if headers { parent(request, &self.plan.parent) } else { Ok(None) };
        let propagates = self.plan.propagate && headers && found.is_ok();
        let from = found.ok().flatten();
        let sampled = from.map_or_else(|| self.sample.has_this(), |from| from.sampled);
        let records = sampled && self.feed.is_some();
        if !records && (from.is_some() || !propagates) {
            // There will be no span in between, so nothing is put in between; and a trace that
            // nobody is told of need not begin.
            return Verdict::Pass;
        }
        let mut own = from.unwrap_or_else(|| self.begin(sampled));
        own.span = self.sample.rng.u64(1..).to_be_bytes();
        if records && let Some((slot, record)) = self.slots.take() {
            record.clear();
            let state = match request.attr(&self.plan.state) {
                Ok(Some(Value::Bytes(state))) if from.is_some() => state,
                _ => &[],
            };
            put_head(record, &own, from.as_ref().map(|from| &from.span), state);
            for attr in &self.plan.attrs {
                put_value(record, request.attr(attr));
            }
            *scratch = u64::from(slot) + 1;
        }
        if propagates {
            request.edit(HeaderEdit::Set { name: PARENT.into(), value: own.header() });
            // What vendors say of another trace is not true of a new one.
            if from.is_none() && !matches!(request.attr(&self.plan.state), Ok(None)) {
                request.edit(HeaderEdit::Remove { name: STATE.into() });
            }
        }
        Verdict::Pass
    }

    fn repeats(&self) -> Repeats {
        self.repeats
    }

    fn repeated(&mut self) -> bool {
        self.feed.is_none() || !self.sample.has_next()
    }

    fn done(&mut self, now: Time, end: &End<'_>, scratch: u64) {
        let Some(slot) = (scratch as u32).checked_sub(1) else {
            return;
        };
        if let (Some(record), Some(feed)) = (self.slots.get(slot), &mut self.feed) {
            put_end(record, now, end);
            // What has no room is counted there.
            let _ = feed.push(record);
        }
        self.slots.give(slot);
    }
}
