//! Whether the router did what its configuration says, judged from what the clients and the servers
//! counted. Pure, and blind to the router's own metrics: a router that miscounts must not acquit
//! itself.

use std::collections::{BTreeMap, HashMap};

use super::{
    commands::HITS,
    reviews::Served,
    stores::{Content, Item},
    traffic::{Calls, Commands},
};

/// The share of version 1 for everybody but jason.
pub(crate) const SHARE: f64 = 0.75;
/// How far, in standard deviations, the share seen may be off: a sound router is wrongly found
/// guilty less than once in a million runs.
const SIGMAS: f64 = 5.0;
/// Fewer answers than this prove nothing.
const ENOUGH: u64 = 500;

/// What everybody counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) v1: Served,
    pub(crate) v2: Served,
    pub(crate) calls: Calls,
    pub(crate) stores: Vec<Content>,
    pub(crate) commands: Commands,
}

/// One rule, and whether it held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) expected: String,
    pub(crate) seen: String,
    pub(crate) held: bool,
}

/// Judges.
pub(crate) fn judge(evidence: &Evidence) -> Vec<Rule> {
    let Evidence { v1, v2, calls, stores, commands } = evidence;
    vec![
        jason(calls),
        split(calls),
        same_counts(v1, v2, calls),
        errors(v1, v2, calls),
        streams(calls),
        unrouted(v1, v2, calls),
        answers(commands),
        shards(stores, commands),
        contents(stores, commands),
        refusals(stores, commands),
        odd(calls, commands),
    ]
}

fn jason(calls: &Calls) -> Rule {
    let (all, v2) = (sum(&calls.jason), at(&calls.jason, "v2"));
    Rule {
        name: "jason sees reviews v2 only",
        expected: format!("v2 {}", of(all, all)),
        seen: format!("v2 {}", of(v2, all)),
        held: all >= ENOUGH && v2 == all,
    }
}

fn split(calls: &Calls) -> Rule {
    let (all, v1) = (sum(&calls.others), at(&calls.others, "v1"));
    let band = SIGMAS * (SHARE * (1.0 - SHARE) / float(all.max(1))).sqrt();
    let share = float(v1) / float(all.max(1));
    let known = v1 + at(&calls.others, "v2");
    Rule {
        name: "others are split 75/25 between v1 and v2",
        expected: format!("v1 {:.2} % ± {:.2} of {}", SHARE * 100.0, band * 100.0, digits(all)),
        seen: format!("v1 {:.2} %", share * 100.0),
        held: all >= ENOUGH && known == all && (share - SHARE).abs() <= band,
    }
}

fn same_counts(v1: &Served, v2: &Served, calls: &Calls) -> Rule {
    let show = |v1, v2| format!("v1 {}, v2 {}", digits(v1), digits(v2));
    let clients = |version| at(&calls.jason, version) + at(&calls.others, version);
    Rule {
        name: "servers served what clients got, user by user",
        expected: show(clients("v1"), clients("v2")),
        seen: show(v1.jason + v1.others, v2.jason + v2.others),
        held: [("v1", v1), ("v2", v2)].iter().all(|(version, served)| {
            let others = at(&calls.others, version);
            others > 0 && served.others == others && served.jason == at(&calls.jason, version)
        }),
    }
}

fn errors(v1: &Served, v2: &Served, calls: &Calls) -> Rule {
    let mut sent = BTreeMap::<String, u64>::new();
    for (code, count) in v1.errors.iter().chain(&v2.errors) {
        *sent.entry((*code).to_owned()).or_default() += count;
    }
    let provoked = ["APP_ERROR", "UNKNOWN_METHOD"];
    Rule {
        name: "the services' own errors come through",
        expected: list(&sent),
        seen: list(&calls.errors),
        held: sent == calls.errors && provoked.iter().all(|code| at(&sent, code) > 0),
    }
}

fn streams(calls: &Calls) -> Rule {
    Rule {
        name: "streams are whole and come from one server",
        expected: "more than 0".to_owned(),
        seen: digits(calls.streams),
        held: calls.streams > 0,
    }
}

