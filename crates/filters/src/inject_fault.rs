//! `inject_fault`: delays some requests, refuses some, so that one can see what clients make of it.

use std::{borrow::Cow, sync::Arc, time::Duration};

use fastrand::Rng;
use heptad_core::{
    Filter, FilterWorker, OptionsError, Outcome, Refusal, Repeats, Request, Time, Verdict, Want,
    units::Period,
};
use heptad_route::{Expr, Match, Tri};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    buckets::want,
    tally::{Counter, Tally},
};

/// Options of `inject_fault`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct InjectFaultOptions {
    /// Which requests are meant; unless told, all.
    #[serde(rename = "match")]
    pub matches: Match,
    /// How many of them, per cent; fractions are possible.
    #[schemars(range(min = 0, max = 100))]
    pub percent: f64,
    /// How long such a request waits before it goes on.
    pub delay: Option<Period>,
    /// How such a request is refused, after the delay if there is one.
    pub refuse: Option<InjectedRefusal>,
}

impl Default for InjectFaultOptions {
    fn default() -> Self {
        Self { matches: Match::default(), percent: 100.0, delay: None, refuse: None }
    }
}

/// What the client is told.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct InjectedRefusal {
    /// The outcome, by its name in metrics: `fault_injected`, `overloaded`, `timeout`, … .
    pub outcome: String,
    /// Text for the human at the client: one line, at most 512 bytes.
    pub text: String,
}

impl Default for InjectedRefusal {
    fn default() -> Self {
        Self { outcome: Outcome::FaultInjected.to_string(), text: TEXT.to_owned() }
    }
}

const TEXT: &str = "a fault was injected";

/// The longest delay.
const MOST: Duration = Duration::from_secs(3600);

/// Faults on purpose. Only requests that certainly match are meant.
#[derive(Debug)]
pub struct InjectFault(Arc<Fault>);

#[derive(Debug)]
struct Fault {
    matches: Expr,
    /// Of which other requests `matches` says the same.
    repeats: Repeats,
    percent: f64,
    delay: Option<Duration>,
    refuse: Option<Refusal>,
    tally: Tally<2>,
}

/// The kinds of events that are counted.
const EVENTS: [&str; 2] = ["delayed", "refused"];
const DELAYED: usize = 0;
const REFUSED: usize = 1;

impl InjectFault {
    /// A fault; fails if there is neither a delay nor a refusal.
    pub fn new(options: &InjectFaultOptions) -> Result<Self, OptionsError> {
        let wrong = |path: &str, message: &str| Err(OptionsError::new(path, message));
        if !(0.0..=100.0).contains(&options.percent) {
            return wrong("percent", "expected a number from 0 to 100");
        }
        let delay = options.delay.map(|Period(delay)| delay);
        if delay.is_some_and(|delay| delay.is_zero() || delay > MOST) {
            return wrong("delay", "expected more than nothing and at most 1h");
        }
        if delay.is_none() && options.refuse.is_none() {
            return wrong("", "inject_fault needs `delay`, `refuse` or both");
        }
        let matches: Expr = options.matches.clone().into();
        let mut repeats = Repeats::Always;
        matches.attrs(&mut |attr| repeats = repeats.and(Repeats::by([attr])));
        Ok(Self(Arc::new(Fault {
            matches,
            repeats,
            percent: options.percent,
            delay,
            refuse: options.refuse.as_ref().map(refusal).transpose()?,
            tally: Tally::default(),
        })))
    }
}

fn refusal(options: &InjectedRefusal) -> Result<Refusal, OptionsError> {
    let answers = |outcome: &&Outcome| !matches!(outcome, Outcome::Ok | Outcome::AppError);
    let mut known = Outcome::ALL.iter().filter(answers);
    let outcome = known.find(|known| known.as_str() == options.outcome).ok_or_else(|| {
        let names: Vec<_> = Outcome::ALL.iter().filter(answers).map(|o| o.as_str()).collect();
        OptionsError::new("refuse.outcome", format!("expected one of {}", names.join(", ")))
    })?;
    let text = &options.text;
    if text.len() > 512 || text.contains(char::is_control) {
        let message = "expected one line of at most 512 bytes";
        return Err(OptionsError::new("refuse.text", message));
    }
    // The usual text costs a refusal nothing.
    let text = if text == TEXT { Cow::Borrowed(TEXT) } else { Cow::Owned(text.clone()) };
    Ok(Refusal::new(*outcome, text))
}

