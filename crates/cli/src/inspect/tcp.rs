//! TCP segments put in order, as far as it takes to read what was said: no windows, no time-outs.

use std::collections::BTreeMap;

use heptad::{Piece, Sender};

/// Most bytes that are kept while others before them are missing.
const KEPT: usize = 16 << 20;

/// A segment of either direction.
pub(crate) struct Segment<'a> {
    pub(crate) sender: Sender,
    pub(crate) seq: u32,
    pub(crate) syn: bool,
    pub(crate) payload: &'a [u8],
}

/// One connection.
#[derive(Default)]
pub(crate) struct Stream {
    client: Half,
    server: Half,
    pub(crate) pieces: Vec<Piece>,
}

/// One direction.
#[derive(Default)]
struct Half {
    /// The sequence number that comes next; none before anything came.
    next: Option<u32>,
    /// What came too early, by how far ahead of the first byte it is.
    early: BTreeMap<u64, Vec<u8>>,
    kept: usize,
    /// Bytes that were taken.
    taken: u64,
}

impl Stream {
    pub(crate) fn take(&mut self, segment: &Segment<'_>) {
        let half = match segment.sender {
            Sender::Client => &mut self.client,
            Sender::Server => &mut self.server,
        };
        if segment.syn {
            half.next = Some(segment.seq.wrapping_add(1));
        }
        if segment.payload.is_empty() {
            return;
        }
        // A capture may begin in the middle.
        let next = *half.next.get_or_insert(segment.seq);
        // Sequence numbers are compared as RFC 9293 has it: by the sign of their difference.
        let ahead = i64::from(segment.seq.wrapping_sub(next).cast_signed());
        let mut bytes = segment.payload;
        if ahead < 0 {
            let seen = usize::try_from(-ahead).unwrap_or(usize::MAX);
            bytes = bytes.get(seen..).unwrap_or_default();
        }
        if bytes.is_empty() || half.kept + bytes.len() > KEPT {
            return;
        }
        let at = half.taken + u64::try_from(ahead).unwrap_or(0);
        half.kept += bytes.len();
        if let Some(old) = half.early.insert(at, bytes.to_vec()) {
            half.kept -= old.len();
            // The longer one says it all.
            if let Some(now) = half.early.get_mut(&at)
                && old.len() > now.len()
            {
                half.kept += old.len() - now.len();
                *now = old;
            }
        }
        half.go_on(segment.sender, &mut self.pieces);
    }

    /// Where bytes are missing.
    pub(crate) fn gaps(&self) -> Vec<(Sender, usize)> {
        [(Sender::Client, &self.client), (Sender::Server, &self.server)]
            .into_iter()
            .filter(|(_, half)| !half.early.is_empty())
            .map(|(sender, half)| (sender, usize::try_from(half.taken).unwrap_or(usize::MAX)))
            .collect()
    }
}

impl Half {
    fn go_on(&mut self, sender: Sender, pieces: &mut Vec<Piece>) {
        while let Some(entry) = self.early.first_entry() {
            if *entry.key() > self.taken {
                return;
            }
            let seen = usize::try_from(self.taken - entry.key()).unwrap_or(usize::MAX);
            let bytes = entry.remove();
            self.kept -= bytes.len();
            let Some(new) = bytes.get(seen..).filter(|new| !new.is_empty()) else {
                continue;
            };
            self.taken += new.len() as u64;
            let len = u32::try_from(new.len()).unwrap_or(0);
            self.next = self.next.map(|next| next.wrapping_add(len));
            pieces.push(Piece::new(sender, new));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(stream: &Stream, whose: Sender) -> Vec<u8> {
        let ours = stream.pieces.iter().filter(|piece| piece.sender == whose);
        ours.flat_map(|piece| piece.bytes.clone()).collect()
    }

    fn stream(start: u32, parts: &[(u32, &[u8])]) -> Stream {
        let mut stream = Stream::default();
        let sender = Sender::Client;
        stream.take(&Segment { sender, seq: start, syn: true, payload: b"" });
        for (at, payload) in parts {
            let seq = start.wrapping_add(1 + at);
            stream.take(&Segment { sender, seq, syn: false, payload });
        }
        stream
    }

    #[test]
    fn segments_are_put_in_order_across_the_end_of_the_numbers() {
        for start in [0, 7, u32::MAX - 3, u32::MAX] {
            let stream = stream(
                start,
                &[(4, b"efgh"), (0, b"ab"), (0, b"ab"), (1, b"bcd"), (4, b"ef"), (6, b"ghi")],
            );
            assert_eq!(said(&stream, Sender::Client), b"abcdefghi", "{start}");
            assert_eq!(stream.gaps(), []);
            assert_eq!(said(&stream, Sender::Server), b"");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let stream = stream(100, &[(0, b"ab"), (3, b"d")]);
        assert_eq!(said(&stream, Sender::Client), b"ab");
        assert_eq!(stream.gaps(), [(Sender::Client, 2)]);
    }
}
