//! The most frequent dialect, a strict binary message in a frame, read and written in one go. What
//! is not plainly that, or not all there, is left to the general way, which comes to the same.

use heptad_core::{Ctx, Kind, Meta, Outcome, Rewrite, Span, Splice, Step, Template};

use crate::{
    conn::{Conn, Tag},
    dialect::{Dialect, LONGEST, Protocol, Transport},
    frame::{Content, Frame, split_id},
    message::{Head, kind},
    options::ThriftOptions,
    token::Type,
};

/// Length of the frame, version, type and length of the name.
const FIXED: usize = 12;
const SEQ: usize = 4;
const PLAIN: Dialect = Dialect::new(Transport::Framed, Protocol::Strict);

/// The head of a message, and where its frame ends.
struct Message {
    kind: u8,
    seq: u32,
    /// Where its name ends, and its head.
    name_end: usize,
    body: usize,
    len: usize,
}

impl Message {
    #[inline(always)]
    fn read(cx: &Ctx, buf: &[u8]) -> Option<Self> {
        let fixed: &[u8; FIXED] = buf.first_chunk()?;
        let [l0, l1, l2, l3, 0x80, 1, _, kind, n0, n1, n2, n3] = *fixed else {
            return None;
        };
        let outer = u32::from_be_bytes([l0, l1, l2, l3]);
        let name = u32::from_be_bytes([n0, n1, n2, n3]);
        if outer > LONGEST || name > cx.max_head {
            return None;
        }
        let (len, name_end) = (outer as usize + 4, FIXED + name as usize);
        let body = name_end + SEQ;
        if len > cx.max_frame as usize || body > len || body > cx.max_head as usize {
            return None;
        }
        let seq: &[u8; SEQ] = buf.get(name_end..body)?.first_chunk()?;
        let seq = u32::from_be_bytes(*seq);
        Some(Self { kind, seq, name_end, body, len })
    }
}

/// The frame at the front of `buf`, as far as the message's head.
pub(crate) fn frame(cx: &Ctx, buf: &[u8]) -> Option<Frame> {
    let Message { kind, seq, name_end, body, len } = Message::read(cx, buf)?;
    let head = Head { protocol: Protocol::Strict, kind, seq, name: FIXED..name_end, body };
    Some(Frame {
        transport: Transport::Framed,
        header: None,
        content: Content::Message(head),
        payload: 4,
        len: Some(len),
    })
}

/// A request on a connection that is known to speak this.
#[inline(always)]
pub(crate) fn request(
    options: &ThriftOptions,
    conn: &mut Conn,
    cx: &Ctx,
    buf: &[u8],
) -> Option<Step<Tag>> {
    let refused = options.transport.refuses(Transport::Framed).is_some()
        || options.protocol.refuses(Protocol::Strict).is_some();
    if conn.dialect != PLAIN || refused {
        return None;
    }
    let message = Message::read(cx, buf)?;
    let what = match message.kind {
        kind::CALL => Kind::Request,
        kind::ONEWAY => Kind::Oneway,
        _ => return None,
    };
    conn.cx = *cx;
    let mut meta = Meta::frame(what, message.len).head(message.body).id(message.seq.into());
    let name = buf.get(FIXED..message.name_end)?;
    let method = match name.iter().position(|byte| *byte == b':') {
        Some(n) => {
            meta.service = Span::new(FIXED, n);
            FIXED + n + 1
        }
        None => FIXED,
    };
    meta.method = Span::new(method, message.name_end - method);
    meta.aux = PLAIN.to_bits();
    Some(Step::Frame(meta, Tag::new(PLAIN)))
}

/// A reply that is a success, on a connection that is known to speak this.
#[inline(always)]
pub(crate) fn reply(conn: &mut Conn, cx: &Ctx, buf: &[u8]) -> Option<Step<()>> {
    if conn.dialect != PLAIN {
        return None;
    }
    let Message { kind: kind::REPLY, seq, body, len, .. } = Message::read(cx, buf)? else {
        return None;
    };
    // The result is field 0; without one there is no field at all.
    let good = match buf.get(body..len.min(buf.len()))? {
        [0, ..] => true,
        [ty, 0, 0, ..] => Type::of_binary(*ty).is_some(),
        _ => false,
    };
    if !good {
        return None;
    }
    conn.cx = *cx;
    let meta = Meta::reply(len, Outcome::Ok).head(body).id(seq.into());
    Some(Step::Frame(meta.aux(PLAIN.to_bits()), ()))
}

/// Writes a frame for a connection that speaks the same, with another id; whether it could.
#[inline(always)]
pub(crate) fn rewrite(
    to: &Conn,
    meta: &Meta,
    tag: Tag,
    edit: &Rewrite<'_>,
    out: &mut Splice<'_>,
) -> bool {
    if !is_plain(meta) || !speaks_plain(to, tag) {
        return false;
    }
    let frame = out.frame();
    let (body, len) = (meta.head as usize, frame.len());
    // The byte that the version leaves open is always written as zero.
    let usual = frame.get(6) == Some(&0) && len == meta.len as usize;
    if !usual || body < FIXED + SEQ || body > len {
        return false;
    }
    match edit.id {
        Some(id) => out.keep_but(body - SEQ, &split_id(id).0.to_be_bytes()),
        None => out.keep_all(),
    }
    true
}

