//! Rules about a service with two versions: who sees which, and that the servers counted what the
//! clients did.

use std::collections::BTreeMap;

use super::{ENOUGH, Rule, Versions, at, digits, float, of, sum};
use crate::demo::traffic::Calls;

/// The share of version 1 of the reviews for everybody but jason.
const SHARE: f64 = 0.75;
/// How far, in standard deviations, the share seen may be off: a sound router is wrongly found
/// guilty less than once in a million runs.
const SIGMAS: f64 = 5.0;
/// Fewer answers than this do not tell one share from another.
const ENOUGH_FOR_SHARES: u64 = 500;

/// All of these answers came from one version.
pub(super) fn only(name: &'static str, answers: &BTreeMap<String, u64>, version: &str) -> Rule {
    let (all, right) = (sum(answers), at(answers, version));
    Rule { name, expected: of(all, all), seen: of(right, all), held: all >= ENOUGH && right == all }
}

pub(super) fn split(calls: &Calls) -> Rule {
    let (all, v1) = (sum(&calls.others), at(&calls.others, "v1"));
    let band = SIGMAS * (SHARE * (1.0 - SHARE) / float(all.max(1))).sqrt();
    let share = float(v1) / float(all.max(1));
    let known = v1 + at(&calls.others, "v2");
    Rule {
        name: "others are split 75/25 (v1/v2)",
        expected: format!("v1 {:.2} % ± {:.2}", SHARE * 100.0, band * 100.0),
        seen: format!("v1 {:.2} %", share * 100.0),
        held: all >= ENOUGH_FOR_SHARES && known == all && (share - SHARE).abs() <= band,
    }
}

/// The servers served those that got answers from them, and nobody else.
pub(super) fn same_counts(name: &'static str, Versions { served, calls }: &Versions) -> Rule {
    let clients = |version| at(&calls.chosen, version) + at(&calls.others, version);
    let [v1, v2] = served;
    Rule {
        name,
        expected: both(clients("v1"), clients("v2")),
        seen: both(v1.chosen + v1.others, v2.chosen + v2.others),
        held: [("v1", v1), ("v2", v2)].iter().all(|(version, served)| {
            clients(version) > 0
                && served.chosen == at(&calls.chosen, version)
                && served.others == at(&calls.others, version)
        }),
    }
}

/// The clients got the errors that the servers sent, and these were provoked.
pub(super) fn errors(
    name: &'static str,
    provoked: [&str; 2],
    Versions { served, calls }: &Versions,
) -> Rule {
    let mut sent = BTreeMap::<String, u64>::new();
    for (code, count) in served.iter().flat_map(|served| &served.errors) {
        *sent.entry((*code).to_owned()).or_default() += count;
    }
    let show = |counts| provoked.map(|code| digits(at(counts, code))).join(" + ");
    Rule {
        name,
        expected: show(&sent),
        seen: show(&calls.errors),
        held: sent == calls.errors && provoked.iter().all(|code| at(&sent, code) > 0),
    }
}

pub(super) fn unrouted(name: &'static str, Versions { served, calls }: &Versions) -> Rule {
    let strangers = served.iter().map(|served| served.strangers).sum();
    Rule {
        name,
        expected: of(0, calls.unrouted),
        seen: of(strangers, calls.unrouted),
        held: strangers == 0 && calls.unrouted > 0,
    }
}

pub(super) fn streams(calls: &Calls) -> Rule {
    Rule {
        name: "streams are whole, from one server",
        expected: "more than 0".to_owned(),
        seen: digits(calls.streams),
        held: calls.streams > 0,
    }
}

pub(super) fn oneways(Versions { served: [v1, v2], calls }: &Versions) -> Rule {
    let sent = ["v1", "v2"].map(|version| at(&calls.oneways, version));
    Rule {
        name: "oneways arrive once, at v1 and v2",
        expected: both(sent[0], sent[1]),
        seen: both(v1.oneways, v2.oneways),
        held: sent == [v1.oneways, v2.oneways] && !sent.contains(&0),
    }
}

pub(super) fn heartbeats(calls: &Calls) -> Rule {
    Rule {
        name: "heartbeats are answered",
        expected: of(calls.pings, calls.pings),
        seen: of(calls.pongs, calls.pings),
        held: calls.pings > 0 && calls.pongs == calls.pings,
    }
}

fn both(v1: u64, v2: u64) -> String {
    format!("{} + {}", digits(v1), digits(v2))
}
