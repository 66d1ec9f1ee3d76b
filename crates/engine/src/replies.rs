//! Bytes from endpoints: cut into frames, and each given to whom it is for.

use bytes::Bytes;
use heptad_core::{Answer, Bind, Codec, Fault, Kind, Meta, Outcome, Question, Reason, Step, Time};

use crate::{
    Engine, LinkId,
    calls::{Attempt, Outstanding, Role},
    follow_replies::{Lead, Next},
    link::LinkState,
};

/// Inputs of at least this size are decoded as shared bytes.
const SHARE_INPUT: usize = 16 << 10;

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
}
