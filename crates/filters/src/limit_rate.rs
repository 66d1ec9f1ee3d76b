//! `limit_rate`: so many requests in so much time, over all workers of the process, for all
//! requests or for each value of an attribute.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use heptad_core::{
    Filter, FilterWorker, OptionsError, Outcome, Refusal, Request, Time, Verdict, Want, units::Rate,
};
use heptad_route::{Expr, Match};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    buckets::{Bucket, Buckets, Common, limited},
    gcra::Gcra,
    lease::{Leases, Rated},
    tally::{Counter, Tally},
};

/// Options of `limit_rate`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LimitRateOptions {
    /// Which requests are limited; unless told, all.
    #[serde(rename = "match")]
    pub matches: Match,
    /// The attribute whose every value has a limit of its own; unless told, there is one limit.
    pub per: String,
    /// How many requests in how much time. Must be given.
    pub rate: Option<Rate>,
    /// How many requests may come at once; unless told, as many as the rate's number.
    pub burst: Option<u64>,
    /// For how many values of `per` at the same time there is room.
    pub keys: u32,
}

impl Default for LimitRateOptions {
    fn default() -> Self {
        Self {
            matches: Match::default(),
            per: String::new(),
            rate: None,
            burst: None,
            keys: 10_000,
        }
    }
}

/// A local rate limit.
///
/// A request that may be meant (its `match` cannot be told) is limited. Requests without the
/// attribute share one bucket, requests whose attribute cannot be read another, and a third is
/// shared by values for which there is no room. A bucket that has refilled is as good as new, so
/// its place is given to the next value that needs one.
#[derive(Debug)]
pub struct LimitRate(Arc<Limit>);

#[derive(Debug)]
struct Limit {
    matches: Expr,
    rated: Rated,
    buckets: Buckets,
    tally: Tally<3>,
    /// `100/s`, as the client is told.
    text: String,
    burst: u64,
}

/// The kinds of events that are counted.
const EVENTS: [&str; 3] = ["limited", "passed", "overflow"];
const LIMITED: usize = 0;
const PASSED: usize = 1;
const OVERFLOW: usize = 2;

/// How often a bucket is looked for that becomes another value's at the same moment.
const TRIES: usize = 4;

impl LimitRate {
    /// A limit; fails if there is no rate, or one that cannot be kept.
    pub fn new(options: &LimitRateOptions) -> Result<Self, OptionsError> {
        let rate = options.rate.ok_or_else(|| {
            OptionsError::new("", "limit_rate needs a rate, such as `rate: 100/s`")
        })?;
        let burst = options.burst.unwrap_or_else(|| rate.count());
        if burst == 0 {
            return Err(OptionsError::new("burst", "expected at least 1"));
        }
        let gcra = Gcra::new(rate, burst).ok_or_else(|| {
            let most = "expected at most 10000000/s, and a burst that refills within a year";
            OptionsError::new("rate", most)
        })?;
        Ok(Self(Arc::new(Limit {
            matches: options.matches.clone().into(),
            rated: Rated::new(gcra),
            buckets: Buckets::new(&options.per, options.keys)?,
            tally: Tally::default(),
            text: rate_text(rate),
            burst,
        })))
    }
}

/// As one would write it.
fn rate_text(rate: Rate) -> String {
    const UNITS: [(&str, u64); 5] =
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    let millis = u64::try_from(rate.per().as_millis()).unwrap_or(u64::MAX);
    if Duration::from_millis(millis) != rate.per() {
        return format!("{}/{:?}", rate.count(), rate.per());
    }
    let unit = UNITS.iter().find(|(_, unit)| millis % unit == 0);
    let (name, unit) = unit.copied().unwrap_or(("ms", 1));
    match millis / unit {
        1 => format!("{}/{name}", rate.count()),
        n => format!("{}/{n}{name}", rate.count()),
    }
}

impl Filter for LimitRate {
    fn name(&self) -> &str {
        "limit_rate"
    }

    fn worker(&self, seed: u64) -> Box<dyn FilterWorker> {
        self.0.buckets.prepare(seed);
        Box::new(Worker {
            leases: Leases::new(self.0.rated),
            counter: self.0.tally.counter(),
            limit: self.0.clone(),
        })
    }

