//! The walk through both directions of a connection: one decoder for each, and between them the
//! requests that have no reply yet.

use std::collections::{HashMap, VecDeque};

use heptad_core::{
    Asked, Bind, Codec, Ctx, Fault, Flavour, Found as Attribute, Kind, Meta, Pairing, Side, Step,
    Want,
};

use super::{Broken, Found, FrameFacts, Inspected, Inspector, Known, Piece, Sender};

/// Bytes shown on each side of the one that shows a fault.
const AROUND: usize = 16;

/// Takes pieces apart with a codec.
pub(crate) fn walk<C: Codec>(codec: &C, pieces: &[Piece]) -> Vec<Inspected> {
    let mut walk = Walk::new(codec);
    for piece in pieces {
        walk.hear(piece.sender, &piece.bytes);
    }
    let mut all = walk.all;
    for (sender, stream) in [(Sender::Client, &walk.client), (Sender::Server, &walk.server)] {
        if !stream.ended && !stream.bytes.is_empty() {
            let found = Found::CutOff(stream.need.max(stream.bytes.len() + 1));
            all.push(Inspected { sender, at: stream.at, len: stream.bytes.len(), found });
        }
    }
    for one in &mut all {
        if let Found::Broken(broken) = &mut one.found {
            narrow(codec, pieces, one.sender, one.at, broken);
        }
    }
    all
}

/// Finds the very byte: the fewest bytes of the frame with which a decoder that has seen all that
/// came before complains. (The same bytes give the same result, however they are cut.)
fn narrow<C: Codec>(codec: &C, pieces: &[Piece], sender: Sender, at: usize, broken: &mut Broken) {
    let all: Vec<u8> =
        pieces.iter().filter(|p| p.sender == sender).flat_map(|p| p.bytes.clone()).collect();
    let complains = |n: usize| {
        let mut walk = Walk::new(codec);
        let mut heard = 0;
        for piece in pieces {
            let mut bytes = &piece.bytes[..];
            if piece.sender == sender {
                bytes = bytes.get(..(at - heard).min(bytes.len())).unwrap_or_default();
                heard += bytes.len();
            }
            walk.hear(piece.sender, bytes);
            if heard == at && piece.sender == sender {
                break;
            }
        }
        walk.hear(sender, all.get(at..at + n).unwrap_or_default());
        walk.stream(sender).ended
    };
    let (mut fine, mut bad) = (0, broken.byte + 1 - at);
    while bad - fine > 1 {
        let middle = fine + (bad - fine) / 2;
        if complains(middle) {
            bad = middle;
        } else {
            fine = middle;
        }
    }
    broken.byte = at + bad - 1;
    let from = broken.byte.saturating_sub(AROUND);
    let to = (broken.byte + AROUND).min(all.len());
    broken.around = (from, all.get(from..to).unwrap_or_default().to_vec());
}

/// One direction.
#[derive(Default)]
struct Stream {
    /// What is not taken apart yet, and the place of its first byte.
    bytes: Vec<u8>,
    at: usize,
    need: usize,
    /// Decoding has failed.
    ended: bool,
}

pub(crate) struct Walk<C: Codec> {
    codec: C,
    ctx: Ctx,
    session: C::Conn,
    link: C::Conn,
    flavour: Flavour,
    /// A reply whose end is not there.
    begun: Option<Meta>,
    open: Open<C::Tag>,
    client: Stream,
    server: Stream,
    all: Vec<Inspected>,
}

impl<C: Codec> Inspector for Walk<C> {
    fn hear(&mut self, sender: Sender, bytes: &[u8]) -> Vec<Inspected> {
        Walk::hear(self, sender, bytes);
        std::mem::take(&mut self.all)
    }
}

impl<C: Codec> Walk<C> {
    pub(crate) fn new(codec: &C) -> Self {
        let traits = codec.traits();
        let flavour = Flavour::default();
        let upstream = C::Upstream::default();
        Self {
            codec: codec.clone(),
            ctx: Ctx::default().max_frame(traits.max_frame).want(Want::EVERYTHING),
            session: codec.open(Side::Session, flavour),
            link: codec.open(Side::Link(&upstream), flavour),
            flavour,
            begun: None,
            open: match traits.pairing {
                Pairing::InOrder => Open::InOrder(VecDeque::new()),
                _ => Open::ById(HashMap::new()),
            },
            client: Stream::default(),
            server: Stream::default(),
            all: Vec::new(),
        }
    }

