//! Captured bytes of a client, explained frame by frame, as an engine decodes them on a new
//! connection. Nobody replies: what only a reply changes (a login that a server grants, the
//! database of a `SELECT`) stays as it was.

use std::sync::Arc;

use heptad_core::{
    Accepted, Answer, Attr, Attributes, Bind, Codec, Ctx, FanOut, Fault, Flavour, HeaderEdit, Kind,
    Lane, Meta, Outcome, Question, Reason, Request, Side, Step, Time,
};
use heptad_route::Seen;

use super::{
    Chosen, Explained, Fate, Frame, Noted, Refused, Subject, To, Why, address, admit, by_attr,
    by_key, refused,
};
use crate::{
    Peer, Plan, SessionId,
    aim::Whole,
    arena::Key,
    exchange::is_control,
    intake::{TOO_LONG, UNEXPECTED},
    plan::End,
    pool::Pool,
    session::Session,
    view::{Names, View},
};

/// What `plan` does with each frame that a client sends on a new connection, in order. A frame that
/// is not the protocol is the last one.
pub fn explain_frames<C: Codec>(
    codec: &C,
    plan: &Plan,
    peer: Peer,
    bytes: &[u8],
) -> Vec<Explained> {
    let conn = codec.open(Side::Session, Flavour::default());
    let mut capture = Capture {
        codec,
        plan,
        cx: plan.frames(&codec.traits()),
        session: Session::new(conn, peer, Time::ZERO, 0),
        held: Vec::new(),
        all: Vec::new(),
    };
    capture.run(bytes);
    capture.all
}

struct Capture<'a, C: Codec> {
    codec: &'a C,
    plan: &'a Plan,
    cx: Ctx,
    session: Session<C>,
    held: Vec<Hold>,
    all: Vec<Explained>,
}

/// A link that the session would hold.
struct Hold {
    lane: Lane,
    /// The endpoint, unless chance decided.
    endpoint: Option<(usize, Arc<str>)>,
    /// The place of the frame that took it.
    at: usize,
}

