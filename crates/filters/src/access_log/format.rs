//! What a line says: the fields of a format, and how a record becomes a line of it.
//!
//! Knows nothing of where lines go.

use std::fmt;

use heptad_core::{Attr, Render, Wall};

use crate::record::{
    Ended, Reader, Seen, json_text, json_value, named, put_moment, put_number, put_seconds,
    text_value,
};

/// Fields that a line may have at most.
const MAX_FIELDS: usize = 64;

/// Attributes that nearly every format has at most.
const FEW_FIELDS: usize = 12;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// The attribute of this number.
    Attr(usize),
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

/// A compiled format.
#[derive(Clone, Debug)]
pub(crate) struct Format {
    /// The attributes that must be captured, in order.
    attrs: Vec<Attr>,
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    /// Fields with what stands before each: a comma (the first one's becomes a brace), its name, a
    /// colon.
    Json(Vec<(Vec<u8>, Field)>),
    /// Fields with the text before each, whether that leaves them between quotes, and the text
    /// after the last.
    Text(Vec<(String, Field, bool)>, String),
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
        let mut attrs = Vec::new();
        let mut fields = Vec::new();
        let standard: Vec<String> = STANDARD.iter().map(|name| (*name).to_owned()).collect();
        let names = if names.is_empty() { &standard } else { names };
        for (at, name) in names.iter().enumerate() {
            let wrong = |message| BadFormat(Some(at), message);
            let field = field(name, &mut attrs).map_err(wrong)?;
            if fields.iter().any(|(_, known)| *known == field) {
                return Err(wrong(format!("{name} is there twice")));
            }
            let mut before = b",\"".to_vec();
            json_text(&mut before, name.as_bytes());
            before.extend_from_slice(b"\":");
            fields.push((before, field));
        }
        many(fields.len())?;
        Ok(Self { attrs, shape: Shape::Json(fields) })
    }

    /// Lines of text in which names between braces stand for values; `{{` and `}}` are braces.
    pub(crate) fn text(template: &str) -> Result<Self, BadFormat> {
        let wrong = |message: String| BadFormat(None, message);
        if template.contains('\n') {
            return Err(wrong("the text of one record is one line".to_owned()));
        }
        let mut attrs = Vec::new();
        let mut fields = Vec::new();
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
                    let field = field(name, &mut attrs).map_err(wrong)?;
                    fields.push((std::mem::take(&mut before), field, quoted));
                    rest = after;
                }
                '}' => return Err(wrong("a `}` has no `{`; `}}` is a brace".to_owned())),
                c => {
                    quoted ^= c == '"';
                    before.push(c);
                }
            }
        }
        if fields.is_empty() {
            return Err(wrong(
                "it names no value: `json`, or text like `{method} {outcome} {duration}`"
                    .to_owned(),
            ));
        }
        many(fields.len())?;
        Ok(Self { attrs, shape: Shape::Text(fields, before) })
    }

    /// What must be captured of a request, in order.
    pub(crate) fn attrs(&self) -> &[Attr] {
        &self.attrs
    }

    fn line(&self, seen: &[Seen<'_>], end: &Ended<'_>, wall: Wall, out: &mut Vec<u8>) {
        match &self.shape {
            Shape::Json(fields) => {
                let start = out.len();
                for (before, field) in fields {
                    let value = field.value(seen, end);
                    if value == Some(Seen::Absent) {
                        continue;
                    }
                    out.extend_from_slice(before);
                    match value {
                        Some(value) => json_value(out, value),
                        None if *field == Field::Time => {
                            out.push(b'"');
                            field.moment(end, wall, out);
                            out.push(b'"');
                        }
                        None => field.moment(end, wall, out),
                    }
                }
                match out.get_mut(start) {
                    Some(comma) => *comma = b'{',
                    None => out.push(b'{'),
                }
                out.push(b'}');
            }
            Shape::Text(fields, after) => {
                for (before, field, quoted) in fields {
                    out.extend_from_slice(before.as_bytes());
                    match field.value(seen, end) {
                        Some(value) => text_value(out, value, *quoted),
                        None => field.moment(end, wall, out),
                    }
                }
                out.extend_from_slice(after.as_bytes());
            }
        }
        out.push(b'\n');
    }
}

impl Render for Format {
    fn record(&self, record: &[u8], wall: Wall, out: &mut Vec<u8>) {
        // Most formats have few, and room that is not used must be filled, too.
        if self.attrs.len() <= FEW_FIELDS {
            self.read::<FEW_FIELDS>(record, wall, out);
        } else {
            self.read::<MAX_FIELDS>(record, wall, out);
        }
    }
}

impl Format {
    fn read<const N: usize>(&self, record: &[u8], wall: Wall, out: &mut Vec<u8>) {
        let mut reader = Reader(record);
        let mut seen = [Seen::Absent; N];
        for (slot, _) in seen.iter_mut().zip(&self.attrs) {
            *slot = reader.value();
        }
        if let Some(end) = reader.end() {
            self.line(&seen, &end, wall, out);
        }
    }
}

