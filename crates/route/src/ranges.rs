//! All of many ranges that a number is in: a segment tree, so that a look-up costs the logarithm of
//! how many ranges there are, however they overlap.

use std::collections::BTreeMap;

use crate::index::{Bucket, Entry};

/// See the module.
#[derive(Debug)]
pub(crate) struct Ranges {
    /// Where ranges begin and where they have ended; between two neighbours nothing changes.
    cuts: Box<[i128]>,
    /// A heap-ordered tree over the gaps behind each cut: node `n` has children `2n` and `2n + 1`,
    /// gap `i` is node `i + cuts.len()`. A range is kept at the few nodes that make it up.
    tree: Box<[Option<Bucket>]>,
}

impl Ranges {
    pub(crate) fn new(
        ranges: &BTreeMap<(i64, i64), Vec<Entry>>,
        bucket: impl Fn(&[Entry]) -> Bucket,
    ) -> Self {
        let ends = |(from, to): &(i64, i64)| (i128::from(*from), i128::from(*to) + 1);
        // A range that ends before it begins has no numbers.
        let ranges = || ranges.iter().filter(|((from, to), _)| from <= to);
        let mut cuts: Vec<i128> =
            ranges().flat_map(|(range, _)| <[i128; 2]>::from(ends(range))).collect();
        cuts.sort_unstable();
        cuts.dedup();

        let mut tree: Vec<Vec<Entry>> = vec![Vec::new(); cuts.len() * 2];
        for (range, entries) in ranges() {
            let (from, end) = ends(range);
            let at = |cut| cuts.partition_point(|c| *c < cut) + cuts.len();
            let (mut left, mut right) = (at(from), at(end));
            while left < right {
                for (odd, node) in [(left % 2, left), (right % 2, right.saturating_sub(1))] {
                    if odd == 1
                        && let Some(node) = tree.get_mut(node)
                    {
                        node.extend_from_slice(entries);
                    }
                }
                left = left.div_ceil(2);
                right /= 2;
            }
        }
        let tree = tree.iter_mut().map(|entries| {
            entries.sort_unstable_by_key(Entry::rule);
            entries.dedup_by_key(|e| e.rule());
            (!entries.is_empty()).then(|| bucket(entries))
        });
        Self { tree: tree.collect(), cuts: cuts.into() }
    }

    /// The first rule of all.
    pub(crate) fn first(&self) -> u32 {
        let firsts = self.tree.iter().flatten().map(Bucket::first);
        firsts.min().unwrap_or(u32::MAX)
    }

    /// The buckets of the ranges that the number is in.
    pub(crate) fn of(&self, n: i128) -> impl Iterator<Item = &Bucket> {
        let gap = self.cuts.partition_point(|cut| *cut <= n).checked_sub(1);
        let leaf = gap.map(|gap| gap + self.cuts.len());
        let path = std::iter::successors(leaf, |node| (*node > 1).then_some(node / 2));
        path.filter_map(|node| self.tree.get(node)?.as_ref())
    }
}