impl<C: Codec> Capture<'_, C> {
    /// As the engine's intake, of bytes that are all there.
    fn run(&mut self, bytes: &[u8]) {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            if rest.is_empty() {
                return;
            }
            let max = self.cx.max_frame as usize;
            let (meta, rejected) =
                match self.codec.decode_request(&mut self.session.conn, &self.cx, rest) {
                    Ok(Step::Need(n)) if n > max => return self.fault(at, None, TOO_LONG),
                    Ok(Step::Need(n)) => return self.cut_off(at, None, rest.len(), n),
                    Ok(Step::Skip(n)) => {
                        at += n.clamp(1, rest.len());
                        continue;
                    }
                    Ok(Step::Frame(meta, tag)) => (meta, Ok(tag)),
                    Ok(Step::Reject(meta, fault)) => (meta, Err(fault)),
                    Ok(_) => return,
                    Err(fault) => return self.fault(at, None, fault),
                };
            let len = (meta.len as usize).max(1);
            if len > max {
                return self.fault(at, Some(meta), TOO_LONG);
            }
            let Some(frame) = rest.get(..len) else {
                return self.cut_off(at, Some(meta), rest.len(), len);
            };
            let closed = match rejected {
                Ok(tag) => self.frame(at, meta, tag, frame),
                Err(fault) => {
                    self.reject(at, meta, frame, fault);
                    false
                }
            };
            if closed {
                return;
            }
            at += len;
        }
    }

    /// One whole frame; whether the connection is closed after it.
    fn frame(&mut self, at: usize, meta: Meta, tag: C::Tag, frame: &[u8]) -> bool {
        let (codec, plan) = (self.codec, self.plan);
        let mut framed = Framed {
            codec,
            plan,
            session: &mut self.session,
            held: &self.held,
            meta,
            tag,
            frame,
            scratch: Vec::new(),
            words: Default::default(),
            unknown: 0,
            edits: Vec::new(),
            aimed: None,
        };
        let mut keys = Vec::new();
        let known = codec.keys(&framed.session.conn, &meta, tag, frame, &mut |key| {
            keys.push(key.to_vec());
        });
        let seen = Frame { at, meta: Some(meta), keys: known.map(|()| keys) };
        let mut explained = match meta.kind {
            Kind::Request | Kind::Oneway | Kind::Open | Kind::Login | Kind::Control => {
                let mut asked = Vec::new();
                {
                    let mut view = Noted { inner: &mut *framed.view(None), asked: &mut asked };
                    for attr in [Attr::Service, Attr::Method, Attr::Key] {
                        let _ = view.attr(&attr);
                    }
                }
                asked.retain(|(_, seen)| *seen != Seen::Absent);
                admit(plan, &mut framed, asked)
            }
            Kind::Ping => {
                let mut explained = Explained::of(None, Fate::Pong);
                explained.answer = framed.answer(&Answer::Pong);
                explained
            }
            Kind::Data | Kind::End | Kind::Reset => Explained::of(None, Fate::Stream),
            Kind::Pong | Kind::GoAway => Explained::of(None, Fate::Ignored),
            _ => {
                self.fault(at, Some(meta), UNEXPECTED);
                return true;
            }
        };
        let aimed = framed.aimed.take();
        explained.frame = Some(seen);
        let fates = explained.branches.iter().map(|branch| &branch.fate);
        let closed = fates.clone().any(|fate| matches!(fate, Fate::Local(true)));
        let local = fates.clone().any(|fate| matches!(fate, Fate::Local(_)));
        if local && is_control(&meta) {
            let now = codec.principal(&self.session.conn).map(Arc::from);
            self.session.principal = now.or_else(|| self.session.peer.principal.clone());
        }
        if fates.clone().any(|fate| matches!(fate, Fate::Sent(_))) {
            let several = explained.branches.len() > 1;
            self.bind(at, meta.bind, aimed.filter(|_| !several));
        }
        self.all.push(explained);
        closed
    }

    /// The frame was sent: it may have taken a link for the session, or given one back.
    fn bind(&mut self, at: usize, bind: Bind, endpoint: Option<(usize, Arc<str>)>) {
        match bind {
            Bind::Hold(lane) if !self.held.iter().any(|held| held.lane == lane) => {
                self.held.push(Hold { lane, endpoint, at });
            }
            Bind::Release(lane) => self.held.retain(|held| held.lane != lane),
            _ => {}
        }
    }

    fn reject(&mut self, at: usize, meta: Meta, frame: &[u8], fault: Fault) {
        let mut explained = Explained::of(
            Some(Frame { at, meta: Some(meta), keys: Ok(Vec::new()) }),
            refused((fault.outcome, fault.reason), fault.text),
        );
        explained.answer = self.error(&meta, frame, fault);
        self.all.push(explained);
    }

    /// The connection cannot go on.
    fn fault(&mut self, at: usize, meta: Option<Meta>, fault: Fault) {
        let refused = Refused {
            outcome: fault.outcome,
            reason: fault.reason,
            text: fault.text.to_owned(),
            closes: true,
        };
        let frame = Frame { at, meta, keys: Ok(Vec::new()) };
        let mut explained = Explained::of(Some(frame), Fate::Refused(refused));
        explained.answer = self.error(&Meta::frame(Kind::Request, 0), &[], fault);
        self.all.push(explained);
    }

    fn cut_off(&mut self, at: usize, meta: Option<Meta>, has: usize, needs: usize) {
        let frame = Frame { at, meta, keys: Ok(Vec::new()) };
        self.all.push(Explained::of(Some(frame), Fate::CutOff(has, needs.max(has + 1))));
    }

    fn error(&mut self, meta: &Meta, frame: &[u8], fault: Fault) -> Vec<u8> {
        let Fault { outcome, reason, text, .. } = fault;
        let answer = Answer::Error { outcome, reason, text };
        write(self.codec, &mut self.session.conn, meta, C::Tag::default(), frame, &answer)
    }
}

/// An answer in the codec's words.
fn write<C: Codec>(
    codec: &C,
    conn: &mut C::Conn,
    meta: &Meta,
    tag: C::Tag,
    frame: &[u8],
    answer: &Answer<'_>,
) -> Vec<u8> {
    let mut scratch = Vec::new();
    let kept = codec.keep(conn, meta, frame, &mut scratch).to_vec();
    let kept = kept.get(..Question::<C::Tag>::KEPT).unwrap_or(&kept);
    let mut out = Vec::new();
    let question = Question::new(meta, tag).kept(kept);
    if let Err(fault) = codec.answer(conn, &question, answer, &mut out) {
        out.clear();
        let Fault { outcome, reason, text, .. } = fault;
        if codec
            .answer(conn, &question, &Answer::Error { outcome, reason, text }, &mut out)
            .is_err()
        {
            out.clear();
        }
    }
    if meta.quiet {
        out.clear();
    }
    out
}

/// A frame on its session.
struct Framed<'a, C: Codec> {
    codec: &'a C,
    plan: &'a Plan,
    session: &'a mut Session<C>,
    held: &'a [Hold],
    meta: Meta,
    tag: C::Tag,
    frame: &'a [u8],
    scratch: Vec<u8>,
    words: [Vec<u8>; 2],
    unknown: u64,
    edits: Vec<HeaderEdit>,
    /// The endpoint it goes to, if that is certain.
    aimed: Option<(usize, Arc<str>)>,
}

