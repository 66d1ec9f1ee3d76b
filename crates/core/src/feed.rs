//! The way out for filters that record: bounded trays of bytes, one for each worker, emptied by a
//! thread that may do I/O.
//!
//! A worker appends a record to its tray or drops it; it never waits, and wakes nobody unless the
//! tray becomes half full. What performs a feed (a file, a collector) is not known here: it is found
//! by the feed's service and target, as for [`Ask`](crate::Ask).

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicU64, Ordering, fence},
    },
};

use crate::Time;

/// Makes what is written of what workers have recorded. Runs on the reader's thread.
pub trait Render: Send + Sync + 'static {
    /// Appends what is written for one record, as the filter's workers have pushed it.
    fn record(&self, record: &[u8], wall: Wall, out: &mut Vec<u8>);

    /// Makes one message of the written records that are sent together. Unless told: as they are.
    fn batch(&self, records: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(records);
    }
}

impl<R: Render> Render for Arc<R> {
    fn record(&self, record: &[u8], wall: Wall, out: &mut Vec<u8>) {
        (**self).record(record, wall, out);
    }

    fn batch(&self, records: &[u8], out: &mut Vec<u8>) {
        (**self).batch(records, out);
    }
}

/// The wall clock that belongs to [`Time`]s: what the reader's clock said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wall {
    /// Nanoseconds from the Unix epoch to [`Time::ZERO`].
    pub origin: u64,
}

impl Wall {
    /// The wall clock that shows `nanos` since the Unix epoch at `time`.
    pub const fn pair(time: Time, nanos: u64) -> Self {
        Self { origin: nanos.saturating_sub(time.as_nanos()) }
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn nanos(self, time: Time) -> u64 {
        self.origin.saturating_add(time.as_nanos())
    }
}

/// What all workers of one filter hand over.
pub struct Feed {
    service: Box<str>,
    target: Box<str>,
    render: Box<dyn Render>,
    /// Bytes that each tray has room for.
    room: usize,
    trays: Mutex<Vec<Arc<Tray>>>,
    /// The reader's copy of that list, empty between two readings.
    spare: Mutex<Vec<Arc<Tray>>>,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
    failed: AtomicU64,
    /// What trays that are gone have counted.
    past: [AtomicU64; 2],
}

/// The smallest tray, in bytes.
const LEAST: usize = 4 << 10;
/// The largest tray, in bytes.
const MOST: usize = 1 << 30;

impl Feed {
    /// A feed to `target` of the performer `service`, with a tray of `bytes` bytes for each worker
    /// (4 KiB to 1 GiB); a record takes four more than it has.
    pub fn new(
        service: impl Into<Box<str>>,
        target: impl Into<Box<str>>,
        bytes: usize,
        render: impl Render,
    ) -> Arc<Self> {
        Arc::new(Self {
            service: service.into(),
            target: target.into(),
            render: Box::new(render),
            room: bytes.clamp(LEAST, MOST),
            trays: Mutex::default(),
            spare: Mutex::default(),
            wake: OnceLock::new(),
            failed: AtomicU64::new(0),
            past: Default::default(),
        })
    }

    /// The name of what performs it.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// What it leads to, in the performer's own words: a path, an address.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// How records are made into what is written.
    pub fn render(&self) -> &dyn Render {
        &*self.render
    }

    /// A worker's end of the feed.
    pub fn writer(self: &Arc<Self>) -> FeedWriter {
        let tray = Arc::new(Tray::new(self.room));
        self.trays().push(tray.clone());
        FeedWriter { feed: self.clone(), tray, back: false }
    }

    /// For the reader: called when a tray becomes half full. Only the first counts.
    pub fn on_pressure(&self, wake: impl Fn() + Send + Sync + 'static) {
        // A feed has one reader; a second one reads what the first has left.
        let _ = self.wake.set(Box::new(wake));
    }

