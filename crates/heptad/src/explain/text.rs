//! An explanation for people: a label in a column of its own, short lines, in the order in which
//! things happen to a request.

use std::fmt::{self, Write as _};

use heptad_core::{Attr, Verdict};
use heptad_engine::{Branch, Explained, Fate, Refused, To, Why};
use heptad_route::{Reason, Seen, Tri};

use super::{Explanation, balance, plain};

/// Width of the column with labels.
const LABEL: usize = 10;
/// Conditions, endpoints and keys that are shown of many.
const FEW: usize = 6;
/// Width of a list that goes on in the next line.
const WIDTH: usize = 70;
/// Longest part of an answer that is shown, bytes.
const SHOWN: usize = 160;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:LABEL$}{} ({}, {})", "listener", self.listener, self.codec, self.address)?;
        if self.requests.is_empty() {
            writeln!(f, "{:LABEL$}there is no frame in it", "result")?;
        }
        for (at, request) in self.requests.iter().enumerate() {
            if request.frame.is_some() {
                writeln!(f)?;
            }
            let mut rows = Rows::default();
            self.request(at, request, &mut rows);
            f.write_str(&rows.text)?;
        }
        Ok(())
    }
}

impl Explanation {
    fn request(&self, number: usize, request: &Explained, rows: &mut Rows) {
        frame(number, request, rows);
        attributes(request, rows);
        if let Some(lookup) = &request.lookup {
            let names = lookup.reasons.iter().map(|reason| self.route(reason.rule));
            let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
            for reason in &lookup.reasons {
                let word = if reason.said == Tri::True { "yes" } else { "no" };
                let causes = causes(reason);
                let mut lines = causes.iter().map(String::as_str);
                let first = lines.next().unwrap_or_default();
                let name = self.route(reason.rule);
                rows.row("routes", &format!("{name:width$}  {word:3}  {first}"));
                for line in lines {
                    rows.row("routes", &format!("{:width$}       {line}", ""));
                }
            }
            if lookup.found.is_none() {
                rows.row("routes", "none of them matches");
            }
        }
        ways(request, rows);
        if !request.answer.is_empty() {
            let shown = request.answer.get(..SHOWN).unwrap_or(&request.answer);
            let more = if shown.len() < request.answer.len() { "…" } else { "" };
            rows.row("answer", &format!("{}{more}", shown.escape_ascii()));
        }
    }

    fn route(&self, at: usize) -> &str {
        self.routes.get(at).map_or("", |name| name)
    }
}

/// Lines with a label, which is written once for those that follow each other.
#[derive(Default)]
struct Rows {
    text: String,
    label: &'static str,
}

impl Rows {
    fn row(&mut self, label: &'static str, what: &str) {
        let shown = if self.label == label { "" } else { label };
        self.label = label;
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{}", format!("{shown:LABEL$}{what}").trim_end());
    }
}

fn frame(number: usize, request: &Explained, rows: &mut Rows) {
    let Some(frame) = &request.frame else { return };
    let mut line = format!("{} at byte {}", number + 1, frame.at);
    if let Some(meta) = &frame.meta {
        let kind = format!("{:?}", meta.kind).to_lowercase();
        let _ = write!(line, ": {kind}, {} bytes", meta.len);
        if meta.id != 0 {
            let _ = write!(line, ", id {}", meta.id);
        }
        if meta.quiet {
            line.push_str(", the client wants no reply");
        }
    }
    rows.row("frame", &line);
}

fn attributes(request: &Explained, rows: &mut Rows) {
    let present: Vec<_> = request.asked.iter().filter(|(_, seen)| *seen != Seen::Absent).collect();
    let names = present.iter().map(|(attr, _)| attr.to_string().chars().count());
    let width = names.max().unwrap_or(0);
    for (attr, seen) in present {
        let name = attr.to_string();
        rows.row("request", &format!("{name:width$}  {seen}"));
    }
    if let Some(frame) = &request.frame {
        match &frame.keys {
            Ok(keys) if keys.len() > 1 => rows.row("keys", &quoted(keys)),
            Ok(_) => {}
            Err(_) => rows.row("keys", "unknown: it may touch others than it names"),
        }
    }
    let absent = request.asked.iter().filter(|(_, seen)| *seen == Seen::Absent);
    let absent: Vec<_> = absent.map(|(attr, _)| attr.to_string()).collect();
    let last = absent.len().saturating_sub(1);
    let mut line = String::new();
    for (at, name) in absent.iter().enumerate() {
        if line.chars().count() + name.chars().count() > WIDTH {
            rows.row("absent", &line);
            line.clear();
        }
        let _ = write!(line, "{name}{}", if at < last { ", " } else { "" });
    }
    if !line.is_empty() {
        rows.row("absent", &line);
    }
}

