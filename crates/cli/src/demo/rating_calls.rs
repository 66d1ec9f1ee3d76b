//! One Thrift client of the demo: several calls sent at once, answered in their order, for one user
//! after the other, who is named in an info header of THeader.

use std::{collections::VecDeque, io};

use fastrand::Rng;

use super::{
    calls::USERS,
    policed::{GREEDY, MODEST, ONE_IN, Told, Who},
    ratings::UNRATED,
    stars::{Answer, Call, ERASE, GET},
    theader::Frame,
    traffic::{Calls, Client},
};

/// Calls sent at once.
const BATCH: usize = 16;

/// One client.
#[derive(Debug)]
pub(crate) struct Reader {
    rng: Rng,
    next: u32,
    waiting: VecDeque<Asked>,
    seen: Calls,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    frame: u32,
    message: i32,
    jason: bool,
    product: i32,
    who: Who,
    known: bool,
}

impl Reader {
    /// The client with this number.
    pub(crate) fn new(n: u32) -> Self {
        Self {
            rng: Rng::with_seed(u64::from(n) + 2000),
            next: n,
            waiting: VecDeque::new(),
            seen: Calls::default(),
        }
    }

    fn call(&mut self, out: &mut Vec<u8>) -> io::Result<Asked> {
        let user = *USERS.get(self.rng.usize(..USERS.len())).unwrap_or(&"alice");
        let product = self.rng.i32(UNRATED..16);
        let (method, who) = match self.rng.u32(..64) {
            0..=1 => ("purge", Who::Other),
            2 => (ERASE, Who::Private),
            _ if self.rng.u32(..ONE_IN) == 0 => (GET, Who::Greedy),
            _ => (GET, Who::Other),
        };
        let known = method == GET;
        let tenant = if who == Who::Greedy { GREEDY } else { MODEST };
        self.next = self.next.wrapping_add(1);
        // Two numbers that have nothing to do with each other: both must come back.
        let (frame, message) = (self.next, !self.next.cast_signed());
        let call = Call { seq: message, method: method.to_owned(), product };
        let infos = [("user", user), ("tenant", tenant)];
        let infos = infos.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let bytes = call.encode().map_err(io::Error::other)?;
        Frame { seq: frame, infos, message: bytes }.encode(out)?;
        Ok(Asked { frame, message, jason: user == "jason", product, who, known })
    }

    fn settle(&mut self, asked: Asked, frame: &Frame) {
        let answer = match Answer::decode(&frame.message) {
            Ok((seq, answer)) if (frame.seq, seq) == (asked.frame, asked.message) => answer,
            wrong => {
                let seq = frame.seq;
                return self.seen.odd.note(|| format!("{asked:?} got frame {seq}, {wrong:?}"));
            }
        };
        let told = match &answer {
            Answer::Failed(text) => Told::Denied.by(text).or(Told::Limited.by(text)),
            _ => None,
        };
        if self.seen.policed.settle(asked.who, told) {
            return;
        }
        let named = |text: &str| text.split_once(": ").map(|(version, _)| version.to_owned());
        let (version, error) = match &answer {
            Answer::Rating { by, stars }
                if asked.known && asked.product != UNRATED && *stars == 1 + asked.product % 5 =>
            {
                (Some(by.clone()), None)
            }
            Answer::NotRated(why) if asked.known && asked.product == UNRATED => {
                (named(why), Some("NotRated"))
            }
            Answer::UnknownMethod(text) if !asked.known && asked.who == Who::Other => {
                (named(text), Some("UNKNOWN_METHOD"))
            }
            _ => (None, None),
        };
        match version {
            Some(version) => self.seen.answered(asked.jason, &version, error),
            None => self.seen.odd.note(|| format!("{asked:?} got {answer:?}")),
        }
    }
}

impl Client for Reader {
    type Account = Calls;

    fn ask(&mut self, out: &mut Vec<u8>) {
        for _ in 0..BATCH {
            match self.call(out) {
                Ok(asked) => self.waiting.push_back(asked),
                Err(error) => self.seen.odd.note(|| error.to_string()),
            }
        }
    }

    fn hear(&mut self, buf: &[u8]) -> io::Result<(usize, bool)> {
        let mut done = 0;
        while let Some((frame, len)) = Frame::decode(buf.get(done..).unwrap_or_default())? {
            done += len;
            match self.waiting.pop_front() {
                Some(asked) => self.settle(asked, &frame),
                None => self.seen.odd.note(|| format!("an answer to nothing: {frame:?}")),
            }
        }
        Ok((done, self.waiting.is_empty()))
    }

    fn broke(&mut self, error: &io::Error) {
        self.waiting.clear();
        self.seen.odd.note(|| format!("thrift connection: {error}"));
    }

    fn seen(self) -> Calls {
        self.seen
    }
}
