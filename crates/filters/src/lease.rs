//! What one worker has taken from a shared rate and not yet used.
//!
//! A rate of many thousands a second would make all workers write one number for every request.
//! They take permits for a moment in advance instead. What is not used within it is put back when
//! the worker comes by again.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use heptad_core::Time;

use crate::{
    buckets::{Bucket, Buckets, COMMON},
    gcra::{Gcra, Taken},
};

/// For how long permits are taken in advance, and how long they may be used.
const AHEAD: Duration = Duration::from_millis(1);

/// How long a bucket must have been full before another key gets it: leases are long over.
const AT_REST: Duration = Duration::from_millis(20);

/// Most permits of a lease.
const MOST: u64 = 64;

/// The share of the burst that one lease may be.
const SHARE: u64 = 16;

/// How many buckets a worker holds leases of, besides those that are shared by many values.
const OWN: usize = 256;

/// A rate as the workers of a process share it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rated {
    gcra: Gcra,
    batch: u64,
}

impl Rated {
    pub(crate) fn new(gcra: Gcra) -> Self {
        let batch = gcra.in_time(AHEAD).min(gcra.burst() / SHARE).clamp(1, MOST);
        Self { gcra, batch }
    }

    /// Permits taken at once.
    #[cfg(test)]
    pub(crate) fn batch(self) -> u64 {
        self.batch
    }

    /// Whether a bucket's number may be taken from its key.
    pub(crate) fn is_free(self, number: u64, now: Time) -> bool {
        self.gcra.is_full(number, now, AT_REST)
    }
}

/// The leases of one worker.
#[derive(Debug)]
pub(crate) struct Leases {
    rated: Rated,
    /// None if permits are taken one by one.
    held: Box<[Lease]>,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    bucket: Option<Bucket>,
    left: u64,
    until: Time,
}

impl Leases {
    pub(crate) fn new(rated: Rated) -> Self {
        let places = if rated.batch > 1 { COMMON + OWN } else { 0 };
        let none = Lease { bucket: None, left: 0, until: Time::ZERO };
        Self { rated, held: vec![none; places].into() }
    }

    /// One permit: whether there is one, or `None` if the bucket has become another key's.
    pub(crate) fn take(&mut self, now: Time, buckets: &Buckets, bucket: Bucket) -> Option<bool> {
        let Rated { gcra, batch } = self.rated;
        let place = match bucket {
            Bucket::Common(_) => bucket.index(),
            Bucket::Own(..) => COMMON + bucket.index() % OWN,
        };
        let mut lease = self.held.get_mut(place);
        if let Some(lease) = &mut lease {
            if lease.left > 0 && lease.bucket == Some(bucket) && now < lease.until {
                lease.left -= 1;
                return Some(true);
            }
            lease.give_back(now, gcra, buckets);
        }
        match gcra.take(buckets.number(bucket), now, batch) {
            Taken::Nothing => buckets.holds(bucket).then_some(false),
            Taken::Dead => None,
            // The new key is short of what its predecessor took; never the other way round.
            Taken::Some(_) if !buckets.holds(bucket) => None,
            Taken::Some(n) => {
                if let Some(lease) = lease {
                    *lease = Lease { bucket: Some(bucket), left: n - 1, until: now + AHEAD };
                }
                Some(true)
            }
        }
    }

    /// Puts back everything.
    pub(crate) fn give_back(&mut self, buckets: &Buckets) {
        for lease in &mut self.held {
            lease.give_back(lease.until, self.rated.gcra, buckets);
        }
    }
}

impl Lease {
    fn give_back(&mut self, now: Time, gcra: Gcra, buckets: &Buckets) {
        if let Some(bucket) = self.bucket.take()
            && self.left > 0
            && buckets.holds(bucket)
        {
            let number = buckets.number(bucket);
            // Nothing can be put into a full bucket, and it may be about to become another key's.
            if !gcra.is_full(number.load(Relaxed), now, Duration::ZERO) {
                gcra.give_back(number, self.left);
            }
        }
        self.left = 0;
    }
}
