//! All of many networks that an address is in: a map for each prefix length in use.

use std::{collections::HashMap, net::IpAddr};

use foldhash::fast::FixedState;
use ipnet::IpNet;

use crate::index::{Bucket, SEED};

/// See the module.
#[derive(Debug)]
pub(crate) struct Nets {
    /// The lengths in use; not more than 33 and 129.
    lens: Box<[Len]>,
    buckets: HashMap<(Len, u128), Bucket, FixedState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Len {
    v6: bool,
    /// Bits of an address that do not matter.
    host: u8,
}

impl Len {
    fn network(self, bits: u128) -> u128 {
        let shift = u32::from(self.host);
        bits.checked_shr(shift).unwrap_or(0)
    }
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

impl Nets {
    /// Networks must be different from each other.
    pub(crate) fn new(nets: Vec<(IpNet, Bucket)>) -> Self {
        let mut buckets = HashMap::with_hasher(FixedState::with_seed(SEED));
        for (net, bucket) in nets {
            let len =
                Len { v6: net.addr().is_ipv6(), host: net.max_prefix_len() - net.prefix_len() };
            buckets.insert((len, len.network(bits(net.addr()))), bucket);
        }
        let mut lens: Vec<Len> = buckets.keys().map(|(len, _)| *len).collect();
        lens.sort_unstable();
        lens.dedup();
        Self { lens: lens.into(), buckets }
    }

    /// The buckets of the networks that the address is in.
    pub(crate) fn of(&self, ip: IpAddr) -> impl Iterator<Item = &Bucket> {
        let (v6, bits) = (ip.is_ipv6(), bits(ip));
        let lens = self.lens.iter().filter(move |len| len.v6 == v6);
        lens.filter_map(move |len| self.buckets.get(&(*len, len.network(bits))))
    }
}
