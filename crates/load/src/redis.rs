//! RESP: `GET`, `SET` and `MGET` of keys whose values can be told from their names.

use crate::{Cut, Fault, Traffic, payload::Payload};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a list of cases")]
pub enum Command {
    /// One value.
    Get,
    /// One value is written: the one that is there already.
    Set,
    /// Ten values.
    Mget,
}

/// Keys that are used in turn.
const KEYS: u64 = 1000;
/// Keys of one `MGET`.
const MANY: u64 = 10;

/// Commands on a store that [`Redis::fill`] has filled.
#[derive(Clone, Debug)]
pub struct Redis {
    command: Command,
    payload: Payload,
}

impl Redis {
    /// Commands on values of so many bytes; at least 16.
    pub fn new(command: Command, bytes: usize) -> Self {
        Self { command, payload: Payload::new(bytes) }
    }

    /// The commands that fill a store, each with a status as its reply.
    pub fn fill(&self) -> Vec<Vec<u8>> {
        let set = Self { command: Command::Set, payload: self.payload.clone() };
        let command = |key| {
            let mut out = Vec::new();
            set.request(0, key, &mut out);
            out
        };
        (0..KEYS).map(command).collect()
    }

    fn bulk(&self, serial: u64, out: &mut Vec<u8>) {
        number(b'$', self.payload.len(), out);
        self.payload.write(serial % KEYS, out);
        out.extend_from_slice(b"\r\n");
    }

    /// Compares the value at the beginning, and returns what follows.
    fn value<'a>(&self, bytes: &'a [u8], serial: u64) -> Result<&'a [u8], Fault> {
        let (length, rest) = line(bytes, b'$').ok_or(Fault::Content)?;
        if usize::try_from(length) != Ok(self.payload.len()) {
            return Err(Fault::Length);
        }
        let (value, rest) = rest.split_at_checked(self.payload.len()).ok_or(Fault::Length)?;
        self.payload.check(value, serial % KEYS)?;
        rest.strip_prefix(b"\r\n").ok_or(Fault::Content)
    }
}

impl Traffic for Redis {
    fn request(&self, _id: u64, serial: u64, out: &mut Vec<u8>) {
        match self.command {
            Command::Get => {
                out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
                key(serial, out);
            }
            Command::Set => {
                out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
                key(serial, out);
                self.bulk(serial, out);
            }
            Command::Mget => {
                number(b'*', MANY as usize + 1, out);
                out.extend_from_slice(b"$4\r\nMGET\r\n");
                for i in 0..MANY {
                    key(serial + i, out);
                }
            }
        }
    }

    fn cut(&self, input: &[u8]) -> Result<Option<Cut>, Fault> {
        Ok(value_end(input)?.map(|length| Cut::new(length, None)))
    }

    fn check(&self, frame: &[u8], _id: u64, serial: u64) -> Result<(), Fault> {
        if frame.first() == Some(&b'-') {
            return Err(Fault::Refused);
        }
        let rest = match self.command {
            Command::Set => frame.strip_prefix(b"+OK\r\n").ok_or(Fault::Content)?,
            Command::Get => self.value(frame, serial)?,
            Command::Mget => {
                let (count, mut rest) = line(frame, b'*').ok_or(Fault::Content)?;
                if count != MANY as i64 {
                    return Err(Fault::Length);
                }
                for i in 0..MANY {
                    rest = self.value(rest, serial + i)?;
                }
                rest
            }
        };
        if rest.is_empty() { Ok(()) } else { Err(Fault::Length) }
    }
}

/// `key:` and three digits and what makes shards differ.
fn key(serial: u64, out: &mut Vec<u8>) {
    let n = serial % KEYS;
    let digit = |n: u64| b'0' + (n % 10) as u8;
    out.extend_from_slice(b"$7\r\nkey:");
    out.extend_from_slice(&[digit(n / 100), digit(n / 10), digit(n)]);
    out.extend_from_slice(b"\r\n");
}