    /// For the reader: calls `each` with every record that is there, in order for each worker.
    /// Whether more can come: `false` once all workers' ends and all other handles are gone.
    pub fn read(self: &Arc<Self>, scratch: &mut Vec<u8>, each: &mut dyn FnMut(&[u8])) -> bool {
        let last = Arc::strong_count(self) == 1;
        // What the dropped handles have done happened before what is read now.
        fence(Ordering::Acquire);
        // A worker that begins meanwhile does not wait for whatever `each` does.
        let mut trays = std::mem::take(&mut *lock(&self.spare));
        trays.extend(self.trays().iter().cloned());
        let mut closed = false;
        for tray in &trays {
            let over = tray.closed.load(Ordering::Acquire);
            for pile in &tray.piles {
                scratch.clear();
                scratch.reserve(self.room);
                // Held for a moment only: what is slow is done with what was taken.
                std::mem::swap(scratch, &mut *lock(pile));
                let mut rest = &scratch[..];
                while let Some((len, after)) = rest.split_first_chunk()
                    && let Some((record, after)) =
                        after.split_at_checked(u32::from_le_bytes(*len) as usize)
                {
                    each(record);
                    rest = after;
                }
            }
            if over {
                tray.empty.store(true, Ordering::Relaxed);
                closed = true;
            }
        }
        if closed {
            self.trays().retain(|tray| {
                let gone = tray.empty.load(Ordering::Relaxed);
                if gone {
                    for (past, now) in self.past.iter().zip([&tray.pushed, &tray.dropped]) {
                        past.fetch_add(now.load(Ordering::Relaxed), Ordering::Relaxed);
                    }
                }
                !gone
            });
        }
        trays.clear();
        *lock(&self.spare) = trays;
        !last
    }

    /// Records that had room.
    pub fn recorded(&self) -> u64 {
        self.sum(0, |tray| &tray.pushed)
    }

    /// Records for which there was no room.
    pub fn dropped(&self) -> u64 {
        self.sum(1, |tray| &tray.dropped)
    }

    /// Records that were read and could not be written or sent.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// For the reader: so many records could not be written or sent.
    pub fn fail(&self, records: u64) {
        self.failed.fetch_add(records, Ordering::Relaxed);
    }

    fn sum(&self, past: usize, of: impl Fn(&Tray) -> &AtomicU64) -> u64 {
        let trays = self.trays();
        let now: u64 = trays.iter().map(|tray| of(tray).load(Ordering::Relaxed)).sum();
        now + self.past.get(past).map_or(0, |past| past.load(Ordering::Relaxed))
    }

    fn trays(&self) -> MutexGuard<'_, Vec<Arc<Tray>>> {
        // Taken when a worker begins, by the reader and by scrapes; never for a request.
        lock(&self.trays)
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("service", &self.service)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// A worker's end of a [`Feed`].
#[derive(Debug)]
pub struct FeedWriter {
    feed: Arc<Feed>,
    tray: Arc<Tray>,
    /// Which pile is added to.
    back: bool,
}

impl FeedWriter {
    /// Hands a record over, or drops it and says so: `false` if there was no room. Allocates
    /// nothing and never waits.
    pub fn push(&mut self, record: &[u8]) -> bool {
        let room = self.feed.room;
        let Ok(len) = u32::try_from(record.len()) else {
            return self.dropped();
        };
        let Some(mut pile) = self.tray.pile(&mut self.back) else {
            return self.dropped();
        };
        let before = pile.len();
        if before + record.len() + 4 > room {
            drop(pile);
            return self.dropped();
        }
        pile.extend_from_slice(&len.to_le_bytes());
        pile.extend_from_slice(record);
        let after = pile.len();
        drop(pile);
        let pushed = self.tray.pushed.load(Ordering::Relaxed);
        self.tray.pushed.store(pushed + 1, Ordering::Relaxed);
        if before < room / 2
            && after >= room / 2
            && let Some(wake) = self.feed.wake.get()
        {
            wake();
        }
        true
    }

