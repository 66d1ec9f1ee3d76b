//! From samples to the figures that are shown: medians, ratios, and whether a requirement is met.

use super::{
    peers::Peer,
    rounds::{Measured, Row, Sample},
};

/// The figures of one peer in one case.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures {
    /// Microseconds of processor time per request.
    pub(super) cost: Option<f64>,
    /// In relation to HAProxy's in the same round.
    pub(super) ratio: Option<f64>,
    pub(super) rate: f64,
    /// Microseconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: Option<f64>,
    /// MiB.
    pub(super) peak: Option<f64>,
    pub(super) errors: u64,
}

impl Figures {
    pub(super) fn of(row: &Row, haproxy: Option<&Row>) -> Self {
        let each = |f: &dyn Fn(&Sample) -> Option<f64>| median(row.samples.iter().filter_map(f));
        let micros = |d: std::time::Duration| d.as_secs_f64() * 1e6;
        let costs =
            |row: &Row| -> Vec<Option<f64>> { row.samples.iter().map(Sample::cost).collect() };
        let ratio = haproxy.and_then(|haproxy| {
            let rounds = costs(row).into_iter().zip(costs(haproxy));
            median(rounds.filter_map(|(mine, theirs)| Some(mine? / theirs?)))
        });
        Self {
            cost: each(&Sample::cost),
            ratio,
            rate: each(&|s| Some(s.rate())).unwrap_or_default(),
            p50: each(&|s| Some(micros(s.p50))).unwrap_or_default(),
            p99: each(&|s| Some(micros(s.p99))).unwrap_or_default(),
            p999: each(&|s| s.p999.map(micros)),
            peak: row.samples.iter().filter_map(|s| s.peak).max().map(|kib| kib as f64 / 1024.0),
            errors: row.samples.iter().map(|s| s.errors).sum(),
        }
    }
}

/// The middle one, or the mean of the two in the middle.
pub(super) fn median(all: impl Iterator<Item = f64>) -> Option<f64> {
    let mut all: Vec<f64> = all.collect();
    all.sort_by(f64::total_cmp);
    let middle = all.len() / 2;
    match all.len() {
        0 => None,
        n if n % 2 == 1 => Some(all[middle]),
        _ => Some((all[middle - 1] + all[middle]) / 2.0),
    }
}

/// A comparison that Heptad must stand.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    /// What is compared, in a word or two.
    pub(super) about: &'static str,
    pub(super) met: bool,
    pub(super) text: String,
}

impl Measured {
    pub(super) fn row(&self, peer: Peer) -> Option<&Row> {
        let there = |row: &&Row| row.cannot.is_none() && !row.samples.is_empty();
        self.rows.iter().find(|row| row.peer == peer).filter(there)
    }

    pub(super) fn figures(&self, peer: Peer) -> Option<Figures> {
        Some(Figures::of(self.row(peer)?, self.row(Peer::Haproxy)))
    }

    /// What the requirements say about this case; nothing if they do not name it.
    pub(super) fn verdicts(&self) -> Vec<Verdict> {
        let Some(heptad) = self.figures(Peer::Heptad) else {
            return Vec::new();
        };
        let mut all = Vec::new();
        if let (Some(limit), Some(ratio)) = (self.case.limit, heptad.ratio) {
            let word = match ratio {
                r if r <= limit.aim => "aim",
                r if r <= limit.required => "ok",
                _ => "MISSED",
            };
            all.push(Verdict {
                about: "ratio",
                met: ratio <= limit.required,
                text: format!(
                    "{word}: {ratio:.2}, required {:.2}, aim {:.2}",
                    limit.required, limit.aim
                ),
            });
            if let Some(twemproxy) = self.figures(Peer::Twemproxy).and_then(|f| f.ratio) {
                all.push(compare(
                    "ratio",
                    ratio,
                    "below",
                    ("twemproxy", twemproxy),
                    ratio < twemproxy,
                ));
            }
            if self.case.saves_the_server_work()
                && let Some(direct) = self.figures(Peer::Direct)
            {
                let met = heptad.rate > direct.rate;
                all.push(compare("requests/s", heptad.rate, "above", ("direct", direct.rate), met));
            }
        }
        if matches!(self.case.driver, super::cases::Driver::Open(_))
            && let Some(haproxy) = self.figures(Peer::Haproxy)
        {
            let met = heptad.p99 <= haproxy.p99;
            all.push(compare("p99 µs", heptad.p99, "at most", ("haproxy", haproxy.p99), met));
        }
        all
    }
}

fn compare(
    about: &'static str,
    mine: f64,
    wanted: &str,
    (whose, theirs): (&str, f64),
    met: bool,
) -> Verdict {
    let word = if met { "ok" } else { "MISSED" };
    let digits = if mine < 10.0 { 2 } else { 0 };
    let text =
        format!("{word}: {about} {mine:.digits$}, wanted {wanted} {whose} {theirs:.digits$}");
    Verdict { about, met, text }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::cases::cases;

    fn row(peer: Peer, costs: &[u64]) -> Row {
        let sample = |cost: &u64| Sample {
            requests: 1000,
            elapsed: Duration::from_secs(1),
            cpu: (*cost > 0).then(|| Duration::from_micros(cost * 1000)),
            peak: Some(2048),
            errors: 1,
            ..Sample::default()
        };
        Row { peer, samples: costs.iter().map(sample).collect(), cannot: None }
    }

    #[test]
    fn medians() {
        assert_eq!(median([].into_iter()), None);
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
    }

    #[test]
    fn a_ratio_is_the_median_of_the_ratios_of_rounds() {
        // The ratio of the medians would be 10/20.
        let haproxy = row(Peer::Haproxy, &[10, 20, 40]);
        let heptad = row(Peer::Heptad, &[8, 10, 32]);
        let figures = Figures::of(&heptad, Some(&haproxy));
        assert_eq!(figures.ratio, Some(0.8));
        assert_eq!(figures.cost, Some(10.0));
        assert_eq!(figures.rate, 1000.0);
        assert_eq!(figures.peak, Some(2.0));
        assert_eq!(figures.errors, 3);
        assert_eq!(Figures::of(&heptad, None).ratio, None);
    }

    #[test]
    fn requirements_are_judged() {
        let case = cases(true).remove(0);
        let with = |heptad: &[u64]| {
            let rows = vec![row(Peer::Haproxy, &[100]), row(Peer::Heptad, heptad)];
            let verdicts = Measured { case: case.clone(), rows }.verdicts();
            verdicts.first().map(|v| (v.met, v.text.clone())).expect("a verdict")
        };
        assert_eq!(with(&[55]), (true, "aim: 0.55, required 0.60, aim 0.55".to_owned()));
        assert_eq!(with(&[60]), (true, "ok: 0.60, required 0.60, aim 0.55".to_owned()));
        assert_eq!(with(&[61]), (false, "MISSED: 0.61, required 0.60, aim 0.55".to_owned()));
    }
}