fn unrouted(v1: &Served, v2: &Served, calls: &Calls) -> Rule {
    let strangers = v1.strangers + v2.strangers;
    Rule {
        name: "a service without a route reaches no server",
        expected: format!("0 of {}", digits(calls.unrouted)),
        seen: format!("{} of {}", digits(strangers), digits(calls.unrouted)),
        held: strangers == 0 && calls.unrouted > 0,
    }
}

fn answers(commands: &Commands) -> Rule {
    let right = sum(&commands.right);
    let all = right + commands.odd.count;
    Rule {
        name: "every redis answer is what the client knows it to be",
        expected: of(all, all),
        seen: of(right, all),
        held: all >= ENOUGH && right == all,
    }
}

fn shards(stores: &[Content], commands: &Commands) -> Rule {
    let counts: Vec<usize> = stores.iter().map(|store| store.keys.len()).collect();
    let mut distinct: Vec<&String> = stores.iter().flat_map(|store| store.keys.keys()).collect();
    let all = distinct.len();
    distinct.sort();
    distinct.dedup();
    let expected = commands.expected.len() + usize::from(commands.hits > 0);
    let shown: Vec<String> = counts.iter().map(usize::to_string).collect();
    Rule {
        name: "every key lives on one store, every store has keys",
        expected: format!("{expected} keys"),
        seen: format!("{} = {all} keys", shown.join(" + ")),
        held: expected > 0
            && counts.iter().all(|n| *n > 0)
            && distinct.len() == all
            && all == expected,
    }
}

fn contents(stores: &[Content], commands: &Commands) -> Rule {
    let mut expected: HashMap<&str, Item> =
        commands.expected.iter().map(|(key, item)| (&**key, item.clone())).collect();
    if commands.hits > 0 {
        expected.insert(HITS, Item::Text(commands.hits.to_string()));
    }
    let right = stores
        .iter()
        .flat_map(|store| &store.keys)
        .filter(|(key, item)| expected.get(&***key) == Some(item))
        .count();
    let hits = stores.iter().find_map(|store| store.keys.get(HITS));
    let hits = match hits {
        Some(Item::Text(text)) => text.as_str(),
        _ => "nothing",
    };
    Rule {
        name: "the stores hold what was written last",
        expected: format!("{} values, {} hits", expected.len(), commands.hits),
        seen: format!("{right} values, {hits} hits"),
        held: !expected.is_empty() && right == expected.len(),
    }
}

fn refusals(stores: &[Content], commands: &Commands) -> Rule {
    let served: u64 = stores.iter().map(|store| at(&store.served, "FLUSHALL")).sum();
    let refused = commands.right.get("FLUSHALL").copied().unwrap_or(0);
    let wrongtype: u64 = stores.iter().map(|store| at(&store.errors, "WRONGTYPE")).sum();
    let got = at(&commands.errors, "WRONGTYPE");
    Rule {
        name: "FLUSHALL is refused, WRONGTYPE comes through",
        expected: format!("0 of {} served, WRONGTYPE {}", digits(refused), digits(wrongtype)),
        seen: format!("{served} of {} served, WRONGTYPE {}", digits(refused), digits(got)),
        held: served == 0 && refused > 0 && got == wrongtype && got > 0,
    }
}

fn odd(calls: &Calls, commands: &Commands) -> Rule {
    let first = calls.odd.first.as_ref().or(commands.odd.first.as_ref());
    let count = calls.odd.count + commands.odd.count;
    Rule {
        name: "nothing else happened",
        expected: "0 surprises".to_owned(),
        seen: match first {
            Some(first) => format!("{}, first: {first}", digits(count)),
            None => "0 surprises".to_owned(),
        },
        held: count == 0,
    }
}

fn at<K: Ord + std::borrow::Borrow<str>>(counts: &BTreeMap<K, u64>, key: &str) -> u64 {
    counts.get(key).copied().unwrap_or(0)
}

fn sum<K>(counts: &BTreeMap<K, u64>) -> u64 {
    counts.values().sum()
}

