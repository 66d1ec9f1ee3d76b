//! What a codec must do to be routed, as checks that any codec can be put through. Apart from the
//! rest of the test kit, because `heptad codec test` runs them too and has an allocator of its own.
//!
//! ```
//! use awesomerpc::{AwesomeRpc, wire::Message};
//! use heptad_conformance::Conformance;
//!
//! let request = Message::request(7, "reviews", "list").body("page=1").to_bytes();
//! Conformance::new(AwesomeRpc::default())
//!     .requests(&request, 1)
//!     .replies(&request, &Message::reply(7, "five stars").to_bytes(), 1)
//!     .headers(&["user"])
//!     .assert();
//! ```
//!
//! Samples are bytes as a client or a server would send them, with the number of frames in them.
//! Give every kind of frame that the protocol has, small and with a body; a sample of some hundred
//! bytes is long enough. What is checked is listed at [`Rule`]. The checks drive the codec as the
//! engine would and know no engine. [`conformance!`](crate::conformance) makes tests of them;
//! [`Conformance::failures`] gives what is broken as data, for codecs that are made at run time.

#![forbid(unsafe_code)]

mod answers;
mod chunks;
mod failure;
mod feed;
pub mod fuzz;
mod garbage;
mod greet;
mod hostile;
mod linear;
mod macros;
mod parts;
mod rewrite;
mod state;
mod template;

use std::cell::Cell;

use heptad_core::{Codec, Ctx, Flavour, Meta, Outcome, Side, Want};

pub use failure::{Failure, Rule};
use feed::{Event, From, Outstanding, Peer, Trace};
use greet::Greeting;
use hostile::Hostile;
#[doc(hidden)]
pub use macros::{frames, with};

/// The checks for one codec: its samples, and how its connections are opened.
pub struct Conformance<C: Codec> {
    codec: C,
    cx: Ctx,
    seed: u64,
    rounds: u32,
    samples: Vec<Sample>,
    greetings: Vec<Greeting<C>>,
    hostile: Vec<Hostile>,
    headers: Option<Vec<String>>,
    whole_frames: bool,
    spoils: bool,
    recodes: bool,
    session: Opener<C>,
    link: Opener<C>,
    /// Links are opened as nobody told otherwise.
    plain_links: bool,
    decodes: Cell<u64>,
}

/// What is checked together. Each is a test of its own where [`conformance!`](crate::conformance)
/// is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Group {
    /// Where frames begin and end, however the bytes are cut, and what limits do.
    Frames,
    /// Damaged and hostile bytes, and the time that they take.
    Garbage,
    /// Ids and headers of rewritten frames.
    Rewrite,
    /// Heptad's own words: errors, direct answers, heartbeats, greetings and farewells.
    Answers,
    /// Attributes, and what is left of a refused request.
    State,
}

impl Group {
    /// All of them, in the order in which they are checked.
    pub const ALL: [Self; 5] =
        [Self::Frames, Self::Garbage, Self::Rewrite, Self::Answers, Self::State];
}

/// What was done; for tests that want to be sure that something was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Frames in the samples.
    pub frames: u64,
    /// Calls of the decoders.
    pub decodes: u64,
}

impl<C: Codec> Conformance<C> {
    /// Checks for `codec`, without samples yet.
    pub fn new(codec: C) -> Self {
        Self {
            codec,
            cx: Ctx::default(),
            seed: 0x0048_6570_7461_6421,
            rounds: 300,
            samples: Vec::new(),
            greetings: Vec::new(),
            hostile: Vec::new(),
            headers: None,
            whole_frames: false,
            spoils: false,
            recodes: false,
            session: Box::new(|codec| codec.open(Side::Session, Flavour::default())),
            link: Box::new(|codec| {
                codec.open(Side::Link(&C::Upstream::default()), Flavour::default())
            }),
            plain_links: true,
            decodes: Cell::new(0),
        }
    }

    /// Adds what a client sends on a new session: `frames` whole frames without a fault.
    pub fn requests(mut self, bytes: &[u8], frames: usize) -> Self {
        self.samples.push(Sample {
            from: From::Client,
            asked: Vec::new(),
            bytes: bytes.to_vec(),
            frames,
        });
        self
    }

    /// Adds what a server sends on a new link after the requests `asked` (which may be empty, if
    /// nothing was asked): `frames` whole frames without a fault.
    pub fn replies(mut self, asked: &[u8], bytes: &[u8], frames: usize) -> Self {
        self.samples.push(Sample {
            from: From::Server,
            asked: asked.to_vec(),
            bytes: bytes.to_vec(),
            frames,
        });
        self
    }

    /// Adds what an endpoint says to a link that is opened so and greets it, until it is ready.
    pub fn greeting(mut self, open: impl Fn(&C) -> C::Conn + 'static, heard: &[u8]) -> Self {
        self.greetings.push(Greeting { open: Box::new(open), heard: heard.to_vec() });
        self
    }

