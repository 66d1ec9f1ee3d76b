//! Frames for whoever looks at a running listener: copied into a feed while a tap is open, and not
//! looked at while none is.
//!
//! A closed tap costs one relaxed load of a request. An open one costs a look at the match, a copy
//! of each frame that is taken, and never a wait: what has no room in the feed is dropped and
//! counted there. Frames of streams behind their opening are not taken.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use heptad_core::{Codec, Feed, FeedWriter, Outcome, Reason, Time};
use heptad_route::{Expr, Tri};

use crate::{
    Engine,
    arena::Key,
    plan::End,
    view::{Names, View},
};

/// The switch that all workers of a listener look at.
#[derive(Debug, Default)]
pub struct Tap {
    /// Odd while the tap is open; another number each time.
    version: AtomicU64,
    next: AtomicU64,
    /// Taken when a tap is opened or closed, and once by each worker that notices.
    what: Mutex<Option<Arc<Tapped>>>,
}

/// What is taken.
#[derive(Debug)]
#[non_exhaustive]
pub struct Tapped {
    /// Which requests; their replies are taken too.
    pub when: Expr,
    /// How many of a hundred of those.
    pub percent: f64,
    /// Whether the frames themselves are taken, or only what is said about them.
    pub frames: bool,
    /// Where to, as [`TapRecord`]s.
    pub feed: Arc<Feed>,
}

impl Tapped {
    /// All requests and replies, with their frames.
    pub fn new(feed: Arc<Feed>) -> Self {
        Self { when: Expr::All(Vec::new()), percent: 100.0, frames: true, feed }
    }

    /// Sets [`Tapped::when`].
    #[must_use]
    pub fn when(mut self, when: Expr) -> Self {
        self.when = when;
        self
    }

    /// Sets [`Tapped::percent`].
    #[must_use]
    pub fn percent(mut self, percent: f64) -> Self {
        self.percent = percent;
        self
    }

    /// Sets [`Tapped::frames`].
    #[must_use]
    pub fn frames(mut self, yes: bool) -> Self {
        self.frames = yes;
        self
    }
}

impl Tap {
    /// Opens the tap; `false` if it is open already.
    pub fn open(&self, what: Tapped) -> bool {
        let mut now = self.what.lock().unwrap_or_else(PoisonError::into_inner);
        if now.is_some() {
            return false;
        }
        *now = Some(Arc::new(what));
        self.version.fetch_add(1, Ordering::Release);
        true
    }

    /// Closes it. Workers let go of the feed when they serve their next request.
    pub fn close(&self) {
        let mut now = self.what.lock().unwrap_or_else(PoisonError::into_inner);
        if now.take().is_some() {
            self.version.fetch_add(1, Ordering::Release);
        }
    }

    fn look(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }
}

/// A worker's end of a tap.
#[derive(Debug, Default)]
pub(crate) struct Tapping {
    /// The last version that was looked at.
    version: u64,
    open: Option<(Arc<Tapped>, FeedWriter)>,
    record: Vec<u8>,
}

/// One frame of a tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TapRecord<'a> {
    /// Whether it is the reply, or what came in its place.
    pub reply: bool,
    /// When it came, or was handed out.
    pub time: Time,
    /// What a request and its reply have in common, and no others.
    pub call: u64,
    /// What all calls of a client's connection to a worker have in common.
    pub session: u64,
    /// The client's address; none for Unix sockets.
    pub ip: Option<IpAddr>,
    /// The client's port.
    pub port: u16,
    /// Of the request.
    pub service: &'a [u8],
    /// Of the request.
    pub method: &'a [u8],
    /// How it ended; of replies.
    pub outcome: Outcome,
    /// Why; of replies.
    pub reason: Reason,
    /// The protocol's own name of the error; of replies.
    pub code: &'a [u8],
    /// The frame's length.
    pub len: u32,
    /// The frame as the client sent it, or gets it; empty if frames are not taken.
    pub frame: &'a [u8],
}