/// Why a rule said so, one line for each condition.
fn causes(reason: &Reason) -> Vec<String> {
    let mut lines: Vec<_> = reason.causes.iter().take(FEW).map(ToString::to_string).collect();
    match reason.causes.len().saturating_sub(FEW) {
        0 => {}
        more => lines.push(format!("… {more} more")),
    }
    if lines.is_empty() {
        let nothing =
            if reason.said == Tri::True { "matches everything" } else { "matches nothing" };
        lines.push(nothing.to_owned());
    }
    lines
}

/// Filters, clusters, endpoints and results; once where all ways have them in common.
fn ways(request: &Explained, rows: &mut Rows) {
    let branches = &request.branches;
    let Some(first) = branches.first() else { return };
    let same = branches.iter().all(|branch| said(branch) == said(first));
    for branch in if same { branches.get(..1).unwrap_or_default() } else { branches } {
        if !same && !branch.filters.is_empty() {
            rows.row("filters", &format!("to {}:", name(branch)));
        }
        for line in said(branch) {
            rows.row("filters", &line);
        }
    }
    clusters(request, rows);
    for branch in branches {
        let Fate::Sent(to) = &branch.fate else { continue };
        let lead = if branches.len() > 1 { format!("{}: ", name(branch)) } else { String::new() };
        for (at, line) in endpoints(to).into_iter().enumerate() {
            let lead = if at == 0 { &lead } else { "" };
            rows.row("endpoint", &format!("{lead}{line}"));
        }
    }
    let same = branches.iter().all(|branch| result(&branch.fate) == result(&first.fate));
    if same {
        rows.row("result", &result(&first.fate));
    } else {
        for branch in branches {
            rows.row("result", &format!("{}: {}", name(branch), result(&branch.fate)));
        }
    }
}

fn clusters(request: &Explained, rows: &mut Rows) {
    let to: Vec<_> = request.branches.iter().filter(|branch| branch.cluster.is_some()).collect();
    match (&to[..], &request.split_on) {
        ([], _) => {}
        ([one], None) => rows.row("cluster", name(one)),
        ([one], Some((attr, seen))) => {
            rows.row("cluster", &format!("{}, always for {attr} {seen}", name(one)));
        }
        (several, _) => {
            let total: u64 = several.iter().map(|branch| branch.weight).sum();
            let shares = several.iter().enumerate().map(|(at, branch)| match at {
                0 => format!("{} of {total} {}", branch.weight, name(branch)),
                _ => format!("{} {}", branch.weight, name(branch)),
            });
            let shares: Vec<_> = shares.collect();
            rows.row("cluster", &format!("{}; by chance", shares.join(", ")));
        }
    }
}

fn name(branch: &Branch) -> &str {
    branch.cluster.as_ref().map_or("", |name| name)
}

/// What filters say, a line each, theirs below.
fn said(branch: &Branch) -> Vec<String> {
    let names = branch.filters.iter().map(|said| said.filter.chars().count());
    let width = names.max().unwrap_or(0);
    let mut lines = Vec::new();
    for said in &branch.filters {
        let word = match &said.verdict {
            None => "not asked".to_owned(),
            Some(verdict) => decides(verdict),
        };
        lines.push(format!("{:width$}  {word}", said.filter));
        lines.extend(said.text.lines().map(|line| format!("  {line}")));
    }
    lines
}

