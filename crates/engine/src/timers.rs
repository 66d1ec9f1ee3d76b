//! Deadlines: a queue for each duration that routes use (already sorted by itself), and a heap for
//! the few others. Cancelled deadlines are dropped when they reach the front.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use heptad_core::Time;

use crate::{
    arena::Key,
    machine::{LinkId, SessionId},
    ring::Ring,
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
    queues: Vec<Queue>,
    heap: BinaryHeap<Reverse<(Time, Due)>>,
}

/// Deadlines of exchanges that are all as long: as sorted as they come.
#[derive(Debug)]
struct Queue {
    nanos: u64,
    last: Time,
    dues: Ring<(Time, Key)>,
}

/// One of few durations that are used again and again, and its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lasting {
    nanos: u64,
    queue: usize,
}

/// Durations that get a queue of their own; more go to the heap.
const MAX_QUEUES: usize = 16;
/// Deadlines that a queue has room for from the start: one slow request at the front keeps those
/// behind it that were met.
const ROOM: usize = 1024;

impl Timers {
    /// A duration with a queue of its own, as long as there are few.
    pub(crate) fn lasting(&mut self, after: Duration) -> Lasting {
        let nanos = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        let known = self.queues.iter().position(|queue| queue.nanos == nanos);
        let queue = known.unwrap_or(self.queues.len());
        if known.is_none() && queue < MAX_QUEUES {
            let dues = Ring::with_room(ROOM);
            self.queues.push(Queue { nanos, last: Time::ZERO, dues });
        }
        Lasting { nanos, queue }
    }

    /// The deadline of an exchange, so long from `now`. Returns when it is.
    #[inline(always)]
    pub(crate) fn after(&mut self, now: Time, lasting: Lasting, key: Key) -> Time {
        let at = Time::from_nanos(now.as_nanos().saturating_add(lasting.nanos));
        match self.queues.get_mut(lasting.queue) {
            Some(queue) if queue.last <= at => {
                queue.last = at;
                queue.dues.push_back((at, key));
            }
            // A caller whose clock went back (another thread's reading) must not break the order.
            _ => self.at(at, Due::Exchange(key)),
        }
        at
    }

    /// A deadline at a point in time.
    pub(crate) fn at(&mut self, at: Time, due: Due) {
        self.heap.push(Reverse((at, due)));
    }

    /// The earliest deadline that `alive` still wants.
    pub(crate) fn next(&mut self, alive: impl Fn(Time, &Due) -> bool) -> Option<Time> {
        let mut next: Option<Time> = None;
        for queue in &mut self.queues {
            while let Some((at, key)) = queue.dues.front() {
                if alive(at, &Due::Exchange(key)) {
                    next = Some(next.map_or(at, |n| n.min(at)));
                    break;
                }
                queue.dues.pop_front();
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
        for queue in &mut self.queues {
            if queue.dues.front().is_some_and(|(at, _)| at <= now) {
                return queue.dues.pop_front().map(|(at, key)| (at, Due::Exchange(key)));
            }
        }
        if self.heap.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            return self.heap.pop().map(|Reverse(due)| due);
        }
        None
    }
}