/// Bytes of a record in front of its texts.
const FIXED: usize = 56;

impl<'a> TapRecord<'a> {
    fn put(&self, out: &mut Vec<u8>) {
        let (family, ip) = match self.ip {
            None => (0, Ipv6Addr::UNSPECIFIED),
            Some(IpAddr::V4(ip)) => (4, ip.to_ipv6_mapped()),
            Some(IpAddr::V6(ip)) => (6, ip),
        };
        let short = |text: &[u8]| u8::try_from(text.len()).unwrap_or(u8::MAX);
        let texts = [self.service, self.method, self.code];
        out.extend_from_slice(&[
            u8::from(self.reply),
            self.outcome as u8,
            self.reason as u8,
            family,
        ]);
        out.extend_from_slice(&texts.map(short));
        out.push(0);
        out.extend_from_slice(&self.time.as_nanos().to_le_bytes());
        out.extend_from_slice(&self.call.to_le_bytes());
        out.extend_from_slice(&self.session.to_le_bytes());
        out.extend_from_slice(&ip.octets());
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&self.port.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        for text in texts {
            out.extend_from_slice(text.get(..usize::from(u8::MAX)).unwrap_or(text));
        }
        out.extend_from_slice(self.frame);
    }

    /// Reads what a worker has pushed; `None` if it is no such record.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (fixed, mut rest) = bytes.split_first_chunk::<FIXED>()?;
        let number = |at: usize| {
            let word = fixed.get(at..at + 8)?.try_into().ok()?;
            Some(u64::from_le_bytes(word))
        };
        let ip = Ipv6Addr::from(<[u8; 16]>::try_from(fixed.get(32..48)?).ok()?);
        let [reply, outcome, reason, family, service, method, code, _] = *fixed.first_chunk()?;
        let mut text = |len: u8| {
            let (text, behind) = rest.split_at_checked(len.into())?;
            rest = behind;
            Some(text)
        };
        Some(Self {
            reply: reply != 0,
            time: Time::from_nanos(number(8)?),
            call: number(16)?,
            session: number(24)?,
            ip: match family {
                4 => Some(IpAddr::V4(ip.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED))),
                6 => Some(IpAddr::V6(ip)),
                _ => None,
            },
            port: u16::from_le_bytes(fixed.get(52..54)?.try_into().ok()?),
            service: text(service)?,
            method: text(method)?,
            code: text(code)?,
            outcome: *Outcome::ALL.get(usize::from(outcome))?,
            reason: *Reason::ALL.get(usize::from(reason))?,
            len: u32::from_le_bytes(fixed.get(48..52)?.try_into().ok()?),
            frame: rest,
        })
    }
}

impl<C: Codec> Engine<C> {
    /// Whether an open tap may take the next request.
    pub(crate) fn is_tapped(&self) -> bool {
        self.plan.tap.as_ref().is_some_and(|tap| {
            let version = tap.look();
            version % 2 == 1 || version != self.tapping.version
        })
    }

    /// Takes up what is asked, or lets go of what is no longer.
    fn tap_up(&mut self) {
        let Some(tap) = &self.plan.tap else { return };
        if tap.look() == self.tapping.version {
            return;
        }
        let what = tap.what.lock().unwrap_or_else(PoisonError::into_inner);
        self.tapping.version = tap.version.load(Ordering::Acquire);
        self.tapping.open = what.clone().map(|what| {
            let writer = what.feed.writer();
            (what, writer)
        });
    }

