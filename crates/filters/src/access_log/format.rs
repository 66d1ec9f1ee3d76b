//! What a line says: the fields of a format, and in which pieces a line of it is made.
//!
//! Knows nothing of where lines go, and of requests only what an attribute is.

use std::{fmt, ops::Range};

use heptad_core::{Attr, Render, Time, Wall};

use super::line;
use crate::record::json_text;

/// Fields that a line may have at most.
const MAX_FIELDS: usize = 64;

/// What a line of JSON has if nothing else is asked for.
const STANDARD: [&str; 19] = [
    "time",
    "listener",
    "protocol",
    "source.ip",
    "source.port",
    "source.principal",
    "service",
    "method",
    "key",
    "route",
    "cluster",
    "endpoint",
    "outcome",
    "reason",
    "code",
    "duration",
    "request_bytes",
    "reply_bytes",
    "attempts",
];

/// One thing that a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Attr(Attr),
    Route,
    Cluster,
    Time,
    Duration,
    Outcome,
    Reason,
    Code,
    Endpoint,
    Attempts,
    RequestBytes,
    ReplyBytes,
}

/// When a field's value is known, and how long it stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// With the request, and the same for all requests of its connection.
    Connection,
    /// With the request.
    Request,
    /// By whoever writes the line, who has a clock.
    Time,
    /// At the end, and often the same.
    Place,
    /// At the end.
    End,
}

impl Stage {
    /// Whether it must be remembered, because it is known before the end and no longer then.
    pub(super) fn early(self) -> bool {
        matches!(self, Self::Connection | Self::Request)
    }
}

/// A field with what stands before it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// In json a comma (the first one's becomes a brace), the name and a colon.
    pub(super) before: Before,
    pub(super) field: Field,
    /// In text: whether it stands between quotes.
    pub(super) quoted: bool,
}

/// A text that is put into every line. Short ones are copied at a fixed length, which takes a
/// third of the time, and cut off after that.
#[derive(Clone, Debug)]
pub(super) enum Before {
    Short([u8; 32], usize),
    Long(Box<[u8]>),
}

impl Before {
    fn new(text: &[u8]) -> Self {
        let mut short = [0; 32];
        match short.get_mut(..text.len()) {
            Some(front) => {
                front.copy_from_slice(text);
                Self::Short(short, text.len())
            }
            None => Self::Long(text.into()),
        }
    }

    #[inline]
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Short(text, len) => {
                let end = out.len() + len;
                out.extend_from_slice(text);
                out.truncate(end);
            }
            Self::Long(text) => out.extend_from_slice(text),
        }
    }
}

/// A compiled format.
#[derive(Clone, Debug)]
pub(crate) struct Format {
    pub(super) json: bool,
    pub(super) steps: Vec<Step>,
    /// Steps that follow each other and are known at the same time. At most one run each is of a
    /// connection and of a place.
    pub(super) runs: Vec<(Stage, Range<usize>)>,
    /// How many runs from the front on are known before the end, times included.
    pub(super) front: usize,
    /// In text: what stands after the last.
    pub(super) after: Vec<u8>,
}

/// Why a format is none: the place in the option, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadFormat(pub(crate) Option<usize>, pub(crate) String);

impl fmt::Display for BadFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.1)
    }
}

impl Format {
    /// A line of JSON with these fields, or with the standard ones if there are none.
    pub(crate) fn json(names: &[String]) -> Result<Self, BadFormat> {
        let mut steps: Vec<Step> = Vec::new();
        let standard: Vec<String> = STANDARD.iter().map(|name| (*name).to_owned()).collect();
        let names = if names.is_empty() { &standard } else { names };
        for (at, name) in names.iter().enumerate() {
            let wrong = |message| BadFormat(Some(at), message);
            let field = field(name).map_err(wrong)?;
            if steps.iter().any(|known| known.field == field) {
                return Err(wrong(format!("{name} is there twice")));
            }
            let mut before = b",\"".to_vec();
            json_text(&mut before, name.as_bytes());
            before.extend_from_slice(if field == Field::Time { b"\":\"" } else { b"\":" });
            steps.push(Step { before: Before::new(&before), field, quoted: false });
        }
        Self::new(true, steps, Vec::new())
    }

