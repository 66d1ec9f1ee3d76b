//! `limit_concurrency`: so many requests at the same time, over all workers of the process, for
//! all requests or for each value of an attribute.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::Ordering::{Acquire, Relaxed},
    },
};

use heptad_core::{
    End, Filter, FilterWorker, OptionsError, Outcome, Refusal, Request, Time, Verdict, Want,
};
use heptad_route::{Expr, Match};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    buckets::{Bucket, Buckets, Common, limited},
    slots::DEAD,
    tally::{Counter, Tally},
};

/// Options of `limit_concurrency`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LimitConcurrencyOptions {
    /// Which requests are limited; unless told, all.
    #[serde(rename = "match")]
    pub matches: Match,
    /// The attribute whose every value has a limit of its own; unless told, there is one limit.
    pub per: String,
    /// How many requests may be in flight. Must be given.
    pub max: Option<u32>,
    /// For how many values of `per` at the same time there is room.
    pub keys: u32,
}

impl Default for LimitConcurrencyOptions {
    fn default() -> Self {
        Self { matches: Match::default(), per: String::new(), max: None, keys: 10_000 }
    }
}

/// A limit of the requests in flight: from when a filter lets one through until it is answered.
///
/// Requests whose `match` or attribute cannot be told are treated as `limit_rate` does.
#[derive(Debug)]
pub struct LimitConcurrency(Arc<Limit>);

#[derive(Debug)]
struct Limit {
    matches: Expr,
    max: u64,
    /// How many requests are in flight.
    buckets: Buckets,
    tally: Tally<3>,
}

/// The kinds of events that are counted.
const EVENTS: [&str; 3] = ["limited", "passed", "overflow"];
const LIMITED: usize = 0;
const PASSED: usize = 1;
const OVERFLOW: usize = 2;

/// How often a bucket is looked for that becomes another value's at the same moment.
const TRIES: usize = 4;

impl LimitConcurrency {
    /// A limit; fails if there is no `max`.
    pub fn new(options: &LimitConcurrencyOptions) -> Result<Self, OptionsError> {
        let max = options.max.ok_or_else(|| {
            OptionsError::new("", "limit_concurrency needs a limit, such as `max: 100`")
        })?;
        if max == 0 {
            return Err(OptionsError::new("max", "expected at least 1"));
        }
        Ok(Self(Arc::new(Limit {
            matches: options.matches.clone().into(),
            max: max.into(),
            buckets: Buckets::new(&options.per, options.keys)?,
            tally: Tally::default(),
        })))
    }
}

impl Filter for LimitConcurrency {
    fn name(&self) -> &str {
        "limit_concurrency"
    }

