//! What a codec must do to be routed, as checks that any codec can be put through.
//!
//! ```
//! use awesomerpc::{AwesomeRpc, wire::Message};
//! use heptad_testkit::conformance::Conformance;
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
//! engine would and know no engine. That decoding takes linear time is not among them.

mod answers;
mod chunks;
mod failure;
mod feed;
mod garbage;
mod rewrite;

use std::cell::Cell;

use heptad_core::{Codec, Ctx, Flavour, Side, Want};

pub use failure::{Failure, Rule};
use feed::{Event, From, Outstanding, Peer, Trace};

/// The checks for one codec: its samples, and how its connections are opened.
pub struct Conformance<C: Codec> {
    codec: C,
    cx: Ctx,
    seed: u64,
    rounds: u32,
    samples: Vec<Sample>,
    headers: Option<Vec<String>>,
    whole_frames: bool,
    session: Opener<C>,
    link: Opener<C>,
    decodes: Cell<u64>,
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
            headers: None,
            whole_frames: false,
            session: Box::new(|codec| codec.open(Side::Session, Flavour::default())),
            link: Box::new(|codec| {
                codec.open(Side::Link(&C::Upstream::default()), Flavour::default())
            }),
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
        let mut frames = 0;
        let want = {
            let mut want = Want::default();
            (want.headers, want.edits) = (true, true);
            self.cx.want(want)
        };
        let contexts = if self.headers.is_some() { vec![self.cx, want] } else { vec![self.cx] };
        for cx in contexts {
            for (number, sample) in self.samples.iter().enumerate() {
                self.check_sample(cx, sample).map_err(|failure| {
                    let from = sample.from;
                    let context = format!("sample {number}, from a {from:?}, with {:?}", cx.want);
                    failure.within(context).within(format!("codec {}", C::NAME))
                })?;
                frames += sample.frames as u64;
            }
            answers::connection(self, cx).map_err(|f| f.within(format!("codec {}", C::NAME)))?;
        }
        Ok(Report { frames, decodes: self.decodes.get() })
    }

    /// Makes all checks; for use in a `#[test]`.
    ///
    /// # Panics
    /// When a rule is broken, with the rule, what was done, and the bytes.
    #[track_caller]
    pub fn assert(&self) -> Report {
        match self.check() {
            Ok(report) => report,
            Err(failure) => panic!("{failure}"),
        }
    }

    fn check_sample(&self, cx: Ctx, sample: &Sample) -> Result<(), Failure> {
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
        chunks::check(self, cx, sample, &whole)?;
        garbage::check(self, cx, sample)?;
        rewrite::check(self, cx, sample, &whole)?;
        answers::check(self, cx, sample, &whole)
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
            conn: match from {
                From::Client => (self.session)(&self.codec),
                From::Server => (self.link)(&self.codec),
            },
            asked: Outstanding::new(self.codec.traits().pairing),
            decodes: &self.decodes,
        }
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
