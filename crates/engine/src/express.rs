//! The usual case in one go: a request that goes plainly to one endpoint over a shared link, and its
//! good reply. What is not usual is left alone and takes the long way, which comes to the same
//! result; nothing has changed until it is clear that nothing stands in the way.

use std::collections::VecDeque;

use bytes::Bytes;
use heptad_core::{
    Accepted, Bind, Codec, FanOut, Found, Kind, Meta, Outcome, Reason, Rewrite, Splice, Time,
    Verdict,
};

use crate::{
    ConnId, Engine, Event, LinkId, SessionId,
    admit::{UNCOUNTED, ask, fit},
    arena::{Arena, Key},
    calls::{Attempt, Role},
    exchange::{Exchange, Extras, Phase},
    known::{Habit, Learned},
    leftovers::{LARGE, Leftovers},
    link::{Link, Usage},
    pool::Pool,
    session::Session,
    view::{Names, View},
};

/// By how much a frame may well grow when it is rewritten.
const HEAD: usize = 64;

/// What a frame is written with, and to.
struct Pen<'a, C: Codec> {
    codec: &'a C,
    links: &'a mut Arena<Link<C>>,
    leftovers: &'a mut Leftovers,
    events: &'a mut VecDeque<Event>,
    ordered: bool,
    by_id: bool,
}

