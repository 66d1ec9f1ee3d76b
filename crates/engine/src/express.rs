//! The usual case in one go: a request that goes plainly to one endpoint, over a shared link or a
//! free one, and its good reply. What is not usual is left alone and takes the long way, which comes
//! to the same result; nothing has changed until it is clear that nothing stands in the way.

use bytes::Bytes;
use heptad_core::{
    Accepted, Bind, Codec, FanOut, Found, Kind, Meta, Outcome, Reason, Rewrite, Splice, Time,
    Verdict,
};

use crate::{
    ConnId, Engine, Event, LinkId, SessionId,
    admit::UNCOUNTED,
    arena::Key,
    calls::{Attempt, Role},
    exchange::{Exchange, Phase, short},
    follow_replies::Lead,
    known::{Habit, Learned},
    link::{Link, Usage},
    pen::{Pen, Sent},
    plan::End,
    pool::Pool,
    rare::Extras,
    view::{Names, View},
};

/// By how much a frame may well grow when it is rewritten.
const HEAD: usize = 64;

impl<C: Codec> Engine<C> {
    /// Takes a request from its names to its link; false, with nothing changed, if it is not plainly
    /// that. What turns up on the way (a refusal, no link) is dealt with as anywhere. `asks` is the
    /// filter that wants to look at it, if that is known already.
    #[allow(clippy::too_many_arguments, reason = "one request, as it came")]
    pub(crate) fn request_express(
        &mut self,
        now: Time,
        id: SessionId,
        meta: &Meta,
        tag: C::Tag,
        frame: &[u8],
        shared: Option<&Bytes>,
        asks: Option<usize>,
    ) -> bool {
        if !is_usual(meta) || self.is_tapped() {
            return false;
        }
        let (ordered, by_id) = (self.traits.ordered, !self.in_order());
        let Self { codec, plan, sessions, exchanges, pools, links, chains, .. } = self;
        let Self {
            ways, known, stats, timers, events, words, scratch, leftovers, buffered, ..
        } = self;
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
        let Some(chain) = chains.get_mut(chain_at) else {
            return false;
        };
        let (key, x) = exchanges.begin(id, meta, tag, chain_number, now);
        x.slot = s.open.push(key);
        chain.live += 1;
        x.series = way.series;
        x.method = match met {
            Some(method) => method,
            None => {
                let service = names.service.ok().flatten().unwrap_or_default();
                stats.method(service, names.method.ok().flatten().unwrap_or_default())
            }
        };
        x.pool = Some(short(way.pool));
        x.of = short(p.endpoints.len());
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

        let filters = chain.workers.len();
        let (mut first, mut passes) = (0, habit.passes);
        if habit.met && filters < 64 && passes == (1 << filters) - 1 {
            // All of them let it pass; but one may want to look at this one.
            let mut workers = chain.workers.iter_mut();
            let asks = asks.or_else(|| workers.position(|worker| !worker.repeated()));
            first = asks.unwrap_or(filters);
            passes &= !(1 << first);
        }
        if first < filters {
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
            let mut learned = Learned { wanted: !habit.here, ..Learned::default() };
            let workers = &mut chain.workers;
            let numbers = x.rare.numbers_mut();
            let (at, verdict) =
                x.memory.ask(numbers, workers, first, now, &mut view, passes, &mut learned);
            stats.unknown_attributes += unknown;
            if !edits.is_empty() {
                x.rare.edits = edits;
            }
            if !matches!(verdict, Verdict::Pass) {
                self.obey(now, key, at, verdict, frame);
                self.stall_behind(id, key);
                return true;
            }
            // It has nothing to drop.
            std::mem::forget(verdict);
            if learned.wanted
                && let Some(method) = met
            {
                known.learn(method, number, learned, &mut s.here);
            }
        } else if let Some(method) = met
            && !habit.here
        {
            known.learn(method, number, Learned::default(), &mut s.here);
        }

        let mut pen = Pen { codec, links, leftovers, events, buffered, ordered, by_id };
        let turn = pen.hand_over(now, key, x, s, (way.pool, p), scratch, frame, shared);
        if !matches!(turn, Turn::Sent) {
            self.conclude(now, id, key, turn, frame, shared);
        }
        true
    }