impl Filter for InjectFault {
    fn name(&self) -> &str {
        "inject_fault"
    }

    fn worker(&self, seed: u64) -> Box<dyn FilterWorker> {
        Box::new(Worker {
            rng: Rng::with_seed(seed),
            counter: self.0.tally.counter(),
            fault: self.0.clone(),
            spared: false,
        })
    }

    fn want(&self) -> Want {
        want(&self.0.matches)
    }

    fn explain(&self, request: &mut dyn Request) -> String {
        let Fault { matches, percent, delay, refuse, .. } = &*self.0;
        if matches.eval(request) != Tri::True {
            return "no fault: `match` does not match".to_owned();
        }
        let mut what = Vec::new();
        what.extend(delay.map(|delay| format!("delayed by {delay:?}")));
        what.extend(refuse.as_ref().map(|r| format!("refused as {}: {}", r.outcome, r.text)));
        format!("in {percent} of 100 cases {}", what.join(", then "))
    }

    fn foresee(&self, request: &mut dyn Request) -> Verdict {
        let Fault { matches, percent, delay, refuse, .. } = &*self.0;
        if *percent < 100.0 || matches.eval(request) != Tri::True {
            return Verdict::Pass;
        }
        match (refuse, delay) {
            (Some(refusal), _) => Verdict::Refuse(refusal.clone()),
            (None, Some(delay)) => Verdict::Wait(*delay),
            (None, None) => Verdict::Pass,
        }
    }

    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        for (event, n) in EVENTS.iter().zip(self.0.tally.sums()) {
            each(event, n);
        }
    }
}

struct Worker {
    fault: Arc<Fault>,
    rng: Rng,
    counter: Counter<2>,
    /// The last request was none of those that faults are for.
    spared: bool,
}

impl Worker {
    fn refuse(&mut self) -> Verdict {
        match &self.fault.refuse {
            Some(refusal) => {
                self.counter.add(REFUSED);
                Verdict::Refuse(refusal.clone())
            }
            None => Verdict::Pass,
        }
    }
}

impl FilterWorker for Worker {
    fn request(&mut self, _: Time, request: &mut dyn Request, _: &mut u64) -> Verdict {
        self.spared = self.fault.matches.eval(request) != Tri::True;
        // A drawn number is below 1: all of 100 per cent, and none of 0.
        if self.spared || self.rng.f64() * 100.0 >= self.fault.percent {
            return Verdict::Pass;
        }
        match self.fault.delay {
            Some(delay) => {
                self.counter.add(DELAYED);
                Verdict::Wait(delay)
            }
            None => self.refuse(),
        }
    }

    fn repeats(&self) -> Repeats {
        if self.spared { self.fault.repeats } else { Repeats::No }
    }

    fn resumed(&mut self, _: Time, _: &[u8], _: &mut dyn Request, _: &mut u64) -> Verdict {
        self.refuse()
    }
}

#[cfg(test)]
mod tests {
    use heptad_testkit::alloc::{self, Counts};

    use super::*;
    use crate::fake::Fake;

    fn fault(json: &str) -> InjectFault {
        InjectFault::new(&serde_json::from_str(json).expect(json)).expect(json)
    }

    fn ask(worker: &mut dyn FilterWorker, method: &str) -> Verdict {
        worker.request(Time::ZERO, &mut Fake::new().with("method", method), &mut 0)
    }

    fn counters(filter: &InjectFault) -> [(String, u64); 2] {
        let mut all = Vec::new();
        filter.counters(&mut |name, n| all.push((name.to_owned(), n)));
        all.try_into().expect("two")
    }

    #[test]
    fn delays_and_then_refuses_what_matches() {
        let filter = fault(
            r#"{"match": {"method": "get"}, "delay": "100ms",
                "refuse": {"outcome": "overloaded", "text": "go away"}}"#,
        );
        let mut worker = filter.worker(1);
        assert_eq!(ask(&mut *worker, "put"), Verdict::Pass);
        let mut unreadable = Fake::new().unknown("method");
        assert_eq!(worker.request(Time::ZERO, &mut unreadable, &mut 0), Verdict::Pass);
        assert_eq!(ask(&mut *worker, "get"), Verdict::Wait(Duration::from_millis(100)));
        let verdict = worker.resumed(Time::ZERO, &[], &mut Fake::new(), &mut 0);
        assert_eq!(verdict, Verdict::Refuse(Refusal::new(Outcome::Overloaded, "go away")));
        assert_eq!(counters(&filter), [("delayed".into(), 1), ("refused".into(), 1)]);

