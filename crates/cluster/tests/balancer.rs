//! What balancers promise: proportions, little movement, never an endpoint that must not be used.

use std::cell::Cell;

use heptad_cluster::{
    Balance, BalanceError, Balancer, DEFAULT_TABLE_SIZE, Endpoint, HashFunction, KeyHash, Order,
    SLOTS, Spec, redis_slot,
};
use proptest::prelude::*;

const N: usize = 40_000;

fn endpoints(weights: &[u32]) -> Vec<Endpoint> {
    weights
        .iter()
        .enumerate()
        .map(|(i, w)| Endpoint::new(format!("10.0.{}.{}:6379", i / 250, i % 250)).weighing(*w))
        .collect()
}

fn balancer(balance: Balance, weights: &[u32]) -> Balancer {
    let key = KeyHash::new(HashFunction::Murmur);
    Balancer::new(&Spec::new(balance, endpoints(weights)).keyed(key), 42).unwrap()
}

fn ring(failover: bool) -> Balance {
    Balance::Ring { failover }
}

fn maglev(failover: bool) -> Balance {
    Balance::Maglev { table_size: DEFAULT_TABLE_SIZE, failover }
}

fn key(i: usize) -> Vec<u8> {
    format!("user:{i}").into_bytes()
}

/// Where keys go while `out` is not usable; without keys where `keyed` is false.
fn places(b: &mut Balancer, keyed: bool, out: Option<usize>) -> Vec<usize> {
    (0..N)
        .map(|i| {
            let key = key(i);
            b.pick(keyed.then_some(&key), &|_| 0, &|e| Some(e) != out).unwrap()
        })
        .collect()
}

#[track_caller]
fn in_proportion(places: &[usize], weights: &[u32], tolerance: f64) {
    let total: u32 = weights.iter().sum();
    for (i, w) in weights.iter().enumerate() {
        let got = places.iter().filter(|p| **p == i).count() as f64 / places.len() as f64;
        let expect = f64::from(*w) / f64::from(total);
        assert!((got - expect).abs() <= tolerance * expect, "{i}: {got:.4}, not {expect:.4}");
    }
}

#[test]
fn proportions_follow_weights() {
    for weights in [&[1; 10][..], &[1, 2, 3, 4], &[5, 0, 5, 10], &[3]] {
        in_proportion(
            &places(&mut balancer(Balance::RoundRobin, weights), false, None),
            weights,
            0.001,
        );
        in_proportion(&places(&mut balancer(Balance::Random, weights), false, None), weights, 0.06);
        in_proportion(
            &places(&mut balancer(Balance::LeastRequest, weights), false, None),
            weights,
            0.06,
        );
        in_proportion(&places(&mut balancer(maglev(false), weights), true, None), weights, 0.06);
        in_proportion(&places(&mut balancer(ring(false), weights), true, None), weights, 0.35);
        let modula = Balance::Modula { order: Order::Listed };
        in_proportion(&places(&mut balancer(modula, weights), true, None), weights, 0.06);
        // Without a key, hashing balancers draw.
        in_proportion(&places(&mut balancer(ring(false), weights), false, None), weights, 0.06);
    }
    in_proportion(&places(&mut balancer(Balance::Slots, &[1; 5]), true, None), &[1; 5], 0.06);
}

#[test]
fn a_bad_hash_function_does_not_make_maglev_uneven() {
    for function in [HashFunction::Fnv1_32, HashFunction::Crc16, HashFunction::Atol] {
        let spec = Spec::new(maglev(false), endpoints(&[1; 8])).keyed(KeyHash::new(function));
        let b = Balancer::new(&spec, 0).unwrap();
        let numbers = (0..N).map(|i| b.locate(i.to_string().as_bytes()).unwrap());
        in_proportion(&numbers.collect::<Vec<_>>(), &[1; 8], 0.1);
    }
}

#[test]
fn with_failover_only_the_keys_of_the_lost_endpoint_move_and_they_spread() {
    for balance in [ring(true), maglev(true)] {
        let mut b = balancer(balance, &[1; 10]);
        let before = places(&mut b, true, None);
        let after = places(&mut b, true, Some(3));
        let mut heirs = [0; 10];
        for (from, to) in before.iter().zip(&after) {
            assert_ne!(*to, 3);
            if *from == 3 {
                heirs[*to] += 1;
            } else {
                assert_eq!(from, to);
            }
        }
        let lost: usize = heirs.iter().sum();
        assert!(heirs.iter().enumerate().all(|(i, n)| i == 3 || *n > lost / 40), "{heirs:?}");
    }
}

#[test]
fn without_failover_keys_stay_on_an_unusable_endpoint() {
    let modula = Balance::Modula { order: Order::Identity };
    for balance in [ring(false), maglev(false), modula, Balance::Slots] {
        let mut b = balancer(balance, &[1; 4]);
        for i in 0..500 {
            let key = key(i);
            assert_eq!(b.pick(Some(&key), &|_| 0, &|_| false), b.locate(&key));
        }
        assert_eq!(b.pick(None, &|_| 0, &|_| false), None);
    }
}

