//! Whose turn it is: round robin, smooth where weights differ.
//!
//! Knows weights and who is usable; neither load nor keys.

use crate::draw::Weights;

/// Steps by which a seed may move the start of a weighted sequence.
const WARM_UP: u64 = 64;

/// The state of a round robin.
#[derive(Clone, Debug)]
pub(crate) enum Turn {
    /// All weights are equal: who is looked at next.
    Even(usize),
    /// Each endpoint's credit: it grows by its weight at each pick, and the richest is picked and
    /// pays what all gained. A weight of 5 among 1s is thus spread, not served in a run.
    Smooth(Box<[i64]>),
}

impl Turn {
    /// Workers should not all begin with the same endpoint, so the seed moves the start; a seed of
    /// 0 starts at the first.
    pub(crate) fn new(weights: &Weights, seed: u64) -> Self {
        if weights.even() {
            return Self::Even((seed % weights.total().max(1)) as usize);
        }
        let mut turn = Self::Smooth(vec![0; weights.len()].into());
        for _ in 0..seed % weights.total().clamp(1, WARM_UP) {
            turn.pick(weights, &|_| true);
        }
        turn
    }

    pub(crate) fn pick(
        &mut self,
        weights: &Weights,
        usable: &dyn Fn(usize) -> bool,
    ) -> Option<usize> {
        match self {
            Self::Even(next) => {
                let found = (*next..weights.len()).chain(0..*next).find(|i| usable(*i))?;
                *next = if found + 1 < weights.len() { found + 1 } else { 0 };
                Some(found)
            }
            Self::Smooth(credit) => {
                let mut gained = 0;
                let mut best: Option<(usize, i64)> = None;
                for (index, credit) in credit.iter_mut().enumerate() {
                    let weight = weights.of(index).cast_signed();
                    if weight == 0 || !usable(index) {
                        continue;
                    }
                    *credit += weight;
                    gained += weight;
                    if best.is_none_or(|(_, most)| *credit > most) {
                        best = Some((index, *credit));
                    }
                }
                let (index, _) = best?;
                credit[index] -= gained;
                Some(index)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endpoint;

    fn sequence(all: &[u32], seed: u64, n: usize, out: &[usize]) -> Vec<usize> {
        let all: Vec<_> = all.iter().map(|w| Endpoint::new("a:1").weighing(*w)).collect();
        let weights = Weights::new(&all);
        let mut turn = Turn::new(&weights, seed);
        (0..n).filter_map(|_| turn.pick(&weights, &|i| !out.contains(&i))).collect()
    }

    #[test]
    fn equal_weights_take_turns() {
        assert_eq!(sequence(&[3, 3, 3], 0, 7, &[]), [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(sequence(&[1, 1, 1], 2, 4, &[]), [2, 0, 1, 2]);
        assert_eq!(sequence(&[1, 1, 1], 0, 4, &[1]), [0, 2, 0, 2]);
        assert_eq!(sequence(&[1, 1], 0, 4, &[0, 1]), []);
        assert_eq!(sequence(&[], 5, 4, &[]), []);
    }

    #[test]
    fn unequal_weights_are_spread_smoothly() {
        assert_eq!(sequence(&[5, 1, 1], 0, 14, &[]), [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(sequence(&[1, 2, 0, 3], 0, 6, &[]), [3, 1, 0, 3, 1, 3]);
        assert_eq!(sequence(&[1, 2, 0, 3], 1, 5, &[]), [1, 0, 3, 1, 3]);
        assert_eq!(sequence(&[1, 2, 3], 0, 6, &[2]), [1, 0, 1, 1, 0, 1]);
        assert_eq!(sequence(&[1, 0], 0, 4, &[0]), []);
    }

    #[test]
    fn an_endpoint_that_comes_back_does_not_get_what_it_missed_in_one_run() {
        let all = [Endpoint::new("a:1").weighing(2), Endpoint::new("b:1").weighing(1)];
        let weights = Weights::new(&all);
        let mut turn = Turn::new(&weights, 0);
        for _ in 0..100 {
            assert_eq!(turn.pick(&weights, &|i| i == 0), Some(0));
        }
        let after: Vec<_> = (0..6).filter_map(|_| turn.pick(&weights, &|_| true)).collect();
        assert_eq!(after.iter().filter(|i| **i == 1).count(), 2, "{after:?}");
    }
}
