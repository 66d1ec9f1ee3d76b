//! The steps of a request, each ready to be repeated: one list for criterion, which tells times,
//! and for callgrind, which tells instructions. Nothing here measures.
#![forbid(unsafe_code)]

mod exchange;
mod frames;
mod picks;
mod routes;

/// A step under its name.
#[non_exhaustive]
pub struct Case {
    /// `group/case`.
    pub name: String,
    /// Does it once.
    pub step: Box<dyn FnMut()>,
}

impl Case {
    fn new(name: impl Into<String>, step: impl FnMut() + 'static) -> Self {
        Self { name: name.into(), step: Box::new(step) }
    }
}

/// All cases, always in the same order.
pub fn cases() -> Vec<Case> {
    [frames::cases(), routes::cases(), picks::cases(), exchange::cases()]
        .into_iter()
        .flatten()
        .collect()
}

/// A protocol as bytes: a request, its reply, and where both have their id.
pub(crate) struct Speech {
    pub(crate) request: Vec<u8>,
    pub(crate) reply: Vec<u8>,
    /// Where the id begins and how long it is; nothing for protocols in order.
    pub(crate) id: (usize, usize),
}

impl Speech {
    /// So many requests and replies, one after the other.
    pub(crate) fn repeated(self, times: usize) -> Self {
        let Self { request, reply, id } = self;
        Self { request: request.repeat(times), reply: reply.repeat(times), id }
    }
}

pub(crate) fn redis() -> Speech {
    let request = b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000042\r\n".to_vec();
    let reply = [&b"$64\r\n"[..], &[b'x'; 64], b"\r\n"].concat();
    Speech { request, reply, id: (0, 0) }
}

/// Framed binary, with a string of 128 bytes both ways.
pub(crate) fn thrift() -> Speech {
    let message = |kind: u8, field: u8| {
        let mut bytes = vec![0x80, 1, 0, kind, 0, 0, 0, 4];
        bytes.extend_from_slice(b"echo");
        bytes.extend_from_slice(&[0, 0, 0, 9, 11, 0, field, 0, 0, 0, 128]);
        bytes.extend_from_slice(&[b'x'; 128]);
        bytes.push(0);
        let len = u32::try_from(bytes.len()).unwrap_or(0);
        [&len.to_be_bytes()[..], &bytes].concat()
    };
    Speech { request: message(1, 1), reply: message(2, 0), id: (16, 4) }
}

/// Hessian 2, with a string of 128 bytes both ways and two attachments.
pub(crate) fn dubbo() -> Speech {
    let text = "x".repeat(128);
    let attachments = [("path", "org.example.Echo"), ("user", "anna")];
    let types = "Ljava/lang/String;";
    let request = heptad_dubbo::wire::request(
        9,
        "org.example.Echo",
        "1.0.0",
        "echo",
        types,
        &[text.as_str().into()],
        &attachments,
    );
    let reply = heptad_dubbo::wire::reply(9, Ok(text.as_str().into()));
    Speech { request, reply, id: (4, 8) }
}
