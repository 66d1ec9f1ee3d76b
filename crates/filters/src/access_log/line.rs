//! How a worker makes a line, in two halves: what only the request knows when it comes, the rest
//! when it is over. Only the time is left open, for whoever has a clock.
//!
//! What lines repeat is made once and copied: what a connection says of itself, and the place and
//! outcome that a request ends with.

use std::{ops::Range, sync::Arc};

use heptad_core::{End, Outcome, Reason, Request, Time, Value};

use super::format::{Field, Format, Stage, Step};
use crate::record::{
    Seen, is_plain, json_value, named, put_number, put_seconds, set_moment, text_value,
};

/// Connections and places that are remembered. One that is not is made anew for each line.
const CONNECTIONS: usize = 1024;
const PLACES: usize = 128;

/// Room for the time in a line; before it is set, its first bytes say where the next one is.
const TIME: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";
/// Before the line: when the request started, and where its first time is.
const HEAD: usize = 12;
/// No time, or no more.
const NO_TIME: u32 = u32::MAX;

/// Makes the lines of one worker.
#[derive(Debug)]
pub(super) struct Lines {
    format: Arc<Format>,
    connections: Vec<Connection>,
    places: Vec<Place>,
}

/// A line whose request is not yet over.
#[derive(Debug, Default)]
pub(super) struct Begun {
    /// The record as far as it goes without the end.
    line: Vec<u8>,
    /// Where the position of the next time goes.
    times: usize,
    /// What comes later in the line and will no longer be known at the end: each run of it with
    /// its length before.
    rest: Vec<u8>,
}

/// What the requests of a connection say alike.
#[derive(Clone, Debug, Default)]
struct Connection {
    id: Option<u64>,
    text: Vec<u8>,
}

/// What the requests that end alike say.
#[derive(Clone, Debug, Default)]
struct Place {
    outcome: Outcome,
    reason: Reason,
    names: [String; 4],
    text: Vec<u8>,
}

impl Lines {
    pub(super) fn new(format: Arc<Format>) -> Self {
        Self { format, connections: Vec::new(), places: Vec::new() }
    }

    /// What is known before the end.
    pub(super) fn begin(&mut self, request: &mut dyn Request, begun: &mut Begun) {
        let Begun { line, times, rest } = begun;
        line.clear();
        line.extend_from_slice(&[0; HEAD]);
        *times = 8;
        rest.clear();
        let (front, back) = self.format.runs.split_at(self.format.front);
        for (stage, run) in front {
            match stage {
                Stage::Time => self.format.time(run, line, times),
                _ => early(&self.format, &mut self.connections, *stage, run, request, line),
            }
        }
        for (stage, run) in back.iter().filter(|(stage, _)| stage.early()) {
            let start = rest.len();
            rest.extend_from_slice(&[0; 4]);
            early(&self.format, &mut self.connections, *stage, run, request, rest);
            // A line has at most 64 values, each of at most 256 bytes before they are escaped.
            let len = (rest.len() - start - 4) as u32;
            point(rest, start, len);
        }
    }

    /// The record: the whole line but for its time.
    pub(super) fn end<'b>(&mut self, now: Time, end: &End<'_>, begun: &'b mut Begun) -> &'b [u8] {
        let Self { format, places, .. } = self;
        let Begun { line, times, rest } = begun;
        let mut rest = &rest[..];
        for (stage, run) in format.runs.get(format.front..).unwrap_or_default() {
            match stage {
                Stage::Connection | Stage::Request => {
                    if let Some((len, after)) = rest.split_first_chunk()
                        && let Some((run, after)) =
                            after.split_at_checked(u32::from_le_bytes(*len) as usize)
                    {
                        line.extend_from_slice(run);
                        rest = after;
                    }
                }
                Stage::Time => format.time(run, line, times),
                Stage::Place => place(places, format, run, now, end, line),
                Stage::End => tell(format, run, now, end, line),
            }
        }
        point(line, *times, NO_TIME);
        if format.json {
            match line.get_mut(HEAD) {
                Some(comma) => *comma = b'{',
                None => line.push(b'{'),
            }
            line.extend_from_slice(b"}\n");
        } else {
            line.extend_from_slice(&format.after);
        }
        if let Some(head) = line.first_chunk_mut() {
            *head = end.started.as_nanos().to_le_bytes();
        }
        line
    }
}

