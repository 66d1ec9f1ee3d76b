//! Feeds bytes to a decoder as the engine would, and checks every single step on the way. It knows
//! the contract of the decoders and no rule that needs more than one pass over the bytes.

use std::{
    cell::Cell,
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind},
};

use heptad_core::{
    Accepted, Answer, Asked, Codec, Ctx, Fault, Kind, Meta, Pairing, Question, Span, Step,
};

use super::{Failure, Rule};

/// Below this many bytes a decoder may always ask for the fixed first part of a frame.
pub(super) const SMALLEST_LIMIT: usize = 32;

/// Who sent the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Client,
    Server,
}

/// What is outstanding on a link.
#[derive(Clone, Debug)]
pub(super) struct Outstanding<T> {
    by_id: bool,
    list: Vec<(u64, T)>,
}

impl<T: Copy> Outstanding<T> {
    pub(super) fn new(pairing: Pairing) -> Self {
        Self { by_id: matches!(pairing, Pairing::ById { .. }), list: Vec::new() }
    }

    pub(super) fn push(&mut self, id: u64, tag: T) {
        self.list.push((id, tag));
    }

    /// Everything twice, as after the same requests again.
    pub(super) fn twice(mut self) -> Self {
        self.list.extend_from_within(..);
        self
    }

    /// The request with this id gets a new one, and is the only one with it.
    pub(super) fn renumber(&mut self, old: u64, new: u64) {
        self.list.retain(|(id, _)| *id != new || *id == old);
        if let Some((id, _)) = self.list.iter_mut().find(|(id, _)| *id == old) {
            *id = new;
        }
    }

    fn place(&self, id: u64) -> Option<usize> {
        if self.by_id {
            self.list.iter().position(|(known, _)| *known == id)
        } else {
            (!self.list.is_empty()).then_some(0)
        }
    }
}

impl<T: Copy> Asked<T> for Outstanding<T> {
    fn tag(&self, id: u64) -> Option<T> {
        let (_, tag) = self.list.get(self.place(id)?)?;
        Some(*tag)
    }
}

/// One end of a connection: the state of its decoder.
pub(super) struct Peer<'c, C: Codec> {
    pub(super) codec: &'c C,
    pub(super) cx: Ctx,
    pub(super) from: From,
    /// There is no head within a frame.
    pub(super) whole_frames: bool,
    /// Headers that may be asked for.
    pub(super) names: &'c [String],
    pub(super) conn: C::Conn,
    pub(super) asked: Outstanding<C::Tag>,
    /// Counts the calls of the decoder.
    pub(super) decodes: &'c Cell<u64>,
    /// What was offered, call by call; for who asks what that costs.
    pub(super) calls: Vec<Call>,
}

/// One call of a decoder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// Where the frame begins.
    pub(super) at: usize,
    /// How many bytes had come by then, counted from the first of all.
    pub(super) seen: usize,
    /// It said `Need`.
    pub(super) waits: bool,
}

/// What a decoder made of the bytes at an offset.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event<T> {
    /// `seen` bytes were offered when it was found; of a reply, the tag is its request's.
    Frame {
        at: usize,
        seen: usize,
        meta: Meta,
        tag: T,
    },
    Reject {
        at: usize,
        meta: Meta,
        fault: Fault,
    },
    Fault {
        at: usize,
        fault: Fault,
    },
}

impl<T: Debug> Event<T> {
    pub(super) const fn at(&self) -> usize {
        match *self {
            Self::Frame { at, .. } | Self::Reject { at, .. } | Self::Fault { at, .. } => at,
        }
    }

    /// Whether the engine would do the same. Two faults at one place are: a decoder may find another
    /// one first when it sees more. Tags have no equality, so that their `Debug` stands for it.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.at() == other.at()
            && match (self, other) {
                (Self::Frame { meta: a, tag: s, .. }, Self::Frame { meta: b, tag: t, .. }) => {
                    a == b && format!("{s:?}") == format!("{t:?}")
                }
                (Self::Reject { meta: a, .. }, Self::Reject { meta: b, .. }) => a == b,
                (Self::Fault { .. }, Self::Fault { .. }) => true,
                _ => false,
            }
    }
}

/// Everything that came of some bytes.
#[derive(Clone, Debug)]
pub(super) struct Trace<T> {
    pub(super) events: Vec<Event<T>>,
    /// Bytes that belong to whole frames, or were skipped.
    pub(super) end: usize,
}