pub(super) fn decides(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass => "passes".to_owned(),
        Verdict::Refuse(refusal) => format!("refuses: {}", refusal.outcome),
        Verdict::Ask(ask) => format!("asks {}, which decides", ask.service),
        Verdict::Wait(time) => format!("waits {time:?}"),
        _ => "drops".to_owned(),
    }
}

fn quoted(keys: &[Vec<u8>]) -> String {
    let mut shown: Vec<_> =
        keys.iter().take(FEW).map(|key| Seen::Bytes(key.clone()).to_string()).collect();
    if let more @ 1.. = keys.len().saturating_sub(FEW) {
        shown.push(format!("… {more} more"));
    }
    shown.join(", ")
}

fn endpoints(to: &To) -> Vec<String> {
    match to {
        To::One(address, why) => vec![match why {
            Why::Only => format!("{address}, the only one"),
            Why::Key(way, key) => {
                let key = Seen::Bytes(key.clone());
                format!("{address}, always for key {key} ({})", balance(*way))
            }
            Why::Attr(way, Attr::Key, seen) => {
                format!("{address}, always for key {seen} ({})", balance(*way))
            }
            Why::Attr(way, attr, seen) => {
                format!("{address}, always for {attr} {seen} ({})", balance(*way))
            }
            Why::First => format!("{address}, always the first for such requests"),
            Why::Named => format!("{address}, as the request says"),
        }],
        To::Any(way, of) => {
            let even = of.iter().all(|(_, weight)| of.first().is_some_and(|(_, w)| w == weight));
            let one = |(address, weight): &(std::sync::Arc<str>, u32)| match even {
                true => address.to_string(),
                false => format!("{address} (weight {weight})"),
            };
            let mut names: Vec<_> = of.iter().take(FEW).map(one).collect();
            if let more @ 1.. = of.len().saturating_sub(FEW) {
                names.push(format!("… {more} more"));
            }
            let (way, lost) = match way.is_hashing() {
                true => ("by chance", format!(", as there is no key for {}", balance(*way))),
                false => (balance(*way), String::new()),
            };
            vec![format!("{way} over {}: {}{lost}", of.len(), names.join(", "))]
        }
        To::All(of) => {
            let names: Vec<_> = of.iter().map(|address| &**address).collect();
            vec![format!("all {}: {}", of.len(), names.join(", "))]
        }
        To::Split(parts) => {
            parts.iter().map(|(address, keys)| format!("{address} for {}", quoted(keys))).collect()
        }
        To::Held(address, at) => {
            let address = address.as_ref().map_or(String::new(), |address| format!("{address}, "));
            vec![format!("{address}the link that the frame at byte {at} took")]
        }
    }
}

fn result(fate: &Fate) -> String {
    match fate {
        Fate::Sent(To::One(address, _) | To::Held(Some(address), _)) => {
            format!("sent to {address}")
        }
        Fate::Sent(To::Any(_, of)) if of.len() > 1 => {
            format!("sent to one of {} endpoints", of.len())
        }
        Fate::Sent(To::All(of)) => format!("sent to {} endpoints, the replies merged", of.len()),
        Fate::Sent(To::Split(of)) => {
            format!("split over {} endpoints, the replies merged", of.len())
        }
        Fate::Sent(_) => "sent".to_owned(),
        Fate::Direct(text) => format!("answered by the route: {}", plain(text.as_bytes())),
        Fate::Local(false) => "answered by the codec".to_owned(),
        Fate::Local(true) => "answered by the codec, and the connection closed".to_owned(),
        Fate::Pong => "a heartbeat, answered by the codec".to_owned(),
        Fate::Refused(Refused { outcome, reason, text, closes, .. }) => {
            let closes = if *closes { "; the connection is closed" } else { "" };
            let reason = match reason {
                heptad_core::Reason::None => String::new(),
                reason => format!(" ({reason})"),
            };
            format!("refused, {outcome}{reason}: {text}{closes}")
        }
        Fate::Dropped => "dropped without an answer".to_owned(),
        Fate::Stream => "goes where its stream goes".to_owned(),
        Fate::Ignored => "nothing is done about it".to_owned(),
        Fate::CutOff(has, needs) => format!("cut off: {has} bytes of {needs} or more"),
    }
}
