//! From what a description says to its tables, or to everything that is wrong with it: each
//! complaint names the key it is about, so that it can be shown at its line.

use heptad_core::{Kind, Outcome, Traits};

use crate::{
    decode::MOST_SHAPES,
    hex,
    model::{
        Answers as AnswersSaid, Description, Endianness, Field as FieldSaid, From, KindName,
        Layout, Template as TemplateSaid,
    },
    shapes::Builder,
    table::{
        Answers, Field, Instead, Kinds, MOST_INITIAL, Masked, Piece, Shape, Status, Table,
        Template, UNEXPECTED, UNKNOWN, Version, What,
    },
};

/// What is wrong with a description.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Complaint {
    /// The key, as a dotted path in which items of lists are numbers from 0.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub cure: String,
}

/// Collects complaints.
#[derive(Debug, Default)]
pub(crate) struct Complaints(pub(crate) Vec<Complaint>);

impl Complaints {
    pub(crate) fn add(
        &mut self,
        path: impl Into<String>,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) {
        let (path, message, cure) = (path.into(), message.into(), cure.into());
        self.0.push(Complaint { path, message, cure });
    }
}

/// The tables of a description.
pub(crate) fn compile(said: &Description) -> Result<Table, Vec<Complaint>> {
    let mut wrong = Complaints::default();
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if said.name.is_empty() || !said.name.chars().all(word) {
        let cure = "write `name:` and a word in lower case, such as `name: awesomerpc`";
        wrong.add("name", "a protocol needs a name of one word in lower case", cure);
    }
    let delimiter = said.delimiter.clone().unwrap_or_default().into_bytes();
    if said.delimiter.is_some() && delimiter.is_empty() {
        wrong.add("delimiter", "the delimiter is empty", r#"write it as text, such as "\r\n""#);
    }
    let statuses = statuses(said, &mut wrong);
    let mut shapes = Vec::new();
    let mut versions = Vec::new();
    if said.versions.is_empty() {
        let level = Level {
            path: "",
            layout: said.layout(),
            kind: said.kind,
            frames: &said.frames,
            answers: &said.answers,
            answers_path: "answers",
        };
        versions.extend(version(said, &level, &statuses, &mut shapes, &mut wrong));
    }
    for (i, own) in said.versions.iter().enumerate() {
        let path = format!("versions.{i}.");
        let (frames, kind) = match own.frames.is_empty() {
            true => (&said.frames, own.kind.or(said.kind)),
            false => (&own.frames, own.kind.or(said.kind)),
        };
        let answers_path = format!("{path}answers");
        let level = Level {
            path: &path,
            layout: own.layout().within(said.layout()),
            kind,
            frames,
            answers: own.answers.as_ref().unwrap_or(&said.answers),
            answers_path: if own.answers.is_some() { &answers_path } else { "answers" },
        };
        versions.extend(version(said, &level, &statuses, &mut shapes, &mut wrong));
    }
    for (i, one) in versions.iter().enumerate() {
        let earlier = versions.get(..i).unwrap_or_default();
        if earlier.iter().any(|other: &Version| one.magic.starts_with(&other.magic)) {
            let path = format!("versions.{i}.magic");
            let message = "the magic of a version before begins or is this one";
            wrong.add(path, message, "give each version a `magic` of its own");
        }
    }
    if shapes.len() > MOST_SHAPES.min(usize::from(UNEXPECTED)) {
        wrong.add("frames", "there are too many kinds of frames", "describe at most 250 in all");
    }
    if said.samples.is_empty() && said.versions.is_empty() && said.frames.is_empty() {
        wrong.add("", "there are no frames", "add `frames:` with a list of frames");
    }
    let traits = traits(said, &shapes, &mut wrong);
    let find = |outcome: Outcome| statuses.iter().find(|status| status.outcome == outcome);
    let ok = find(Outcome::Ok).map_or(0, |status| status.value);
    let says = Outcome::ALL.iter().map(|outcome| says(said, &statuses, *outcome)).collect();
    if wrong.0.is_empty() {
        Ok(Table {
            name: said.name.as_str().into(),
            traits,
            delimiter: delimiter.into(),
            versions: versions.into(),
            shapes: shapes.into(),
            statuses: statuses.into(),
            says,
            ok,
        })
    } else {
        Err(wrong.0)
    }
}

fn statuses(said: &Description, wrong: &mut Complaints) -> Vec<Status> {
    let words = || Outcome::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(", ");
    let outcome = |word: &str| Outcome::ALL.iter().copied().find(|known| known.as_str() == word);
    let mut all: Vec<Status> = Vec::new();
    for (i, status) in said.statuses.iter().enumerate() {
        let path = format!("statuses.{i}");
        let found = outcome(&status.outcome);
        if found.is_none() {
            let message = format!("there is no outcome `{}`", status.outcome);
            wrong.add(format!("{path}.outcome"), message, format!("write one of {}", words()));
        }
        for (n, word) in status.says.iter().enumerate() {
            if outcome(word).is_none() && word != "others" {
                let message = format!("there is no outcome `{word}`");
                let cure = format!("write `others` or one of {}", words());
                wrong.add(format!("{path}.says.{n}"), message, cure);
            }
        }
        if status.name.is_empty() || status.name.len() > 64 {
            let message = "the name of a status has 1 to 64 bytes";
            wrong.add(format!("{path}.name"), message, "write a word such as `NOT_FOUND`");
        }
        if all.iter().any(|other| other.value == status.value.0) {
            let message = format!("{} is the value of a status before", status.value.0);
            wrong.add(format!("{path}.value"), message, "list each value once");
        }
        all.push(Status {
            value: status.value.0,
            name: status.name.as_str().into(),
            outcome: found.unwrap_or_default(),
        });
    }
    all
}

/// The status that tells of an outcome: the one that says so, one that counts as it, the one for all
/// others.
fn says(said: &Description, statuses: &[Status], outcome: Outcome) -> u64 {
    let word = |word: &str| {
        let hit = |known: &String| known == word;
        said.statuses.iter().find(|status| status.says.iter().any(hit)).map(|status| status.value.0)
    };
    let same = || statuses.iter().find(|status| status.outcome == outcome).map(|s| s.value);
    let bad = || statuses.iter().find(|status| status.outcome != Outcome::Ok).map(|s| s.value);
    word(outcome.as_str()).or_else(same).or_else(|| word("others")).or_else(bad).unwrap_or(0)
}

fn traits(said: &Description, shapes: &[Shape], wrong: &mut Complaints) -> Traits {
    let mut traits = Traits::in_order();
    let mut bits = None;
    let asking = shapes.iter().filter(|shape| shape.asks() || shape.kind == Kind::Reply);
    let mut without = false;
    for shape in asking {
        match shape.id_bits() {
            Some(own) => bits = Some(bits.map_or(own, |least: u32| least.min(own))),
            None => without |= shape.kind != Kind::Oneway,
        }
    }
    if let Some(bits) = bits {
        traits = Traits::by_id(bits);
        if without {
            let cure = "give `id:` at the top, where it holds for all frames";
            wrong.add("id", "some frames have an id, and requests or replies have none", cure);
        }
    }
    match said.max_frame {
        Some(bytes) => traits.max_frame(bytes),
        None => traits,
    }
}

/// What is said of a version.
struct Level<'a> {
    path: &'a str,
    layout: Layout<'a>,
    kind: Option<FieldSaid>,
    frames: &'a [crate::model::Frame],
    answers: &'a AnswersSaid,
    answers_path: &'a str,
}