    fn stream(&mut self, sender: Sender) -> &mut Stream {
        match sender {
            Sender::Client => &mut self.client,
            Sender::Server => &mut self.server,
        }
    }

    fn hear(&mut self, sender: Sender, bytes: &[u8]) {
        let stream = self.stream(sender);
        if stream.ended {
            return;
        }
        stream.bytes.extend_from_slice(bytes);
        let buf = std::mem::take(&mut stream.bytes);
        let mut rest = &buf[..];
        while !rest.is_empty() && rest.len() >= self.stream(sender).need {
            let (len, found) = match sender {
                Sender::Client => self.request(rest),
                Sender::Server => self.reply(rest),
            };
            let stream = self.stream(sender);
            stream.need = 0;
            let at = stream.at;
            match found {
                Next::Need(n) => {
                    stream.need = n.max(rest.len() + 1);
                    break;
                }
                Next::Fault(fault) => {
                    stream.ended = true;
                    let byte = at + rest.len() - 1;
                    let broken = Broken { byte, fault, around: (0, Vec::new()) };
                    let len = rest.len();
                    self.all.push(Inspected { sender, at, len, found: Found::Broken(broken) });
                    return;
                }
                Next::Found(found) => {
                    stream.at += len;
                    rest = rest.get(len..).unwrap_or_default();
                    self.all.push(Inspected { sender, at, len, found });
                }
            }
        }
        let rest = rest.to_vec();
        self.stream(sender).bytes = rest;
    }

    fn request(&mut self, buf: &[u8]) -> (usize, Next) {
        let (codec, max) = (&self.codec, self.ctx.max_frame as usize);
        match codec.decode_request(&mut self.session, &self.ctx, buf) {
            Err(fault) => (0, Next::Fault(fault)),
            Ok(step) => match measure(&step, buf.len(), max) {
                Err(next) => (0, next),
                Ok(len) => {
                    let frame = buf.get(..len).unwrap_or(buf);
                    (len, Next::Found(self.requested(&step, frame)))
                }
            },
        }
    }

    fn requested(&mut self, step: &Step<C::Tag>, frame: &[u8]) -> Found {
        let (meta, tag, refused) = match step {
            Step::Frame(meta, tag) => (meta, *tag, None),
            Step::Reject(meta, fault) => (meta, C::Tag::default(), Some(*fault)),
            _ => return Found::Skipped,
        };
        let facts = self.facts(meta, tag, frame, refused);
        if refused.is_none() {
            let flavour = self.codec.flavour(&self.session, meta);
            if flavour != self.flavour && self.server.bytes.is_empty() {
                self.flavour = flavour;
                self.link = self.codec.open(Side::Link(&C::Upstream::default()), flavour);
            }
            if matches!(
                meta.kind,
                Kind::Request | Kind::Oneway | Kind::Open | Kind::Login | Kind::Control
            ) {
                self.codec.accepted(&mut self.session, meta, tag, frame);
            }
        }
        if !matches!(meta.kind, Kind::Oneway | Kind::Pong | Kind::Data | Kind::GoAway) {
            self.open.asked(meta, tag);
        }
        Found::Frame(Box::new(facts))
    }

    fn facts(
        &mut self,
        meta: &Meta,
        tag: C::Tag,
        frame: &[u8],
        refused: Option<Fault>,
    ) -> FrameFacts {
        let (codec, conn) = (&self.codec, &self.session);
        let mut facts = FrameFacts {
            kind: meta.kind,
            id: meta.id,
            service: Ok(None),
            method: Ok(None),
            keys: Ok(Vec::new()),
            headers: Ok(Vec::new()),
            outcome: None,
            code: None,
            refused,
        };
        if refused.is_some() {
            return facts;
        }
        facts.service = own(codec.service(conn, meta, frame, &mut Vec::new()));
        facts.method = own(codec.method(conn, meta, frame, &mut Vec::new()));
        let mut keys = Vec::new();
        facts.keys =
            codec.keys(conn, meta, tag, frame, &mut |key| keys.push(key.to_vec())).map(|()| keys);
        let mut headers = Vec::new();
        facts.headers = codec
            .headers(conn, meta, frame, &mut |name, value| {
                headers.push((name.to_vec(), value.to_vec()));
            })
            .map(|()| headers);
        facts
    }