    /// Adds what a hostile client sends on a new session: the last frame must be refused with
    /// `outcome`.
    pub fn hostile(mut self, bytes: &[u8], outcome: Outcome) -> Self {
        self.hostile.push(Hostile { bytes: bytes.to_vec(), outcome });
        self
    }

    /// An error may change the session, as one that spoils a transaction: refused requests are
    /// then checked without being answered.
    pub fn errors_spoil(mut self) -> Self {
        self.spoils = true;
        self
    }

    /// A rewrite may encode a frame in another way, as one that was compressed and is not any
    /// more, or leave the credentials of a login out: bodies are then not compared, nor what becomes
    /// of a frame with its old id, and logins not at all.
    pub fn recodes(mut self) -> Self {
        self.recodes = true;
        self
    }

    /// The protocol has headers: header edits are checked on requests, and all checks are made once
    /// more with [`Ctx::want`] set. `names` are headers that occur in the samples.
    pub fn headers(mut self, names: &[&str]) -> Self {
        self.headers = Some(names.iter().map(|&name| name.to_owned()).collect());
        self
    }

    /// The protocol's frames have no head: their end is found only by going through them, as of an
    /// array of values of any length. `max_frame` alone then limits what must be seen.
    pub fn whole_frames(mut self) -> Self {
        self.whole_frames = true;
        self
    }

    /// Replaces the default limits.
    pub fn limits(mut self, cx: Ctx) -> Self {
        self.cx = cx;
        self
    }

    /// How a session is opened, if samples need one in another state (logged in, another version).
    pub fn session(mut self, open: impl Fn(&C) -> C::Conn + 'static) -> Self {
        self.session = Box::new(open);
        self
    }

    /// How a link is opened, if samples need one in another state.
    pub fn link(mut self, open: impl Fn(&C) -> C::Conn + 'static) -> Self {
        self.link = Box::new(open);
        self.plain_links = false;
        self
    }

    /// Another seed gives other random cuts and garbage; the same seed the same.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many random cuts, mutations and garbage inputs are made of each sample; 300 unless told.
    pub fn rounds(mut self, rounds: u32) -> Self {
        self.rounds = rounds;
        self
    }

    /// Makes all checks and stops at the first broken rule.
    pub fn check(&self) -> Result<Report, Box<Failure>> {
        self.check_groups(&Group::ALL)
    }

    /// Makes the checks of some groups and stops at the first broken rule.
    pub fn check_groups(&self, groups: &[Group]) -> Result<Report, Box<Failure>> {
        let mut first = None;
        let frames = self.run(groups, &mut |failure| {
            first = Some(Box::new(failure));
            false
        });
        match first {
            Some(failure) => Err(failure),
            None => Ok(Report { frames, decodes: self.decodes.get() }),
        }
    }

    /// Makes all checks, however many fail, and gives the first failure of each broken rule. What
    /// depends on a sample that is not what it should be is left out.
    pub fn failures(&self) -> Vec<Failure> {
        let mut all: Vec<Failure> = Vec::new();
        self.run(&Group::ALL, &mut |failure| {
            if all.iter().all(|known| known.rule != failure.rule) {
                all.push(failure);
            }
            true
        });
        all
    }

    /// Makes all checks; for use in a `#[test]`.
    ///
    /// # Panics
    /// When a rule is broken, with the rule, what was done, and the bytes.
    #[track_caller]
    pub fn assert(&self) -> Report {
        self.assert_groups(&Group::ALL)
    }

    /// Makes the checks of some groups; for use in a `#[test]`.
    ///
    /// # Panics
    /// As [`Conformance::assert`].
    #[track_caller]
    pub fn assert_groups(&self, groups: &[Group]) -> Report {
        match self.check_groups(groups) {
            Ok(report) => report,
            Err(failure) => panic!("{failure}"),
        }
    }

    /// Makes checks and tells each failure, until it is told to stop; counts the frames.
    fn run(&self, groups: &[Group], each: &mut dyn FnMut(Failure) -> bool) -> u64 {
        let mut frames = 0;
        let want = {
            let mut want = Want::default();
            (want.headers, want.edits) = (true, true);
            self.cx.want(want)
        };
        let mut contexts = vec![self.cx];
        contexts.extend(self.headers.as_ref().map(|_| want));
        let mut all = |result: Result<(), Failure>| match result {
            Ok(()) => true,
            Err(failure) => each(failure.within(format!("codec {}", C::NAME))),
        };
        for cx in contexts {
            for (number, sample) in self.samples.iter().enumerate() {
                let from = sample.from;
                let name = format!("sample {number}, from a {from:?}, with {:?}", cx.want);
                let mut tell = |result: Result<(), Failure>| {
                    all(result.map_err(|failure| failure.within(&name)))
                };
                match self.whole(cx, sample) {
                    Err(failure) => {
                        if !tell(Err(failure)) {
                            return frames;
                        }
                        continue;
                    }
                    Ok(whole) => {
                        for group in groups {
                            for check in self.checks(*group) {
                                if !tell(check(self, cx, sample, &whole)) {
                                    return frames;
                                }
                            }
                        }
                    }
                }
                frames += sample.frames as u64;
            }
            let connection: [(Group, ConnectionCheck<C>); 3] = [
                (Group::Garbage, hostile::check),
                (Group::Answers, answers::connection),
                (Group::Answers, greet::check),
            ];
            for (group, check) in connection {
                if groups.contains(&group) && !all(check(self, cx)) {
                    return frames;
                }
            }
        }
        frames
    }