    fn worker(&self, seed: u64) -> Box<dyn FilterWorker> {
        self.0.buckets.prepare(seed);
        Box::new(Worker {
            held: vec![0; self.0.buckets.len()].into(),
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
        let mut text = format!("limited to {} at a time", self.0.max);
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
    /// What this worker has in each bucket, so that it is given back if the worker dies.
    held: Box<[u32]>,
    counter: Counter<3>,
}

impl Limit {
    /// One more in the bucket: whether there is room, or `None` if it has become another key's.
    fn enter(&self, bucket: Bucket) -> Option<bool> {
        let number = self.buckets.number(bucket);
        // Acquire: whoever finds that the number has a new key must see which.
        let more = |n| (n != DEAD && n < self.max).then(|| n + 1);
        match number.fetch_update(Acquire, Relaxed, more) {
            Ok(_) if self.buckets.holds(bucket) => Some(true),
            Ok(_) => {
                number.fetch_sub(1, Relaxed);
                None
            }
            Err(DEAD) => None,
            Err(_) => self.buckets.holds(bucket).then_some(false),
        }
    }

    /// Enters the request's bucket.
    fn admit(&self, request: &mut dyn Request) -> (bool, Bucket) {
        for _ in 0..TRIES {
            // A bucket with nothing in it is as good as new.
            let bucket = self.buckets.of(request, |number| number == 0);
            if let Some(entered) = self.enter(bucket) {
                return (entered, bucket);
            }
        }
        let bucket = Bucket::Common(Common::Overflow);
        (self.enter(bucket) == Some(true), bucket)
    }
}

impl FilterWorker for Worker {
    fn request(&mut self, _: Time, request: &mut dyn Request, scratch: &mut u64) -> Verdict {
        if !limited(&self.limit.matches, request) {
            return Verdict::Pass;
        }
        let (entered, bucket) = self.limit.admit(request);
        let common = bucket.common();
        if common == Some(Common::Overflow) {
            self.counter.add(OVERFLOW);
        }
        if entered {
            self.counter.add(PASSED);
            if let Some(held) = self.held.get_mut(bucket.index()) {
                *held += 1;
                *scratch = bucket.index() as u64 + 1;
            }
            return Verdict::Pass;
        }
        self.counter.add(LIMITED);
        let mut text = String::with_capacity(192);
        let _ = write!(text, "over the limit of {} at a time", self.limit.max);
        self.limit.buckets.say(request, common, &mut text);
        Verdict::Refuse(Refusal::new(Outcome::Limited, text))
    }

    fn done(&mut self, _: Time, _: &End<'_>, scratch: u64) {
        // Nobody else gets a bucket while something is in it, so it is still the same one.
        let Some(index) = scratch.checked_sub(1).map(|index| index as usize) else {
            return;
        };
        if let (Some(held), Some(number)) = (self.held.get_mut(index), self.limit.buckets.at(index))
        {
            *held = held.saturating_sub(1);
            number.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        for (index, held) in self.held.iter().enumerate().filter(|(_, held)| **held > 0) {
            if let Some(number) = self.limit.buckets.at(index) {
                number.fetch_sub(u64::from(*held), Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use heptad_testkit::alloc::{self, Counts};

    use super::*;
    use crate::fake::Fake;

    fn limit(json: &str) -> LimitConcurrency {
        LimitConcurrency::new(&serde_json::from_str(json).expect(json)).expect(json)
    }

    /// Enters; what is to be told to `done`, or what the client is told.
    fn enter(worker: &mut dyn FilterWorker, request: &mut Fake) -> Result<u64, String> {
        let mut scratch = 0;
        match worker.request(Time::ZERO, request, &mut scratch) {
            Verdict::Pass => Ok(scratch),
            Verdict::Refuse(refusal) => {
                assert_eq!(refusal.outcome, Outcome::Limited);
                // As the engine does: a refused request ends too.
                done(worker, scratch);
                Err(refusal.text.into_owned())
            }
            other => panic!("{other:?}"),
        }
    }

    fn done(worker: &mut dyn FilterWorker, scratch: u64) {
        worker.done(Time::ZERO, &End::default(), scratch);
    }

    fn numbers(filter: &LimitConcurrency) -> u64 {
        let buckets = &filter.0.buckets;
        (0..buckets.len()).filter_map(|at| buckets.at(at)).map(|n| n.load(Relaxed)).sum()
    }

    #[test]
    fn so_many_at_a_time_over_all_workers() {
        let filter = limit(r#"{"max": 2}"#);
        let (mut a, mut b) = (filter.worker(1), filter.worker(2));
        let mut r = Fake::new();
        let one = enter(&mut *a, &mut r).expect("room");
        let two = enter(&mut *b, &mut r).expect("room");
        let full = Err("over the limit of 2 at a time".to_owned());
        assert_eq!(enter(&mut *a, &mut r), full);
        assert_eq!(enter(&mut *b, &mut r), full);
        done(&mut *b, two);
        let three = enter(&mut *a, &mut r).expect("room");
        assert_eq!(enter(&mut *b, &mut r), full);
        done(&mut *a, one);
        done(&mut *a, three);
        assert_eq!(numbers(&filter), 0);
        let mut counted = Vec::new();
        filter.counters(&mut |name, n| counted.push((name.to_owned(), n)));
        let expect = [("limited", 3), ("passed", 3), ("overflow", 0)];
        assert_eq!(counted, expect.map(|(name, n)| (name.to_owned(), n)));
    }

    #[test]
    fn each_route_has_its_own_and_what_is_not_meant_has_none() {
        let filter = limit(r#"{"max": 1, "per": "route", "match": {"method": {"not": "ping"}}}"#);
        let mut worker = filter.worker(1);
        let mut a = Fake::new().with("route", "a");
        let mut b = Fake::new().with("route", "b");
        let of_a = enter(&mut *worker, &mut a).expect("room");
        enter(&mut *worker, &mut b).expect("room");
        let full = "over the limit of 1 at a time for route \"a\"";
        assert_eq!(enter(&mut *worker, &mut a), Err(full.to_owned()));
        let mut ping = Fake::new().with("route", "a").with("method", "ping");
        assert_eq!(enter(&mut *worker, &mut ping), Ok(0));
        done(&mut *worker, 0);
        let mut unreadable = Fake::new().with("route", "a").unknown("method");
        assert!(enter(&mut *worker, &mut unreadable).is_err());
        enter(&mut *worker, &mut Fake::new().unknown("route")).expect("a bucket of its own");
        enter(&mut *worker, &mut Fake::new()).expect("and another");
        assert!(enter(&mut *worker, &mut Fake::new().unknown("route")).is_err());
        done(&mut *worker, of_a);
        enter(&mut *worker, &mut a).expect("room again");
    }

    #[test]
    fn a_place_is_given_on_only_when_nothing_is_in_it() {
        let filter = limit(r#"{"max": 1, "per": "key", "keys": 1}"#);
        let mut worker = filter.worker(1);
        let key = |n: u32| Fake::new().with("key", n.to_string());
        let held: Vec<u64> =
            (0..8).map(|n| enter(&mut *worker, &mut key(n)).expect("eight places")).collect();
        let shared = enter(&mut *worker, &mut key(8)).expect("the shared one");
        let text = "over the limit of 1 at a time for key \"9\", shared with other values";
        assert_eq!(enter(&mut *worker, &mut key(9)), Err(text.to_owned()));
        done(&mut *worker, held[3]);
        let nine = enter(&mut *worker, &mut key(9)).expect("the place of 3");
        assert_eq!(nine, held[3]);
        for scratch in [shared, nine].into_iter().chain(held.iter().copied().filter(|h| *h != nine))
        {
            done(&mut *worker, scratch);
        }
        assert_eq!(numbers(&filter), 0);
    }

    #[test]
    fn a_worker_that_dies_gives_back_what_it_had() {
        let filter = limit(r#"{"max": 2, "per": "key"}"#);
        let mut survivor = filter.worker(1);
        let mut request = Fake::new().with("key", "k");
        {
            let mut worker = filter.worker(2);
            enter(&mut *worker, &mut request).expect("room");
            enter(&mut *worker, &mut request).expect("room");
            enter(&mut *worker, &mut Fake::new()).expect("room");
            assert!(enter(&mut *survivor, &mut request).is_err());
        }
        assert_eq!(numbers(&filter), 0);
        assert!(enter(&mut *survivor, &mut request).is_ok());
    }

    #[test]
    fn nothing_is_allocated_but_for_a_refusal() {
        let filter = limit(r#"{"max": 3, "per": "source.ip"}"#);
        let mut worker = filter.worker(1);
        let mut request = Fake::new().ip("source.ip", "10.0.0.1");
        let (_, counts) = alloc::count(|| {
            for _ in 0..100 {
                let scratch = enter(&mut *worker, &mut request).expect("room");
                done(&mut *worker, scratch);
            }
        });
        assert_eq!(counts, Counts::default());
        for _ in 0..3 {
            enter(&mut *worker, &mut request).expect("room");
        }
        let (_, counts) = alloc::count(|| enter(&mut *worker, &mut request).expect_err("full"));
        assert_eq!(counts.allocations, 1, "the text");
    }

    #[test]
    fn options_and_explanations() {
        for (json, says) in [
            ("{}", "needs a limit"),
            (r#"{"max": 0}"#, "max: expected at least 1"),
            (r#"{"max": 1, "keys": 0}"#, "keys: expected 1"),
            (r#"{"max": 1, "per": "x"}"#, "per: expected service"),
        ] {
            let options = serde_json::from_str(json).expect(json);
            let error = LimitConcurrency::new(&options).expect_err(json).to_string();
            assert!(error.contains(says), "{json}: {error}");
        }
        let filter = limit(r#"{"max": 7, "per": "header.a", "match": {"method": "m"}}"#);
        let mut request = Fake::new().with("method", "m");
        let text = filter.explain(&mut request);
        assert_eq!(text, "limited to 7 at a time for requests without header.a");
        assert_eq!(filter.explain(&mut Fake::new()), "not limited: `match` does not match");
        assert!(filter.want().headers && !filter.want().edits);
        assert!(!limit(r#"{"max": 7, "per": "key"}"#).want().headers);
    }

    /// Real threads over keys that change places all the time: never more than the limit, and
    /// nothing is left behind.
    #[test]
    fn threads_never_pass_the_limit_and_leave_nothing() {
        const MAX: u64 = 3;
        for (per, keys, many) in [("", 1, 1_usize), ("key", 100, 8), ("key", 1, 40)] {
            let filter = limit(&format!(r#"{{"max": {MAX}, "per": "{per}", "keys": {keys}}}"#));
            let inside: Vec<AtomicU64> = (0..many).map(|_| AtomicU64::new(0)).collect();
            let shared = filter.worker(0);
            std::thread::scope(|scope| {
                for seed in 0..4 {
                    let (filter, inside) = (&filter, &inside);
                    scope.spawn(move || {
                        let mut worker = filter.worker(seed);
                        let mut rng = fastrand::Rng::with_seed(seed);
                        let mut held = Vec::new();
                        for _ in 0..20_000 {
                            let key = rng.usize(..many);
                            let mut request = Fake::new().with("key", key.to_string());
                            if let Ok(scratch) = enter(&mut *worker, &mut request) {
                                // The shared bucket is for several keys: it is not counted here.
                                let own = scratch != Common::Overflow as u64 + 1;
                                if own {
                                    let before = inside[key].fetch_add(1, Relaxed);
                                    assert!(before < MAX, "{before} of key {key}");
                                }
                                held.push((own, key, scratch));
                            }
                            if held.len() > rng.usize(..6) {
                                let (own, key, scratch) = held.swap_remove(rng.usize(..held.len()));
                                if own {
                                    inside[key].fetch_sub(1, Relaxed);
                                }
                                done(&mut *worker, scratch);
                            }
                        }
                        for (own, key, scratch) in held {
                            if own {
                                inside[key].fetch_sub(1, Relaxed);
                            }
                            done(&mut *worker, scratch);
                        }
                    });
                }
            });
            drop(shared);
            assert_eq!(numbers(&filter), 0, "{per} {keys}");
        }
    }
}
