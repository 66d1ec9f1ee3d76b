//! The demo's live table, from the router's own counts: redrawn in place on a terminal, printed
//! anew elsewhere. Knows nothing of the rules; those are the verdict's.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
    time::Duration,
};

use heptad::{SeriesTotals, Table, Totals, core::Outcome};

use super::verdict::digits;
use crate::style::Style;

/// Draws one table after the other.
#[derive(Debug)]
pub(crate) struct Live {
    style: Style,
    redraw: bool,
    drawn: usize,
    before: HashMap<[String; 3], u64>,
}

impl Live {
    /// Nothing drawn yet. `redraw` only where the cursor can go up again.
    pub(crate) fn new(style: Style, redraw: bool) -> Self {
        Self { style, redraw, drawn: 0, before: HashMap::new() }
    }

    /// Draws what was counted, `took` after the last time.
    pub(crate) fn draw(
        &mut self,
        out: &mut impl Write,
        title: &str,
        all: &[Totals],
        took: Duration,
    ) -> std::io::Result<()> {
        let mut lines = vec![self.style.bold(title)];
        for table in [self.table(all, took), unhappy(all)] {
            let mut table = table.lines().into_iter();
            lines.extend(table.next().map(|headings| self.style.dim(&headings)));
            lines.extend(table);
        }
        if self.redraw && self.drawn > 0 {
            write!(out, "\x1b[{}A", self.drawn)?;
        }
        // Long lines are cut and not wrapped meanwhile: a wrapped one would count twice going up.
        let [cut, clear, wrap] =
            if self.redraw { ["\x1b[?7l", "\x1b[K", "\x1b[?7h"] } else { [""; 3] };
        write!(out, "{cut}")?;
        for line in &lines {
            writeln!(out, "{line}{clear}")?;
        }
        write!(out, "{wrap}")?;
        if self.redraw && lines.len() < self.drawn {
            write!(out, "\x1b[J")?;
        }
        if !self.redraw {
            writeln!(out)?;
        }
        self.drawn = lines.len();
        out.flush()
    }

    fn table(&mut self, all: &[Totals], took: Duration) -> Table {
        let headings =
            ["ROUTE", "CLUSTER", "PROTOCOL", ">REQUESTS", ">PER S", ">P50", ">P99", ">OK %"];
        let mut table = Table::new(&headings);
        for totals in all {
            for ((route, cluster), series) in &totals.series {
                let requests = series.requests();
                if requests == 0 {
                    continue;
                }
                let key = [&totals.listener, route, cluster].map(|name| name.to_string());
                let before = self.before.insert(key, requests).unwrap_or(0);
                #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
                let rate = requests.saturating_sub(before) as f64 / took.as_secs_f64().max(1e-3);
                let or = |text: &str, other: &str| {
                    (if text.is_empty() { other } else { text }).to_owned()
                };
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let row = [
                    or(route, "(no route)"),
                    or(cluster, "-"),
                    totals.protocol.to_string(),
                    digits(requests),
                    digits(rate.round() as u64),
                    quantile(series, 0.50),
                    quantile(series, 0.99),
                    ok(series),
                ];
                table.row(row);
            }
        }
        table
    }
}

fn quantile(series: &SeriesTotals, q: f64) -> String {
    if series.duration.count == 0 {
        return "-".to_owned();
    }
    duration(series.duration.quantile(q))
}

/// Three digits and a unit.
pub(crate) fn duration(d: Duration) -> String {
    let micros = d.as_secs_f64() * 1e6;
    let (number, unit) = match micros {
        m if m < 1e3 => (m, "µs"),
        m if m < 1e6 => (m / 1e3, "ms"),
        m => (m / 1e6, "s"),
    };
    let decimals = match number {
        n if n < 10.0 && unit != "µs" => 2,
        n if n < 100.0 && unit != "µs" => 1,
        _ => 0,
    };
    format!("{number:.decimals$} {unit}")
}

fn ok(series: &SeriesTotals) -> String {
    let ok: u64 =
        series.counts.iter().filter(|(key, _)| key.0 == Outcome::Ok).map(|(_, count)| count).sum();
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let share = 100.0 * ok as f64 / series.requests().max(1) as f64;
    format!("{share:.1}")
}

/// What did not end well, by protocol: what policies refused, and the rest by code or outcome.
fn unhappy(all: &[Totals]) -> Table {
    let mut table = Table::new(&["PROTOCOL", ">DENIED", ">LIMITED", "OTHERWISE NOT OK"]);
    for totals in all {
        let (mut denied, mut limited) = (0, 0);
        let mut rest = BTreeMap::<(Outcome, &str), u64>::new();
        for series in totals.series.values() {
            for ((outcome, _, code), count) in &series.counts {
                match outcome {
                    // What found no route has a row of its own.
                    Outcome::Ok | Outcome::NoRoute => {}
                    Outcome::Denied => denied += count,
                    Outcome::Limited => limited += count,
                    _ => *rest.entry((*outcome, code)).or_default() += count,
                }
            }
        }
        rest.retain(|_, count| *count > 0);
        // With the outcome of each code as well, lines would be too long for a terminal.
        let shown = rest.iter().map(|((outcome, code), count)| {
            let name = if code.is_empty() { outcome.as_str() } else { code };
            format!("{name} {}", digits(*count))
        });
        let shown: Vec<String> = shown.collect();
        if denied + limited > 0 || !shown.is_empty() {
            let protocol = totals.protocol.to_string();
            table.row([protocol, digits(denied), digits(limited), shown.join(", ")]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use heptad::core::Reason;

    use super::*;

    #[test]
    fn durations_have_three_digits_and_a_unit() {
        let shown = [950, 1_500, 45_600, 2_000_000].map(Duration::from_micros).map(duration);
        assert_eq!(shown, ["950 µs", "1.50 ms", "45.6 ms", "2.00 s"]);
    }

    #[test]
    fn rows_show_rate_shares_and_codes_and_are_redrawn_in_place() {
        let mut totals = Totals::new("l", "redis");
        let mut series = SeriesTotals::default();
        series.counts.insert((Outcome::Ok, Reason::None, "".into()), 1500);
        series.counts.insert((Outcome::AppError, Reason::None, "WRONGTYPE".into()), 400);
        series.counts.insert((Outcome::Denied, Reason::None, "".into()), 40);
        series.counts.insert((Outcome::Limited, Reason::None, "".into()), 58);
        series.counts.insert((Outcome::Timeout, Reason::None, "".into()), 2);
        totals.series.insert(("r".into(), "c".into()), series);
        let all = [totals];
        let mut live = Live::new(Style::plain(), true);
        let mut out = Vec::new();
        live.draw(&mut out, "title", &all, Duration::from_secs(2)).expect("a Vec");
        let first = String::from_utf8(std::mem::take(&mut out)).expect("text");
        for part in
            ["2 000", "1 000", " 75.0\x1b", "  40       58  WRONGTYPE 400, timeout 2", "title"]
        {
            assert!(first.contains(part), "{part} not in {first}");
        }
        live.draw(&mut out, "title", &all, Duration::from_secs(1)).expect("a Vec");
        let second = String::from_utf8(out).expect("text");
        assert!(second.starts_with("\x1b[5A"), "{second:?}");
    }
}
