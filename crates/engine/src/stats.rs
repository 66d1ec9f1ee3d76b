//! What one engine counted: plain cells of one worker, read when scraped and summed across workers
//! by whoever scrapes.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use foldhash::fast::FixedState;
use heptad_core::{Outcome, Reason, same};

/// Counters and gauges of one engine.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Requests by route and cluster; an index in here is a handle for the hot path.
    pub series: Vec<Series>,
    /// Requests by service and method, bounded by [`Stats::MAX_METHODS`]; the overflow is under
    /// `other`.
    pub methods: Vec<MethodSeries>,
    /// Codes by number used in [`Count::code`]; 0 is the empty code.
    pub codes: Vec<Arc<str>>,
    /// What became of copies.
    pub mirrors: Mirrors,
    /// Sessions that were opened.
    pub sessions_opened: u64,
    /// Sessions open now.
    pub sessions: u64,
    /// Sessions closed by Heptad or broken off for a fault: by outcome and reason.
    pub session_ends: Vec<(Outcome, Reason, u64)>,
    /// Links that were dialed.
    pub links_dialed: u64,
    /// Links open now, including those being dialed.
    pub links: u64,
    /// Links that ended, by why.
    pub link_ends: Vec<(Outcome, Reason, u64)>,
    /// Replies and frames that came for no exchange and were dropped.
    pub late_replies: u64,
    /// Requests sent elsewhere because their reply said so.
    pub redirects: u64,
    /// Pushes that came for no session and were dropped.
    pub pushes_dropped: u64,
    /// Attributes that could not be read when a rule asked for them.
    pub unknown_attributes: u64,
    /// Bytes of requests and replies on the session side.
    pub received_bytes: u64,
    /// Bytes handed out for sessions.
    pub sent_bytes: u64,
    /// Requests waiting for a link now.
    pub waiting: u64,
    /// Requests that were sent to an endpoint and ended.
    pub answered: u64,
    method_index: HashMap<(u64, u64), u32, FixedState>,
    /// Handles of methods that were met last, so that most need no hash.
    near: [u32; NEAR],
    code_index: HashMap<Box<str>, u16, FixedState>,
}

const NEAR: usize = 32;

/// Requests of one route to one cluster.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Series {
    /// The route's name; empty if none matched.
    pub route: Arc<str>,
    /// The cluster's name; empty if none was chosen.
    pub cluster: Arc<str>,
    /// Ends by outcome, reason and code; the first is the plain success.
    pub counts: Vec<Count>,
    /// Time from decoding the request to its end, for requests that were sent to an endpoint.
    pub duration: Histogram,
    /// Requests admitted and not yet settled.
    pub in_flight: u64,
}

impl Series {
    /// So many requests that were sent have ended well after so long.
    #[inline]
    pub(crate) fn succeeded(&mut self, nanos: u64, times: u64) {
        self.in_flight = self.in_flight.saturating_sub(times);
        // The first is the plain success.
        self.counts.iter_mut().take(1).for_each(|c| c.count += times);
        self.duration.record_nanos(nanos, times);
    }
}

/// How often requests ended in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Count {
    /// The outcome.
    pub outcome: Outcome,
    /// Its reason.
    pub reason: Reason,
    /// The protocol's own code, as an index into [`Stats::codes`].
    pub code: u16,
    /// How often.
    pub count: u64,
}

/// Requests of one method.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MethodSeries {
    /// The service; empty if the protocol has none.
    pub service: Arc<str>,
    /// The method.
    pub method: Arc<str>,
    /// Ends by outcome.
    pub outcomes: [u64; Outcome::ALL.len()],
}

impl Stats {
    /// Most services and methods told apart.
    pub const MAX_METHODS: usize = 512;
    /// Most codes told apart.
    pub const MAX_CODES: usize = 256;
    /// Longest code, service or method kept; longer ones count as `other`.
    pub const MAX_NAME: usize = 128;

    pub(crate) fn new() -> Self {
        Self {
            codes: vec![Arc::from("")],
            methods: vec![MethodSeries::new("", "other")],
            ..Self::default()
        }
    }