    /// A request was routed: an open tap takes it, if it is one of those that are wanted.
    #[cold]
    pub(crate) fn tap_request(&mut self, now: Time, key: Key, frame: &[u8]) {
        self.tap_up();
        let Some((what, writer)) = &mut self.tapping.open else {
            return;
        };
        let Some(x) = self.exchanges.get_mut(key) else {
            return;
        };
        let Some(session) = self.sessions.get(x.session.0) else {
            return;
        };
        let (meta, tag) = (x.meta, x.tag);
        let names = Names::read(&self.codec, &session.conn, &meta, frame, &mut self.words);
        let mut view = View {
            codec: &self.codec,
            id: x.session,
            session,
            plan: &self.plan,
            meta: &meta,
            tag,
            frame,
            names,
            place: self.stats.series.get(x.series as usize).map(|s| (&*s.route, &*s.cluster)),
            scratch: &mut self.scratch,
            unknown: &mut 0,
            edits: &mut x.rare.edits,
        };
        if what.when.eval(&mut view) != Tri::True
            || (what.percent < 100.0 && self.rng.f64() * 100.0 >= what.percent)
        {
            return;
        }
        x.rare.tapped =
            self.plan.tap.as_ref().map_or(0, |tap| 1 + tap.next.fetch_add(1, Ordering::Relaxed));
        let (mut service, mut method) = (Vec::new(), Vec::new());
        let conn = &session.conn;
        let record = TapRecord {
            reply: false,
            time: now,
            call: x.rare.tapped,
            session: x.session.0.to_bits(),
            ip: session.peer.ip,
            port: session.peer.port,
            service: self
                .codec
                .service(conn, &meta, frame, &mut service)
                .ok()
                .flatten()
                .unwrap_or_default(),
            method: self
                .codec
                .method(conn, &meta, frame, &mut method)
                .ok()
                .flatten()
                .unwrap_or_default(),
            outcome: Outcome::Ok,
            reason: Reason::None,
            code: &[],
            len: meta.len,
            frame: if what.frames { frame } else { &[] },
        };
        self.tapping.record.clear();
        record.put(&mut self.tapping.record);
        writer.push(&self.tapping.record);
    }

    /// A request that was taken has ended. What its client gets are the bytes behind the first
    /// `before` of those that are written; without `before` those that were kept for their turn.
    #[cold]
    pub(crate) fn tap_reply(
        &mut self,
        now: Time,
        key: Key,
        (outcome, reason): End,
        code: u16,
        before: Option<usize>,
    ) {
        self.tap_up();
        let Some((what, writer)) = &mut self.tapping.open else {
            return;
        };
        let Some(x) = self.exchanges.get(key) else {
            return;
        };
        let (id, call) = (x.session, x.rare.tapped);
        let Some(session) = self.sessions.get(id.0) else {
            return;
        };
        let (chain, before) = match before {
            Some(before) => (&session.out, before),
            None => (x.rare.ready(), 0),
        };
        let len = chain.len().saturating_sub(before);
        let code = self.stats.codes.get(usize::from(code)).map_or("", |code| code);
        let record = TapRecord {
            reply: true,
            time: now,
            call,
            session: id.0.to_bits(),
            ip: session.peer.ip,
            port: session.peer.port,
            service: &[],
            method: &[],
            outcome,
            reason,
            code: code.as_bytes(),
            len: u32::try_from(len).unwrap_or(u32::MAX),
            frame: &[],
        };
        let out = &mut self.tapping.record;
        out.clear();
        record.put(out);
        if what.frames {
            let mut skip = before;
            chain.pieces(|piece| {
                let taken = skip.min(piece.len());
                skip -= taken;
                out.extend_from_slice(piece.get(taken..).unwrap_or_default());
                true
            });
        }
        writer.push(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_as_they_went_in() {
        for ip in [None, Some([1, 2, 3, 4].into()), Some(IpAddr::V6(Ipv6Addr::LOCALHOST))] {
            let record = TapRecord {
                reply: true,
                time: Time::from_nanos(7),
                call: 8,
                session: 9,
                ip,
                port: 10,
                service: b"svc",
                method: b"",
                outcome: Outcome::Timeout,
                reason: Reason::Request,
                code: b"X",
                len: 5,
                frame: b"bytes",
            };
            let mut bytes = Vec::new();
            record.put(&mut bytes);
            assert_eq!(TapRecord::read(&bytes), Some(record));
            assert_eq!(TapRecord::read(&bytes[..FIXED]), None);
        }
    }
}
