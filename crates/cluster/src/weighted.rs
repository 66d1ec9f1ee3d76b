//! A choice between clusters by weight: traffic splits and canaries.
//!
//! Knows weights only; randomness and keys are arguments.

use crate::{BalanceError, hash::own};

/// A choice between things by weight, such as the clusters of a route.
#[derive(Clone, Debug)]
pub struct Weighted {
    /// Where each interval of `0..total` ends.
    ends: Box<[u64]>,
    total: u64,
}

impl Weighted {
    /// A weight of 0 is legal: that one is never chosen. A sum of 0 is an error.
    pub fn new(weights: &[u32]) -> Result<Self, BalanceError> {
        let mut total = 0;
        let ends = weights
            .iter()
            .map(|w| {
                total += u64::from(*w);
                total
            })
            .collect();
        if total == 0 {
            return Err(BalanceError::NoWeight);
        }
        Ok(Self { ends, total })
    }

    /// The weights, in order.
    pub fn weights(&self) -> impl Iterator<Item = u64> + '_ {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        self.ends.iter().zip(starts).map(|(end, start)| end - start)
    }

    /// The chosen place in the list, for a number that is uniformly random over all of `u64`.
    pub fn pick(&self, random: u64) -> usize {
        let point = (u128::from(random) * u128::from(self.total)) >> 64;
        self.ends.partition_point(|end| u128::from(*end) <= point)
    }

    /// The same place for the same key, in every worker and every process. When weights change,
    /// keys move only from places that lost share to places that gained it; when the list grows at
    /// its end, only to the new ones.
    pub fn pick_stable(&self, key: &[u8]) -> usize {
        // Rendezvous hashing: each place throws an exponential of its rate for the key, and the
        // earliest wins. A place's throw does not depend on the others.
        let key = own(0, key);
        let mut start = 0;
        let mut best = (0, f64::INFINITY);
        for (index, end) in self.ends.iter().enumerate() {
            let weight = end - start;
            start = *end;
            if weight == 0 {
                continue;
            }
            let bits = own(index as u64, &key.to_le_bytes()) >> 11;
            // In (0, 1], so that the logarithm is finite.
            let uniform = (bits + 1) as f64 / (1u64 << 53) as f64;
            let throw = -uniform.ln() / weight as f64;
            if throw < best.1 {
                best = (index, throw);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: usize = 40_000;

    fn stable(weights: &[u32]) -> Vec<usize> {
        let w = Weighted::new(weights).unwrap();
        (0..N).map(|i| w.pick_stable(format!("user:{i}").as_bytes())).collect()
    }

    fn near(chosen: &[usize], weights: &[u32]) {
        let total: u32 = weights.iter().sum();
        for (i, w) in weights.iter().enumerate() {
            let got = chosen.iter().filter(|c| **c == i).count();
            let expect = N * *w as usize / total as usize;
            assert!(got.abs_diff(expect) < N / 80 && (got > 0) == (*w > 0), "{i}: {got} {expect}");
        }
    }

    #[test]
    fn both_ways_follow_the_weights() {
        let mut rng = fastrand::Rng::with_seed(1);
        for weights in [&[75, 25][..], &[0, 1, 2, 0, 5], &[7], &[1, 1, 0]] {
            let w = Weighted::new(weights).unwrap();
            near(&(0..N).map(|_| w.pick(rng.u64(..))).collect::<Vec<_>>(), weights);
            near(&stable(weights), weights);
        }
    }

    #[test]
    fn edges_are_in_range() {
        let w = Weighted::new(&[0, u32::MAX, 1, 0]).unwrap();
        assert_eq!((w.pick(0), w.pick(u64::MAX)), (1, 2));
        assert_eq!(w.weights().collect::<Vec<_>>(), [0, u32::MAX.into(), 1, 0]);
        assert_eq!(Weighted::new(&[0, 0]).unwrap_err(), BalanceError::NoWeight);
        assert_eq!(Weighted::new(&[]).unwrap_err(), BalanceError::NoWeight);
    }

    #[test]
    fn a_change_of_weights_moves_only_what_it_must() {
        let moves = |a: &[u32], b: &[u32]| {
            stable(a).into_iter().zip(stable(b)).filter(|(x, y)| x != y).collect::<Vec<_>>()
        };
        let canary = moves(&[90, 10], &[75, 25]);
        assert!(canary.iter().all(|m| *m == (0, 1)));
        assert!(canary.len().abs_diff(N * 15 / 100) < N / 80, "{}", canary.len());
        let three = moves(&[50, 30, 20], &[60, 30, 10]);
        assert!(three.iter().all(|(from, to)| *from != 0 && *to != 2));
        assert!(three.len() < N * 15 / 100, "{}", three.len());
        assert!(moves(&[3, 1], &[3, 1, 1]).iter().all(|(_, to)| *to == 2));
        assert!(moves(&[75, 25], &[150, 50]).is_empty());
    }
}
