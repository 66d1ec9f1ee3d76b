//! Which endpoint serves a request.
//!
//! One [`Balancer`] belongs to one worker and needs no lock. What is usable and how loaded it is,
//! it asks for at each pick; it must not know why.

use std::{collections::HashSet, sync::Arc};

use fastrand::Rng;

use crate::{
    Endpoint, KeyHash, Order,
    draw::Weights,
    hash::spread,
    maglev::{self, Maglev},
    modula::Modula,
    redis_slot,
    ring::Ring,
    slots,
    turn::Turn,
};

/// A way to choose an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Balance {
    /// In turns, in proportion to weights, heavy ones spread smoothly.
    #[default]
    RoundRobin,
    /// By chance, in proportion to weights.
    Random,
    /// Two are drawn by weight, and the one with less load for its weight is taken.
    LeastRequest,
    /// Ketama, as twemproxy lays it out.
    Ring {
        /// Whether the keys of an unusable endpoint go to the next on the ring. Not for stores:
        /// their keys live nowhere else.
        failover: bool,
    },
    /// Hash modulo the sum of weights.
    Modula {
        /// In which order endpoints are counted.
        order: Order,
    },
    /// Maglev: more even than the ring, and a quicker look-up; agrees with no other program.
    Maglev {
        /// Places in the table: a prime of at most 5000011;
        /// [`DEFAULT_TABLE_SIZE`](crate::DEFAULT_TABLE_SIZE) is a good one.
        table_size: u32,
        /// Whether the keys of an unusable endpoint go to others.
        failover: bool,
    },
    /// Redis Cluster slots; the key hash is always the slot's.
    Slots,
}

impl Balance {
    /// Whether a key decides.
    pub const fn is_hashing(self) -> bool {
        !matches!(self, Self::RoundRobin | Self::Random | Self::LeastRequest)
    }
}

/// What a [`Balancer`] is made of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Spec {
    /// The way to choose.
    pub balance: Balance,
    /// How keys are hashed, where a key decides.
    pub key: KeyHash,
    /// The endpoints; picks are places in this list.
    pub endpoints: Vec<Endpoint>,
}

impl Spec {
    /// A spec with the default key hash.
    pub fn new(balance: Balance, endpoints: Vec<Endpoint>) -> Self {
        Self { balance, key: KeyHash::default(), endpoints }
    }

    /// The same with a key hash.
    #[must_use]
    pub fn keyed(mut self, key: KeyHash) -> Self {
        self.key = key;
        self
    }
}

/// Why there is no balancer for a spec. Endpoints are given as places in the list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say it")]
pub enum BalanceError {
    #[error("the sum of the weights is 0")]
    NoWeight,
    #[error("{0} endpoints are more than this balancer can take ({1})")]
    TooMany(usize, usize),
    #[error(
        "endpoints {first} and {second} are both called `{identity}`, so keys cannot be told apart"
    )]
    SameIdentity { first: usize, second: usize, identity: String },
    #[error("table size {0} is not a prime from 2 to 5000011")]
    TableSize(u32),
    #[error("{first}-{last} is not a range of slots from 0 to 16383")]
    SlotRange { endpoint: usize, first: u16, last: u16 },
    #[error("slot {slot} is given to both endpoint {first} and endpoint {second}")]
    SlotTwice { slot: u16, first: usize, second: usize },
}

/// Endpoints are numbered in 16 bits, of which one value means nobody.
const MAX_ENDPOINTS: usize = 65_535;

/// Chooses endpoints, for one worker.
#[derive(Debug)]
pub struct Balancer {
    method: Method,
    key: KeyHash,
    weights: Arc<Weights>,
    rng: Rng,
}

#[derive(Clone, Debug)]
enum Method {
    RoundRobin(Turn),
    Random,
    LeastRequest,
    Ring { ring: Arc<Ring>, failover: bool },
    Modula(Arc<Modula>),
    Maglev { table: Arc<Maglev>, failover: bool },
    Slots(Arc<[u16]>),
}

impl Balancer {
    /// Builds the tables, which for large clusters takes milliseconds; [`Balancer::fork`] shares
    /// them with other workers. A list without endpoints is legal: every pick is then `None`.
    pub fn new(spec: &Spec, seed: u64) -> Result<Self, BalanceError> {
        let endpoints = &spec.endpoints[..];
        let most = match spec.balance {
            Balance::Slots => usize::from(slots::SLOTS),
            Balance::Maglev { table_size, .. } => MAX_ENDPOINTS.min(table_size as usize),
            _ => MAX_ENDPOINTS,
        };
        if let Balance::Maglev { table_size, .. } = spec.balance
            && !maglev::is_size(table_size)
        {
            return Err(BalanceError::TableSize(table_size));
        }
        if endpoints.len() > most {
            return Err(BalanceError::TooMany(endpoints.len(), most));
        }
        if !endpoints.is_empty() && endpoints.iter().all(|e| e.weight == 0) {
            return Err(BalanceError::NoWeight);
        }
        let weights = Arc::new(Weights::new(endpoints));
        let method = match spec.balance {
            Balance::RoundRobin => Method::RoundRobin(Turn::new(&weights, seed)),
            Balance::Random => Method::Random,
            Balance::LeastRequest => Method::LeastRequest,
            Balance::Ring { failover } => {
                told_apart(endpoints)?;
                Method::Ring { ring: Arc::new(Ring::new(endpoints)), failover }
            }
            Balance::Modula { order } => {
                if order == Order::Identity {
                    told_apart(endpoints)?;
                }
                Method::Modula(Arc::new(Modula::new(endpoints, order)))
            }
            Balance::Maglev { table_size, failover } => {
                told_apart(endpoints)?;
                Method::Maglev { table: Arc::new(Maglev::new(endpoints, table_size)), failover }
            }
            Balance::Slots => Method::Slots(slots::assign(endpoints)?.into()),
        };
        Ok(Self { method, key: spec.key, weights, rng: Rng::with_seed(seed) })
    }

