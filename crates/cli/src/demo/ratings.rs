//! The demo's ratings service: a Thrift server behind THeader that says in every answer, exceptions
//! included, which version it is. It knows nothing of the router in front of it.

use std::io;

use super::{
    policed::GREEDY,
    service::{Service, Version},
    stars::{Answer, Call, ERASE, GET},
    theader::Frame,
};

/// The product that nobody has rated.
pub(crate) const UNRATED: i32 = 0;

/// One version of the service.
#[derive(Debug)]
pub(crate) struct Ratings(pub(crate) Version);

impl Service for Ratings {
    fn answer(&self, buf: &[u8], out: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let Some((frame, len)) = Frame::decode(buf)? else {
            return Ok(None);
        };
        let call = Call::decode(&frame.message).map_err(io::Error::other)?;
        let version = self.0.name;
        let (answer, error) = match (&*call.method, call.product) {
            (GET, UNRATED) => (Answer::NotRated(format!("{version}: not rated")), Some("NotRated")),
            (GET, product) => {
                (Answer::Rating { by: version.to_owned(), stars: 1 + product % 5 }, None)
            }
            (ERASE, _) => (Answer::Rating { by: version.to_owned(), stars: 0 }, None),
            _ => {
                let text = format!("{version}: no such method");
                (Answer::UnknownMethod(text), Some("UNKNOWN_METHOD"))
            }
        };
        self.0.note(|served| {
            if call.method == ERASE {
                served.private += 1;
                return;
            }
            served.call(frame.info("user") == Some("jason"));
            served.greedy += u64::from(frame.info("tenant") == Some(GREEDY));
            error.into_iter().for_each(|code| served.error(code));
        });
        let message = answer.encode(&call).map_err(io::Error::other)?;
        Frame { seq: frame.seq, infos: Vec::new(), message }.encode(out)?;
        Ok(Some(len))
    }
}