fn list(counts: &BTreeMap<String, u64>) -> String {
    let shown: Vec<String> = counts.iter().map(|(k, n)| format!("{k} {}", digits(*n))).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

fn of(part: u64, all: u64) -> String {
    format!("{:.2} % of {}", 100.0 * float(part) / float(all.max(1)), digits(all))
}

/// A count with its thousands set apart.
pub(crate) fn digits(n: u64) -> String {
    let plain = n.to_string();
    let mut out = String::new();
    for (i, c) in plain.chars().enumerate() {
        if i > 0 && (plain.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(c);
    }
    out
}

#[allow(clippy::cast_precision_loss, reason = "counts of a demo are far below 2^52")]
fn float(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run without a fault.
    fn sound() -> Evidence {
        let mut e = Evidence::default();
        e.calls.jason.insert("v2".to_owned(), 1000);
        e.calls.others.insert("v1".to_owned(), 3010);
        e.calls.others.insert("v2".to_owned(), 990);
        e.calls.errors = [("APP_ERROR".to_owned(), 5), ("UNKNOWN_METHOD".to_owned(), 2)].into();
        e.calls.streams = 7;
        e.calls.unrouted = 3;
        e.v1 = Served { others: 3010, errors: [("APP_ERROR", 5)].into(), ..Served::default() };
        e.v2 = Served {
            jason: 1000,
            others: 990,
            errors: [("UNKNOWN_METHOD", 2)].into(),
            ..Served::default()
        };
        let text = |value: &str| Item::Text(value.to_owned());
        for (key, value) in [("a", "1"), ("b", "2"), (HITS, "9")] {
            let mut store = Content::default();
            store.keys.insert(key.to_owned(), text(value));
            store.errors.insert("WRONGTYPE".to_owned(), 1);
            e.stores.push(store);
            if key != HITS {
                e.commands.expected.insert(key.to_owned(), text(value));
            }
        }
        e.commands.hits = 9;
        e.commands.right = [("GET", 1000), ("FLUSHALL", 4)].into();
        e.commands.errors = [("WRONGTYPE".to_owned(), 3), ("NOPERM".to_owned(), 4)].into();
        e
    }

    fn broken(change: impl FnOnce(&mut Evidence)) -> Vec<&'static str> {
        let mut evidence = sound();
        change(&mut evidence);
        judge(&evidence).iter().filter(|rule| !rule.held).map(|rule| rule.name).collect()
    }

    #[test]
    fn a_sound_run_breaks_no_rule() {
        assert_eq!(broken(|_| ()), [""; 0]);
    }

    #[test]
    fn each_fault_breaks_its_rule() {
        let both = |a, b| vec![a, b];
        let (jason, split, counts) = (
            "jason sees reviews v2 only",
            "others are split 75/25 between v1 and v2",
            "servers served what clients got, user by user",
        );
        assert_eq!(broken(|e| _ = e.calls.jason.insert("v1".to_owned(), 1)), both(jason, counts));
        assert_eq!(
            broken(|e| {
                e.calls.others = [("v1".to_owned(), 2000), ("v2".to_owned(), 2000)].into();
                e.v1.others = 2000;
                e.v2.others = 2000;
            }),
            [split]
        );
        assert_eq!(broken(|e| e.v1.others += 1), [counts]);
        assert_eq!(
            broken(|e| _ = e.calls.errors.remove("APP_ERROR")),
            ["the services' own errors come through"]
        );
        assert_eq!(broken(|e| e.v2.strangers = 1), ["a service without a route reaches no server"]);
        let (shards, contents) = (
            "every key lives on one store, every store has keys",
            "the stores hold what was written last",
        );
        assert_eq!(
            broken(|e| {
                let twice = e.stores[0].keys.clone();
                e.stores[1].keys.extend(twice);
            }),
            both(shards, contents)
        );
        assert_eq!(
            broken(|e| _ = e.stores[0].keys.insert("a".to_owned(), Item::Text("0".to_owned()))),
            [contents]
        );
        assert_eq!(
            broken(|e| _ = e.stores[0].served.insert("FLUSHALL".to_owned(), 1)),
            ["FLUSHALL is refused, WRONGTYPE comes through"]
        );
        assert_eq!(broken(|e| e.calls.odd.note(|| "x".to_owned())), ["nothing else happened"]);
    }

    #[test]
    fn too_few_answers_prove_nothing() {
        let rules = judge(&Evidence::default());
        let held: Vec<_> = rules.iter().filter(|rule| rule.held).map(|rule| rule.name).collect();
        assert_eq!(held, ["nothing else happened"]);
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(["0", "999", "1 000", "1 234 567"], [0, 999, 1000, 1_234_567].map(digits));
    }
}
