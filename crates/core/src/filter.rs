//! The plugin trait for a policy that applies to every protocol.

use std::{borrow::Cow, fmt::Debug};

use crate::{Attributes, Outcome, Reason, Time};

/// A policy, built once from its options and shared by all workers.
pub trait Filter: Debug + Send + Sync + 'static {
    /// The name in configuration, metrics and logs.
    fn name(&self) -> &str;

    /// The part of the filter that one worker owns. `seed` is this worker's randomness.
    fn worker(&self, seed: u64) -> Box<dyn FilterWorker>;
}

/// A filter inside one worker: no locks, no I/O, no clock.
///
/// `scratch` belongs to this filter and this request: eight bytes to remember something between
/// the calls, zero at first. [`FilterWorker::done`] is called exactly once for each request for
/// which `request` was called.
pub trait FilterWorker: Send {
    /// A request was decoded and routed and is not yet sent.
    fn request(&mut self, now: Time, attributes: &mut dyn Attributes, scratch: &mut u64)
    -> Verdict;

    /// The driver has performed what `Ask` asked for; `answer` is what it brought.
    fn resumed(
        &mut self,
        now: Time,
        answer: &[u8],
        attributes: &mut dyn Attributes,
        scratch: &mut u64,
    ) -> Verdict {
        let _ = (now, answer, attributes, scratch);
        Verdict::Pass
    }

    /// A reply came (not called for Heptad's own answers).
    fn reply(&mut self, now: Time, outcome: Outcome, scratch: &mut u64) {
        let _ = (now, outcome, scratch);
    }

    /// The request is over.
    fn done(&mut self, now: Time, outcome: Outcome, reason: Reason, scratch: u64) {
        let _ = (now, outcome, reason, scratch);
    }
}

/// What a filter decides.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The next filter decides.
    Pass,
    /// The request is answered with an error.
    Refuse(Refusal),
    /// The request is not forwarded and gets no answer.
    Drop,
    /// The request waits until the driver has done this and called `resumed`.
    Ask(Ask),
}

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// `Denied`, `Limited`, `Overloaded`, `FaultInjected`, … .
    pub outcome: Outcome,
    /// Text for the human at the client: one line, at most 512 bytes.
    pub text: Cow<'static, str>,
}

impl Refusal {
    /// A refusal.
    pub fn new(outcome: Outcome, text: impl Into<Cow<'static, str>>) -> Self {
        Self { outcome, text: text.into() }
    }
}

/// Async work as plain data: the only door to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ask {
    /// Who performs it: a name the driver was set up with.
    pub service: Cow<'static, str>,
    /// What to do, in the performer's own format.
    pub data: Vec<u8>,
}

impl Ask {
    /// Work for `service`.
    pub fn new(service: impl Into<Cow<'static, str>>, data: Vec<u8>) -> Self {
        Self { service: service.into(), data }
    }
}
