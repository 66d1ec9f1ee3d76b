//! Bytes from clients: cut into frames, one after the other, until something must be waited for.

use std::time::Duration;

use bytes::Bytes;
use heptad_core::{Answer, Bind, Codec, Fault, Kind, Lane, Meta, Outcome, Reason, Step, Time};

use crate::{
    ConnId, Engine, Event, SessionId,
    arena::Key,
    exchange::{Phase, is_control},
    follow::Followed,
    plan::End,
    session::{Session, Stall},
    timers::Due,
};

/// A session that waits for something is read until this many bytes are buffered, so that a client
/// that leaves is still noticed.
const READ_AHEAD: usize = 16 << 10;

/// How long a session that is being closed may go without reading anything of its last answers.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Inputs of at least this size are decoded as shared bytes, so that large frames need no copy.
const SHARE_INPUT: usize = 16 << 10;

impl<C: Codec> Engine<C> {
    /// Bytes came.
    pub(crate) fn intake(&mut self, now: Time, id: SessionId, bytes: &[u8]) {
        let Some(s) = self.sessions.get_mut(id.0) else {
            return;
        };
        self.stats.received_bytes += bytes.len() as u64;
        s.active = now;
        if s.closing || s.eof {
            return;
        }
        if s.input.is_empty() && self.may_decode(id) {
            if let Some(s) = self.sessions.get_mut(id.0) {
                s.stall = Stall::None;
            }
            let taken = self.decode(now, id, bytes, None);
            if let Some(s) = self.sessions.get_mut(id.0) {
                self.leftovers.append(&mut s.input, bytes.get(taken..).unwrap_or_default());
            }
        } else if let Some(s) = self.sessions.get_mut(id.0) {
            self.leftovers.append(&mut s.input, bytes);
        }
        self.pump(now, id);
    }

    /// Looks at a session for which something may have changed.
    pub(crate) fn pump(&mut self, now: Time, id: SessionId) {
        self.go_on_when_quiet(now, id);
        if self.sessions.get(id.0).is_none_or(Session::plain) {
            return;
        }
        if self.may_decode(id)
            && let Some(s) = self.sessions.get_mut(id.0)
        {
            s.stall = Stall::None;
        }
        loop {
            let Some(s) = self.sessions.get(id.0) else {
                return;
            };
            let enough = !s.input.is_empty() && s.input.len() >= s.need;
            if s.closing || !enough || !self.may_decode(id) {
                break;
            }
            let Some(s) = self.sessions.get_mut(id.0) else {
                return;
            };
            let input = std::mem::take(&mut s.input);
            let (taken, rest) = if input.len() >= SHARE_INPUT {
                let shared = Bytes::from(input);
                let taken = self.decode(now, id, &shared, Some(&shared));
                (taken, rest_of(shared, taken))
            } else {
                let taken = self.decode(now, id, &input, None);
                (taken, rest_of_own(input, taken))
            };
            if rest.is_empty() {
                self.leftovers.recycle(rest);
            } else if let Some(s) = self.sessions.get_mut(id.0) {
                s.input = rest;
            }
            if taken == 0 {
                break;
            }
        }
        self.account(now, id);
        self.finish_session(now, id);
    }

    /// Keeps the worker's total of buffered bytes, and its limit.
    fn account(&mut self, now: Time, id: SessionId) {
        let limit = self.limits().buffered;
        let Some(s) = self.sessions.get_mut(id.0) else {
            return;
        };
        self.buffered = self.buffered.saturating_sub(s.counted) + s.input.len();
        let grew = s.input.len() > s.counted;
        s.counted = s.input.len();
        if self.buffered > limit && grew && !s.closing {
            self.fault(
                now,
                id,
                Fault::new(Outcome::Overloaded, Reason::Buffered, "too many bytes are buffered"),
            );
        }
    }