    fn want(&self) -> Want {
        self.0.buckets.want(&self.0.matches)
    }

    fn explain(&self, request: &mut dyn Request) -> String {
        if !limited(&self.0.matches, request) {
            return "not limited: `match` does not match".to_owned();
        }
        let mut text = format!("limited to {}, burst {}", self.0.text, self.0.burst);
        self.0.buckets.say(request, None, &mut text);
        text
    }

    /// Other requests decide.
    fn foresee(&self, _: &mut dyn Request) -> Verdict {
        Verdict::Pass
    }

    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        for (event, n) in EVENTS.iter().zip(self.0.tally.sums()) {
            each(event, n);
        }
    }
}

struct Worker {
    limit: Arc<Limit>,
    leases: Leases,
    counter: Counter<3>,
}

impl Worker {
    /// A permit, and from which bucket.
    fn take(&mut self, now: Time, request: &mut dyn Request) -> (bool, Bucket) {
        let Limit { buckets, rated, .. } = &*self.limit;
        for _ in 0..TRIES {
            let bucket = buckets.of(request, |number| rated.is_free(number, now));
            if let Some(taken) = self.leases.take(now, buckets, bucket) {
                return (taken, bucket);
            }
        }
        let bucket = Bucket::Common(Common::Overflow);
        (self.leases.take(now, buckets, bucket) == Some(true), bucket)
    }
}

impl FilterWorker for Worker {
    fn request(&mut self, now: Time, request: &mut dyn Request, _: &mut u64) -> Verdict {
        if !limited(&self.limit.matches, request) {
            return Verdict::Pass;
        }
        let (passed, bucket) = self.take(now, request);
        let common = bucket.common();
        if common == Some(Common::Overflow) {
            self.counter.add(OVERFLOW);
        }
        if passed {
            self.counter.add(PASSED);
            return Verdict::Pass;
        }
        self.counter.add(LIMITED);
        let mut text = String::with_capacity(192);
        let _ = write!(text, "over the limit of {}", self.limit.text);
        self.limit.buckets.say(request, common, &mut text);
        Verdict::Refuse(Refusal::new(Outcome::Limited, text))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.leases.give_back(&self.limit.buckets);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Barrier,
        atomic::{AtomicU64, Ordering::Relaxed},
    };

    use heptad_testkit::alloc::{self, Counts};

    use super::*;
    use crate::fake::Fake;

    fn limit(json: &str) -> LimitRate {
        LimitRate::new(&serde_json::from_str(json).expect(json)).expect(json)
    }

    fn refused(json: &str) -> String {
        let options = serde_json::from_str(json).expect(json);
        LimitRate::new(&options).expect_err(json).to_string()
    }

    fn ms(n: u64) -> Time {
        Time::from_nanos(n * 1_000_000)
    }

    /// What a refused request is told; empty if it passed.
    fn told(worker: &mut dyn FilterWorker, now: Time, mut request: Fake) -> String {
        match worker.request(now, &mut request, &mut 0) {
            Verdict::Pass => String::new(),
            Verdict::Refuse(refusal) => {
                assert_eq!(refusal.outcome, Outcome::Limited);
                refusal.text.into_owned()
            }
            other => panic!("{other:?}"),
        }
    }

    fn counters(filter: &LimitRate) -> Vec<(String, u64)> {
        let mut all = Vec::new();
        filter.counters(&mut |name, n| all.push((name.to_owned(), n)));
        all
    }

