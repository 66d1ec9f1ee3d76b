//! The first filter of every chain: it writes down each request and how it ended, and asserts what
//! must hold for all of them. The second one asks somebody outside, now and then.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use heptad_core::{
    Ask, Attr, End, Filter, FilterWorker, Outcome, Refusal, Request, Time, Value, Verdict,
};
use heptad_engine::Route;

/// One request.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) token: String,
    started: Time,
    /// How it ended, and how often it was sent.
    pub(crate) end: Option<(Outcome, u32)>,
}

/// All requests of a listener.
#[derive(Debug)]
pub(crate) struct Book {
    token: Attr,
    /// No request with a route takes longer.
    longest: Duration,
    entries: Mutex<(Vec<Entry>, BTreeSet<String>)>,
}

impl Book {
    pub(crate) fn new(token: &str, longest: Duration) -> Arc<Self> {
        let token = token.parse().expect("an attribute");
        Arc::new(Self { token, longest, entries: Mutex::default() })
    }

    /// Asserts that each request has ended, and gives how often each token was sent and how it
    /// ended, and how many requests ended each way.
    pub(crate) fn close(&self) -> (BTreeMap<String, (u32, Outcome)>, BTreeMap<Outcome, u64>) {
        let entries = self.entries.lock().expect("nobody panicked");
        let (mut sent, mut ends) = (BTreeMap::new(), BTreeMap::new());
        for entry in &entries.0 {
            let (outcome, attempts) =
                entry.end.unwrap_or_else(|| panic!("{} has not ended", entry.token));
            let of: &mut (u32, _) = sent.entry(entry.token.clone()).or_insert((0, outcome));
            of.0 += attempts;
            *ends.entry(outcome).or_default() += 1;
        }
        (sent, ends)
    }
}

#[derive(Debug)]
pub(crate) struct Clerk(pub(crate) Arc<Book>);

impl Filter for Clerk {
    fn name(&self) -> &str {
        "clerk"
    }
    fn worker(&self, _: u64) -> Box<dyn FilterWorker> {
        Box::new(Self(self.0.clone()))
    }
}

impl FilterWorker for Clerk {
    fn request(&mut self, now: Time, request: &mut dyn Request, scratch: &mut u64) -> Verdict {
        let token = match request.attr(&self.0.token) {
            Ok(Some(Value::Bytes(bytes))) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        };
        let mut book = self.0.entries.lock().expect("nobody panicked");
        assert_eq!(*scratch, 0, "a request's memory is its own");
        // Several requests of a transaction have the same one.
        let plain = token.matches('.').count() == 1;
        assert!(!plain || book.1.insert(token.clone()), "{token} is admitted once");
        book.0.push(Entry { token, started: now, end: None });
        *scratch = book.0.len() as u64;
        Verdict::Pass
    }

    fn done(&mut self, now: Time, end: &End<'_>, scratch: u64) {
        let mut book = self.0.entries.lock().expect("nobody panicked");
        let entry = &mut book.0[scratch as usize - 1];
        assert_eq!(entry.end, None, "{} ends once", entry.token);
        let took = now - entry.started;
        // Without a route there is the default.
        let longest = if end.route.is_empty() { Route::TIMEOUT } else { self.0.longest };
        assert!(took <= longest, "{} took {took:?}: {end:?}", entry.token);
        entry.end = Some((end.outcome, end.attempts));
    }
}

/// Asks about some of the requests.
#[derive(Debug)]
pub(crate) struct Asker(pub(crate) fastrand::Rng);

impl Filter for Asker {
    fn name(&self) -> &str {
        "asker"
    }
    fn worker(&self, seed: u64) -> Box<dyn FilterWorker> {
        Box::new(Self(fastrand::Rng::with_seed(seed)))
    }
}

impl FilterWorker for Asker {
    fn request(&mut self, _: Time, _: &mut dyn Request, scratch: &mut u64) -> Verdict {
        *scratch = 1;
        match self.0.u32(0..20) {
            0..4 => Verdict::Ask(Ask::new("anybody", Vec::new())),
            4 => Verdict::Wait(Duration::from_millis(self.0.u64(0..60))),
            5 => Verdict::Refuse(Refusal::new(Outcome::Denied, "not you")),
            _ => Verdict::Pass,
        }
    }

    fn resumed(&mut self, _: Time, answer: &[u8], _: &mut dyn Request, _: &mut u64) -> Verdict {
        match answer {
            b"no" => Verdict::Refuse(Refusal::new(Outcome::Denied, "somebody said no")),
            _ => Verdict::Pass,
        }
    }

    fn done(&mut self, _: Time, _: &End<'_>, scratch: u64) {
        assert_eq!(scratch, 1, "a request's memory is its own");
    }
}