impl<C: Codec> Engine<C> {
    /// Takes a request from its names to its link; false, with nothing changed, if it is not plainly
    /// that. What turns up on the way (a refusal, no link) is dealt with as anywhere.
    pub(crate) fn request_express(
        &mut self,
        now: Time,
        id: SessionId,
        meta: &Meta,
        tag: C::Tag,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) -> bool {
        let usual = meta.kind == Kind::Request && meta.bind == Bind::Shared;
        let one = meta.fan_out == FanOut::One && !meta.quiet && meta.wait_ms == 0;
        if !(usual && one) || self.is_tapped() {
            return false;
        }
        let (ordered, by_id) = (self.traits.ordered, !self.in_order());
        let Self { codec, plan, sessions, exchanges, pools, links, chains, .. } = self;
        let Self { ways, known, stats, timers, events, words, scratch, leftovers, .. } = self;
        let Some(s) = sessions.get_mut(id.0) else {
            return false;
        };
        if !s.held.is_empty() {
            return false;
        }
        let names = Names::read(codec, &s.conn, meta, frame, words);
        let met = match certain(names.service, names.method) {
            Some((service, method)) => stats.near(s.here.method(), service, method),
            None => None,
        };
        let habit = match met {
            Some(method) => known.of(method, &s.here),
            None => Habit::default(),
        };
        let mut unknown = 0;
        let found = if habit.route.is_some() {
            habit.route
        } else {
            let mut view = View {
                codec,
                id,
                session: s,
                plan,
                meta,
                tag,
                frame,
                names,
                place: None,
                scratch,
                unknown: &mut unknown,
                edits: &mut Vec::new(),
            };
            plan.table.find(&mut self.find, &mut view)
        };
        let Some(number) = found else {
            return false;
        };
        let Some(Some(way)) = ways.get_mut(number) else {
            return false;
        };
        let Some(p) = pools.get_mut(way.pool) else {
            return false;
        };
        if p.endpoints.is_empty() {
            return false;
        }
        if way.series == UNCOUNTED {
            let Some(route) = plan.routes.get(number) else {
                return false;
            };
            way.series = stats.series(&route.name, &p.cluster.name);
        }

        let chain_at = chains.len().saturating_sub(1);
        let chain_number = u32::try_from(chain_at).unwrap_or(0);
        let key = match exchanges.reuse() {
            Some((key, x)) => {
                x.renew(id, meta, tag, chain_number, now);
                key
            }
            None => exchanges.insert(Exchange::new(id, *meta, tag, chain_number, now)),
        };
        let (Some(x), Some(chain)) = (exchanges.get_mut(key), chains.get_mut(chain_at)) else {
            return false;
        };
        x.slot = s.open.len();
        s.open.push_back(key);
        chain.live += 1;
        x.series = way.series;
        x.method = match met {
            Some(method) => method,
            None => {
                let service = names.service.ok().flatten().unwrap_or_default();
                stats.method(service, names.method.ok().flatten().unwrap_or_default())
            }
        };
        x.pool = Some(way.pool);
        x.of = p.endpoints.len();
        if let Some(edits) = &way.request_headers {
            x.rare.request_headers = Some(edits.clone());
        }
        if let Some(edits) = &way.reply_headers {
            x.rare.reply_headers = Some(edits.clone());
        }
        if let Some(timeout) = way.timeout {
            x.deadline = timers.after(now, timeout, key);
        }
        let words = codec.keep(&s.conn, meta, frame, scratch);
        x.keep_words(words);
        stats.unknown_attributes += unknown;
        let Some(series) = stats.series.get_mut(x.series as usize) else {
            return false;
        };
        series.in_flight += 1;

        let mut verdict = Verdict::Pass;
        if !chain.workers.is_empty() {
            let (mut unknown, place) = (0, Some((&*series.route, &*series.cluster)));
            let mut edits = Vec::new();
            let mut view = View {
                codec,
                id,
                session: s,
                plan,
                meta,
                tag,
                frame,
                names,
                place,
                scratch,
                unknown: &mut unknown,
                edits: &mut edits,
            };
            fit(&mut x.scratch, chain.workers.len());
            let (workers, memory) = (&mut chain.workers, &mut x.scratch);
            let mut learned = Learned { wanted: !habit.here, ..Learned::default() };
            let filtered = &mut x.filtered;
            verdict = ask(workers, memory, filtered, now, &mut view, habit.passes, &mut learned);
            if learned.wanted
                && matches!(verdict, Verdict::Pass)
                && let Some(method) = met
            {
                known.learn(method, number, learned, &mut s.here);
            }
            stats.unknown_attributes += unknown;
            if !edits.is_empty() {
                x.rare.edits = edits;
            }
        } else if let Some(method) = met
            && !habit.met
        {
            known.learn(method, number, Learned::default(), &mut s.here);
        }
        if !matches!(verdict, Verdict::Pass) {
            let at = x.filtered.wrapping_sub(1);
            self.obey(now, key, at, verdict, frame);
            self.stall_behind(id, key);
            return true;
        }

        let accepted = codec.accepted(&mut s.conn, meta, tag, frame);
        if matches!(accepted, Accepted::Local | Accepted::LocalClose) {
            self.answer_locally(now, key, accepted);
            return true;
        }
        let (pool, endpoint) = match x.of {
            1 => (way.pool, Some(0)),
            _ => {
                scratch.clear();
                let by = codec.key(&s.conn, meta, frame, scratch).ok().flatten();
                (way.pool, p.pick(now, by))
            }
        };
        let Some(endpoint) = endpoint else {
            self.settle_end(now, key, (Outcome::NoEndpoint, Reason::None));
            return true;
        };
        let mut pen = Pen { codec, links, leftovers, events, ordered, by_id };
        if pen.send(key, x, s, p, (pool, endpoint), frame, shared) {
            return true;
        }
        self.dispatch_one(now, key, pool, endpoint, frame, shared);
        self.stall_behind(id, key);
        true
    }

    /// Writes a request to the shared link of its session; false if that is not all there is to do.
    pub(crate) fn send_express(
        &mut self,
        key: Key,
        pool: usize,
        endpoint: usize,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) -> bool {
        let (ordered, by_id) = (self.traits.ordered, !self.in_order());
        let Self { exchanges, sessions, links, pools, codec, leftovers, events, .. } = self;
        let (Some(x), Some(p)) = (exchanges.get_mut(key), pools.get_mut(pool)) else {
            return false;
        };
        let Some(s) = sessions.get_mut(x.session.0) else {
            return false;
        };
        let mut pen = Pen { codec, links, leftovers, events, ordered, by_id };
        pen.send(key, x, s, p, (pool, endpoint), frame, shared)
    }

