//! One connection of a replay: a request, its reply, the next request.

use std::{
    io::{self, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    thread,
    time::{Duration, Instant},
};

use heptad::{Found, FrameFacts, Inspector, Sender, core::Kind};

use super::{
    recording::{Reply, Request, Session},
    report::Call,
};
use crate::args::Replay;

/// When the replay began, here and in the recording.
pub(super) struct Begin {
    now: Instant,
    nanos: u64,
}

#[allow(clippy::disallowed_methods, reason = "a pace needs a clock")]
pub(super) fn start<'a>(_: &Replay, all: impl Iterator<Item = &'a Session>) -> Begin {
    let first = all.flat_map(|session| session.requests.first()).map(|one| one.nanos).min();
    Begin { now: Instant::now(), nanos: first.unwrap_or(0) }
}

/// Sends the requests of a session, one after the other, and waits for each reply.
#[allow(clippy::disallowed_methods, reason = "a pace needs a clock")]
pub(super) fn run(
    args: &Replay,
    begin: &Begin,
    session: Session,
    inspector: Box<dyn Inspector>,
) -> Vec<Call> {
    let mut line = Line { stream: None, inspector, replies: Vec::new() };
    let mut broken = None;
    let mut calls = Vec::new();
    for request in session.requests {
        if args.paced {
            let due = Duration::from_nanos(request.nanos.saturating_sub(begin.nanos));
            thread::sleep(due.saturating_sub(begin.now.elapsed()));
        }
        let now = match &broken {
            Some(why) => Err(format!("not sent: {why}")),
            None => line.call(args, &request),
        };
        if let Err(why) = &now
            && broken.is_none()
        {
            broken = Some(why.clone());
        }
        let Request { call, name, reply, .. } = request;
        calls.push(Call { session: session.number, call, name, was: reply, now });
    }
    calls
}

/// A connection to where the requests go.
struct Line {
    stream: Option<TcpStream>,
    inspector: Box<dyn Inspector>,
    /// Replies that came and were not waited for yet.
    replies: Vec<(u64, Reply)>,
}

impl Line {
    /// `None`: no reply is expected.
    fn call(&mut self, args: &Replay, request: &Request) -> Result<Option<Reply>, String> {
        let at = |error: io::Error| format!("{}: {error}", args.to);
        if self.stream.is_none() {
            let address = args.to.to_socket_addrs().map_err(at)?.next();
            let address = address.ok_or_else(|| format!("{}: no address", args.to))?;
            let stream = TcpStream::connect_timeout(&address, args.timeout).map_err(at)?;
            stream.set_nodelay(true).map_err(at)?;
            self.stream = Some(stream);
        }
        let asked = self.inspector.hear(Sender::Client, &request.bytes);
        let asked: Vec<_> = asked.into_iter().filter_map(|one| frame(one.found)).collect();
        let [asked] = &asked[..] else {
            return Err("the recorded bytes are not one request of this protocol".to_owned());
        };
        let Some(stream) = &mut self.stream else {
            return Err("not connected".to_owned());
        };
        stream.write_all(&request.bytes).map_err(at)?;
        if request.reply.is_none() {
            // Perhaps it waits for what comes behind it.
            return Ok(None);
        }
        let silent = request.reply.as_ref().is_some_and(|was| was.bytes.is_empty());
        if asked.kind == Kind::Oneway || (silent && asked.id == 0) {
            return Ok(None);
        }
        self.wait(args, asked.id).map(Some)
    }

    #[allow(clippy::disallowed_methods, reason = "replies may never come")]
    fn wait(&mut self, args: &Replay, id: u64) -> Result<Reply, String> {
        let at = |error: io::Error| format!("{}: {error}", args.to);
        let until = Instant::now() + args.timeout;
        let mut buf = vec![0; 64 << 10];
        let mut unread = Vec::new();
        loop {
            if let Some(found) = self.replies.iter().position(|(known, _)| *known == id) {
                return Ok(self.replies.remove(found).1);
            }
            let left = until.saturating_duration_since(Instant::now());
            let Some(stream) = self.stream.as_mut().filter(|_| !left.is_zero()) else {
                return Err("no reply in time".to_owned());
            };
            stream.set_read_timeout(Some(left)).map_err(at)?;
            let n = match stream.read(&mut buf) {
                Ok(0) => return Err("the connection was closed in place of a reply".to_owned()),
                Ok(n) => n,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    return Err("no reply in time".to_owned());
                }
                Err(error) => return Err(at(error)),
            };
            let heard = buf.get(..n).unwrap_or_default();
            unread.extend_from_slice(heard);
            for one in self.inspector.hear(Sender::Server, heard) {
                let bytes: Vec<u8> = unread.drain(..one.len.min(unread.len())).collect();
                match one.found {
                    Found::Broken(broken) => {
                        return Err(format!("what came is no reply: {}", broken.fault.text));
                    }
                    found => {
                        if let Some(facts) = frame(found)
                            && matches!(
                                facts.kind,
                                Kind::Reply | Kind::Pong | Kind::End | Kind::Reset
                            )
                        {
                            let outcome = facts.outcome.unwrap_or_default().to_string();
                            let code = facts.code.unwrap_or_default();
                            self.replies.push((facts.id, Reply { outcome, code, bytes }));
                        }
                    }
                }
            }
        }
    }
}

fn frame(found: Found) -> Option<FrameFacts> {
    match found {
        Found::Frame(facts) => Some(*facts),
        _ => None,
    }
}
