//! Filters asked about a request, one after the other, and what each remembers of it until its end.

use heptad_core::{End, FilterWorker, Request, Time, Verdict};

use crate::known::Learned;

/// What filters remember of a request: a number each, which is another request's until its filter
/// was asked about this one.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    numbers: Vec<u64>,
    /// A bit for each of the first filters that remembers something.
    some: u64,
    /// Filters that have had their turn.
    asked: usize,
}

/// So many filters have a bit in `some`; of others it is not known in advance.
const BITS: usize = u64::BITS as usize;

impl Memory {
    /// For another request.
    #[inline]
    pub(crate) fn clear(&mut self) {
        (self.some, self.asked) = (0, 0);
    }

    /// The number of the filter that was asked last.
    pub(crate) fn last(&self) -> usize {
        self.asked.wrapping_sub(1)
    }

    /// Whether no filter remembers anything.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.some == 0 && self.asked <= BITS
    }

    /// Asks filters from number `from` on until one does not pass the request. Passing is by far the
    /// most frequent, and needs nothing of the engine. A bit of `passes` says of each filter that it
    /// need not be asked.
    #[inline]
    pub(crate) fn ask(
        &mut self,
        workers: &mut [Box<dyn FilterWorker>],
        from: usize,
        now: Time,
        view: &mut dyn Request,
        passes: u64,
        learned: &mut Learned,
    ) -> Verdict {
        if self.numbers.len() != workers.len() {
            self.numbers.clear();
            self.numbers.resize(workers.len(), 0);
        }
        self.asked = from;
        let workers = workers.get_mut(from..).unwrap_or_default();
        let numbers = self.numbers.get_mut(from..).unwrap_or_default();
        let mut bit = bit(from);
        for (worker, number) in workers.iter_mut().zip(numbers) {
            self.asked += 1;
            let this = bit;
            bit <<= 1;
            if passes & this != 0 && worker.repeated() {
                continue;
            }
            *number = 0;
            let verdict = worker.request(now, view, number);
            if *number != 0 {
                self.some |= this;
            }
            if !matches!(verdict, Verdict::Pass) {
                return verdict;
            }
            // It has nothing to drop, which would have been looked at each time.
            std::mem::forget(verdict);
            // What it remembers of one request cannot be left out for another.
            if learned.wanted && *number == 0 {
                learned.note(this, worker.repeats());
            }
        }
        Verdict::Pass
    }

    /// Tells a filter what it waited for.
    pub(crate) fn resume(
        &mut self,
        worker: &mut dyn FilterWorker,
        at: usize,
        now: Time,
        answer: &[u8],
        view: &mut dyn Request,
    ) -> Option<Verdict> {
        let number = self.numbers.get_mut(at)?;
        let verdict = worker.resumed(now, answer, view, number);
        if *number == 0 {
            self.some &= !bit(at);
        } else {
            self.some |= bit(at);
        }
        Some(verdict)
    }

    /// Tells those that remember something that the request is over.
    pub(crate) fn tell(&self, workers: &mut [Box<dyn FilterWorker>], now: Time, end: &End<'_>) {
        let mut left = self.some;
        while left != 0 {
            let at = left.trailing_zeros() as usize;
            left &= left - 1;
            self.tell_one(workers, at, now, end);
        }
        (BITS..self.asked).for_each(|at| self.tell_one(workers, at, now, end));
    }

    fn tell_one(&self, workers: &mut [Box<dyn FilterWorker>], at: usize, now: Time, end: &End<'_>) {
        if let (Some(worker), Some(number)) = (workers.get_mut(at), self.numbers.get(at))
            && *number != 0
        {
            worker.done(now, end, *number);
        }
    }
}

/// The bit of a filter, if it has one.
fn bit(at: usize) -> u64 {
    u32::try_from(at).ok().and_then(|at| 1_u64.checked_shl(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use heptad_core::{Attr, Attributes, HeaderEdit, Repeats, Unknown, Value};

    use super::*;

    struct Nothing;

    impl Attributes for Nothing {
        fn attr(&mut self, _: &Attr) -> Result<Option<Value<'_>>, Unknown> {
            Ok(None)
        }
    }

    impl Request for Nothing {
        fn keys(&mut self, _: &mut dyn FnMut(&[u8])) -> Result<(), Unknown> {
            Ok(())
        }

        fn headers(&self) -> bool {
            false
        }

        fn edit(&mut self, _: HeaderEdit) {}
    }

    /// Remembers its number, and tells when it is reminded of it.
    struct Worker(u64, Arc<Mutex<Vec<u64>>>);

    impl FilterWorker for Worker {
        fn request(&mut self, _: Time, _: &mut dyn Request, number: &mut u64) -> Verdict {
            assert_eq!(*number, 0, "it is another request's");
            *number = self.0;
            Verdict::Pass
        }

        fn repeats(&self) -> Repeats {
            Repeats::Always
        }

        fn done(&mut self, _: Time, _: &End<'_>, number: u64) {
            assert_eq!(number, self.0);
            self.1.lock().expect("nobody panicked").push(number);
        }
    }

    #[test]
    fn each_filter_is_told_what_it_remembers_and_nothing_of_another_request() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let worker = |n| Box::new(Worker(n, told.clone())) as Box<dyn FilterWorker>;
        let mut workers: Vec<_> = (0..70).map(worker).collect();
        let mut memory = Memory::default();
        let mut run = |from, passes| {
            memory.clear();
            assert!(memory.is_empty());
            let mut none = Learned::default();
            let now = Time::ZERO;
            memory.ask(&mut workers, from, now, &mut Nothing, passes, &mut none);
            assert_eq!(memory.last(), 69);
            memory.tell(&mut workers, now, &End::default());
            std::mem::take(&mut *told.lock().expect("nobody panicked"))
        };
        let all: Vec<u64> = (1..70).collect();
        assert_eq!(run(0, 0), all, "the first one remembers nothing");
        assert_eq!(run(0, 0b110), all[2..]);
        assert_eq!(run(3, u64::MAX), all[63..]);
    }
}