    /// Lines of text in which names between braces stand for values; `{{` and `}}` are braces.
    pub(crate) fn text(template: &str) -> Result<Self, BadFormat> {
        let wrong = |message: String| BadFormat(None, message);
        if template.contains('\n') {
            return Err(wrong("the text of one record is one line".to_owned()));
        }
        let mut steps = Vec::new();
        let mut before = String::new();
        let mut quoted = false;
        let mut rest = template;
        while let Some(c) = rest.chars().next() {
            rest = rest.strip_prefix(c).unwrap_or_default();
            match c {
                '{' | '}' if rest.starts_with(c) => {
                    rest = rest.strip_prefix(c).unwrap_or_default();
                    before.push(c);
                }
                '{' => {
                    let (name, after) = rest
                        .split_once('}')
                        .ok_or_else(|| wrong("a `{` has no `}`; `{{` is a brace".to_owned()))?;
                    let field = field(name).map_err(wrong)?;
                    let before = Before::new(std::mem::take(&mut before).as_bytes());
                    steps.push(Step { before, field, quoted });
                    rest = after;
                }
                '}' => return Err(wrong("a `}` has no `{`; `}}` is a brace".to_owned())),
                c => {
                    quoted ^= c == '"';
                    before.push(c);
                }
            }
        }
        if steps.is_empty() {
            return Err(wrong(
                "it names no value: `json`, or text like `{method} {outcome} {duration}`"
                    .to_owned(),
            ));
        }
        before.push('\n');
        Self::new(false, steps, before.into_bytes())
    }

    fn new(json: bool, steps: Vec<Step>, after: Vec<u8>) -> Result<Self, BadFormat> {
        if steps.len() > MAX_FIELDS {
            return Err(BadFormat(None, format!("more than {MAX_FIELDS} values")));
        }
        let mut runs: Vec<(Stage, Range<usize>)> = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            let stage = step.field.stage();
            match runs.last_mut() {
                Some((last, run)) if *last == stage => run.end = at + 1,
                _ => runs.push((stage, at..at + 1)),
            }
        }
        // What is remembered of a connection or a place is one run, the longest.
        for (once, else_) in [(Stage::Connection, Stage::Request), (Stage::Place, Stage::End)] {
            let of = |(at, (stage, run)): (usize, &(Stage, Range<usize>))| {
                (*stage == once).then_some((run.len(), at))
            };
            let longest = runs.iter().enumerate().filter_map(of).max();
            for (at, (stage, _)) in runs.iter_mut().enumerate() {
                if *stage == once && longest.is_some_and(|(_, longest)| at != longest) {
                    *stage = else_;
                }
            }
        }
        let known = |(stage, _): &(Stage, _)| stage.early() || *stage == Stage::Time;
        let front = runs.iter().take_while(|run| known(run)).count();
        Ok(Self { json, steps, runs, front, after })
    }

    /// The attributes that are asked of a request.
    pub(crate) fn attrs(&self) -> impl Iterator<Item = &Attr> {
        self.steps.iter().filter_map(|step| match &step.field {
            Field::Attr(attr) => Some(attr),
            _ => None,
        })
    }
}

impl Render for Format {
    fn record(&self, record: &[u8], wall: Wall, out: &mut Vec<u8>) {
        line::set_time(record, |started: Time| wall.nanos(started), out);
    }
}

impl Field {
    fn stage(&self) -> Stage {
        match self {
            Self::Attr(
                Attr::Listener
                | Attr::Protocol
                | Attr::SourceIp
                | Attr::SourcePort
                | Attr::DestinationPort,
            ) => Stage::Connection,
            Self::Attr(_) => Stage::Request,
            Self::Time => Stage::Time,
            Self::Route
            | Self::Cluster
            | Self::Endpoint
            | Self::Outcome
            | Self::Reason
            | Self::Code => Stage::Place,
            Self::Duration | Self::Attempts | Self::RequestBytes | Self::ReplyBytes => Stage::End,
        }
    }
}

