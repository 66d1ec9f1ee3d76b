//! The text that Prometheus scrapes, from what the workers counted.
//!
//! Written by hand: the format is a page long, all numbers are already there as plain cells, and a
//! registry would only be a second place for them. Names follow Prometheus's rules: base units,
//! `_total` on counters alone.

use std::{
    fmt::{self, Display, Write as _},
    time::Duration,
};

use heptad_core::Outcome;

use crate::{MirrorTotals, Process, SeriesTotals, Totals};

/// What `Content-Type` an answer with this text should have.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the duration buckets, in microseconds.
const BOUNDS: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// Renders the counts of all listeners and the facts of the process.
pub fn render(all: &[Totals], process: &Process) -> String {
    let mut out = Text::default();
    requests(&mut out, all);
    methods(&mut out, all);
    mirrors(&mut out, all);
    filters(&mut out, all);
    connections(&mut out, all);
    about_process(&mut out, process);
    out.0
}

fn requests(out: &mut Text, all: &[Totals]) {
    out.head("heptad_requests_total", "counter", "Requests that ended, by how.");
    for (labels, series) in by_route(all) {
        for ((outcome, reason, code), count) in &series.counts {
            let end = [("outcome", outcome.as_str()), ("reason", reason.as_str()), ("code", code)];
            out.row("heptad_requests_total", &labels, &end, count);
        }
    }
    out.head("heptad_requests_in_flight", "gauge", "Requests not yet settled.");
    for (labels, series) in by_route(all) {
        out.row("heptad_requests_in_flight", &labels, &[], series.in_flight);
    }
    let name = "heptad_request_duration_seconds";
    let help =
        "Time from decoding a request to its end, for those that a cluster served or failed.";
    out.head(name, "histogram", help);
    for (labels, SeriesTotals { duration, .. }) in by_route(all) {
        for bound in BOUNDS {
            let bound = Duration::from_micros(bound);
            let le = Seconds(bound).to_string();
            let count = duration.at_most(bound);
            out.row(format_args!("{name}_bucket"), &labels, &[("le", &le)], count);
        }
        out.row(format_args!("{name}_bucket"), &labels, &[("le", "+Inf")], duration.count);
        let sum = Seconds(Duration::from_nanos(duration.sum_nanos));
        out.row(format_args!("{name}_sum"), &labels, &[], sum);
        out.row(format_args!("{name}_count"), &labels, &[], duration.count);
    }
}

fn methods(out: &mut Text, all: &[Totals]) {
    let name = "heptad_method_requests_total";
    out.head(
        name,
        "counter",
        "Requests that ended, by method; past the bound all others are the method \"other\".",
    );
    for totals in all {
        for ((service, method), outcomes) in &totals.methods {
            for (outcome, count) in Outcome::ALL.iter().zip(outcomes).filter(|(_, n)| **n > 0) {
                let labels = [
                    ("listener", &*totals.listener),
                    ("protocol", &*totals.protocol),
                    ("service", &**service),
                    ("method", &**method),
                ];
                out.row(name, &labels, &[("outcome", outcome.as_str())], count);
            }
        }
    }
}

fn mirrors(out: &mut Text, all: &[Totals]) {
    type Read = fn(&MirrorTotals) -> u64;
    let copies: [(&str, Read); 2] = [("sent", |m| m.sent), ("dropped", |m| m.dropped)];
    let pairs: [(&str, Read); 2] = [("same", |m| m.same), ("different", |m| m.different)];
    let metrics = [
        ("heptad_mirror_copies_total", "Copies of requests to mirrors.", copies),
        ("heptad_mirror_replies_total", "Replies to copies, compared with the original's.", pairs),
    ];
    for (name, help, cells) in metrics {
        out.head(name, "counter", help);
        for totals in all {
            for ((route, cluster), mirror) in &totals.mirrors {
                let labels =
                    [("listener", &*totals.listener), ("route", route), ("cluster", cluster)];
                for (result, read) in cells {
                    out.row(name, &labels, &[("result", result)], read(mirror));
                }
            }
        }
    }
}