    /// The handle of a route and cluster.
    pub(crate) fn series(&mut self, route: &Arc<str>, cluster: &Arc<str>) -> u32 {
        let at = self
            .series
            .iter()
            .position(|s| s.route == *route && s.cluster == *cluster)
            .unwrap_or_else(|| {
                self.series.push(Series {
                    route: route.clone(),
                    cluster: cluster.clone(),
                    counts: vec![Count {
                        outcome: Outcome::Ok,
                        reason: Reason::None,
                        code: 0,
                        count: 0,
                    }],
                    duration: Histogram::default(),
                    in_flight: 0,
                });
                self.series.len() - 1
            });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// The handle of a service and method that were met lately, byte for byte these; never that of
    /// the overflow. `guess` is the one that is most likely.
    #[inline(always)]
    pub(crate) fn near(&self, guess: u32, service: &[u8], method: &[u8]) -> Option<u32> {
        if self.is(guess, service, method) {
            return Some(guess);
        }
        self.nearby(service, method)
    }

    #[inline(never)]
    fn nearby(&self, service: &[u8], method: &[u8]) -> Option<u32> {
        let at = *self.near.get(near(service, method))?;
        self.is(at, service, method).then_some(at)
    }

    #[inline(always)]
    fn is(&self, at: u32, service: &[u8], method: &[u8]) -> bool {
        match self.methods.get(at as usize) {
            Some(m) => at != 0 && m.is(service, method),
            None => false,
        }
    }

    /// The handle of a service and method.
    pub(crate) fn method(&mut self, service: &[u8], method: &[u8]) -> u32 {
        use std::hash::BuildHasher;
        if service.len() > Self::MAX_NAME || method.len() > Self::MAX_NAME {
            return 0;
        }
        if let Some(at) = self.nearby(service, method) {
            return at;
        }
        let near = near(service, method);
        let state = FixedState::default();
        let key = (state.hash_one(service), state.hash_one(method));
        if let Some(&at) = self.method_index.get(&key) {
            if let Some(place) = self.near.get_mut(near) {
                *place = at;
            }
            return at;
        }
        if self.methods.len() > Self::MAX_METHODS {
            return 0;
        }
        let at = u32::try_from(self.methods.len()).unwrap_or(0);
        self.methods.push(MethodSeries::new(
            &String::from_utf8_lossy(service),
            &String::from_utf8_lossy(method),
        ));
        self.method_index.insert(key, at);
        if let Some(place) = self.near.get_mut(near) {
            *place = at;
        }
        at
    }

    /// The handle of a code; bounded, then that of `other`.
    pub(crate) fn code(&mut self, name: Option<&str>) -> u16 {
        let Some(name) = name else { return 0 };
        if let Some(&at) = self.code_index.get(name) {
            return at;
        }
        let name = if self.codes.len() >= Self::MAX_CODES || name.len() > Self::MAX_NAME {
            "other"
        } else {
            name
        };
        if let Some(&at) = self.code_index.get(name) {
            return at;
        }
        let at = u16::try_from(self.codes.len()).unwrap_or(0);
        self.codes.push(Arc::from(name));
        self.code_index.insert(name.into(), at);
        at
    }

    /// A request ended.
    pub(crate) fn ended(
        &mut self,
        series: u32,
        method: u32,
        end: (Outcome, Reason),
        code: u16,
        took: Option<Duration>,
    ) {
        if let Some(s) = self.series.get_mut(series as usize) {
            let (outcome, reason) = end;
            let same = |c: &&mut Count| (c.outcome, c.reason, c.code) == (outcome, reason, code);
            match s.counts.iter_mut().find(same) {
                Some(c) => c.count += 1,
                None => s.counts.push(Count { outcome, reason, code, count: 1 }),
            }
            if let Some(took) = took {
                s.duration.record(took);
                self.answered += 1;
            }
        }
        if let Some(m) = self.methods.get_mut(method as usize)
            && let Some(cell) = m.outcomes.get_mut(end.0 as usize)
        {
            *cell += 1;
        }
    }

    /// A request that was sent has ended well, without a code; it no longer counts as in flight.
    #[inline]
    pub(crate) fn succeeded(&mut self, series: u32, method: u32, nanos: u64) {
        if let Some(s) = self.series.get_mut(series as usize) {
            s.succeeded(nanos, 1);
            self.answered += 1;
        }
        if let Some(m) = self.methods.get_mut(method as usize) {
            m.outcomes[Outcome::Ok as usize] += 1;
        }
    }

    /// Adds what another engine of the same listener has counted.
    pub(crate) fn add(&mut self, other: &Self) {
        let codes: Vec<u16> = other.codes.iter().map(|code| self.own_code(code)).collect();
        let code = |at: u16| codes.get(usize::from(at)).copied().unwrap_or(0);
        for theirs in &other.series {
            let at = self.series(&theirs.route, &theirs.cluster);
            let Some(ours) = self.series.get_mut(at as usize) else { continue };
            for count in &theirs.counts {
                let of = Count { code: code(count.code), ..*count };
                let same = |c: &&mut Count| {
                    (c.outcome, c.reason, c.code) == (of.outcome, of.reason, of.code)
                };
                match ours.counts.iter_mut().find(same) {
                    Some(ours) => ours.count += of.count,
                    None => ours.counts.push(of),
                }
            }
            ours.duration.merge(&theirs.duration);
            ours.in_flight += theirs.in_flight;
        }
        let mut methods = Vec::new();
        for theirs in &other.methods {
            let at = match (&*theirs.service, &*theirs.method) {
                ("", "other") => 0,
                (service, method) => self.method(service.as_bytes(), method.as_bytes()),
            };
            methods.push(at);
            if let Some(ours) = self.methods.get_mut(at as usize) {
                for (cell, n) in ours.outcomes.iter_mut().zip(theirs.outcomes) {
                    *cell += n;
                }
            }
        }
        for theirs in &other.mirrors.series {
            let at = self.mirrors.place(&theirs.route, &theirs.cluster);
            let ours = self.mirrors.of(at);
            ours.sent += theirs.sent;
            ours.dropped += theirs.dropped;
            ours.same += theirs.same;
            ours.different += theirs.different;
        }
        for sample in &other.mirrors.samples {
            let Some(series) = other.mirrors.series.get(sample.series) else { continue };
            let seen = |seen: Seen| Seen { code: code(seen.code), ..seen };
            let series = self.mirrors.place(&series.route, &series.cluster);
            let method = methods.get(sample.method as usize).copied().unwrap_or(0);
            let (original, copy) = (seen(sample.original), seen(sample.copy));
            self.mirrors.sample(Difference { series, method, original, copy });
        }
        for (ends, theirs) in
            [(&mut self.session_ends, &other.session_ends), (&mut self.link_ends, &other.link_ends)]
        {
            for (outcome, reason, n) in theirs {
                match ends.iter_mut().find(|c| (c.0, c.1) == (*outcome, *reason)) {
                    Some(ours) => ours.2 += n,
                    None => ends.push((*outcome, *reason, *n)),
                }
            }
        }
        self.sessions_opened += other.sessions_opened;
        self.sessions += other.sessions;
        self.links_dialed += other.links_dialed;
        self.links += other.links;
        self.late_replies += other.late_replies;
        self.redirects += other.redirects;
        self.pushes_dropped += other.pushes_dropped;
        self.unknown_attributes += other.unknown_attributes;
        self.received_bytes += other.received_bytes;
        self.sent_bytes += other.sent_bytes;
        self.waiting += other.waiting;
        self.answered += other.answered;
    }

    fn own_code(&mut self, code: &Arc<str>) -> u16 {
        if code.is_empty() { 0 } else { self.code(Some(code)) }
    }

    pub(crate) fn session_ended(&mut self, end: (Outcome, Reason)) {
        bump(&mut self.session_ends, end);
    }

    pub(crate) fn link_ended(&mut self, end: (Outcome, Reason)) {
        bump(&mut self.link_ends, end);
    }
}

/// Where the handle of a service and method is, if they were met lately.
#[inline]
fn near(service: &[u8], method: &[u8]) -> usize {
    let first = method.first().copied().unwrap_or(0);
    (service.len() ^ method.len() ^ usize::from(first)) % NEAR
}

fn bump(cells: &mut Vec<(Outcome, Reason, u64)>, (outcome, reason): (Outcome, Reason)) {
    match cells.iter_mut().find(|c| c.0 == outcome && c.1 == reason) {
        Some(c) => c.2 += 1,
        None => cells.push((outcome, reason, 1)),
    }
}

impl MethodSeries {
    fn new(service: &str, method: &str) -> Self {
        Self { service: service.into(), method: method.into(), outcomes: [0; Outcome::ALL.len()] }
    }