impl Format {
    /// Appends room for times.
    fn time(&self, run: &Range<usize>, line: &mut Vec<u8>, times: &mut usize) {
        for step in self.steps.get(run.clone()).unwrap_or_default() {
            step.before.put(line);
            let at = line.len();
            point(line, *times, (at - HEAD) as u32);
            *times = at;
            line.extend_from_slice(TIME);
            if self.json {
                line.push(b'"');
            }
        }
    }
}

/// Writes at `at` where a time is.
fn point(line: &mut [u8], at: usize, to: u32) {
    if let Some(link) = line.get_mut(at..).and_then(|link| link.first_chunk_mut()) {
        *link = to.to_le_bytes();
    }
}

/// Sets the times of a record, whose line is appended.
pub(super) fn set_time(record: &[u8], nanos: impl Fn(Time) -> u64, out: &mut Vec<u8>) {
    let Some((started, rest)) = record.split_first_chunk() else {
        return;
    };
    let Some((first, line)) = rest.split_first_chunk() else {
        return;
    };
    let start = out.len();
    out.extend_from_slice(line);
    let mut next = u32::from_le_bytes(*first);
    if next == NO_TIME {
        return;
    }
    let started = Time::from_nanos(u64::from_le_bytes(*started));
    let nanos = nanos(started);
    while next != NO_TIME {
        let hole = out.get_mut(start + next as usize..).and_then(|rest| rest.first_chunk_mut());
        let Some(hole) = hole else {
            return;
        };
        if let Some(link) = hole.first_chunk() {
            next = u32::from_le_bytes(*link);
        }
        set_moment(hole, nanos);
    }
}

/// Appends fields that the request knows.
fn early(
    format: &Format,
    connections: &mut Vec<Connection>,
    stage: Stage,
    run: &Range<usize>,
    request: &mut dyn Request,
    out: &mut Vec<u8>,
) {
    let Some(id) = request.connection().filter(|_| stage == Stage::Connection) else {
        return ask(format, run, request, out);
    };
    if connections.is_empty() {
        connections.resize(CONNECTIONS, Connection::default());
    }
    let Some(known) = connections.get_mut(id as usize % CONNECTIONS) else {
        return;
    };
    if known.id != Some(id) {
        known.id = Some(id);
        known.text.clear();
        ask(format, run, request, &mut known.text);
    }
    out.extend_from_slice(&known.text);
}

/// Appends a field, as the format has it.
fn put(json: bool, step: &Step, value: Seen<'_>, out: &mut Vec<u8>) {
    if !json {
        step.before.put(out);
        text_value(out, value, step.quoted);
    } else if value != Seen::Absent {
        step.before.put(out);
        json_value(out, value);
    }
}

/// Appends fields that the request knows.
fn ask(format: &Format, run: &Range<usize>, request: &mut dyn Request, out: &mut Vec<u8>) {
    for step in format.steps.get(run.clone()).unwrap_or_default() {
        let Field::Attr(attr) = &step.field else {
            continue;
        };
        match request.attr(attr) {
            Ok(None) if format.json => {}
            // Nearly every value is like this.
            Ok(Some(Value::Bytes(bytes))) if format.json && is_plain(bytes) => {
                step.before.put(out);
                out.push(b'"');
                out.extend_from_slice(bytes);
                out.push(b'"');
            }
            found => put(format.json, step, Seen::new(found), out),
        }
    }
}

/// Appends fields that the end knows.
fn tell(format: &Format, run: &Range<usize>, now: Time, end: &End<'_>, out: &mut Vec<u8>) {
    for step in format.steps.get(run.clone()).unwrap_or_default() {
        let number = match &step.field {
            Field::Duration => {
                step.before.put(out);
                put_seconds(out, now.as_nanos().saturating_sub(end.started.as_nanos()));
                continue;
            }
            Field::Attempts => end.attempts.into(),
            Field::RequestBytes => end.request_bytes,
            Field::ReplyBytes => end.reply_bytes,
            name => {
                let name = match name {
                    Field::Route => end.route,
                    Field::Cluster => end.cluster,
                    Field::Endpoint => end.endpoint,
                    Field::Code => end.code,
                    Field::Outcome => end.outcome.as_str(),
                    Field::Reason if end.reason != Reason::None => end.reason.as_str(),
                    _ => "",
                };
                put(format.json, step, named(name.as_bytes()), out);
                continue;
            }
        };
        step.before.put(out);
        put_number(out, number);
    }
}