fn number(kind: u8, n: usize, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(n.to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The number of a line of this kind, and what follows the line.
fn line(bytes: &[u8], kind: u8) -> Option<(i64, &[u8])> {
    let rest = bytes.strip_prefix(&[kind])?;
    let end = rest.iter().take(24).position(|b| *b == b'\r')?;
    let number = std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()?;
    Some((number, rest.get(end..)?.strip_prefix(b"\r\n")?))
}

/// Where the first value ends, if it does.
fn value_end(input: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(kind) = input.first() else {
        return Ok(None);
    };
    let Some(end) = input.windows(2).take(512).position(|two| two == b"\r\n") else {
        return if input.len() > 512 { Err(Fault::Garbage) } else { Ok(None) };
    };
    let after = end + 2;
    if matches!(kind, b'+' | b'-' | b':') {
        return Ok(Some(after));
    }
    let count = line(input, *kind).ok_or(Fault::Garbage)?.0;
    let Ok(count) = usize::try_from(count) else {
        return Ok(Some(after));
    };
    match kind {
        b'$' => Ok(Some(after + count + 2).filter(|end| *end <= input.len())),
        b'*' => {
            let mut at = after;
            for _ in 0..count {
                match value_end(input.get(at..).unwrap_or_default())? {
                    Some(length) => at += length,
                    None => return Ok(None),
                }
            }
            Ok(Some(at))
        }
        _ => Err(Fault::Garbage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server that was filled replies.
    fn reply(redis: &Redis, serial: u64) -> Vec<u8> {
        let mut out = Vec::new();
        match redis.command {
            Command::Set => out.extend_from_slice(b"+OK\r\n"),
            Command::Get => redis.bulk(serial, &mut out),
            Command::Mget => {
                number(b'*', 10, &mut out);
                (0..10).for_each(|i| redis.bulk(serial + i, &mut out));
            }
        }
        out
    }

    #[test]
    fn right_replies_are_right_and_changed_ones_are_not() {
        for command in [Command::Get, Command::Set, Command::Mget] {
            let redis = Redis::new(command, 64);
            let mut frame = reply(&redis, 995);
            for cut in 0..frame.len() {
                assert_eq!(redis.cut(&frame[..cut]), Ok(None), "{command:?} {cut}");
            }
            assert_eq!(redis.cut(&frame), Ok(Some(Cut::new(frame.len(), None))));
            assert_eq!(redis.check(&frame, 0, 995), Ok(()));
            if command != Command::Set {
                assert_eq!(redis.check(&frame, 0, 996), Err(Fault::Content));
            }
            assert!(redis.check(&frame[..frame.len() - 1], 0, 995).is_err());
            for i in 0..frame.len() {
                frame[i] ^= 1;
                assert!(redis.check(&frame, 0, 995).is_err(), "{command:?} byte {i}");
                frame[i] ^= 1;
            }
        }
    }

    #[test]
    fn what_is_missing_or_refused_is_noticed() {
        let redis = Redis::new(Command::Get, 64);
        assert_eq!(redis.check(b"$-1\r\n", 0, 1), Err(Fault::Length));
        assert_eq!(redis.check(b"$63\r\n", 0, 1), Err(Fault::Length));
        assert_eq!(redis.check(b"-ERR no\r\n", 0, 1), Err(Fault::Refused));
        assert_eq!(redis.cut(b"HTTP/1.1 400 Bad Request\r\n"), Err(Fault::Garbage));
        let mget = Redis::new(Command::Mget, 64);
        let mut swapped = Vec::new();
        number(b'*', 10, &mut swapped);
        [1, 0, 2, 3, 4, 5, 6, 7, 8, 9].iter().for_each(|i| mget.bulk(*i, &mut swapped));
        assert_eq!(mget.check(&swapped, 0, 0), Err(Fault::Content));
    }

    #[test]
    fn requests_are_commands() {
        let mut out = Vec::new();
        Redis::new(Command::Get, 64).request(0, 1042, &mut out);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$7\r\nkey:042\r\n");
        let fill = Redis::new(Command::Get, 16).fill();
        assert_eq!(fill.len(), 1000);
        assert_eq!(fill[7], b"*3\r\n$3\r\nSET\r\n$7\r\nkey:007\r\n$16\r\n0000000000000007\r\n");
    }
}