    /// Does with a request what is not simply writing it to its link.
    #[inline(never)]
    pub(crate) fn conclude(
        &mut self,
        now: Time,
        id: SessionId,
        key: Key,
        turn: Turn,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) {
        match turn {
            Turn::Sent => {}
            Turn::Local(accepted) => return self.answer_locally(now, key, accepted),
            Turn::Nowhere => {
                return self.settle_end(now, key, (Outcome::NoEndpoint, Reason::None));
            }
            Turn::Refused(link, end) => self.unsent(now, key, link, end),
            Turn::Left(pool, endpoint) => {
                self.dispatch_the_long_way(now, key, pool, endpoint, frame, shared);
            }
        }
        self.stall_behind(id, key);
    }

    /// Writes a request to its link; false if that is not all there is to do.
    pub(crate) fn send_express(
        &mut self,
        now: Time,
        key: Key,
        pool: usize,
        endpoint: usize,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) -> bool {
        let (ordered, by_id) = (self.traits.ordered, !self.in_order());
        let Self { exchanges, sessions, links, pools, codec, leftovers, events, buffered, .. } =
            self;
        let (Some(x), Some(p)) = (exchanges.get_mut(key), pools.get_mut(pool)) else {
            return false;
        };
        let Some(s) = sessions.get_mut(x.session.0) else {
            return false;
        };
        let mut pen = Pen { codec, links, leftovers, events, buffered, ordered, by_id };
        match pen.send(key, x, s, p, (pool, endpoint), frame, shared) {
            Sent::Yes => {}
            Sent::Refused(link, end) => self.unsent(now, key, link, end),
            Sent::Left => return false,
        }
        true
    }

    /// A frame could not be written to the link that it had.
    fn unsent(&mut self, now: Time, key: Key, link: LinkId, end: End) {
        self.left_link(key, link);
        self.free_link(now, link);
        self.fail_part(now, key, 0, end);
    }

