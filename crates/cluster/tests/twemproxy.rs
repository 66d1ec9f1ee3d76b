//! Keys must be found where other programs put them.
//!
//! `data/twemproxy.txt` is what was observed: keys were written through twemproxy 0.5.0 (built for
//! x86-64) to Redis servers on loopback, one pool per line, and looked for on each server. The
//! digits (to base 36) are the places of the servers that had them, in listed order. The line of
//! slots is what a Redis server in cluster mode said to `CLUSTER KEYSLOT`.

use std::collections::HashMap;

use heptad_cluster::{Balance, Balancer, Endpoint, HashFunction, KeyHash, Order, Spec, redis_slot};

const OBSERVED: &str = include_str!("data/twemproxy.txt");

struct Observed {
    servers: HashMap<&'static str, Vec<Endpoint>>,
    keys: Vec<Vec<u8>>,
    slots: Vec<u16>,
    pools: Vec<Pool>,
}

struct Pool {
    title: &'static str,
    key: KeyHash,
    balance: Balance,
    servers: &'static str,
    places: Vec<usize>,
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = if text == "-" { "" } else { text };
    (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..][..2], 16).unwrap()).collect()
}

/// `host:port:weight name`, or `/path:weight name`; the name may be left out.
fn server(line: &str) -> Endpoint {
    let (place, name) = line.split_once(' ').map_or((line, None), |(p, n)| (p, Some(n)));
    let (address, weight) = place.rsplit_once(':').unwrap();
    let unix = if address.starts_with('/') { "unix:" } else { "" };
    let endpoint = Endpoint::new(format!("{unix}{address}")).weighing(weight.parse().unwrap());
    match name {
        Some(name) => endpoint.named(name),
        None => endpoint,
    }
}

fn pool(rest: &'static str) -> Pool {
    let [function, distribution, tag, servers, places] = *rest.split(' ').collect::<Vec<_>>()
    else {
        panic!("{rest}")
    };
    let mut key = KeyHash::new(function.parse().unwrap());
    if let [begin, end] = *tag.as_bytes() {
        key = key.tagged(begin, end);
    }
    let balance = match distribution {
        "ketama" => Balance::Ring { failover: false },
        _ => Balance::Modula { order: Order::Identity },
    };
    let places = places.chars().map(|c| c.to_digit(36).unwrap() as usize).collect();
    Pool { title: rest, key, balance, servers, places }
}

fn observed(text: &'static str) -> Observed {
    let mut all = Observed {
        servers: HashMap::new(),
        keys: Vec::new(),
        slots: Vec::new(),
        pools: Vec::new(),
    };
    for line in text.lines() {
        let (what, rest) = line.split_once(' ').unwrap();
        match what {
            "servers" => {
                let (name, list) = rest.split_once(' ').unwrap();
                all.servers.insert(name, list.split('|').map(server).collect());
            }
            "keys" => all.keys = rest.split(' ').map(unhex).collect(),
            "slots" => all.slots = rest.split(' ').map(|s| s.parse().unwrap()).collect(),
            "pool" => all.pools.push(pool(rest)),
            _ => panic!("{line}"),
        }
    }
    all
}

#[test]
fn every_key_is_where_twemproxy_put_it() {
    let all = observed(OBSERVED);
    assert!(all.keys.len() > 40 && all.pools.len() > 24);
    for pool in &all.pools {
        let spec = Spec::new(pool.balance, all.servers[pool.servers].clone()).keyed(pool.key);
        let mut balancer = Balancer::new(&spec, 1).unwrap();
        assert_eq!(pool.places.len(), all.keys.len(), "{}", pool.title);
        for (key, place) in all.keys.iter().zip(&pool.places) {
            assert_eq!(balancer.locate(key), Some(*place), "{key:?} in {}", pool.title);
            // Health makes no difference for a store.
            assert_eq!(balancer.pick(Some(key), &|_| 0, &|_| false), Some(*place));
        }
    }
}

#[test]
fn every_function_and_both_distributions_were_observed() {
    let all = observed(OBSERVED);
    let theirs = ["redis_slot", "crc16_xmodem", "atol"];
    for function in HashFunction::ALL.iter().filter(|f| !theirs.contains(&f.as_str())) {
        for ring in [true, false] {
            assert!(
                all.pools.iter().any(|p| p.key.function == *function
                    && matches!(p.balance, Balance::Ring { .. }) == ring),
                "{function}"
            );
        }
    }
}

#[test]
fn order_of_the_list_does_not_move_keys() {
    let all = observed(OBSERVED);
    for pool in &all.pools {
        let mut servers = all.servers[pool.servers].clone();
        servers.reverse();
        let last = servers.len() - 1;
        let balancer = Balancer::new(&Spec::new(pool.balance, servers).keyed(pool.key), 1).unwrap();
        for (key, place) in all.keys.iter().zip(&pool.places) {
            assert_eq!(balancer.locate(key), Some(last - place), "{key:?} in {}", pool.title);
        }
    }
}

#[test]
fn slots_are_those_of_redis() {
    let all = observed(OBSERVED);
    assert_eq!(all.slots.len(), all.keys.len());
    for (key, slot) in all.keys.iter().zip(&all.slots) {
        assert_eq!(redis_slot(key), *slot, "{key:?}");
    }
}