    /// A balancer of the same spec with another seed; tables are shared.
    #[must_use]
    pub fn fork(&self, seed: u64) -> Self {
        let method = match &self.method {
            Method::RoundRobin(_) => Method::RoundRobin(Turn::new(&self.weights, seed)),
            other => other.clone(),
        };
        Self {
            method,
            key: self.key,
            weights: Arc::clone(&self.weights),
            rng: Rng::with_seed(seed),
        }
    }

    /// How many endpoints there are.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there are no endpoints.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a key decides.
    pub fn is_hashing(&self) -> bool {
        !matches!(self.method, Method::RoundRobin(_) | Method::Random | Method::LeastRequest)
    }

    /// The place of the endpoint to use, or `None` if there is none.
    ///
    /// Where a key decides, it is the key's endpoint even if that is not usable, because its data
    /// is nowhere else; with `failover` it is the next usable one. Without a key, and for balancers
    /// that do not hash, it is always a usable one. `load` is asked by
    /// [`Balance::LeastRequest`] only. Does not allocate.
    pub fn pick(
        &mut self,
        key: Option<&[u8]>,
        load: &dyn Fn(usize) -> u32,
        usable: &dyn Fn(usize) -> bool,
    ) -> Option<usize> {
        match &mut self.method {
            Method::RoundRobin(turn) => return turn.pick(&self.weights, usable),
            Method::Random => return self.weights.draw(&mut self.rng, None, usable),
            Method::LeastRequest => return self.lighter_of_two(load, usable),
            _ => {}
        }
        let Some(key) = key else {
            return self.weights.draw(&mut self.rng, None, usable);
        };
        match &self.method {
            Method::Ring { ring, failover: true } => {
                let hash = self.key.hash(key);
                self.first_usable(hash, ring.walk(hash as u32), usable)
            }
            Method::Maglev { table, failover: true } => {
                let hash = spread(self.key.hash(key));
                self.first_usable(hash, table.walk(hash), usable)
            }
            _ => self.locate(key),
        }
    }

    /// The endpoint that a key belongs to, usable or not; `None` if this balancer does not hash,
    /// has no endpoints, or nobody has the key's slot.
    pub fn locate(&self, key: &[u8]) -> Option<usize> {
        match &self.method {
            Method::RoundRobin(_) | Method::Random | Method::LeastRequest => None,
            Method::Ring { ring, .. } => ring.walk(self.key.hash(key) as u32).next(),
            Method::Modula(modula) => modula.locate(self.key.hash(key)),
            Method::Maglev { table, .. } => table.walk(spread(self.key.hash(key))).next(),
            Method::Slots(table) => table
                .get(usize::from(redis_slot(key)))
                .filter(|owner| **owner != slots::NOBODY)
                .map(|owner| usize::from(*owner)),
        }
    }

    /// Notes that a slot now lives at another endpoint, as a `MOVED` reply says; forks are not
    /// told. The endpoint may be one that is not in the list and that the caller has learned of.
    /// `false`, and nothing changes, if this balancer has no slots, or there is no such slot or
    /// number.
    pub fn move_slot(&mut self, slot: u16, endpoint: usize) -> bool {
        let Method::Slots(table) = &mut self.method else {
            return false;
        };
        if endpoint >= usize::from(slots::NOBODY) || slot >= slots::SLOTS {
            return false;
        }
        Arc::make_mut(table)[usize::from(slot)] = endpoint as u16;
        true
    }

    fn lighter_of_two(
        &mut self,
        load: &dyn Fn(usize) -> u32,
        usable: &dyn Fn(usize) -> bool,
    ) -> Option<usize> {
        let one = self.weights.draw(&mut self.rng, None, usable)?;
        let Some(two) = self.weights.draw(&mut self.rng, Some(one), usable) else {
            return Some(one);
        };
        // Load per weight, without the division. A tie goes to the first, drawn by weight.
        let (of_one, of_two) = (self.weights.of(one), self.weights.of(two));
        let two_is_lighter = u64::from(load(two)) * of_one < u64::from(load(one)) * of_two;
        Some(if two_is_lighter { two } else { one })
    }

    /// The first usable one of a walk. Long runs of unusable ones end in a scan that starts at a
    /// place of the key's own, so that an outage of a large cluster does not cost a walk through
    /// its whole table at each pick.
    fn first_usable(
        &self,
        hash: u64,
        walk: impl Iterator<Item = usize>,
        usable: &dyn Fn(usize) -> bool,
    ) -> Option<usize> {
        let n = self.weights.len();
        let mut before = None;
        for index in walk.take(n.saturating_mul(4)) {
            if before != Some(index) && usable(index) {
                return Some(index);
            }
            before = Some(index);
        }
        let start = spread(hash).checked_rem(n as u64)? as usize;
        (start..n).chain(0..start).find(|i| self.weights.of(*i) > 0 && usable(*i))
    }
}

fn told_apart(endpoints: &[Endpoint]) -> Result<(), BalanceError> {
    let mut seen = HashSet::with_capacity(endpoints.len());
    for (second, endpoint) in endpoints.iter().enumerate() {
        let identity = endpoint.identity();
        if !seen.insert(identity.clone()) {
            let first = endpoints.iter().position(|e| e.identity() == identity).unwrap_or(0);
            let identity = identity.into_owned();
            return Err(BalanceError::SameIdentity { first, second, identity });
        }
    }
    Ok(())
}