    /// Closes a session that has nothing left to do, and tells the driver when to read on.
    fn finish_session(&mut self, now: Time, id: SessionId) {
        let Some(s) = self.sessions.get(id.0) else {
            return;
        };
        let done = s.open.is_empty() && s.attempts == 0;
        // After the end of its input a client gets what it asked for, and no more.
        let ended = s.eof && s.open.is_empty() && s.stall == Stall::None;
        let left = s.leaving && done && s.held.is_empty();
        if (s.closing && s.open.is_empty()) || ended || left {
            if let Some(s) = self.sessions.get_mut(id.0) {
                if ended && !s.input.is_empty() {
                    // It ended in the middle of a frame.
                    self.stats.session_ended((Outcome::BadRequest, Reason::Closed));
                }
                s.closing = true;
                s.input = Vec::new();
                if !s.out.is_empty() && !s.parting {
                    s.parting = true;
                    self.timers.at(now + LAST_WORDS, Due::Session(id));
                }
                if s.out.is_empty() {
                    self.remove_session(now, id, (Outcome::Ok, Reason::None));
                    self.events.push_back(Event::Close(ConnId::Session(id)));
                    return;
                }
            }
            self.account(now, id);
        }
        let Some(s) = self.sessions.get(id.0) else {
            return;
        };
        let reads = self.reads(s);
        if let Some(s) = self.sessions.get_mut(id.0) {
            if reads && s.paused {
                self.events.push_back(Event::Read(id));
            }
            s.paused = !reads;
        }
    }

    /// Whether the session should be read from.
    pub(crate) fn reads(&self, s: &Session<C>) -> bool {
        if s.closing || s.eof {
            return false;
        }
        match s.stall {
            Stall::None => true,
            Stall::Room => false,
            Stall::Barrier(_) | Stall::Waiting(_) => s.input.len() < READ_AHEAD,
        }
    }

    /// Whether what a session waits for has come.
    fn may_decode(&self, id: SessionId) -> bool {
        let Some(s) = self.sessions.get(id.0) else {
            return false;
        };
        if s.closing {
            return false;
        }
        match s.stall {
            Stall::None => true,
            Stall::Barrier(key) => self.exchanges.get(key).is_none(),
            Stall::Waiting(key) => !self.is_parked(key),
            Stall::Room => s.has_room(self.limits()),
        }
    }

    /// Whether what comes behind an exchange must wait until it is on its way. The frames of a
    /// stream find their link only when its opening was written.
    fn is_parked(&self, key: Key) -> bool {
        self.exchanges.get(key).is_some_and(|x| match x.phase {
            Phase::Asking(..) | Phase::Quiet | Phase::Queued => true,
            Phase::Dialing => x.meta.kind == Kind::Open,
            Phase::Sent | Phase::Settled => false,
        })
    }

    /// Takes whole frames from the front of `buf` and returns how many bytes they had.
    fn decode(&mut self, now: Time, id: SessionId, buf: &[u8], shared: Option<&Bytes>) -> usize {
        let mut at = 0;
        let max = self.ctx.max_frame as usize;
        // The filter that wants to look at the next frame; whether frames seem to follow their kind.
        let (mut asks, mut alike) = (None, true);
        loop {
            let Some(s) = self.sessions.get_mut(id.0) else {
                return buf.len();
            };
            if s.closing {
                return buf.len();
            }
            if s.stall != Stall::None {
                return at;
            }
            if !s.has_room(&self.plan.limits) {
                s.stall = Stall::Room;
                return at;
            }
            let rest = buf.get(at..).unwrap_or_default();
            if rest.is_empty() || rest.len() < s.need {
                return at;
            }
            let step = self.codec.decode_request(&mut s.conn, &self.ctx, rest);
            // What the decoder found is looked at where it is: it is too large to be moved for
            // each frame.
            let mut odd = None;
            if let Ok(Step::Frame(meta, tag)) = &step
                && let len = meta.len as usize
                && (1..=max).contains(&len)
                && let Some(frame) = rest.get(..len)
            {
                s.need = 0;
                let piece = shared.map(|b| b.slice(at..(at + len).min(b.len())));
                at += len;
                if !self.request_express(now, id, meta, *tag, frame, piece.as_ref(), asks.take()) {
                    self.frame(now, id, *meta, *tag, frame, piece.as_ref());
                } else if alike && at < buf.len() {
                    let from = at;
                    match self.follow(now, id, buf, shared, &mut at) {
                        Followed::On => alike = at > from,
                        Followed::Asks(filter) => asks = Some(filter),
                        Followed::Odd(step) => odd = Some(step),
                    }
                }
            } else {
                odd = Some(step);
            }
            if let Some(step) = odd
                && let Some(taken) = self.odd_step(now, id, step, buf, &mut at)
            {
                return taken;
            }
        }
    }