fn filters(out: &mut Text, all: &[Totals]) {
    let name = "heptad_filter_events_total";
    out.head(name, "counter", "What filters counted by themselves, since they were configured.");
    for totals in all {
        for ((filter, event), count) in &totals.filters {
            let labels = [("listener", &*totals.listener), ("filter", filter), ("event", event)];
            out.row(name, &labels, &[], count);
        }
    }
}

fn connections(out: &mut Text, all: &[Totals]) {
    type Read = fn(&Totals) -> u64;
    let single: [(&str, &str, &str, Read); 12] = [
        ("heptad_sessions", "gauge", "Client connections open now.", |t| t.sessions),
        ("heptad_sessions_opened_total", "counter", "Client connections accepted.", |t| {
            t.sessions_opened
        }),
        ("heptad_links", "gauge", "Connections to endpoints open now.", |t| t.links),
        ("heptad_links_dialed_total", "counter", "Connections to endpoints begun.", |t| {
            t.links_dialed
        }),
        ("heptad_late_replies_total", "counter", "Replies that nobody waited for any more.", |t| {
            t.late_replies
        }),
        (
            "heptad_redirects_total",
            "counter",
            "Requests sent elsewhere because their reply said so.",
            |t| t.redirects,
        ),
        ("heptad_pushes_dropped_total", "counter", "Pushes for a client that is gone.", |t| {
            t.pushes_dropped
        }),
        (
            "heptad_unknown_attributes_total",
            "counter",
            "Attributes that could not be read when a rule asked for them.",
            |t| t.unknown_attributes,
        ),
        ("heptad_received_bytes_total", "counter", "Bytes that came from clients.", |t| {
            t.received_bytes
        }),
        ("heptad_sent_bytes_total", "counter", "Bytes for clients.", |t| t.sent_bytes),
        ("heptad_requests_waiting", "gauge", "Requests waiting for a link.", |t| t.waiting),
        ("heptad_engine_restarts_total", "counter", "Engines replaced after a panic.", |t| {
            t.restarts
        }),
    ];
    for (name, kind, help, read) in single {
        out.head(name, kind, help);
        for totals in all {
            out.row(name, &by_listener(totals), &[], read(totals));
        }
    }
    out.head(
        "heptad_session_ends_total",
        "counter",
        "Client connections that Heptad closed or that broke off, by why.",
    );
    for totals in all {
        for ((outcome, reason), count) in &totals.session_ends {
            let end = [("outcome", outcome.as_str()), ("reason", reason.as_str())];
            out.row("heptad_session_ends_total", &by_listener(totals), &end, count);
        }
    }
    out.head("heptad_link_ends_total", "counter", "Connections to endpoints that ended, by why.");
    for totals in all {
        for ((outcome, reason), count) in &totals.link_ends {
            let end = [("outcome", outcome.as_str()), ("reason", reason.as_str())];
            out.row("heptad_link_ends_total", &by_listener(totals), &end, count);
        }
    }
}

fn about_process(out: &mut Text, process: &Process) {
    out.head("heptad_build_info", "gauge", "Always 1; the labels say what is running.");
    out.row("heptad_build_info", &[("version", env!("CARGO_PKG_VERSION"))], &[], 1);
    let name = "process_start_time_seconds";
    out.head(name, "gauge", "When the process started, in seconds since the Unix epoch.");
    out.row(name, &[], &[], Seconds(process.started));
    if let Some(bytes) = process.resident_bytes {
        let name = "process_resident_memory_bytes";
        out.head(name, "gauge", "Memory of the process that is in RAM.");
        out.row(name, &[], &[], bytes);
    }
    if let Some(cpu) = process.cpu {
        let name = "process_cpu_seconds_total";
        out.head(name, "counter", "User and system CPU time of the process.");
        out.row(name, &[], &[], Seconds(cpu));
    }
}

