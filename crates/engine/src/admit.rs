//! Admission: a frame becomes an exchange, is routed and filtered once, and is then either answered
//! here or dispatched.

use bytes::Bytes;
use heptad_core::{
    Accepted, Answer, Attr, Attributes, Codec, Kind, Lane, Meta, Outcome, Reason, Refusal, Time,
    Value, Verdict,
};

use crate::{
    Engine, Event, Route, SessionId, Stats, Target,
    aim::Whole,
    arena::Key,
    exchange::{Phase, is_control, short},
    known::Learned,
    plan::End,
    rare::Extras,
    text::text,
    timers::Due,
    view::{Names, View},
};

/// Counters' handle of exchanges that are not counted as requests (heartbeats, last words).
pub(crate) const UNCOUNTED: u32 = u32::MAX;

/// Gives the bytes of an attribute to whatever hashes them.
pub(crate) fn hashed<R>(
    view: &mut dyn Attributes,
    attr: &Attr,
    hash: impl FnOnce(&[u8]) -> Option<R>,
) -> Option<R> {
    match view.attr(attr) {
        Ok(Some(Value::Bytes(bytes))) => hash(bytes),
        Ok(Some(Value::Ip(ip))) => hash(ip.to_string().as_bytes()),
        Ok(Some(Value::Number(n))) => hash(&n.to_be_bytes()),
        _ => None,
    }
}

impl<C: Codec> Engine<C> {
    /// A new exchange at the end of its session's order, not yet routed and not counted.
    pub(crate) fn exchange(&mut self, now: Time, id: SessionId, meta: Meta, tag: C::Tag) -> Key {
        let chain = u32::try_from(self.chains.len().saturating_sub(1)).unwrap_or(0);
        let (key, x) = self.exchanges.begin(id, &meta, tag, chain, now);
        if let Some(s) = self.sessions.get_mut(id.0) {
            x.slot = s.open.push(key);
        }
        if let Some(chain) = self.chains.last_mut() {
            chain.live += 1;
        }
        key
    }

