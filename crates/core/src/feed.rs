//! The way out for filters that record: bounded rings of bytes, one for each worker, read by a
//! thread that may do I/O.
//!
//! A worker copies a record into its ring or drops it; it never waits, takes no lock and wakes
//! nobody, unless the ring becomes half full. What performs a feed (a file, a collector) is not
//! known here: it is found by the feed's service and target, as for [`Ask`](crate::Ask).

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
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
    /// Words of each ring; a power of two.
    words: usize,
    rings: Mutex<Vec<Arc<Ring>>>,
    /// The reader's copy of that list, empty between two readings.
    spare: Mutex<Vec<Arc<Ring>>>,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
    failed: AtomicU64,
    /// What rings that are gone have counted.
    past: [AtomicU64; 2],
}

/// The smallest ring, in bytes.
const LEAST: usize = 4 << 10;
/// The largest ring, in bytes.
const MOST: usize = 1 << 30;

impl Feed {
    /// A feed to `target` of the performer `service`, with a ring of about `bytes` bytes for each
    /// worker (4 KiB to 1 GiB, rounded up to a power of two).
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
            words: bytes.clamp(LEAST, MOST).next_power_of_two() / 8,
            rings: Mutex::default(),
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
        let ring = Arc::new(Ring::new(self.words));
        self.rings().push(ring.clone());
        FeedWriter { feed: self.clone(), ring, head: 0, tail: 0 }
    }

    /// For the reader: called when a ring becomes half full. Only the first counts.
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
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rings = std::mem::take(&mut *spare());
        rings.extend(self.rings().iter().cloned());
        let mut closed = false;
        for ring in &rings {
            let over = ring.closed.load(Ordering::Acquire);
            ring.read(scratch, each);
            if over {
                ring.empty.store(true, Ordering::Relaxed);
                closed = true;
            }
        }
        if closed {
            self.rings().retain(|ring| {
                let gone = ring.empty.load(Ordering::Relaxed);
                if gone {
                    for (past, now) in self.past.iter().zip([&ring.pushed, &ring.dropped]) {
                        past.fetch_add(now.load(Ordering::Relaxed), Ordering::Relaxed);
                    }
                }
                !gone
            });
        }
        rings.clear();
        *spare() = rings;
        !last
    }

    /// Records that had room.
    pub fn recorded(&self) -> u64 {
        self.sum(0, |ring| &ring.pushed)
    }

    /// Records for which there was no room.
    pub fn dropped(&self) -> u64 {
        self.sum(1, |ring| &ring.dropped)
    }

    /// Records that were read and could not be written or sent.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// For the reader: so many records could not be written or sent.
    pub fn fail(&self, records: u64) {
        self.failed.fetch_add(records, Ordering::Relaxed);
    }

    fn sum(&self, past: usize, of: impl Fn(&Ring) -> &AtomicU64) -> u64 {
        let rings = self.rings();
        let now: u64 = rings.iter().map(|ring| of(ring).load(Ordering::Relaxed)).sum();
        now + self.past.get(past).map_or(0, |past| past.load(Ordering::Relaxed))
    }

    fn rings(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Ring>>> {
        // Taken when a worker begins, by the reader and by scrapes; never for a request.
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
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
    ring: Arc<Ring>,
    /// Where the next word goes.
    head: usize,
    /// How far the reader was when it was last looked at.
    tail: usize,
}

impl FeedWriter {
    /// Hands a record over, or drops it and says so: `false` if there was no room. Allocates
    /// nothing and never waits.
    pub fn push(&mut self, record: &[u8]) -> bool {
        let size = self.ring.words.len();
        let need = record.len().div_ceil(8) + 1;
        let mut used = self.head.wrapping_sub(self.tail);
        let before = used;
        if used + need > size {
            self.tail = self.ring.tail.load(Ordering::Acquire);
            used = self.head.wrapping_sub(self.tail);
            if used + need > size {
                self.ring.dropped.fetch_add(1, Ordering::Relaxed);
                return false;
            }
        }
        self.ring.put(self.head, record.len() as u64);
        let (words, rest) = record.as_chunks::<8>();
        let (front, back) = self.ring.span(self.head.wrapping_add(1), words.len());
        for (cell, word) in front.iter().chain(back).zip(words) {
            cell.store(u64::from_le_bytes(*word), Ordering::Relaxed);
        }
        let at = self.head.wrapping_add(words.len());
        if !rest.is_empty() {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(rest) {
                *to = *from;
            }
            self.ring.put(at.wrapping_add(1), u64::from_le_bytes(word));
        }
        self.head = self.head.wrapping_add(need);
        self.ring.head.store(self.head, Ordering::Release);
        let pushed = self.ring.pushed.load(Ordering::Relaxed);
        self.ring.pushed.store(pushed + 1, Ordering::Relaxed);
        if before < size / 2 && used + need >= size / 2 {
            self.pressed();
        }
        true
    }

    /// Half full, as far as this end has seen: looks anew, and wakes the reader if it is so.
    #[cold]
    fn pressed(&mut self) {
        self.tail = self.ring.tail.load(Ordering::Acquire);
        if self.head.wrapping_sub(self.tail) >= self.ring.words.len() / 2
            && let Some(wake) = self.feed.wake.get()
        {
            wake();
        }
    }
}

impl Drop for FeedWriter {
    fn drop(&mut self) {
        self.ring.closed.store(true, Ordering::Release);
    }
}

/// One writer, one reader. Positions count words and wrap; a record is its length in bytes and
/// then its bytes, the last word filled up.
struct Ring {
    words: Box<[AtomicU64]>,
    head: AtomicUsize,
    tail: AtomicUsize,
    pushed: AtomicU64,
    dropped: AtomicU64,
    /// The writer is gone.
    closed: AtomicBool,
    /// And everything was read.
    empty: AtomicBool,
}

impl Ring {
    fn new(words: usize) -> Self {
        Self {
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
            pushed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            empty: AtomicBool::new(false),
        }
    }

    fn word(&self, at: usize) -> Option<&AtomicU64> {
        self.words.get(at & (self.words.len() - 1))
    }

    /// So many words from there on: up to the end of the ring, and from its beginning.
    fn span(&self, at: usize, len: usize) -> (&[AtomicU64], &[AtomicU64]) {
        let start = at & (self.words.len() - 1);
        let front = len.min(self.words.len() - start);
        let back = self.words.get(..len - front).unwrap_or_default();
        (self.words.get(start..start + front).unwrap_or_default(), back)
    }

    fn put(&self, at: usize, word: u64) {
        if let Some(cell) = self.word(at) {
            cell.store(word, Ordering::Relaxed);
        }
    }

    fn take(&self, at: usize) -> u64 {
        self.word(at).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    fn read(&self, scratch: &mut Vec<u8>, each: &mut dyn FnMut(&[u8])) {
        let mut tail = self.tail.load(Ordering::Relaxed);
        let head = self.head.load(Ordering::Acquire);
        while tail != head {
            let len = usize::try_from(self.take(tail)).unwrap_or(0);
            let words = len.div_ceil(8);
            scratch.resize(words * 8, 0);
            let (front, back) = self.span(tail.wrapping_add(1), words);
            for (to, cell) in scratch.as_chunks_mut().0.iter_mut().zip(front.iter().chain(back)) {
                *to = cell.load(Ordering::Relaxed).to_le_bytes();
            }
            scratch.truncate(len);
            tail = tail.wrapping_add(words + 1);
            // What was copied is free at once, before anything slow is done with it.
            self.tail.store(tail, Ordering::Release);
            each(scratch);
        }
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("words", &self.words.len()).finish_non_exhaustive()
    }
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
        // 4 KiB are 512 words; 100 bytes take 14.
        let pushed: Vec<bool> = (0..50_u8).map(|n| writer.push(&[n; 100])).collect();
        assert_eq!(pushed.iter().filter(|had_room| **had_room).count(), 36);
        assert!(!writer.push(&[0; 5000]), "longer than the ring");
        assert_eq!((feed.recorded(), feed.dropped()), (36, 15));
        let (got, _) = all(&feed);
        assert_eq!(got, (0..36_u8).map(|n| vec![n; 100]).collect::<Vec<_>>());
        assert!(writer.push(b"again"));
    }

    #[test]
    fn the_reader_is_woken_once_when_a_ring_becomes_half_full() {
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
        assert!(feed.rings().is_empty());
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
