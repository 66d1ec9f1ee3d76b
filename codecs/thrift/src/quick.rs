//! The most frequent dialect, a strict binary message in a frame, read and written in one go. What
//! is not plainly that, or not all there, is left to the general way, which comes to the same.

use heptad_core::{Ctx, Meta, Rewrite, Splice};

use crate::{
    conn::{Conn, Tag},
    dialect::{Dialect, LONGEST, Protocol, Transport},
    frame::{Content, Frame, split_id},
    message::Head,
};

/// Length of the frame, version, type and length of the name.
const FIXED: usize = 12;
const SEQ: usize = 4;
const PLAIN: Dialect = Dialect::new(Transport::Framed, Protocol::Strict);

/// The frame at the front of `buf`, as far as the message's head.
pub(crate) fn frame(cx: &Ctx, buf: &[u8]) -> Option<Frame> {
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
    let head = Head { protocol: Protocol::Strict, kind, seq, name: FIXED..name_end, body };
    Some(Frame {
        transport: Transport::Framed,
        header: None,
        content: Content::Message(head),
        payload: 4,
        len: Some(len),
    })
}

/// Writes a frame for a connection that speaks the same, with another id; whether it could.
pub(crate) fn rewrite(
    to: &Conn,
    meta: &Meta,
    tag: Tag,
    edit: &Rewrite<'_>,
    out: &mut Splice<'_>,
) -> bool {
    let wanted = if to.is_link { to.dialect } else { tag.dialect().or(to.dialect) };
    let plain = meta.aux == PLAIN.to_bits() && wanted.or(PLAIN) == PLAIN;
    let frame = out.frame();
    let (body, len) = (meta.head as usize, frame.len());
    // The byte that the version leaves open is always written as zero.
    let usual = frame.get(6) == Some(&0) && len == meta.len as usize;
    if !plain || !usual || body < FIXED + SEQ || body > len || (to.is_link && to.strip_service) {
        return false;
    }
    match edit.id.map(split_id) {
        Some((seq, _)) => {
            out.keep(0..body - SEQ);
            out.put(&seq.to_be_bytes());
            out.keep(body..len);
        }
        None => out.keep_all(),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::Stop;

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
}
