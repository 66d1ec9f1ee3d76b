//! Choosing one of sixteen endpoints.

use std::hint::black_box;

use heptad_cluster::{Balance, Balancer, DEFAULT_TABLE_SIZE, Endpoint, Spec};

use crate::Case;

pub(crate) fn cases() -> Vec<Case> {
    let maglev = Balance::Maglev { table_size: DEFAULT_TABLE_SIZE, failover: false };
    [
        ("round_robin", Balance::RoundRobin),
        ("random", Balance::Random),
        ("least_request", Balance::LeastRequest),
        ("ring", Balance::Ring { failover: false }),
        ("maglev", maglev),
    ]
    .into_iter()
    .map(|(name, balance)| {
        let endpoints = (0..16).map(|n| Endpoint::new(format!("10.0.0.{n}:6379"))).collect();
        let spec = Spec::new(balance, endpoints);
        let mut balancer = Balancer::new(&spec, 1).unwrap_or_else(|e| panic!("{e}"));
        Case::new(format!("pick/{name}"), move || {
            let key = black_box(&b"key:000000000042"[..]);
            let picked = balancer.pick(Some(key), &|_| 1, &|_| true);
            assert!(black_box(picked).is_some());
        })
    })
    .collect()
}
