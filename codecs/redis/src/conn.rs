//! What is remembered of a connection: a client's session, or a link to a server.
//!
//! The session says what the client asked for, the link what is in force on that connection; the
//! prelude brings the second to the first.

use std::sync::Arc;

use heptad_core::Flavour;

use crate::{
    scan::{ReplyScan, RequestScan},
    table::{Family, Sticky},
};

/// State of one connection.
#[derive(Debug)]
pub struct Conn(pub(crate) Side);

/// Which end it is.
#[derive(Debug)]
pub(crate) enum Side {
    Session(Box<Session>),
    Link(Box<Link>),
}

impl Conn {
    /// The session, if it is one.
    pub(crate) fn session(&self) -> Option<&Session> {
        match &self.0 {
            Side::Session(s) => Some(s),
            Side::Link(_) => None,
        }
    }

    /// The session, if it is one.
    pub(crate) fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.0 {
            Side::Session(s) => Some(s),
            Side::Link(_) => None,
        }
    }

    /// The link, if it is one.
    pub(crate) fn link_mut(&mut self) -> Option<&mut Link> {
        match &mut self.0 {
            Side::Session(_) => None,
            Side::Link(l) => Some(l),
        }
    }

    /// The link, if it is one.
    pub(crate) fn link(&self) -> Option<&Link> {
        match &self.0 {
            Side::Session(_) => None,
            Side::Link(l) => Some(l),
        }
    }
}

/// A client.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) scan: RequestScan,
    /// The command that came last, which often is the next one too.
    pub(crate) last: Last,
    /// The number of the user it logged in as.
    pub(crate) user: Option<u16>,
    /// That user's name.
    pub(crate) principal: Option<Box<str>>,
    /// What must be the same on every link of its own.
    pub(crate) wish: Wish,
    /// `None`: the cluster's own database.
    pub(crate) db: Option<u32>,
    /// What becomes of the session when the reply to the control frame in flight is a success.
    pub(crate) pending: Option<Pending>,
    pub(crate) replies: Replies,
    /// Between `MULTI` and `EXEC`.
    pub(crate) multi: Option<Box<Multi>>,
    pub(crate) watching: bool,
    pub(crate) monitor: bool,
    /// Subscribed over a link that carries everything else too (RESP2).
    pub(crate) subscribed: bool,
    /// Subscribed over a link besides the others (RESP3).
    pub(crate) listening: bool,
    /// Has asked for something that only holds on links of its own.
    pub(crate) own: bool,
    /// Commands to be repeated on each link of its own.
    pub(crate) sticky: [Repeat; STICKY],
}

/// A command as it was spelled, and its index in the table; at first none of any name.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Last {
    name: [u8; 16],
    len: usize,
    index: u16,
    /// What such a request always is, if its first argument is its only key.
    pub(crate) keyed: Option<Keyed>,
}

/// What there is to know of a command of one key, its first argument, that asks nothing of the
/// connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keyed {
    pub(crate) index: u16,
    pub(crate) idempotent: bool,
}

impl Last {
    /// Whether this is the name.
    #[inline]
    pub(crate) fn is(&self, name: &[u8]) -> bool {
        name.len() == self.len
            && self.len > 0
            && name.iter().zip(&self.name).all(|(one, other)| one == other)
    }

    /// The index of a name, which `find` finds if it is not the same again.
    pub(crate) fn index(&mut self, name: &[u8], find: impl FnOnce(&[u8]) -> u16) -> u16 {
        if self.is(name) {
            return self.index;
        }
        let index = find(name);
        if let Some(place) = self.name.get_mut(..name.len()) {
            place.copy_from_slice(name);
            (self.len, self.index, self.keyed) = (name.len(), index, None);
        }
        index
    }
}

/// Properties of a connection that can be set anew at any time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) resp3: bool,
    pub(crate) name: Option<Box<[u8]>>,
    pub(crate) lib_name: Option<Box<[u8]>>,
    pub(crate) lib_ver: Option<Box<[u8]>>,
}

