//! A filter that passes, asks, waits, refuses and drops, by what the method begins with.

use std::{borrow::Cow, time::Duration};

use heptad_core::{
    Ask, Attr, End, Filter, FilterWorker, Outcome, Refusal, Request, Time, Value, Verdict,
};

#[derive(Debug)]
pub(super) struct Judges;

impl Filter for Judges {
    fn name(&self) -> &str {
        "judge"
    }

    fn worker(&self, _: u64) -> Box<dyn FilterWorker> {
        Box::new(Judge)
    }
}

struct Judge;

impl FilterWorker for Judge {
    fn request(&mut self, _: Time, request: &mut dyn Request, memory: &mut u64) -> Verdict {
        *memory += 1;
        let first = match request.attr(&Attr::Method) {
            Ok(Some(Value::Bytes(bytes))) => bytes.first().copied().unwrap_or_default(),
            _ => 0,
        };
        let no = || Verdict::Refuse(Refusal::new(Outcome::Denied, Cow::Borrowed("not you")));
        match first.to_ascii_lowercase() {
            b'i' | b'l' => Verdict::Ask(Ask::new("judge", b"yes".to_vec())),
            b'j' => Verdict::Ask(Ask::new("judge", b"no".to_vec())),
            b'k' => Verdict::Ask(Ask::new("judge", b"!".to_vec())),
            b'e' | b'n' => Verdict::Wait(Duration::from_millis(7)),
            b'h' => no(),
            b'x' => Verdict::Drop,
            _ => Verdict::Pass,
        }
    }

    fn resumed(&mut self, _: Time, answer: &[u8], _: &mut dyn Request, _: &mut u64) -> Verdict {
        if answer == b"no" {
            return Verdict::Refuse(Refusal::new(Outcome::Limited, Cow::Borrowed("no")));
        }
        Verdict::Pass
    }

    fn done(&mut self, _: Time, _: &End<'_>, memory: u64) {
        assert_eq!(memory, 1, "a request is asked once, ends once, and has memory of its own");
    }
}
