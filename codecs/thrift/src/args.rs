//! Arguments of a call as attributes: the fields of its outermost struct.

use heptad_core::{Found, Meta, Unknown};

use crate::{
    conn::Conn,
    cursor::Bound,
    decode::encoding,
    json,
    rewrite::open,
    token::{Bounds, Encoding, Token, Walk},
};

/// The field with this id: texts as they are, integers in decimal, `true` or `false`.
pub(crate) fn arg<'a>(
    conn: &Conn,
    meta: &Meta,
    frame: &'a [u8],
    number: u16,
    scratch: &'a mut Vec<u8>,
) -> Found<'a> {
    let id = i16::try_from(number).map_err(|_| Unknown)?;
    let mut inflated = Vec::new();
    let most = conn.cx.max_frame as usize;
    let (head, message) = open(meta, frame, most, &mut inflated).map_err(|_| Unknown)?;
    let value = match encoding(head.protocol) {
        Some(encoding) => find(encoding, message, head.body, id, conn)?,
        None => json_value(message, head.body, id, conn, scratch)?,
    };
    Ok(match value {
        None => None,
        Some(Value::Written) => Some(scratch),
        Some(Value::Bool(true)) => Some(b"true"),
        Some(Value::Bool(false)) => Some(b"false"),
        Some(Value::Int(n)) => {
            scratch.extend_from_slice(n.to_string().as_bytes());
            Some(scratch)
        }
        // What was inflated is gone when this returns; the frame is not.
        Some(Value::Text(at)) if inflated_is_empty(meta) => Some(frame.get(at).ok_or(Unknown)?),
        Some(Value::Text(at)) => {
            scratch.extend_from_slice(message.get(at).ok_or(Unknown)?);
            Some(scratch)
        }
    })
}

const fn inflated_is_empty(meta: &Meta) -> bool {
    meta.aux & crate::frame::aux::PACKED == 0
}

enum Value {
    Int(i64),
    Bool(bool),
    Text(std::ops::Range<usize>),
    /// In the scratch buffer.
    Written,
}

fn find(
    encoding: Encoding,
    message: &[u8],
    body: usize,
    id: i16,
    conn: &Conn,
) -> Result<Option<Value>, Unknown> {
    let bounds = Bounds::new(&conn.cx, Bound::end(message.len()));
    let mut walk = Walk::default();
    walk.start(body);
    let mut found = None;
    loop {
        let outermost = walk.depth() == 1;
        let token = walk.next(encoding, message, &bounds).map_err(|_| Unknown)?;
        match token {
            None => return Ok(found),
            Some(Token::Field(_, at)) if outermost && at == id => {
                let value = walk.next(encoding, message, &bounds).map_err(|_| Unknown)?;
                let value = match value.ok_or(Unknown)? {
                    Token::Bool(value) => Value::Bool(value),
                    Token::I8(n) => Value::Int((n as i8).into()),
                    Token::I16(n) => Value::Int(n.into()),
                    Token::I32(n) => Value::Int(n.into()),
                    Token::I64(n) => Value::Int(n),
                    Token::Bytes(at) => Value::Text(at),
                    _ => return Err(Unknown),
                };
                // Of several with one id a server may take any.
                if found.replace(value).is_some() {
                    return Err(Unknown);
                }
            }
            Some(_) => {}
        }
    }
}

fn json_value(
    message: &[u8],
    body: usize,
    id: i16,
    conn: &Conn,
    scratch: &mut Vec<u8>,
) -> Result<Option<Value>, Unknown> {
    let Some((ty, at)) = json::field(message, body, id, &conn.cx)? else {
        return Ok(None);
    };
    let value = message.get(at.clone()).ok_or(Unknown)?;
    let digits = || std::str::from_utf8(value).ok()?.parse::<i64>().ok();
    Ok(Some(match ty {
        b"str" => {
            let inner = value.len().checked_sub(1).and_then(|end| value.get(1..end));
            let inner = inner.ok_or(Unknown)?;
            if !inner.contains(&b'\\') {
                return Ok(Some(Value::Text(at.start + 1..at.end - 1)));
            }
            let mut text = Vec::new();
            json::unescape(inner, &mut text)?;
            scratch.extend_from_slice(&text);
            Value::Written
        }
        b"tf" => match value {
            b"0" => Value::Bool(false),
            b"1" => Value::Bool(true),
            _ => return Err(Unknown),
        },
        b"i8" | b"byt" | b"i16" | b"i32" | b"i64" => Value::Int(digits().ok_or(Unknown)?),
        _ => return Err(Unknown),
    }))
}