/// Appends fields that the end knows, and that many requests say alike.
fn place(
    places: &mut Vec<Place>,
    format: &Format,
    run: &Range<usize>,
    now: Time,
    end: &End<'_>,
    out: &mut Vec<u8>,
) {
    if places.is_empty() {
        places.resize(PLACES, Place::default());
    }
    let names = [end.route, end.cluster, end.endpoint, end.code];
    // Where names lie is only a hint of which they are, but a good one.
    let hint = names.iter().fold(end.outcome as usize, |hint, name| {
        hint.wrapping_mul(31).wrapping_add(name.as_ptr().addr() >> 3)
    });
    let Some(known) = places.get_mut((hint ^ hint >> 7) % PLACES) else {
        return;
    };
    let same = known.outcome == end.outcome
        && known.reason == end.reason
        && known.names.iter().zip(names).all(|(known, name)| known == name)
        && !known.text.is_empty();
    if !same {
        (known.outcome, known.reason) = (end.outcome, end.reason);
        for (known, name) in known.names.iter_mut().zip(names) {
            known.clear();
            known.push_str(name);
        }
        known.text.clear();
        tell(format, run, now, end, &mut known.text);
    }
    out.extend_from_slice(&known.text);
}

#[cfg(test)]
mod tests {
    use heptad_core::{Render as _, Wall};

    use super::*;
    use crate::fake::Fake;

    /// A request of one of many connections, and how it ends.
    fn one(rng: &mut fastrand::Rng) -> (Fake, End<'static>) {
        let connection = rng.u64(..3 * CONNECTIONS as u64);
        let mut request = Fake::new()
            .with("listener", "l")
            .ip("source.ip", "10.0.0.1")
            .number("source.port", connection);
        if rng.bool() {
            request = request.of(connection);
        }
        if rng.bool() {
            request = request.with("method", rng.choice(["GET", "a \" b"]).expect("one"));
        }
        let mut end = End::default();
        end.outcome = *rng.choice(Outcome::ALL).expect("one");
        end.reason = *rng.choice(Reason::ALL).expect("one");
        end.route = rng.choice(["", "a", "b"]).expect("one");
        end.cluster = rng.choice(["", "a", "b"]).expect("one");
        end.endpoint = rng.choice(["", "1:1", "1:2"]).expect("one");
        end.code = rng.choice(["", "ERR"]).expect("one");
        end.request_bytes = rng.u64(..1000);
        end.started = Time::from_nanos(rng.u64(..1_000_000_000_000));
        (request, end)
    }

    fn written(lines: &mut Lines, request: &mut Fake, end: &End<'_>) -> String {
        let mut begun = Begun::default();
        lines.begin(request, &mut begun);
        let record = lines.end(Time::from_nanos(1 << 50), end, &mut begun).to_vec();
        let mut out = Vec::new();
        lines.format.record(&record, Wall::default(), &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn what_is_remembered_is_what_would_be_made_anew() {
        let mixed = "{code} {source.ip}:{source.port} {method} {listener} {time} {outcome} \
                     {reason} {route} {request_bytes} {endpoint} {cluster} {duration} {time}";
        for format in [Format::json(&[]), Format::text(mixed)] {
            let format = Arc::new(format.expect("good"));
            let mut rng = fastrand::Rng::with_seed(7);
            let mut lines = Lines::new(format.clone());
            for _ in 0..20_000 {
                let (mut request, end) = one(&mut rng);
                let anew = written(&mut Lines::new(format.clone()), &mut request, &end);
                assert_eq!(written(&mut lines, &mut request, &end), anew);
                for said in [end.outcome.as_str(), end.route, end.code, end.endpoint] {
                    assert!(anew.contains(said), "{said:?} in {anew}");
                }
            }
        }
    }

    #[test]
    fn half_a_record_is_no_reason_to_fail() {
        let format = Arc::new(Format::json(&[]).expect("good"));
        let (mut lines, mut begun) = (Lines::new(format.clone()), Begun::default());
        lines.begin(&mut Fake::new().with("method", "GET"), &mut begun);
        let record = lines.end(Time::ZERO, &End::default(), &mut begun).to_vec();
        for len in 0..record.len() {
            format.record(&record[..len], Wall::default(), &mut Vec::new());
        }
    }
}