/// A command to be repeated, and how often it was changed: 0 if it was never given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Repeat {
    pub(crate) version: u32,
    pub(crate) frame: Box<[u8]>,
}

/// How many kinds of commands are repeated.
pub(crate) const STICKY: usize = 5;

/// The place of a kind; `None` for what cannot be repeated.
pub(crate) fn place(sticky: Sticky) -> Option<usize> {
    match sticky {
        Sticky::Capa => Some(0),
        Sticky::NoEvict => Some(1),
        Sticky::NoTouch => Some(2),
        Sticky::ReadOnly => Some(3),
        Sticky::Tracking => Some(4),
        Sticky::Link => None,
    }
}

/// A change that waits for its reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    Db(u32),
    Name(Option<Box<[u8]>>),
    LibName(Option<Box<[u8]>>),
    LibVer(Option<Box<[u8]>>),
    Sticky(usize, Box<[u8]>),
}

/// `CLIENT REPLY`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Replies {
    #[default]
    On,
    Off,
    /// Off for the next command.
    Skip,
}

/// A transaction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Multi {
    /// The server knows of it, or will with the next frame.
    pub(crate) bound: bool,
    /// A command was refused: it must not be executed.
    pub(crate) dirty: bool,
    /// `EXEC` or `DISCARD` is on its way.
    pub(crate) ending: bool,
    /// Commands without a key, kept until a key says where to.
    pub(crate) deferred: Vec<u8>,
    /// How many.
    pub(crate) frames: u32,
    /// Commands queued, deferred ones included.
    pub(crate) queued: u32,
    /// What the queued commands will change, by their number.
    pub(crate) effects: Vec<(u32, Pending)>,
}

/// Most bytes and frames that are deferred.
pub(crate) const DEFERRED_BYTES: usize = 64 << 10;
pub(crate) const DEFERRED_FRAMES: u32 = 256;
/// Most queued commands that change the connection.
pub(crate) const EFFECTS: usize = 256;

impl Session {
    /// Whether its requests are nothing but requests.
    #[inline]
    pub(crate) fn is_ordinary(&self) -> bool {
        self.multi.is_none() && !self.subscribed && !self.own && self.replies == Replies::On
    }

    /// Whether it holds the one link that everything goes over.
    pub(crate) fn holds_one(&self) -> bool {
        self.watching
            || self.monitor
            || self.subscribed
            || self.multi.as_ref().is_some_and(|m| m.bound)
    }

    /// As a new connection, but for the scan.
    pub(crate) fn reset(&mut self) {
        *self = Self { scan: self.scan, ..Self::default() };
    }

    /// Makes a change that was waiting for its reply.
    pub(crate) fn apply(&mut self, change: Pending) {
        match change {
            Pending::Db(db) => self.db = Some(db),
            Pending::Name(name) => self.wish.name = name,
            Pending::LibName(name) => self.wish.lib_name = name,
            Pending::LibVer(ver) => self.wish.lib_ver = ver,
            Pending::Sticky(place, frame) => {
                if let Some(repeat) = self.sticky.get_mut(place) {
                    repeat.version += 1;
                    repeat.frame = frame;
                }
            }
        }
    }
}

/// How Heptad logs in to a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Upstream {
    pub(crate) user: Option<Box<str>>,
    pub(crate) password: Option<Box<str>>,
    pub(crate) db: u32,
}

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) scan: ReplyScan,
    pub(crate) upstream: Arc<Upstream>,
    /// Replies to the greeting still to come.
    pub(crate) greeting: u32,
    /// `None`: not known.
    pub(crate) db: Option<u32>,
    pub(crate) wish: Wish,
    /// A transaction may have changed the name.
    pub(crate) unsure: bool,
    /// What the request in flight changes if it succeeds.
    pub(crate) pending: Option<Pending>,
    /// Versions of the session's repeated commands that are in force here.
    pub(crate) sticky: [u32; STICKY],
    /// Something holds that cannot be undone: not for another session.
    pub(crate) tainted: bool,
    pub(crate) multi: bool,
    pub(crate) monitor: bool,
    pub(crate) subs: Subs,
    /// Of the reply in hand: confirmations that were seen, and that are wanted (0: not yet known).
    pub(crate) confirmed: u32,
    pub(crate) wanted: u32,
    /// Where the value in hand begins.
    pub(crate) value_at: usize,
}

