//! The end of an exchange: exactly once, at its place in the session's order.

use bytes::Bytes;
use heptad_core::{
    Answer, Bind, Chain, Codec, FanOut, Fault, Kind, Meta, Outcome, Part, PartReply, Question,
    Reason, Rewrite, Splice, Time,
};

use crate::{
    Compare, Engine, SessionId,
    arena::Key,
    exchange::{Exchange, Phase, is_control},
    fan::{Fan, FanPart, PartState},
    machine::LinkId,
    plan::End,
    text::text,
};

/// Buffers of kept frames that wait to be used again.
const SPARE_FRAMES: usize = 256;

/// A recycled part keeps no more than this.
const KEEP: usize = 16 << 10;

impl<C: Codec> Engine<C> {
    /// A reply to one part of an exchange.
    #[allow(clippy::too_many_arguments, reason = "one frame, as it came")]
    pub(crate) fn reply(
        &mut self,
        now: Time,
        link: LinkId,
        key: Key,
        part: u32,
        meta: &Meta,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) {
        let Some(x) = self.exchanges.get_mut(key) else {
            return;
        };
        if x.phase == Phase::Settled {
            self.stats.late_replies += 1;
            return;
        }
        if let Some(fan) = &mut x.rare.fan {
            let Some(p) = fan.parts.get_mut(part as usize) else {
                return;
            };
            p.reply = PartState::Reply(*meta);
            p.place = None;
            p.bytes.clear();
            p.bytes.extend_from_slice(frame);
            fan.left = fan.left.saturating_sub(1);
            if fan.left == 0 {
                self.join(now, key);
            }
            return;
        }
        x.place = None;
        if !x.rare.kept.is_empty()
            && meta.outcome != Outcome::Ok
            && let Some(redirect) = self.codec.redirect(meta, frame)
            && self.redirect(now, key, &redirect)
        {
            return;
        }
        let Some(x) = self.exchanges.get_mut(key) else {
            return;
        };
        let (id, tag, request) = (x.session, x.tag, x.meta);
        self.settled(id, &request, tag, meta, frame);
        let code = if meta.outcome == Outcome::Ok {
            0
        } else {
            self.stats.code(self.codec.code_name(meta, frame))
        };
        if let Some(x) = self.exchanges.get(key)
            && x.rare.copied.is_some()
            && x.rare.mirror.is_some_and(|mirror| mirror.compare == Compare::Bytes)
        {
            let digest = self.digest(link, id, meta, tag, request.id, frame);
            if let Some(x) = self.exchanges.get_mut(key) {
                x.rare.digest = digest;
            }
        }
        let Some(x) = self.exchanges.get(key) else {
            return;
        };
        let headers = x.rare.reply_headers.clone();
        let whole = (x.of > 1 && request.fan_out == FanOut::Index).then_some(Part::new(
            x.endpoint as usize,
            x.of as usize,
            &[],
        ));
        let by_id = !self.in_order();
        let end = (meta.outcome, Reason::None);
        self.settle(now, key, Some(link), end, code, |codec, from, conn, q, chain| {
            let Some(from) = from else {
                return Err(Fault::new(Outcome::Reset, Reason::Closed, "the link is gone"));
            };
            let edit = Rewrite::new(by_id.then_some(q.meta.id), headers.as_deref().unwrap_or(&[]))
                .part(whole);
            let mut splice = Splice::new(frame, shared, chain);
            codec.rewrite(from, conn, meta, q.tag, &edit, &mut splice)
        });
    }

    /// Tells the codec of the reply to a request that may have changed the session's state.
    fn settled(&mut self, id: SessionId, request: &Meta, tag: C::Tag, reply: &Meta, frame: &[u8]) {
        let stateful = is_control(request) || request.bind != Bind::Shared;
        if stateful && let Some(s) = self.sessions.get_mut(id.0) {
            self.codec.settled(&mut s.conn, tag, reply, frame);
            self.note_principal(id);
        }
    }

