//! One server of a cluster, as the configuration or discovery names it.
//!
//! Knows nothing of its health, its links or how to resolve its address.

use std::borrow::Cow;

/// One server of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Endpoint {
    /// `ip:port`, `host:port` or `unix:/path`.
    pub address: String,
    /// A name that stays when the address changes; consistent hashing uses it instead of the
    /// address (the fourth word of a server line of twemproxy).
    pub name: Option<String>,
    /// Its share, relative to the other endpoints; with 0 it gets no new requests from balancers
    /// that honour weights.
    pub weight: u32,
    /// Redis slots that live here, as inclusive ranges; read by
    /// [`Balance::Slots`](crate::Balance::Slots) only.
    pub slots: Vec<(u16, u16)>,
}

impl Endpoint {
    /// An unnamed endpoint of weight 1.
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), name: None, weight: 1, slots: Vec::new() }
    }

    /// The same endpoint with a name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The same endpoint with a weight.
    #[must_use]
    pub fn weighing(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// The same endpoint with one more inclusive range of Redis slots.
    #[must_use]
    pub fn holding(mut self, first: u16, last: u16) -> Self {
        self.slots.push((first, last));
        self
    }

    /// What consistent hashing hashes: the name; without one the address, spelled as twemproxy
    /// spells it, so that a move from it keeps every key in place: the port is left out if it is
    /// memcached's 11211, and a Unix path is followed by a colon.
    pub fn identity(&self) -> Cow<'_, str> {
        if let Some(name) = &self.name {
            return Cow::Borrowed(name);
        }
        match self.address.strip_prefix("unix:") {
            Some(path) => Cow::Owned(format!("{path}:")),
            None => Cow::Borrowed(self.address.strip_suffix(":11211").unwrap_or(&self.address)),
        }
    }
}

/// The endpoints' places in the order in which twemproxy keeps its servers: by length of identity,
/// then by its bytes. What is built in this order does not depend on the order of a list.
pub(crate) fn by_identity(endpoints: &[Endpoint]) -> Vec<(usize, Cow<'_, str>)> {
    let mut order: Vec<_> = endpoints.iter().map(Endpoint::identity).enumerate().collect();
    order.sort_by(|(_, a), (_, b)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_is_the_name_or_the_address_in_twemproxys_spelling() {
        assert_eq!(Endpoint::new("10.0.0.1:6379").identity(), "10.0.0.1:6379");
        assert_eq!(Endpoint::new("10.0.0.1:11211").identity(), "10.0.0.1");
        assert_eq!(Endpoint::new("cache:11211").named("a").identity(), "a");
        assert_eq!(Endpoint::new("unix:/run/r.sock").identity(), "/run/r.sock:");
    }

    #[test]
    fn order_is_by_length_then_bytes() {
        let all = ["b:10", "a:9", "a:10"].map(Endpoint::new);
        let order: Vec<_> = by_identity(&all).into_iter().map(|(i, _)| i).collect();
        assert_eq!(order, [1, 2, 0]);
    }
}