    /// Settles an exchange with the reply to its only attempt; false if that is not all there is
    /// to do.
    pub(crate) fn reply_express(
        &mut self,
        now: Time,
        link: LinkId,
        attempt: &Attempt<C::Tag>,
        meta: &Meta,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) -> bool {
        let Role::Part { session: id, exchange: key, .. } = attempt.role else {
            return false;
        };
        let good = meta.outcome == Outcome::Ok && meta.kind == Kind::Reply;
        if !good || attempt.orphaned.is_some() || matches!(meta.bind, Bind::Release(_)) {
            return false;
        }
        let (ordered, by_id) = (self.traits.ordered, !self.in_order());
        let hard = self.limits().hard_mark;
        let Self { exchanges, sessions, links, pools, codec, leftovers, stats, .. } = self;
        let (Some(x), Some(s)) = (exchanges.get_mut(key), sessions.get_mut(id.0)) else {
            return false;
        };
        let Some(l) = links.get_mut(link.0) else {
            return false;
        };
        let Meta { kind, bind, fan_out, quiet, .. } = x.meta;
        let asked = kind == Kind::Request && bind == Bind::Shared && !quiet && x.sent;
        let one = x.of <= 1 || fan_out != FanOut::Index;
        let alone = x.rare.is_plain() || {
            let Extras { fan, kept, copied, tapped, reply_headers, .. } = &*x.rare;
            let kept = !kept.is_empty() || fan.is_some() || copied.is_some();
            !kept && *tapped == 0 && reply_headers.is_none()
        };
        let open = x.phase == Phase::Sent && s.unread() <= hard;
        let stays = matches!(l.usage, Usage::Shared(_)) && !l.prepared && !l.draining;
        if !(asked && one && alone && open && stays) {
            return false;
        }
        let front = !ordered || s.open.front() == Some(&key);
        let slot = x.slot;
        let out = if front { &mut s.out } else { &mut x.ready };
        leftovers.furnish(out, frame.len() + HEAD);
        let (mark, before) = (out.mark(), out.len());
        let edit = Rewrite::new(by_id.then_some(x.meta.id), &[]);
        let mut splice = Splice::new(frame, shared, out);
        if codec.rewrite(&l.conn, &s.conn, meta, x.tag, &edit, &mut splice).is_err() {
            out.rollback(mark);
            return false;
        }
        let wrote = out.len() - before;
        if !front {
            s.ahead += wrote;
        }
        if ordered {
            s.ended_via(link);
        } else {
            s.attempts = s.attempts.saturating_sub(1);
        }
        s.active = now;
        let at = (l.pool, l.endpoint);
        let mut waits = false;
        if let Some(e) = pools.get_mut(at.0).and_then(|p| p.endpoints.get_mut(at.1)) {
            e.in_flight = e.in_flight.saturating_sub(1);
            waits = !e.waiting.is_empty();
        }
        x.place = None;
        x.phase = Phase::Settled;
        let took = now.as_nanos().saturating_sub(x.started.as_nanos());
        stats.succeeded(x.series, x.method, took);
        if x.scratch.iter().take(x.filtered).any(|memory| *memory != 0) {
            self.filters_done(now, key, (Outcome::Ok, Reason::None), 0, wrote);
        } else if let Some(chain) = self.chains.get_mut(x.chain as usize) {
            chain.live = chain.live.saturating_sub(1);
        }
        if front {
            self.forget(key);
        }
        if let Some(s) = self.sessions.get_mut(id.0) {
            if !ordered {
                if s.open.get(slot) == Some(&key) {
                    s.open.swap_remove_back(slot);
                }
                if let Some(moved) = s.open.get(slot).and_then(|k| self.exchanges.get_mut(*k)) {
                    moved.slot = slot;
                }
            } else if front {
                s.open.pop_front();
                // What is behind it may have its reply.
                let next = s.open.front().copied().and_then(|key| self.exchanges.get(key));
                if next.is_some_and(Exchange::is_settled) {
                    self.flush_order(id);
                }
            }
        }
        if let Some(s) = self.sessions.get_mut(id.0) {
            if !s.dirty && !s.out.is_empty() {
                s.dirty = true;
                self.events.push_back(Event::Write(ConnId::Session(id)));
            }
            // What is behind it may have waited for it.
            if !s.plain() || (s.attempts == 0 && !s.open.is_empty()) {
                self.wake(id);
            }
        }
        if waits {
            self.kicks.push_back(at);
        }
        true
    }
}

