//! The samples of a description: whether its codec finds in them what they say. It runs decoders
//! over whole samples; cuts and damage are for the conformance checks.

use std::fmt;

use heptad_config::{Problem, Problems, parse_yaml};
use heptad_core::{Asked, Codec, Ctx, Kind, Meta, NoOptions, Pairing, Side, Step, Want};

use crate::{
    Conn, Frame,
    compile::word,
    hex,
    model::{Description, Expected, From, KindName, Layout, Part, Sample, Source},
};

/// A sample in which something else was found than it says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mismatch {
    /// The key of the description that it is about.
    pub path: String,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.found)
    }
}

/// A mismatch, shown at its line of the description's text.
pub fn problem(file: &str, text: &str, mismatch: &Mismatch) -> Problems {
    let span = parse_yaml(file, text).map(|root| root.at(&mismatch.path).span());
    let cure = "correct the sample, or what is described";
    let problem = Problem::new(span.unwrap_or_default(), &mismatch.found, cure);
    Problems::of(file, text, vec![problem])
}

/// A sample's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bytes {
    /// A client sends them; otherwise a server.
    pub client: bool,
    /// What was asked before.
    pub asked: Vec<u8>,
    /// The frames.
    pub bytes: Vec<u8>,
    /// How many.
    pub frames: usize,
}

/// The bytes of all samples.
pub fn bytes(description: &Description) -> Result<Vec<Bytes>, Mismatch> {
    let each = description.samples.iter().enumerate();
    each.map(|(i, sample)| {
        let wrong = |key: &str| Mismatch {
            path: format!("samples.{i}.{key}"),
            found: "this is not made of pairs of hexadecimal digits".to_owned(),
        };
        Ok(Bytes {
            client: client(i, sample)?,
            asked: hex::bytes(sample.asked.as_deref().unwrap_or_default())
                .ok_or_else(|| wrong("asked"))?,
            bytes: hex::bytes(&sample.hex).ok_or_else(|| wrong("hex"))?,
            frames: sample.frames.len(),
        })
    })
    .collect()
}

fn client(i: usize, sample: &Sample) -> Result<bool, Mismatch> {
    match sample.from {
        From::Client => Ok(true),
        From::Server => Ok(false),
        From::Both => Err(Mismatch {
            path: format!("samples.{i}.from"),
            found: "a sample is sent by a client or by a server".to_owned(),
        }),
    }
}

/// Headers of the samples that can be edited without changing what the frames are: those that no
/// attribute, status or id stands in.
pub fn headers(description: &Description) -> Vec<&str> {
    let frames = |layout: Layout<'_>| {
        let sources =
            [layout.id, layout.service, layout.method, layout.key, layout.status, layout.timeout];
        let named = |source: &Source| [source.header.clone(), source.or_header.clone()];
        let tests = [layout.oneway, layout.app_error].into_iter().flatten();
        let tests: Vec<_> = tests.filter_map(|test| test.header.clone()).collect();
        let sources = sources.into_iter().flatten().flat_map(named).flatten();
        sources.chain(tests).collect::<Vec<String>>()
    };
    let mut used = frames(description.layout());
    used.extend(description.frames.iter().flat_map(|frame| frames(frame.layout())));
    for version in &description.versions {
        used.extend(frames(version.layout()));
        used.extend(version.frames.iter().flat_map(|frame| frames(frame.layout())));
    }
    let all = description.samples.iter().flat_map(|sample| &sample.frames);
    let mut names: Vec<&str> = all
        .flat_map(|frame| frame.headers.keys())
        .map(String::as_str)
        .filter(|name| !used.iter().any(|used| used == name))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether all frames of a sample are requests of kinds whose headers can be edited.
pub fn editable(description: &Description, sample: &Sample) -> bool {
    let levels = description.versions.iter().flat_map(|version| &version.frames);
    let frames: Vec<_> = description.frames.iter().chain(levels).collect();
    let can = |kind: KindName| {
        let mut of_kind = frames.iter().filter(|frame| frame.kinds.contains_key(&kind)).peekable();
        of_kind.peek().is_some()
            && of_kind.all(|frame| {
                frame.parts.iter().any(|part| match part {
                    Part::Headers(_) => true,
                    Part::Protobuf(form) => form.headers.is_some(),
                    _ => false,
                })
            })
    };
    sample.from == From::Client && sample.frames.iter().all(|frame| can(frame.kind))
}

struct Nothing;

impl Asked<()> for Nothing {
    fn tag(&self, _: u64) -> Option<()> {
        None
    }
}

