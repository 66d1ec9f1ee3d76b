//! Rules about the stores: keys have one place, and commands are answered as the clients know they
//! must be.

use std::collections::HashMap;

use super::{ENOUGH, Rule, at, digits, of, sum};
use crate::demo::{
    commands::{HITS, HOT},
    stores::{Content, Item},
    traffic::Commands,
};

pub(super) fn answers(commands: &Commands) -> Rule {
    let right = sum(&commands.right);
    let all = right + commands.odd.count + commands.policed.wronged;
    Rule {
        name: "every redis answer was the due one",
        expected: of(all, all),
        seen: of(right, all),
        held: all >= ENOUGH && right == all,
    }
}

pub(super) fn shards(stores: &[Content], commands: &Commands) -> Rule {
    let counts: Vec<usize> = stores.iter().map(|store| store.keys.len()).collect();
    let mut distinct: Vec<&String> = stores.iter().flat_map(|store| store.keys.keys()).collect();
    let all = distinct.len();
    distinct.sort();
    distinct.dedup();
    let expected = expected(commands).len();
    let shown: Vec<String> = counts.iter().map(usize::to_string).collect();
    Rule {
        name: "every key lives on one store",
        expected: format!("{expected} keys"),
        seen: shown.join(" + "),
        held: expected > 0
            && counts.iter().all(|n| *n > 0)
            && distinct.len() == all
            && all == expected,
    }
}

pub(super) fn contents(stores: &[Content], commands: &Commands) -> Rule {
    let expected = expected(commands);
    let right = stores
        .iter()
        .flat_map(|store| &store.keys)
        .filter(|(key, item)| expected.get(&***key) == Some(item))
        .count();
    let hits = stores.iter().find_map(|store| store.keys.get(HITS));
    let hits = match hits {
        Some(Item::Text(text)) => text.parse().map_or_else(|_| text.clone(), digits),
        _ => "no".to_owned(),
    };
    Rule {
        name: "stores hold what was written last",
        expected: format!("{} + {} hits", expected.len(), digits(commands.hits)),
        seen: format!("{right} + {hits} hits"),
        held: !expected.is_empty() && right == expected.len(),
    }
}

/// What must be in all stores together.
fn expected(commands: &Commands) -> HashMap<&str, Item> {
    let mut all: HashMap<&str, Item> =
        commands.expected.iter().map(|(key, item)| (&**key, item.clone())).collect();
    for (key, count) in [(HITS, commands.hits), (HOT, commands.policed.passed)] {
        if count > 0 {
            all.insert(key, Item::Text(count.to_string()));
        }
    }
    all
}

/// How often FLUSHALL reached a store.
pub(super) fn flushed(stores: &[Content]) -> u64 {
    stores.iter().map(|store| at(&store.served, "FLUSHALL")).sum()
}

/// How often the key with the limit was incremented.
pub(super) fn hot(stores: &[Content]) -> u64 {
    let items = stores.iter().filter_map(|store| store.keys.get(HOT));
    let counts = items.map(|item| match item {
        Item::Text(text) => text.parse().unwrap_or(0),
        Item::List(_) => 0,
    });
    counts.sum()
}

pub(super) fn wrong_types(stores: &[Content], commands: &Commands) -> Rule {
    let sent: u64 = stores.iter().map(|store| at(&store.errors, "WRONGTYPE")).sum();
    let got = at(&commands.errors, "WRONGTYPE");
    Rule {
        name: "the stores' WRONGTYPE arrives",
        expected: digits(sent),
        seen: digits(got),
        held: got == sent && got > 0,
    }
}
