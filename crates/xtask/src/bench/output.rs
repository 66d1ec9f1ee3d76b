//! Figures as a table for terminals, as Markdown and as CSV.

use std::fmt::Write as _;

use super::{cases::Limit, peers::Peer, rounds::Measured, summary::Figures};

const HEADS: [&str; 9] =
    ["", "µs/request", "ratio", "requests/s", "p50 µs", "p99 µs", "p999 µs", "peak MiB", "errors"];

fn cells(name: &str, f: &Figures) -> [String; 9] {
    let maybe =
        |n: Option<f64>, digits: usize| n.map_or("-".to_owned(), |n| format!("{n:.digits$}"));
    [
        name.to_owned(),
        maybe(f.cost, 2),
        maybe(f.ratio, 2),
        format!("{:.0}", f.rate),
        format!("{:.0}", f.p50),
        format!("{:.0}", f.p99),
        maybe(f.p999, 0),
        maybe(f.peak, 1),
        f.errors.to_string(),
    ]
}

/// The rows of a case: cells, or why there are none.
fn rows(measured: &Measured) -> Vec<Result<[String; 9], (String, String)>> {
    let all = measured.rows.iter().map(|row| match (&row.cannot, measured.figures(row.peer)) {
        (None, Some(figures)) => Ok(cells(row.peer.name(), &figures)),
        (why, _) => Err((row.peer.name().to_owned(), why.clone().unwrap_or_default())),
    });
    all.collect()
}

/// The kinds of errors that there were.
fn faults(measured: &Measured) -> Vec<String> {
    let all = measured.rows.iter().flat_map(|row| {
        let faults = row.samples.iter().map(|s| s.faults.as_str()).filter(|f| !f.is_empty());
        faults.map(|faults| format!("{}: {faults}", row.peer.name()))
    });
    all.collect()
}

/// A case for a terminal.
pub(super) fn table(measured: &Measured) -> String {
    let mut text = format!("{}\n", measured.case.name());
    let rows = rows(measured);
    let line = |cells: &[String; 9]| {
        let mut line = format!("  {:<14}", cells[0]);
        for cell in &cells[1..] {
            let _ = write!(line, "{cell:>11}");
        }
        line + "\n"
    };
    text += &line(&HEADS.map(str::to_owned));
    for row in &rows {
        match row {
            Ok(cells) => text += &line(cells),
            Err((name, why)) => {
                let _ = writeln!(text, "  {name:<14} {why}");
            }
        }
    }
    for verdict in measured.verdicts() {
        let _ = writeln!(text, "  {}", verdict.text);
    }
    for fault in faults(measured) {
        let _ = writeln!(text, "  ! {fault}");
    }
    text
}

/// Columns of the overview: those that a ratio is shown of.
const SHOWN: [Peer; 7] = [
    Peer::Heptad,
    Peer::Bare,
    Peer::Twemproxy,
    Peer::EnvoyThrift,
    Peer::EnvoyDubbo,
    Peer::EnvoyGeneric,
    Peer::EnvoyRedis,
];

/// One row for each case: what HAProxy needs, and the others in relation to it.
fn overview(all: &[Measured]) -> String {
    let mut rows = vec![
        ["case", "haproxy µs", "heptad", "peers", "required", "aim", "met"].map(str::to_owned),
    ];
    for measured in all {
        let ratio = |peer| Some((peer, measured.figures(peer)?.ratio?));
        let mut ratios = SHOWN.into_iter().filter_map(ratio).peekable();
        let heptad = ratios.next_if(|(peer, _)| *peer == Peer::Heptad);
        let peers: Vec<String> =
            ratios.map(|(peer, ratio)| format!("{} {ratio:.2}", peer.name())).collect();
        let cost = measured.figures(Peer::Haproxy).and_then(|f| f.cost);
        let limit = |f: fn(Limit) -> f64| {
            measured.case.limit.map_or(String::new(), |l| format!("{:.2}", f(l)))
        };
        let verdicts = measured.verdicts();
        let missed: Vec<&str> = verdicts.iter().filter(|v| !v.met).map(|v| v.about).collect();
        let met = match (verdicts.is_empty(), missed.is_empty()) {
            (true, _) => String::new(),
            (_, true) => "yes".to_owned(),
            _ => format!("not: {}", missed.join(", ")),
        };
        rows.push([
            measured.case.name(),
            cost.map_or("-".to_owned(), |cost| format!("{cost:.1}")),
            heptad.map_or("-".to_owned(), |(_, ratio)| format!("{ratio:.2}")),
            peers.join(", "),
            limit(|l| l.required),
            limit(|l| l.aim),
            met,
        ]);
    }
    section(
        "processor time per request; HAProxy in microseconds, the others in relation to it",
        &rows,
        &[],
    )
}

/// All cases for a page.
pub(super) fn markdown(all: &[Measured]) -> String {
    let mut text = overview(all);
    text.push('\n');
    for measured in all {
        let _ = writeln!(text, "**{}**\n", measured.case.name());
        let _ = writeln!(text, "|{}|", HEADS.join("|"));
        let _ = writeln!(text, "|---|{}", "--:|".repeat(HEADS.len() - 1));
        for row in rows(measured) {
            match row {
                Ok(cells) => {
                    let _ = writeln!(text, "|{}|", cells.join("|"));
                }
                Err((name, why)) => {
                    let _ = writeln!(text, "|{name}|{why}{}|", "|".repeat(HEADS.len() - 2));
                }
            }
        }
        text.push('\n');
        for verdict in measured.verdicts() {
            let _ = writeln!(text, "- {}", verdict.text);
        }
        text.push('\n');
    }
    text
}

/// One line for each sample of all cases.
pub(super) fn csv(all: &[Measured]) -> String {
    let mut text = "case,peer,round,requests,seconds,cpu_seconds,p50_us,p99_us,p999_us,peak_kib,\
                    errors,cannot\n"
        .to_owned();
    let micros = |d: std::time::Duration| format!("{:.1}", d.as_secs_f64() * 1e6);
    for measured in all {
        let case = measured.case.name();
        for row in &measured.rows {
            if let Some(why) = &row.cannot {
                let why = why.replace('"', "'").replace('\n', " ");
                let _ = writeln!(text, "{case},{},,,,,,,,,,\"{why}\"", row.peer.name());
            }
            for (round, s) in row.samples.iter().enumerate() {
                let _ = writeln!(
                    text,
                    "{case},{},{},{},{:.3},{},{},{},{},{},{},",
                    row.peer.name(),
                    round + 1,
                    s.requests,
                    s.elapsed.as_secs_f64(),
                    s.cpu.map_or(String::new(), |cpu| format!("{:.6}", cpu.as_secs_f64())),
                    micros(s.p50),
                    micros(s.p99),
                    s.p999.map_or(String::new(), micros),
                    s.peak.map_or(String::new(), |kib| kib.to_string()),
                    s.errors,
                );
            }
        }
    }
    text
}

/// A table of another kind: a headline, rows of which the first names the columns, and remarks.
/// It is Markdown that can be read in a terminal too.
pub(super) fn section<const N: usize>(
    head: &str,
    rows: &[[String; N]],
    remarks: &[String],
) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = format!("**{head}**\n\n");
    for (n, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(text, "| {cell:<width$} ");
        }
        text.push_str("|\n");
        if n == 0 {
            for width in widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    text.push('\n');
    for remark in remarks {
        let _ = writeln!(text, "- {remark}");
    }
    text
}
