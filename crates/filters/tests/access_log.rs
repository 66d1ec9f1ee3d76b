//! What `access_log` hands over, and that it costs no allocation.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use heptad_core::{
    Attr, Attributes, End, Filter, HeaderEdit, Outcome, Reason, Request, Time, Unknown, Value,
    Verdict, Wall,
};
use heptad_filters::{AccessLog, AccessLogOptions};
use heptad_testkit::alloc;

/// A request with these attributes; `?` is unknown.
#[derive(Default)]
struct Fake(BTreeMap<Attr, &'static [u8]>);

impl Fake {
    fn new(attrs: &[(&str, &'static str)]) -> Self {
        let parse = |(name, value): &(&str, &'static str)| {
            (name.parse().expect("an attribute"), value.as_bytes())
        };
        Self(attrs.iter().map(parse).collect())
    }
}

impl Attributes for Fake {
    fn attr(&mut self, attr: &Attr) -> Result<Option<Value<'_>>, Unknown> {
        match self.0.get(attr).copied() {
            Some(b"?") => Err(Unknown),
            Some(value) => Ok(Some(Value::Bytes(value))),
            None => Ok(None),
        }
    }
}

impl Request for Fake {
    fn keys(&mut self, _: &mut dyn FnMut(&[u8])) -> Result<(), Unknown> {
        Ok(())
    }
    fn edit(&mut self, _: HeaderEdit) {
        panic!("a log changes nothing");
    }
}

fn filter(options: serde_json::Value) -> AccessLog {
    let options: AccessLogOptions = serde_json::from_value(options).expect("options");
    AccessLog::new(&options).expect("good options")
}

fn lines(filter: &AccessLog) -> Vec<String> {
    let feed = filter.feed().expect("it records");
    let mut out = Vec::new();
    feed.read(&mut Vec::new(), &mut |record| {
        feed.render().record(record, Wall::default(), &mut out);
    });
    String::from_utf8(out).expect("text").lines().map(str::to_owned).collect()
}

fn ms(n: u64) -> Time {
    Time::ZERO + Duration::from_millis(n)
}

fn end(outcome: Outcome) -> End<'static> {
    let mut end = End::default();
    end.outcome = outcome;
    end.reason = Reason::None;
    end.route = "all";
    end.endpoint = "10.0.0.1:80";
    end
}

#[test]
fn requests_that_overlap_are_told_apart() {
    let log = filter(serde_json::json!({ "path": "x", "format": "{method} {key} {outcome}" }));
    let mut worker = log.worker(1);
    let mut scratch = [0; 3];
    let calls = [("GET", "a"), ("SET", "?"), ("DEL", "c")];
    for ((method, key), scratch) in calls.iter().zip(&mut scratch) {
        let mut request = Fake::new(&[("method", method), ("key", key)]);
        assert_eq!(worker.request(ms(0), &mut request, scratch), Verdict::Pass);
    }
    assert!(lines(&log).is_empty(), "nothing is known of their end");
    worker.done(ms(1), &end(Outcome::Ok), scratch[1]);
    worker.done(ms(1), &end(Outcome::Timeout), scratch[2]);
    worker.done(ms(1), &end(Outcome::Reset), scratch[0]);
    assert_eq!(lines(&log), ["SET ? ok", "DEL c timeout", "GET a reset"]);
}

#[test]
fn only_says_which_requests_are_written() {
    let log = filter(serde_json::json!({
        "path": "x",
        "format": "{method} {outcome}",
        "only": [
            { "outcomes": ["error"], "match": { "method": { "not": "PING" } } },
            { "slower_than": "100ms" },
            { "match": { "key": "traced" } },
        ],
    }));
    let mut worker = log.worker(1);
    let mut written = |attrs: &[(&str, &'static str)], took: u64, outcome: Outcome| {
        let mut scratch = 0;
        worker.request(ms(0), &mut Fake::new(attrs), &mut scratch);
        worker.done(ms(took), &end(outcome), scratch);
        lines(&log).len() == 1
    };
    let get = ("method", "GET");
    for (attrs, took, outcome, expect) in [
        (&[get][..], 1, Outcome::Ok, false),
        (&[get], 1, Outcome::Timeout, true),
        (&[("method", "PING")], 1, Outcome::Timeout, false),
        (&[("method", "PING")], 101, Outcome::Timeout, true),
        (&[get], 100, Outcome::Ok, false),
        (&[get], 101, Outcome::Ok, true),
        (&[get, ("key", "traced")], 1, Outcome::Ok, true),
        (&[get, ("key", "other")], 1, Outcome::Ok, false),
        // What cannot be told is written: a record too many is the smaller evil.
        (&[get, ("key", "?")], 1, Outcome::Ok, true),
    ] {
        assert_eq!(written(attrs, took, outcome), expect, "{attrs:?} {took} {outcome}");
    }
}

#[test]
fn a_sample_is_a_share_and_the_same_for_the_same_seed() {
    let pick = |seed: u64, sample: f64| -> Vec<bool> {
        let log = filter(serde_json::json!({ "path": "x", "sample": sample }));
        let mut worker = log.worker(seed);
        (0..10_000)
            .map(|_| {
                let mut scratch = 0;
                worker.request(ms(0), &mut Fake::default(), &mut scratch);
                worker.done(ms(0), &end(Outcome::Ok), scratch);
                scratch != 0
            })
            .collect()
    };
    let picked = |seed, sample| pick(seed, sample).iter().filter(|picked| **picked).count();
    assert_eq!(pick(7, 10.0), pick(7, 10.0));
    assert_ne!(pick(7, 10.0), pick(8, 10.0));
    assert!((800..1200).contains(&picked(7, 10.0)), "{}", picked(7, 10.0));
    assert_eq!((picked(7, 0.0), picked(7, 100.0)), (0, 10_000));
}

#[test]
fn a_worker_allocates_nothing_once_warm_and_drops_what_has_no_room() {
    let log = Arc::new(filter(serde_json::json!({
        "path": "x",
        "buffer": "64KiB",
        "only": [{ "outcomes": ["ok"] }, { "slower_than": "1h" }],
    })));
    let mut worker = log.worker(1);
    let attrs = [("service", "reviews"), ("method", "Get"), ("key", "a key"), ("protocol", "x")];
    let mut requests: Vec<Fake> = (0..16).map(|_| Fake::new(&attrs)).collect();
    let mut scratch = [0; 16];
    let mut round = || {
        for (request, scratch) in requests.iter_mut().zip(&mut scratch) {
            *scratch = 0;
            worker.request(ms(0), request, scratch);
        }
        for scratch in &scratch {
            worker.done(ms(1), &end(Outcome::Ok), *scratch);
        }
    };
    round();
    assert_eq!(lines(&log).len(), 16);
    let ((), counts) = alloc::count(|| (0..100).for_each(|_| round()));
    assert_eq!(counts.allocations, 0, "{counts:?}");
    let mut counted = BTreeMap::new();
    log.counters(&mut |event, count| {
        counted.insert(event.to_owned(), count);
    });
    // 64 KiB of records are there; the others are not, and are not forgotten.
    let (recorded, dropped) = (counted["recorded"], counted["dropped"]);
    assert_eq!(recorded + dropped, 16 * 101);
    assert!(dropped > 0 && recorded > 200, "{counted:?}");
    assert_eq!(lines(&log).len() as u64, recorded - 16);
}

#[test]
fn options_that_make_no_sense_are_named() {
    for (options, path) in [
        (serde_json::json!({}), "path"),
        (serde_json::json!({ "path": "x", "format": "{nothing}" }), "format"),
        (serde_json::json!({ "path": "x", "fields": ["method", "nothing"] }), "fields.1"),
        (serde_json::json!({ "path": "x", "format": "{key}", "fields": ["key"] }), "fields"),
        (serde_json::json!({ "path": "x", "sample": 101 }), "sample"),
        (serde_json::json!({ "path": "x", "sample": -1 }), "sample"),
        (serde_json::json!({ "path": "x", "buffer": "1KiB" }), "buffer"),
        (
            serde_json::json!({ "path": "x", "only": [{}, { "outcomes": ["ok", "oops"] }] }),
            "only.1.outcomes.1",
        ),
    ] {
        let parsed: AccessLogOptions = serde_json::from_value(options.clone()).expect("a shape");
        let error = AccessLog::new(&parsed).expect_err("no sense");
        assert_eq!(error.path, path, "{options}: {error}");
    }
}

#[test]
fn headers_are_asked_for_only_if_a_line_or_a_condition_has_them() {
    let wants = |options| filter(options).want().headers;
    assert!(!wants(serde_json::json!({ "path": "x" })));
    assert!(wants(serde_json::json!({ "path": "x", "format": "{header.a}" })));
    assert!(wants(serde_json::json!({ "path": "x", "only": [{ "match": { "arg.0": "a" } }] })));
}
