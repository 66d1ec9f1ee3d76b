//! Requests that begin as one that was decoded, in the same read and to the same link: compared with
//! it and copied, and nothing is looked up for each. Where one is not like it, or there is no room,
//! they are left to whoever decodes them.

use heptad_core::{Codec, FilterWorker, Flavour, Meta, Template, Time};

use crate::{
    LinkId, SessionId,
    arena::{Arena, Key},
    exchange::{Exchange, Words},
    link::Link,
    open::Open,
    pen,
    plan::End,
    timers::{Lasting, Timers},
};

/// A request that others are compared with instead of being decoded.
pub(crate) struct Model<'a, T> {
    pub(crate) template: Template,
    pub(crate) frame: &'a [u8],
    /// Of the last one that was like it.
    pub(crate) meta: Meta,
    pub(crate) tag: T,
    pub(crate) words: Words,
    pub(crate) flavour: Flavour,
    /// Where it went: only there may others be written as it was.
    pub(crate) link: LinkId,
}

/// Where requests go that are alike, and with what they are kept and counted.
#[derive(Clone, Copy)]
pub(crate) struct Like {
    pub(crate) session: SessionId,
    pub(crate) now: Time,
    pub(crate) timeout: Option<Lasting>,
    pub(crate) chain: u32,
    pub(crate) series: u32,
    pub(crate) method: u32,
    pub(crate) pool: u32,
    pub(crate) endpoint: u32,
    pub(crate) of: u32,
}

impl Like {
    /// Notes in an exchange that has just begun where it goes, and when it must be over.
    #[inline(always)]
    pub(crate) fn note<T>(&self, x: &mut Exchange<T>, key: Key, timers: &mut Timers) {
        x.series = self.series;
        x.method = self.method;
        x.pool = Some(self.pool);
        x.endpoint = self.endpoint;
        x.of = self.of;
        if let Some(timeout) = self.timeout {
            x.deadline = timers.after(self.now, timeout, key);
        }
    }
}

/// The way of requests that are alike to the link of the first one.
pub(crate) struct Stamp<'a, C: Codec> {
    pub(crate) like: &'a Like,
    /// The most bytes of one, how many there is room for, and how much the link may have to write.
    pub(crate) longest: usize,
    pub(crate) room: usize,
    pub(crate) max_buffered: usize,
    pub(crate) workers: &'a mut [Box<dyn FilterWorker>],
    pub(crate) exchanges: &'a mut Arena<Exchange<C::Tag>>,
    pub(crate) timers: &'a mut Timers,
    pub(crate) open: &'a mut Open,
    pub(crate) link: &'a mut Link<C>,
}

/// What ends them.
pub(crate) enum Stamped {
    /// One that is not like them, or for which there is no room.
    On,
    /// One that the filter with this number wants to look at.
    Asks(usize),
    /// One that could not be written, with as many bytes.
    Refused(Key, usize, End),
}

impl<C: Codec> Stamp<'_, C> {
    /// Takes requests from `at` on. Returns how many were written.
    #[inline(never)]
    pub(crate) fn take(
        self,
        model: &mut Model<'_, C::Tag>,
        buf: &[u8],
        at: &mut usize,
    ) -> (u32, Stamped) {
        let Self { like, longest, room, max_buffered, .. } = self;
        let Self { workers, exchanges, timers, open, link, .. } = self;
        let Model { template, frame: lead, meta, tag, words, link: id, .. } = model;
        let mut taken = 0;
        while (taken as usize) < room && link.has_room(max_buffered) {
            let rest = buf.get(*at..).unwrap_or_default();
            let Some(frame) = template.read(lead, rest, longest, meta) else {
                break;
            };
            if let Some(asks) = workers.iter_mut().position(|worker| !worker.repeated()) {
                return (taken, Stamped::Asks(asks));
            }
            let (key, x) = exchanges.begin(like.session, meta, *tag, like.chain, like.now);
            like.note(x, key, timers);
            x.slot = open.push(key);
            x.keep_same(words);
            *at += frame.len();
            if let Err(end) = pen::copy(template, key, x, (*id, &mut *link), frame) {
                return (taken, Stamped::Refused(key, frame.len(), end));
            }
            taken += 1;
        }
        (taken, Stamped::On)
    }
}