    /// Settles an exchange with the reply to its only attempt, and says whose it was; `None` if that is
    /// not all there is to do.
    pub(crate) fn reply_express(
        &mut self,
        now: Time,
        link: LinkId,
        attempt: &Attempt<C::Tag>,
        meta: &Meta,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) -> Option<Lead> {
        let Role::Part { session: id, exchange: key, .. } = attempt.role else {
            return None;
        };
        let good = meta.outcome == Outcome::Ok && meta.kind == Kind::Reply;
        if !good || attempt.orphaned.is_some() || matches!(meta.bind, Bind::Release(_)) {
            return None;
        }
        let (ordered, by_id) = (self.traits.ordered, !self.in_order());
        let hard = self.limits().hard_mark;
        let Self { exchanges, sessions, links, pools, codec, leftovers, stats, timers, .. } = self;
        let (Some(x), Some(s)) = (exchanges.get_mut(key), sessions.get_mut(id.0)) else {
            return None;
        };
        let l = links.get_mut(link.0)?;
        let Meta { kind, bind, fan_out, quiet, .. } = x.meta;
        let asked = kind == Kind::Request && bind == Bind::Shared && !quiet && x.sent;
        let one = x.of <= 1 || fan_out != FanOut::Index;
        let alone = x.rare.is_plain() || {
            let Extras { fan, kept, copied, tapped, reply_headers, .. } = &*x.rare;
            let kept = !kept.is_empty() || fan.is_some() || copied.is_some();
            !kept && *tapped == 0 && reply_headers.is_none()
        };
        let open = x.phase == Phase::Sent && s.unread() <= hard;
        let is_shared = matches!(l.usage, Usage::Shared(_));
        let stays = !l.prepared && !l.draining && (is_shared || is_freed(codec, pools, l));
        if !(asked && one && alone && open && stays) {
            return None;
        }
        let front = !ordered || s.open.front() == Some(key);
        let slot = x.slot;
        let lead = Lead { session: id, series: x.series, method: x.method, chain: x.chain };
        let out = if front { &mut s.out } else { x.rare.ready_mut() };
        leftovers.furnish(out, frame.len() + HEAD);
        let (mark, before) = (out.mark(), out.len());
        let edit = Rewrite::new(by_id.then_some(x.meta.id), &[]);
        let mut splice = Splice::new(frame, shared, out);
        if codec.rewrite(&l.conn, &s.conn, meta, x.tag, &edit, &mut splice).is_err() {
            out.rollback(mark);
            return None;
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
        if let Some(p) = pools.get_mut(at.0)
            && let Some(e) = p.endpoints.get_mut(at.1)
        {
            e.in_flight = e.in_flight.saturating_sub(1);
            waits = !e.waiting.is_empty();
            if !is_shared {
                l.give_back(link, p, timers, now);
            }
        }
        x.place = None;
        x.phase = Phase::Settled;
        let took = now.as_nanos().saturating_sub(x.started.as_nanos());
        stats.succeeded(x.series, x.method, took);
        if !x.memory.is_empty() {
            self.filters_done(now, key, (Outcome::Ok, Reason::None), 0, wrote);
        } else if let Some(chain) = self.chains.get_mut(x.chain as usize) {
            chain.live = chain.live.saturating_sub(1);
        }
        if waits {
            self.kicks.push_back(at);
        }
        if front {
            self.forget(key);
        }
        let Some(mut s) = self.sessions.get_mut(id.0) else {
            return Some(lead);
        };
        if !ordered {
            let moved = s.open.leave(slot, key);
            if let Some(moved) = moved.and_then(|key| self.exchanges.get_mut(key)) {
                moved.slot = slot;
            }
        } else if front {
            s.open.pop_front();
            // What is behind it may have its reply.
            if let Some(next) = s.open.front()
                && self.exchanges.get(next).is_some_and(Exchange::is_settled)
            {
                self.flush_order(id);
                match self.sessions.get_mut(id.0) {
                    Some(same) => s = same,
                    None => return Some(lead),
                }
            }
        }
        if !s.dirty && !s.out.is_empty() {
            s.dirty = true;
            self.events.push_back(Event::Write(ConnId::Session(id)));
        }
        if s.looks() {
            self.wake(id);
        }
        Some(lead)
    }
}

/// Whether a link of one exchange's own is free for the next one when that exchange is over.
#[inline(never)]
fn is_freed<C: Codec>(codec: &C, pools: &[Pool], l: &Link<C>) -> bool {
    l.is_done() && pools.get(l.pool).is_some_and(|p| l.goes_on(codec, p))
}

/// What becomes of a request that has passed its filters.
pub(crate) enum Turn {
    /// It is on its way.
    Sent,
    /// The codec answers by itself.
    Local(Accepted),
    /// There is no endpoint for it.
    Nowhere,
    /// To this endpoint of this pool, but not plainly.
    Left(usize, usize),
    /// It could not be written to this link.
    Refused(LinkId, End),
}

/// Whether a request asks for one reply from one endpoint on a shared link, and for nothing besides.
#[inline(always)]
pub(crate) fn is_usual(meta: &Meta) -> bool {
    let usual = meta.kind == Kind::Request && meta.bind == Bind::Shared;
    usual && meta.fan_out == FanOut::One && !meta.quiet && meta.wait_ms == 0
}

/// The service and method of a request, if there is no doubt about either: what can be read, and is
/// not empty where there is something.
#[inline(always)]
pub(crate) fn certain<'a>(service: Found<'a>, method: Found<'a>) -> Option<(&'a [u8], &'a [u8])> {
    match (service, method) {
        (Ok(service), Ok(Some(method))) if !method.is_empty() => match service {
            None => Some((&[], method)),
            Some(service) if !service.is_empty() => Some((service, method)),
            Some(_) => None,
        },
        _ => None,
    }
}