/// The field of a name.
fn field(name: &str) -> Result<Field, String> {
    Ok(match name {
        "time" => Field::Time,
        "duration" => Field::Duration,
        "outcome" => Field::Outcome,
        "reason" => Field::Reason,
        "code" => Field::Code,
        "endpoint" => Field::Endpoint,
        "attempts" => Field::Attempts,
        "request_bytes" => Field::RequestBytes,
        "reply_bytes" => Field::ReplyBytes,
        // Known at the end anyway, so they need not be remembered.
        "route" => Field::Route,
        "cluster" => Field::Cluster,
        _ => Field::Attr(name.parse().map_err(|error| {
            format!(
                "no value is called {name:?}: {error}, or time, duration, outcome, reason, code, \
                 endpoint, attempts, request_bytes, reply_bytes, route, cluster"
            )
        })?),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use heptad_core::{End, Outcome, Reason};

    use super::*;
    use crate::{
        access_log::line::{Begun, Lines},
        fake::Fake,
    };

    /// A line of this request.
    fn line(format: &Format, request: &mut Fake) -> String {
        let mut end = End::default();
        end.outcome = Outcome::Timeout;
        end.reason = Reason::Request;
        end.route = "all";
        end.endpoint = "a:1";
        end.attempts = 1;
        end.request_bytes = 20;
        end.started = Time::from_nanos(1_000_000_000);
        let (mut lines, mut begun) = (Lines::new(Arc::new(format.clone())), Begun::default());
        lines.begin(request, &mut begun);
        let record = lines.end(Time::from_nanos(1_250_000_000), &end, &mut begun);
        let mut out = Vec::new();
        format.record(record, Wall::pair(Time::ZERO, 1_000_000_000), &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_template_is_filled() {
        let format = Format::text(
            "{time} {source.ip} {service}/{method} \"{header.a}\" {{{outcome}}} {reason} \
             {code} {duration} {route} {cluster} {endpoint} {attempts} {request_bytes} {method} \
             {time}.",
        )
        .expect("a good format");
        let names: Vec<_> = format.attrs().map(ToString::to_string).collect();
        assert_eq!(names, ["source.ip", "service", "method", "header.a", "method"]);
        let request = Fake::new().ip("source.ip", "10.0.0.1").unknown("method");
        assert_eq!(
            line(&format, &mut request.with("header.a", "x \"y\"\n")),
            "1970-01-01T00:00:02.000000Z 10.0.0.1 -/? \"x \\\"y\\\"\\n\" {timeout} request - \
             0.250000 all - a:1 1 20 ? 1970-01-01T00:00:02.000000Z.\n"
        );
    }

    #[test]
    fn json_leaves_out_what_is_absent_and_says_null_of_what_is_unknown() {
        let names =
            ["service", "method", "key", "time", "duration", "code", "outcome", "header.\""];
        let format = Format::json(&names.map(str::to_owned)).expect("a good format");
        assert_eq!(
            line(
                &format,
                &mut Fake::new().with("method", "GET").unknown("key").with("header.\"", "")
            ),
            "{\"method\":\"GET\",\"key\":null,\"time\":\"1970-01-01T00:00:02.000000Z\",\
             \"duration\":0.250000,\"outcome\":\"timeout\",\"header.\\\"\":\"\"}\n"
        );
    }

    #[test]
    fn standard_json_is_one_object_in_a_line() {
        let format = Format::json(&[]).expect("a good format");
        let line = line(&format, &mut Fake::new().with("listener", "l"));
        let read: serde_json::Value = serde_json::from_str(&line).expect(&line);
        assert_eq!(read["listener"], "l");
        assert_eq!(read["reason"], "request");
        assert_eq!(read["reply_bytes"], 0);
        assert_eq!(read.get("source.ip"), None);
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn a_strangers_value_cannot_fake_a_line_or_a_field() {
        let evil = "x\",\"outcome\":\"ok\"}\n{\"time\":\"1";
        let json = Format::json(&["method".into(), "outcome".into()]).expect("good");
        let shown = line(&json, &mut Fake::new().with("method", evil));
        assert_eq!(shown.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&shown).expect(&shown);
        assert_eq!(
            (read["method"].as_str(), read["outcome"].as_str()),
            (Some(evil), Some("timeout"))
        );

        let text = Format::text("{method} {outcome}").expect("good");
        let shown = line(&text, &mut Fake::new().with("method", "GET ok\nGET"));
        assert_eq!(shown, "GET\\x20ok\\nGET timeout\n");
    }

    #[test]
    fn formats_that_are_none_say_why() {
        for (bad, why) in [
            ("{methd}", "methd"),
            ("{method", "no `}`"),
            ("method}", "no `{`"),
            ("nothing", "names no value"),
            ("{}", "\"\""),
            ("{method}\n{method}", "one line"),
        ] {
            let BadFormat(_, message) = Format::text(bad).expect_err(bad);
            assert!(message.contains(why), "{bad}: {message}");
        }
        let BadFormat(at, message) =
            Format::json(&["method".into(), "outcom".into()]).expect_err("no such value");
        assert!(at == Some(1) && message.contains("outcom"));
        assert!(Format::json(&["method".into(), "method".into()]).is_err());
        assert!(Format::text(&"{method}".repeat(65)).is_err());
    }
}
