//! All of many prefixes (or suffixes) that a value has, at a cost that depends on how many
//! different lengths they have and not on how many they are.
//!
//! A binary search over the lengths: at each length, a hash map knows whether some affix of that
//! length or longer begins with what the value begins with there, in which case the search goes on
//! among the longer ones. For that an affix leaves a *mark* at each shorter length where the search
//! for it passes. A mark also knows the longest affix within it, so that nothing found on the way
//! is lost, and each affix knows the next shorter one within it.

use std::collections::HashMap;

use foldhash::quality::FixedState;

use crate::index::{Bucket, SEED};

/// Which end of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Head,
    Tail,
}

impl End {
    fn part(self, bytes: &[u8], len: usize) -> Option<&[u8]> {
        match self {
            Self::Head => bytes.get(..len),
            Self::Tail => bytes.get(bytes.len().checked_sub(len)?..),
        }
    }

    fn has(self, bytes: &[u8], affix: &[u8]) -> bool {
        match self {
            Self::Head => bytes.starts_with(affix),
            Self::Tail => bytes.ends_with(affix),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Affixes {
    end: End,
    /// The lengths, ascending, without repetition.
    lens: Box<[usize]>,
    /// Affixes and marks to the longest affix within them.
    marks: HashMap<Box<[u8]>, Option<u32>, FixedState>,
    affixes: Box<[Affix]>,
}

#[derive(Debug)]
pub(crate) struct Affix {
    pub(crate) bucket: Bucket,
    /// The next shorter affix within this one.
    pub(crate) shorter: Option<u32>,
    /// The first rule of this one and all shorter ones.
    pub(crate) first: u32,
}

impl Affixes {
    /// Texts must be different from each other and not empty.
    pub(crate) fn new(end: End, mut texts: Vec<(&[u8], Bucket)>) -> Self {
        // Sorted from their end, an affix comes right before those that it is within.
        match end {
            End::Head => texts.sort_by(|a, b| a.0.cmp(b.0)),
            End::Tail => texts.sort_by(|a, b| a.0.iter().rev().cmp(b.0.iter().rev())),
        }
        let mut lens: Vec<usize> = texts.iter().map(|(text, _)| text.len()).collect();
        lens.sort_unstable();
        lens.dedup();

        let mut marks = HashMap::with_hasher(FixedState::with_seed(SEED));
        let mut affixes: Vec<Affix> = Vec::with_capacity(texts.len());
        // The affixes within the current one, and it: texts and indices, ascending.
        let mut within: Vec<(&[u8], u32)> = Vec::new();
        for (i, (text, bucket)) in (0_u32..).zip(texts) {
            while within.pop_if(|(outer, _)| !end.has(text, outer)).is_some() {}
            let shorter = within.last().map(|(_, i)| *i);
            let above = shorter.and_then(|i| affixes.get(i as usize));
            let first = above.map_or(u32::MAX, |a| a.first).min(bucket.first());
            affixes.push(Affix { bucket, shorter, first });
            within.push((text, i));
            search(&lens, |len| {
                let Some(part) = end.part(text, len) else {
                    return false;
                };
                let longest = within.iter().rev().find(|(text, _)| text.len() <= len);
                marks.insert(part.into(), longest.map(|(_, i)| *i));
                true
            });
        }
        Self { end, lens: lens.into(), marks, affixes: affixes.into() }
    }

    /// The first rule of all.
    pub(crate) fn first(&self) -> u32 {
        let firsts = self.affixes.iter().map(|a| a.first);
        firsts.min().unwrap_or(u32::MAX)
    }

    /// The longest affix that `value` has, to be followed through [`Affix::shorter`].
    pub(crate) fn longest(&self, value: &[u8]) -> Option<u32> {
        let mut longest = None;
        search(&self.lens, |len| {
            let part = self.end.part(value, len);
            match part.and_then(|part| self.marks.get(part)) {
                Some(mark) => {
                    longest = mark.or(longest);
                    true
                }
                None => false,
            }
        });
        longest
    }

    pub(crate) fn affix(&self, i: u32) -> Option<&Affix> {
        self.affixes.get(i as usize)
    }
}

/// Visits lengths in the order of a binary search; `longer` says whether to go on among the longer
/// ones. Building and searching must walk alike.
fn search(lens: &[usize], mut longer: impl FnMut(usize) -> bool) {
    let mut rest = lens;
    while let Some((len, above)) = rest.get(rest.len() / 2..).and_then(<[usize]>::split_first) {
        rest = if longer(*len) { above } else { rest.get(..rest.len() / 2).unwrap_or_default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every affix of words of a two-letter alphabet, against a linear search.
    #[test]
    fn finds_exactly_the_affixes_of_a_value() {
        let words: Vec<Vec<u8>> = (1_u32..8)
            .flat_map(|len| (0..1_u32 << len).map(move |bits| (len, bits)))
            .map(|(len, bits)| (0..len).map(|i| b'a' + (bits >> i & 1) as u8).collect())
            .collect();
        for step in [1, 2, 3, 5, 7, 11, 40] {
            for end in [End::Head, End::Tail] {
                let chosen: Vec<&[u8]> = words.iter().step_by(step).map(|w| &w[..]).collect();
                let buckets = (0_u32..).map(Bucket::One);
                let affixes = Affixes::new(end, chosen.iter().copied().zip(buckets).collect());
                assert_eq!(affixes.first(), 0);
                for value in &words {
                    let mut found = Vec::new();
                    let mut at = affixes.longest(value);
                    while let Some(affix) = at.and_then(|i| affixes.affix(i)) {
                        found.push(affix.bucket.first());
                        assert!(affix.first <= affix.bucket.first());
                        at = affix.shorter;
                    }
                    found.sort_unstable();
                    let expect: Vec<u32> = (0_u32..)
                        .zip(&chosen)
                        .filter(|(_, text)| end.has(value, text))
                        .map(|(i, _)| i)
                        .collect();
                    assert_eq!(found, expect, "{step} {end:?} {value:?}");
                }
            }
        }
    }
}
