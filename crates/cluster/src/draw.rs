//! Weighted random choice among the usable endpoints.
//!
//! Knows weights only; neither load nor keys.

use fastrand::Rng;

use crate::Endpoint;

/// Draws by rejection before the usable endpoints are counted.
const TRIES: usize = 4;

/// The endpoints laid out as intervals of `0..total`, each as wide as its weight.
#[derive(Debug)]
pub(crate) struct Weights {
    len: usize,
    /// Where each interval ends; `None` if all weights are equal: then every interval is 1 wide.
    ends: Option<Box<[u64]>>,
    total: u64,
}

impl Weights {
    pub(crate) fn new(endpoints: &[Endpoint]) -> Self {
        Self::of_each(endpoints.iter().map(|e| e.weight))
    }

    pub(crate) fn of_each(weights: impl ExactSizeIterator<Item = u32> + Clone) -> Self {
        let len = weights.len();
        let first = weights.clone().next().unwrap_or(1);
        if first > 0 && weights.clone().all(|w| w == first) {
            return Self { len, ends: None, total: len as u64 };
        }
        let mut total = 0;
        let ends = weights
            .map(|w| {
                total += u64::from(w);
                total
            })
            .collect();
        Self { len, ends: Some(ends), total }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn even(&self) -> bool {
        self.ends.is_none()
    }

    /// Where the interval of an endpoint starts, and how wide it is.
    fn interval(&self, index: usize) -> (u64, u64) {
        let Some(ends) = &self.ends else {
            return (index as u64, 1);
        };
        let start = index.checked_sub(1).map_or(0, |before| ends[before]);
        (start, ends[index] - start)
    }

    /// The weight, relative to the others.
    pub(crate) fn of(&self, index: usize) -> u64 {
        self.interval(index).1
    }

    /// Whose interval has the point, which must be below the total.
    pub(crate) fn at(&self, point: u64) -> usize {
        match &self.ends {
            None => point as usize,
            Some(ends) => ends.partition_point(|end| *end <= point),
        }
    }

    /// A usable endpoint other than `except`, each as likely as its weight says.
    pub(crate) fn draw(
        &self,
        rng: &mut Rng,
        except: Option<usize>,
        usable: &dyn Fn(usize) -> bool,
    ) -> Option<usize> {
        let (hole, gap) = except.map_or((self.total, 0), |e| self.interval(e));
        let room = self.total - gap;
        if room == 0 {
            return None;
        }
        for _ in 0..TRIES {
            let mut point = rng.u64(..room);
            if point >= hole {
                point += gap;
            }
            let index = self.at(point);
            if usable(index) {
                return Some(index);
            }
        }
        // Most are out: count who is left. The distribution is the same as that of the tries.
        let left = |index: &usize| Some(*index) != except && self.of(*index) > 0 && usable(*index);
        let total: u64 = (0..self.len).filter(left).map(|i| self.of(i)).sum();
        if total == 0 {
            return None;
        }
        let mut point = rng.u64(..total);
        (0..self.len).filter(left).find(|i| match point.checked_sub(self.of(*i)) {
            Some(rest) => {
                point = rest;
                false
            }
            None => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(all: &[u32]) -> Weights {
        let all: Vec<_> = all.iter().map(|w| Endpoint::new("a:1").weighing(*w)).collect();
        Weights::new(&all)
    }

    fn shares(w: &Weights, except: Option<usize>, out: &[usize]) -> Vec<u32> {
        let mut rng = Rng::with_seed(7);
        let mut counts = vec![0; w.len()];
        for _ in 0..60_000 {
            if let Some(i) = w.draw(&mut rng, except, &|i| !out.contains(&i)) {
                counts[i] += 1;
            }
        }
        counts
    }

    fn near(counts: &[u32], expect: &[u32]) {
        for (c, e) in counts.iter().zip(expect) {
            assert!(c.abs_diff(*e) <= 700 && (*e > 0) == (*c > 0), "{counts:?} {expect:?}");
        }
    }

    #[test]
    fn shares_follow_weights_with_and_without_a_hole() {
        near(&shares(&weights(&[5, 5, 5]), None, &[]), &[20_000, 20_000, 20_000]);
        near(&shares(&weights(&[1, 0, 2, 3]), None, &[]), &[10_000, 0, 20_000, 30_000]);
        near(&shares(&weights(&[1, 0, 2, 3]), Some(3), &[]), &[20_000, 0, 40_000, 0]);
        near(&shares(&weights(&[1, 1, 1]), Some(1), &[]), &[30_000, 0, 30_000]);
    }

    #[test]
    fn shares_of_the_usable_stay_in_proportion() {
        near(&shares(&weights(&[100, 1, 2, 3]), None, &[0]), &[0, 10_000, 20_000, 30_000]);
        near(&shares(&weights(&[1, 1, 1, 1]), Some(3), &[0]), &[0, 30_000, 30_000, 0]);
        near(&shares(&weights(&[1, 1]), None, &[0, 1]), &[0, 0]);
        near(&shares(&weights(&[1]), Some(0), &[]), &[0]);
        near(&shares(&weights(&[1, 0]), Some(0), &[]), &[0, 0]);
    }
}