fn version(
    said: &Description,
    level: &Level<'_>,
    statuses: &[Status],
    shapes: &mut Vec<Shape>,
    wrong: &mut Complaints,
) -> Option<Version> {
    let Level { path, .. } = *level;
    let number = shapes.last().map_or(0, |shape: &Shape| shape.version + 1);
    let magic = hex_at(&format!("{path}magic"), level.layout.magic.unwrap_or_default(), wrong);
    let kind = level.kind.and_then(|kind| {
        let path = format!("{path}kind");
        Some(Masked {
            field: field(&path, kind, wrong)?,
            mask: kind.mask.map_or(u64::MAX, |mask| mask.0),
        })
    });
    let first = shapes.len();
    let mut kinds = Kinds { small: [[UNKNOWN; 2]; 16], large: Box::default() };
    let mut large: Vec<(u64, [u8; 2])> = Vec::new();
    for (i, frame) in level.frames.iter().enumerate() {
        let path = if said.frames.as_ptr() == level.frames.as_ptr() {
            format!("frames.{i}")
        } else {
            format!("{path}frames.{i}")
        };
        if frame.kinds.is_empty() {
            let cure = "write `kinds: {request: 1}`, or `kinds: {request: }` without a kind field";
            wrong.add(path.as_str(), "the kinds of this frame are missing", cure);
        }
        for (&name, value) in &frame.kinds {
            let value = value.map(|value| value.0);
            let at = format!("{path}.kinds.{}", word(name));
            if value.is_some() != kind.is_some() {
                match value {
                    Some(_) => wrong.add(
                        at,
                        "there is no kind field that could have this value",
                        "add `kind: {offset: 1, width: 1}`",
                    ),
                    None => wrong.add(
                        at,
                        "the value of the kind field is missing",
                        format!("write a number, such as `{}: 1`", word(name)),
                    ),
                }
                continue;
            }
            let layout = frame.layout().within(level.layout);
            let builder =
                Builder { path: &path, frame, layout, delimited: said.delimiter.is_some() };
            let Some(mut shape) = builder.shape(kind_of(name), number, value.unwrap_or(0), wrong)
            else {
                continue;
            };
            if let Some(kind) = kind
                && kind.field.end() > shape.initial
            {
                let message = "the kind field ends behind the initial bytes";
                wrong.add(at.as_str(), message, "make `initial_bytes` large enough");
            }
            if magic.len() > shape.initial && said.delimiter.is_none() {
                let message = "the magic is longer than the initial bytes";
                wrong.add(at.as_str(), message, "make `initial_bytes` large enough");
            }
            shape.value = value.unwrap_or(0);
            let index = u8::try_from(shapes.len()).unwrap_or(UNEXPECTED - 1);
            let from = frame.from.unwrap_or(default_side(name));
            if default_side(name) != From::Both && from != default_side(name) {
                let who = match from {
                    From::Client => "clients",
                    From::Server => "servers",
                    From::Both => "both sides",
                };
                let message = format!("no protocol has `{}` from {who}", word(name));
                let cure = "leave `from:` out, or say that it is of another kind";
                wrong.add(format!("{path}.from"), message, cure);
            }
            shape.sides = [from != From::Server, from != From::Client];
            let place = match usize::try_from(shape.value).ok().and_then(|v| kinds.small.get_mut(v))
            {
                Some(place) => Some(place),
                None => {
                    if !large.iter().any(|(known, _)| *known == shape.value) {
                        large.push((shape.value, [UNKNOWN; 2]));
                    }
                    large.iter_mut().find(|(known, _)| *known == shape.value).map(|(_, p)| p)
                }
            };
            let mut taken = false;
            for (side, own) in [(0, From::Client), (1, From::Server)] {
                let Some(place) = place.as_ref().and_then(|sides| sides.get(side)) else {
                    continue;
                };
                taken |= (from == own || from == From::Both) && *place < UNEXPECTED;
            }
            if let Some(place) = place {
                for (side, own) in [(0, From::Client), (1, From::Server)] {
                    if let Some(place) = place.get_mut(side) {
                        if from == own || from == From::Both {
                            *place = index;
                        } else if *place == UNKNOWN {
                            *place = UNEXPECTED;
                        }
                    }
                }
            }
            if taken {
                let message = "another frame has this value of the kind field already";
                wrong.add(at, message, "give another value, or say with `from:` who sends it");
            }
            shapes.push(shape);
        }
    }
    kinds.large = large.into();
    let own = shapes.get(first..).unwrap_or_default();
    let least = own.iter().map(|shape| shape.initial).min().unwrap_or_default();
    if own.is_empty() {
        return None;
    }
    let mut copied = 0;
    let answers = answers(level, own, first, &magic, kind, statuses, &mut copied, wrong);
    Some(Version { magic: magic.into(), least, kind, kinds, answers, kept: copied })
}