    /// What is not a whole frame, or a strange one; how many bytes were taken if it cannot go on.
    #[inline(never)]
    fn odd_step(
        &mut self,
        now: Time,
        id: SessionId,
        step: Result<Step<C::Tag>, Fault>,
        buf: &[u8],
        at: &mut usize,
    ) -> Option<usize> {
        let max = self.ctx.max_frame as usize;
        let rest = buf.get(*at..).unwrap_or_default();
        let Some(s) = self.sessions.get_mut(id.0) else {
            return Some(buf.len());
        };
        match step {
            Ok(Step::Need(n)) if n > max => {
                self.fault(now, id, TOO_LONG);
                return Some(buf.len());
            }
            Ok(Step::Need(n)) => {
                // A codec that asks for what it has would never be called again.
                s.need = n.max(rest.len() + 1);
                return Some(*at);
            }
            Ok(Step::Skip(n)) => {
                s.need = 0;
                *at += n.clamp(1, rest.len());
            }
            Ok(Step::Frame(meta, _) | Step::Reject(meta, _)) if meta.len as usize > max => {
                self.fault(now, id, TOO_LONG);
                return Some(buf.len());
            }
            Ok(Step::Frame(meta, _) | Step::Reject(meta, _)) if meta.len as usize > rest.len() => {
                s.need = meta.len as usize;
                return Some(*at);
            }
            Ok(Step::Frame(meta, tag)) => {
                // A frame of no bytes would be found for ever.
                s.need = 0;
                *at += 1;
                self.frame(now, id, meta, tag, rest.get(..1).unwrap_or(rest), None);
            }
            Ok(Step::Reject(meta, fault)) => {
                s.need = 0;
                *at += (meta.len as usize).max(1);
                self.reject(now, id, meta, rest, fault);
            }
            Ok(_) => return Some(*at),
            Err(fault) => {
                self.fault(now, id, fault);
                return Some(buf.len());
            }
        }
        None
    }

    /// One whole frame.
    fn frame(
        &mut self,
        now: Time,
        id: SessionId,
        meta: Meta,
        tag: C::Tag,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) {
        let mut meta = meta;
        if let Some(s) = self.sessions.get_mut(id.0)
            && s.eof
            && meta.wait_ms > 0
        {
            if !meta.idempotent {
                // It would wait for a client that is gone, and take what it waited for; what came
                // before it is answered.
                s.closing = true;
                return self.wake(id);
            }
            meta.wait_ms = meta.wait_ms.min(1000);
        }
        match meta.kind {
            Kind::Request | Kind::Oneway | Kind::Open | Kind::Login | Kind::Control => {
                let key = self.admit(now, id, meta, tag, frame, shared);
                let barrier = is_control(&meta) || matches!(meta.bind, Bind::Release(_));
                let ordered = self.traits.ordered || meta.kind == Kind::Open;
                let parked = self.is_parked(key);
                if let Some(s) = self.sessions.get_mut(id.0) {
                    if barrier && self.exchanges.get(key).is_some() {
                        s.stall = Stall::Barrier(key);
                    } else if parked && ordered {
                        s.stall = Stall::Waiting(key);
                    }
                }
            }
            Kind::Ping => {
                let key = self.exchange(now, id, meta, tag);
                let end = (Outcome::Ok, Reason::None);
                self.settle(now, key, None, end, 0, |codec, _, conn, q, chain| {
                    codec.answer(conn, q, &Answer::Pong, chain.tail())
                });
            }
            Kind::Data | Kind::End | Kind::Reset => self.stream_frame(now, id, meta, frame, shared),
            Kind::Pong => {}
            Kind::GoAway => {
                if let Some(s) = self.sessions.get_mut(id.0) {
                    s.leaving = true;
                }
                self.wake(id);
            }
            _ => self.fault(now, id, UNEXPECTED),
        }
    }

    /// What comes behind an exchange waits until it is on its way, where order is kept.
    pub(crate) fn stall_behind(&mut self, id: SessionId, key: Key) {
        if self.traits.ordered
            && self.is_parked(key)
            && let Some(s) = self.sessions.get_mut(id.0)
        {
            s.stall = Stall::Waiting(key);
        }
    }

    /// A frame that is answered with a fault, at its place.
    fn reject(&mut self, now: Time, id: SessionId, meta: Meta, frame: &[u8], fault: Fault) {
        let key = self.exchange(now, id, meta, C::Tag::default());
        let frame = frame.get(..meta.len as usize).unwrap_or(frame);
        self.keep_words(key, frame);
        if let Some(x) = self.exchanges.get_mut(key) {
            x.series = self.no_route;
        }
        self.count_in(key);
        self.settle_error(now, key, (fault.outcome, fault.reason), fault.text);
    }

