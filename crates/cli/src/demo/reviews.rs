//! The demo's reviews service: an AwesomeRPC server that says in every reply, and in the text of
//! every error, which version it is. It knows nothing of the router in front of it.

use std::io;

use awesomerpc::wire::Message;
use heptad::core::Kind;

use super::{
    policed::GREEDY,
    service::{Served, Service, Version},
};

/// Data frames that a `Watch` stream sends before it ends.
pub(crate) const WATCHED: usize = 3;
/// The method that a policy keeps from everybody.
pub(crate) const PRIVATE: &str = "Erase";

/// One version of the service.
#[derive(Debug)]
pub(crate) struct Reviews(pub(crate) Version);

impl Service for Reviews {
    fn answer(&self, buf: &[u8], out: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let Some((message, len)) = Message::decode(buf).map_err(io::Error::other)? else {
            return Ok(None);
        };
        self.0.note(|served| reply(self.0.name, &message, served, out));
        Ok(Some(len))
    }
}

fn reply(version: &str, message: &Message, served: &mut Served, out: &mut Vec<u8>) {
    let mut say = |reply: Message| {
        if reply.status != 0 {
            served.error(reply.status_name());
        }
        // The demo's own texts are far below every limit of the format.
        let _ = reply.encode(out);
    };
    let id = message.id;
    match (message.kind, message.method.as_str()) {
        (Kind::Ping, _) => return say(Message::new(Kind::Pong, id)),
        (Kind::Request, "Get") if message.body == b"missing" => {
            say(Message::error(id, "APP_ERROR", &format!("{version}: no such product")));
        }
        (Kind::Request, "Get") => say(Message::reply(id, version)),
        (Kind::Request, PRIVATE) => {
            say(Message::reply(id, version));
            served.private += 1;
            return;
        }
        (Kind::Open, "Watch") => {
            for _ in 0..WATCHED {
                say(Message::data(id, version));
            }
            say(Message::new(Kind::End, id));
        }
        (Kind::Request | Kind::Open, _) => {
            say(Message::error(id, "UNKNOWN_METHOD", &format!("{version}: no such method")));
        }
        // What a client says on a stream that is over, and oneways, need no answer.
        _ => return,
    }
    if message.service == "reviews" {
        served.call(message.value("user") == Some("jason"));
        served.greedy += u64::from(message.value("tenant") == Some(GREEDY));
    } else {
        served.strangers += 1;
    }
}
