//! Rules sorted by what they cannot do without, as a tree of look-ups.
//!
//! A [`Node`] has a number of [`Path`]s: an attribute, a structure that finds values in it (a map
//! of exact ones, prefixes, networks, …), and behind each value a [`Bucket`] of the rules that need
//! it. A bucket with more than a few rules is a node again, which sorts them by what else they
//! need. So rules of a service that differ by method, or by headers of which each service has its
//! own, cost one look-up per level, however many they are.
//!
//! What is found is what may match, never less; `find` evaluates it. This file knows nothing of
//! values or requests.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, Hasher},
};

use foldhash::fast::FixedState;
use ipnet::IpNet;

use crate::{
    affix::{Affixes, End},
    cover::{Atom, Cover, Probe},
    nets::Nets,
    pattern::{Full, Pattern},
    ranges::Ranges,
};

/// The seed of all maps. A constant is enough: keys come from the configuration, a request only
/// ever looks up, so no client can make a map slow by its choice of values.
pub(crate) const SEED: u64 = 0x6865_7074_6164;

/// Up to this many rules are evaluated one by one rather than sorted further.
const FEW: usize = 4;

/// Most patterns in one automaton, and most bytes it may take.
const PATTERNS: usize = 64;
const PATTERNS_BYTES: usize = 1 << 20;

/// Attributes with exact values chosen by popularity before the rest is taken as it comes; bounds
/// the time to build.
const POPULAR: usize = 16;

/// The rules behind one value.
#[derive(Debug)]
pub(crate) enum Bucket {
    One(u32),
    /// Ascending.
    Few(Box<[u32]>),
    Node(Box<Node>),
}

impl Bucket {
    /// The first rule.
    pub(crate) fn first(&self) -> u32 {
        match self {
            Self::One(rule) => *rule,
            Self::Few(rules) => rules.first().copied().unwrap_or(u32::MAX),
            Self::Node(node) => node.paths.first().map_or(u32::MAX, |p| p.first),
        }
    }
}

/// See the module. In order of the first rule of each path.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) paths: Vec<Path>,
}

#[derive(Debug)]
pub(crate) struct Path {
    /// The first rule of all buckets.
    pub(crate) first: u32,
    pub(crate) slot: u32,
    pub(crate) way: Way,
}

/// How a path finds its buckets in the attribute's value.
#[derive(Debug)]
pub(crate) enum Way {
    /// By [`hash`]. Values that collide share a bucket.
    Exact(HashMap<u64, Bucket, Hashed>),
    Affixes(Affixes),
    Nets(Nets),
    Ranges(Ranges),
    Regexes(Box<Regexes>),
    /// By there being a value at all.
    Present(Bucket),
    /// Without looking at an attribute.
    Always(Bucket),
}

/// Patterns searched for together, and the bucket of each.
pub(crate) struct Regexes {
    pub(crate) full: Full,
    pub(crate) buckets: Vec<Bucket>,
}

impl std::fmt::Debug for Regexes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Regexes").field(&self.buckets).finish()
    }
}

/// The hash of an exact value.
pub(crate) fn hash(value: &[u8]) -> u64 {
    let mut hasher = FixedState::with_seed(SEED).build_hasher();
    hasher.write(value);
    hasher.finish()
}

/// Takes a key that is a hash already as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hashed(u64);

impl BuildHasher for Hashed {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash(bytes);
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A rule on its way down the tree, and which of its covers were used to sort it (a bit for each).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    rule: u32,
    used: u32,
}

impl Entry {
    pub(crate) fn rule(&self) -> u32 {
        self.rule
    }
}

/// Builds the tree; `covers` are those of each rule.
pub(crate) fn build(covers: &[Vec<Cover<'_>>]) -> Node {
    let all: Vec<Entry> = (0_u32..).zip(covers).map(|(rule, _)| Entry { rule, used: 0 }).collect();
    Builder { covers }.node(&all)
}

/// Entries by value.
type By<K> = BTreeMap<K, Vec<Entry>>;

/// The paths of a node in the making: by attribute, then by value.
#[derive(Default)]
struct Sorted<'r> {
    exact: BTreeMap<u32, HashMap<u64, Vec<Entry>, Hashed>>,
    affixes: BTreeMap<(u32, End), By<&'r [u8]>>,
    nets: BTreeMap<u32, By<IpNet>>,
    ranges: BTreeMap<u32, By<(i64, i64)>>,
    regexes: BTreeMap<u32, BTreeMap<&'r str, (&'r Pattern, Vec<Entry>)>>,
    present: BTreeMap<u32, Vec<Entry>>,
    always: Vec<Entry>,
}

