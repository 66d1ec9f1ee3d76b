//! Whether the router did what its configuration says, judged from what the clients and the servers
//! counted. Pure, and blind to the router's own metrics: a router that miscounts must not acquit
//! itself.

mod policies;
mod stores;
mod versions;

use std::{collections::BTreeMap, time::Duration};

use policies::{denied, limited, others};
use stores::{answers, contents, flushed, hot, shards, wrong_types};
use versions::{errors, heartbeats, oneways, only, same_counts, split, streams, unrouted};

use super::{
    details::{NO_SUCH_BOOK, SERVICE_ERROR},
    service::Served,
    stores::Content,
    traffic::{Calls, Commands},
};

/// Fewer answers than this prove nothing.
const ENOUGH: u64 = 100;

/// What everybody counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) reviews: Versions,
    pub(crate) stores: Vec<Content>,
    pub(crate) commands: Commands,
    pub(crate) ratings: Versions,
    pub(crate) details: Versions,
    /// How long the clients were at it.
    pub(crate) lasted: Duration,
}

/// What the servers and the clients of a service with versions counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versions {
    /// Versions 1 and 2.
    pub(crate) served: [Served; 2],
    pub(crate) calls: Calls,
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
    let Evidence { reviews, stores, commands, ratings, details, lasted } = evidence;
    let erased = |name, Versions { served, calls }: &Versions| {
        denied(name, &calls.policed, served.iter().map(|served| served.private).sum())
    };
    let greedy = |name, Versions { served, calls }: &Versions| {
        limited(name, &calls.policed, served.iter().map(|served| served.greedy).sum(), *lasted)
    };
    let policed = [&reviews.calls, &ratings.calls, &details.calls].map(|calls| calls.policed);
    let [first, second, third] = policed;
    let thrown = "NotRated, UNKNOWN_METHOD arrive";
    let failed = "NoSuchBook, SERVICE_ERROR arrive";
    vec![
        only("jason sees reviews v2 only", &reviews.calls.chosen, "v2"),
        split(&reviews.calls),
        same_counts("reviews served what clients got", reviews),
        errors("APP_ERROR, UNKNOWN_METHOD arrive", ["APP_ERROR", "UNKNOWN_METHOD"], reviews),
        streams(&reviews.calls),
        unrouted("unknown services reach no server", reviews),
        erased("Erase of reviews is denied", reviews),
        greedy("greedy on reviews is limited", reviews),
        answers(commands),
        shards(stores, commands),
        contents(stores, commands),
        wrong_types(stores, commands),
        denied("FLUSHALL is denied", &commands.policed, flushed(stores)),
        limited("greedy keys are limited", &commands.policed, hot(stores), *lasted),
        only("jason sees ratings v2 only", &ratings.calls.chosen, "v2"),
        only("others see ratings v1 only", &ratings.calls.others, "v1"),
        same_counts("ratings served what clients got", ratings),
        errors(thrown, ["NotRated", "UNKNOWN_METHOD"], ratings),
        erased("erase of ratings is denied", ratings),
        greedy("greedy on ratings is limited", ratings),
        only("canaries see details v2 only", &details.calls.chosen, "v2"),
        only("others see details v1 only", &details.calls.others, "v1"),
        same_counts("details served what clients got", details),
        errors(failed, [NO_SUCH_BOOK, SERVICE_ERROR.1], details),
        oneways(details),
        heartbeats(&details.calls),
        unrouted("unknown interfaces reach no server", details),
        erased("erase of details is denied", details),
        greedy("greedy on details is limited", details),
        others(&[first, commands.policed, second, third]),
        odd(evidence),
    ]
}

