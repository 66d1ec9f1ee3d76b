//! The short way of a frame to its link: the shared one of its session, or a free one for itself.
//! Whatever else there may be to do is left alone, before anything has changed.

use std::collections::VecDeque;

use bytes::Bytes;
use heptad_core::{
    Accepted, Bind, Codec, FanOut, Flavour, Kind, Meta, Outcome, Reason, Rewrite, Splice, Template,
    Time,
};

use crate::{
    Event, LinkId, SessionId,
    arena::{Arena, Key},
    calls::Role,
    exchange::{Exchange, Phase, short},
    express::Turn,
    leftovers::{LARGE, Leftovers},
    link::{Job, JobOf, Link, LinkState, Usage},
    plan::End,
    pool::{Endpoint, Pool},
    session::Session,
};

/// What a frame is written with, and to.
pub(crate) struct Pen<'a, C: Codec> {
    pub(crate) codec: &'a C,
    pub(crate) links: &'a mut Arena<Link<C>>,
    pub(crate) leftovers: &'a mut Leftovers,
    pub(crate) events: &'a mut VecDeque<Event>,
    pub(crate) buffered: &'a mut usize,
    pub(crate) ordered: bool,
    pub(crate) by_id: bool,
}

/// What became of a frame that was to be sent.
pub(crate) enum Sent {
    /// It is written, or will be once its link has answered what goes ahead of it.
    Yes,
    /// Nothing has changed.
    Left,
    /// It had this link and could not be written to it.
    Refused(LinkId, End),
}

impl<C: Codec> Pen<'_, C> {
    /// Takes a request that has passed its filters to its link, if it is plainly for one.
    #[inline(always)]
    #[allow(clippy::too_many_arguments, reason = "one request and all that it meets")]
    pub(crate) fn hand_over(
        &mut self,
        now: Time,
        key: Key,
        x: &mut Exchange<C::Tag>,
        s: &mut Session<C>,
        (pool, p): (usize, &mut Pool),
        scratch: &mut Vec<u8>,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) -> Turn {
        let accepted = self.codec.accepted(&mut s.conn, &x.meta, x.tag, frame);
        if matches!(accepted, Accepted::Local | Accepted::LocalClose) {
            return Turn::Local(accepted);
        }
        let Some(endpoint) = p.choose(self.codec, now, x, &s.conn, frame, scratch) else {
            return Turn::Nowhere;
        };
        match self.send(key, x, s, p, (pool, endpoint), frame, shared) {
            Sent::Yes => Turn::Sent,
            Sent::Left => Turn::Left(pool, endpoint),
            Sent::Refused(link, end) => Turn::Refused(link, end),
        }
    }

    /// Writes a request to the shared link of its session, or to a free one that it has for itself.
    #[inline(always)]
    #[allow(clippy::too_many_arguments, reason = "one request and all that it meets")]
    pub(crate) fn send(
        &mut self,
        key: Key,
        x: &mut Exchange<C::Tag>,
        s: &mut Session<C>,
        p: &mut Pool,
        (pool, endpoint): (usize, usize),
        frame: &[u8],
        shared: Option<&Bytes>,
    ) -> Sent {
        let Self { codec, links, leftovers, events, ordered, by_id, .. } = self;
        let id = x.session;
        let Meta { kind, bind, fan_out, .. } = x.meta;
        let several = x.of > 1 && matches!(fan_out, FanOut::All | FanOut::Index);
        let usual = kind == Kind::Request && bind == Bind::Shared && !p.redirects;
        let again = !x.rare.is_plain() && (x.rare.redirects > 0 || x.rare.fan.is_some());
        if !usual || several || again || !s.held.is_empty() {
            return Sent::Left;
        }
        let policy = &p.cluster.links;
        let Some(e) = p.endpoints.get_mut(endpoint) else {
            return Sent::Left;
        };
        if !e.waiting.is_empty() {
            return Sent::Left;
        }
        let flavour = codec.flavour(&s.conn, &x.meta);
        let found = match p.share {
            true => e.slot(flavour, policy.slot_of(id.0.index())),
            false if *ordered && (s.attempts > 0 || s.open.front() != Some(key)) => None,
            false => take_idle(links, e, flavour, id),
        };
        let Some(link) = found else {
            return Sent::Left;
        };
        let Some(l) = links.get_mut(link.0) else {
            return Sent::Left;
        };
        // Invariant 7.
        let elsewhere = || *ordered && s.elsewhere(pool, endpoint, link);
        if p.share && (!l.has_room(policy.max_buffered) || elsewhere()) {
            return Sent::Left;
        }
        if *ordered {
            s.sent_via(pool, endpoint, link);
        } else {
            s.attempts += 1;
        }
        x.phase = Phase::Sent;
        x.endpoint = short(endpoint);
        leftovers.furnish(&mut l.out, LARGE);
        if !p.share && waits_for_prelude(*codec, s, l, x, JobOf::Part(key, 0), frame) {
            *self.buffered += frame.len();
            x.place = Some((link, 0));
            events.extend(l.note_dirty(link).map(Event::Write));
            return Sent::Yes;
        }
        if let Err(end) = write(*codec, *by_id, key, x, &s.conn, (link, l), frame, shared) {
            return Sent::Refused(link, end);
        }
        e.in_flight += 1;
        if let Some(conn) = l.note_dirty(link) {
            events.push_back(Event::Write(conn));
        }
        Sent::Yes
    }
}

