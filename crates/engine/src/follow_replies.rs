//! Good replies to one session that come one behind the other: taken in one go, and counted together.
//! Those that begin as the first one are compared with it instead of being decoded.

use bytes::Bytes;
use heptad_core::{
    Bind, Codec, Fault, Kind, Meta, Outcome, Rewrite, SHARE_FROM, Splice, Step, Template, Time,
};

use crate::{
    Engine, LinkId, Series, SessionId, Stats,
    arena::{Arena, Key},
    calls::{Attempt, Calls, Outstanding, Role},
    exchange::{Exchange, Phase},
    express::is_usual,
    link::{LinkState, Usage},
    session::Session,
};

/// Whom a good reply was for, and what counts it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lead {
    pub(crate) session: SessionId,
    pub(crate) series: u32,
    pub(crate) method: u32,
    pub(crate) chain: u32,
}

/// What comes behind replies that were taken in one go.
pub(crate) enum Next<T> {
    /// Nothing, or what is to be decoded.
    Decode,
    /// What was decoded.
    Step(Result<Step<()>, Fault>),
    /// A whole reply, to this request.
    Reply(Meta, Attempt<T>),
}

impl<C: Codec> Engine<C> {
    /// Takes replies from `at` on, as long as they are as plain as the one that leads them, and for the
    /// same session.
    #[inline(never)]
    pub(crate) fn follow_replies(
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
        let mut tally = Tally { now, since: now, together: 0, taken: 0 };
        let of = Of { session: id, series, method, chain, hard };
        let small = max.min(SHARE_FROM - 1);
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
            let Some((key, x)) = of.whose(&attempt, meta, s, exchanges) else {
                break Next::Reply(*meta, attempt);
            };
            let mark = s.out.mark();
            let edit = Rewrite::new(by_id.then_some(x.meta.id), &[]);
            let piece = shared.map(|b| b.slice(*at..(*at + len).min(b.len())));
            let mut splice = Splice::new(frame, piece.as_ref(), &mut s.out);
            if codec.rewrite(&l.conn, &s.conn, meta, x.tag, &edit, &mut splice).is_err() {
                s.out.rollback(mark);
                break Next::Reply(*meta, attempt);
            }
            *at += len;
            tally.add(x.started, counts);
            let tag = x.tag;
            exchanges.retire(key, |x| x.rest());
            s.open.pop_front();
            if by_id && let Some(template) = codec.template(&l.conn, &s.conn, meta, tag, frame) {
                let mut model = Model { template, frame, meta: *meta, tag };
                if let Some(next) = of.take(
                    &mut model,
                    small,
                    buf,
                    at,
                    exchanges,
                    s,
                    &mut l.calls,
                    &mut tally,
                    counts,
                ) {
                    break next;
                }
            }
        };
        let Tally { taken, .. } = tally;
        tally.count(counts);
        kind.outcomes[Outcome::Ok as usize] += u64::from(taken);
        *answered += u64::from(taken);
        s.active = now;
        e.in_flight = e.in_flight.saturating_sub(taken);
        chain_of.live = chain_of.live.saturating_sub(taken as usize);
        if ordered {
            s.ended_many_via(link, taken);
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

/// A reply that others are compared with.
struct Model<'a, T> {
    template: Template,
    frame: &'a [u8],
    /// Of the last one that was like it.
    meta: Meta,
    tag: T,
}

/// How many replies there were, and how long their requests took: those that came together took as
/// long.
struct Tally {
    now: Time,
    since: Time,
    together: u64,
    taken: u32,
}

impl Tally {
    #[inline(always)]
    fn add(&mut self, started: Time, counts: &mut Series) {
        if started != self.since {
            self.count(counts);
            self.since = started;
        }
        self.together += 1;
        self.taken += 1;
    }

    fn count(&mut self, counts: &mut Series) {
        let took = self.now.as_nanos().saturating_sub(self.since.as_nanos());
        counts.succeeded(took, std::mem::take(&mut self.together));
    }
}

/// What the requests have in common whose replies are taken in one go.
struct Of {
    session: SessionId,
    series: u32,
    method: u32,
    chain: u32,
    /// So many bytes unread, and the client gets no more for now.
    hard: usize,
}

impl Of {
    /// The request of a good reply, if there is nothing more to do than to pass that on.
    #[inline(always)]
    fn whose<'a, C: Codec>(
        &self,
        attempt: &Attempt<C::Tag>,
        meta: &Meta,
        s: &Session<C>,
        exchanges: &'a mut Arena<Exchange<C::Tag>>,
    ) -> Option<(Key, &'a mut Exchange<C::Tag>)> {
        let Role::Part { session, exchange: key, .. } = attempt.role else {
            return None;
        };
        let x = exchanges.get_mut(key)?;
        let ours = session == self.session && s.open.front() == Some(key);
        let alike = (x.series, x.method, x.chain) == (self.series, self.method, self.chain);
        let plain = x.rare.is_plain() && x.memory.is_empty() && is_usual(&x.meta) && x.sent;
        let awaited = attempt.orphaned.is_none() && x.phase == Phase::Sent;
        let free = !matches!(meta.bind, Bind::Release(_)) && s.unread() <= self.hard;
        (ours && alike && plain && awaited && free).then_some((key, x))
    }

    /// Takes replies from `at` on that begin as the model; what comes behind them, if that is known.
    #[inline(never)]
    #[allow(clippy::too_many_arguments, reason = "what is looked up once for all of them")]
    fn take<C: Codec>(
        &self,
        model: &mut Model<'_, C::Tag>,
        longest: usize,
        buf: &[u8],
        at: &mut usize,
        exchanges: &mut Arena<Exchange<C::Tag>>,
        s: &mut Session<C>,
        calls: &mut Calls<C::Tag>,
        tally: &mut Tally,
        counts: &mut Series,
    ) -> Option<Next<C::Tag>> {
        let Model { template, frame: lead, meta, tag } = model;
        loop {
            let rest = buf.get(*at..).unwrap_or_default();
            let frame = template.read(lead, rest, longest, meta)?;
            let Some(attempt) = calls.take(meta.id) else {
                return Some(Next::Step(Ok(Step::Frame(*meta, ()))));
            };
            let (key, x) = match self.whose(&attempt, meta, s, exchanges) {
                Some((key, x)) if x.tag == *tag => (key, x),
                _ => return Some(Next::Reply(*meta, attempt)),
            };
            template.copy(frame, x.meta.id, &mut s.out);
            *at += frame.len();
            tally.add(x.started, counts);
            exchanges.retire(key, |x| x.rest());
            s.open.pop_front();
        }
    }
}