/// Everything that is found elsewise than the samples say.
pub fn mismatches(description: &Description, codec: &Frame) -> Vec<Mismatch> {
    let all = match bytes(description) {
        Ok(all) => all,
        Err(wrong) => return vec![wrong],
    };
    let mut wrong = Vec::new();
    for (i, (sample, said)) in all.iter().zip(&description.samples).enumerate() {
        let side = if sample.client { Side::Session } else { Side::Link(&NoOptions::default()) };
        let mut conn = codec.open(side, heptad_core::Flavour::default());
        let cx = Ctx::default().want(Want::EVERYTHING);
        let mut rest = sample.bytes.as_slice();
        let mut found = 0;
        while !rest.is_empty() {
            let path = format!("samples.{i}.frames.{found}");
            let at = sample.bytes.len() - rest.len();
            let step = match sample.client {
                true => codec.decode_request(&mut conn, &cx, rest),
                false => codec.decode_reply(&mut conn, &Nothing, &cx, rest),
            };
            let meta = match step {
                Ok(Step::Frame(meta, ())) if meta.len as usize <= rest.len() => meta,
                other => {
                    let why = match other {
                        Ok(Step::Frame(meta, ())) => format!(
                            "the frame has {} bytes, and there are {}",
                            meta.len,
                            rest.len()
                        ),
                        Ok(Step::Need(n)) => {
                            format!("{n} bytes are needed, and there are {}", rest.len())
                        }
                        Ok(Step::Reject(_, fault)) | Err(fault) => fault.text.to_owned(),
                        Ok(other) => format!("{other:?}"),
                    };
                    wrong.push(Mismatch { path, found: format!("at byte {at}: {why}") });
                    break;
                }
            };
            let (frame, next) = rest.split_at_checked(meta.len as usize).unwrap_or((rest, &[]));
            rest = next;
            match said.frames.get(found) {
                Some(expected) => compare(codec, &conn, &meta, frame, expected, &path, &mut wrong),
                None => {
                    let found = format!("at byte {at} there is a frame more: {:?}", meta.kind);
                    wrong.push(Mismatch { path: format!("samples.{i}.frames"), found });
                }
            }
            found += 1;
        }
        if found < said.frames.len() && wrong.is_empty() {
            let path = format!("samples.{i}.frames.{found}");
            wrong.push(Mismatch { path, found: "there is no such frame".to_owned() });
        }
    }
    wrong
}

fn compare(
    codec: &Frame,
    conn: &Conn,
    meta: &Meta,
    frame: &[u8],
    expected: &Expected,
    path: &str,
    wrong: &mut Vec<Mismatch>,
) {
    let mut check = |key: &str, found: Option<String>, said: Option<&str>| {
        if let Some(said) = said
            && found.as_deref() != Some(said)
        {
            let found = found.map_or("nothing".to_owned(), |found| format!("`{found}`"));
            let found = format!("{found} was found, and not `{said}`");
            wrong.push(Mismatch { path: format!("{path}.{key}"), found });
        }
    };
    let text = |found: heptad_core::Found<'_>| match found {
        Ok(found) => found.map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
        Err(_) => Some("(unknown)".to_owned()),
    };
    check("kind", Some(word_of(meta.kind).to_owned()), Some(word(expected.kind)));
    let by_id = matches!(codec.traits().pairing, Pairing::ById { .. });
    let id = expected.id.map(|id| id.to_string());
    check("id", by_id.then(|| meta.id.to_string()), id.as_deref());
    let service = text(codec.service(conn, meta, frame, &mut Vec::new()));
    check("service", service, expected.service.as_deref());
    let method = text(codec.method(conn, meta, frame, &mut Vec::new()));
    check("method", method, expected.method.as_deref());
    let key = text(codec.key(conn, meta, frame, &mut Vec::new()));
    check("key", key, expected.key.as_deref());
    for (name, value) in &expected.headers {
        let found = text(codec.header(conn, meta, frame, name, &mut Vec::new()));
        check(&format!("headers.{name}"), found, Some(value));
    }
    check("outcome", Some(meta.outcome.to_string()), expected.outcome.as_deref());
    let code = codec.code_name(meta, frame).map(str::to_owned);
    check("code", code, expected.code.as_deref());
}

/// The word for a kind that was found.
fn word_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Request => word(KindName::Request),
        Kind::Oneway => word(KindName::Oneway),
        Kind::Reply => word(KindName::Reply),
        Kind::Push => word(KindName::Push),
        Kind::Ping => word(KindName::Ping),
        Kind::Pong => word(KindName::Pong),
        Kind::Open => word(KindName::Open),
        Kind::Data => word(KindName::Data),
        Kind::End => word(KindName::End),
        Kind::Reset => word(KindName::Reset),
        Kind::GoAway => word(KindName::Goaway),
        _ => "something else",
    }
}
