//! One Dubbo client of the demo: calls, oneways and heartbeats in flight on one connection, answered
//! in any order, some of them with the attachment that makes them canaries.

use std::{collections::HashMap, io};

use fastrand::Rng;
use heptad_dubbo::wire::{self, Message, Outcome, Value};

use super::{
    details::{DETAILS, ERASE, MISSING, NO_SUCH_BOOK, SERVICE_ERROR},
    policed::{GREEDY, MODEST, ONE_IN, Told, Who},
    traffic::{Calls, Client},
};

/// Calls sent at once.
const BATCH: usize = 16;
/// The status of a reply to who asks too often: `SERVER_THREADPOOL_EXHAUSTED_ERROR`.
const LIMITED: u8 = 100;

/// One client.
#[derive(Debug)]
pub(crate) struct Browser {
    rng: Rng,
    next_id: u64,
    open: HashMap<u64, Asked>,
    seen: Calls,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    canary: bool,
    who: Who,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Book(i32),
    UnknownMethod,
    UnknownService,
    Private,
    Heartbeat,
}

impl Browser {
    /// The client with this number.
    pub(crate) fn new(n: u32) -> Self {
        Self {
            rng: Rng::with_seed(u64::from(n) + 3000),
            // Ids of 64 bits, of which the lower half is the same for all clients.
            next_id: u64::from(n) << 48,
            open: HashMap::new(),
            seen: Calls::default(),
        }
    }

    fn id(&mut self) -> u64 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id
    }

    fn call(&mut self, out: &mut Vec<u8>, canary: bool, what: What) {
        let who = match what {
            What::Private => Who::Private,
            What::Book(1..) if self.rng.u32(..ONE_IN) == 0 => Who::Greedy,
            _ => Who::Other,
        };
        self.call_as(out, who, canary, what);
    }

    fn call_as(&mut self, out: &mut Vec<u8>, who: Who, canary: bool, what: What) {
        let tenant = if who == Who::Greedy { GREEDY } else { MODEST };
        let attachments = [("tenant", tenant), ("tag", "canary")];
        let attachments = attachments.get(..1 + usize::from(canary)).unwrap_or_default();
        let id = self.id();
        let request = |service, method, book| {
            let args = [Value::Int(book)];
            wire::request(id, service, "1.0.0", method, "I", &args, attachments)
        };
        out.extend(match what {
            What::Book(book) => request(DETAILS, "get", book),
            What::UnknownMethod => request(DETAILS, "purge", 1),
            What::UnknownService => request("bookinfo.Prices", "get", 1),
            What::Private => request(DETAILS, ERASE, 1),
            What::Heartbeat => wire::heartbeat(id),
        });
        self.open.insert(id, Asked { canary, who, what });
    }

    /// A oneway, and a call that goes the same way: its answer says that the oneway has arrived.
    fn viewed(&mut self, out: &mut Vec<u8>, canary: bool, book: i32) {
        let tag: &[(&str, &str)] = if canary { &[("tag", "canary")] } else { &[] };
        let (id, args) = (self.id(), [Value::Int(book)]);
        out.extend(wire::oneway(id, DETAILS, "1.0.0", "viewed", "I", &args, tag));
        let version = if canary { "v2" } else { "v1" };
        *self.seen.oneways.entry(version.to_owned()).or_default() += 1;
        self.call_as(out, Who::Other, canary, What::Book(book));
    }

    fn settle(&mut self, asked: Asked, result: &Outcome) {
        let told = match result {
            Outcome::Error(status, text) if *status == SERVICE_ERROR.0 => Told::Denied.by(text),
            Outcome::Error(LIMITED, text) => Told::Limited.by(text),
            _ => None,
        };
        if self.seen.policed.settle(asked.who, told) {
            return;
        }
        let named = |text: Option<&str>| Some(text?.split_once(": ")?.0.to_owned());
        let (version, error) = match (asked.what, result) {
            (What::Book(book), Outcome::Value(found))
                if book != MISSING && found.field("book") == Some(&Value::Int(book)) =>
            {
                (found.field("by").and_then(Value::text).map(str::to_owned), None)
            }
            (What::Book(MISSING), Outcome::Exception(thrown)) => {
                let why = thrown.field("detailMessage").and_then(Value::text);
                (named(why), Some(NO_SUCH_BOOK))
            }
            (What::UnknownMethod, Outcome::Error(status, text)) if *status == SERVICE_ERROR.0 => {
                (named(Some(text)), Some(SERVICE_ERROR.1))
            }
            (What::UnknownService, Outcome::Error(..)) => {
                self.seen.unrouted += 1;
                return;
            }
            _ => (None, None),
        };
        match version {
            Some(version) => self.seen.answered(asked.canary, &version, error),
            None => self.seen.odd.note(|| format!("{asked:?} got {result:?}")),
        }
    }
}

impl Client for Browser {
    type Account = Calls;

    fn ask(&mut self, out: &mut Vec<u8>) {
        for _ in 0..BATCH {
            let canary = self.rng.u32(..4) == 0;
            let book = self.rng.i32(MISSING + 1..1000);
            match self.rng.u32(..64) {
                0..=3 => self.call(out, canary, What::Book(MISSING)),
                4..=5 => self.call(out, canary, What::UnknownMethod),
                6 => self.call(out, canary, What::UnknownService),
                7 => {
                    self.seen.pings += 1;
                    self.call(out, canary, What::Heartbeat);
                }
                8..=11 => self.viewed(out, canary, book),
                12 => self.call(out, canary, What::Private),
                _ => self.call(out, canary, What::Book(book)),
            }
        }
    }

    fn hear(&mut self, buf: &[u8]) -> io::Result<(usize, bool)> {
        let mut done = 0;
        while let Some((message, len)) =
            wire::read(buf.get(done..).unwrap_or_default()).map_err(io::Error::other)?
        {
            done += len;
            let asked = match &message {
                Message::Reply(reply) => self.open.remove(&reply.id),
                Message::Pong(id) => self.open.remove(id),
                _ => None,
            };
            match (asked, message) {
                (Some(Asked { what: What::Heartbeat, .. }), Message::Pong(_)) => {
                    self.seen.pongs += 1;
                }
                (Some(asked), Message::Reply(reply)) => self.settle(asked, &reply.result),
                (_, message) => self.seen.odd.note(|| format!("an answer to nothing: {message:?}")),
            }
        }
        Ok((done, self.open.is_empty()))
    }

    fn broke(&mut self, error: &io::Error) {
        self.open.clear();
        self.seen.odd.note(|| format!("dubbo connection: {error}"));
    }

    fn seen(self) -> Calls {
        self.seen
    }
}
