//! The clients and servers of a random world, whatever they speak.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    marker::PhantomData,
    rc::Rc,
    time::Duration,
};

use heptad_core::Time;
use heptad_testkit::sim::{End, Io, Script};

use crate::tongue::{Asked, BIG, Said, Tongue, Verb};

pub(crate) type Shared<T> = Rc<RefCell<T>>;

pub(crate) fn shared<T>(value: T) -> Shared<T> {
    Rc::new(RefCell::new(value))
}

/// What a client heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) said: Vec<Said>,
    pub(crate) closed: Option<Time>,
}

/// A client that sends what it is told and keeps what it hears.
pub(crate) struct Client<T> {
    heard: Shared<Heard>,
    buf: Vec<u8>,
    tongue: PhantomData<T>,
}

impl<T> Client<T> {
    pub(crate) fn new(heard: Shared<Heard>) -> Self {
        Self { heard, buf: Vec::new(), tongue: PhantomData }
    }
}

impl<T: Tongue> Script for Client<T> {
    fn heard(&mut self, _: &mut Io<'_>, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
        while let Some((said, n)) = T::said(&self.buf) {
            self.buf.drain(..n);
            self.heard.borrow_mut().said.extend(said);
        }
    }

    fn closed(&mut self, now: Time) {
        self.heard.borrow_mut().closed = Some(now);
    }
}

/// What the links of all servers at one address saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Tokens as they arrived.
    pub(crate) tokens: Vec<String>,
    /// Calls that one link had open at once, at most.
    pub(crate) deepest: usize,
}

/// One link of a server.
pub(crate) struct Server<T: Tongue> {
    seen: Shared<Seen>,
    buf: Vec<u8>,
    link: T::Link,
    /// Calls without a reply, oldest first, and the reply once it is ready.
    open: VecDeque<(u64, Option<Vec<u8>>)>,
    calls: u64,
    /// What is said when the time has come.
    replies: BTreeMap<u64, Vec<u8>>,
}

impl<T: Tongue> Server<T> {
    pub(crate) fn new(seen: Shared<Seen>) -> Self {
        Self {
            seen,
            buf: Vec::new(),
            link: T::Link::default(),
            open: VecDeque::new(),
            calls: 0,
            replies: BTreeMap::new(),
        }
    }

    /// Remembers a call that is answered after a while, or never.
    fn later(&mut self, io: &mut Io<'_>, wait: Option<Duration>, bytes: Vec<u8>) {
        self.calls += 1;
        let call = self.calls;
        match wait {
            Some(wait) if wait.is_zero() => {
                self.open.push_back((call, Some(bytes)));
                self.flush(io);
            }
            Some(wait) => {
                self.open.push_back((call, None));
                self.replies.insert(call, bytes);
                io.after(wait, call);
            }
            None => self.open.push_back((call, None)),
        }
        let mut seen = self.seen.borrow_mut();
        seen.deepest = seen.deepest.max(self.open.len());
    }

    /// Says what is ready and, where it matters, in turn.
    fn flush(&mut self, io: &mut Io<'_>) {
        let mut at = 0;
        while let Some((_, reply)) = self.open.get_mut(at) {
            match reply.take() {
                Some(bytes) => {
                    io.send(&bytes);
                    self.open.remove(at);
                }
                None if T::QUEUES => break,
                None => at += 1,
            }
        }
    }

    fn call(&mut self, io: &mut Io<'_>, id: u64, verb: Verb, token: &str) {
        let ok = T::answer(id, Ok(token));
        let soon = Duration::from_micros(io.rng.u64(0..5_000));
        match verb {
            Verb::Echo => self.later(io, Some(soon), ok),
            Verb::Slow => {
                let wait = Duration::from_millis(io.rng.u64(5..400));
                self.later(io, Some(wait), ok);
            }
            Verb::Never => self.later(io, None, ok),
            Verb::Fail => self.later(io, Some(soon), T::answer(id, Err("no"))),
            Verb::Big => {
                let text = format!("{token}{}", "x".repeat(BIG));
                self.later(io, Some(soon), T::answer(id, Ok(&text)));
            }
            Verb::Die => io.end(End::Reset),
            Verb::Torn => {
                io.send(&ok[..ok.len() / 2]);
                io.end(End::Close);
            }
            Verb::Leave => io.end(End::Shutdown),
            Verb::Garbage => io.send(T::garbage()),
        }
    }
}

impl<T: Tongue> Script for Server<T> {
    fn heard(&mut self, io: &mut Io<'_>, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
        while let Some((asked, n)) = T::asked(&mut self.link, &self.buf) {
            self.buf.drain(..n);
            match asked {
                Asked::Call { id, verb, token } => {
                    self.seen.borrow_mut().tokens.push(token.clone());
                    self.call(io, id, verb, &token);
                }
                Asked::Oneway { token } => self.seen.borrow_mut().tokens.push(token),
                Asked::Say(bytes, wait) => {
                    self.later(io, Some(Duration::from_millis(wait)), bytes);
                }
                Asked::Quiet => {}
            }
        }
    }

    fn timer(&mut self, io: &mut Io<'_>, call: u64) {
        let bytes = self.replies.remove(&call);
        if let Some(open) = self.open.iter_mut().find(|(known, _)| *known == call) {
            open.1 = bytes;
        }
        self.flush(io);
    }
}
