//! Bytes from endpoints: cut into frames, and each given to whom it is for. Replies of one kind to one
//! session that come one behind the other are taken in one go.

use bytes::Bytes;
use heptad_core::{
    Answer, Bind, Codec, Fault, Kind, Meta, Outcome, Question, Reason, Rewrite, Splice, Step, Time,
};

use crate::{
    Engine, LinkId, SessionId, Stats,
    calls::{Attempt, Outstanding, Role},
    exchange::Phase,
    express::is_usual,
    link::{LinkState, Usage},
    session::Session,
};

/// Inputs of at least this size are decoded as shared bytes.
const SHARE_INPUT: usize = 16 << 10;

/// Whom a good reply was for, and what counts it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lead {
    pub(crate) session: SessionId,
    pub(crate) series: u32,
    pub(crate) method: u32,
    pub(crate) chain: u32,
}

/// What comes behind replies that were taken in one go.
enum Next<T> {
    /// Nothing, or what is to be decoded.
    Decode,
    /// What was decoded.
    Step(Result<Step<()>, Fault>),
    /// A whole reply, to this request.
    Reply(Meta, Attempt<T>),
}

impl<C: Codec> Engine<C> {
    /// Bytes from an endpoint.
    pub(crate) fn hear(&mut self, now: Time, id: LinkId, bytes: &[u8]) {
        let Some(l) = self.links.get_mut(id.0) else {
            return;
        };
        l.heard = now;
        l.pinged = None;
        if l.input.is_empty() {
            let taken = self.read_replies(now, id, bytes, None);
            if let Some(l) = self.links.get_mut(id.0) {
                self.leftovers.append(&mut l.input, bytes.get(taken..).unwrap_or_default());
            }
        } else {
            l.input.extend_from_slice(bytes);
            if l.input.len() < l.need {
                return;
            }
            let input = std::mem::take(&mut l.input);
            let rest = if input.len() >= SHARE_INPUT {
                let shared = Bytes::from(input);
                let taken = self.read_replies(now, id, &shared, Some(&shared));
                crate::intake::rest_of(shared, taken)
            } else {
                let taken = self.read_replies(now, id, &input, None);
                crate::intake::rest_of_own(input, taken)
            };
            if rest.is_empty() {
                self.leftovers.recycle(rest);
            } else if let Some(l) = self.links.get_mut(id.0) {
                l.input = rest;
            }
        }
    }

    /// Takes whole frames from the front of `buf` and returns how many bytes they had.
    fn read_replies(&mut self, now: Time, id: LinkId, buf: &[u8], shared: Option<&Bytes>) -> usize {
        let mut at = 0;
        let max = self.ctx.max_frame as usize;
        loop {
            let Some(l) = self.links.get_mut(id.0) else {
                return buf.len();
            };
            let rest = buf.get(at..).unwrap_or_default();
            if rest.is_empty() || rest.len() < l.need {
                return at;
            }
            let asked = Outstanding { calls: &l.calls, greeting: l.state != LinkState::Ready };
            // A reply is decoded exactly once, even if its end comes later.
            let step = match l.begun.take() {
                Some(meta) => Ok(Step::Frame(meta, ())),
                None => self.codec.decode_reply(&mut l.conn, &asked, &self.ctx, rest),
            };
            let mut odd = None;
            // Looked at where it is, as requests are.
            if let Ok(Step::Frame(meta, ())) = &step
                && let len = meta.len as usize
                && (1..=max).contains(&len)
                && let Some(frame) = rest.get(..len)
            {
                l.need = 0;
                let piece = shared.map(|b| b.slice(at..(at + len).min(b.len())));
                at += len;
                let lead = self.heard_frame(now, id, meta, frame, piece.as_ref());
                if let Some(lead) = lead
                    && at < buf.len()
                {
                    match self.follow_replies(now, id, &lead, buf, shared, &mut at) {
                        Next::Decode => {}
                        Next::Step(step) => odd = Some(step),
                        Next::Reply(meta, attempt) => {
                            let rest = buf.get(at..).unwrap_or_default();
                            let len = meta.len as usize;
                            let piece = shared.map(|b| b.slice(at..(at + len).min(b.len())));
                            let frame = rest.get(..len).unwrap_or(rest);
                            at += len;
                            self.heard_reply(now, id, attempt, &meta, frame, piece.as_ref());
                        }
                    }
                }
            } else {
                odd = Some(step);
            }
            if let Some(step) = odd
                && let Some(taken) = self.odd_reply(now, id, step, buf, shared, &mut at)
            {
                return taken;
            }
        }
    }