#[allow(clippy::too_many_arguments, reason = "everything that a version has is needed")]
fn answers(
    level: &Level<'_>,
    own: &[Shape],
    first: usize,
    magic: &[u8],
    kind: Option<Masked>,
    statuses: &[Status],
    copied: &mut usize,
    wrong: &mut Complaints,
) -> Answers {
    let AnswersSaid { error, stream_error, direct, ping, pong, cancel, goaway } = level.answers;
    let mut make = |name: &str, said: &Option<TemplateSaid>, side: usize| {
        let said = said.as_ref()?;
        let path = format!("{}.{name}", level.answers_path);
        let Some(place) = own.iter().position(|shape| {
            shape.kind == kind_of(said.kind) && shape.sides.get(side) == Some(&true)
        }) else {
            let who = if side == 0 { "a client" } else { "a server" };
            let message = format!("there is no frame of the kind {} from {who}", word(said.kind));
            let cure = "name a kind that is listed in `frames`";
            wrong.add(format!("{path}.kind"), message, cure);
            return None;
        };
        let shape = own.get(place)?;
        let mut initial =
            hex_at(&format!("{path}.initial"), said.initial.as_deref().unwrap_or_default(), wrong);
        if initial.len() > shape.initial {
            let message = format!("these are more than the {} initial bytes", shape.initial);
            wrong.add(format!("{path}.initial"), message, "leave out what comes behind them");
        }
        initial.resize(shape.initial, 0);
        if let Some(place) = initial.get_mut(..magic.len()) {
            place.copy_from_slice(magic);
        }
        if let Some(kind) = kind {
            // Bits that are not of the kind stay as they are written.
            let other = kind.field.read(&initial).unwrap_or_default() & !kind.mask;
            if !kind.field.write(&mut initial, other & kind.field.most() | shape.value) {
                let message = "the kind does not fit into its field";
                wrong.add(format!("{path}.kind"), message, "give the kind field another width");
            }
        }
        let mut copy = Vec::new();
        for (i, piece) in said.copy.iter().enumerate() {
            let end = piece.to.saturating_add(piece.width);
            if end > shape.initial || piece.from.saturating_add(piece.width) > MOST_INITIAL {
                let message = "what is copied stands outside of the initial bytes";
                wrong.add(format!("{path}.copy.{i}"), message, "copy initial bytes only");
            }
            *copied = (*copied).max(piece.from.saturating_add(piece.width));
            copy.push((piece.from, piece.to, piece.width));
        }
        let copied_bytes: usize = copy.iter().map(|(_, _, width)| *width).sum();
        if name == "pong" && copied_bytes > 8 {
            let message = format!("{copied_bytes} bytes of a heartbeat are to be repeated");
            wrong.add(format!("{path}.copy"), message, "repeat at most 8");
        }
        let status = said.status.as_ref().and_then(|name| {
            let found = statuses.iter().find(|status| *status.name == **name);
            if found.is_none() {
                let message = format!("there is no status `{name}`");
                wrong.add(format!("{path}.status"), message, "write the name of one in `statuses`");
            }
            found.map(|status| status.value)
        });
        if said.parts.len() > shape.parts.len() {
            let message = format!("the frame has {} parts", shape.parts.len());
            wrong.add(format!("{path}.parts"), message, "give at most as many");
        }
        if !shape.body && !said.body.is_empty() {
            let message = "this kind of frame has no body";
            wrong.add(format!("{path}.body"), message, "leave it out");
        }
        let mut pieces = |path: String, said: &[crate::model::Piece]| -> Box<[Piece]> {
            let each = said.iter().enumerate();
            each.map(|(i, piece)| self::piece(&format!("{path}.{i}"), piece, wrong)).collect()
        };
        let mut instead = Vec::new();
        for (i, other) in said.instead.iter().enumerate() {
            let body = pieces(format!("{path}.instead.{i}.body"), &other.body);
            instead.push(Instead { at: other.offset, is: other.is, body });
            *copied = (*copied).max(other.offset.saturating_add(1));
        }
        let parts = said.parts.iter().enumerate();
        Some(Template {
            shape: first + place,
            initial: initial.into(),
            copy: copy.into(),
            status,
            parts: parts.map(|(i, part)| pieces(format!("{path}.parts.{i}"), part)).collect(),
            body: pieces(format!("{path}.body"), &said.body),
            instead: instead.into(),
        })
    };
    Answers {
        error: make("error", error, 1),
        stream_error: make("stream_error", stream_error, 1),
        direct: make("direct", direct, 1),
        ping: make("ping", ping, 0),
        pong: make("pong", pong, 1),
        cancel: make("cancel", cancel, 0),
        goaway: make("goaway", goaway, 1),
    }
}

