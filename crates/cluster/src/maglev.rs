//! Maglev's look-up table, filled in proportion to weights.
//!
//! Knows identities and weights; not who is usable.

use crate::{Endpoint, endpoint::by_identity, hash::own};

/// The size of a Maglev table where the configuration names none; a prime.
pub const DEFAULT_TABLE_SIZE: u32 = 65_537;
/// The largest table: 10 MB per cluster.
pub(crate) const MAX_TABLE_SIZE: u32 = 5_000_011;

/// A table of endpoints. Each endpoint has a preferred order of all places, and they take turns in
/// choosing; when one is gone, little else moves.
#[derive(Debug)]
pub(crate) struct Maglev {
    table: Box<[u16]>,
}

struct Chooser {
    index: u16,
    weight: u64,
    place: u64,
    skip: u64,
    /// What its weight times the number of rounds must reach before it chooses again.
    due: u64,
}

impl Maglev {
    /// The size must be a prime, or an endpoint would not find every place; there must not be more
    /// endpoints than places. Does not depend on the order of the list.
    pub(crate) fn new(endpoints: &[Endpoint], size: u32) -> Self {
        let size = u64::from(size);
        let mut choosers: Vec<_> = by_identity(endpoints)
            .into_iter()
            .filter(|(index, _)| endpoints[*index].weight > 0)
            .map(|(index, identity)| Chooser {
                index: index as u16,
                weight: u64::from(endpoints[index].weight),
                place: own(1, identity.as_bytes()) % size,
                skip: own(2, identity.as_bytes()) % (size - 1) + 1,
                due: 0,
            })
            .collect();
        let Some(heaviest) = choosers.iter().map(|c| c.weight).max() else {
            return Self { table: Box::default() };
        };
        let mut table = vec![None; size as usize];
        let mut left = table.len();
        // The heaviest chooses in each round, so there are at most `size` rounds.
        for round in 1.. {
            for chooser in &mut choosers {
                if round * chooser.weight < chooser.due {
                    continue;
                }
                chooser.due += heaviest;
                while table[chooser.place as usize].is_some() {
                    chooser.place = (chooser.place + chooser.skip) % size;
                }
                table[chooser.place as usize] = Some(chooser.index);
                left -= 1;
                if left == 0 {
                    return Self { table: table.into_iter().flatten().collect() };
                }
            }
        }
        unreachable!("rounds end when the table is full")
    }

    /// The endpoints from the key's place on, once around; nothing in an empty table.
    pub(crate) fn walk(&self, hash: u64) -> impl Iterator<Item = usize> + '_ {
        let at = hash.checked_rem(self.table.len() as u64).unwrap_or(0) as usize;
        let (before, behind) = self.table.split_at(at);
        behind.iter().chain(before).map(|index| usize::from(*index))
    }
}

/// Whether a table may have this size.
pub(crate) fn is_size(size: u32) -> bool {
    (2..=MAX_TABLE_SIZE).contains(&size)
        && (2..).take_while(|d| d * d <= size).all(|d| !size.is_multiple_of(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(n: usize) -> Vec<Endpoint> {
        (0..n).map(|i| Endpoint::new(format!("10.0.0.{i}:6379"))).collect()
    }

    fn counts(m: &Maglev, n: usize) -> Vec<usize> {
        (0..n).map(|i| m.table.iter().filter(|o| usize::from(**o) == i).count()).collect()
    }

    #[test]
    fn places_are_shared_evenly() {
        let m = Maglev::new(&endpoints(10), DEFAULT_TABLE_SIZE);
        assert_eq!(m.table.len(), 65_537);
        assert!(counts(&m, 10).iter().all(|c| (6553..=6554).contains(c)), "{:?}", counts(&m, 10));
    }

    #[test]
    fn places_follow_weight() {
        let mut all = endpoints(4);
        for (e, w) in all.iter_mut().zip([1, 2, 0, 5]) {
            e.weight = w;
        }
        let c = counts(&Maglev::new(&all, DEFAULT_TABLE_SIZE), 4);
        for (got, eighths) in c.iter().zip([1, 2, 0, 5]) {
            assert!(got.abs_diff(65_537 * eighths / 8) <= 8, "{c:?}");
        }
    }

    #[test]
    fn order_of_the_list_does_not_matter_and_little_moves_when_one_goes() {
        let all = endpoints(10);
        let m = Maglev::new(&all, DEFAULT_TABLE_SIZE);
        let mut reversed = all.clone();
        reversed.reverse();
        let r = Maglev::new(&reversed, DEFAULT_TABLE_SIZE);
        assert!(m.table.iter().zip(&r.table).all(|(a, b)| *a == 9 - *b));

        let without = Maglev::new(&all[..9], DEFAULT_TABLE_SIZE);
        let moved = m.table.iter().zip(&without.table).filter(|(a, b)| **a != 9 && a != b).count();
        assert!(moved < 65_537 / 20, "{moved} places moved needlessly");
    }

    #[test]
    fn sizes_are_primes() {
        for size in [2, 3, 7, 251, 65_537, 5_000_011] {
            assert!(is_size(size), "{size}");
        }
        for size in [0, 1, 4, 9, 65_536, 5_000_010, 5_000_077, u32::MAX] {
            assert!(!is_size(size), "{size}");
        }
        let tiny = Maglev::new(&endpoints(2), 2);
        assert_eq!(counts(&tiny, 2), [1, 1]);
        assert_eq!(Maglev::new(&[], 7).walk(3).count(), 0);
    }
}