    /// What is not a whole frame, or one of its own kind; how many bytes were taken if there is no
    /// more to read.
    #[inline(never)]
    fn odd_reply(
        &mut self,
        now: Time,
        id: LinkId,
        step: Result<Step<()>, Fault>,
        buf: &[u8],
        shared: Option<&Bytes>,
        at: &mut usize,
    ) -> Option<usize> {
        let max = self.ctx.max_frame as usize;
        let rest = buf.get(*at..).unwrap_or_default();
        let Some(l) = self.links.get_mut(id.0) else {
            return Some(buf.len());
        };
        let end = match step {
            Ok(Step::Need(n)) if n <= max => {
                l.need = n.max(rest.len() + 1);
                return Some(*at);
            }
            Ok(Step::Skip(n)) => {
                l.need = 0;
                *at += n.clamp(1, rest.len());
                return None;
            }
            Ok(Step::Frame(meta, ())) if meta.len as usize <= max => {
                if let Some(frame) = rest.get(..meta.len as usize).filter(|f| !f.is_empty()) {
                    l.need = 0;
                    let piece = shared.map(|b| b.slice(*at..(*at + frame.len()).min(b.len())));
                    *at += frame.len();
                    self.heard_frame(now, id, &meta, frame, piece.as_ref());
                    return None;
                }
                // Its end is on the way. One of no bytes would be found for ever.
                l.need = (meta.len as usize).max(rest.len() + 1);
                l.begun = Some(meta);
                return Some(*at);
            }
            Ok(Step::Need(_) | Step::Frame(..)) => (Outcome::TooLarge, Reason::FrameSize),
            // It was the endpoint that did not follow the protocol, not the client.
            Err(fault) if fault.outcome == Outcome::BadRequest => (Outcome::Reset, fault.reason),
            Err(fault) => (fault.outcome, fault.reason),
            _ => (Outcome::Reset, Reason::Malformed),
        };
        self.end_link(now, id, end, true);
        Some(buf.len())
    }

    /// One whole frame; whom it was for, if others may follow it in one go.
    #[inline(always)]
    fn heard_frame(
        &mut self,
        now: Time,
        id: LinkId,
        meta: &Meta,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) -> Option<Lead> {
        if meta.kind == Kind::Reply
            && let Some(l) = self.links.get_mut(id.0)
            && l.state == LinkState::Ready
            && let Some(attempt) = l.calls.take(meta.id)
        {
            return self.heard_reply(now, id, attempt, meta, frame, shared);
        }
        self.heard_other(now, id, meta, frame, shared);
        None
    }

    #[inline(never)]
    fn heard_other(
        &mut self,
        now: Time,
        id: LinkId,
        meta: &Meta,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) {
        let Some(l) = self.links.get_mut(id.0) else {
            return;
        };
        if l.state != LinkState::Ready {
            return self.greet(now, id, Some((meta, frame)));
        }
        match meta.kind {
            Kind::Ping => {
                let question = Question::new(meta, C::Tag::default());
                let mark = l.out.mark();
                let pong = self.codec.answer(&mut l.conn, &question, &Answer::Pong, l.out.tail());
                if pong.is_err() {
                    l.out.rollback(mark);
                }
                self.link_dirty(id);
            }
            Kind::GoAway => self.drain_link(now, id),
            Kind::Push => self.push(now, id, meta, frame, shared),
            Kind::Data => self.stream_data(now, id, meta, frame, shared),
            Kind::Reply | Kind::End | Kind::Reset | Kind::Pong => {
                let Some(attempt) = l.calls.take(meta.id) else {
                    if self.in_order() {
                        // A reply that nobody asked for: whatever comes next would be taken for
                        // the reply to another request.
                        self.end_link(now, id, (Outcome::Reset, Reason::Unexpected), true);
                    }
                    self.stats.late_replies += 1;
                    return;
                };
                self.heard_reply(now, id, attempt, meta, frame, shared);
            }
            _ => self.end_link(now, id, (Outcome::Reset, Reason::Unexpected), true),
        }
    }

    #[inline(always)]
    fn heard_reply(
        &mut self,
        now: Time,
        id: LinkId,
        attempt: Attempt<C::Tag>,
        meta: &Meta,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) -> Option<Lead> {
        let lead = self.reply_express(now, id, &attempt, meta, frame, shared);
        if lead.is_none() {
            self.heard_reply_the_long_way(now, id, attempt, meta, frame, shared);
        }
        lead
    }

    #[inline(never)]
    fn heard_reply_the_long_way(
        &mut self,
        now: Time,
        id: LinkId,
        attempt: Attempt<C::Tag>,
        meta: &Meta,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) {
        if let Role::Part { session, exchange, part } = attempt.role {
            self.attempt_over(id, session, attempt.orphaned.is_some());
            if attempt.orphaned.is_some() || self.exchanges.get(exchange).is_none() {
                self.stats.late_replies += 1;
            } else {
                self.reply(now, id, exchange, part, meta, frame, shared);
            }
            if let Bind::Release(lane) = meta.bind {
                self.release(now, session, lane);
            }
            self.wake(session);
        }
        if let Role::Copy { copy } = attempt.role {
            if attempt.orphaned.is_some()
                && let Some(l) = self.links.get_mut(id.0)
            {
                l.orphans = l.orphans.saturating_sub(1);
                self.stats.late_replies += 1;
            }
            self.copy_replied(id, copy, meta, frame);
        }
        if let Some(l) = self.links.get(id.0)
            && l.prepared
            && l.calls.is_empty()
        {
            self.send_jobs(now, id);
            self.link_dirty(id);
        }
        self.free_link(now, id);
        let Some(l) = self.links.get(id.0) else {
            return;
        };
        let at = (l.pool, l.endpoint);
        if l.draining && l.calls.is_empty() && l.jobs.is_empty() {
            self.end_link(now, id, (Outcome::Draining, Reason::None), true);
        }
        if self.has_waiting(at) {
            self.kicks.push_back(at);
        }
    }