impl<'r> Sorted<'r> {
    fn add(&mut self, atom: &Atom<'r>, entry: Entry) {
        let slot = atom.slot;
        let bucket = match atom.probe {
            Probe::Exact(text) => {
                let values = self.exact.entry(slot).or_default();
                values.entry(hash(text)).or_default()
            }
            Probe::Prefix(text) => {
                let texts = self.affixes.entry((slot, End::Head)).or_default();
                texts.entry(text).or_default()
            }
            Probe::Suffix(text) => {
                let texts = self.affixes.entry((slot, End::Tail)).or_default();
                texts.entry(text).or_default()
            }
            Probe::Cidr(net) => {
                let nets = self.nets.entry(slot).or_default();
                nets.entry(net.trunc()).or_default()
            }
            Probe::Range(from, to) => {
                let ranges = self.ranges.entry(slot).or_default();
                ranges.entry((from, to)).or_default()
            }
            Probe::Regex(pattern) => {
                let patterns = self.regexes.entry(slot).or_default();
                let (_, bucket) =
                    patterns.entry(pattern.source()).or_insert_with(|| (pattern, Vec::new()));
                bucket
            }
            Probe::Present => self.present.entry(slot).or_default(),
        };
        // Entries come in order; a rule may name the same value twice.
        if bucket.last().is_none_or(|last| last.rule != entry.rule) {
            bucket.push(entry);
        }
    }
}

struct Builder<'c, 'r> {
    covers: &'c [Vec<Cover<'r>>],
}