    /// The connection cannot go on: a last answer, then the end.
    pub(crate) fn fault(&mut self, now: Time, id: SessionId, fault: Fault) {
        self.stats.session_ended((fault.outcome, fault.reason));
        let key = self.exchange(now, id, Meta::frame(Kind::Request, 0), C::Tag::default());
        self.settle_error(now, key, (fault.outcome, fault.reason), fault.text);
        let mut streams = Vec::new();
        if let Some(s) = self.sessions.get_mut(id.0) {
            s.closing = true;
            s.input = Vec::new();
            s.need = 0;
            streams.extend(s.streams.values().copied());
        }
        // Requests in flight are answered before the end; a stream has none of its own.
        for key in streams {
            self.end_silently(now, key, (Outcome::Cancelled, Reason::Closed));
        }
        self.wake(id);
    }

    /// A deadline of a session: it is closed if it was idle since.
    pub(crate) fn look_at_session(&mut self, now: Time, id: SessionId) {
        let Some(s) = self.sessions.get(id.0) else {
            return;
        };
        if s.closing {
            // It has its last answers to read, and reads them or does not.
            let due = s.active + LAST_WORDS;
            if due > now || !s.open.is_empty() {
                self.timers.at(due.max(now + LAST_WORDS), Due::Session(id));
            } else {
                self.drop_session(now, id, (Outcome::Overloaded, Reason::SlowReader));
                self.events.push_back(Event::Close(ConnId::Session(id)));
            }
            return;
        }
        let Some(idle) = self.limits().idle_timeout else {
            return;
        };
        let due = s.active + idle;
        // Who holds a link listens: a subscriber says nothing for hours.
        let listens = s.held.iter().any(|h| h.lane != Lane::PerEndpoint);
        if !s.open.is_empty() || listens {
            self.timers.at(now + idle, Due::Session(id));
        } else if due > now {
            self.timers.at(due, Due::Session(id));
        } else {
            self.drop_session(now, id, (Outcome::Timeout, Reason::Idle));
            self.events.push_back(Event::Close(ConnId::Session(id)));
        }
    }

    /// The session is gone: nobody waits for its replies any more.
    pub(crate) fn drop_session(&mut self, now: Time, id: SessionId, end: End) {
        let Some(s) = self.sessions.get_mut(id.0) else {
            return;
        };
        (s.closing, s.gone) = (true, true);
        s.out.clear();
        let open: Vec<_> = s.open.iter().collect();
        for key in open {
            self.end_silently(now, key, end);
        }
        self.remove_session(now, id, end);
    }

    fn remove_session(&mut self, now: Time, id: SessionId, end: End) {
        let Some(s) = self.sessions.remove(id.0) else {
            return;
        };
        self.buffered = self.buffered.saturating_sub(s.counted);
        self.stats.sessions = self.stats.sessions.saturating_sub(1);
        if end.0 != Outcome::Ok {
            self.stats.session_ended(end);
        }
        for key in s.open.iter() {
            self.forget(key);
        }
        for held in &s.held {
            self.end_link(now, held.link, (Outcome::Cancelled, Reason::Closed), true);
        }
    }
}

/// What is left of an input of which some bytes were taken. The buffer is used again unless a frame
/// in it was shared; connections without leftovers keep none.
pub(crate) fn rest_of(input: Bytes, taken: usize) -> Vec<u8> {
    match input.try_into_mut() {
        Ok(own) => rest_of_own(own.into(), taken),
        Err(shared) => shared.get(taken..).unwrap_or_default().to_vec(),
    }
}

/// As [`rest_of`], for an input that nobody shares.
pub(crate) fn rest_of_own(mut input: Vec<u8>, taken: usize) -> Vec<u8> {
    if taken >= input.len() {
        input.clear();
        return input;
    }
    input.drain(..taken);
    if input.capacity() > 2 * input.len() + READ_AHEAD {
        input.shrink_to_fit();
    }
    input
}

pub(crate) const TOO_LONG: Fault =
    Fault::too_large(Reason::FrameSize, "the frame is longer than the limit");
pub(crate) const UNEXPECTED: Fault =
    Fault::new(Outcome::BadRequest, Reason::Unexpected, "a frame that a client may not send");
