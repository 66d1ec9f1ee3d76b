//! The plugin trait for a policy that applies to every protocol.

use std::{borrow::Cow, fmt::Debug, sync::Arc, time::Duration};

use crate::{Attr, Attributes, Feed, HeaderEdit, Outcome, Reason, Time, Unknown, Want};

/// A policy, built once from its options and shared by all workers.
pub trait Filter: Debug + Send + Sync + 'static {
    /// The name in configuration, metrics and logs.
    fn name(&self) -> &str;

    /// The part of the filter that one worker owns. `seed` is this worker's randomness.
    fn worker(&self, seed: u64) -> Box<dyn FilterWorker>;

    /// What it asks of frames and does to them, so that decoders look as far as they must. Unless
    /// told: it may read anything and edits nothing.
    fn want(&self) -> Want {
        Want { headers: true, edits: false, service: true }
    }

    /// What the filter would do with a request, and which of its rules decides, for `explain`: a
    /// few lines of text. Changes nothing and counts nothing.
    fn explain(&self, request: &mut dyn Request) -> String {
        let _ = request;
        String::new()
    }

    /// What it surely decides about such a request, for `explain`; `Pass` too if time, chance or
    /// other requests decide. Called only on filters that serve nobody. Unless told: what a new
    /// worker decides.
    fn foresee(&self, request: &mut dyn Request) -> Verdict {
        self.worker(0).request(Time::ZERO, request, &mut 0)
    }

    /// Calls `each` with the name and the count of every kind of event that the filter counts by
    /// itself, for metrics.
    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        let _ = each;
    }

    /// What its workers hand over to be written or sent elsewhere, if it records anything. The
    /// same one each time.
    fn feed(&self) -> Option<&Arc<Feed>> {
        None
    }
}

/// A filter inside one worker: no locks, no I/O, no clock.
///
/// `scratch` belongs to this filter and this request: eight bytes to remember something between
/// the calls, zero at first. [`FilterWorker::done`] is called exactly once for each request of which
/// something is remembered there: one whose scratch is still zero at the end ends without it.
pub trait FilterWorker: Send {
    /// A request was decoded and routed and is not yet sent.
    fn request(&mut self, now: Time, request: &mut dyn Request, scratch: &mut u64) -> Verdict;

    /// The driver has performed what `Ask` asked for, and `answer` is what it brought; or the time
    /// of a `Wait` is over, and `answer` is empty.
    fn resumed(
        &mut self,
        now: Time,
        answer: &[u8],
        request: &mut dyn Request,
        scratch: &mut u64,
    ) -> Verdict {
        let _ = (now, answer, request, scratch);
        Verdict::Pass
    }

    /// Of which other requests that have the service and method of the one that it has just passed
    /// it would decide the same, and remember as little. Such requests may then pass it without
    /// `request`; it is told of each with `repeated`. Unless told: of none.
    fn repeats(&self) -> Repeats {
        Repeats::No
    }

    /// Whether a request passes because of what [`FilterWorker::repeats`] said. If not, `request` is
    /// called for it: a filter that looks at one request of many says so for that one.
    fn repeated(&mut self) -> bool {
        true
    }

    /// The request is over. Its bytes are gone: what a filter wants to tell of it must be
    /// remembered in `request`.
    fn done(&mut self, now: Time, end: &End<'_>, scratch: u64) {
        let _ = (now, end, scratch);
    }
}

/// For which requests of the same service and method a filter's verdict holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Repeats {
    /// For this one.
    #[default]
    No,
    /// For those of the same connection.
    OnConnection,
    /// For all.
    Always,
}

impl Repeats {
    /// What holds where these attributes decide, and nothing else.
    pub fn by<'a>(attrs: impl IntoIterator<Item = &'a Attr>) -> Self {
        let of = |attr: &Attr| match attr {
            attr if attr.is_by_names() => Self::Always,
            Attr::SourceIp | Attr::SourcePort => Self::OnConnection,
            _ => Self::No,
        };
        attrs.into_iter().map(of).fold(Self::Always, Self::and)
    }

    /// What holds where both hold.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Always, Self::Always) => Self::Always,
            _ => Self::OnConnection,
        }
    }
}

/// A request as a filter sees it.
pub trait Request: Attributes {
    /// Calls `each` with every key of the request, in order. `Err(Unknown)`: it may touch others
    /// than those (a script, say); not the same as a request without keys.
    fn keys(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<(), Unknown>;

    /// A number for its connection that no other connection of the same worker has while this one
    /// is open. `listener`, `protocol`, `source.ip`, `source.port` and `destination.port` are the
    /// same for all its requests; `source.principal` is not, a client may log in later. `None`
    /// (unless told): it is not known which.
    fn connection(&self) -> Option<u64> {
        None
    }

    /// Whether the protocol has headers: if not, none is ever found and no edit does anything.
    /// Unless told: yes.
    fn headers(&self) -> bool {
        true
    }

    /// Changes a header of the request as it is sent, after the route's own edits. Protocols
    /// without headers ignore it. Costs an allocation.
    fn edit(&mut self, edit: HeaderEdit);
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct End<'a> {
    /// What happened.
    pub outcome: Outcome,
    /// Which limit, fault or rule.
    pub reason: Reason,
    /// The protocol's own name of the error; empty if there is none.
    pub code: &'a str,
    /// The route's name; empty if none matched.
    pub route: &'a str,
    /// The cluster's name; empty if none was chosen.
    pub cluster: &'a str,
    /// Address of the endpoint that was asked last; empty if none was.
    pub endpoint: &'a str,
    /// Length of the request's frame, bytes.
    pub request_bytes: u64,
    /// Bytes written to the client.
    pub reply_bytes: u64,
    /// How often it was sent to an endpoint.
    pub attempts: u32,
    /// When it was decoded.
    pub started: Time,
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
    /// The request waits this long; then `resumed` is called.
    Wait(Duration),
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