    /// Whether it is that of a service and method, byte for byte.
    #[inline(always)]
    pub(crate) fn is(&self, service: &[u8], method: &[u8]) -> bool {
        same(self.method.as_bytes(), method) && same(self.service.as_bytes(), service)
    }
}

/// Copies of requests by route and cluster, and the latest replies that were not alike.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Mirrors {
    /// By route and cluster.
    pub series: Vec<MirrorSeries>,
    /// At most [`Mirrors::SAMPLES`], the latest last.
    pub samples: VecDeque<Difference>,
}

/// Copies of one route's requests to one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MirrorSeries {
    /// The route's name.
    pub route: Arc<str>,
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// Copies that were sent.
    pub sent: u64,
    /// Copies for which there was no room or no endpoint.
    pub dropped: u64,
    /// Pairs of replies that were alike.
    pub same: u64,
    /// Pairs that were not.
    pub different: u64,
}

/// What came of the original or of its copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// How it ended.
    pub outcome: Outcome,
    /// As [`Count::code`].
    pub code: u16,
    /// A digest of the reply's bytes where they are compared, else 0.
    pub bytes: u64,
}

impl Seen {
    pub(crate) const fn new(outcome: Outcome, code: u16) -> Self {
        Self { outcome, code, bytes: 0 }
    }
}

