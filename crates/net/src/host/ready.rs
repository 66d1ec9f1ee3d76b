//! Which of a worker's streams are to be polled. Wakers of streams fill the list from any thread;
//! the worker's task empties it. Nothing here knows a stream.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

use heptad_engine::ConnId;

/// The list of one worker.
#[derive(Debug, Default)]
pub(crate) struct Ready(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    list: Vec<ConnId>,
    task: Option<Waker>,
}

impl Ready {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in there can be left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Swaps the list for an empty one, and has `task` woken when something is added to it.
    pub(crate) fn take(&self, task: &Waker, into: &mut Vec<ConnId>) {
        into.clear();
        let mut inner = self.lock();
        mem::swap(&mut inner.list, into);
        match &inner.task {
            Some(known) if known.will_wake(task) => {}
            _ => inner.task = Some(task.clone()),
        }
    }

    /// The same without waiting for more.
    pub(crate) fn take_now(&self, into: &mut Vec<ConnId>) {
        into.clear();
        mem::swap(&mut self.lock().list, into);
    }
}

/// The waker of one stream.
#[derive(Debug)]
pub(crate) struct Wakes {
    id: ConnId,
    listed: AtomicBool,
    ready: Arc<Ready>,
}

impl Wakes {
    pub(crate) fn new(id: ConnId, ready: Arc<Ready>) -> Arc<Self> {
        Arc::new(Self { id, listed: AtomicBool::new(false), ready })
    }

    /// The stream was taken off the list and is about to be polled: from now on it may be listed
    /// again.
    pub(crate) fn unlist(&self) {
        self.listed.store(false, Ordering::Release);
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.listed.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut inner = self.ready.lock();
        inner.list.push(self.id);
        let task = inner.task.clone();
        drop(inner);
        if let Some(task) = task {
            task.wake();
        }
    }
}