    /// Routes and filters a request; whatever becomes of it has its place in the session's order.
    pub(crate) fn admit(
        &mut self,
        now: Time,
        id: SessionId,
        meta: Meta,
        tag: C::Tag,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) -> Key {
        let tapped = self.is_tapped();
        let key = self.exchange(now, id, meta, tag);
        self.keep_words(key, frame);
        let Some(session) = self.sessions.get(id.0) else {
            return key;
        };
        let Some(x) = self.exchanges.get_mut(key) else {
            return key;
        };
        let (rare, numbers) = x.rare.parts();
        let (codec, conn) = (&self.codec, &session.conn);
        let names = Names::read(codec, conn, &meta, frame, &mut self.words);
        x.method = self.stats.method(
            names.service.ok().flatten().unwrap_or_default(),
            names.method.ok().flatten().unwrap_or_default(),
        );
        let mut unknown = 0;
        let mut view = View {
            codec: &self.codec,
            id,
            session,
            plan: &self.plan,
            meta: &meta,
            tag,
            frame,
            names,
            place: None,
            scratch: &mut self.scratch,
            unknown: &mut unknown,
            edits: &mut rare.edits,
        };
        let found = self.plan.table.find(&mut self.find, &mut view);
        let route = found.and_then(|at| self.plan.routes.get(at));
        let Some(route) = route else {
            self.stats.unknown_attributes += unknown;
            x.series = self.no_route;
            self.count_in(key);
            if tapped {
                self.tap_request(now, key, frame);
            }
            if meta.kind == Kind::Login {
                // Whoever may not do anything may still log in.
                self.accept(now, key, frame, shared);
            } else if self.filter(now, key, 0, frame) {
                // Filters see what no route is for, too: to record it, or to say what is denied.
                self.proceed(now, key, frame, shared);
            } else if let Some(x) = self.exchanges.get_mut(key) {
                // A filter may wait for what never comes, and there is no route to say how long.
                x.deadline = now + Route::TIMEOUT;
                let lasting = self.timers.lasting(Route::TIMEOUT);
                self.timers.after(now, lasting, key);
            }
            return key;
        };
        let at = match &route.target {
            Target::Cluster(at) => Some(*at),
            Target::Weighted(weights, clusters) => {
                let stable = route
                    .hash_on
                    .as_ref()
                    .and_then(|a| hashed(&mut view, a, |v| Some(weights.pick_stable(v))));
                let pick = stable.unwrap_or_else(|| weights.pick(self.rng.u64(..)));
                clusters.get(pick).copied()
            }
            Target::Answer(_) | Target::Refuse(..) => None,
        };
        let to = at.and_then(|at| self.pool_of.get(at)).copied();
        x.pool = to.map(short);
        rare.mirror = route.mirror.filter(|mirror| self.rng.u32(0..100) < mirror.percent);
        if let Some(mirror) = &mut rare.mirror {
            // From here on by pool: the plan may change before the request is sent.
            mirror.cluster = self.pool_of.get(mirror.cluster).copied().unwrap_or(usize::MAX);
        }
        if !route.request_headers.is_empty() {
            rare.request_headers = Some(route.request_headers.clone());
        }
        if !route.reply_headers.is_empty() {
            rare.reply_headers = Some(route.reply_headers.clone());
        }
        let pool = to.and_then(|at| self.pools.get(at));
        x.of = pool.map_or(1, |p| short(p.endpoints.len().max(1)));
        // Hashing on an attribute is done now, while the attributes are at hand; all other choices
        // later.
        if let (Some(attr), Some(at)) = (&route.hash_on, to)
            && let Some(pool) = self.pools.get_mut(at)
            && pool.balancer.is_hashing()
        {
            rare.chosen = hashed(&mut view, attr, |v| pool.pick(now, Some(v)));
        }
        let direct = match &route.target {
            Target::Answer(text) => Some((Outcome::Ok, text.clone())),
            Target::Refuse(outcome, text) => Some((*outcome, text.clone())),
            _ => None,
        };
        let stats = &mut self.stats;
        let at = found.unwrap_or(0);
        x.series = match self.series_at.get_mut(at) {
            Some((pool, series)) if *pool == to && *series != UNCOUNTED => *series,
            last => {
                let series = *self.series_of.entry((at, to)).or_insert_with(|| {
                    let pool = to.and_then(|at| self.pools.get(at));
                    stats.series(&route.name, pool.map_or(&self.empty, |p| &p.cluster.name))
                });
                if let Some(last) = last {
                    *last = (to, series);
                }
                series
            }
        };
        // A client's own time-out can only shorten the route's.
        let own = route
            .client_timeout
            .then(|| codec.timeout(conn, &meta, frame))
            .flatten()
            .map(|ms| std::time::Duration::from_millis(ms.into()));
        let timeout = match (route.timeout, own) {
            (Some(route), Some(own)) => Some(route.min(own)),
            (route, own) => route.or(own),
        };
        if let Some(timeout) = timeout
            && meta.wait_ms != u32::MAX
        {
            let wait = std::time::Duration::from_millis(u64::from(meta.wait_ms));
            x.deadline = now + timeout + wait;
            if meta.wait_ms == 0 && own.is_none() {
                let lasting = self.timers.lasting(timeout);
                self.timers.after(now, lasting, key);
            } else {
                self.timers.at(x.deadline, Due::Exchange(key));
            }
        }
        rare.direct = direct;
        if tapped {
            self.stats.unknown_attributes += unknown;
            self.count_in(key);
            self.tap_request(now, key, frame);
            if self.filter(now, key, 0, frame) {
                self.proceed(now, key, frame, shared);
            }
            return key;
        }
        if let Some(series) = self.stats.series.get_mut(x.series as usize) {
            series.in_flight += 1;
            view.place = Some((&series.route, &series.cluster));
        }
        let (mut at, mut verdict) = (0, Verdict::Pass);
        if let Some(chain) = self.chains.get_mut(x.chain as usize)
            && !chain.workers.is_empty()
        {
            let mut none = Learned::default();
            let workers = &mut chain.workers;
            (at, verdict) = x.memory.ask(numbers, workers, 0, now, &mut view, 0, &mut none);
        }
        self.stats.unknown_attributes += unknown;
        if self.obey(now, key, at, verdict, frame) {
            self.proceed(now, key, frame, shared);
        }
        key
    }

    /// The filters have passed: the request gets the answer of its route, or is sent.
    fn proceed(&mut self, now: Time, key: Key, frame: &[u8], shared: Option<&Bytes>) {
        let Some(x) = self.exchanges.get_mut(key) else {
            return;
        };
        match x.rare.direct.take() {
            Some((Outcome::Ok, text)) => {
                let end = (Outcome::Ok, Reason::Direct);
                self.settle(now, key, None, end, 0, |codec, _, conn, q, chain| {
                    codec.answer(conn, q, &Answer::Direct { text: &text }, chain.tail())
                });
            }
            Some((outcome, text)) => {
                self.settle_error(now, key, (outcome, Reason::Direct), &text);
            }
            None if x.pool.is_none() => {
                self.settle_end(now, key, (Outcome::NoRoute, Reason::None));
            }
            None => self.accept(now, key, frame, shared),
        }
    }

