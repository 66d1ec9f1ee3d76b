//! Thrift, framed and binary: `string echo(1: string text)`.

use crate::{Answer, Cut, Fault, Traffic, payload::Payload};

/// Version and `CALL`, version and `REPLY`, as every strict message begins.
const CALL: [u8; 4] = [0x80, 1, 0, 1];
const REPLY: [u8; 4] = [0x80, 1, 0, 2];
const METHOD: [u8; 4] = *b"echo";
/// Length of the frame, version and type, length of the name, name, sequence id.
const HEAD: usize = 4 + 4 + 4 + METHOD.len() + 4;
const ID: usize = HEAD - 4;
/// A field's type and number, and the length of its string.
const FIELD: usize = 1 + 2 + 4;
const STRING: u8 = 11;
const LONGEST: usize = 64 << 20;

/// Calls of `echo`, and the server that answers them.
#[derive(Clone, Debug)]
pub struct Thrift {
    payload: Payload,
    method: [u8; 4],
}

impl Thrift {
    /// Calls with a text of so many bytes; at least 16.
    pub fn new(bytes: usize) -> Self {
        Self { payload: Payload::new(bytes), method: METHOD }
    }

    /// The same calls under another name, for routes.
    #[must_use]
    pub fn named(self, method: [u8; 4]) -> Self {
        Self { method, ..self }
    }
}

/// Everything of a message but the text's bytes and the final stop.
struct Head {
    kind: [u8; 4],
    method: [u8; 4],
    id: [u8; 4],
}

impl Head {
    fn write(&self, text: usize, out: &mut Vec<u8>) {
        let length = (HEAD - 4 + FIELD + text + 1) as u32;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&self.kind);
        out.extend_from_slice(&(self.method.len() as u32).to_be_bytes());
        out.extend_from_slice(&self.method);
        out.extend_from_slice(&self.id);
        // The first argument is field 1, a result is field 0.
        out.extend_from_slice(&[STRING, 0, u8::from(self.kind == CALL)]);
        out.extend_from_slice(&(text as u32).to_be_bytes());
    }
}

impl Traffic for Thrift {
    fn request(&self, id: u64, serial: u64, out: &mut Vec<u8>) {
        let id = (id as u32).to_be_bytes();
        Head { kind: CALL, method: self.method, id }.write(self.payload.len(), out);
        self.payload.write(serial, out);
        out.push(0);
    }

    fn cut(&self, input: &[u8]) -> Result<Option<Cut>, Fault> {
        let Some(head) = input.get(..HEAD) else {
            return Ok(None);
        };
        let length = frame(head)?;
        if head[4..7] != REPLY[..3] {
            return Err(Fault::Garbage);
        }
        // The name's length decides where the id is: an answer may repeat another name.
        let name = number(head, 8) as usize;
        let Some(id) = input.get(12 + name..16 + name) else {
            return if length <= 12 + name { Err(Fault::Garbage) } else { Ok(None) };
        };
        Ok((input.len() >= length).then_some(Cut::new(length, Some(number(id, 0)))))
    }

    fn check(&self, frame: &[u8], id: u64, serial: u64) -> Result<(), Fault> {
        if frame.get(4..8) != Some(&REPLY) {
            return Err(Fault::Refused);
        }
        if frame.len() != HEAD + FIELD + self.payload.len() + 1 {
            return Err(Fault::Length);
        }
        if number(frame, ID) != id {
            return Err(Fault::Id);
        }
        let mut head = Vec::with_capacity(HEAD + FIELD);
        let id = (id as u32).to_be_bytes();
        Head { kind: REPLY, method: self.method, id }.write(self.payload.len(), &mut head);
        if frame[..HEAD + FIELD] != head || frame.last() != Some(&0) {
            return Err(Fault::Content);
        }
        self.payload.check(&frame[HEAD + FIELD..frame.len() - 1], serial)
    }
}

impl Answer for Thrift {
    fn answer(&self, input: &[u8], out: &mut Vec<u8>) -> Result<Option<usize>, Fault> {
        let Some(head) = input.get(..HEAD) else {
            return Ok(None);
        };
        let length = frame(head)?;
        let Some(message) = input.get(..length) else {
            return Ok(None);
        };
        let text = message.get(HEAD + FIELD..length - 1).ok_or(Fault::Garbage)?;
        if head[4..8] != CALL || number(message, HEAD + 3) != text.len() as u64 {
            return Err(Fault::Garbage);
        }
        let id = [head[ID], head[ID + 1], head[ID + 2], head[ID + 3]];
        let method = [head[12], head[13], head[14], head[15]];
        Head { kind: REPLY, method, id }.write(text.len(), out);
        out.extend_from_slice(text);
        out.push(0);
        Ok(Some(length))
    }
}

/// A frame's bytes with its length's own.
fn frame(head: &[u8]) -> Result<usize, Fault> {
    let length = number(head, 0) as usize + 4;
    if (HEAD..=LONGEST).contains(&length) { Ok(length) } else { Err(Fault::Garbage) }
}

/// Four bytes in network order; the caller has seen that they are there.
fn number(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 4].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(bytes: usize) -> (Thrift, Vec<u8>) {
        let thrift = Thrift::new(bytes);
        let (mut request, mut reply) = (Vec::new(), Vec::new());
        thrift.request(7, 99, &mut request);
        for cut in 0..request.len() {
            assert_eq!(thrift.answer(&request[..cut], &mut reply), Ok(None));
        }
        assert_eq!(thrift.answer(&request, &mut reply), Ok(Some(request.len())));
        (thrift, reply)
    }

    #[test]
    fn an_echo_is_right() {
        for bytes in [16, 128, 16 << 10] {
            let (thrift, reply) = exchange(bytes);
            for cut in 0..reply.len() {
                assert_eq!(thrift.cut(&reply[..cut]), Ok(None));
            }
            assert_eq!(thrift.cut(&reply), Ok(Some(Cut::new(reply.len(), Some(7)))));
            assert_eq!(thrift.check(&reply, 7, 99), Ok(()));
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let (thrift, mut reply) = exchange(64);
        assert_eq!(thrift.check(&reply, 8, 99), Err(Fault::Id));
        assert_eq!(thrift.check(&reply, 7, 98), Err(Fault::Content));
        assert_eq!(thrift.check(&reply[..reply.len() - 1], 7, 99), Err(Fault::Length));
        for i in 0..reply.len() {
            reply[i] ^= 1;
            assert!(thrift.check(&reply, 7, 99).is_err(), "byte {i}");
            reply[i] ^= 1;
        }
    }

    #[test]
    fn an_exception_is_a_refusal_with_its_id() {
        // TApplicationException of another method, as a router answers.
        let mut frame = vec![0, 0, 0, 0, 0x80, 1, 0, 3, 0, 0, 0, 6];
        frame.extend_from_slice(b"absent\x00\x00\x00\x07\x0b\x00\x01\x00\x00\x00\x02no\x00");
        let length = frame.len() as u32 - 4;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        let thrift = Thrift::new(128);
        assert_eq!(thrift.cut(&frame), Ok(Some(Cut::new(frame.len(), Some(7)))));
        assert_eq!(thrift.check(&frame, 7, 1), Err(Fault::Refused));
        assert_eq!(thrift.cut(b"HTTP/1.1 400 Bad Request\r\n"), Err(Fault::Garbage));
    }
}
