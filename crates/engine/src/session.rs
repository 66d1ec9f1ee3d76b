//! A client's connection as the engine sees it: its bytes, the order it expects, the links it holds.

use std::{collections::HashMap, sync::Arc};

use foldhash::quality::FixedState;
use heptad_core::{Chain, Codec, Lane, Time};

use crate::{
    Limits,
    arena::Key,
    known::Here,
    machine::{LinkId, Peer},
    open::Open,
};

/// A client's connection.
pub(crate) struct Session<C: Codec> {
    pub(crate) conn: C::Conn,
    pub(crate) peer: Peer,
    pub(crate) principal: Option<Arc<str>>,
    /// Bytes that are not a whole frame yet, or whose turn has not come.
    pub(crate) input: Vec<u8>,
    /// How many bytes `input` must have before the decoder may look again.
    pub(crate) need: usize,
    /// What of `input` is counted in the worker's total.
    pub(crate) counted: usize,
    pub(crate) out: Chain,
    /// The driver knows that there is something in `out`.
    pub(crate) dirty: bool,
    pub(crate) open: Open,
    /// Bytes of finished replies that wait for their turn.
    pub(crate) ahead: usize,
    /// Where attempts of this session are, for ordered protocols.
    via: Option<Via>,
    /// Those on further links: most sessions use one at a time.
    more_via: Vec<Via>,
    /// Attempts that have not ended.
    pub(crate) attempts: usize,
    pub(crate) held: Vec<Held>,
    /// What filters have said of its last method.
    pub(crate) here: Here,
    pub(crate) stall: Stall,
    /// Open streams by the client's id.
    pub(crate) streams: HashMap<u64, Key, FixedState>,
    /// The client will send no more.
    pub(crate) eof: bool,
    /// Nothing more is decoded; closed once everything was answered and written.
    pub(crate) closing: bool,
    /// Being closed, with a deadline for what is still to be written.
    pub(crate) parting: bool,
    /// Closed as soon as nothing is in flight (drain).
    pub(crate) leaving: bool,
    /// It is being removed: nothing is written to it any more.
    pub(crate) gone: bool,
    /// The driver was told to stop reading.
    pub(crate) paused: bool,
    /// Already in the list of sessions to look at.
    pub(crate) woken: bool,
    /// When the last byte came or the last request ended.
    pub(crate) active: Time,
}

/// Attempts of a session on one link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Via {
    pub(crate) pool: usize,
    pub(crate) endpoint: usize,
    pub(crate) link: LinkId,
    pub(crate) count: u32,
}

/// A link that belongs to a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) lane: Lane,
    pub(crate) pool: usize,
    pub(crate) endpoint: usize,
    pub(crate) link: LinkId,
}

/// Why nothing is decoded at the moment. Whether it is over is always told by the facts, so that
/// nobody can forget to lift it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stall {
    None,
    /// Until this exchange is answered.
    Barrier(Key),
    /// Until this exchange is on its way.
    Waiting(Key),
    /// Until there is room for replies or for more requests.
    Room,
}

impl<C: Codec> Session<C> {
    /// `seed` keeps clients from choosing stream ids that collide.
    pub(crate) fn new(conn: C::Conn, peer: Peer, now: Time, seed: u64) -> Self {
        Self {
            conn,
            principal: peer.principal.clone(),
            peer,
            input: Vec::new(),
            need: 0,
            counted: 0,
            out: Chain::default(),
            dirty: false,
            open: Open::default(),
            ahead: 0,
            via: None,
            more_via: Vec::new(),
            attempts: 0,
            held: Vec::new(),
            here: Here::default(),
            stall: Stall::None,
            streams: HashMap::with_hasher(FixedState::with_seed(seed)),
            eof: false,
            closing: false,
            parting: false,
            leaving: false,
            gone: false,
            paused: false,
            woken: false,
            active: now,
        }
    }

