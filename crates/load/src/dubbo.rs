//! Dubbo with hessian2: `String echo(String)` of `org.heptad.Echo`, with attachments.

use crate::{Answer, Cut, Fault, Traffic, payload::Payload};

/// Magic, flags, status, id, length of the body.
const HEAD: usize = 16;
/// A request that wants a reply, and a reply; both in hessian2.
const REQUEST: u8 = 0xc2;
const REPLY: u8 = 0x02;
const OK: u8 = 20;
/// A value follows, as hessian2 writes the number 1.
const VALUE: u8 = 0x91;
const LONGEST: usize = 64 << 20;
/// Strings ahead of the argument: versions, service, method, and the types of the arguments.
const AHEAD: [&str; 5] = ["2.0.2", "org.heptad.Echo", "1.0.0", "echo", "Ljava/lang/String;"];
const ATTACHMENTS: [(&str, &str); 5] = [
    ("path", "org.heptad.Echo"),
    ("interface", "org.heptad.Echo"),
    ("version", "1.0.0"),
    ("tenant", "bench"),
    ("timeout", "10000"),
];

/// Calls of `echo`, and the server that answers them.
#[derive(Clone, Debug)]
pub struct Dubbo {
    payload: Payload,
    /// A request's body up to the text's bytes, and after them.
    before: Vec<u8>,
    after: Vec<u8>,
    /// A reply's body up to the text's bytes.
    reply: Vec<u8>,
}

impl Dubbo {
    /// Calls with a text of so many bytes: 16 to 65535.
    pub fn new(bytes: usize) -> Self {
        let payload = Payload::new(bytes.min(0xffff));
        let (mut before, mut after, mut reply) = (Vec::new(), vec![b'H'], vec![VALUE]);
        for text in AHEAD {
            string(text, &mut before);
        }
        announce(payload.len(), &mut before);
        announce(payload.len(), &mut reply);
        for (name, value) in ATTACHMENTS {
            string(name, &mut after);
            string(value, &mut after);
        }
        after.push(b'Z');
        Self { payload, before, after, reply }
    }
}

impl Traffic for Dubbo {
    fn request(&self, id: u64, serial: u64, out: &mut Vec<u8>) {
        let body = self.before.len() + self.payload.len() + self.after.len();
        head(REQUEST, 0, &id.to_be_bytes(), body, out);
        out.extend_from_slice(&self.before);
        self.payload.write(serial, out);
        out.extend_from_slice(&self.after);
    }

    fn cut(&self, input: &[u8]) -> Result<Option<Cut>, Fault> {
        let Some(head) = input.get(..HEAD) else {
            return Ok(None);
        };
        let length = frame(head)?;
        if head[2] & 0x80 != 0 {
            return Err(Fault::Garbage);
        }
        Ok((input.len() >= length).then_some(Cut::new(length, Some(number(&head[4..12])))))
    }

    fn check(&self, frame: &[u8], id: u64, serial: u64) -> Result<(), Fault> {
        let Some((head, body)) = frame.split_at_checked(HEAD) else {
            return Err(Fault::Length);
        };
        if head[3] != OK || !matches!(body.first(), Some(0x91 | 0x94)) {
            return Err(Fault::Refused);
        }
        if number(&head[4..12]) != id {
            return Err(Fault::Id);
        }
        if body.len() != self.reply.len() + self.payload.len() {
            return Err(Fault::Length);
        }
        if head[..4] != [0xda, 0xbb, REPLY, OK]
            || number(&head[12..]) as usize != body.len()
            || !body.starts_with(&self.reply)
        {
            return Err(Fault::Content);
        }
        self.payload.check(&body[self.reply.len()..], serial)
    }
}

impl Answer for Dubbo {
    fn answer(&self, input: &[u8], out: &mut Vec<u8>) -> Result<Option<usize>, Fault> {
        let Some(start) = input.get(..HEAD) else {
            return Ok(None);
        };
        let length = frame(start)?;
        let Some(body) = input.get(HEAD..length) else {
            return Ok(None);
        };
        if start[2] & 0x20 != 0 {
            // A heartbeat: answered with nothing, as dubbo does.
            if start[2] & 0x40 != 0 {
                head(0x22, OK, &start[4..12], 1, out);
                out.push(b'N');
            }
            return Ok(Some(length));
        }
        let mut rest = body;
        for _ in AHEAD {
            (_, rest) = text(rest)?;
        }
        let (text, _) = text(rest)?;
        let mut value = vec![VALUE];
        announce(text.len(), &mut value);
        head(REPLY, OK, &start[4..12], value.len() + text.len(), out);
        out.extend_from_slice(&value);
        out.extend_from_slice(text);
        Ok(Some(length))
    }
}

