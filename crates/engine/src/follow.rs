//! Requests that follow one of their kind in the same read: what led that one to its cluster leads
//! them there too, and is looked up once for all of them. Whoever is not plainly of that kind is left
//! to the usual ways, which come to the same result.

use bytes::Bytes;
use heptad_core::{Accepted, Codec, Fault, SHARE_FROM, Step, Time};

use crate::{
    Engine, Event, SessionId, Stats,
    exchange::{Phase, short},
    express::{Turn, certain, is_usual},
    leftovers::LARGE,
    pen,
    session::Stall,
    stamp::{Like, Model, Stamp, Stamped},
    view::Names,
};

/// How far requests were taken.
pub(crate) enum Followed<T> {
    /// To one that is not of their kind, or for which there is no room: it can be decoded again.
    On,
    /// To one that the filter with this number wants to look at; those before it have passed it.
    Asks(usize),
    /// To what is no whole frame.
    Odd(Result<Step<T>, Fault>),
}

impl<C: Codec> Engine<C> {
    /// Takes requests from `at` on, as long as they are of the kind of the session's last one.
    #[inline(never)]
    pub(crate) fn follow(
        &mut self,
        now: Time,
        id: SessionId,
        buf: &[u8],
        shared: Option<&Bytes>,
        at: &mut usize,
    ) -> Followed<C::Tag> {
        if self.is_tapped() {
            return Followed::On;
        }
        let (ordered, by_id) = (self.traits.ordered, !self.in_order());
        let max = self.ctx.max_frame as usize;
        let Self { codec, ctx, plan, sessions, exchanges, pools, links, chains, .. } = self;
        let Self { ways, known, stats, timers, events, words, scratch, leftovers, .. } = self;
        let Some(s) = sessions.get_mut(id.0) else {
            return Followed::On;
        };
        let Some(lead) = s.open.back().and_then(|key| exchanges.get(key)) else {
            return Followed::On;
        };
        let (method, series, chain_number) = (lead.method, lead.series, lead.chain);
        let habit = known.of(method, &s.here);
        let Some(Some(way)) = habit.route.and_then(|number| ways.get(number)) else {
            return Followed::On;
        };
        let of_chains = chains.len();
        let (Some(p), Some(chain)) =
            (pools.get_mut(way.pool), chains.get_mut(chain_number as usize))
        else {
            return Followed::On;
        };
        let filters = chain.workers.len();
        let passes = habit.met && filters < 64 && habit.passes == (1 << filters) - 1;
        let edits = way.request_headers.is_some() || way.reply_headers.is_some();
        let last = s.here.method() == method;
        let went = last && lead.phase == Phase::Sent && lead.sent && is_usual(&lead.meta);
        let calm = !s.closing && s.stall == Stall::None && s.held.is_empty();
        // Where endpoints say where keys have moved to, each frame is kept.
        let plain = p.share && !p.redirects && !p.endpoints.is_empty();
        // The last one that is open may be of an earlier plan.
        let newest = chain_number as usize + 1 == of_chains;
        let same = newest && way.series == series;
        if method == 0 || !passes || edits || !went || !calm || !plain || !same {
            return Followed::On;
        }
        let mut like = Like {
            session: id,
            now,
            timeout: way.timeout,
            chain: chain_number,
            series,
            method,
            pool: short(way.pool),
            endpoint: 0,
            of: short(p.endpoints.len()),
        };
        let Stats { series: all, methods, .. } = stats;
        let (Some(counts), Some(kind)) =
            (all.get_mut(series as usize), methods.get(method as usize))
        else {
            return Followed::On;
        };

        // Whether the client reads its replies does not change while it is decoded.
        let mut room = plan.limits.in_flight.saturating_sub(s.open.len());
        if s.unread() > plan.limits.soft_mark {
            room = 0;
        }
        let policy = &p.cluster.links;
        let slot = policy.slot_of(id.0.index());
        let most = policy.max_buffered;
        // The link that the last one has taken, and for what.
        let mut last = None;
        // Large ones are shared, and not looked at so closely.
        let small = max.min(SHARE_FROM - 1);
        let mut model: Option<Model<'_, C::Tag>> = None;
        let (key, turn, from) = loop {
            let rest = buf.get(*at..).unwrap_or_default();
            if rest.is_empty() || room == 0 {
                return Followed::On;
            }
            let alike = model.as_mut().and_then(|model| {
                let frame = model.template.read(model.frame, rest, small, &mut model.meta)?;
                Some((&*model, frame))
            });
            let step;
            let (meta, tag, frame) = if let Some((model, frame)) = alike {
                (&model.meta, model.tag, frame)
            } else {
                step = codec.decode_request(&mut s.conn, ctx, rest);
                let Ok(Step::Frame(meta, tag)) = &step else {
                    return Followed::Odd(step);
                };
                let len = meta.len as usize;
                let frame = match rest.get(..len) {
                    Some(frame) if (1..=max).contains(&len) => frame,
                    _ => return Followed::Odd(step),
                };
                let names = Names::read(codec, &s.conn, meta, frame, words);
                match certain(names.service, names.method) {
                    Some((service, method)) if is_usual(meta) && kind.is(service, method) => {}
                    _ => return Followed::On,
                }
                (meta, *tag, frame)
            };
            let model_of = alike.map(|(model, _)| model);
            let len = frame.len();
            if let Some(asks) = chain.workers.iter_mut().position(|worker| !worker.repeated()) {
                return Followed::Asks(asks);
            }
            let (key, x) = exchanges.begin(id, meta, tag, chain_number, now);
            like.note(x, key, timers);
            x.slot = s.open.push(key);
            match model_of {
                Some(model) => x.keep_same(&model.words),
                None => x.keep_words(codec.keep(&s.conn, meta, frame, scratch)),
            }
            chain.live += 1;
            counts.in_flight += 1;
            room -= 1;
            let from = *at;
            *at += len;

            if model_of.is_none() {
                let accepted = codec.accepted(&mut s.conn, &x.meta, x.tag, frame);
                if matches!(accepted, Accepted::Local | Accepted::LocalClose) {
                    break (key, Turn::Local(accepted), from);
                }
            }
            let Some(endpoint) = p.choose(codec, now, x, &s.conn, frame, scratch) else {
                break (key, Turn::Nowhere, from);
            };
            let left = Turn::Left(way.pool, endpoint);
            let Some(e) = p.endpoints.get_mut(endpoint) else {
                break (key, left, from);
            };
            let flavour = match model_of {
                Some(model) => model.flavour,
                None => codec.flavour(&s.conn, &x.meta),
            };
            let link = match last {
                Some((same, link)) if same == (endpoint, flavour) => Some(link),
                _ => e.slot(flavour, slot),
            };
            let Some((link, l)) = link.and_then(|link| Some((link, links.get_mut(link.0)?))) else {
                break (key, left, from);
            };
            if last != Some(((endpoint, flavour), link)) {
                // Invariant 7.
                if ordered && s.elsewhere(way.pool, endpoint, link) {
                    break (key, left, from);
                }
                leftovers.furnish(&mut l.out, LARGE);
                last = Some(((endpoint, flavour), link));
            }
            if !e.waiting.is_empty() || !l.has_room(most) {
                break (key, left, from);
            }
            x.endpoint = short(endpoint);
            if ordered {
                s.sent_via(way.pool, endpoint, link);
            } else {
                s.attempts += 1;
            }
            match model_of {
                Some(Model { template, link: same, .. }) if *same == link => {
                    if let Err(end) = pen::copy(template, key, x, (link, &mut *l), frame) {
                        break (key, Turn::Refused(link, end), from);
                    }
                }
                _ => {
                    let piece = shared.map(|b| b.slice(from..(*at).min(b.len())));
                    let at_link = (link, &mut *l);
                    if let Err(end) =
                        pen::write(codec, by_id, key, x, &s.conn, at_link, frame, piece.as_ref())
                    {
                        break (key, Turn::Refused(link, end), from);
                    }
                    model = None;
                    if by_id
                        && let Some(words) = x.short_words()
                        && let Some(template) =
                            codec.template(&s.conn, &l.conn, &x.meta, x.tag, frame)
                    {
                        let (meta, tag) = (x.meta, x.tag);
                        model = Some(Model { template, frame, meta, tag, words, flavour, link });
                    }
                }
            }
            e.in_flight += 1;
            if !l.dirty {
                events.extend(l.note_dirty(link).map(Event::Write));
            }
            let Some(model) = model.as_mut().filter(|_| like.of == 1) else {
                continue;
            };
            // There is nothing to choose for those that are like it.
            like.endpoint = short(endpoint);
            let stamp = Stamp {
                like: &like,
                longest: small,
                room,
                max_buffered: most,
                workers: &mut chain.workers,
                exchanges: &mut *exchanges,
                timers: &mut *timers,
                open: &mut s.open,
                link: l,
            };
            let (taken, end) = stamp.take(model, buf, at);
            e.in_flight += taken;
            let begun = taken + u32::from(matches!(end, Stamped::Refused(..)));
            room = room.saturating_sub(begun as usize);
            chain.live += begun as usize;
            counts.in_flight += u64::from(begun);
            if ordered {
                s.sent_more_via(link, begun);
            } else {
                s.attempts += begun as usize;
            }
            match end {
                Stamped::On => {}
                Stamped::Asks(asks) => return Followed::Asks(asks),
                Stamped::Refused(key, len, end) => {
                    break (key, Turn::Refused(link, end), *at - len);
                }
            }
        };
        let frame = buf.get(from..*at).unwrap_or_default();
        let piece = shared.map(|b| b.slice(from..(*at).min(b.len())));
        self.conclude(now, id, key, turn, frame, piece.as_ref());
        Followed::On
    }
}