/// Two replies that were not alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Index in [`Mirrors::series`].
    pub series: usize,
    /// Index in [`Stats::methods`].
    pub method: u32,
    /// The original's.
    pub original: Seen,
    /// The copy's.
    pub copy: Seen,
}

impl Difference {
    pub(crate) const fn new(series: usize, method: u32, original: Seen, copy: Seen) -> Self {
        Self { series, method, original, copy }
    }
}

impl Mirrors {
    /// Most samples kept.
    pub const SAMPLES: usize = 16;

    /// The place of a route's counters.
    pub(crate) fn place(&mut self, route: &Arc<str>, cluster: &Arc<str>) -> usize {
        let at = self.series.iter().position(|s| s.route == *route && s.cluster == *cluster);
        at.unwrap_or_else(|| {
            let (route, cluster) = (route.clone(), cluster.clone());
            self.series.push(MirrorSeries { route, cluster, ..MirrorSeries::default() });
            self.series.len() - 1
        })
    }

    /// The counters at a place.
    pub(crate) fn of(&mut self, place: usize) -> &mut MirrorSeries {
        &mut self.series[place]
    }

    pub(crate) fn sample(&mut self, difference: Difference) {
        if self.samples.len() >= Self::SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(difference);
    }
}

/// A log-linear histogram of durations: eight buckets per octave from 1 µs to about 70 minutes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Histogram {
    counts: Vec<u64>,
    /// How many were recorded.
    pub count: u64,
    /// Their sum, in nanoseconds.
    pub sum_nanos: u64,
}

const SUB_BITS: u32 = 3;
const BUCKETS: usize = 32 << SUB_BITS;

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], count: 0, sum_nanos: 0 }
    }
}