fn by_route(all: &[Totals]) -> impl Iterator<Item = ([Label<'_>; 4], &SeriesTotals)> {
    all.iter().flat_map(|totals| {
        totals.series.iter().map(|((route, cluster), series)| {
            let labels = [
                ("listener", &*totals.listener),
                ("route", &**route),
                ("cluster", &**cluster),
                ("protocol", &*totals.protocol),
            ];
            (labels, series)
        })
    })
}

fn by_listener(totals: &Totals) -> [Label<'_>; 2] {
    [("listener", &totals.listener), ("protocol", &totals.protocol)]
}

type Label<'a> = (&'a str, &'a str);

/// The exposition as it grows. Writing to a `String` cannot fail, so errors are dropped here once.
#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn row(
        &mut self,
        name: impl Display,
        labels: &[Label<'_>],
        more: &[Label<'_>],
        value: impl Display,
    ) {
        let _ = write!(self.0, "{name}");
        let mut sep = '{';
        for (key, value) in labels.iter().chain(more) {
            let _ = write!(self.0, "{sep}{key}=\"");
            self.value(value);
            self.0.push('"');
            sep = ',';
        }
        let end = if sep == ',' { "}" } else { "" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    /// Methods come from clients: whatever is in there must not end the label.
    fn value(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                c => self.0.push(c),
            }
        }
    }
}

/// A duration in seconds, without the rounding of a float.
struct Seconds(Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{}.{:09}", self.0.as_secs(), self.0.subsec_nanos());
        let digits = digits.trim_end_matches('0');
        f.write_str(digits.strip_suffix('.').unwrap_or(digits))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };

    use heptad_core::Reason;

    use super::*;

    fn totals() -> Totals {
        let mut totals = Totals::new("shop \"1\"\n", "redis");
        let series = totals.series.entry(("r".into(), "c\\".into())).or_default();
        series.counts.insert((Outcome::Ok, Reason::None, "".into()), 3);
        series.counts.insert((Outcome::AppError, Reason::None, "WRONGTYPE".into()), 1);
        series.duration.record(Duration::from_micros(90));
        series.duration.record(Duration::from_millis(3));
        series.in_flight = 2;
        totals.methods.insert(("".into(), "GET".into()), [1; Outcome::ALL.len()]);
        totals.filters.insert(("access_log".into(), "dropped".into()), 4);
        totals.session_ends.insert((Outcome::Overloaded, Reason::SlowReader), 1);
        totals.link_ends.insert((Outcome::Reset, Reason::Closed), 1);
        totals
    }

    #[test]
    fn labels_are_escaped_and_buckets_add_up() {
        let text = render(&[totals()], &Process::default());
        let labels = r#"listener="shop \"1\"\n",route="r",cluster="c\\",protocol="redis""#;
        for line in [
            format!("heptad_requests_total{{{labels},outcome=\"ok\",reason=\"none\",code=\"\"}} 3"),
            format!("heptad_requests_in_flight{{{labels}}} 2"),
            format!("heptad_request_duration_seconds_bucket{{{labels},le=\"0.0001\"}} 1"),
            format!("heptad_request_duration_seconds_bucket{{{labels},le=\"0.005\"}} 2"),
            format!("heptad_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 2"),
            format!("heptad_request_duration_seconds_sum{{{labels}}} 0.00309"),
            format!("heptad_request_duration_seconds_count{{{labels}}} 2"),
            "heptad_filter_events_total{listener=\"shop \\\"1\\\"\\n\",filter=\"access_log\",\
             event=\"dropped\"} 4"
                .to_owned(),
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\nnot in\n{text}");
        }
    }

    #[test]
    fn promtool_finds_nothing_to_say() {
        let text = render(&[totals(), Totals::new("b", "thrift")], &Process::read());
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool runs; `cargo xtask setup` installs it");
        promtool.stdin.take().expect("piped").write_all(text.as_bytes()).expect("promtool reads");
        let said = promtool.wait_with_output().expect("promtool ends");
        assert!(
            said.status.success() && said.stdout.is_empty() && said.stderr.is_empty(),
            "{said:?}\n{text}"
        );
    }
}
