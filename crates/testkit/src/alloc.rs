//! Counting heap allocations, so that "no allocation once warm" is a test and not a hope.
//!
//! Linking this crate makes `allocation-counter` the global allocator of the test binary: the
//! system's, and a counter per thread. It is for tests only; a program with an allocator of its own
//! must not link this crate.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What the current thread allocated while a closure ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Allocations; a reallocation is one of them, even if it is in place.
    pub allocations: u64,
    /// Bytes of these allocations, freed or not.
    pub bytes: u64,
    /// Most bytes that were allocated and not yet freed at any one time.
    pub peak_bytes: u64,
    /// Bytes still allocated at the end; negative if more was freed than allocated.
    pub kept_bytes: i64,
}

/// Counts what `run` allocates on this thread; other threads, its children too, do not count.
///
/// Calls may be nested (an outer count includes the inner). A panic of `run` is passed on.
pub fn count<T>(run: impl FnOnce() -> T) -> (T, Counts) {
    let mut result = None;
    // The counter would stay on if a panic passed through it.
    let info = allocation_counter::measure(|| result = Some(catch_unwind(AssertUnwindSafe(run))));
    let counts = Counts {
        allocations: info.count_total,
        bytes: info.bytes_total,
        peak_bytes: info.bytes_max,
        kept_bytes: info.bytes_current,
    };
    match result {
        Some(Ok(value)) => (value, counts),
        Some(Err(panic)) => resume_unwind(panic),
        None => unreachable!("`measure` runs its closure"),
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn counts_this_thread_and_what_is_kept() {
        let (_, none) = count(|| black_box(1 + 1));
        assert_eq!(none, Counts::default());

        let (kept, counts) = count(|| {
            drop(black_box(vec![0_u8; 100]));
            black_box(vec![0_u8; 50])
        });
        assert_eq!(counts.allocations, 2);
        assert_eq!(counts.bytes, 150);
        assert_eq!(counts.peak_bytes, 100);
        assert_eq!(counts.kept_bytes, 50);
        drop(kept);
    }

    #[test]
    fn growth_in_place_counts() {
        let mut grown = Vec::with_capacity(8);
        let ((), counts) = count(|| grown.resize(64, 0_u8));
        assert!(counts.allocations >= 1 && counts.bytes >= 64, "{counts:?}");
        let ((), counts) = count(|| {
            grown.clear();
            grown.resize(64, 1);
        });
        assert_eq!(counts, Counts::default(), "a warm buffer");
    }

    #[test]
    fn a_panic_is_passed_on_and_leaves_the_counter_usable() {
        let panic = catch_unwind(|| count(|| panic!("expected by this test")));
        assert!(panic.is_err());
        let (_, counts) = count(|| black_box(vec![0_u8; 10]));
        assert_eq!(counts.bytes, 10);
    }
}