    /// Whether there is nothing to look at: no bytes, no end, nothing to wait for.
    #[inline]
    pub(crate) fn plain(&self) -> bool {
        let ends = self.closing || self.eof || self.leaving || self.paused;
        self.input.is_empty() && self.counted == 0 && !ends && self.stall == Stall::None
    }

    /// Whether a reply leaves something to look at: what is behind it may have waited for it.
    #[inline]
    pub(crate) fn looks(&self) -> bool {
        !self.plain() || (self.attempts == 0 && !self.open.is_empty())
    }

    /// The link held on a lane; for [`Lane::PerEndpoint`] at this endpoint.
    pub(crate) fn held(&self, lane: Lane, at: Option<(usize, usize)>) -> Option<Held> {
        if self.held.is_empty() {
            return None;
        }
        self.held
            .iter()
            .find(|h| h.lane == lane && at.is_none_or(|a| a == (h.pool, h.endpoint)))
            .copied()
    }

    /// Where its attempts are.
    pub(crate) fn via(&self) -> impl Iterator<Item = &Via> {
        self.via.iter().chain(&self.more_via)
    }

    /// Whether an attempt at this endpoint is on another link.
    #[inline]
    pub(crate) fn elsewhere(&self, pool: usize, endpoint: usize, link: LinkId) -> bool {
        match &self.via {
            None => false,
            Some(v) if v.link == link && self.more_via.is_empty() => false,
            _ => self.via().any(|v| (v.pool, v.endpoint) == (pool, endpoint) && v.link != link),
        }
    }

    #[inline]
    pub(crate) fn sent_via(&mut self, pool: usize, endpoint: usize, link: LinkId) {
        self.attempts += 1;
        match &mut self.via {
            Some(v) if v.link == link => v.count += 1,
            None => self.via = Some(Via { pool, endpoint, link, count: 1 }),
            Some(_) => self.sent_via_another(Via { pool, endpoint, link, count: 1 }),
        }
    }

    /// More went over a link that the last one has taken.
    pub(crate) fn sent_more_via(&mut self, link: LinkId, count: u32) {
        self.attempts += count as usize;
        let via = self.via.iter_mut().chain(&mut self.more_via).find(|v| v.link == link);
        if let Some(via) = via {
            via.count += count;
        }
    }

    #[inline(never)]
    fn sent_via_another(&mut self, via: Via) {
        match self.more_via.iter_mut().find(|v| v.link == via.link) {
            Some(v) => v.count += 1,
            None => self.more_via.push(via),
        }
    }

    #[inline]
    pub(crate) fn ended_via(&mut self, link: LinkId) {
        self.attempts = self.attempts.saturating_sub(1);
        match &mut self.via {
            Some(v) if v.link == link && v.count > 1 => v.count -= 1,
            _ => self.left_via(link),
        }
    }

    /// As many have ended on a link.
    pub(crate) fn ended_many_via(&mut self, link: LinkId, count: u32) {
        match &mut self.via {
            Some(v) if v.link == link && v.count > count => {
                v.count -= count;
                self.attempts = self.attempts.saturating_sub(count as usize);
            }
            _ => (0..count).for_each(|_| self.ended_via(link)),
        }
    }

    /// The last attempt on the first link has ended, or one on another.
    #[inline(never)]
    fn left_via(&mut self, link: LinkId) {
        if self.via.is_some_and(|v| v.link == link) {
            self.via = self.more_via.pop();
        } else if let Some(at) = self.more_via.iter().position(|v| v.link == link) {
            let v = &mut self.more_via[at];
            v.count -= 1;
            if v.count == 0 {
                self.more_via.swap_remove(at);
            }
        }
    }

    /// Whether another request may be taken up.
    #[inline]
    pub(crate) fn has_room(&self, limits: &Limits) -> bool {
        self.open.len() < limits.in_flight && self.unread() <= limits.soft_mark
    }

    /// Bytes that the client has not read.
    pub(crate) fn unread(&self) -> usize {
        self.out.len() + self.ahead
    }
}
