//! The 16384 slots of Redis Cluster and who has them.
//!
//! Knows slot ranges; not who is usable, nor how a topology is learnt.

use crate::{BalanceError, Endpoint, HashFunction, KeyHash};

/// How many slots Redis Cluster has.
pub const SLOTS: u16 = 16_384;

/// No endpoint has the slot.
pub(crate) const NOBODY: u16 = u16::MAX;

/// The slot of a key, its hash tag considered.
pub fn redis_slot(key: &[u8]) -> u16 {
    KeyHash::new(HashFunction::RedisSlot).hash(key) as u16
}

/// Which endpoint has each slot. If no endpoint names any, they are shared out evenly in listed
/// order, as `redis-cli --cluster create` does. There must be at most 65535 endpoints.
pub(crate) fn assign(endpoints: &[Endpoint]) -> Result<Vec<u16>, BalanceError> {
    let mut table = vec![NOBODY; usize::from(SLOTS)];
    if endpoints.iter().all(|e| e.slots.is_empty()) {
        let n = endpoints.len();
        // Rounded to the nearest, half away from zero.
        let start = |i: usize| (i * usize::from(SLOTS) * 2 + n) / (2 * n);
        for i in 0..n {
            table[start(i)..start(i + 1)].fill(i as u16);
        }
        return Ok(table);
    }
    for (i, endpoint) in endpoints.iter().enumerate() {
        for &(first, last) in &endpoint.slots {
            if first > last || last >= SLOTS {
                return Err(BalanceError::SlotRange { endpoint: i, first, last });
            }
            for slot in first..=last {
                let owner = &mut table[usize::from(slot)];
                if *owner != NOBODY {
                    return Err(BalanceError::SlotTwice {
                        slot,
                        first: usize::from(*owner),
                        second: i,
                    });
                }
                *owner = i as u16;
            }
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_that_redis_documents() {
        assert_eq!(redis_slot(b"123456789"), 12_739);
        assert_eq!(redis_slot(b"foo"), 12_182);
        assert_eq!(redis_slot(b"{foo}bar"), 12_182);
        assert_eq!(redis_slot(b""), 0);
    }

    #[test]
    fn without_ranges_slots_are_shared_evenly() {
        let ranges = |n: usize| {
            let all: Vec<_> = (0..n).map(|i| Endpoint::new(format!("h:{i}"))).collect();
            let table = assign(&all).unwrap();
            (0..n as u16)
                .map(|i| {
                    let first = table.iter().position(|o| *o == i).unwrap();
                    (first, table.iter().rposition(|o| *o == i).unwrap())
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(ranges(3), [(0, 5460), (5461, 10_922), (10_923, 16_383)]);
        assert_eq!(ranges(1), [(0, 16_383)]);
        assert!(assign(&[]).unwrap().iter().all(|o| *o == NOBODY));
    }

    #[test]
    fn ranges_may_leave_gaps_but_not_overlap() {
        let a = Endpoint::new("a:1").holding(0, 99).holding(200, 200);
        let b = Endpoint::new("b:1").holding(100, 199);
        let table = assign(&[a.clone(), b]).unwrap();
        assert_eq!((table[99], table[100], table[200], table[201]), (0, 1, 0, NOBODY));
        let twice = Endpoint::new("b:1").holding(200, 300);
        assert_eq!(
            assign(&[a, twice]),
            Err(BalanceError::SlotTwice { slot: 200, first: 0, second: 1 })
        );
        for (first, last) in [(5, 4), (0, SLOTS)] {
            let bad = Endpoint::new("a:1").holding(first, last);
            assert_eq!(assign(&[bad]), Err(BalanceError::SlotRange { endpoint: 0, first, last }));
        }
    }
}
