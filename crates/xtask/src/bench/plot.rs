//! The figure that the README shows: processor time per request in relation to HAProxy's.

use std::fmt::Write as _;

use super::{peers::Peer, rounds::Measured};

/// Beyond this a bar is cut off; its number is still there.
const WIDEST: f64 = 2.5;
/// Pixels of the whole, of the names of cases, of 1.0, of a bar.
const WIDTH: f64 = 920.0;
const LEFT: f64 = 280.0;
const UNIT: f64 = 190.0;
const BAR: f64 = 13.0;
const GAP: f64 = 9.0;
const TOP: f64 = 58.0;

fn colour(peer: Peer) -> &'static str {
    match peer {
        Peer::Heptad => "#1f6feb",
        Peer::Twemproxy => "#b08800",
        Peer::EnvoyGeneric => "#c98bb9",
        _ => "#a04a88",
    }
}

/// A group of bars for each case with a requirement, or for all if there is none; empty if HAProxy
/// was not measured.
pub(super) fn svg(all: &[Measured]) -> String {
    let mut body = String::new();
    let mut y = TOP;
    let required = all.iter().any(|measured| measured.case.limit.is_some());
    for measured in all.iter().filter(|measured| !required || measured.case.limit.is_some()) {
        let bars: Vec<(Peer, f64)> = measured
            .rows
            .iter()
            .filter(|row| !matches!(row.peer, Peer::Haproxy | Peer::Bare))
            .filter_map(|row| Some((row.peer, measured.figures(row.peer)?.ratio?)))
            .collect();
        if bars.is_empty() {
            continue;
        }
        let middle = y + BAR * bars.len() as f64 / 2.0;
        text(&mut body, LEFT - 10.0, middle + 4.0, "end", &measured.case.name());
        for (peer, ratio) in bars {
            let width = ratio.min(WIDEST) * UNIT;
            let _ = writeln!(
                body,
                "<rect x=\"{LEFT}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{}\" fill=\"{}\"/>",
                BAR - 1.0,
                colour(peer)
            );
            let cut = if ratio > WIDEST { " »" } else { "" };
            let label = format!("{ratio:.2} {}{cut}", peer.name());
            text(&mut body, LEFT + width + 5.0, y + 10.0, "start", &label);
            y += BAR;
        }
        y += GAP;
    }
    if body.is_empty() {
        return body;
    }
    let line = LEFT + UNIT;
    let bottom = y;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {WIDTH} {height:.0}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        height = bottom + 10.0
    );
    let title = "processor time of the proxy per request; HAProxy, which only relays TCP, is 1.0";
    text(&mut svg, 20.0, 22.0, "start", title);
    text(&mut svg, line, TOP - 14.0, "middle", "haproxy = 1.0");
    let _ = writeln!(
        svg,
        "<line x1=\"{line}\" y1=\"{:.0}\" x2=\"{line}\" y2=\"{bottom:.0}\" stroke=\"#24292f\" \
         stroke-dasharray=\"4 3\"/>",
        TOP - 9.0
    );
    svg += &body;
    svg + "</svg>\n"
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, what: &str) {
    let _ = writeln!(
        out,
        "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"{anchor}\" fill=\"#24292f\">{what}</text>"
    );
}