    /// All parts of a fan-out have come: one reply is made of them.
    pub(crate) fn join(&mut self, now: Time, key: Key) {
        let Some(x) = self.exchanges.get_mut(key) else {
            return;
        };
        let (id, of, tag, request) = (x.session, x.of as usize, x.tag, x.meta);
        let Some(fan) = x.rare.fan.take() else { return };
        let parts: Vec<PartReply<'_>> = fan.active().iter().map(|p| part_reply(p, of)).collect();
        let failed = parts.iter().find_map(|p| p.reply.err());
        let code = parts
            .iter()
            .find_map(|p| p.reply.ok().filter(|(meta, _)| meta.outcome != Outcome::Ok))
            .map_or(0, |(meta, frame)| self.stats.code(self.codec.code_name(meta, frame)));
        if failed.is_none()
            && let Some((meta, frame)) = parts.iter().find_map(|p| p.reply.ok())
        {
            self.settled(id, &request, tag, meta, frame);
        }
        let mut end = (Outcome::Ok, Reason::None);
        let mut body = std::mem::take(&mut self.scratch);
        body.clear();
        let joined = match self.sessions.get_mut(id.0) {
            Some(s) => {
                let words = self.exchanges.get(key).map_or(&[][..], Exchange::words);
                let question = Question::new(&request, tag).kept(words);
                self.codec.join(&mut s.conn, &question, &parts, &mut body)
            }
            None => Ok(Outcome::Cancelled),
        };
        let failed = failed.map(|(_, reason, _)| reason);
        drop(parts);
        self.recycle(fan);
        match joined {
            Ok(outcome) => {
                end.0 = outcome;
                if let Some(reason) = failed {
                    end.1 = if reason == Reason::None { Reason::Partial } else { reason };
                }
                self.settle(now, key, None, end, code, |_, _, _, _, chain| {
                    chain.extend(&body);
                    Ok(())
                });
            }
            Err(fault) => {
                self.settle_error(now, key, (fault.outcome, fault.reason), fault.text);
            }
        }
        body.clear();
        self.scratch = body;
    }

    fn recycle(&mut self, mut fan: Fan) {
        for part in &mut fan.parts {
            if part.bytes.capacity() > KEEP {
                part.bytes = Vec::new();
            }
        }
        self.fans.push(fan);
    }

    /// Ends an exchange with an error answer.
    pub(crate) fn settle_error(&mut self, now: Time, key: Key, end: End, text: &str) {
        self.abandon_attempts(now, key);
        let answer = Answer::Error { outcome: end.0, reason: end.1, text };
        self.settle(now, key, None, end, 0, |codec, _, conn, question, chain| {
            codec.answer(conn, question, &answer, chain.tail())
        });
    }

    /// Ends an exchange without an answer.
    pub(crate) fn end_silently(&mut self, now: Time, key: Key, end: End) {
        self.abandon_attempts(now, key);
        self.settle(now, key, None, end, 0, |_, _, _, _, _| Ok(()));
    }

    /// The deadline of an exchange has passed.
    pub(crate) fn expire(&mut self, now: Time, key: Key) {
        let Some(x) = self.exchanges.get(key) else {
            return;
        };
        if x.phase == Phase::Settled || x.deadline > now {
            return;
        }
        self.settle_end(now, key, (Outcome::Timeout, Reason::Request));
    }

    /// Nobody waits any more for the replies to an exchange's attempts.
    fn abandon_attempts(&mut self, now: Time, key: Key) {
        let Some(x) = self.exchanges.get_mut(key) else {
            return;
        };
        if x.phase == Phase::Settled {
            return;
        }
        self.buffered = self.buffered.saturating_sub(x.rare.frame.len());
        x.rare.frame = Vec::new();
        let place = x.place.take();
        let fan = x.rare.fan.take();
        // From here on nothing that ends can fail or join this exchange.
        if let Some((link, wire)) = place {
            self.orphan(now, key, link, wire);
        }
        if let Some(fan) = fan {
            for (link, wire) in fan.active().iter().filter_map(|p| p.place) {
                self.orphan(now, key, link, wire);
            }
            self.recycle(fan);
        }
    }

