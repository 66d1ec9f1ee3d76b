//! Cutting requests and replies: from first bytes to [`Step`]s. Writes nothing.

use heptad_core::{Asked, Ctx, Fault, Kind, Meta, Outcome, Reason, Span, Step};

use crate::{
    conn::{Conn, Resume, Tag},
    cursor::{Bound, Parse, Stop},
    dialect::{Dialect, Protocol, Transport, detect},
    frame::{Content, Frame, WRONG_PROTOCOL, WRONG_TRANSFORM, aux},
    header,
    json::JsonWalk,
    message::{Head, kind},
    options::ThriftOptions,
    reply,
    token::{Bounds, Encoding, Walk},
};

/// What stops a decoder for good, or until there are more bytes, as the step that it is.
pub(crate) fn step<T>(parse: Parse<Step<T>>) -> Result<Step<T>, Fault> {
    match parse {
        Ok(step) => Ok(step),
        Err(Stop::Need(n)) => Ok(Step::Need(n)),
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

/// Looks at the bytes of a client.
pub(crate) fn general_request(
    options: &ThriftOptions,
    conn: &mut Conn,
    cx: &Ctx,
    buf: &[u8],
) -> Parse<Step<Tag>> {
    conn.cx = *cx;
    let transport = match conn.dialect.transport {
        Some(transport) => transport,
        None => {
            let found = detect(buf)?;
            // The same bytes say the same again, so that this is no more than a resume point. What
            // is refused is refused in words that the client understands.
            let first = match found {
                Transport::Unframed => buf.first(),
                Transport::Framed => buf.get(4),
                Transport::Header | Transport::Nested => None,
            };
            let protocol = first.and_then(|first| Protocol::of(*first).ok());
            conn.dialect = Dialect { transport: Some(found), protocol };
            found
        }
    };
    if let Some(text) = options.transport.refuses(transport) {
        return Err(unsupported(text).into());
    }
    let frame = Frame::parse(transport, cx, buf)?;
    let reject = |protocol: Option<Protocol>, flag: u32, fault: Fault| {
        let dialect = Dialect { transport: Some(transport), protocol };
        // An answer needs some protocol; whoever asks for another one reads this one too.
        let dialect = dialect.or(Dialect::new(transport, Protocol::Strict));
        let seq = frame.header.as_ref().map_or(0, |header| header.seq);
        let len = frame.len.unwrap_or(buf.len());
        let meta = Meta::request(len).head(frame.payload).id(frame.id(seq));
        Ok(Step::Reject(meta.aux(dialect.to_bits() | flag), fault))
    };
    let packed;
    let (head, names, flag) = match &frame.content {
        Content::Message(head) => (head, Some(head.names(buf)), 0),
        Content::Packed => {
            let len = frame.len.unwrap_or(0);
            let seen = len.min((cx.max_head as usize).max(frame.payload));
            if buf.len() < seen {
                return Err(Stop::Need(seen));
            }
            let seen = buf.get(..buf.len().min(seen)).unwrap_or(buf);
            packed = match frame.unpack_head(cx, seen) {
                Ok((_, head)) => head,
                Err(fault) => return reject(None, aux::PACKED, fault),
            };
            (&packed, None, aux::PACKED)
        }
        Content::UnknownTransform => return reject(None, aux::BAD_TRANSFORM, WRONG_TRANSFORM),
        Content::UnknownProtocol => return reject(None, aux::BAD_PROTOCOL, WRONG_PROTOCOL),
    };
    if let Some(known) = conn.dialect.protocol
        && !transport.has_headers()
        && !known.same_body(head.protocol)
    {
        return Err(Fault::malformed("the protocol has changed within a connection").into());
    }
    conn.dialect.protocol = Some(head.protocol);
    if let Some(text) = options.protocol.refuses(head.protocol) {
        return Err(unsupported(text).into());
    }
    let len = match frame.len {
        Some(len) => len,
        None => conn.resume.end(head, cx, buf)?,
    };
    if let Some(header) = &frame.header {
        let known = conn.persistent.as_ref().map_or(0, |known| known.bytes);
        if let Err(fault) = survey(buf, header, known, cx) {
            return reject(Some(head.protocol), flag, fault);
        }
    }
    let dialect = Dialect::new(transport, head.protocol);
    let what = match head.kind {
        kind::CALL => Some(Kind::Request),
        kind::ONEWAY => Some(Kind::Oneway),
        _ => None,
    };
    let body = if flag == aux::PACKED { frame.payload } else { head.body };
    let mut meta = Meta::frame(what.unwrap_or_default(), len).head(body).id(frame.id(head.seq));
    meta = meta.aux(dialect.to_bits() | flag);
    if let Some((service, method)) = names {
        let span = |at: std::ops::Range<usize>| Span::new(at.start, at.len());
        meta = meta.service(service.map_or(Span::NONE, span)).method(span(method));
    }
    if what.is_none() {
        let text = "neither a call nor a oneway";
        return Ok(Step::Reject(meta, Fault::new(Outcome::BadRequest, Reason::Unexpected, text)));
    }
    Ok(Step::Frame(meta, Tag::new(dialect)))
}

/// Looks at the bytes of an endpoint.
pub(crate) fn general_reply<A: Asked<Tag>>(
    conn: &mut Conn,
    asked: &A,
    cx: &Ctx,
    buf: &[u8],
) -> Parse<Step<()>> {
    conn.cx = *cx;
    let transport = match conn.dialect.transport {
        Some(transport) => transport,
        None => detect(buf)?,
    };
    let frame = Frame::parse(transport, cx, buf)?;
    let packed;
    let (head, message, flag) = match &frame.content {
        Content::Message(head) => (head, buf, 0),
        Content::Packed => {
            let len = frame.len.unwrap_or(0);
            if buf.len() < len {
                return Err(Stop::Need(len));
            }
            packed = frame.unpack_head(cx, buf.get(..len).unwrap_or(buf))?;
            (&packed.1, &*packed.0, aux::PACKED)
        }
        Content::UnknownTransform => return Err(WRONG_TRANSFORM.into()),
        Content::UnknownProtocol => return Err(WRONG_PROTOCOL.into()),
    };
    if let Some(known) = conn.dialect.protocol
        && !transport.has_headers()
        && !known.same_body(head.protocol)
    {
        return Err(Fault::malformed("a reply in another protocol").into());
    }
    let len = match frame.len {
        Some(len) => len,
        None => conn.resume.end(head, cx, buf)?,
    };
    if let Some(header) = &frame.header {
        let known = conn.persistent.as_ref().map_or(0, |known| known.bytes);
        survey(buf, header, known, cx)?;
    }
    // What was inflated may be all there is, or not.
    let end = if flag == aux::PACKED { message.len() } else { len };
    let (outcome, code) = reply::classify(head, &mut conn.resume.walk, cx, message, end)?;
    if let Some(header) = &frame.header {
        remember(conn, buf, header);
    }
    let seq = head.seq;
    let joined = frame.id(seq);
    let outer = frame.header.as_ref().map_or(seq, |header| header.seq);
    // Some servers give back one of the two ids only.
    let id = [joined, outer.into(), seq.into()].into_iter().find(|id| asked.tag(*id).is_some());
    let body = if flag == aux::PACKED { frame.payload } else { head.body };
    let meta = Meta::reply(len, outcome).head(body).id(id.unwrap_or(joined)).code(code);
    Ok(Step::Frame(meta.aux(Dialect::new(transport, head.protocol).to_bits() | flag), ()))
}

/// Keeps the persistent headers of a frame for those that follow on its connection.
pub(crate) fn remember(conn: &mut Conn, frame: &[u8], header: &header::Header) {
    if header::Infos::new(frame, header.infos.clone()).any(|info| info.persistent) {
        conn.persistent.get_or_insert_default().remember(frame, header);
    }
}

/// Whether info headers are whole, not too many, and can be remembered.
fn survey(buf: &[u8], header: &header::Header, known: usize, cx: &Ctx) -> Result<(), Fault> {
    let survey = header::survey(buf, header)?;
    if survey.pairs > cx.max_parts {
        return Err(Fault::too_large(Reason::Parts, "too many THeader headers"));
    }
    let most = cx.max_head as usize;
    if survey.persistent > 0 && known.saturating_add(survey.persistent) > most {
        return Err(Fault::too_large(Reason::HeadSize, "too many persistent THeader headers"));
    }
    Ok(())
}

const fn unsupported(text: &'static str) -> Fault {
    Fault::new(Outcome::BadRequest, Reason::Unsupported, text)
}

impl Resume {
    /// The end of an unframed message.
    fn end(&mut self, head: &Head, cx: &Ctx, buf: &[u8]) -> Parse<usize> {
        let end = Bound::frame(cx.max_frame as usize);
        let found = match encoding(head.protocol) {
            Some(encoding) => {
                if !self.active {
                    self.walk.start(head.body);
                }
                self.walk.finish(encoding, buf, &Bounds::new(cx, end))
            }
            None => {
                if !self.active {
                    self.json.start(head.body);
                }
                self.json.finish(buf, cx, end)
            }
        };
        self.active = matches!(found, Err(Stop::Need(_)));
        found
    }
}

/// Where the message ends that is in the first `end` bytes of `buf`.
pub(crate) fn end_of(head: &Head, cx: &Ctx, buf: &[u8], end: usize) -> Result<usize, Fault> {
    let end = Bound::end(end);
    let found = match encoding(head.protocol) {
        Some(encoding) => {
            let mut walk = Walk::default();
            walk.start(head.body);
            walk.finish(encoding, buf, &Bounds::new(cx, end))
        }
        None => {
            let mut walk = JsonWalk::default();
            walk.start(head.body);
            walk.finish(buf, cx, end)
        }
    };
    found.map_err(|stop| match stop {
        Stop::Fault(fault) => fault,
        Stop::Need(_) => end.fault,
    })
}

/// How structs are encoded; `None` for JSON.
pub(crate) const fn encoding(protocol: Protocol) -> Option<Encoding> {
    match protocol {
        Protocol::Strict | Protocol::Old => Some(Encoding::Binary),
        Protocol::Compact => Some(Encoding::Compact),
        Protocol::Json => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes with reads of `n` bytes each; the steps that it took.
    fn steps(bytes: &[u8], n: usize) -> u64 {
        let mut conn = Conn::new(false, Dialect::default(), false);
        let options = ThriftOptions::default();
        let cx = Ctx::default().max_frame(u32::MAX);
        let (mut seen, mut need) = (0, 1);
        while seen < bytes.len() {
            seen = (seen + n).min(bytes.len());
            if seen < need {
                continue;
            }
            match general_request(&options, &mut conn, &cx, bytes.get(..seen).unwrap_or(bytes)) {
                Ok(Step::Frame(meta, _)) => assert_eq!(meta.len as usize, bytes.len()),
                Err(Stop::Need(at)) => need = at,
                other => panic!("{other:?}"),
            }
        }
        conn.resume.walk.steps + conn.resume.json.steps
    }

    #[test]
    fn an_unframed_message_is_walked_through_once_whatever_its_reads() {
        let strict = b"\x80\x01\0\x01\0\0\0\x01x\0\0\0\x01";
        // Many small fields: a list of structs with one number each.
        let many = |n: u32| {
            let mut bytes = [&strict[..], b"\x0f\0\x01\x0c"].concat();
            bytes.extend_from_slice(&n.to_be_bytes());
            bytes.extend_from_slice(&b"\x08\0\x01\0\0\0\x05\0".repeat(n as usize));
            bytes.push(0);
            bytes
        };
        let compact =
            |n: usize| [b"\x82\x21\x01\x01x".to_vec(), b"\x15\x05".repeat(n), vec![0]].concat();
        let json = |n: usize| {
            [b"[1,\"x\",1,1,{".to_vec(), b"\"1\":{\"str\":\"a\\\"b\"},".repeat(n), b"}]".to_vec()]
                .concat()
        };
        for n in [1, 2, 3, 7, 1000, usize::MAX >> 1] {
            for (short, long) in [
                (many(1_000), many(10_000)),
                (compact(1_000), compact(10_000)),
                (json(1_000), json(10_000)),
            ] {
                let (few, all) = (steps(&short, n), steps(&long, n));
                // A step stops for lack of bytes at most once for each byte that comes.
                assert!(all <= 2 * long.len() as u64 + 10, "{all} steps in reads of {n}");
                assert!(all <= 11 * few, "{all} steps, and {few} for a tenth, in reads of {n}");
            }
        }
    }

    #[test]
    fn elements_of_one_size_and_strings_are_stepped_over() {
        let strict = b"\x80\x01\0\x01\0\0\0\x01x\0\0\0\x01";
        let doubles = [&strict[..], b"\x0f\0\x01\x04\0\0\x40\0", &[0; 0x4000 * 8], b"\0"].concat();
        let text = [&strict[..], b"\x0b\0\x01\0\x01\0\0", &[b'x'; 0x1_0000], b"\0"].concat();
        for bytes in [doubles, text] {
            for n in [1, 1000, usize::MAX >> 1] {
                assert!(steps(&bytes, n) < 20, "{} steps in reads of {n}", steps(&bytes, n));
            }
        }
    }
}
