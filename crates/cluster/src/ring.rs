//! The ketama ring, point for point as twemproxy 0.5 lays it out.
//!
//! Knows identities and weights; not who is usable.

use crate::{Endpoint, endpoint::by_identity, hash::md5_quarters};

/// Points of an endpoint of average weight.
const POINTS: f32 = 160.0;
/// Points that one digest gives.
const PER_DIGEST: f32 = 4.0;
/// Bytes of `identity-number` that are hashed at most.
const MAX_LABEL: usize = 272;

/// Points on a circle of 2^32, each owned by an endpoint; a key belongs to the first point at or
/// behind its hash.
#[derive(Debug)]
pub(crate) struct Ring {
    points: Box<[u32]>,
    owners: Box<[u16]>,
}

impl Ring {
    /// Endpoints of weight 0 are left out, as if they were not in the list. There must be at most
    /// 65536.
    pub(crate) fn new(endpoints: &[Endpoint]) -> Self {
        let total: u64 = endpoints.iter().map(|e| u64::from(e.weight)).sum();
        let live = endpoints.iter().filter(|e| e.weight > 0).count();
        let mut all = Vec::with_capacity(live * 160);
        for (index, identity) in by_identity(endpoints) {
            for digest in 0..digests(endpoints[index].weight, total, live) {
                let label = format!("{identity}-{digest}");
                let label = label.as_bytes();
                let points = md5_quarters(label.get(..MAX_LABEL).unwrap_or(label));
                all.extend(points.map(|point| (point, index as u16)));
            }
        }
        // Stable: of equal points the one of the first identity counts.
        all.sort_by_key(|(point, _)| *point);
        let (points, owners): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        Self { points: points.into(), owners: owners.into() }
    }

    /// The owners from the key's point on, once around; nothing on an empty ring.
    pub(crate) fn walk(&self, hash: u32) -> impl Iterator<Item = usize> + '_ {
        let at = self.points.partition_point(|point| *point < hash);
        let (before, behind) = self.owners.split_at(at);
        behind.iter().chain(before).map(|owner| usize::from(*owner))
    }
}

/// How many digests an endpoint gets: the same single-precision arithmetic as twemproxy, because
/// its rounding decides.
fn digests(weight: u32, total: u64, live: usize) -> u32 {
    if weight == 0 {
        return 0;
    }
    let share = weight as f32 / total as f32;
    let digests = share * POINTS / PER_DIGEST * live as f32;
    ((f64::from(digests) + 1e-10) as f32).floor() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_weight_gives_160_points() {
        let all: Vec<_> = (0..10).map(|i| Endpoint::new(format!("10.0.0.{i}:6379"))).collect();
        let ring = Ring::new(&all);
        for i in 0..10 {
            assert_eq!(ring.owners.iter().filter(|o| **o == i).count(), 160);
        }
        assert!(ring.points.is_sorted());
    }

    #[test]
    fn rounding_is_that_of_single_precision() {
        // Forty is the exact share; that twemproxy makes it 39 is among the observed placements.
        assert_eq!(digests(1, 25, 25), 39);
        assert_eq!(digests(1, 26, 26), 40);
        assert_eq!(digests(1, 1000, 4), 0);
    }

    #[test]
    fn points_follow_weight_and_zero_has_none() {
        let all = [1, 0, 3].map(|w| Endpoint::new(format!("h:{w}")).weighing(w));
        let ring = Ring::new(&all);
        let count = |i| ring.owners.iter().filter(|o| **o == i).count();
        assert_eq!((count(0), count(1), count(2)), (80, 0, 240));
    }

    #[test]
    fn walk_goes_once_around_and_wraps() {
        let ring = Ring { points: [10, 20, 30].into(), owners: [0, 1, 2].into() };
        let walk = |hash| ring.walk(hash).collect::<Vec<_>>();
        assert_eq!(walk(0), [0, 1, 2]);
        assert_eq!(walk(10), [0, 1, 2]);
        assert_eq!(walk(11), [1, 2, 0]);
        assert_eq!(walk(31), [0, 1, 2]);
        assert_eq!(Ring::new(&[]).walk(5).count(), 0);
    }
}