impl Field {
    /// Its value, unless it is a time, which needs a clock.
    fn value<'a>(self, seen: &[Seen<'a>], end: &Ended<'a>) -> Option<Seen<'a>> {
        Some(match self {
            Self::Attr(at) => seen.get(at).copied().unwrap_or(Seen::Absent),
            Self::Route => named(end.route),
            Self::Cluster => named(end.cluster),
            Self::Outcome => Seen::Bytes(end.outcome.as_str().as_bytes(), false),
            Self::Reason if end.reason == heptad_core::Reason::None => Seen::Absent,
            Self::Reason => Seen::Bytes(end.reason.as_str().as_bytes(), false),
            Self::Code => named(end.code),
            Self::Endpoint => named(end.endpoint),
            Self::Attempts => Seen::Number(end.attempts.into()),
            Self::RequestBytes => Seen::Number(end.request_bytes),
            Self::ReplyBytes => Seen::Number(end.reply_bytes),
            Self::Time | Self::Duration => return None,
        })
    }

    fn moment(self, end: &Ended<'_>, wall: Wall, out: &mut Vec<u8>) {
        match self {
            Self::Time => put_moment(out, wall.nanos(end.started)),
            Self::Duration => {
                let took = end.ended.as_nanos().saturating_sub(end.started.as_nanos());
                put_seconds(out, took);
            }
            _ => put_number(out, 0),
        }
    }
}

/// The field of a name; attributes are added to those that are captured.
fn field(name: &str, attrs: &mut Vec<Attr>) -> Result<Field, String> {
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
        // The end tells both, so they need not be captured.
        "route" => Field::Route,
        "cluster" => Field::Cluster,
        _ => {
            let attr: Attr = name.parse().map_err(|error| {
                format!(
                    "no value is called {name:?}: {error}, or time, duration, outcome, reason, \
                     code, endpoint, attempts, request_bytes, reply_bytes, route, cluster"
                )
            })?;
            let known = attrs.iter().position(|known| *known == attr);
            Field::Attr(known.unwrap_or_else(|| {
                attrs.push(attr);
                attrs.len() - 1
            }))
        }
    })
}

fn many(fields: usize) -> Result<(), BadFormat> {
    match fields {
        ..=MAX_FIELDS => Ok(()),
        _ => Err(BadFormat(None, format!("more than {MAX_FIELDS} values"))),
    }
}

#[cfg(test)]
mod tests {
    use heptad_core::{End, Outcome, Reason, Time, Unknown, Value};

    use super::*;
    use crate::record::{put_end, put_value};

    /// A line of a request whose attributes, in the order of the format, are these.
    fn line(format: &Format, values: &[Result<Option<Value<'_>>, Unknown>]) -> String {
        let mut record = Vec::new();
        values.iter().for_each(|value| put_value(&mut record, *value));
        let mut end = End::default();
        end.outcome = Outcome::Timeout;
        end.reason = Reason::Request;
        end.route = "all";
        end.endpoint = "a:1";
        end.attempts = 1;
        end.request_bytes = 20;
        end.started = Time::from_nanos(1_000_000_000);
        put_end(&mut record, Time::from_nanos(1_250_000_000), &end);
        let mut out = Vec::new();
        format.record(&record, Wall::pair(Time::ZERO, 1_000_000_000), &mut out);
        String::from_utf8(out).expect("text")
    }

    fn bytes(text: &str) -> Result<Option<Value<'_>>, Unknown> {
        Ok(Some(Value::Bytes(text.as_bytes())))
    }

    #[test]
    fn a_template_is_filled() {
        let format = Format::text(
            "{time} {source.ip} {service}/{method} \"{header.a}\" {{{outcome}}} {reason} \
             {code} {duration} {route} {cluster} {endpoint} {attempts} {request_bytes} {method}.",
        )
        .expect("a good format");
        let names: Vec<_> = format.attrs().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["source.ip", "service", "method", "header.a"]);
        let ip = Ok(Some(Value::Ip([10, 0, 0, 1].into())));
        assert_eq!(
            line(&format, &[ip, Ok(None), Err(Unknown), bytes("x \"y\"\n")]),
            "1970-01-01T00:00:02.000000Z 10.0.0.1 -/? \"x \\\"y\\\"\\n\" {timeout} request - \
             0.250000 all - a:1 1 20 ?.\n"
        );
    }

    #[test]
    fn json_leaves_out_what_is_absent_and_says_null_of_what_is_unknown() {
        let names =
            ["service", "method", "key", "time", "duration", "code", "outcome", "header.\""];
        let format = Format::json(&names.map(str::to_owned)).expect("a good format");
        assert_eq!(
            line(&format, &[Ok(None), bytes("GET"), Err(Unknown), bytes("")]),
            "{\"method\":\"GET\",\"key\":null,\"time\":\"1970-01-01T00:00:02.000000Z\",\
             \"duration\":0.250000,\"outcome\":\"timeout\",\"header.\\\"\":\"\"}\n"
        );
    }

    #[test]
    fn standard_json_is_one_object_in_a_line() {
        let format = Format::json(&[]).expect("a good format");
        let mut values = vec![bytes("l"), bytes("redis")];
        values.resize(format.attrs().len(), Ok(None));
        let line = line(&format, &values);
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
        let shown = line(&json, &[bytes(evil)]);
        assert_eq!(shown.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&shown).expect(&shown);
        assert_eq!(
            (read["method"].as_str(), read["outcome"].as_str()),
            (Some(evil), Some("timeout"))
        );

        let text = Format::text("{method} {outcome}").expect("good");
        let shown = line(&text, &[bytes("GET ok\nGET")]);
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