impl<C: Codec> Framed<'_, C> {
    fn whole(&self) -> Whole<'_, C> {
        let Self { codec, meta, tag, frame, .. } = self;
        Whole { codec, conn: &self.session.conn, meta, tag: *tag, frame }
    }

    fn held(&self, lane: Lane) -> Option<&Hold> {
        self.held.iter().find(|held| held.lane == lane)
    }

    /// The parts of a frame for several endpoints.
    fn parts(&self, pool: &Pool) -> Result<To, End> {
        if self.meta.fan_out == FanOut::All {
            return Ok(To::All((0..pool.endpoints.len()).map(|at| address(pool, at)).collect()));
        }
        let mut parts: Vec<(usize, Vec<Vec<u8>>)> = Vec::new();
        let mut nobody = false;
        let Whole { codec, conn, meta, tag, frame } = self.whole();
        let _ = codec.keys(conn, meta, tag, frame, &mut |key| match pool.locate(key) {
            None => nobody = true,
            Some(at) => match parts.iter_mut().find(|(known, _)| *known == at) {
                Some((_, keys)) => keys.push(key.to_vec()),
                None => parts.push((at, vec![key.to_vec()])),
            },
        });
        if nobody || parts.is_empty() {
            return Err((Outcome::NoEndpoint, Reason::None));
        }
        if let ([(at, _)], Some(key)) =
            (&parts[..], parts.first().and_then(|(_, keys)| keys.first()))
        {
            return Ok(by_key(pool, *at, Some(key.clone())));
        }
        Ok(To::Split(parts.into_iter().map(|(at, keys)| (address(pool, at), keys)).collect()))
    }
}

impl<C: Codec> Subject for Framed<'_, C> {
    fn view<'v>(&'v mut self, place: Option<(&'v str, &'v str)>) -> Box<dyn Request + 'v> {
        let names =
            Names::read(self.codec, &self.session.conn, &self.meta, self.frame, &mut self.words);
        Box::new(View {
            codec: self.codec,
            id: SessionId(Key::from_bits(0)),
            session: self.session,
            plan: self.plan,
            meta: &self.meta,
            tag: self.tag,
            frame: self.frame,
            names,
            place,
            scratch: &mut self.scratch,
            unknown: &mut self.unknown,
            edits: &mut self.edits,
        })
    }

    fn kind(&self) -> Kind {
        self.meta.kind
    }

    fn together(&mut self, pool: &Pool) -> Result<(), End> {
        let held = self.held(Lane::One).and_then(|held| held.endpoint.as_ref());
        self.whole().together(held.map(|(at, _)| *at), pool)
    }

    fn accept(&mut self) -> Accepted {
        self.codec.accepted(&mut self.session.conn, &self.meta, self.tag, self.frame)
    }

    fn aim(&mut self, pool: &mut Pool, chosen: Option<Chosen>) -> Result<To, End> {
        let named = match self.meta.bind {
            Bind::Hold(Lane::Named) | Bind::Held(Lane::Named) | Bind::Release(Lane::Named) => {
                self.held(Lane::Named)
            }
            _ => None,
        };
        if let Some(held) = self.held(Lane::One).or(named) {
            return Ok(To::Held(held.endpoint.as_ref().map(|(_, name)| name.clone()), held.at));
        }
        let of = pool.endpoints.len();
        let spread = of > 1 && pool.balancer.is_hashing();
        let mut asked = None;
        let mut scratch = Vec::new();
        let at = chosen.as_ref().map(|(at, ..)| *at);
        let one = self.whole().one(of, spread, at, &mut scratch, |key| {
            asked = Some(key.map(<[u8]>::to_vec));
            pool.pick(Time::ZERO, key)
        });
        let to = match (one, asked, chosen) {
            (None, _, _) => match self.meta.fan_out {
                FanOut::All | FanOut::Split => self.parts(pool)?,
                _ => return Err((Outcome::NoEndpoint, Reason::None)),
            },
            (Some(at), Some(key), _) => by_key(pool, at, key),
            (Some(at), None, _) if of == 1 => To::One(address(pool, at), Why::Only),
            (Some(at), None, _) if self.meta.fan_out == FanOut::Home => {
                To::One(address(pool, at), Why::First)
            }
            (Some(at), None, _) if self.meta.fan_out == FanOut::Index => {
                To::One(address(pool, at), Why::Named)
            }
            (Some(_), None, Some(chosen)) => by_attr(pool, chosen),
            (Some(at), None, None) => by_key(pool, at, None),
        };
        if let (To::One(name, _), Some(at)) = (&to, one) {
            self.aimed = Some((at, name.clone()));
        }
        Ok(to)
    }

    fn answer(&mut self, answer: &Answer<'_>) -> Vec<u8> {
        let conn = &mut self.session.conn;
        write(self.codec, conn, &self.meta, self.tag, self.frame, answer)
    }
}