    /// Keeps what an answer would have to repeat of the request.
    pub(crate) fn keep_words(&mut self, key: Key, frame: &[u8]) {
        let Some(x) = self.exchanges.get_mut(key) else {
            return;
        };
        let Some(s) = self.sessions.get(x.session.0) else {
            return;
        };
        self.scratch.clear();
        let words = self.codec.keep(&s.conn, &x.meta, frame, &mut self.scratch);
        x.keep_words(words);
    }

    pub(crate) fn count_in(&mut self, key: Key) {
        if let Some(x) = self.exchanges.get(key)
            && let Some(series) = self.stats.series.get_mut(x.series as usize)
        {
            series.in_flight += 1;
        }
    }

    /// Runs the filters from number `from` on; whether all have passed.
    fn filter(&mut self, now: Time, key: Key, from: usize, frame: &[u8]) -> bool {
        let Some(x) = self.exchanges.get_mut(key) else {
            return false;
        };
        let workers = self.chains.get_mut(x.chain as usize).map(|chain| &mut *chain.workers);
        let workers = workers.unwrap_or_default();
        if from >= workers.len() {
            return true;
        }
        let Some(session) = self.sessions.get(x.session.0) else {
            return false;
        };
        let names = Names::read(&self.codec, &session.conn, &x.meta, frame, &mut self.words);
        let Stats { series, unknown_attributes, .. } = &mut self.stats;
        let (extras, numbers) = x.rare.parts();
        let mut view = View {
            codec: &self.codec,
            id: x.session,
            session,
            plan: &self.plan,
            meta: &x.meta,
            tag: x.tag,
            frame,
            names,
            place: series.get(x.series as usize).map(|s| (&*s.route, &*s.cluster)),
            scratch: &mut self.scratch,
            unknown: unknown_attributes,
            edits: &mut extras.edits,
        };
        let mut none = Learned::default();
        let (at, verdict) = x.memory.ask(numbers, workers, from, now, &mut view, 0, &mut none);
        self.obey(now, key, at, verdict, frame)
    }

    /// Does what a filter decided; whether the next one is asked.
    pub(crate) fn obey(
        &mut self,
        now: Time,
        key: Key,
        at: usize,
        verdict: Verdict,
        frame: &[u8],
    ) -> bool {
        match verdict {
            Verdict::Pass => return true,
            Verdict::Refuse(Refusal { outcome, text, .. }) => {
                self.settle_error(now, key, (outcome, Reason::Filter), &text);
            }
            Verdict::Ask(ask) => {
                self.park(key, Phase::asking(at), frame);
                self.events.push_back(Event::Ask(key.to_bits(), ask));
            }
            Verdict::Wait(time) => {
                self.park(key, Phase::asking(at), frame);
                self.timers.at(now + time, Due::Wait(key));
            }
            _ => self.end_silently(now, key, (Outcome::Denied, Reason::Filter)),
        }
        false
    }

    /// What a filter waited for has come.
    pub(crate) fn resume_filter(&mut self, now: Time, ticket: u64, answer: &[u8]) {
        let key = Key::from_bits(ticket);
        let Some(Phase::Asking(at)) = self.phase(key) else {
            return;
        };
        let at = usize::from(at);
        let Some(x) = self.exchanges.get_mut(key) else {
            return;
        };
        let frame = std::mem::take(&mut x.rare.frame);
        self.buffered = self.buffered.saturating_sub(frame.len());
        x.phase = Phase::Sent;
        let id = x.session;
        let Some(session) = self.sessions.get(id.0) else {
            return;
        };
        let names = Names::read(&self.codec, &session.conn, &x.meta, &frame, &mut self.words);
        let Stats { series, unknown_attributes, .. } = &mut self.stats;
        let (extras, numbers) = x.rare.parts();
        let mut view = View {
            codec: &self.codec,
            id,
            session,
            plan: &self.plan,
            meta: &x.meta,
            tag: x.tag,
            frame: &frame,
            names,
            place: series.get(x.series as usize).map(|s| (&*s.route, &*s.cluster)),
            scratch: &mut self.scratch,
            unknown: unknown_attributes,
            edits: &mut extras.edits,
        };
        let worker =
            self.chains.get_mut(x.chain as usize).and_then(|chain| chain.workers.get_mut(at));
        let Some(worker) = worker else {
            return;
        };
        let Some(verdict) = x.memory.resume(numbers, &mut **worker, at, now, answer, &mut view)
        else {
            return;
        };
        if self.obey(now, key, at, verdict, &frame) && self.filter(now, key, at + 1, &frame) {
            self.proceed(now, key, &frame, None);
        }
        self.wake(id);
    }

