//! The demo's details service: a Dubbo server that says in every answer, exceptions included, which
//! version it is. It knows nothing of the router in front of it.

use std::io;

use heptad_dubbo::wire::{self, Message, Request, Value};

use super::{
    policed::GREEDY,
    service::{Service, Version},
};

/// The interface that is served.
pub(crate) const DETAILS: &str = "bookinfo.Details";
/// The method that a policy keeps from everybody.
pub(crate) const ERASE: &str = "erase";
/// What `get` throws.
pub(crate) const NO_SUCH_BOOK: &str = "bookinfo.NoSuchBook";
/// The book that is not there.
pub(crate) const MISSING: i32 = 0;
/// The status of a reply to what the server cannot do, and its name.
pub(crate) const SERVICE_ERROR: (u8, &str) = (70, "SERVICE_ERROR");

/// One version of the service.
#[derive(Debug)]
pub(crate) struct Details(pub(crate) Version);

impl Service for Details {
    fn answer(&self, buf: &[u8], out: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let Some((message, len)) = wire::read(buf).map_err(io::Error::other)? else {
            return Ok(None);
        };
        match message {
            Message::Request(request) => out.extend(self.request(&request)),
            Message::Ping(id) => out.extend(wire::pong(id)),
            _ => {}
        }
        Ok(Some(len))
    }
}

impl Details {
    fn request(&self, request: &Request) -> Vec<u8> {
        let (id, version) = (request.id, self.0.name);
        let (reply, error) = match (&*request.method, &*request.args) {
            _ if !request.two_way => (Vec::new(), None),
            ("get", [Value::Int(MISSING)]) => {
                let why = format!("{version}: no such book");
                let fields = vec![("detailMessage".to_owned(), Value::Text(why))];
                let thrown = Value::Object(NO_SUCH_BOOK.to_owned(), fields);
                (wire::exception(id, &thrown), Some(NO_SUCH_BOOK))
            }
            ("get", [Value::Int(book)]) => {
                let fields = [("by", Value::from(version)), ("book", Value::Int(*book))];
                let fields = fields.map(|(name, value)| (name.to_owned(), value)).into();
                let found = Value::Object("bookinfo.Book".to_owned(), fields);
                (wire::reply(id, Ok(found)), None)
            }
            (ERASE, _) => (wire::reply(id, Ok(Value::from(version))), None),
            _ => {
                let text = format!("{version}: no such method");
                (wire::reply(id, Err((SERVICE_ERROR.0, &text))), Some(SERVICE_ERROR.1))
            }
        };
        self.0.note(|served| {
            let canary = request.attachment("tag") == Some("canary");
            match (&*request.service, request.two_way) {
                (DETAILS, _) if request.method == ERASE => served.private += 1,
                (DETAILS, true) => {
                    served.call(canary);
                    served.greedy += u64::from(request.attachment("tenant") == Some(GREEDY));
                }
                (DETAILS, false) => served.oneways += 1,
                _ => served.strangers += 1,
            }
            error.into_iter().for_each(|code| served.error(code));
        });
        reply
    }
}