#[test]
fn little_moves_when_an_endpoint_is_removed() {
    for (balance, most) in [(ring(false), 0.0), (maglev(false), 0.05)] {
        let all = places(&mut balancer(balance, &[1; 10]), true, None);
        // Nine endpoints of the same weight have 160 points each, as ten have.
        let fewer = places(&mut balancer(balance, &[1; 9]), true, None);
        let moved = all.iter().zip(&fewer).filter(|(a, b)| **a != 9 && a != b).count();
        assert!(moved as f64 <= most * N as f64, "{balance:?}: {moved}");
    }
}

#[test]
fn least_request_prefers_less_load_for_the_weight() {
    let mut b = balancer(Balance::LeastRequest, &[1, 1]);
    for _ in 0..1000 {
        assert_eq!(b.pick(None, &|i| [5, 4][i], &|_| true), Some(1));
    }
    let mut b = balancer(Balance::LeastRequest, &[1, 4]);
    for _ in 0..1000 {
        assert_eq!(b.pick(None, &|i| [2, 7][i], &|_| true), Some(1));
        assert_eq!(b.pick(None, &|i| [2, 9][i], &|_| true), Some(0));
        assert_eq!(b.pick(None, &|i| [2, 7][i], &|i| i == 0), Some(0));
    }
}

#[test]
fn least_request_keeps_loads_level() {
    // Every pick stays: loads grow as the balancer lets them.
    let weights = [1, 1, 1, 1, 4];
    let mut b = balancer(Balance::LeastRequest, &weights);
    let mut load = [0u32; 5];
    for _ in 0..8000 {
        let i = b.pick(None, &|i| load[i], &|_| true).unwrap();
        load[i] += 1;
    }
    for (l, w) in load.iter().zip(weights) {
        assert!(l.abs_diff(1000 * w) < 20 * w, "{load:?}");
    }
}

#[test]
fn least_request_asks_for_two_loads() {
    let asked = Cell::new(0);
    let load = |_| {
        asked.set(asked.get() + 1);
        0
    };
    balancer(Balance::LeastRequest, &[1; 100]).pick(None, &load, &|_| true);
    assert_eq!(asked.get(), 2);
}

#[test]
fn forks_agree_about_keys_but_not_about_chance() {
    let one = balancer(ring(true), &[1; 20]);
    let mut two = one.fork(43);
    let mut three = one.fork(44);
    assert!((0..500).all(|i| one.locate(&key(i)) == two.locate(&key(i))));
    assert_ne!(places(&mut two, false, None), places(&mut three, false, None));

    let even = balancer(Balance::RoundRobin, &[1; 3]);
    let firsts: Vec<_> = (0..3).map(|s| places(&mut even.fork(s), false, None)[0]).collect();
    assert_eq!(firsts, [0, 1, 2]);
}

#[test]
fn a_moved_slot_is_found_and_a_gap_is_nobodys() {
    let all =
        vec![Endpoint::new("a:1").holding(0, 8191), Endpoint::new("b:1").holding(8192, SLOTS - 2)];
    let mut b = Balancer::new(&Spec::new(Balance::Slots, all), 0).unwrap();
    let slot = redis_slot(b"foo");
    assert_eq!(b.locate(b"foo"), Some(1));
    let untold = b.fork(1);
    assert!(b.move_slot(slot, 0));
    assert_eq!((b.locate(b"foo"), untold.locate(b"foo")), (Some(0), Some(1)));
    assert_eq!(b.locate(b"{foo}x"), Some(0));
    assert!(!b.move_slot(SLOTS, 0));
    assert!(!b.move_slot(0, usize::from(u16::MAX)));
    assert!(b.move_slot(0, 2), "an endpoint that was learned of");
    assert!(!balancer(ring(false), &[1]).move_slot(0, 0));

    let orphan = (0..).map(key).find(|k| redis_slot(k) == SLOTS - 1).unwrap();
    assert_eq!(b.locate(&orphan), None);
    assert_eq!(b.pick(Some(&orphan), &|_| 0, &|_| true), None);
}

#[test]
fn predixy_counts_as_listed_and_reads_numbers() {
    // predixy: `Distribution modula`, `Hash atol`: the number modulo the number of groups.
    let all = ["b:1", "a:1", "c:1"].map(Endpoint::new).to_vec();
    let spec = Spec::new(Balance::Modula { order: Order::Listed }, all)
        .keyed(KeyHash::new(HashFunction::Atol).tagged(b'{', b'}'));
    let b = Balancer::new(&spec, 0).unwrap();
    for (key, place) in [("7", 1), ("x{8}", 2), ("9z", 0), ("z9", 0), ("", 0)] {
        assert_eq!(b.locate(key.as_bytes()), Some(place), "{key}");
    }
    // -1 is 2^64 - 1 there, because the divisor is unsigned.
    assert_eq!(b.locate(b"-1"), Some((u64::MAX % 3) as usize));
}