impl<C: Codec> Pen<'_, C> {
    /// Writes a request to the shared link of its session; false if that is not all there is to do.
    #[inline(always)]
    #[allow(clippy::too_many_arguments, reason = "one request and all that it meets")]
    fn send(
        &mut self,
        key: Key,
        x: &mut Exchange<C::Tag>,
        s: &mut Session<C>,
        p: &mut Pool,
        (pool, endpoint): (usize, usize),
        frame: &[u8],
        shared: Option<&Bytes>,
    ) -> bool {
        let Self { codec, links, leftovers, events, ordered, by_id } = self;
        let id = x.session;
        let Meta { kind, bind, fan_out, .. } = x.meta;
        let several = x.of > 1 && matches!(fan_out, FanOut::All | FanOut::Index);
        let usual = kind == Kind::Request && bind == Bind::Shared && p.share && !p.redirects;
        let again = !x.rare.is_plain() && (x.rare.redirects > 0 || x.rare.fan.is_some());
        if !usual || several || again || !s.held.is_empty() {
            return false;
        }
        let policy = &p.cluster.links;
        let Some(e) = p.endpoints.get_mut(endpoint) else {
            return false;
        };
        if !e.waiting.is_empty() {
            return false;
        }
        let flavour = codec.flavour(&s.conn, &x.meta);
        let Some(link) = e.slot(flavour, policy.slot_of(id.0.index())) else {
            return false;
        };
        let Some(l) = links.get_mut(link.0) else {
            return false;
        };
        if !l.has_room(policy.max_buffered) {
            return false;
        }
        // Invariant 7.
        if *ordered && s.elsewhere(pool, endpoint, link) {
            return false;
        }
        let role = Role::Part { session: id, exchange: key, part: 0 };
        let Some(wire) = l.calls.push(Attempt { tag: x.tag, role, orphaned: None }) else {
            return false;
        };
        let headers = match &*x.rare {
            _ if x.rare.is_plain() => &[][..],
            Extras { edits, .. } if !edits.is_empty() => edits,
            Extras { request_headers: Some(headers), .. } => &headers[..],
            _ => &[],
        };
        leftovers.furnish(&mut l.out, LARGE);
        let mark = l.out.mark();
        let mut splice = Splice::new(frame, shared, &mut l.out);
        let edit = Rewrite::new(by_id.then_some(wire), headers);
        if codec.rewrite(&s.conn, &l.conn, &x.meta, x.tag, &edit, &mut splice).is_err() {
            l.out.rollback(mark);
            l.calls.undo(wire);
            return false;
        }
        if *ordered {
            s.sent_via(pool, endpoint, link);
        } else {
            s.attempts += 1;
        }
        x.phase = Phase::Sent;
        x.endpoint = endpoint;
        x.sent = true;
        x.place = Some((link, wire));
        e.in_flight += 1;
        if let Some(conn) = l.note_dirty(link) {
            events.push_back(Event::Write(conn));
        }
        true
    }
}

/// The service and method of a request, if there is no doubt about either: what can be read, and is
/// not empty where there is something.
#[inline(always)]
fn certain<'a>(service: Found<'a>, method: Found<'a>) -> Option<(&'a [u8], &'a [u8])> {
    match (service, method) {
        (Ok(service), Ok(Some(method))) if !method.is_empty() => match service {
            None => Some((&[], method)),
            Some(service) if !service.is_empty() => Some((service, method)),
            Some(_) => None,
        },
        _ => None,
    }
}