/// Writes a request to a link, which has room for it.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "one request and all that it meets")]
pub(crate) fn write<C: Codec>(
    codec: &C,
    by_id: bool,
    key: Key,
    x: &mut Exchange<C::Tag>,
    from: &C::Conn,
    (link, l): (LinkId, &mut Link<C>),
    frame: &[u8],
    shared: Option<&Bytes>,
) -> Result<(), End> {
    let role = Role::Part { session: x.session, exchange: key, part: 0 };
    let Some(wire) = l.calls.push(x.tag, role) else {
        return Err((Outcome::Overloaded, Reason::Ids));
    };
    let mark = l.out.mark();
    let mut splice = Splice::new(frame, shared, &mut l.out);
    let edit = Rewrite::new(by_id.then_some(wire), x.rare.request_edits());
    x.sent = true;
    if let Err(fault) = codec.rewrite(from, &l.conn, &x.meta, x.tag, &edit, &mut splice) {
        l.out.rollback(mark);
        l.calls.undo(wire);
        return Err((fault.outcome, fault.reason));
    }
    x.place = Some((link, wire));
    Ok(())
}

/// Writes a request to a link, which has room for it, as another one like it was written there.
#[inline(always)]
pub(crate) fn copy<C: Codec>(
    template: &Template,
    key: Key,
    x: &mut Exchange<C::Tag>,
    (link, l): (LinkId, &mut Link<C>),
    frame: &[u8],
) -> Result<(), End> {
    let role = Role::Part { session: x.session, exchange: key, part: 0 };
    let Some(wire) = l.calls.push(x.tag, role) else {
        return Err((Outcome::Overloaded, Reason::Ids));
    };
    template.copy(frame, wire, &mut l.out);
    x.sent = true;
    x.place = Some((link, wire));
    Ok(())
}

/// The link of an endpoint that was given back last, if it will do, for one exchange of a session.
#[inline(never)]
fn take_idle<C: Codec>(
    links: &mut Arena<Link<C>>,
    e: &mut Endpoint,
    flavour: Flavour,
    id: SessionId,
) -> Option<LinkId> {
    let link = *e.idle.last()?;
    let l = links.get_mut(link.0)?;
    if l.flavour != flavour || l.state != LinkState::Ready {
        return None;
    }
    e.idle.pop();
    l.usage = Usage::Own(id, None);
    Some(link)
}

/// Writes what goes ahead of a frame on a link of its own; whether the frame, which is kept then,
/// has to wait for the answer.
#[inline(never)]
pub(crate) fn waits_for_prelude<C: Codec>(
    codec: &C,
    s: &mut Session<C>,
    l: &mut Link<C>,
    x: &Exchange<C::Tag>,
    of: JobOf,
    frame: &[u8],
) -> bool {
    if std::mem::take(&mut l.prepared) {
        return false;
    }
    let prelude = codec.prelude(&mut s.conn, &mut l.conn, &x.meta, x.tag, l.out.tail());
    l.calls.push_preludes(prelude.replies);
    l.prepared = prelude.wait && prelude.replies > 0;
    if l.prepared {
        l.jobs.push_front(Job { of, frame: frame.to_vec() });
    }
    l.prepared
}