        let filter = fault(r#"{"delay": "1s"}"#);
        let mut worker = filter.worker(1);
        assert_eq!(ask(&mut *worker, "get"), Verdict::Wait(Duration::from_secs(1)));
        let verdict = worker.resumed(Time::ZERO, &[], &mut Fake::new(), &mut 0);
        assert_eq!(verdict, Verdict::Pass);

        let mut worker = fault(r#"{"refuse": {}}"#).worker(1);
        let refusal = Refusal::new(Outcome::FaultInjected, "a fault was injected");
        assert_eq!(ask(&mut *worker, "get"), Verdict::Refuse(refusal));
    }

    #[test]
    fn so_many_of_a_hundred_and_the_same_for_the_same_seed() {
        for percent in [0.0, 0.5, 5.0, 50.0, 100.0] {
            let filter = fault(&format!(r#"{{"percent": {percent}, "refuse": {{}}}}"#));
            let run = |seed| -> Vec<bool> {
                let mut worker = filter.worker(seed);
                (0..20_000).map(|_| ask(&mut *worker, "get") != Verdict::Pass).collect()
            };
            let hits = run(1);
            assert_eq!(hits, run(1));
            let n = hits.iter().filter(|hit| **hit).count() as f64;
            let expect = percent * 200.0;
            // Five times the standard deviation, which is at most 71.
            assert!((n - expect).abs() <= 5.0 * (expect * (1.0 - percent / 100.0)).sqrt(), "{n}");
            assert_eq!(hits == run(2), percent == 0.0 || percent == 100.0);
        }
    }

    #[test]
    fn nothing_is_allocated() {
        for json in [r#"{"refuse": {}, "percent": 50}"#, r#"{"delay": "1s", "percent": 50}"#] {
            let mut worker = fault(json).worker(1);
            let mut request = Fake::new();
            let ((), counts) = alloc::count(|| {
                for _ in 0..100 {
                    let _ = worker.request(Time::ZERO, &mut request, &mut 0);
                }
            });
            assert_eq!(counts, Counts::default(), "{json}");
        }
    }

    #[test]
    fn options_and_explanations() {
        for (json, says) in [
            ("{}", "needs `delay`, `refuse` or both"),
            (r#"{"percent": 101, "refuse": {}}"#, "percent: expected a number from 0 to 100"),
            (r#"{"percent": -1, "refuse": {}}"#, "percent: expected"),
            (r#"{"delay": "0s"}"#, "delay: expected more than nothing"),
            (r#"{"delay": "2h"}"#, "delay: expected"),
            (r#"{"refuse": {"outcome": "ok"}}"#, "refuse.outcome: expected one of protocol_error"),
            (r#"{"refuse": {"outcome": "on fire"}}"#, "fault_injected"),
            (r#"{"refuse": {"text": "a\nb"}}"#, "refuse.text: expected one line"),
        ] {
            let options = serde_json::from_str(json).expect(json);
            let error = InjectFault::new(&options).expect_err(json).to_string();
            assert!(error.contains(says), "{json}: {error}");
        }
        let filter =
            fault(r#"{"match": {"header.a": "b"}, "percent": 2.5, "delay": "10ms", "refuse": {}}"#);
        assert!(filter.want().headers && !filter.want().edits);
        assert!(!fault(r#"{"refuse": {}}"#).want().headers);
        let text = filter.explain(&mut Fake::new().with("header.a", "b"));
        let expect = "in 2.5 of 100 cases delayed by 10ms, then refused as fault_injected: \
                      a fault was injected";
        assert_eq!(text, expect);
        assert_eq!(filter.explain(&mut Fake::new()), "no fault: `match` does not match");
        assert_eq!(filter.foresee(&mut Fake::new().with("header.a", "b")), Verdict::Pass);
        let sure = fault(r#"{"match": {"header.a": "b"}, "delay": "10ms", "refuse": {}}"#);
        let refusal = Refusal::new(Outcome::FaultInjected, TEXT);
        let verdict = sure.foresee(&mut Fake::new().with("header.a", "b"));
        assert_eq!(verdict, Verdict::Refuse(refusal));
        assert_eq!(sure.foresee(&mut Fake::new()), Verdict::Pass);
        let slow = fault(r#"{"delay": "10ms"}"#).foresee(&mut Fake::new());
        assert_eq!(slow, Verdict::Wait(Duration::from_millis(10)));
        assert_eq!(counters(&filter), [("delayed".into(), 0), ("refused".into(), 0)]);
    }
}
