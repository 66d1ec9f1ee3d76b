//! Deadlines: a queue for each duration that routes use (already sorted by itself), and a heap for
//! the few others. Cancelled deadlines are dropped when they reach the front.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use heptad_core::Time;

use crate::{
    arena::Key,
    machine::{LinkId, SessionId},
};

/// What a deadline is for. Whoever handles it looks at the thing itself and decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    Exchange(Key),
    /// A copy's reply is late.
    Copy(Key),
    /// A filter's wait is over.
    Wait(Key),
    Link(LinkId),
    Session(SessionId),
    Endpoint(u32, u32),
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    queues: Vec<(Duration, VecDeque<(Time, Due)>)>,
    heap: BinaryHeap<Reverse<(Time, Due)>>,
}

/// Durations that get a queue of their own; more go to the heap.
const MAX_QUEUES: usize = 16;
/// Deadlines that a queue has room for from the start: one slow request at the front keeps those
/// behind it that were met.
const ROOM: usize = 1024;

impl Timers {
    /// A deadline `after` from `now`, where `after` is one of few durations used again and again.
    /// Returns when it is.
    #[inline]
    pub(crate) fn after(&mut self, now: Time, after: Duration, due: Due) -> Time {
        let at = now + after;
        if let Some((_, queue)) = self.queues.iter_mut().find(|(d, _)| *d == after) {
            // A caller whose clock went back (another thread's reading) must not break the order.
            if queue.back().is_none_or(|(last, _)| *last <= at) {
                queue.push_back((at, due));
                return at;
            }
        } else if self.queues.len() < MAX_QUEUES {
            let mut queue = VecDeque::with_capacity(ROOM);
            queue.push_back((at, due));
            self.queues.push((after, queue));
            return at;
        }
        self.at(at, due);
        at
    }

    /// A deadline at a point in time.
    pub(crate) fn at(&mut self, at: Time, due: Due) {
        self.heap.push(Reverse((at, due)));
    }

    /// The earliest deadline that `alive` still wants.
    pub(crate) fn next(&mut self, alive: impl Fn(Time, &Due) -> bool) -> Option<Time> {
        let mut next: Option<Time> = None;
        for (_, queue) in &mut self.queues {
            while let Some((at, due)) = queue.front() {
                if alive(*at, due) {
                    next = Some(next.map_or(*at, |n| n.min(*at)));
                    break;
                }
                queue.pop_front();
            }
        }
        while let Some(Reverse((at, due))) = self.heap.peek() {
            if alive(*at, due) {
                next = Some(next.map_or(*at, |n| n.min(*at)));
                break;
            }
            self.heap.pop();
        }
        next
    }

    /// Removes one deadline that has passed.
    pub(crate) fn pop(&mut self, now: Time) -> Option<(Time, Due)> {
        for (_, queue) in &mut self.queues {
            if queue.front().is_some_and(|(at, _)| *at <= now) {
                return queue.pop_front();
            }
        }
        if self.heap.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            return self.heap.pop().map(|Reverse(due)| due);
        }
        None
    }
}