    /// Ends an exchange: counters, filters, and the reply at its place in the order. `write` gets
    /// the state of the link that the reply came on and that of the session.
    pub(crate) fn settle(
        &mut self,
        now: Time,
        key: Key,
        link: Option<LinkId>,
        end: End,
        code: u16,
        write: impl FnOnce(
            &C,
            Option<&C::Conn>,
            &mut C::Conn,
            &Question<'_, C::Tag>,
            &mut Chain,
        ) -> Result<(), Fault>,
    ) {
        let (ordered, hard) = (self.traits.ordered, self.limits().hard_mark);
        let Some(x) = self.exchanges.get_mut(key) else {
            return;
        };
        if x.phase == Phase::Settled {
            return;
        }
        x.phase = Phase::Settled;
        self.buffered = self.buffered.saturating_sub(x.rare.kept.len());
        recycle_frame(&mut self.spare_frames, &mut x.rare.kept);
        let took = x.sent.then(|| now - x.started);
        self.stats.ended(x.series, x.method, end, code, took);
        if let Some(series) = self.stats.series.get_mut(x.series as usize) {
            series.in_flight = series.in_flight.saturating_sub(1);
        }
        let id = x.session;
        if x.rare.copied.is_some() {
            self.tell_copy(key, end.0, code);
        }
        let Some(x) = self.exchanges.get_mut(key) else {
            return;
        };
        let Some(s) = self.sessions.get_mut(id.0) else {
            self.filters_done(now, key, end, code, 0);
            self.forget(key);
            return;
        };
        s.active = now;
        let slow = s.unread() > hard;
        let front = !ordered || s.open.front() == Some(key);
        let mut chain = std::mem::take(if front { &mut s.out } else { x.rare.ready_mut() });
        self.leftovers.furnish(&mut chain, 0);
        let (mark, before) = (chain.mark(), chain.len());
        let mut broken = false;
        // A oneway has no place for an answer, not even for a refusal. A quiet one has none either, but
        // its codec must hear of a refusal: it may have to refuse more because of it.
        let quiet = x.meta.quiet;
        if !(quiet && link.is_some()) && x.meta.kind != Kind::Oneway && !slow {
            let from = link.and_then(|link| self.links.get(link.0)).map(|l| &l.conn);
            let question = Question::new(&x.meta, x.tag).kept(x.words());
            if let Err(fault) = write(&self.codec, from, &mut s.conn, &question, &mut chain) {
                chain.rollback(mark);
                let Fault { outcome, reason, text, .. } = fault;
                let answer = Answer::Error { outcome, reason, text };
                let told = self.codec.answer(&mut s.conn, &question, &answer, chain.tail());
                broken = told.is_err();
                if broken {
                    chain.rollback(mark);
                }
            }
            if quiet {
                chain.rollback(mark);
                broken = false;
            }
        }
        let wrote = chain.len() - before;
        self.leftovers.strip(&mut chain);
        let tapped = x.rare.tapped > 0;
        if front {
            s.out = chain;
        } else {
            s.ahead += wrote;
            *x.rare.ready_mut() = chain;
        }
        if tapped && front {
            self.tap_reply(now, key, end, code, Some(before));
        } else if tapped && let Some(x) = self.exchanges.get_mut(key) {
            // A tap shows replies in their turn.
            x.rare.told = Some((end, code));
        }
        self.filters_done(now, key, end, code, wrote);
        let Some(s) = self.sessions.get_mut(id.0) else {
            return;
        };
        if broken {
            // The protocol cannot say it, so the connection must.
            s.closing = true;
            self.stats.session_ended(end);
        }
        if slow && !s.gone {
            // Also if it is to be closed anyway: later replies would take this one's place.
            return self.cut_off(now, id);
        }
        if ordered {
            self.flush_order(id);
        } else {
            self.retire_unordered(id, key);
        }
        self.session_dirty(id);
        self.wake(id);
    }

    /// Tells the filters that an exchange is over.
    pub(crate) fn filters_done(&mut self, now: Time, key: Key, end: End, code: u16, wrote: usize) {
        let Self { exchanges, chains, stats, pools, .. } = self;
        let Some(x) = exchanges.get(key) else {
            return;
        };
        let Some(chain) = chains.get_mut(x.chain as usize) else {
            return;
        };
        chain.live = chain.live.saturating_sub(1);
        if x.memory.is_empty() {
            return;
        }
        let mut told = heptad_core::End::default();
        (told.outcome, told.reason) = end;
        if code > 0 {
            told.code = stats.codes.get(usize::from(code)).map_or("", |code| code);
        }
        if let Some(series) = stats.series.get(x.series as usize) {
            (told.route, told.cluster) = (&series.route, &series.cluster);
        }
        if x.sent
            && x.meta.fan_out != FanOut::All
            && let Some(pool) = x.pool().and_then(|at| pools.get(at))
            && let Some(endpoint) = pool.endpoints.get(x.endpoint as usize)
        {
            told.endpoint = &endpoint.address;
        }
        told.request_bytes = x.meta.len.into();
        told.reply_bytes = wrote as u64;
        told.attempts = u32::from(x.sent) + u32::from(x.rare.redirects);
        told.started = x.started;
        x.memory.tell(x.rare.numbers(), &mut chain.workers, now, &told);
    }