    fn reply(&mut self, buf: &[u8]) -> (usize, Next) {
        let (codec, max) = (&self.codec, self.ctx.max_frame as usize);
        // A reply is decoded once, even if its end comes later.
        let step = match self.begun.take() {
            Some(meta) => Ok(Step::Frame(meta, ())),
            None => codec.decode_reply(&mut self.link, &self.open, &self.ctx, buf),
        };
        match step {
            Err(fault) => (0, Next::Fault(fault)),
            Ok(step) => match measure(&step, buf.len(), max) {
                Err(next) => {
                    if let (Step::Frame(meta, ()), Next::Need(_)) = (&step, &next) {
                        self.begun = Some(*meta);
                    }
                    (0, next)
                }
                Ok(len) => {
                    let frame = buf.get(..len).unwrap_or(buf);
                    (len, Next::Found(self.replied(&step, frame)))
                }
            },
        }
    }

    fn replied(&mut self, step: &Step<()>, frame: &[u8]) -> Found {
        let (Step::Frame(meta, ()) | Step::Reject(meta, _)) = step else {
            return Found::Skipped;
        };
        let ends = matches!(meta.kind, Kind::Reply | Kind::End | Kind::Reset);
        let answers = ends || meta.kind == Kind::Pong;
        let asked = if answers { self.open.answered(meta.id) } else { None };
        if let Some((request, tag)) = asked
            && (matches!(request.kind, Kind::Login | Kind::Control) || request.bind != Bind::Shared)
        {
            self.codec.settled(&mut self.session, tag, meta, frame);
        }
        Found::Frame(Box::new(FrameFacts {
            kind: meta.kind,
            id: meta.id,
            service: Ok(None),
            method: Ok(None),
            keys: Ok(Vec::new()),
            headers: Ok(Vec::new()),
            outcome: ends.then_some(meta.outcome),
            code: self.codec.code_name(meta, frame).map(str::to_owned),
            refused: None,
        }))
    }
}

/// What comes next in a direction.
enum Next {
    Need(usize),
    Fault(Fault),
    Found(Found),
}

/// How many bytes a step takes; or why it cannot be taken.
fn measure<T>(step: &Step<T>, has: usize, max: usize) -> Result<usize, Next> {
    let too_long =
        || Fault::too_large(heptad_core::Reason::FrameSize, "longer than the longest frame");
    match step {
        Step::Need(n) if *n > max => Err(Next::Fault(too_long())),
        Step::Need(n) => Err(Next::Need(*n)),
        Step::Skip(n) => Ok((*n).clamp(1, has)),
        Step::Frame(meta, _) | Step::Reject(meta, _) => match meta.len as usize {
            len if len > max => Err(Next::Fault(too_long())),
            len if len > has => Err(Next::Need(len)),
            len => Ok(len.max(1)),
        },
        _ => Err(Next::Fault(Fault::malformed("the codec says what nobody knows"))),
    }
}

fn own(found: Attribute<'_>) -> Known {
    found.map(|value| value.map(<[u8]>::to_vec))
}

/// Requests without a reply. Where nobody was heard to ask, a plain request is assumed.
enum Open<T> {
    InOrder(VecDeque<(Meta, T)>),
    ById(HashMap<u64, (Meta, T)>),
}

impl<T: Copy> Open<T> {
    fn asked(&mut self, meta: &Meta, tag: T) {
        match self {
            Self::InOrder(all) => all.push_back((*meta, tag)),
            Self::ById(all) => {
                all.insert(meta.id, (*meta, tag));
            }
        }
    }

    fn answered(&mut self, id: u64) -> Option<(Meta, T)> {
        match self {
            Self::InOrder(all) => all.pop_front(),
            Self::ById(all) => all.remove(&id),
        }
    }
}

impl<T: Copy + Default> Asked<T> for Open<T> {
    fn tag(&self, id: u64) -> Option<T> {
        let found = match self {
            Self::InOrder(all) => all.front(),
            Self::ById(all) => all.get(&id),
        };
        Some(found.map_or_else(T::default, |(_, tag)| *tag))
    }
}