impl<C: Codec> Peer<'_, C> {
    /// Offers `bytes` in reads that end at the offsets `cuts`, which rise to `bytes.len()`.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        cuts: impl IntoIterator<Item = usize>,
    ) -> Result<Trace<C::Tag>, Failure> {
        let mut reads = Reads { cuts: cuts.into_iter(), seen: 0 };
        let mut events = Vec::new();
        let (mut at, mut need) = (0, 1);
        while reads.until(at + need) {
            let seen = reads.seen;
            let broken = |(rule, detail): Broken| Failure::new(rule, bytes, at, detail);
            let offered = &bytes[at..seen];
            need = 1;
            let step = self.step(offered).map_err(broken)?;
            self.calls.push(Call { at, seen, waits: matches!(step, Ok(Step::Need(_))) });
            match step {
                Ok(Step::Need(n)) => {
                    self.check_need(n, offered.len()).map_err(broken)?;
                    need = n;
                }
                Ok(Step::Skip(n)) if n > 0 && n <= offered.len() => at += n,
                Ok(Step::Skip(n)) => {
                    let detail = format!("`Skip({n})` of {} bytes", offered.len());
                    return Err(Failure::new(Rule::Skip, bytes, at, detail));
                }
                Ok(Step::Reject(meta, fault)) => {
                    self.check_meta(&meta).map_err(broken)?;
                    events.push(Event::Reject { at, meta, fault });
                    if !reads.until(at + meta.len as usize) {
                        break;
                    }
                    at += meta.len as usize;
                }
                Ok(Step::Frame(meta, tag)) => {
                    self.check_meta(&meta).map_err(broken)?;
                    let seen = seen - at;
                    let event = Event::Frame { at, seen, meta, tag };
                    events.push(event);
                    let whole = reads.until(at + meta.len as usize);
                    if self.from == From::Client {
                        self.again(&event, &bytes[at..reads.seen]).map_err(broken)?;
                    }
                    if !whole {
                        break;
                    }
                    let frame = &bytes[at..at + meta.len as usize];
                    self.pass(&meta, tag, frame).map_err(broken)?;
                    at += meta.len as usize;
                }
                Ok(step) => {
                    let detail = format!("a step that is not known here: {step:?}");
                    return Err(Failure::new(Rule::Length, bytes, at, detail));
                }
                Err(fault) => {
                    events.push(Event::Fault { at, fault });
                    break;
                }
            }
        }
        Ok(Trace { events, end: at })
    }

    /// Offers all bytes at once.
    pub(super) fn feed_whole(&mut self, bytes: &[u8]) -> Result<Trace<C::Tag>, Failure> {
        self.feed(bytes, [bytes.len()])
    }

    pub(super) fn step(&mut self, offered: &[u8]) -> Result<Result<Step<C::Tag>, Fault>, Broken> {
        self.decodes.set(self.decodes.get() + 1);
        guard("decode", || match self.from {
            From::Client => self.codec.decode_request(&mut self.conn, &self.cx, offered),
            From::Server => {
                let (conn, cx) = (&mut self.conn, &self.cx);
                let step = self.codec.decode_reply(conn, &self.asked, cx, offered)?;
                Ok(match step {
                    Step::Frame(meta, ()) => {
                        Step::Frame(meta, self.asked.tag(meta.id).unwrap_or_default())
                    }
                    Step::Reject(meta, fault) => Step::Reject(meta, fault),
                    Step::Skip(n) => Step::Skip(n),
                    Step::Need(n) => Step::Need(n),
                    other => {
                        let text = "a step that is not known here";
                        debug_assert!(false, "{text}: {other:?}");
                        return Err(Fault::malformed(text));
                    }
                })
            }
        })
    }

    fn check_need(&self, n: usize, offered: usize) -> Result<(), Broken> {
        if n <= offered {
            return Err((Rule::Need, format!("`Need({n})` when {offered} bytes were offered")));
        }
        let limit = match self.from {
            // What rules ask for may stand at the end of a frame.
            From::Client if !self.whole_frames && !self.cx.want.behind_head() => {
                self.cx.max_head.min(self.cx.max_frame)
            }
            _ => self.cx.max_frame,
        };
        if n > (limit as usize).max(SMALLEST_LIMIT) {
            let detail = format!("`Need({n})` with a limit of {limit}, {offered} bytes offered");
            return Err((Rule::NeedLimit, detail));
        }
        Ok(())
    }

    fn check_meta(&self, meta: &Meta) -> Result<(), Broken> {
        if meta.len == 0 {
            return Err((Rule::Length, format!("a frame without bytes: {meta:?}")));
        }
        if meta.len > self.cx.max_frame {
            let detail = format!("{} bytes with `max_frame` {}", meta.len, self.cx.max_frame);
            return Err((Rule::Length, detail));
        }
        if meta.head > meta.len {
            return Err((Rule::Head, format!("head {} of length {}", meta.head, meta.len)));
        }
        for (name, span) in [("service", meta.service), ("method", meta.method), ("key", meta.key)]
        {
            if span != Span::NONE && span.range().end > meta.head as usize {
                let detail = format!("{name} is {:?}, the head {} bytes", span.range(), meta.head);
                return Err((Rule::Spans, detail));
            }
        }
        let wrong = match self.from {
            From::Client => matches!(meta.kind, Kind::Reply | Kind::Push | Kind::GoAway),
            From::Server => matches!(
                meta.kind,
                Kind::Request | Kind::Oneway | Kind::Open | Kind::Login | Kind::Control
            ),
        };
        if wrong {
            return Err((Rule::Kind, format!("{:?} from a {:?}", meta.kind, self.from)));
        }
        Ok(())
    }

    /// The engine may decode a request a second time, when it had to wait.
    fn again(&mut self, event: &Event<C::Tag>, offered: &[u8]) -> Result<(), Broken> {
        let (at, seen) = (event.at(), offered.len());
        let second = match self.step(offered)? {
            Ok(Step::Frame(meta, tag)) => Event::Frame { at, seen, meta, tag },
            other => {
                return Err((Rule::Again, format!("first {event:?}, then {other:?}")));
            }
        };
        if event.same(&second) {
            Ok(())
        } else {
            Err((Rule::Again, format!("first {event:?}, then {second:?}")))
        }
    }

    /// Reads a whole frame and lets it change the connection, as the engine would.
    fn pass(&mut self, meta: &Meta, tag: C::Tag, frame: &[u8]) -> Result<(), Broken> {
        let codec = self.codec;
        let conn = &self.conn;
        // Known or not is the codec's affair here.
        guard("service, method or key", || {
            let _ = codec.service(conn, meta, frame, &mut Vec::new());
            let _ = codec.method(conn, meta, frame, &mut Vec::new());
            let _ = codec.key(conn, meta, frame, &mut Vec::new());
        })?;
        let mut scratch = Vec::new();
        guard("keys", || codec.keys(conn, meta, tag, frame, &mut |_| {}).is_ok())?;
        guard("headers", || codec.headers(conn, meta, frame, &mut |_, _| {}).is_ok())?;
        guard("header, arg, timeout or keep", || {
            for name in self.names.iter().map(String::as_str).chain(["x-heptad-check"]) {
                scratch.clear();
                let _ = codec.header(conn, meta, frame, name, &mut scratch);
            }
            for number in [0, 1, u16::MAX] {
                scratch.clear();
                let _ = codec.arg(conn, meta, frame, number, &mut scratch);
            }
            codec.timeout(conn, meta, frame);
            scratch.clear();
            codec.keep(conn, meta, frame, &mut scratch);
        })?;
        let code = guard("code_name", || codec.code_name(meta, frame))?;
        if let Some(code) = code
            && !(1..=64).contains(&code.len())
        {
            return Err((Rule::CodeName, format!("{code:?} has {} bytes", code.len())));
        }
        match (self.from, meta.kind) {
            (From::Server, Kind::Reply) => {
                guard("redirect or reusable", || {
                    codec.redirect(meta, frame).is_some() || codec.reusable(&self.conn)
                })?;
                if let Some(place) = self.asked.place(meta.id) {
                    self.asked.list.remove(place);
                }
            }
            (
                From::Client,
                Kind::Request | Kind::Oneway | Kind::Open | Kind::Login | Kind::Control,
            ) => {
                let kept = {
                    scratch.clear();
                    codec.keep(&self.conn, meta, frame, &mut scratch).to_vec()
                };
                let fate = guard("accepted", || codec.accepted(&mut self.conn, meta, tag, frame))?;
                if fate != Accepted::Forward {
                    let question = Question::new(meta, tag).kept(&kept);
                    guard("answer", || {
                        codec.answer(&mut self.conn, &question, &Answer::Local, &mut Vec::new())
                    })?
                    .map_err(|fault| {
                        (Rule::Answer, format!("`Answer::Local`, which it asked for: {fault:?}"))
                    })?;
                }
                guard("principal", || codec.principal(&self.conn).is_some())?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// A rule that is broken, and how.
pub(super) type Broken = (Rule, String);

/// Runs a method of the codec; a panic is a broken rule and not the end of the test.
pub(super) fn guard<R>(method: &str, run: impl FnOnce() -> R) -> Result<R, Broken> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = (panic.downcast_ref::<String>().map(String::as_str))
            .or_else(|| panic.downcast_ref::<&str>().copied());
        (Rule::Panic, format!("`{method}` panicked: {}", text.unwrap_or("?")))
    })
}

/// How far the bytes have been read.
struct Reads<I> {
    cuts: I,
    seen: usize,
}

impl<I: Iterator<Item = usize>> Reads<I> {
    /// Reads on until there are `end` bytes; `false` if there will never be.
    fn until(&mut self, end: usize) -> bool {
        while self.seen < end {
            match self.cuts.next() {
                Some(cut) => self.seen = cut,
                None => return false,
            }
        }
        true
    }
}