fn head(flags: u8, status: u8, id: &[u8], body: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xda, 0xbb, flags, status]);
    out.extend_from_slice(id);
    out.extend_from_slice(&(body as u32).to_be_bytes());
}

/// A frame's bytes with its head's.
fn frame(head: &[u8]) -> Result<usize, Fault> {
    let length = number(&head[12..HEAD]) as usize + HEAD;
    let right = head[..2] == [0xda, 0xbb] && length <= LONGEST;
    if right { Ok(length) } else { Err(Fault::Garbage) }
}

/// What stands ahead of a string's characters.
fn announce(length: usize, out: &mut Vec<u8>) {
    match length {
        0..32 => out.push(length as u8),
        32..1024 => out.extend_from_slice(&[0x30 + (length >> 8) as u8, length as u8]),
        _ => out.extend_from_slice(&[b'S', (length >> 8) as u8, length as u8]),
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    announce(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

/// A string of ASCII in one chunk, and what follows it.
fn text(bytes: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let (length, rest) = match bytes {
        [n @ 0..32, rest @ ..] => (usize::from(*n), rest),
        [n @ 0x30..0x34, low, rest @ ..] => (usize::from(n - 0x30) << 8 | usize::from(*low), rest),
        [b'S', high, low, rest @ ..] => (usize::from(*high) << 8 | usize::from(*low), rest),
        _ => return Err(Fault::Garbage),
    };
    rest.split_at_checked(length).ok_or(Fault::Garbage)
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(bytes: usize) -> (Dubbo, Vec<u8>) {
        let dubbo = Dubbo::new(bytes);
        let (mut request, mut reply) = (Vec::new(), Vec::new());
        dubbo.request(1 << 40 | 7, 99, &mut request);
        for cut in 0..request.len() {
            assert_eq!(dubbo.answer(&request[..cut], &mut reply), Ok(None));
        }
        assert_eq!(dubbo.answer(&request, &mut reply), Ok(Some(request.len())));
        (dubbo, reply)
    }

    #[test]
    fn an_echo_is_right() {
        for bytes in [16, 128, 1023, 1024, 16 << 10, 0xffff] {
            let (dubbo, reply) = exchange(bytes);
            for cut in 0..reply.len() {
                assert_eq!(dubbo.cut(&reply[..cut]), Ok(None));
            }
            let id = 1 << 40 | 7;
            assert_eq!(dubbo.cut(&reply), Ok(Some(Cut::new(reply.len(), Some(id)))));
            assert_eq!(dubbo.check(&reply, id, 99), Ok(()));
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let (dubbo, mut reply) = exchange(64);
        let id = 1 << 40 | 7;
        assert_eq!(dubbo.check(&reply, 7, 99), Err(Fault::Id));
        assert_eq!(dubbo.check(&reply, id, 98), Err(Fault::Content));
        assert_eq!(dubbo.check(&reply[..reply.len() - 1], id, 99), Err(Fault::Length));
        for i in 0..reply.len() {
            reply[i] ^= 1;
            assert!(dubbo.check(&reply, id, 99).is_err(), "byte {i}");
            reply[i] ^= 1;
        }
    }

    #[test]
    fn an_error_is_a_refusal() {
        let mut frame = Vec::new();
        head(REPLY, 70, &7_u64.to_be_bytes(), 3, &mut frame);
        frame.extend_from_slice(b"\x02no");
        let dubbo = Dubbo::new(128);
        assert_eq!(dubbo.cut(&frame), Ok(Some(Cut::new(frame.len(), Some(7)))));
        assert_eq!(dubbo.check(&frame, 7, 1), Err(Fault::Refused));
        assert_eq!(dubbo.cut(b"HTTP/1.1 400 Bad Request\r\n"), Err(Fault::Garbage));
    }
}
