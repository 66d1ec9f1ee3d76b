//! Hash modulo the sum of weights.
//!
//! Knows identities and weights; not who is usable.

use crate::{Endpoint, draw::Weights, endpoint::by_identity};

/// In which order [`Balance::Modula`](crate::Balance::Modula) counts the endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Order {
    /// As twemproxy: by length of identity, then by its bytes. The order of the list does not
    /// matter.
    #[default]
    Identity,
    /// As listed, which is what predixy does.
    Listed,
}

/// The endpoints in order, each as often as its weight says.
#[derive(Debug)]
pub(crate) struct Modula {
    /// Place in the order to place in the list.
    listed: Box<[u16]>,
    weights: Weights,
}

impl Modula {
    /// There must be at most 65536 endpoints.
    pub(crate) fn new(endpoints: &[Endpoint], order: Order) -> Self {
        let listed: Box<[u16]> = match order {
            Order::Identity => by_identity(endpoints).into_iter().map(|(i, _)| i as u16).collect(),
            Order::Listed => (0..endpoints.len()).map(|i| i as u16).collect(),
        };
        let ordered = listed.iter().map(|i| &endpoints[usize::from(*i)]);
        Self { weights: Weights::of_each(ordered.map(|e| e.weight)), listed }
    }

    /// Whose number it is; `None` only if there are no endpoints.
    pub(crate) fn locate(&self, hash: u64) -> Option<usize> {
        let point = hash.checked_rem(self.weights.total())?;
        self.listed.get(self.weights.at(point)).map(|i| usize::from(*i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_around_in_order_with_weights() {
        let all = [Endpoint::new("b:1").weighing(2), Endpoint::new("aa:1"), Endpoint::new("a:1")];
        let by_name = Modula::new(&all, Order::Identity);
        let listed = Modula::new(&all, Order::Listed);
        let around = |m: &Modula| (0..8).filter_map(|h| m.locate(h)).collect::<Vec<_>>();
        assert_eq!(around(&by_name), [2, 0, 0, 1, 2, 0, 0, 1]);
        assert_eq!(around(&listed), [0, 0, 1, 2, 0, 0, 1, 2]);
        assert_eq!(Modula::new(&[], Order::Listed).locate(3), None);
    }
}