/// Frames like one that was read here and can be written here. What is read of a reply besides its
/// head is of which type the first field of its struct is.
pub(crate) fn template(to: &Conn, meta: &Meta, tag: Tag, frame: &[u8]) -> Option<Template> {
    let body = meta.head as usize;
    if !is_plain(meta) || !speaks_plain(to, tag) || frame.get(6) != Some(&0) {
        return None;
    }
    let head = match (meta.kind, frame.get(body..)?) {
        (Kind::Request, _) => body,
        (Kind::Reply, [0, ..]) => body + 1,
        (Kind::Reply, [_, 0, 0, ..]) => body + 3,
        _ => return None,
    };
    Template::new(head, 0, 4, body.checked_sub(SEQ)?..body)
}

/// Whether a frame is of this dialect.
#[inline(always)]
pub(crate) fn is_plain(meta: &Meta) -> bool {
    meta.aux == PLAIN.to_bits()
}

/// Whether what is written to a connection is of this dialect, if it comes in it.
#[inline(always)]
fn speaks_plain(to: &Conn, tag: Tag) -> bool {
    let known = if to.is_link { to.dialect == PLAIN } else { tag == Tag::new(PLAIN) };
    (known || wants_plain(to, tag)) && !(to.is_link && to.strip_service)
}

fn wants_plain(to: &Conn, tag: Tag) -> bool {
    let wanted = if to.is_link { to.dialect } else { tag.dialect().or(to.dialect) };
    wanted.or(PLAIN) == PLAIN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cursor::Stop,
        decode::{general_reply, general_request},
        options::{ClientProtocol, ClientTransport},
    };

    fn message(name: &str, kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x80, 1, 0, kind];
        bytes.extend_from_slice(&(name.len() as u32).to_be_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&77_u32.to_be_bytes());
        bytes.extend_from_slice(body);
        [&(bytes.len() as u32).to_be_bytes()[..], &bytes].concat()
    }

    #[test]
    fn it_reads_what_the_general_way_reads_and_nothing_else() {
        let limits = [u32::MAX, 100, 40, 30, 20, 16, 3];
        let good = message("Service:method", 1, b"\0");
        let mut all = vec![good.clone(), message("", 4, b""), message("ping", 1, &[0; 90])];
        // Each byte replaced, and each end.
        for at in 0..good.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] = byte;
                all.push(bad);
            }
            all.push(good[..at].to_vec());
        }
        let mut read = 0;
        for bytes in &all {
            for (head, frame_limit) in limits.iter().flat_map(|h| limits.map(|f| (*h, f))) {
                let cx = Ctx::default().max_head(head).max_frame(frame_limit);
                let slow = Frame::general(Transport::Framed, &cx, bytes);
                match frame(&cx, bytes) {
                    Some(quick) => {
                        read += 1;
                        assert_eq!(format!("{:?}", Ok::<_, Stop>(quick)), format!("{slow:?}"));
                    }
                    // What it leaves is another protocol, not all there, or wrong.
                    None => match slow {
                        Ok(Frame { content: Content::Message(head), .. }) => {
                            assert_ne!(head.protocol, Protocol::Strict);
                        }
                        Ok(other) => panic!("{other:?}"),
                        Err(_) => {}
                    },
                }
            }
        }
        assert!(read > 100);
    }

    /// Nobody asked for anything.
    struct Nothing;

    impl heptad_core::Asked<Tag> for Nothing {
        fn tag(&self, _: u64) -> Option<Tag> {
            None
        }
    }

    #[test]
    fn requests_and_replies_are_what_the_general_way_makes_of_them() {
        let names = ["Service:method", "ping", "", ":", "a:b:c", "x:"];
        let bodies: [&[u8]; 6] =
            [b"\0", b"\x0b\0\0\0\0\0\x01x\0", b"\x0c\0\x01\0\0", b"\x01\0\0", b"\x10\0", b""];
        let mut all = Vec::new();
        for (name, body) in names.iter().flat_map(|name| bodies.map(|body| (*name, body))) {
            for kind in 0..6 {
                let whole = message(name, kind, body);
                all.extend((0..=whole.len()).map(|end| whole[..end].to_vec()));
            }
        }
        let plain = |is_link| Conn::new(is_link, PLAIN, false);
        let mut read = [0, 0];
        for bytes in &all {
            for (transport, protocol) in [
                (ClientTransport::Auto, ClientProtocol::Auto),
                (ClientTransport::Framed, ClientProtocol::Binary),
                (ClientTransport::Header, ClientProtocol::Auto),
                (ClientTransport::Auto, ClientProtocol::Compact),
            ] {
                let options = ThriftOptions { transport, protocol, ..ThriftOptions::default() };
                for limit in [u32::MAX, 40, 20, 12] {
                    let cx = Ctx::default().max_head(limit);
                    let (mut one, mut other) = (plain(false), plain(false));
                    if let Some(step) = request(&options, &mut one, &cx, bytes) {
                        let slow = general_request(&options, &mut other, &cx, bytes);
                        assert_eq!(Ok(step), slow.map_err(|stop| format!("{stop:?}")), "{bytes:?}");
                        assert_eq!(format!("{one:?}"), format!("{other:?}"));
                        read[0] += 1;
                    }
                    let (mut one, mut other) = (plain(true), plain(true));
                    if let Some(step) = reply(&mut one, &cx, bytes) {
                        let slow = general_reply(&mut other, &Nothing, &cx, bytes);
                        assert_eq!(Ok(step), slow.map_err(|stop| format!("{stop:?}")), "{bytes:?}");
                        assert_eq!(one.dialect, other.dialect);
                        read[1] += 1;
                    }
                }
            }
        }
        assert!(read.iter().all(|read| *read > 100), "{read:?}");
    }
}