impl Histogram {
    /// Records one duration.
    pub fn record(&mut self, took: Duration) {
        self.record_nanos(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), 1);
    }

    #[inline]
    fn record_nanos(&mut self, nanos: u64, times: u64) {
        self.count += times;
        self.sum_nanos = self.sum_nanos.saturating_add(nanos.saturating_mul(times));
        let at = Self::bucket(nanos / 1000);
        if let Some(cell) = self.counts.get_mut(at) {
            *cell += times;
        }
    }

    fn bucket(micros: u64) -> usize {
        let top = 63 - (micros | 1).leading_zeros();
        let at = if top < SUB_BITS {
            micros
        } else {
            let shift = top - SUB_BITS;
            (u64::from(shift + 1) << SUB_BITS) + ((micros >> shift) & ((1 << SUB_BITS) - 1))
        };
        usize::try_from(at).unwrap_or(usize::MAX).min(BUCKETS - 1)
    }

    /// The largest duration, in microseconds, that belongs into the bucket.
    fn upper(at: usize) -> u64 {
        let at = at as u64;
        let octave = at >> SUB_BITS;
        if octave == 0 {
            return at;
        }
        let sub = at & ((1 << SUB_BITS) - 1);
        (((1 << SUB_BITS) + sub + 1) << (octave - 1)) - 1
    }

    /// Adds the other's counts to these.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum_nanos = self.sum_nanos.saturating_add(other.sum_nanos);
    }

    /// How many durations were at most `limit`, to the precision of a bucket (12.5 %).
    pub fn at_most(&self, limit: Duration) -> u64 {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        self.counts
            .iter()
            .enumerate()
            .take_while(|(at, _)| Self::upper(*at) <= micros)
            .map(|(_, n)| n)
            .sum()
    }

    /// The duration below which the share `q` (0 to 1) of all lies, to the precision of a bucket.
    pub fn quantile(&self, q: f64) -> Duration {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let rank = (self.count as f64 * q).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, n) in self.counts.iter().enumerate() {
            seen += n;
            if seen >= rank {
                return Duration::from_micros(Self::upper(at));
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_its_bound_says() {
        for micros in (0..5000).chain([1 << 20, (1 << 20) + 12345, 1 << 31]) {
            let at = Histogram::bucket(micros);
            assert!(Histogram::upper(at) >= micros, "{micros}");
            assert!(at == 0 || Histogram::upper(at - 1) < micros, "{micros}");
        }
    }

    #[test]
    fn quantiles_are_within_a_bucket() {
        let mut h = Histogram::default();
        for ms in 1..=1000 {
            h.record(Duration::from_millis(ms));
        }
        let p50 = h.quantile(0.5).as_millis();
        assert!((500..=563).contains(&p50), "{p50}");
        assert_eq!(h.at_most(Duration::from_secs(3600)), 1000);
    }

    #[test]
    fn what_two_have_counted_is_added() {
        let record = |all: &[u64]| {
            let mut h = Histogram::default();
            all.iter().for_each(|&ms| h.record(Duration::from_millis(ms)));
            h
        };
        let mut sum = record(&[1, 1, 40]);
        sum.merge(&record(&[1, 40, 40, 900]));
        let all = record(&[1, 1, 40, 1, 40, 40, 900]);
        assert_eq!(sum.counts, all.counts);
        assert_eq!((sum.count, sum.sum_nanos), (all.count, all.sum_nanos));
        assert_eq!(sum.at_most(Duration::from_millis(100)), 6);
    }

    #[test]
    fn names_are_bounded() {
        let mut s = Stats::new();
        for i in 0..10_000 {
            s.code(Some(&format!("E{i}")));
            s.method(b"svc", format!("m{i}").as_bytes());
        }
        assert!(s.codes.len() <= Stats::MAX_CODES + 1);
        assert!(s.methods.len() <= Stats::MAX_METHODS + 1);
        let other = s.code(Some("E9999"));
        assert_eq!(&*s.codes[other as usize], "other");
        assert_eq!(s.method(b"svc", b"m9999"), 0);
    }
}
