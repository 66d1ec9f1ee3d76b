//! One AwesomeRPC client of the demo: batches of calls and streams with several in flight on one
//! connection, for one user after the other.

use std::{collections::HashMap, io};

use awesomerpc::wire::Message;
use fastrand::Rng;
use heptad::core::Kind;

use super::{
    policed::{GREEDY, MODEST, ONE_IN, Told, Who},
    reviews::{PRIVATE, WATCHED},
    traffic::{Calls, Client},
};

/// In flight at once.
const BATCH: usize = 16;
/// Who asks.
pub(crate) const USERS: [&str; 5] = ["jason", "alice", "bob", "carol", "dave"];

/// One client.
#[derive(Debug)]
pub(crate) struct Caller {
    rng: Rng,
    next_id: u32,
    open: HashMap<u32, Asked>,
    seen: Calls,
}

#[derive(Debug)]
struct Asked {
    jason: bool,
    who: Who,
    what: What,
    /// Of a stream: who sent its data so far.
    data: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Get,
    Missing,
    UnknownMethod,
    UnknownService,
    Private,
    Watch,
}

impl Caller {
    /// The client with this number.
    pub(crate) fn new(n: u32) -> Self {
        Self {
            rng: Rng::with_seed(n.into()),
            next_id: 1,
            open: HashMap::new(),
            seen: Calls::default(),
        }
    }

    fn settle(&mut self, asked: &Asked, reply: &Message) {
        let text = String::from_utf8_lossy(&reply.body);
        let status = reply.status_name();
        let told = match (reply.kind, status) {
            (Kind::Reply, "DENIED") => Told::Denied.by(&text),
            (Kind::Reply, "LIMITED") => Told::Limited.by(&text),
            _ => None,
        };
        if self.seen.policed.settle(asked.who, told) {
            return;
        }
        let version = match (asked.what, reply.kind, status) {
            (What::Get, Kind::Reply, "OK") => Some(&*text),
            (What::Missing, Kind::Reply, "APP_ERROR")
            | (What::UnknownMethod, Kind::Reply, "UNKNOWN_METHOD") => {
                text.split_once(": no such ").map(|(version, _)| version)
            }
            (What::Watch, Kind::End, _) if asked.data.len() == WATCHED => {
                let first = asked.data.first().map(String::as_str);
                first.filter(|first| asked.data.iter().all(|one| one == first))
            }
            (What::UnknownService, Kind::Reply, "UNKNOWN_METHOD") => {
                self.seen.unrouted += 1;
                return;
            }
            _ => None,
        };
        let Some(version) = version else {
            let what = asked.what;
            return self.seen.odd.note(|| format!("{what:?} got {status} {text:?}"));
        };
        let failed = matches!(asked.what, What::Missing | What::UnknownMethod);
        self.seen.answered(asked.jason, version, failed.then_some(status));
        self.seen.streams += u64::from(asked.what == What::Watch);
    }
}

impl Client for Caller {
    type Account = Calls;

    fn ask(&mut self, out: &mut Vec<u8>) {
        for _ in 0..BATCH {
            let user = *USERS.get(self.rng.usize(..USERS.len())).unwrap_or(&"alice");
            let what = match self.rng.u32(..64) {
                0..=3 => What::Missing,
                4..=5 => What::UnknownMethod,
                6 => What::UnknownService,
                7..=10 => What::Watch,
                11 => What::Private,
                _ => What::Get,
            };
            let who = match what {
                What::Private => Who::Private,
                What::Get if self.rng.u32(..ONE_IN) == 0 => Who::Greedy,
                _ => Who::Other,
            };
            let tenant = if who == Who::Greedy { GREEDY } else { MODEST };
            let id = self.next_id;
            self.next_id = self.next_id.wrapping_add(1);
            let message = match what {
                What::Get => Message::request(id, "reviews", "Get").body("7"),
                What::Missing => Message::request(id, "reviews", "Get").body("missing"),
                What::UnknownMethod => Message::request(id, "reviews", "Purge"),
                What::UnknownService => Message::request(id, "ratings", "Get"),
                What::Private => Message::request(id, "reviews", PRIVATE),
                What::Watch => Message::open(id, "reviews", "Watch"),
            };
            // The demo's own texts are far below every limit of the format.
            let _ = message.header("user", user).header("tenant", tenant).encode(out);
            let jason = user == "jason";
            self.open.insert(id, Asked { jason, who, what, data: Vec::new() });
        }
    }

    fn hear(&mut self, buf: &[u8]) -> io::Result<(usize, bool)> {
        let mut done = 0;
        while let Some((message, len)) =
            Message::decode(buf.get(done..).unwrap_or_default()).map_err(io::Error::other)?
        {
            done += len;
            match self.open.get_mut(&message.id) {
                Some(asked) if message.kind == Kind::Data => {
                    asked.data.push(String::from_utf8_lossy(&message.body).into_owned());
                }
                _ => match self.open.remove(&message.id) {
                    Some(asked) => self.settle(&asked, &message),
                    None => self.seen.odd.note(|| format!("an answer to nothing: {message:?}")),
                },
            }
        }
        Ok((done, self.open.is_empty()))
    }

    fn broke(&mut self, error: &io::Error) {
        self.open.clear();
        self.seen.odd.note(|| format!("awesomerpc connection: {error}"));
    }

    fn seen(self) -> Calls {
        self.seen
    }
}