impl Link {
    /// A link of a flavour, not yet greeted.
    pub(crate) fn new(upstream: Arc<Upstream>, flavour: Flavour) -> Self {
        Self {
            scan: ReplyScan::default(),
            db: Some(unflavour(flavour).1.unwrap_or(upstream.db)),
            upstream,
            greeting: 0,
            wish: Wish { resp3: unflavour(flavour).0, ..Wish::default() },
            unsure: false,
            pending: None,
            sticky: [0; STICKY],
            tainted: false,
            multi: false,
            monitor: false,
            subs: Subs::default(),
            confirmed: 0,
            wanted: 0,
            value_at: 0,
        }
    }

    /// Whether another session may use it, after its prelude.
    pub(crate) fn is_clean(&self) -> bool {
        !self.tainted
            && !self.multi
            && !self.monitor
            && self.subs.total() == 0
            && self.sticky.iter().all(|v| *v == 0)
    }
}

/// How many subscriptions a link has. The numbers follow from the confirmations alone: each tells
/// the new total, so that a repeated name counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subs {
    pub(crate) channels: u32,
    pub(crate) patterns: u32,
    pub(crate) shards: u32,
}

impl Subs {
    /// All of them.
    pub(crate) fn total(self) -> u32 {
        self.channels.saturating_add(self.patterns).saturating_add(self.shards)
    }

    /// Those of a family.
    pub(crate) fn of(self, family: Family) -> u32 {
        match family {
            Family::Channel => self.channels,
            Family::Pattern => self.patterns,
            Family::Shard => self.shards,
        }
    }

    /// A confirmation came with this total: of shard channels, or of channels and patterns.
    pub(crate) fn confirm(&mut self, family: Family, total: u32) {
        match family {
            Family::Channel => self.channels = total.saturating_sub(self.patterns),
            Family::Pattern => self.patterns = total.saturating_sub(self.channels),
            Family::Shard => self.shards = total,
        }
    }
}

/// The flavour of a version and a database (`None`: the cluster's own).
pub(crate) fn flavour(resp3: bool, db: Option<u32>) -> Flavour {
    let db = db.map_or(0, |n| n.saturating_add(1)).min(u32::MAX >> 1);
    Flavour(db << 1 | u32::from(resp3))
}

/// The reverse of [`flavour`].
pub(crate) fn unflavour(flavour: Flavour) -> (bool, Option<u32>) {
    (flavour.0 & 1 == 1, (flavour.0 >> 1).checked_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flavours_keep_version_and_database() {
        for resp3 in [false, true] {
            for db in [None, Some(0), Some(15), Some(1 << 20)] {
                assert_eq!(unflavour(flavour(resp3, db)), (resp3, db));
            }
        }
        assert_eq!(flavour(false, None), Flavour::default());
    }

    #[test]
    fn totals_tell_the_counts() {
        let mut subs = Subs::default();
        subs.confirm(Family::Channel, 1);
        subs.confirm(Family::Channel, 1);
        subs.confirm(Family::Pattern, 2);
        subs.confirm(Family::Channel, 3);
        subs.confirm(Family::Shard, 1);
        assert_eq!((subs.channels, subs.patterns, subs.shards), (2, 1, 1));
        subs.confirm(Family::Channel, 2);
        subs.confirm(Family::Channel, 1);
        assert_eq!((subs.channels, subs.patterns), (0, 1));
    }
}
