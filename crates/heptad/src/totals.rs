//! What all workers of a listener counted, as one sum: the base of `/metrics`, of the demo's live
//! table, and of whatever an embedding program wants to know. Knows nothing of text formats.

use std::{collections::BTreeMap, sync::Arc};

use heptad_core::{Outcome, Reason};
use heptad_engine::{Histogram, Seen, Stats};

/// Counts of one listener, summed over its workers.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Totals {
    /// The listener's name.
    pub listener: Arc<str>,
    /// Its codec's name.
    pub protocol: Arc<str>,
    /// Requests by route and cluster; both are empty where none was found.
    pub series: BTreeMap<(Arc<str>, Arc<str>), SeriesTotals>,
    /// Requests by service and method, by outcome (`Outcome::ALL` gives the order).
    pub methods: BTreeMap<(Arc<str>, Arc<str>), [u64; Outcome::ALL.len()]>,
    /// Copies by route and the cluster they went to.
    pub mirrors: BTreeMap<(Arc<str>, Arc<str>), MirrorTotals>,
    /// The latest replies to copies that were not like the original's, in words.
    pub differences: Vec<DifferenceRow>,
    /// What its filters counted by themselves, by the filter's name and the kind of event; filters
    /// of the same name in one sum. A reload begins anew.
    pub filters: BTreeMap<(Arc<str>, Arc<str>), u64>,
    /// Sessions open now.
    pub sessions: u64,
    /// Sessions opened.
    pub sessions_opened: u64,
    /// Sessions that Heptad closed or that broke off, by why.
    pub session_ends: BTreeMap<(Outcome, Reason), u64>,
    /// Links open now.
    pub links: u64,
    /// Links dialed.
    pub links_dialed: u64,
    /// Links that ended, by why.
    pub link_ends: BTreeMap<(Outcome, Reason), u64>,
    /// Replies that nobody waited for any more.
    pub late_replies: u64,
    /// Requests sent elsewhere because their reply said so.
    pub redirects: u64,
    /// Pushes that nobody listened to any more.
    pub pushes_dropped: u64,
    /// Attributes that could not be read when a rule asked for them.
    pub unknown_attributes: u64,
    /// Bytes that came from clients.
    pub received_bytes: u64,
    /// Bytes for clients.
    pub sent_bytes: u64,
    /// Requests waiting for a link now.
    pub waiting: u64,
    /// Times a worker's engine panicked and was replaced; its counters began anew.
    pub restarts: u64,
}

/// Requests of one route to one cluster.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SeriesTotals {
    /// Ends by outcome, reason and the protocol's own code (empty if it gave none).
    pub counts: BTreeMap<(Outcome, Reason, Arc<str>), u64>,
    /// From decoding the request to its end, for requests that were sent to an endpoint.
    pub duration: Histogram,
    /// Requests not yet settled.
    pub in_flight: u64,
}

/// What became of the copies of one route's requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MirrorTotals {
    /// Copies that were sent.
    pub sent: u64,
    /// Copies for which there was no room or no endpoint.
    pub dropped: u64,
    /// Pairs of replies that were alike.
    pub same: u64,
    /// Pairs that were not.
    pub different: u64,
}

/// Two replies that were not alike.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct DifferenceRow {
    /// The route.
    pub route: String,
    /// The cluster of the copy.
    pub cluster: String,
    /// The service; empty if the protocol has none.
    pub service: String,
    /// The method.
    pub method: String,
    /// Outcome and code of the original.
    pub original: String,
    /// Outcome and code of the copy.
    pub copy: String,
}

impl SeriesTotals {
    /// Requests that ended, whatever the outcome.
    pub fn requests(&self) -> u64 {
        self.counts.values().sum()
    }
}

impl Totals {
    /// Nothing counted yet.
    pub fn new(listener: impl Into<Arc<str>>, protocol: impl Into<Arc<str>>) -> Self {
        Self { listener: listener.into(), protocol: protocol.into(), ..Self::default() }
    }

    /// Adds what one worker counted.
    pub fn add(&mut self, stats: &Stats) {
        for series in &stats.series {
            let key = (series.route.clone(), series.cluster.clone());
            let mine = self.series.entry(key).or_default();
            for count in &series.counts {
                let code = stats.codes.get(usize::from(count.code)).cloned().unwrap_or_default();
                let end = (count.outcome, count.reason, code);
                *mine.counts.entry(end).or_default() += count.count;
            }
            mine.duration.merge(&series.duration);
            mine.in_flight += series.in_flight;
        }
        for method in &stats.methods {
            let key = (method.service.clone(), method.method.clone());
            let mine = self.methods.entry(key).or_default();
            for (mine, theirs) in mine.iter_mut().zip(method.outcomes) {
                *mine += theirs;
            }
        }
        let ends = [
            (&mut self.session_ends, &stats.session_ends),
            (&mut self.link_ends, &stats.link_ends),
        ];
        for (mine, theirs) in ends {
            for &(outcome, reason, count) in theirs {
                *mine.entry((outcome, reason)).or_default() += count;
            }
        }
        self.add_mirrors(stats);
        self.sessions += stats.sessions;
        self.sessions_opened += stats.sessions_opened;
        self.links += stats.links;
        self.links_dialed += stats.links_dialed;
        self.late_replies += stats.late_replies;
        self.redirects += stats.redirects;
        self.pushes_dropped += stats.pushes_dropped;
        self.unknown_attributes += stats.unknown_attributes;
        self.received_bytes += stats.received_bytes;
        self.sent_bytes += stats.sent_bytes;
        self.waiting += stats.waiting;
    }

    fn add_mirrors(&mut self, stats: &Stats) {
        for series in &stats.mirrors.series {
            let key = (series.route.clone(), series.cluster.clone());
            let mine = self.mirrors.entry(key).or_default();
            mine.sent += series.sent;
            mine.dropped += series.dropped;
            mine.same += series.same;
            mine.different += series.different;
        }
        for sample in &stats.mirrors.samples {
            let (Some(series), Some(method)) = (
                stats.mirrors.series.get(sample.series),
                stats.methods.get(sample.method as usize),
            ) else {
                continue;
            };
            let words = |seen: &Seen| match stats.codes.get(usize::from(seen.code)) {
                Some(code) if !code.is_empty() => format!("{} {code}", seen.outcome),
                _ => seen.outcome.to_string(),
            };
            let (mut original, mut copy) = (words(&sample.original), words(&sample.copy));
            if original == copy {
                // Only the bytes differ.
                original = format!("{original} #{:016x}", sample.original.bytes);
                copy = format!("{copy} #{:016x}", sample.copy.bytes);
            }
            self.differences.push(DifferenceRow {
                route: series.route.to_string(),
                cluster: series.cluster.to_string(),
                service: method.service.to_string(),
                method: method.method.to_string(),
                original,
                copy,
            });
        }
    }
}