    #[test]
    fn one_limit_for_all_over_all_workers() {
        let filter = limit(r#"{"rate": "10/s", "burst": 3}"#);
        let (mut a, mut b) = (filter.worker(1), filter.worker(2));
        let mut ask =
            |now| [told(&mut *a, ms(now), Fake::new()), told(&mut *b, ms(now), Fake::new())];
        let over = "over the limit of 10/s";
        assert_eq!(ask(0), ["", ""]);
        assert_eq!(ask(0), ["", over]);
        assert_eq!(ask(99), [over, over]);
        assert_eq!(ask(100), ["", over]);
        assert_eq!(ask(300), ["", ""]);
        assert_eq!(ask(300), [over, over]);
        let counted = counters(&filter);
        let expect = [("limited", 6), ("passed", 6), ("overflow", 0)];
        assert_eq!(counted, expect.map(|(name, n)| (name.to_owned(), n)));
    }

    #[test]
    fn each_value_has_its_own() {
        let filter = limit(r#"{"rate": "1/s", "per": "header.tenant"}"#);
        let mut worker = filter.worker(1);
        let mut ask = |request| told(&mut *worker, ms(0), request);
        let tenant = |name: &str| Fake::new().with("header.tenant", name);
        assert_eq!(ask(tenant("acme")), "");
        assert_eq!(ask(tenant("zeta")), "");
        assert_eq!(ask(tenant("acme")), r#"over the limit of 1/s for header.tenant "acme""#);
        assert_eq!(ask(tenant("")), "", "empty is a value");
        assert_eq!(ask(Fake::new()), "");
        let none = "over the limit of 1/s for requests without header.tenant";
        assert_eq!(ask(Fake::new()), none);
        assert_eq!(ask(Fake::new().unknown("header.tenant")), "");
        let unreadable = "over the limit of 1/s for requests whose header.tenant cannot be read";
        assert_eq!(ask(Fake::new().unknown("header.tenant")), unreadable);
    }

    #[test]
    fn what_a_client_says_is_escaped_and_cut() {
        let filter = limit(r#"{"rate": "1/s", "per": "method"}"#);
        let mut worker = filter.worker(1);
        let nasty = [b"a\"\r\n\xff\\".as_slice(), &[b'x'; 10_000]].concat();
        let mut ask = || told(&mut *worker, ms(0), Fake::new().with("method", &nasty));
        assert_eq!(ask(), "");
        let text = ask();
        assert!(
            text.starts_with(r#"over the limit of 1/s for method "a\"\r\n\xff\\xxx"#),
            "{text}"
        );
        assert!(text.ends_with("x...\""), "{text}");
        assert!(text.len() < 128, "{text}");
    }

    #[test]
    fn addresses_are_one_however_they_came() {
        let filter = limit(r#"{"rate": "1/s", "per": "source.ip"}"#);
        let mut worker = filter.worker(1);
        let mut ask = |ip| told(&mut *worker, ms(0), Fake::new().ip("source.ip", ip));
        assert_eq!(ask("10.1.2.3"), "");
        assert_eq!(ask("::ffff:10.1.2.3"), r#"over the limit of 1/s for source.ip "10.1.2.3""#);
        assert_eq!(ask("10.1.2.4"), "");
        assert_eq!(ask("2001:db8::1"), "");
        assert_ne!(ask("2001:db8::1"), "");
        let filter = limit(r#"{"rate": "1/s", "per": "destination.port"}"#);
        let mut worker = filter.worker(1);
        let mut ask = |n| told(&mut *worker, ms(0), Fake::new().number("destination.port", n));
        assert_eq!([ask(1), ask(2)], ["", ""]);
        assert_eq!(ask(1), r#"over the limit of 1/s for destination.port "1""#);
    }

    #[test]
    fn a_request_that_may_be_meant_is_limited() {
        let filter = limit(r#"{"rate": "1/s", "match": {"method": {"not": "ping"}}}"#);
        let mut worker = filter.worker(1);
        let mut ask = |request| told(&mut *worker, ms(0), request).is_empty();
        assert!(ask(Fake::new().with("method", "get")));
        assert!(!ask(Fake::new().with("method", "get")));
        assert!(ask(Fake::new().with("method", "ping")), "not meant");
        assert!(!ask(Fake::new().unknown("method")), "may be");
    }

    #[test]
    fn values_without_room_share_one_bucket_and_places_are_given_on() {
        let filter = limit(r#"{"rate": "1/s", "per": "key", "keys": 1}"#);
        let mut worker = filter.worker(1);
        let mut ask =
            |ms_: u64, n: u32| told(&mut *worker, ms(ms_), Fake::new().with("key", n.to_string()));
        // Memory comes in sets of eight.
        assert!((0..8).all(|n| ask(0, n).is_empty()));
        assert_eq!(ask(0, 8), "", "the shared one");
        let shared = r#"over the limit of 1/s for key "9", shared with other values"#;
        assert_eq!(ask(0, 9), shared);
        assert_eq!(
            ask(0, 0),
            r#"over the limit of 1/s for key "0""#,
            "those that have one keep it"
        );
        // After a second all have refilled, and others get their places.
        assert!((100..108).all(|n| ask(1100, n).is_empty()));
        assert_ne!(ask(1100, 100), "");
        let overflow = counters(&filter)[2].1;
        assert_eq!(overflow, 2);
    }

    #[test]
    fn a_lease_is_never_more_than_a_moment() {
        let batch = |json: &str| limit(json).0.rated.batch();
        assert_eq!(batch(r#"{"rate": "100/s"}"#), 1);
        assert_eq!(batch(r#"{"rate": "1999/s"}"#), 1);
        assert_eq!(batch(r#"{"rate": "10000/s"}"#), 10);
        assert_eq!(batch(r#"{"rate": "10000/s", "burst": 50}"#), 3);
        assert_eq!(batch(r#"{"rate": "1000000/s"}"#), 64);

        // What one worker leaves lying is back when it comes by, and when it ends.
        let filter = limit(r#"{"rate": "10000/s", "burst": 160}"#);
        let (mut a, mut b) = (filter.worker(1), filter.worker(2));
        let passes = |worker: &mut dyn FilterWorker, now| told(worker, now, Fake::new()).is_empty();
        assert!(passes(&mut *a, ms(0)), "takes 10");
        let of_b = (0..1000).filter(|_| passes(&mut *b, ms(0))).count();
        assert_eq!(of_b, 150);
        assert_eq!((0..1000).filter(|_| passes(&mut *a, ms(0))).count(), 9);
        // One tenth of a millisecond later there is one more; it stays with whom asks for it.
        let now = Time::from_nanos(100_000);
        assert!(passes(&mut *a, now) && !passes(&mut *b, now));
        let now = Time::from_nanos(1_100_000);
        assert!(passes(&mut *a, now), "takes 10");
        let now = Time::from_nanos(1_200_000);
        drop(a);
        assert_eq!((0..1000).filter(|_| passes(&mut *b, now)).count(), 10, "9 back, 1 new");
    }

    #[test]
    fn nothing_is_allocated_but_for_a_refusal() {
        let filter = limit(
            r#"{"rate": "1000000/s", "burst": 1000, "per": "header.tenant",
                "match": {"method": {"prefix": "g"}}}"#,
        );
        let mut worker = filter.worker(1);
        let mut one = Fake::new().with("header.tenant", "acme").with("method", "get");
        let mut two = Fake::new().with("header.tenant", "zeta").with("method", "put");
        let ((), counts) = alloc::count(|| {
            for n in 0..500 {
                assert_eq!(worker.request(ms(n / 50), &mut one, &mut 0), Verdict::Pass);
                assert_eq!(worker.request(ms(n / 50), &mut two, &mut 0), Verdict::Pass);
            }
        });
        assert_eq!(counts, Counts::default());
        while worker.request(ms(10), &mut one, &mut 0) == Verdict::Pass {}
        let (verdict, counts) = alloc::count(|| worker.request(ms(10), &mut one, &mut 0));
        assert_ne!(verdict, Verdict::Pass);
        assert_eq!(counts.allocations, 1, "the text");
    }

    #[test]
    fn decoders_look_as_far_as_they_must() {
        let headers = |json: &str| (limit(json).want().headers, limit(json).want().edits);
        assert_eq!(headers(r#"{"rate": "1/s"}"#), (false, false));
        assert_eq!(headers(r#"{"rate": "1/s", "per": "route"}"#), (false, false));
        assert_eq!(headers(r#"{"rate": "1/s", "per": "arg.1"}"#), (true, false));
        assert_eq!(headers(r#"{"rate": "1/s", "match": {"header.a": "b"}}"#), (true, false));
        let service = limit(r#"{"rate": "1/s", "match": {"service": "b"}}"#).want();
        assert!(service.service && !service.headers);
    }

    #[test]
    fn explains_without_counting() {
        let filter =
            limit(r#"{"rate": "90/90s", "burst": 5, "per": "key", "match": {"method": "a"}}"#);
        let _worker = filter.worker(1);
        let mut request = Fake::new().with("method", "a").with("key", "k");
        for _ in 0..10 {
            let text = filter.explain(&mut request);
            assert_eq!(text, "limited to 90/90s, burst 5 for key \"k\"");
        }
        let text = filter.explain(&mut Fake::new());
        assert_eq!(text, "not limited: `match` does not match");
        assert!(counters(&filter).iter().all(|(_, n)| *n == 0));
    }

    #[test]
    fn options_that_make_no_limit_are_refused() {
        for (json, says) in [
            ("{}", "needs a rate"),
            (r#"{"rate": "1/s", "burst": 0}"#, "burst: expected at least 1"),
            (r#"{"rate": "20000000/s"}"#, "rate: expected at most"),
            (r#"{"rate": "1/d", "burst": 100000}"#, "a burst that refills within a year"),
            (r#"{"rate": "1/s", "keys": 0}"#, "keys: expected 1"),
            (r#"{"rate": "1/s", "per": "tenant"}"#, "per: expected service, method"),
        ] {
            let error = refused(json);
            assert!(error.contains(says), "{json}: {error}");
        }
    }

    /// Threads that stop at each point in time: then the sum is not bounded, it is known.
    #[test]
    fn threads_together_get_exactly_the_rate() {
        const THREADS: usize = 4;
        for per in ["", "header.tenant"] {
            let filter = limit(&format!(r#"{{"rate": "1000/s", "burst": 50, "per": "{per}"}}"#));
            let barrier = Barrier::new(THREADS);
            let granted = AtomicU64::new(0);
            std::thread::scope(|scope| {
                for seed in 0..THREADS as u64 {
                    let (filter, barrier, granted) = (&filter, &barrier, &granted);
                    scope.spawn(move || {
                        let mut worker = filter.worker(seed);
                        let mut request = Fake::new().with("header.tenant", "acme");
                        let mut expect = 0;
                        for step in 0..200_u64 {
                            let step_ms = step * step / 20;
                            let before = (step.max(1) - 1) * (step.max(1) - 1) / 20;
                            expect += if step == 0 { 50 } else { (step_ms - before).min(50) };
                            barrier.wait();
                            while worker.request(ms(step_ms), &mut request, &mut 0) == Verdict::Pass
                            {
                                granted.fetch_add(1, Relaxed);
                            }
                            barrier.wait();
                            assert_eq!(granted.load(Relaxed), expect, "step {step}");
                        }
                    });
                }
            });
        }
    }

    /// Threads whose times differ wildly, on one bucket and on places that change hands.
    #[test]
    fn threads_never_get_more_than_the_rate_and_the_burst() {
        const THREADS: u64 = 4;
        const KEYS: usize = 64;
        const END: u64 = 300;
        for (per, keys) in [("", 1), ("key", 100), ("key", 4)] {
            // Leases of ten.
            let filter = limit(&format!(
                r#"{{"rate": "10000/s", "burst": 160, "per": "{per}", "keys": {keys}}}"#
            ));
            let granted: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
            std::thread::scope(|scope| {
                for seed in 0..THREADS {
                    let (filter, granted) = (&filter, &granted);
                    scope.spawn(move || {
                        let mut worker = filter.worker(seed);
                        let mut rng = fastrand::Rng::with_seed(seed);
                        let names: Vec<_> = (0..KEYS).map(|n| n.to_string()).collect();
                        for now in (0..END).step_by(seed as usize % 3 + 1) {
                            for _ in 0..300 {
                                let key = if keys == 1 { 0 } else { rng.usize(..KEYS) };
                                let mut request = Fake::new().with("key", &names[key]);
                                if worker.request(ms(now), &mut request, &mut 0) == Verdict::Pass {
                                    granted[key].fetch_add(1, Relaxed);
                                }
                            }
                        }
                    });
                }
            });
            let granted: Vec<u64> = granted.iter().map(|n| n.load(Relaxed)).collect();
            let most = 160 + END * 10;
            if keys == 1 {
                assert!(granted[0] <= most, "{granted:?}");
                assert!(granted[0] >= 160, "{granted:?}");
            } else {
                assert!(granted.iter().all(|n| *n > 0), "{granted:?}");
                // Where places change hands, times that go back and forth would make new buckets.
                assert!(keys == 4 || granted.iter().all(|n| *n <= most), "{granted:?}");
            }
        }
    }
}