    /// The filters have passed: the session's state may change, and the codec may answer itself.
    fn accept(&mut self, now: Time, key: Key, frame: &[u8], shared: Option<&Bytes>) {
        if let Some(x) = self.exchanges.get_mut(key)
            && !x.rare.edits.is_empty()
            && let Extras { edits, request_headers: Some(headers), .. } = &mut *x.rare
        {
            // The route's come first.
            edits.splice(0..0, headers.iter().cloned());
        }
        if let Err(end) = self.one_endpoint(key, frame) {
            self.settle_end(now, key, end);
            return;
        }
        let Some(x) = self.exchanges.get(key) else {
            return;
        };
        let (id, meta) = (x.session, x.meta);
        let Some(s) = self.sessions.get_mut(id.0) else {
            return;
        };
        let accepted = self.codec.accepted(&mut s.conn, &meta, x.tag, frame);
        match accepted {
            Accepted::Local | Accepted::LocalClose => self.answer_locally(now, key, accepted),
            _ => {
                let Some(x) = self.exchanges.get(key) else {
                    return;
                };
                if x.pool.is_none() {
                    // Only a login comes here without a route, and this one wants an endpoint.
                    self.settle_end(now, key, (Outcome::NoRoute, Reason::None));
                } else {
                    self.copy(now, key, frame, shared);
                    self.dispatch(now, key, frame, shared);
                }
            }
        }
    }

    /// The codec answers by itself.
    pub(crate) fn answer_locally(&mut self, now: Time, key: Key, accepted: Accepted) {
        let Some(x) = self.exchanges.get(key) else {
            return;
        };
        let (id, control) = (x.session, is_control(&x.meta));
        let end = (Outcome::Ok, Reason::None);
        self.settle(now, key, None, end, 0, |codec, _, conn, q, chain| {
            codec.answer(conn, q, &Answer::Local, chain.tail())
        });
        if control {
            self.note_principal(id);
        }
        if accepted == Accepted::LocalClose
            && let Some(s) = self.sessions.get_mut(id.0)
        {
            s.closing = true;
        }
        self.wake(id);
    }

    /// Refuses what cannot be done with several endpoints, before anything has changed.
    fn one_endpoint(&mut self, key: Key, frame: &[u8]) -> Result<(), End> {
        let Some(x) = self.exchanges.get(key) else {
            return Ok(());
        };
        let Some(pool) = x.pool() else { return Ok(()) };
        if x.of <= 1 {
            return Ok(());
        }
        let Some(s) = self.sessions.get(x.session.0) else {
            return Ok(());
        };
        let Some(p) = self.pools.get(pool) else {
            return Ok(());
        };
        let held = s.held(Lane::One, None).map(|held| held.endpoint);
        let whole = Whole { codec: &self.codec, conn: &s.conn, meta: &x.meta, tag: x.tag, frame };
        whole.together(held, p)
    }

    /// Keeps a frame until its exchange can go on.
    pub(crate) fn park(&mut self, key: Key, phase: Phase, frame: &[u8]) {
        if let Some(x) = self.exchanges.get_mut(key) {
            x.phase = phase;
            x.rare.frame = frame.to_vec();
            self.buffered += frame.len();
        }
    }

    pub(crate) fn note_principal(&mut self, id: SessionId) {
        if let Some(s) = self.sessions.get_mut(id.0) {
            let now = self.codec.principal(&s.conn);
            if now.is_some() && now != s.principal.as_deref() {
                s.principal = now.map(std::sync::Arc::from);
            } else if now.is_none() {
                s.principal = s.peer.principal.clone();
            }
        }
    }

    /// Ends an exchange with an error in the standard words.
    pub(crate) fn settle_end(&mut self, now: Time, key: Key, end: End) {
        self.settle_error(now, key, end, text(end.0, end.1));
    }
}