#[test]
fn specs_that_cannot_work_are_refused() {
    let refused = |balance, all: Vec<Endpoint>| Balancer::new(&Spec::new(balance, all), 0).err();
    assert_eq!(refused(Balance::Random, endpoints(&[0, 0])), Some(BalanceError::NoWeight));
    let table = |table_size| Balance::Maglev { table_size, failover: false };
    assert_eq!(refused(table(65_536), endpoints(&[1])), Some(BalanceError::TableSize(65_536)));
    assert_eq!(refused(table(2), endpoints(&[1; 3])), Some(BalanceError::TooMany(3, 2)));
    assert!(refused(Balance::Slots, endpoints(&vec![1; 16_385])).is_some());
    assert!(refused(Balance::Random, endpoints(&vec![1; 65_536])).is_some());
    let twins = vec![Endpoint::new("a:11211"), Endpoint::new("b:1"), Endpoint::new("a")];
    for balance in [ring(true), table(7), Balance::Modula { order: Order::Identity }] {
        let error = refused(balance, twins.clone()).unwrap();
        let identity = "a".to_owned();
        assert_eq!(error, BalanceError::SameIdentity { first: 0, second: 2, identity });
        assert_eq!(refused(balance, Vec::new()), None);
    }
    assert_eq!(refused(Balance::RoundRobin, twins), None);
}

fn any_balance() -> impl Strategy<Value = Balance> {
    prop_oneof![
        Just(Balance::RoundRobin),
        Just(Balance::Random),
        Just(Balance::LeastRequest),
        any::<bool>().prop_map(ring),
        any::<bool>().prop_map(|failover| Balance::Maglev { table_size: 251, failover }),
        Just(Balance::Modula { order: Order::Identity }),
        Just(Balance::Modula { order: Order::Listed }),
        Just(Balance::Slots),
    ]
}

fn any_weight() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 1..4u32, any::<u32>()]
}

proptest! {
    #[test]
    fn picks_are_in_range_and_usable(
        balance in any_balance(),
        nodes in prop::collection::vec((any_weight(), any::<bool>()), 0..20),
        function in prop::sample::select(HashFunction::ALL),
        tag in any::<Option<(u8, u8)>>(),
        seed in any::<u64>(),
        keys in prop::collection::vec(any::<Option<Vec<u8>>>(), 1..50),
    ) {
        let (weights, up): (Vec<u32>, Vec<bool>) = nodes.into_iter().unzip();
        let mut hash = KeyHash::new(function);
        hash.tag = tag;
        let built = Balancer::new(&Spec::new(balance, endpoints(&weights)).keyed(hash), seed);
        if !weights.is_empty() && weights.iter().all(|w| *w == 0) {
            prop_assert_eq!(built.err(), Some(BalanceError::NoWeight));
            return Ok(());
        }
        let mut b = built.unwrap();
        prop_assert_eq!(b.len(), weights.len());
        prop_assert_eq!(b.is_empty(), weights.is_empty());
        prop_assert_eq!(b.is_hashing(), balance.is_hashing());
        // Weight 0 still holds its slots; everywhere else it gets nothing.
        let some_usable = weights.iter().zip(&up).any(|(w, up)| *w > 0 && *up);
        let fails_over = matches!(
            balance,
            Balance::Ring { failover: true } | Balance::Maglev { failover: true, .. }
        );
        for key in &keys {
            let load = |i: usize| (seed as u32).wrapping_mul(i as u32);
            let picked = b.pick(key.as_deref(), &load, &|i| up[i]);
            let placed = key.as_deref().filter(|_| balance.is_hashing() && !fails_over);
            if let Some(key) = placed {
                prop_assert_eq!(picked, b.locate(key));
                prop_assert_eq!(picked.is_some(), !weights.is_empty());
                prop_assert!(picked.is_none_or(|i| i < weights.len()));
            } else {
                prop_assert_eq!(picked.is_some(), some_usable);
                if let Some(i) = picked {
                    prop_assert!(i < weights.len() && up[i] && weights[i] > 0);
                }
            }
        }
    }

    #[test]
    fn a_key_stays_while_its_endpoint_is_usable(
        failover in any::<bool>(),
        keys in prop::collection::vec(any::<Vec<u8>>(), 1..50),
        out in 0..6usize,
    ) {
        for balance in [ring(failover), Balance::Maglev { table_size: 251, failover }] {
            let mut b = balancer(balance, &[1, 2, 3, 4, 5, 6]);
            for key in &keys {
                let home = b.locate(key);
                let picked = b.pick(Some(key), &|_| 0, &|i| i != out);
                prop_assert_eq!(picked == home, home != Some(out) || !failover);
            }
        }
    }
}
