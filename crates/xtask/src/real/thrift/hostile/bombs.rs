//! Clients whose bytes announce too much, nest too deep, stop half-way, or mean nothing.

use std::{
    io::{self, ErrorKind, Write as _},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use super::Scene;
use crate::{
    real::thrift::wire::{Around, Client, call, framed},
    tally::Tally,
};

/// Connections that each announce [`ANNOUNCED`] bytes, which is within the limits.
const CONNECTIONS: usize = 500;
const ANNOUNCED: u32 = 15 << 20;

/// What they may cost together.
const GROWTH_KIB: u64 = 64 << 10;

pub(super) fn announcements(scene: &mut Scene, tally: &mut Tally) -> Result<(), String> {
    let string = [&[11, 0, 1][..], &ANNOUNCED.to_be_bytes()].concat();
    let heads = [
        ("framed-binary", [&ANNOUNCED.to_be_bytes()[..], &head(1)].concat()),
        ("buffered-binary", [head(1), string].concat()),
    ];
    for (dialect, head) in heads {
        let port = scene.port(dialect)?;
        let before = scene.resident_kib()?;
        let counted = scene.counters()?;
        let mut open = Vec::new();
        for i in 0..CONNECTIONS {
            let mut stream =
                TcpStream::connect(("127.0.0.1", port)).map_err(|e| format!("{i}: {e}"))?;
            // It may be closed while we still write.
            let _ = stream.write_all(&head);
            let _ = stream.write_all(&[b'x'; 8 << 10]);
            open.push(stream);
        }
        let seen =
            scene.grown(counted.as_ref(), &["heptad_sessions_opened_total"], CONNECTIONS as f64);
        tally.check(seen.is_ok(), || format!("{dialect} announcements: {seen:?}"));
        let alive = scene.serves();
        tally.check(alive.is_ok(), || format!("during {dialect} announcements: {alive:?}"));
        let more = scene.resident_kib()?.saturating_sub(before);
        tally.check(more < GROWTH_KIB, || {
            format!("{CONNECTIONS} {dialect} announcements cost {more} KiB")
        });
        drop(open);
        let alive = scene.serves();
        tally.check(alive.is_ok(), || format!("after {dialect} announcements: {alive:?}"));
        tally.note(format!("{CONNECTIONS} {dialect} announcements of 15 MiB: {more} KiB more"));
    }
    Ok(())
}

/// The head of a strict binary message.
fn head(kind: u8) -> Vec<u8> {
    [&[0x80, 1, 0, kind, 0, 0, 0, 10][..], b"testString", &[0, 0, 0, 1]].concat()
}

/// The head of a compact message of `testString`.
fn compact() -> Vec<u8> {
    [&[0x82, 0x21, 1, 10][..], b"testString"].concat()
}

/// THeader with these header bytes, which are whole words, around a message.
fn header(words: &[u8], body: &[u8]) -> Vec<u8> {
    let len = (words.len() / 4) as u16;
    let fixed = [&[0x0f, 0xff, 0, 0, 0, 0, 0, 1][..], &len.to_be_bytes()].concat();
    framed(&[&fixed[..], words, body].concat())
}

/// The most a signed length can say, as four bytes and as a varint.
const MOST: [u8; 4] = [0x7f, 0xff, 0xff, 0xff];
const MOST_VARINT: [u8; 5] = [0xff, 0xff, 0xff, 0xff, 0x07];

const DEEP: usize = 10_000;

/// A name, the dialect it is nearest to, and the bytes.
type Bomb = (&'static str, &'static str, fn() -> Vec<u8>);

const BOMBS: &[Bomb] = &[
    ("half a length", "framed-binary", || vec![0, 0]),
    ("half a frame", "framed-binary", || [&[0, 0, 1, 0][..], &head(1)].concat()),
    ("an empty frame", "framed-binary", || vec![0; 4]),
    ("a frame of one byte", "framed-binary", || vec![0, 0, 0, 1, 0x80]),
    ("a frame of 2 GiB", "framed-binary", || [&MOST[..], &head(1)].concat()),
    ("a frame of -1", "framed-binary", || vec![0xff; 64]),
    ("a frame that is longer than its message", "framed-binary", || {
        let whole = call(Around::Nothing, "testVoid", 1, &[]);
        framed(&[&whole[..], &[0; 100]].concat())
    }),
    ("a frame that is shorter than its message", "framed-binary", || {
        framed(&[head(1), vec![11, 0, 1, 0, 0, 0, 9, b'x']].concat())
    }),
    ("a reply to nothing", "framed-binary", || framed(&[head(2), vec![0]].concat())),
    ("an exception to nothing", "framed-binary", || framed(&[head(3), vec![0]].concat())),
    ("an unknown kind of message", "framed-binary", || framed(&[head(9), vec![0]].concat())),
    ("a name of 2 GiB", "buffered-binary", || [&[0x80, 1, 0, 1][..], &MOST, b"x"].concat()),
    ("a name of -1", "buffered-binary", || [&[0x80, 1, 0, 1][..], &[0xff; 4], b"x"].concat()),
    ("an unknown version", "buffered-binary", || vec![0x80, 7, 0, 1, 0, 0, 0, 0]),
    ("half a head", "buffered-binary", || vec![0x80, 1, 0, 1, 0, 0, 0, 10, b't']),
    ("half a struct", "buffered-binary", || [head(1), vec![11, 0, 1, 0, 0]].concat()),
    ("open structs", "buffered-binary", || [head(1), [12, 0, 1].repeat(DEEP)].concat()),
    ("nested structs", "buffered-binary", || {
        [head(1), [12, 0, 1].repeat(DEEP), vec![0; DEEP + 1]].concat()
    }),
    ("nested lists", "buffered-binary", || {
        [head(1), vec![15, 0, 1], [15, 0, 0, 0, 1].repeat(DEEP)].concat()
    }),
    ("nested maps", "buffered-binary", || {
        [head(1), vec![13, 0, 1], [13, 13, 0, 0, 0, 1].repeat(DEEP)].concat()
    }),
    ("a list of 2^31 structs", "buffered-binary", || {
        [&head(1)[..], &[15, 0, 1, 12], &MOST, &[0; 1000]].concat()
    }),
    ("a list of 2^31 numbers", "buffered-binary", || {
        [&head(1)[..], &[15, 0, 1, 10], &MOST, &[0; 1000]].concat()
    }),
    // A reader that asks the size of such an element and multiplies would not notice an end.
    ("a list of 2^31 of nothing", "buffered-binary", || {
        [&head(1)[..], &[15, 0, 1, 0], &MOST, &[0; 1000]].concat()
    }),
    ("a set of 2^31 of void", "buffered-binary", || {
        [&head(1)[..], &[14, 0, 1, 1], &MOST, &[0; 1000]].concat()
    }),
    ("a map of 2^31", "buffered-binary", || {
        [&head(1)[..], &[13, 0, 1, 2, 2], &MOST, &[0; 1000]].concat()
    }),
    ("a list of -1", "buffered-binary", || [&head(1)[..], &[15, 0, 1, 8], &[0xff; 4]].concat()),
    ("an unknown type", "buffered-binary", || [&head(1)[..], &[99, 0, 1, 0, 0]].concat()),
    ("a string of 2 GiB", "buffered-binary", || {
        [&head(1)[..], &[11, 0, 1], &MOST, b"half"].concat()
    }),
    ("compact: nested structs", "buffered-compact", || {
        [compact(), vec![0x1c; DEEP], vec![0; DEEP + 1]].concat()
    }),
    ("compact: nested lists", "buffered-compact", || [compact(), vec![0x19; DEEP]].concat()),
    ("compact: a list of 2^31 structs", "buffered-compact", || {
        [&compact()[..], &[0x19, 0xfc], &MOST_VARINT, &[0; 1000]].concat()
    }),
    ("compact: a list of 2^31 of nothing", "buffered-compact", || {
        [&compact()[..], &[0x19, 0xf0], &MOST_VARINT, &[0; 1000]].concat()
    }),
    ("compact: a map of 2^31", "buffered-compact", || {
        [&compact()[..], &[0x1b], &MOST_VARINT, &[0x11], &[0; 1000]].concat()
    }),
    ("compact: an endless number", "buffered-compact", || [compact(), vec![0xff; 1000]].concat()),
    ("compact: a name of 2 GiB", "buffered-compact", || {
        [&[0x82, 0x21, 1][..], &MOST_VARINT, b"x"].concat()
    }),
    ("JSON: nested structs", "buffered-json", || {
        let open = br#"{"1":{"rec":"#.repeat(DEEP);
        [&br#"[1,"testString",1,1,"#[..], &open, b"{}", &b"}}".repeat(DEEP), b"]"].concat()
    }),
    ("JSON: nested arrays", "buffered-json", || b"[".repeat(DEEP)),
    ("JSON: an endless string", "buffered-json", || {
        [&br#"[1,""#[..], &b"a".repeat(1 << 20)].concat()
    }),
    ("JSON: an endless number", "buffered-json", || {
        [&br#"[1,"x",1,"#[..], &b"1".repeat(1 << 20)].concat()
    }),
    ("JSON: half a message", "buffered-json", || br#"[1,"testString",1,1,{"1":{"str":"#.to_vec()),
    ("JSON: an unknown version", "buffered-json", || br#"[7,"testVoid",1,1,{}]"#.to_vec()),
    ("THeader: more header than frame", "header-binary", || {
        framed(&[&[0x0f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff][..], &head(1)].concat())
    }),
    ("THeader: 2^31 transforms", "header-binary", || {
        header(&[&[0][..], &MOST_VARINT, &[0, 0]].concat(), &head(1))
    }),
    ("THeader: an unknown transform", "header-binary", || header(&[0, 1, 99, 0], &head(1))),
    ("THeader: zlib that is none", "header-binary", || header(&[0, 1, 1, 0], &head(1))),
    ("THeader: 2^31 info headers", "header-binary", || {
        header(&[&[0, 0, 1][..], &MOST_VARINT].concat(), &head(1))
    }),
    ("THeader: a key of 2 GiB", "header-binary", || {
        header(&[&[0, 0, 1, 1][..], &MOST_VARINT, b"key"].concat(), &head(1))
    }),
    ("THeader: an unknown protocol", "header-binary", || header(&[77, 0, 0, 0], &head(1))),
    ("THeader: nothing in it", "header-binary", || header(&[0, 0, 0, 0], b"")),
    ("HTTP", "buffered-binary", || b"GET / HTTP/1.1\r\nHost: thrift\r\n\r\n".to_vec()),
    ("zeros", "buffered-binary", || vec![0; 1 << 16]),
];

/// What a client did is counted as a request that ended somehow, or as a session that did.
const COUNTERS: &[&str] = &["heptad_requests_total", "heptad_session_ends_total"];

pub(super) fn bombs(scene: &mut Scene, tally: &mut Tally) -> Result<(), String> {
    for (name, dialect, bytes) in BOMBS {
        let before = scene.counters()?;
        let ended = throw(scene.port(dialect)?, &bytes());
        tally.check(ended.is_ok(), || format!("{name}: {ended:?}\n{}", scene.log()));
        let counted = scene.grown(before.as_ref(), COUNTERS, 1.0);
        tally.check(counted.is_ok(), || format!("{name}: {counted:?}"));
        let alive = scene.serves();
        tally.check(alive.is_ok(), || format!("{name}: {alive:?}"));
    }
    tally.note(format!("{} bombs", BOMBS.len()));
    Ok(())
}

pub(super) fn random(scene: &mut Scene, tally: &mut Tally) -> Result<(), String> {
    const ROUNDS: u64 = 200;
    let mut slowest = (Duration::ZERO, 0);
    for seed in 1..=ROUNDS {
        let start = Instant::now();
        let dialect = ["framed-binary", "buffered-binary", "buffered-compact", "header-binary"]
            [seed as usize % 4];
        let ended = throw(scene.port(dialect)?, &noise(seed));
        slowest = slowest.max((start.elapsed(), seed));
        tally.check(ended.is_ok(), || format!("random bytes, seed {seed}: {ended:?}"));
    }
    let alive = scene.serves();
    tally.check(alive.is_ok(), || format!("after random bytes: {alive:?}"));
    let (time, seed) = slowest;
    tally.note(format!("{ROUNDS} times random bytes, slowest {time:.1?} with seed {seed}"));
    Ok(())
}

/// Bytes of a seed. Most begin as a message does, to get past the first check; small numbers are
/// frequent, since they are types and lengths.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let len = 1 + next() as usize % 2048;
    let mut body: Vec<u8> = (0..len)
        .map(|_| {
            let draw = next();
            let byte = (draw >> 16) as u8;
            if draw.is_multiple_of(3) { byte } else { byte % 16 }
        })
        .collect();
    let mut begun = match seed % 8 {
        0 => Vec::new(),
        1 | 2 => head(1),
        3 | 4 => compact(),
        5 => br#"[1,"testString",1,1,"#.to_vec(),
        _ => return header(&[(seed % 3) as u8, 0, 1, 1], &[head(1), body].concat()),
    };
    begun.append(&mut body);
    if seed.is_multiple_of(2) { framed(&begun) } else { begun }
}

/// Sends bytes, then says that no more will come, and reads until the other side closes too.
fn throw(port: u16, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut client = Client::connect(port, Around::Nothing)?;
    match client.send(bytes) {
        Err(e) if !matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
            return Err(e);
        }
        _ => {}
    }
    // An error when the other side has closed already.
    let _ = client.socket().shutdown(Shutdown::Write);
    client.read_to_close()
}