    /// A client that does not read is closed at its hard mark, for the others' sake.
    fn cut_off(&mut self, now: Time, id: SessionId) {
        self.drop_session(now, id, (Outcome::Overloaded, Reason::SlowReader));
        self.events.push_back(crate::Event::Close(crate::ConnId::Session(id)));
    }

    /// Hands out finished replies from the front of the order.
    pub(crate) fn flush_order(&mut self, id: SessionId) {
        loop {
            let Some(s) = self.sessions.get_mut(id.0) else {
                return;
            };
            let Some(key) = s.open.front() else { return };
            let Some(x) = self.exchanges.get_mut(key) else {
                s.open.pop_front();
                continue;
            };
            if x.phase != Phase::Settled {
                return;
            }
            if let Some((end, code)) = x.rare.told.take() {
                let now = s.active;
                self.tap_reply(now, key, end, code, None);
                continue;
            }
            if !x.rare.ready().is_empty() {
                let ready = x.rare.ready_mut();
                s.ahead = s.ahead.saturating_sub(ready.len());
                s.out.append(ready);
                self.leftovers.strip(ready);
            }
            s.open.pop_front();
            self.forget(key);
        }
    }

    pub(crate) fn retire_unordered(&mut self, id: SessionId, key: Key) {
        let slot = self.exchanges.get(key).map_or(u32::MAX, |x| x.slot);
        if let Some(s) = self.sessions.get_mut(id.0) {
            let moved = s.open.leave(slot, key);
            if let Some(moved) = moved.and_then(|key| self.exchanges.get_mut(key)) {
                moved.slot = slot;
            }
            if let Some(x) = self.exchanges.get(key)
                && x.meta.kind == Kind::Open
            {
                s.streams.remove(&x.meta.id);
            }
        }
        self.forget(key);
    }

    pub(crate) fn forget(&mut self, key: Key) {
        self.exchanges.retire(key, Exchange::rest);
    }

    /// Writes a push or a stream frame to a session.
    #[allow(clippy::too_many_arguments, reason = "one frame, as it came")]
    pub(crate) fn write_session(
        &mut self,
        now: Time,
        link: LinkId,
        id: SessionId,
        tag: C::Tag,
        meta: &Meta,
        client: Option<u64>,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) {
        let hard = self.limits().hard_mark;
        let Some(s) = self.sessions.get_mut(id.0) else {
            return;
        };
        if s.closing {
            return;
        }
        if s.unread() > hard {
            return self.cut_off(now, id);
        }
        let mark = s.out.mark();
        let mut splice = Splice::new(frame, shared, &mut s.out);
        let edit = Rewrite::new(client, &[]);
        let Some(from) = self.links.get(link.0).map(|l| &l.conn) else {
            return;
        };
        if self.codec.rewrite(from, &s.conn, meta, tag, &edit, &mut splice).is_err() {
            s.out.rollback(mark);
        }
        self.session_dirty(id);
    }
}

/// Gives a buffer back for the next exchange, unless it has grown large.
pub(crate) fn recycle_frame(spare: &mut Vec<Vec<u8>>, frame: &mut Vec<u8>) {
    let mut frame = std::mem::take(frame);
    if frame.capacity() > 0 && frame.capacity() <= KEEP && spare.len() < SPARE_FRAMES {
        frame.clear();
        spare.push(frame);
    }
}

fn part_reply(part: &FanPart, of: usize) -> PartReply<'_> {
    let reply = match &part.reply {
        PartState::Reply(meta) => Ok((meta, &part.bytes[..])),
        PartState::Failed(outcome, reason) => Err((*outcome, *reason, text(*outcome, *reason))),
        PartState::Open => Err((Outcome::Reset, Reason::None, text(Outcome::Reset, Reason::None))),
    };
    PartReply::new(Part::new(part.endpoint, of, &part.picks), reply)
}