    #[cold]
    fn dropped(&self) -> bool {
        self.tray.dropped.fetch_add(1, Ordering::Relaxed);
        false
    }
}

impl Drop for FeedWriter {
    fn drop(&mut self) {
        self.tray.closed.store(true, Ordering::Release);
    }
}

/// One writer, one reader, two piles of records, each record behind its length in four bytes.
///
/// The reader takes one pile away at a time, first the front one, then the back one. The writer adds
/// to the front one as long as nothing is in the back one. If the pile it wants is just being taken,
/// then the other one is not, and what it adds there is younger than all that was taken: so neither
/// waits for the other, and records stay in order.
#[derive(Debug)]
struct Tray {
    piles: [Mutex<Vec<u8>>; 2],
    pushed: AtomicU64,
    dropped: AtomicU64,
    /// The writer is gone.
    closed: AtomicBool,
    /// And everything was read.
    empty: AtomicBool,
}

/// How often a writer looks for a pile. Each look that fails is one at which the reader went on to
/// the other pile meanwhile, which it does once for each time it is woken.
const LOOKS: usize = 8;

impl Tray {
    fn new(room: usize) -> Self {
        // All at once, so that no request has to wait for an allocation; the system gives pages as
        // they are used.
        let pile = || Mutex::new(Vec::with_capacity(room));
        Self {
            piles: [pile(), pile()],
            pushed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            empty: AtomicBool::new(false),
        }
    }

    /// The pile that the writer adds to.
    #[inline]
    fn pile(&self, back: &mut bool) -> Option<MutexGuard<'_, Vec<u8>>> {
        let [first, second] = &self.piles;
        if !*back && let Some(pile) = try_lock(first) {
            return Some(pile);
        }
        self.other_pile(back, first, second)
    }

    #[cold]
    fn other_pile<'t>(
        &self,
        back: &mut bool,
        first: &'t Mutex<Vec<u8>>,
        second: &'t Mutex<Vec<u8>>,
    ) -> Option<MutexGuard<'t, Vec<u8>>> {
        for _ in 0..LOOKS {
            if *back {
                // While something is in it, the next record comes behind that.
                if let Some(pile) = try_lock(second).filter(|pile| !pile.is_empty()) {
                    return Some(pile);
                }
                // It was read, or is being read, and what was in front of it before that.
                *back = false;
                if let Some(pile) = try_lock(first) {
                    return Some(pile);
                }
            }
            // What is in front is being read.
            *back = true;
            if let Some(pile) = try_lock(second) {
                return Some(pile);
            }
        }
        None
    }
}

fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Bytes and lists: a panic elsewhere cannot have left half of one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    struct Plain;

    impl Render for Plain {
        fn record(&self, record: &[u8], _: Wall, out: &mut Vec<u8>) {
            out.extend_from_slice(record);
        }
    }

    fn all(feed: &Arc<Feed>) -> (Vec<Vec<u8>>, bool) {
        let mut got = Vec::new();
        let more = feed.read(&mut Vec::new(), &mut |record| got.push(record.to_vec()));
        (got, more)
    }

    #[test]
    fn records_of_every_length_come_out_as_they_went_in() {
        let feed = Feed::new("file", "x", 0, Plain);
        let mut writer = feed.writer();
        for round in 0..50_usize {
            let records: Vec<Vec<u8>> =
                (0..40).map(|n| vec![(round + n) as u8; (round * 7 + n) % 41]).collect();
            assert!(records.iter().all(|record| writer.push(record)));
            assert_eq!(all(&feed), (records, true));
        }
        assert_eq!((feed.recorded(), feed.dropped()), (2000, 0));
    }

    #[test]
    fn what_has_no_room_is_dropped_and_counted_and_the_rest_stays_whole() {
        let feed = Feed::new("file", "x", 0, Plain);
        let mut writer = feed.writer();
        // Of 4 KiB, 100 bytes take 104.
        let pushed: Vec<bool> = (0..50_u8).map(|n| writer.push(&[n; 100])).collect();
        assert_eq!(pushed.iter().filter(|had_room| **had_room).count(), 39);
        assert!(!writer.push(&[0; 5000]), "longer than the tray");
        assert_eq!((feed.recorded(), feed.dropped()), (39, 12));
        let (got, _) = all(&feed);
        assert_eq!(got, (0..39_u8).map(|n| vec![n; 100]).collect::<Vec<_>>());
        assert!(writer.push(b"again"));
    }

    #[test]
    fn the_reader_is_woken_once_when_a_tray_becomes_half_full() {
        let feed = Feed::new("file", "x", 0, Plain);
        let woken = Arc::new(AtomicU64::new(0));
        let count = woken.clone();
        feed.on_pressure(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let mut writer = feed.writer();
        for _ in 0..18 {
            writer.push(&[1; 100]);
        }
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        for _ in 0..18 {
            writer.push(&[1; 100]);
        }
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        // Read in time, again and again: nobody needs to be woken.
        all(&feed);
        for _ in 0..200 {
            writer.push(&[1; 100]);
            all(&feed);
        }
        assert_eq!(woken.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn records_stay_in_order_whichever_pile_is_being_read() {
        let feed = Feed::new("file", "x", 0, Plain);
        let mut writer = feed.writer();
        let tray = writer.tray.clone();
        let [front, back] = &tray.piles;
        writer.push(b"1");
        let reading = front.lock().expect("free");
        writer.push(b"2");
        drop(reading);
        // Younger than what is in the back pile, so behind it.
        writer.push(b"3");
        assert_eq!((front.lock().unwrap().len(), back.lock().unwrap().len()), (5, 10));
        front.lock().unwrap().clear();
        let reading = back.lock().expect("free");
        writer.push(b"4");
        drop(reading);
        writer.push(b"5");
        assert_eq!((front.lock().unwrap().len(), back.lock().unwrap().len()), (10, 10));
        all(&feed);
        writer.push(b"6");
        assert_eq!(front.lock().unwrap().len(), 5);
    }

    #[test]
    fn a_feed_ends_when_all_others_are_gone_and_not_before_it_is_read() {
        let feed = Feed::new("file", "x", 0, Plain);
        let filter = feed.clone();
        let mut writer = filter.writer();
        writer.push(b"one");
        drop(filter);
        assert_eq!(all(&feed), (vec![b"one".to_vec()], true));
        writer.push(b"two");
        drop(writer);
        assert_eq!(all(&feed), (vec![b"two".to_vec()], false));
        assert_eq!(feed.recorded(), 2, "counts outlive the workers");
        assert!(feed.trays().is_empty());
    }

    #[test]
    fn a_writer_and_a_reader_on_two_threads_agree() {
        const RECORDS: u64 = 200_000;
        let feed = Feed::new("file", "x", 64 << 10, Plain);
        let mut writer = feed.writer();
        let thread = thread::spawn(move || {
            for n in 0..RECORDS {
                let mut record = [0; 40];
                record[..8].copy_from_slice(&n.to_le_bytes());
                let len = 8 + (n % 33) as usize;
                while !writer.push(&record[..len]) {
                    thread::yield_now();
                }
            }
        });
        let (mut next, mut scratch) = (0_u64, Vec::new());
        while feed.read(&mut scratch, &mut |record| {
            assert_eq!(record[..8], next.to_le_bytes());
            assert_eq!(record.len(), 8 + (next % 33) as usize);
            next += 1;
        }) {}
        assert_eq!(next, RECORDS);
        thread.join().expect("the writer has ended");
        assert_eq!(feed.recorded(), RECORDS);
    }

    #[test]
    fn a_wall_clock_counts_from_where_it_was_paired() {
        let wall = Wall::pair(Time::from_nanos(50), 1_000);
        assert_eq!(wall.nanos(Time::from_nanos(60)), 1_010);
        assert_eq!(wall.nanos(Time::from_nanos(40)), 990);
    }
}
