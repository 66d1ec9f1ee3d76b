//! Filters asked about a request, one after the other, and what each remembers of it until its end.

use heptad_core::{End, FilterWorker, Request, Time, Verdict};

use crate::known::Learned;

/// Which filters remember something of a request. What they remember is a number each, kept elsewhere
/// because few have any: it is another request's where there is no bit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// A bit for each of the first filters, and one for all others together.
    some: u64,
}

/// The number of the first filter that shares its bit.
const OTHERS: usize = u64::BITS as usize - 1;

impl Memory {
    /// Whether no filter remembers anything.
    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.some == 0
    }

    /// Asks filters from number `from` on until one does not pass the request, and returns the number
    /// of the last one asked. Passing is by far the most frequent, and needs nothing of the engine. A
    /// bit of `passes` says of each of the first filters that it need not be asked.
    #[inline]
    #[allow(clippy::too_many_arguments, reason = "one request, whom to ask and what is known")]
    pub(crate) fn ask(
        &mut self,
        numbers: &mut Vec<u64>,
        workers: &mut [Box<dyn FilterWorker>],
        from: usize,
        now: Time,
        view: &mut dyn Request,
        passes: u64,
        learned: &mut Learned,
    ) -> (usize, Verdict) {
        if numbers.len() != workers.len() {
            numbers.clear();
            numbers.resize(workers.len(), 0);
        }
        if self.some & bit(OTHERS) == 0 {
            // Whoever shares a bit is not known by it.
            numbers.iter_mut().skip(OTHERS).for_each(|number| *number = 0);
        }
        let last = workers.len().saturating_sub(1);
        let workers = workers.get_mut(from..).unwrap_or_default();
        let numbers = numbers.get_mut(from..).unwrap_or_default();
        for (at, (worker, number)) in (from..).zip(workers.iter_mut().zip(numbers)) {
            let this = bit(at);
            if at < OTHERS && passes & this != 0 && worker.repeated() {
                continue;
            }
            *number = 0;
            let verdict = worker.request(now, view, number);
            if *number != 0 {
                self.some |= this;
            }
            if !matches!(verdict, Verdict::Pass) {
                return (at, verdict);
            }
            // It has nothing to drop, which would have been looked at each time.
            std::mem::forget(verdict);
            // What it remembers of one request cannot be left out for another.
            if learned.wanted && *number == 0 && at < OTHERS {
                learned.note(this, worker.repeats());
            }
        }
        (last, Verdict::Pass)
    }

    /// Tells a filter what it waited for.
    #[allow(clippy::too_many_arguments, reason = "as `ask`")]
    pub(crate) fn resume(
        &mut self,
        numbers: &mut [u64],
        worker: &mut dyn FilterWorker,
        at: usize,
        now: Time,
        answer: &[u8],
        view: &mut dyn Request,
    ) -> Option<Verdict> {
        let number = numbers.get_mut(at)?;
        let verdict = worker.resumed(now, answer, view, number);
        if *number != 0 {
            self.some |= bit(at);
        } else if at < OTHERS {
            self.some &= !bit(at);
        }
        Some(verdict)
    }

    /// Tells those that remember something that the request is over.
    pub(crate) fn tell(
        self,
        numbers: &[u64],
        workers: &mut [Box<dyn FilterWorker>],
        now: Time,
        end: &End<'_>,
    ) {
        let mut tell = |at: usize| {
            if let (Some(worker), Some(number)) = (workers.get_mut(at), numbers.get(at))
                && *number != 0
            {
                worker.done(now, end, *number);
            }
        };
        let mut left = self.some;
        while left != 0 {
            match left.trailing_zeros() as usize {
                OTHERS => (OTHERS..numbers.len()).for_each(&mut tell),
                at => tell(at),
            }
            left &= left - 1;
        }
    }
}

/// The bit of a filter.
const fn bit(at: usize) -> u64 {
    1 << if at < OTHERS { at } else { OTHERS }
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
        let mut numbers = Vec::new();
        let mut run = |from, passes| {
            let mut memory = Memory::default();
            assert!(memory.is_empty());
            let mut none = Learned::default();
            let now = Time::ZERO;
            let (workers, numbers) = (&mut workers, &mut numbers);
            let (last, _) =
                memory.ask(numbers, workers, from, now, &mut Nothing, passes, &mut none);
            assert_eq!(last, 69);
            memory.tell(numbers, workers, now, &End::default());
            std::mem::take(&mut *told.lock().expect("nobody panicked"))
        };
        let all: Vec<u64> = (1..70).collect();
        assert_eq!(run(0, 0), all, "the first one remembers nothing");
        assert_eq!(run(0, 0b110), all[2..]);
        assert_eq!(run(3, u64::MAX), all[62..], "some share a bit and are asked each time");
        assert_eq!(run(66, 0), all[65..]);
        assert_eq!(run(70, 0), Vec::<u64>::new());
    }
}
