//! What requests of a service and method led to, so that the next ones need not ask again, and where
//! plain routes lead. Keeps what the names alone decide; whatever else decides is asked each time.

use std::sync::Arc;

use heptad_core::{HeaderEdit, Repeats};
use heptad_route::Table;

use crate::{
    Route, Target,
    admit::UNCOUNTED,
    timers::{Lasting, Timers},
};

/// Fates by the number that a service and method have in the counters, for one plan.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Counts plans: what sessions remember of an earlier one is void.
    plan: u32,
    habits: Vec<Habit>,
    /// The names alone decide on the route.
    by_names: bool,
}

/// What is known of the requests of one service and method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Habit {
    /// One has passed all filters; without that the rest means nothing.
    pub(crate) met: bool,
    /// The number of the route, if the names decide it.
    pub(crate) route: Option<usize>,
    /// A bit for each filter that passes all of them, on this session at least.
    pub(crate) passes: u64,
    /// The session's part of that is known.
    pub(crate) here: bool,
}

impl Known {
    /// Nothing is known of the requests of a new plan.
    pub(crate) fn begin(&mut self, table: &Table) {
        self.plan = self.plan.wrapping_add(1);
        self.habits.clear();
        self.by_names = table.attrs().all(|attr| attr.is_by_names());
    }

    /// What is known of a method on a session that remembers this.
    #[inline(always)]
    pub(crate) fn of(&self, method: u32, here: &Here) -> Habit {
        let Some(habit) = self.habits.get(method as usize) else {
            return Habit::default();
        };
        let known = habit.met && (here.plan, here.method) == (self.plan, method);
        Habit { passes: habit.passes | if known { here.passes } else { 0 }, here: known, ..*habit }
    }

    /// Remembers what became of a request, for its method and for its session.
    pub(crate) fn learn(&mut self, method: u32, route: usize, learned: Learned, here: &mut Here) {
        *here = Here { plan: self.plan, method, passes: learned.here };
        self.learn_always(method, route, learned.always);
    }

    fn learn_always(&mut self, method: u32, route: usize, passes: u64) {
        let at = method as usize;
        if at >= self.habits.len() {
            self.habits.resize(at + 1, Habit::default());
        }
        if let Some(habit) = self.habits.get_mut(at) {
            let passes = habit.passes | passes;
            let route = self.by_names.then_some(route);
            *habit = Habit { met: true, route, passes, here: false };
        }
    }
}

/// What a session remembers of the method that it asked for last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Here {
    plan: u32,
    method: u32,
    passes: u64,
}

impl Here {
    /// The number of the method that came last on this session, if any.
    pub(crate) fn method(&self) -> u32 {
        self.method
    }
}

/// What filters have said while they were asked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Learned {
    /// Whether they are to say it.
    pub(crate) wanted: bool,
    /// A bit for each filter that passes all such requests, or all of the connection.
    pub(crate) always: u64,
    pub(crate) here: u64,
}

impl Learned {
    /// The filter with this bit has passed a request.
    #[inline]
    pub(crate) fn note(&mut self, bit: u64, repeats: Repeats) {
        match repeats {
            Repeats::Always => self.always |= bit,
            Repeats::OnConnection => self.here |= bit,
            _ => {}
        }
    }
}

/// A route that leads to one cluster and asks nothing more of a request.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) pool: usize,
    /// Its counters; [`UNCOUNTED`] until it is first taken.
    pub(crate) series: u32,
    pub(crate) timeout: Option<Lasting>,
    pub(crate) request_headers: Option<Arc<[HeaderEdit]>>,
    pub(crate) reply_headers: Option<Arc<[HeaderEdit]>>,
}

impl Way {
    /// Where a route leads, if it is such a one; `pool_of` has the pool of each cluster.
    pub(crate) fn of(route: &Route, pool_of: &[usize], timers: &mut Timers) -> Option<Self> {
        let Target::Cluster(at) = route.target else {
            return None;
        };
        if route.mirror.is_some() || route.hash_on.is_some() || route.client_timeout {
            return None;
        }
        let edits = |edits: &Arc<[HeaderEdit]>| (!edits.is_empty()).then(|| edits.clone());
        Some(Self {
            pool: *pool_of.get(at)?,
            series: UNCOUNTED,
            timeout: route.timeout.map(|after| timers.lasting(after)),
            request_headers: edits(&route.request_headers),
            reply_headers: edits(&route.reply_headers),
        })
    }
}