impl<'r> Builder<'_, 'r> {
    fn unused(&self, entry: Entry) -> impl Iterator<Item = (u32, &Cover<'r>)> {
        let covers = self.covers.get(entry.rule as usize);
        (0_u32..).zip(covers.into_iter().flatten()).filter(move |(i, _)| entry.used >> i & 1 == 0)
    }

    fn bucket(&self, entries: &[Entry]) -> Bucket {
        if let [one] = entries {
            return Bucket::One(one.rule);
        }
        let sortable = entries.iter().any(|e| self.unused(*e).next().is_some());
        if entries.len() <= FEW || !sortable {
            return Bucket::Few(entries.iter().map(|e| e.rule).collect());
        }
        Bucket::Node(Box::new(self.node(entries)))
    }

    fn node(&self, entries: &[Entry]) -> Node {
        let mut sorted = Sorted::default();
        let chosen = self.choose(entries);
        for (entry, choice) in entries.iter().zip(chosen) {
            let Some(i) = choice else {
                sorted.always.push(*entry);
                continue;
            };
            let used = entry.used | 1 << i;
            let covers = self.covers.get(entry.rule as usize);
            let cover = covers.and_then(|c| c.get(i as usize));
            for atom in cover.iter().flat_map(|c| &c.atoms) {
                sorted.add(atom, Entry { used, ..*entry });
            }
        }
        self.finish(sorted)
    }

    /// Which cover each entry is sorted by: the exact values of the attribute that most of them
    /// name, so that few attributes serve all; then of the next; then whatever tells most.
    fn choose(&self, entries: &[Entry]) -> Vec<Option<u32>> {
        let mut chosen = vec![None; entries.len()];
        for _ in 0..POPULAR {
            let mut counts: HashMap<u32, (usize, u64), FixedState> = HashMap::default();
            let open = || entries.iter().zip(&chosen).filter(|(_, c)| c.is_none());
            for (entry, _) in open() {
                for (_, cover) in self.unused(*entry) {
                    if let Some(slot) = cover.exact_slot() {
                        let (count, values) = counts.entry(slot).or_default();
                        *count += 1;
                        // A sketch of how many different values there are.
                        for atom in &cover.atoms {
                            if let Probe::Exact(text) = atom.probe {
                                *values |= 1 << (hash(text) % 64);
                            }
                        }
                    }
                }
            }
            let best = counts
                .iter()
                .max_by_key(|(slot, (count, values))| {
                    (*count, values.count_ones(), std::cmp::Reverse(**slot))
                })
                .map(|(slot, _)| *slot);
            let Some(best) = best else { break };
            let picks: Vec<(usize, u32)> = entries
                .iter()
                .zip(&chosen)
                .enumerate()
                .filter(|(_, (_, c))| c.is_none())
                .filter_map(|(at, (entry, _))| {
                    let mut covers = self.unused(*entry);
                    let (i, _) = covers.find(|(_, c)| c.exact_slot() == Some(best))?;
                    Some((at, i))
                })
                .collect();
            for (at, i) in picks {
                if let Some(choice) = chosen.get_mut(at) {
                    *choice = Some(i);
                }
            }
        }
        for (entry, choice) in entries.iter().zip(&mut chosen) {
            if choice.is_none() {
                let best = self.unused(*entry).min_by_key(|(_, cover)| cover.rank);
                *choice = best.map(|(i, _)| i);
            }
        }
        chosen
    }

    fn finish(&self, sorted: Sorted<'r>) -> Node {
        let mut node = Node::default();
        for (slot, values) in sorted.exact {
            let buckets: HashMap<u64, Bucket, Hashed> =
                values.iter().map(|(hash, entries)| (*hash, self.bucket(entries))).collect();
            node.add(slot, first(buckets.values()), Way::Exact(buckets));
        }
        for ((slot, end), texts) in sorted.affixes {
            let texts = texts.iter().map(|(text, e)| (*text, self.bucket(e)));
            let affixes = Affixes::new(end, texts.collect());
            node.add(slot, affixes.first(), Way::Affixes(affixes));
        }
        for (slot, nets) in sorted.nets {
            let nets: Vec<_> = nets.iter().map(|(net, e)| (*net, self.bucket(e))).collect();
            let first = first(nets.iter().map(|(_, b)| b));
            node.add(slot, first, Way::Nets(Nets::new(nets)));
        }
        for (slot, ranges) in sorted.ranges {
            let ranges = Ranges::new(&ranges, |entries| self.bucket(entries));
            node.add(slot, ranges.first(), Way::Ranges(ranges));
        }
        for (slot, patterns) in sorted.regexes {
            let patterns: Vec<_> = patterns.into_values().collect();
            self.regexes(slot, &patterns, &mut node);
        }
        for (slot, entries) in sorted.present {
            let bucket = self.bucket(&entries);
            node.add(slot, bucket.first(), Way::Present(bucket));
        }
        if !sorted.always.is_empty() {
            let bucket = self.bucket(&sorted.always);
            node.add(0, bucket.first(), Way::Always(bucket));
        }
        node.paths.sort_by_key(|p| p.first);
        node
    }

    /// As many patterns to an automaton as it can take. Where they do not go together well (each
    /// `.*` doubles what the automaton must keep apart) they are tried in ever smaller groups.
    fn regexes(&self, slot: u32, patterns: &[(&Pattern, Vec<Entry>)], node: &mut Node) {
        let mut rest = patterns;
        let mut size = PATTERNS;
        while !rest.is_empty() {
            let (group, others) = rest.split_at(size.min(rest.len()));
            if let [(_, entries)] = group {
                // Nothing gained over evaluating the rule, which holds its own automaton.
                let bucket = self.bucket(entries);
                node.add(slot, bucket.first(), Way::Present(bucket));
                rest = others;
                continue;
            }
            let hirs: Vec<_> = group.iter().filter_map(|(p, _)| p.hir()).collect();
            let full = Full::new(&hirs, PATTERNS_BYTES).filter(|_| hirs.len() == group.len());
            let Some(full) = full else {
                size = (group.len() / 2).max(1);
                continue;
            };
            let buckets: Vec<_> = group.iter().map(|(_, e)| self.bucket(e)).collect();
            let first = first(&buckets);
            let regexes = Regexes { full, buckets };
            node.add(slot, first, Way::Regexes(Box::new(regexes)));
            rest = others;
        }
    }
}

impl Node {
    fn add(&mut self, slot: u32, first: u32, way: Way) {
        self.paths.push(Path { first, slot, way });
    }
}

fn first<'b>(buckets: impl IntoIterator<Item = &'b Bucket>) -> u32 {
    let firsts = buckets.into_iter().map(Bucket::first);
    firsts.min().unwrap_or(u32::MAX)
}
