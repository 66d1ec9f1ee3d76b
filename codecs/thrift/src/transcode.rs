//! Structs from the binary to the compact protocol and back: token by token, without recursion.

use heptad_core::{Fault, Reason};

use crate::{
    cursor::{Parse, Stop, Varint, zigzag},
    token::{Bounds, Encoding, Seq, Token, Type, Walk},
};

const LONG: Fault =
    Fault::too_large(Reason::FrameSize, "the message is too long in the other protocol");

/// Writes the struct of `buf` at `at` in the other encoding; more than `most` bytes are refused.
pub(crate) fn transcode(
    from: Encoding,
    buf: &[u8],
    at: usize,
    bounds: &Bounds,
    most: usize,
) -> Result<Vec<u8>, Fault> {
    let written = run(from, buf, at, bounds, most);
    written.map_err(|stop| match stop {
        Stop::Fault(fault) => fault,
        Stop::Need(_) => bounds.end.fault,
    })
}

fn run(from: Encoding, buf: &[u8], at: usize, bounds: &Bounds, most: usize) -> Parse<Vec<u8>> {
    let mut out = Vec::with_capacity(buf.len().saturating_sub(at));
    let mut walk = Walk::default();
    walk.start(at);
    match from {
        Encoding::Binary => {
            let mut to = Compact { out, last: vec![0], field: None };
            while let Some(token) = walk.next(from, buf, bounds)? {
                to.put(&token, buf);
                if to.out.len() > most {
                    return Err(LONG.into());
                }
            }
            Ok(to.out)
        }
        Encoding::Compact => {
            while let Some(token) = walk.next(from, buf, bounds)? {
                put_binary(&mut out, &token, buf);
                if out.len() > most {
                    return Err(LONG.into());
                }
            }
            Ok(out)
        }
    }
}

fn put_binary(out: &mut Vec<u8>, token: &Token, buf: &[u8]) {
    let of = |ty: Option<Type>| ty.map_or(0, Type::to_binary);
    match *token {
        Token::Struct | Token::Skipped => {}
        Token::Field(ty, id) => {
            out.push(ty.to_binary());
            out.extend_from_slice(&id.to_be_bytes());
        }
        Token::Stop => out.push(0),
        Token::Seq(Seq { kind, len, types: [a, b] }) => {
            out.push(of(a));
            if kind == Type::Map {
                out.push(of(b));
            }
            out.extend_from_slice(&len.to_be_bytes());
        }
        Token::Bool(value) => out.push(value.into()),
        Token::I8(value) => out.push(value),
        Token::I16(value) => out.extend_from_slice(&value.to_be_bytes()),
        Token::I32(value) => out.extend_from_slice(&value.to_be_bytes()),
        Token::I64(value) => out.extend_from_slice(&value.to_be_bytes()),
        Token::Double(value) => out.extend_from_slice(&value.to_be_bytes()),
        Token::Uuid(value) => out.extend_from_slice(&value),
        Token::Bytes(ref range) => {
            let len = u32::try_from(range.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(buf.get(range.clone()).unwrap_or_default());
        }
    }
}

struct Compact {
    out: Vec<u8>,
    /// The last field's id of each struct that is open.
    last: Vec<i16>,
    /// A field whose type says its value, which comes next.
    field: Option<i16>,
}

impl Compact {
    fn put(&mut self, token: &Token, buf: &[u8]) {
        let of = |ty: Option<Type>| ty.map_or(0, Type::to_compact);
        match *token {
            Token::Struct => self.last.push(0),
            Token::Field(Type::Bool, id) => self.field = Some(id),
            Token::Field(ty, id) => self.field(ty.to_compact(), id),
            Token::Stop => {
                self.last.pop();
                self.out.push(0);
            }
            Token::Seq(Seq { kind: Type::Map, len: 0, .. }) => self.out.push(0),
            Token::Seq(Seq { kind: Type::Map, len, types: [a, b] }) => {
                self.varint(len.into());
                self.out.push(of(a) << 4 | of(b));
            }
            Token::Seq(Seq { len, types: [ty, _], .. }) => {
                if len < 15 {
                    self.out.push((len as u8) << 4 | of(ty));
                } else {
                    self.out.push(0xf0 | of(ty));
                    self.varint(len.into());
                }
            }
            Token::Bool(value) => {
                let byte = if value { 1 } else { 2 };
                match self.field.take() {
                    Some(id) => self.field(byte, id),
                    None => self.out.push(byte),
                }
            }
            Token::I8(value) => self.out.push(value),
            Token::I16(value) => self.varint(zigzag(value.into())),
            Token::I32(value) => self.varint(zigzag(value.into())),
            Token::I64(value) => self.varint(zigzag(value)),
            Token::Double(value) => self.out.extend_from_slice(&value.to_le_bytes()),
            Token::Uuid(value) => self.out.extend_from_slice(&value),
            Token::Bytes(ref range) => {
                self.varint(range.len() as u64);
                self.out.extend_from_slice(buf.get(range.clone()).unwrap_or_default());
            }
            Token::Skipped => {}
        }
    }

    fn field(&mut self, ty: u8, id: i16) {
        let last = self.last.last().copied().unwrap_or_default();
        match i32::from(id) - i32::from(last) {
            delta @ 1..=15 => self.out.push((delta as u8) << 4 | ty),
            _ => {
                self.out.push(ty);
                self.varint(zigzag(id.into()));
            }
        }
        if let Some(last) = self.last.last_mut() {
            *last = id;
        }
    }

    fn varint(&mut self, value: u64) {
        self.out.extend_from_slice(Varint::new(value).as_slice());
    }
}
