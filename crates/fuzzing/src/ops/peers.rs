//! Clients and servers of any codec, made of the codec itself: a server answers with what the codec
//! would answer, and a client counts what comes.

use std::{cell::RefCell, rc::Rc, time::Duration};

use heptad_core::{
    Answer, Asked, Codec, Ctx, Flavour, Kind, Meta, Outcome, Question, Reason, Side, Step, Time,
};
use heptad_testkit::sim::{End, Io, Script};

/// What a client sent, and how many replies it got.
#[derive(Debug, Default)]
pub(super) struct Count {
    sent: Vec<u8>,
    replies: usize,
}

impl Count {
    pub(super) fn sends(&mut self, bytes: &[u8]) {
        self.sent.extend_from_slice(bytes);
    }

    /// No more replies than there were requests to be replied to.
    pub(super) fn check<C: Codec>(&self) {
        let codec = crate::suites::codec::<C>();
        let mut session = codec.open(Side::Session, Flavour::default());
        let (mut at, mut most) = (0, 0);
        while let Some(rest) = self.sent.get(at..).filter(|rest| !rest.is_empty()) {
            match codec.decode_request(&mut session, &Ctx::default(), rest) {
                Ok(Step::Frame(meta, tag)) => {
                    most += usize::from(matches!(
                        meta.kind,
                        Kind::Request | Kind::Open | Kind::Login | Kind::Control
                    ));
                    let Some(frame) = rest.get(..meta.len as usize) else { break };
                    codec.accepted(&mut session, &meta, tag, frame);
                    at += frame.len();
                }
                Ok(Step::Reject(meta, _)) => {
                    most += 1;
                    at += meta.len as usize;
                }
                Ok(Step::Skip(n)) => at += n,
                Ok(_) => break,
                Err(_) => {
                    most += 1;
                    break;
                }
            }
        }
        // What a listener's own limits cut off is answered once more.
        assert!(self.replies <= most + 1, "{} replies to {most} requests", self.replies);
    }
}

struct Anything;

impl<T: Default> Asked<T> for Anything {
    fn tag(&self, _: u64) -> Option<T> {
        Some(T::default())
    }
}

/// A client that takes apart what it hears, as far as it can without knowing what it asked.
pub(super) struct Hears<C: Codec> {
    codec: C,
    conn: C::Conn,
    count: Rc<RefCell<Count>>,
    buf: Vec<u8>,
    lost: bool,
}

impl<C: Codec> Hears<C> {
    pub(super) fn new(codec: C, count: Rc<RefCell<Count>>) -> Self {
        let conn = codec.open(Side::Link(&C::Upstream::default()), Flavour::default());
        Self { codec, conn, count, buf: Vec::new(), lost: false }
    }
}

impl<C: Codec> Script for Hears<C> {
    fn heard(&mut self, _: &mut Io<'_>, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
        while !self.buf.is_empty() && !self.lost {
            let cx = Ctx::default();
            let step = self.codec.decode_reply(&mut self.conn, &Anything, &cx, &self.buf);
            let used = match step {
                Ok(Step::Frame(meta, ())) if self.buf.len() >= meta.len as usize => {
                    self.count.borrow_mut().replies += usize::from(meta.kind == Kind::Reply);
                    meta.len as usize
                }
                Ok(Step::Skip(n)) => n,
                Ok(_) => return,
                // A reply that cannot be read without its request, or a server that speaks another
                // dialect from frame to frame.
                Err(_) => {
                    self.lost = true;
                    return;
                }
            };
            self.buf.drain(..used);
        }
    }
}

/// How servers answer, for all of them.
#[derive(Debug, Default)]
pub(super) struct Spoken {
    pub(super) manner: u8,
}

/// A server that answers as its codec would, or not.
pub(super) struct Serves<C: Codec> {
    codec: C,
    conn: C::Conn,
    manner: Rc<RefCell<Spoken>>,
    buf: Vec<u8>,
    later: Vec<(u64, Vec<u8>)>,
    count: u64,
}

impl<C: Codec> Serves<C> {
    pub(super) fn new(codec: C, manner: Rc<RefCell<Spoken>>) -> Self {
        let conn = codec.open(Side::Session, Flavour::default());
        Self { codec, conn, manner, buf: Vec::new(), later: Vec::new(), count: 0 }
    }

    fn answer(&mut self, io: &mut Io<'_>, meta: &Meta, tag: C::Tag, frame: &[u8]) {
        self.count += 1;
        let manner = self.manner.borrow().manner;
        let answer = match (meta.kind, manner & 7) {
            (Kind::Ping, 6) => return,
            (Kind::Ping, _) => Answer::Pong,
            (Kind::Oneway | Kind::Pong | Kind::Data | Kind::GoAway, _) | (_, 5) => return,
            (_, 4) => {
                Answer::Error { outcome: Outcome::Overloaded, reason: Reason::None, text: "" }
            }
            (_, 7) => return io.end(End::Reset),
            _ => Answer::Direct { text: "done" },
        };
        let mut scratch = Vec::new();
        let kept = self.codec.keep(&self.conn, meta, frame, &mut scratch).to_vec();
        let question = Question::new(meta, tag).kept(&kept);
        let mut out = Vec::new();
        if self.codec.answer(&mut self.conn, &question, &answer, &mut out).is_err() {
            out.clear();
            let error =
                Answer::Error { outcome: Outcome::Denied, reason: Reason::None, text: "no" };
            let _ = self.codec.answer(&mut self.conn, &question, &error, &mut out);
        }
        if manner & 7 == 3 {
            out.truncate(out.len() / 2); // Says half of it, and falls silent.
        }
        match u64::from(manner >> 3) {
            0 => io.send(&out),
            wait => {
                // The later calls of those with ids overtake the earlier ones.
                let wait = Duration::from_millis(wait * (1 + self.count % 3));
                let first = self.later.last().map_or(0, |(token, _)| token + 1);
                self.later.push((first, out));
                io.after(wait, first);
            }
        }
    }
}

impl<C: Codec> Script for Serves<C> {
    fn heard(&mut self, io: &mut Io<'_>, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
        while !self.buf.is_empty() {
            let cx = Ctx::default().max_frame(u32::MAX >> 1).max_head(u32::MAX >> 1);
            match self.codec.decode_request(&mut self.conn, &cx, &self.buf) {
                Ok(Step::Frame(meta, tag)) if self.buf.len() >= meta.len as usize => {
                    let frame: Vec<u8> = self.buf.drain(..meta.len as usize).collect();
                    self.answer(io, &meta, tag, &frame);
                    self.codec.accepted(&mut self.conn, &meta, tag, &frame);
                }
                Ok(Step::Reject(meta, _)) if self.buf.len() >= meta.len as usize => {
                    self.buf.drain(..meta.len as usize);
                }
                Ok(Step::Skip(n)) => drop(self.buf.drain(..n)),
                Ok(_) => return,
                // An honest server ends a connection on which it hears what it cannot read. What is
                // sent in another dialect than the first frame's may be such.
                Err(_) => {
                    self.buf.clear();
                    return io.end(End::Reset);
                }
            }
        }
    }

    fn timer(&mut self, io: &mut Io<'_>, token: u64) {
        // In order, whatever the timers say: half of the protocols need it.
        let due = self.later.iter().position(|(known, _)| *known == token);
        if let Some(at) = due {
            for (_, bytes) in self.later.drain(..=at) {
                io.send(&bytes);
            }
        }
    }

    fn closed(&mut self, _: Time) {
        self.later.clear();
    }
}