    /// What a group does with a sample.
    fn checks(&self, group: Group) -> &'static [Check<C>] {
        match group {
            Group::Frames => &[chunks::check, hostile::parts],
            Group::Garbage => &[garbage::check, linear::check],
            Group::Rewrite => &[rewrite::check, parts::check, template::check],
            Group::Answers => &[answers::check],
            Group::State => &[state::check],
        }
    }

    /// What is in a sample, in one read.
    fn whole(&self, cx: Ctx, sample: &Sample) -> Result<Trace<C::Tag>, Failure> {
        let whole = self.peer(cx, sample)?.feed_whole(&sample.bytes)?;
        let bad = |at, detail: String| Err(Failure::new(Rule::Sample, &sample.bytes, at, detail));
        for event in &whole.events {
            if !matches!(event, Event::Frame { .. }) {
                return bad(event.at(), format!("{event:?}"));
            }
        }
        if whole.events.len() != sample.frames || whole.end != sample.bytes.len() {
            let found = whole.events.len();
            let detail = format!("{found} frames and not {}: {whole:?}", sample.frames);
            return bad(whole.end, detail);
        }
        Ok(whole)
    }

    /// The end of a new connection that a sample arrives at.
    fn peer(&self, cx: Ctx, sample: &Sample) -> Result<Peer<'_, C>, Failure> {
        let mut peer = self.end(cx, sample.from);
        if sample.from == From::Server && !sample.asked.is_empty() {
            // A limit that is being tested must not stand in the way of what was asked.
            let trace = self.end(self.cx, From::Client).feed_whole(&sample.asked)?;
            for event in trace.events {
                let Event::Frame { meta, tag, .. } = event else {
                    let at = event.at();
                    let detail = format!("what was asked: {event:?}");
                    return Err(Failure::new(Rule::Sample, &sample.asked, at, detail));
                };
                if awaits_reply(meta.kind) || meta.kind == heptad_core::Kind::Ping {
                    peer.asked.push(meta.id, tag);
                }
            }
        }
        Ok(peer)
    }

    /// The end of a new connection, with nothing asked.
    fn end(&self, cx: Ctx, from: From) -> Peer<'_, C> {
        Peer {
            codec: &self.codec,
            cx,
            from,
            whole_frames: self.whole_frames,
            names: self.headers.as_deref().unwrap_or_default(),
            conn: match from {
                From::Client => (self.session)(&self.codec),
                From::Server => (self.link)(&self.codec),
            },
            asked: Outstanding::new(self.codec.traits().pairing),
            decodes: &self.decodes,
            calls: Vec::new(),
        }
    }

    /// The client of a request that came on `conn`: it knows what it speaks.
    fn client(&self, cx: Ctx, conn: &C::Conn, to: &Meta) -> Peer<'_, C> {
        let mut peer = self.end(cx, From::Server);
        if self.plain_links {
            let flavour = self.codec.flavour(conn, to);
            peer.conn = self.codec.open(Side::Link(&C::Upstream::default()), flavour);
        }
        peer
    }

    fn by_id(&self) -> Option<u32> {
        match self.codec.traits().pairing {
            heptad_core::Pairing::ById { bits } => Some(bits),
            _ => None,
        }
    }
}

impl<C: Codec> std::fmt::Debug for Conformance<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conformance")
            .field("codec", &C::NAME)
            .field("samples", &self.samples.len())
            .finish_non_exhaustive()
    }
}

type ConnectionCheck<C> = fn(&Conformance<C>, Ctx) -> Result<(), Failure>;

type Check<C> = fn(&Conformance<C>, Ctx, &Sample, &Trace<<C as Codec>::Tag>) -> Result<(), Failure>;

type Opener<C> = Box<dyn Fn(&C) -> <C as Codec>::Conn>;

struct Sample {
    from: From,
    asked: Vec<u8>,
    bytes: Vec<u8>,
    frames: usize,
}

const fn awaits_reply(kind: heptad_core::Kind) -> bool {
    use heptad_core::Kind;
    matches!(kind, Kind::Request | Kind::Open | Kind::Login | Kind::Control)
}
