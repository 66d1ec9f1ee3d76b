//! Rules about policies: what is denied reaches no server, who asks too often is served as often as
//! the limit says, and all who are refused are told why. Bounds, because nothing here is exact.

use std::time::Duration;

use super::{ENOUGH, Rule, digits, float, of};
use crate::demo::policed::Policed;

/// The rate and the burst of each limit.
const RATE: f64 = 10.0;
const BURST: f64 = 10.0;

/// Nobody was served what is private, and everybody who asked for it was told that it is denied.
pub(super) fn denied(name: &'static str, seen: &Policed, served: u64) -> Rule {
    let told = format!("{} told", digits(seen.denied));
    Rule {
        name,
        expected: format!("{} told", digits(seen.private)),
        seen: if served > 0 { format!("{told}, {} in", digits(served)) } else { told },
        held: served == 0 && seen.private > 0 && seen.denied == seen.private,
    }
}

/// The greedy tenant was served no more than what its limit let through in the time it `lasted`.
/// The servers know that, too; what was not served was told so.
pub(super) fn limited(name: &'static str, seen: &Policed, served: u64, lasted: Duration) -> Rule {
    let most = (RATE * lasted.as_secs_f64() + BURST).ceil();
    let passed = of(seen.passed, seen.passed + seen.limited);
    Rule {
        name,
        expected: format!("at most {most}"),
        seen: if served == seen.passed {
            passed
        } else {
            format!("{passed}, {} in", digits(served))
        },
        held: served == seen.passed && float(served) <= most && seen.passed > 0 && seen.limited > 0,
    }
}

/// Nobody was told of a limit that is not theirs.
pub(super) fn others(seen: &[Policed; 4]) -> Rule {
    let wronged = seen.iter().map(|one| one.wronged).sum();
    let all = seen.iter().map(|one| one.others).sum::<u64>() + wronged;
    Rule {
        name: "nobody else is limited",
        expected: of(0, all),
        seen: of(wronged, all),
        held: wronged == 0 && seen.iter().all(|one| one.others >= ENOUGH),
    }
}