fn odd(Evidence { reviews, commands, ratings, details, .. }: &Evidence) -> Rule {
    let all = [&reviews.calls.odd, &commands.odd, &ratings.calls.odd, &details.calls.odd];
    let count = all.iter().map(|odd| odd.count).sum();
    Rule {
        name: "nothing else happened",
        expected: "0 surprises".to_owned(),
        seen: match all.iter().find_map(|odd| odd.first.as_ref()) {
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

fn of(part: u64, all: u64) -> String {
    format!("{} of {}", digits(part), digits(all))
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
    use crate::demo::{
        commands::{HITS, HOT},
        details::{NO_SUCH_BOOK, SERVICE_ERROR},
        policed::Policed,
        stores::Item,
    };

    /// What each version served to the chosen and to others, and an error each.
    fn versions(to: &mut Versions, counts: [[u64; 2]; 2], codes: [&'static str; 2]) {
        for (n, (name, [chosen, others])) in ["v1", "v2"].into_iter().zip(counts).enumerate() {
            let errors = [(codes[n], 5)].into();
            to.served[n] = Served { chosen, others, errors, ..Served::default() };
            to.calls.errors.insert(codes[n].to_owned(), 5);
            for (by, count) in [(&mut to.calls.chosen, chosen), (&mut to.calls.others, others)] {
                if count > 0 {
                    by.insert(name.to_owned(), count);
                }
            }
        }
    }

    /// A run without a fault.
    fn sound() -> Evidence {
        let mut e = Evidence { lasted: Duration::from_secs(2), ..Evidence::default() };
        versions(&mut e.reviews, [[0, 3010], [1000, 990]], ["APP_ERROR", "UNKNOWN_METHOD"]);
        e.reviews.calls.streams = 7;
        e.reviews.calls.unrouted = 3;
        versions(&mut e.ratings, [[0, 1000], [1000, 0]], ["NotRated", "UNKNOWN_METHOD"]);
        versions(&mut e.details, [[0, 1000], [1000, 0]], [NO_SUCH_BOOK, SERVICE_ERROR.1]);
        e.details.calls.unrouted = 3;
        e.details.calls.oneways = [("v1".to_owned(), 6), ("v2".to_owned(), 2)].into();
        e.details.served[0].oneways = 6;
        e.details.served[1].oneways = 2;
        e.details.calls.pings = 5;
        e.details.calls.pongs = 5;
        let policed =
            Policed { private: 4, denied: 4, passed: 30, limited: 70, others: 900, wronged: 0 };
        for versions in [&mut e.reviews, &mut e.ratings, &mut e.details] {
            versions.calls.policed = policed;
            versions.served[0].greedy = 20;
            versions.served[1].greedy = 10;
        }
        e.commands.policed = policed;
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
        e.stores[2].keys.insert(HOT.to_owned(), text("30"));
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
            "others are split 75/25 (v1/v2)",
            "reviews served what clients got",
        );
        assert_eq!(
            broken(|e| _ = e.reviews.calls.chosen.insert("v1".to_owned(), 1)),
            both(jason, counts)
        );
        assert_eq!(
            broken(|e| {
                e.reviews.calls.others = [("v1".to_owned(), 2000), ("v2".to_owned(), 2000)].into();
                e.reviews.served[0].others = 2000;
                e.reviews.served[1].others = 2000;
            }),
            [split]
        );
        assert_eq!(broken(|e| e.reviews.served[0].others += 1), [counts]);
        assert_eq!(
            broken(|e| _ = e.reviews.calls.errors.remove("APP_ERROR")),
            ["APP_ERROR, UNKNOWN_METHOD arrive"]
        );
        assert_eq!(
            broken(|e| e.reviews.served[1].strangers = 1),
            ["unknown services reach no server"]
        );
        let (shards, contents) =
            ("every key lives on one store", "stores hold what was written last");
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
            ["FLUSHALL is denied"]
        );
        assert_eq!(
            broken(|e| _ = e.commands.errors.remove("WRONGTYPE")),
            ["the stores' WRONGTYPE arrives"]
        );
        assert_eq!(
            broken(|e| e.reviews.calls.odd.note(|| "x".to_owned())),
            ["nothing else happened"]
        );
    }

    #[test]
    fn each_fault_of_ratings_and_details_breaks_its_rule() {
        let swapped = |calls: &mut Calls| {
            std::mem::swap(&mut calls.chosen, &mut calls.others);
        };
        assert_eq!(
            broken(|e| {
                swapped(&mut e.ratings.calls);
                for served in &mut e.ratings.served {
                    std::mem::swap(&mut served.chosen, &mut served.others);
                }
            }),
            ["jason sees ratings v2 only", "others see ratings v1 only"]
        );
        let counts = "ratings served what clients got";
        assert_eq!(broken(|e| e.ratings.served[1].chosen -= 1), [counts]);
        let errors = "NotRated, UNKNOWN_METHOD arrive";
        assert_eq!(broken(|e| _ = e.ratings.calls.errors.remove("NotRated")), [errors]);
        assert_eq!(
            broken(|e| swapped(&mut e.details.calls)),
            [
                "canaries see details v2 only",
                "others see details v1 only",
                "details served what clients got"
            ]
        );
        let errors = "NoSuchBook, SERVICE_ERROR arrive";
        assert_eq!(broken(|e| _ = e.details.calls.errors.remove(NO_SUCH_BOOK)), [errors]);
        let oneways = "oneways arrive once, at v1 and v2";
        assert_eq!(broken(|e| e.details.served[0].oneways += 1), [oneways]);
        assert_eq!(broken(|e| e.details.calls.pongs -= 1), ["heartbeats are answered"]);
        let unrouted = "unknown interfaces reach no server";
        assert_eq!(broken(|e| e.details.served[0].strangers += 1), [unrouted]);
        let odd = "nothing else happened";
        assert_eq!(broken(|e| e.ratings.calls.odd.note(|| "x".to_owned())), [odd]);
        assert_eq!(broken(|e| e.details.calls.odd.note(|| "x".to_owned())), [odd]);
    }

    #[test]
    fn each_fault_of_a_policy_breaks_its_rule() {
        let denied = ["Erase of reviews is denied"];
        assert_eq!(broken(|e| e.reviews.calls.policed.denied -= 1), denied, "one was not told");
        assert_eq!(broken(|e| e.reviews.served[1].private = 1), denied, "one was served");
        assert_eq!(broken(|e| e.commands.policed.denied -= 1), ["FLUSHALL is denied"]);
        let limited = ["greedy on ratings is limited"];
        assert_eq!(broken(|e| e.ratings.calls.policed.limited = 0), limited, "nobody was");
        assert_eq!(broken(|e| e.ratings.served[0].greedy += 1), limited, "served, not told");
        assert_eq!(
            broken(|e| {
                e.ratings.served[0].greedy += 1;
                e.ratings.calls.policed.passed += 1;
            }),
            limited,
            "one more than 2 s at 10/s and 10 at once"
        );
        assert_eq!(
            broken(|e| {
                e.commands.policed.passed += 1;
                e.stores[2].keys.insert(HOT.to_owned(), Item::Text("31".to_owned()));
            }),
            ["greedy keys are limited"]
        );
        let others = ["nobody else is limited"];
        assert_eq!(broken(|e| e.details.calls.policed.wronged = 1), others);
        assert_eq!(broken(|e| e.details.calls.policed.others = 1), others);
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