    /// Takes replies from `at` on, as long as they are as plain as the one that leads them, and for the
    /// same session.
    #[inline(never)]
    fn follow_replies(
        &mut self,
        now: Time,
        link: LinkId,
        lead: &Lead,
        buf: &[u8],
        shared: Option<&Bytes>,
        at: &mut usize,
    ) -> Next<C::Tag> {
        let Lead { session: id, series, method, chain } = *lead;
        let (ordered, by_id) = (self.traits.ordered, !self.in_order());
        let (max, hard) = (self.ctx.max_frame as usize, self.limits().hard_mark);
        let Self { exchanges, sessions, links, pools, chains, codec, ctx, stats, .. } = self;
        let (Some(l), Some(s)) = (links.get_mut(link.0), sessions.get_mut(id.0)) else {
            return Next::Decode;
        };
        let endpoint = pools.get_mut(l.pool).and_then(|p| p.endpoints.get_mut(l.endpoint));
        let (Some(e), Some(chain_of)) = (endpoint, chains.get_mut(chain as usize)) else {
            return Next::Decode;
        };
        let is_shared = matches!(l.usage, Usage::Shared(_));
        if !is_shared || l.draining || l.state != LinkState::Ready || s.out.is_bare() || !s.dirty {
            return Next::Decode;
        }
        let Stats { series: all, methods, answered, .. } = stats;
        let (Some(counts), Some(kind)) =
            (all.get_mut(series as usize), methods.get_mut(method as usize))
        else {
            return Next::Decode;
        };
        let nanos = |since: Time| now.as_nanos().saturating_sub(since.as_nanos());
        // Requests that came together have taken as long.
        let (mut since, mut together, mut taken) = (now, 0, 0_u32);
        let next = loop {
            let rest = buf.get(*at..).unwrap_or_default();
            if rest.is_empty() {
                break Next::Decode;
            }
            let asked = Outstanding { calls: &l.calls, greeting: false };
            let step = codec.decode_reply(&mut l.conn, &asked, ctx, rest);
            let Ok(Step::Frame(meta, ())) = &step else {
                break Next::Step(step);
            };
            let len = meta.len as usize;
            let good = meta.outcome == Outcome::Ok && meta.kind == Kind::Reply;
            let frame = match rest.get(..len) {
                Some(frame) if good && (1..=max).contains(&len) => frame,
                _ => break Next::Step(step),
            };
            let Some(attempt) = l.calls.take(meta.id) else {
                break Next::Step(step);
            };
            let Role::Part { session, exchange: key, .. } = attempt.role else {
                break Next::Reply(*meta, attempt);
            };
            let Some(x) = exchanges.get_mut(key) else {
                break Next::Reply(*meta, attempt);
            };
            let ours = session == id && s.open.front() == Some(key);
            let alike = (x.series, x.method, x.chain) == (series, method, chain);
            let plain = x.rare.is_plain() && x.memory.is_empty() && is_usual(&x.meta) && x.sent;
            let awaited = attempt.orphaned.is_none() && x.phase == Phase::Sent;
            let free = !matches!(meta.bind, Bind::Release(_)) && s.unread() <= hard;
            if !(ours && alike && plain && awaited && free) {
                break Next::Reply(*meta, attempt);
            }
            let mark = s.out.mark();
            let edit = Rewrite::new(by_id.then_some(x.meta.id), &[]);
            let piece = shared.map(|b| b.slice(*at..(*at + len).min(b.len())));
            let mut splice = Splice::new(frame, piece.as_ref(), &mut s.out);
            if codec.rewrite(&l.conn, &s.conn, meta, x.tag, &edit, &mut splice).is_err() {
                s.out.rollback(mark);
                break Next::Reply(*meta, attempt);
            }
            *at += len;
            if x.started != since {
                counts.succeeded(nanos(since), together);
                (since, together) = (x.started, 0);
            }
            together += 1;
            exchanges.retire(key, |x| x.rest());
            s.open.pop_front();
            if ordered {
                s.ended_via(link);
            }
            taken += 1;
        };
        counts.succeeded(nanos(since), together);
        kind.outcomes[Outcome::Ok as usize] += u64::from(taken);
        *answered += u64::from(taken);
        s.active = now;
        e.in_flight = e.in_flight.saturating_sub(taken);
        chain_of.live = chain_of.live.saturating_sub(taken as usize);
        if ordered {
            // What is behind them may have its reply.
            self.flush_order(id);
        } else {
            s.attempts = s.attempts.saturating_sub(taken as usize);
        }
        if self.sessions.get(id.0).is_some_and(Session::looks) {
            self.wake(id);
        }
        next
    }
}
