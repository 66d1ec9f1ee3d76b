//! A protocol's fixed properties, and what a decoder may rely on.

use std::ops::BitOrAssign;

/// How replies find their requests on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pairing {
    /// By an id of this many bits on the wire; the engine chooses ids per link, at least 1.
    ById {
        /// 8 to 64.
        bits: u32,
    },
    /// Replies come in the order of the requests.
    InOrder,
}

/// Fixed properties and defaults of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traits {
    /// How replies find their requests.
    pub pairing: Pairing,
    /// Whether clients expect replies in the order of their requests.
    pub ordered: bool,
    /// Whether links carry calls of many sessions at once, unless the cluster says otherwise.
    pub share: bool,
    /// Default for `limits.max_frame`, bytes.
    pub max_frame: u32,
}

impl Traits {
    /// A multiplexed protocol with ids of `bits` bits: unordered, shared links, 16 MiB frames.
    pub const fn by_id(bits: u32) -> Self {
        Self { pairing: Pairing::ById { bits }, ordered: false, share: true, max_frame: 16 << 20 }
    }

    /// A protocol that answers in order: ordered, shared links, 16 MiB frames.
    pub const fn in_order() -> Self {
        Self { pairing: Pairing::InOrder, ordered: true, share: true, max_frame: 16 << 20 }
    }

    /// Sets [`Traits::max_frame`].
    pub const fn max_frame(mut self, bytes: u32) -> Self {
        self.max_frame = bytes;
        self
    }

    /// Sets [`Traits::share`].
    pub const fn share(mut self, yes: bool) -> Self {
        self.share = yes;
        self
    }

    /// Sets [`Traits::ordered`].
    pub const fn ordered(mut self, yes: bool) -> Self {
        self.ordered = yes;
        self
    }
}

/// The side of a connection whose state is opened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Side<'a, U> {
    /// A client's connection to Heptad.
    Session,
    /// Heptad's connection to an endpoint, with the options of its cluster.
    Link(&'a U),
}

/// What tells shared links apart that must not mix; the codec gives the number its meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_structs, reason = "a number, for codec authors to build")]
pub struct Flavour(pub u32);

/// What policy will ask of the frames of a listener, decided when routes are compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Want {
    /// Some rule reads what stands behind the head: headers, arguments, the client's time-out.
    pub headers: bool,
    /// Some route edits headers.
    pub edits: bool,
    /// Some rule reads the service, which in some protocols stands behind the head as well.
    pub service: bool,
}

impl Want {
    /// Whatever there is.
    pub const EVERYTHING: Self = Self { headers: true, edits: true, service: true };

    /// Whether the decoder may have to see more than a frame's head.
    pub const fn behind_head(self) -> bool {
        self.headers || self.edits || self.service
    }
}

impl BitOrAssign for Want {
    /// Both.
    fn bitor_assign(&mut self, other: Self) {
        self.headers |= other.headers;
        self.edits |= other.edits;
        self.service |= other.service;
    }
}

/// What a decoder may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ctx {
    /// What policy will ask.
    pub want: Want,
    /// Longest frame, bytes: a longer one is a `TooLarge`/`FrameSize` fault as soon as its length
    /// is known. The engine checks `Meta::len` too.
    pub max_frame: u32,
    /// Most bytes up to the end of what the decoder must see to return a `Frame` of a request,
    /// unless [`Ctx::want`] asks for what stands at the frame's end. A protocol whose frames have no head, because their end is found only by going through them
    /// (Redis), knows [`Ctx::max_frame`] alone.
    pub max_head: u32,
    /// Most elements, arguments or headers of a frame.
    pub max_parts: u32,
    /// Deepest nesting.
    pub max_depth: u32,
}

impl Default for Ctx {
    /// 16 MiB frames, 64 KiB heads, 1 Mi parts, depth 64: the documented defaults.
    fn default() -> Self {
        Self {
            want: Want::default(),
            max_frame: 16 << 20,
            max_head: 64 << 10,
            max_parts: 1 << 20,
            max_depth: 64,
        }
    }
}

impl Ctx {
    /// Sets [`Ctx::want`].
    pub const fn want(mut self, want: Want) -> Self {
        self.want = want;
        self
    }
    /// Sets [`Ctx::max_frame`].
    pub const fn max_frame(mut self, bytes: u32) -> Self {
        self.max_frame = bytes;
        self
    }
    /// Sets [`Ctx::max_head`].
    pub const fn max_head(mut self, bytes: u32) -> Self {
        self.max_head = bytes;
        self
    }
    /// Sets [`Ctx::max_parts`].
    pub const fn max_parts(mut self, parts: u32) -> Self {
        self.max_parts = parts;
        self
    }
    /// Sets [`Ctx::max_depth`].
    pub const fn max_depth(mut self, depth: u32) -> Self {
        self.max_depth = depth;
        self
    }
}
