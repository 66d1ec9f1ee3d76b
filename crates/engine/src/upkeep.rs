//! What links need besides traffic: deadlines, heartbeats, orphans, and an end without haste.

use heptad_core::{Codec, Flavour, Outcome, Reason, Time};

use crate::{
    Engine, LinkId,
    arena::Key,
    calls::Role,
    link::{JobOf, LinkState, Usage},
};

impl<C: Codec> Engine<C> {
    /// Makes sure that the link is looked at no later than `at`.
    pub(crate) fn look_at(&mut self, id: LinkId, at: Time) {
        if let Some(l) = self.links.get_mut(id.0) {
            l.look_at(id, at, &mut self.timers);
        }
    }

    /// No new attempts on this link; it ends with its last one.
    pub(crate) fn drain_link(&mut self, now: Time, id: LinkId) {
        let Some(l) = self.links.get_mut(id.0) else {
            return;
        };
        l.draining = true;
        let (pool, endpoint, flavour) = (l.pool, l.endpoint, l.flavour);
        let (usage, done) = (l.usage, l.calls.is_empty() && l.jobs.is_empty());
        if let Usage::Shared(slot) = usage {
            self.leave_slot(id, pool, endpoint, flavour, slot);
        }
        if done && !matches!(usage, Usage::Own(_, Some(_))) {
            self.end_link(now, id, (Outcome::Draining, Reason::None), true);
        }
    }

    /// The client no longer waits for the reply to an attempt.
    pub(crate) fn orphan(&mut self, now: Time, key: Key, link: LinkId, wire: u64) {
        let Some(l) = self.links.get_mut(link.0) else {
            return;
        };
        // A frame that has not been sent need not be.
        if let Some(at) = l.jobs.iter().position(|j| matches!(j.of, JobOf::Part(k, _) if k == key))
        {
            l.prepared &= at != 0;
            if let Some(job) = l.jobs.remove(at) {
                self.buffered = self.buffered.saturating_sub(job.frame.len());
            }
            self.left_link(key, link);
            return self.free_link(now, link);
        }
        let ours = |role: &Role| matches!(role, Role::Part { exchange, .. } if *exchange == key);
        let Some(attempt) = l.calls.find(wire, ours) else {
            return;
        };
        if attempt.orphaned.is_some() {
            return;
        }
        attempt.orphaned = Some(now);
        let tag = attempt.tag;
        self.orphaned(now, link, wire, tag);
    }

    /// Nobody waits any more for the reply to an attempt of a link.
    pub(crate) fn orphaned(&mut self, now: Time, link: LinkId, wire: u64, tag: C::Tag) {
        let Some(l) = self.links.get_mut(link.0) else {
            return;
        };
        l.orphans += 1;
        let alone = l.calls.iter().all(|a| {
            // Heartbeats and preludes are for nobody.
            a.orphaned.is_some() || !matches!(a.role, Role::Part { .. } | Role::Copy { .. })
        });
        if matches!(l.usage, Usage::Own(_, None)) && alone {
            // Nobody else is on it: its end tells the endpoint so.
            return self.end_link(now, link, (Outcome::Cancelled, Reason::None), true);
        }
        let mark = l.out.mark();
        if !self.codec.abandon(&mut l.conn, wire, tag, l.out.tail()) {
            l.out.rollback(mark);
        }
        let (orphans, max) = (l.orphans, l.calls.max());
        let age = self.pools.get(l.pool).map(|p| p.cluster.links.orphan_age);
        self.link_dirty(link);
        if let Some(age) = age {
            self.look_at(link, now + age);
        }
        if !self.in_order() && orphans * 2 > max {
            self.drain_link(now, link);
        }
    }

    /// A deadline of a link.
    pub(crate) fn look_at_link(&mut self, now: Time, at: Time, id: LinkId) {
        let Some(l) = self.links.get_mut(id.0) else {
            return;
        };
        if l.look != at {
            return;
        }
        l.look = Time::NEVER;
        let Some(p) = self.pools.get(l.pool) else {
            return;
        };
        let links = p.cluster.links;
        if l.state != LinkState::Ready {
            return self.end_link(now, id, (Outcome::ConnectFailed, Reason::ConnectTimeout), true);
        }
        // The oldest orphan of a link in order holds up everything behind it; with ids, orphans
        // only hold up a link that is to be closed.
        let orphaned = match l.calls.oldest() {
            Some(oldest) => oldest.orphaned,
            None => l.calls.iter().filter_map(|a| a.orphaned).min().filter(|_| l.draining),
        };
        if orphaned.is_some_and(|since| since + links.orphan_age <= now) {
            return self.end_link(now, id, (Outcome::Reset, Reason::Orphans), true);
        }
        let unused = l.calls.is_empty() && l.jobs.is_empty();
        let may_idle = l.usage == Usage::Idle
            || (matches!(l.usage, Usage::Shared(_)) && l.flavour != Flavour::default());
        let idle_since = l.since.max(l.heard);
        if unused && may_idle && idle_since + links.idle_timeout <= now {
            return self.end_link(now, id, (Outcome::Ok, Reason::Idle), true);
        }
        let mut next = orphaned.map_or(Time::NEVER, |since| since + links.orphan_age);
        if may_idle {
            next = next.min((idle_since + links.idle_timeout).max(now + MIN_LOOK));
        }
        if let Some(every) = links.ping {
            if l.pinged.is_some_and(|since| since + every <= now) {
                return self.end_link(now, id, (Outcome::Reset, Reason::Ping), true);
            }
            if l.pinged.is_none() && l.heard + every <= now && !matches!(l.usage, Usage::Own(..)) {
                self.ping(now, id);
            }
            next = next.min(now + every);
        }
        if next != Time::NEVER {
            self.look_at(id, next);
        }
    }

    fn ping(&mut self, now: Time, id: LinkId) {
        let Some(l) = self.links.get_mut(id.0) else {
            return;
        };
        if l.calls.len() >= l.calls.max() {
            return;
        }
        let Some(wire) = l.calls.push(C::Tag::default(), Role::Ping) else {
            return;
        };
        let mark = l.out.mark();
        if self.codec.ping(&mut l.conn, wire, l.out.tail()) {
            l.pinged = Some(now);
            self.link_dirty(id);
        } else {
            l.out.rollback(mark);
            l.calls.undo(wire);
        }
    }
}

/// Links are not looked at more often than this for being idle.
const MIN_LOOK: std::time::Duration = std::time::Duration::from_millis(10);