fn piece(path: &str, said: &crate::model::Piece, wrong: &mut Complaints) -> Piece {
    use crate::model::Piece as Said;
    match said {
        Said::Hex(digits) => Piece::Bytes(hex_at(&format!("{path}.hex"), digits, wrong).into()),
        Said::Literal(text) => Piece::Bytes(text.as_bytes().into()),
        Said::Text(form) => Piece::Text(*form),
        Said::Id(form) => Piece::Id(*form),
        Said::Status(form) => Piece::Status(*form),
    }
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex_at(path: &str, digits: &str, wrong: &mut Complaints) -> Vec<u8> {
    hex::bytes(digits).unwrap_or_else(|| {
        let message = format!("`{digits}` is not made of pairs of hexadecimal digits");
        wrong.add(path, message, r#"write bytes as in "da bb 01""#);
        Vec::new()
    })
}

/// A number's place.
pub(crate) fn field(path: &str, said: FieldSaid, wrong: &mut Complaints) -> Option<Field> {
    if !(1..=8).contains(&said.width) {
        let message = format!("a number of {} bytes", said.width);
        wrong.add(format!("{path}.width"), message, "write a width of 1 to 8");
        return None;
    }
    let little = said.endianness == Endianness::Little;
    Some(Field { at: said.offset, width: said.width, little })
}

impl Shape {
    /// Bits of its id.
    fn id_bits(&self) -> Option<u32> {
        match self.id.as_ref()? {
            crate::table::Id::Fixed(field) => Some(u32::from(field.width) * 8),
            // What receivers can be trusted to hold.
            _ => Some(32),
        }
    }

    /// Whether its headers can be edited: there are some.
    pub(crate) fn has_headers(&self) -> bool {
        let part = self.headers.and_then(|number| self.parts.get(number));
        part.is_some_and(|part| matches!(part.what, What::Headers(_) | What::Protobuf(_)))
    }
}

const fn kind_of(name: KindName) -> Kind {
    match name {
        KindName::Request => Kind::Request,
        KindName::Oneway => Kind::Oneway,
        KindName::Reply => Kind::Reply,
        KindName::Push => Kind::Push,
        KindName::Ping => Kind::Ping,
        KindName::Pong => Kind::Pong,
        KindName::Open => Kind::Open,
        KindName::Data => Kind::Data,
        KindName::End => Kind::End,
        KindName::Reset => Kind::Reset,
        KindName::Goaway => Kind::GoAway,
    }
}

const fn default_side(name: KindName) -> From {
    match name {
        KindName::Request | KindName::Oneway | KindName::Open => From::Client,
        KindName::Reply | KindName::Push | KindName::Goaway => From::Server,
        _ => From::Both,
    }
}

/// The word for a kind.
pub(crate) const fn word(name: KindName) -> &'static str {
    match name {
        KindName::Request => "request",
        KindName::Oneway => "oneway",
        KindName::Reply => "reply",
        KindName::Push => "push",
        KindName::Ping => "ping",
        KindName::Pong => "pong",
        KindName::Open => "open",
        KindName::Data => "data",
        KindName::End => "end",
        KindName::Reset => "reset",
        KindName::Goaway => "goaway",
    }
}
