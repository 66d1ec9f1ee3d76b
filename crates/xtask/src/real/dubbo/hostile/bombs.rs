//! Frames that announce too much, nest too deep, stop half-way, or mean nothing.

use std::{
    io::{self, ErrorKind},
    net::Shutdown,
    time::{Duration, Instant},
};

use super::Scene;
use crate::{
    real::dubbo::wire::{CALL, Call, Connection, EVENT, FASTJSON, HEARTBEAT, HESSIAN2, OK, frame},
    tally::Tally,
};

/// Connections that each announce a long body.
const CONNECTIONS: usize = 1000;

/// What they may cost together.
const GROWTH_KIB: u64 = 64 << 10;

/// More than the router takes.
pub(super) fn too_long(scene: &mut Scene, tally: &mut Tally) -> Result<(), String> {
    announce(scene, tally, i32::MAX as u32)
}

/// As much as the router takes.
pub(super) fn large(scene: &mut Scene, tally: &mut Tally) -> Result<(), String> {
    announce(scene, tally, 8 << 20)
}

/// Opens the connections, each with a head and a little of the body.
fn announce(scene: &mut Scene, tally: &mut Tally, length: u32) -> Result<(), String> {
    let mut head = bomb("announce", &[]);
    if let Some(place) = head.get_mut(12..16) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    let before = scene.resident_kib()?;
    let counted = scene.counters()?;
    let mut open = Vec::new();
    for i in 0..CONNECTIONS {
        let mut client = Connection::connect(scene.port).map_err(|e| format!("{i}: {e}"))?;
        // It may be closed while we still write.
        let _ = client.send(&head);
        let _ = client.send(&[b'x'; 8 << 10]);
        open.push(client);
    }
    scene.serves()?;
    let grown = scene.resident_kib()?.saturating_sub(before);
    tally.check(grown < GROWTH_KIB, || format!("{CONNECTIONS} of {length} bytes: {grown} KiB"));
    let names = &["heptad_sessions_opened_total"];
    let seen = scene.grown(counted.as_ref(), names, CONNECTIONS as f64);
    tally.check(seen.is_ok(), || format!("{CONNECTIONS} connections: {seen:?}"));
    drop(open);
    let alive = scene.serves();
    tally.check(alive.is_ok(), || format!("after {length} bytes announced: {alive:?}"));
    tally.note(format!("{CONNECTIONS} times {} MiB announced: {grown} KiB more", length >> 20));
    Ok(())
}

/// A frame to the service that takes anything, with these bytes in place of arguments and
/// attachments; it is said to have one argument.
fn bomb(method: &str, rest: &[u8]) -> Vec<u8> {
    let call = Call::new(method, &["x".into()]).of("com.heptad.Bomb");
    frame(CALL, 0, 7, &[&call.prefix()[..], rest].concat())
}

/// Texts of a prefix, then anything.
fn raw(body: &[u8]) -> Vec<u8> {
    frame(CALL, 0, 7, body)
}

/// A name and the bytes.
type Bomb = (&'static str, fn() -> Vec<u8>);

const DEEP: usize = 10_000;
/// An integer as large as there is.
const MOST: &[u8] = b"I\x7f\xff\xff\xff";

const BOMBS: &[Bomb] = &[
    ("nested lists", || bomb("b", &b"\x79".repeat(DEEP))),
    ("nested lists, closed", || bomb("b", &[b"\x79".repeat(DEEP), b"NHZ".to_vec()].concat())),
    ("nested typed lists", || bomb("b", &b"\x71\x01t".repeat(DEEP))),
    ("nested endless lists", || bomb("b", &b"\x57".repeat(DEEP))),
    ("nested maps", || bomb("b", &b"H\x01k".repeat(DEEP))),
    ("maps as keys", || bomb("b", &b"H".repeat(DEEP))),
    ("nested typed maps", || bomb("b", &b"M\x01tH".repeat(DEEP))),
    ("nested objects", || bomb("b", &[&b"C\x01c\x91\x01f"[..], &b"\x60".repeat(DEEP)].concat())),
    ("nested attachments", || bomb("b", &[&b"N"[..], &b"H\x01k".repeat(DEEP)].concat())),
    ("a class of 2^31 fields", || bomb("b", &[&b"C\x01c"[..], MOST].concat())),
    ("a class of -1 fields", || bomb("b", b"C\x01c\x8f\x60")),
    ("many classes of many fields", || {
        let class = [&b"C\x01c\xcb\xe8"[..], &b"\x01f".repeat(1000)].concat();
        bomb("b", &class.repeat(500))
    }),
    ("many classes of no fields", || bomb("b", &b"C\x01c\x90".repeat(300_000))),
    ("an object of no class", || bomb("b", b"\x6fHZ")),
    ("an object of class 2^31", || bomb("b", &[&b"O"[..], MOST].concat())),
    ("many objects of no fields", || {
        let objects = b"\x60".repeat(1_000_000);
        let list = [&b"C\x01c\x90\x58I\x00\x0f\x42\x40"[..], &objects].concat();
        bomb("b", &[&list[..], b"HZ"].concat())
    }),
    ("a class whose objects multiply", || {
        // Each object has two fields of two objects, as far as the bytes go.
        bomb("b", &[&b"C\x01c\x92\x01a\x01b"[..], &b"\x60".repeat(1_000_000)].concat())
    }),
    ("a list in itself", || bomb("b", b"\x79\x51\x90HZ")),
    ("a map in itself", || bomb("b", b"H\x01k\x51\x90ZHZ")),
    ("a reference to nothing", || bomb("b", &[&b"\x51"[..], MOST, b"HZ"].concat())),
    ("attachments that are a reference", || bomb("b", b"\x79N\x51\x90")),
    ("a list of 2^31", || bomb("b", &[&b"\x58"[..], MOST].concat())),
    ("a list of -1", || bomb("b", b"\x58\x8fHZ")),
    ("a typed list of 2^31", || bomb("b", &[&b"V\x01t"[..], MOST].concat())),
    ("a type that is number 2^31", || bomb("b", &[&b"\x72"[..], MOST, b"NN"].concat())),
    ("a text of 65535", || bomb("b", b"S\xff\xffonly this")),
    ("endless chunks of text", || bomb("b", &b"R\x00\x01x".repeat(1 << 18))),
    ("endless empty chunks of text", || bomb("b", &b"R\x00\x00".repeat(1 << 18))),
    ("endless chunks of bytes", || bomb("b", &b"A\x00\x01x".repeat(1 << 18))),
    ("a text that is no text", || bomb("b", b"\x05\xff\xfe\x80\x80\x80HZ")),
    ("half a character", || bomb("b", b"\x01\xe4")),
    ("an unknown tag", || bomb("b", b"\x40\x41\x42")),
    ("endless nulls", || bomb("b", &b"N".repeat(1 << 20))),
    ("no arguments at all", || bomb("b", b"")),
    ("attachments that are a text", || bomb("b", b"N\x04text")),
    ("attachments that are null", || bomb("b", b"NN")),
    ("attachments that never end", || bomb("b", b"NH\x01k\x01v")),
    ("100 000 attachments", || {
        bomb("b", &[&b"NH"[..], &b"\x03key\x01v".repeat(100_000), b"Z"].concat())
    }),
    ("a time-out of 2^63", || bomb("b", b"NH\x07timeoutL\x7f\xff\xff\xff\xff\xff\xff\xffZ")),
    ("a time-out of -1", || bomb("b", b"NH\x07timeout\x8fZ")),
    ("a time-out that is a map", || bomb("b", b"NH\x07timeoutHZZ")),
    ("types of 60 000 arguments", || {
        let types = [&b"S\xea\x60"[..], &b"I".repeat(60_000)].concat();
        raw(&[&b"\x052.0.2\x0fcom.heptad.Bomb\x00\x01b"[..], &types, b"HZ"].concat())
    }),
    ("types that are garbage", || {
        raw(b"\x052.0.2\x0fcom.heptad.Bomb\x00\x01b\x0cL[[[[;;IQ;L\x01\x02NNNHZ")
    }),
    ("a service of 65535", || raw(b"\x052.0.2S\xff\xffonly this")),
    ("a service of a million", || {
        let chunks = [&b"R\xff\xff"[..], &b"s".repeat(0xffff)].concat().repeat(16);
        raw(&[&b"\x052.0.2"[..], &chunks].concat())
    }),
    ("a service that is a map", || raw(b"\x052.0.2HZ\x00\x01b\x00HZ")),
    ("a service that is null", || raw(b"\x052.0.2NNNNHZ")),
    ("a generic call of nothing", || raw(b"\x052.0.2\x0fcom.heptad.Bomb\x00\x07$invoke\x00HZ")),
    ("a generic call whose names are no list", || {
        let types = "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;";
        let head = b"\x052.0.2\x0fcom.heptad.Bomb\x00\x07$invoke\x30";
        raw(&[&head[..], &[types.len() as u8], types.as_bytes(), b"NHZNHZ"].concat())
    }),
    ("a generic call in a generic call", || {
        let call = Call::new("$invoke", &["$invoke".into()]).of("com.heptad.Bomb").generic();
        raw(&call.generic().body())
    }),
    ("an empty body", || raw(b"")),
    ("a body of -1", || [&raw(b"")[..12], &[0xff; 4], &b"x".repeat(1000)].concat()),
    ("no flags", || frame(0, 0, 7, b"N")),
    ("a reply of a client", || frame(2, 20, 7, b"\x91\x01x")),
    ("JSON that is none", || frame(CALL & !2 | FASTJSON, 0, 7, b"{{{{[[[[")),
    ("half a head", || bomb("b", b"")[..9].to_vec()),
    ("a head alone", || bomb("b", b"N")[..16].to_vec()),
    ("half a body", || {
        let bytes = bomb("b", b"NHZ");
        bytes[..bytes.len() - 1].to_vec()
    }),
    ("half the magic", || vec![0xda, 0xbc, 0, 0]),
    ("HTTP", || b"GET / HTTP/1.1\r\nHost: dubbo\r\n\r\n".to_vec()),
    ("telnet", || b"ls -l\r\n".to_vec()),
    ("zeros", || vec![0; 1 << 16]),
];

/// Heartbeats that are strange and still only heartbeats, and how many they are.
const HEARTBEATS: &[(usize, Bomb)] = &[
    (1, ("a heartbeat of a megabyte", || frame(HEARTBEAT, 0, 7, &[b'N'; 1 << 20]))),
    (1, ("a heartbeat that is a bomb", || frame(HEARTBEAT, 0, 7, &b"\x79".repeat(DEEP)))),
    (10_000, ("10 000 heartbeats", || frame(HEARTBEAT, 0, 7, b"N").repeat(10_000))),
    (1, ("all flags", || frame(0xff, 0xff, 7, b"N"))),
];

/// What a client did is counted as a request that ended somehow, or as a session that did.
const COUNTERS: &[&str] = &["heptad_requests_total", "heptad_session_ends_total"];

pub(super) fn bombs(scene: &mut Scene, tally: &mut Tally) -> Result<(), String> {
    let resident = scene.resident_kib()?;
    let mut slowest = (Duration::ZERO, "");
    for (name, bytes) in BOMBS {
        let before = scene.counters()?;
        let bytes = bytes();
        let start = Instant::now();
        let ended = throw(scene.port, &bytes);
        slowest = slowest.max((start.elapsed(), name));
        tally.check(ended.is_ok(), || format!("{name}: {ended:?}\n{}", scene.log()));
        let counted = scene.grown(before.as_ref(), COUNTERS, 1.0);
        tally.check(counted.is_ok(), || format!("{name}: {counted:?}"));
        let alive = scene.serves();
        tally.check(alive.is_ok(), || format!("{name}: {alive:?}"));
    }
    let stands_in = scene.proxy.is_none();
    for (many, (name, bytes)) in HEARTBEATS.iter().filter(|_| !stands_in) {
        let answer = frame(EVENT | HESSIAN2, OK, 7, b"N");
        let ended = throw(scene.port, &bytes()).map(|said| said == answer.repeat(*many));
        tally.check(matches!(ended, Ok(true)), || format!("{name}: {ended:?}"));
        let alive = scene.serves();
        tally.check(alive.is_ok(), || format!("{name}: {alive:?}"));
    }
    let grown = scene.resident_kib()?.saturating_sub(resident);
    tally.check(grown < GROWTH_KIB, || format!("{grown} KiB more after the bombs"));
    let (time, name) = slowest;
    tally.note(format!("{} bombs, slowest {time:.1?}: {name}; {grown} KiB more", BOMBS.len()));
    Ok(())
}

pub(super) fn random(scene: &mut Scene, tally: &mut Tally) -> Result<(), String> {
    const ROUNDS: u64 = 400;
    let mut slowest = (Duration::ZERO, 0);
    for seed in 1..=ROUNDS {
        let start = Instant::now();
        let ended = throw(scene.port, &noise(seed));
        slowest = slowest.max((start.elapsed(), seed));
        tally.check(ended.is_ok(), || format!("random bytes, seed {seed}: {ended:?}"));
    }
    let alive = scene.serves();
    tally.check(alive.is_ok(), || format!("after random bytes: {alive:?}"));
    let (time, seed) = slowest;
    tally.note(format!("{ROUNDS} times random bytes, slowest {time:.1?} with seed {seed}"));
    Ok(())
}

/// Bytes of a seed: as they are, behind a head, or behind a prefix. There the tags of containers are
/// frequent, and small numbers, which are lengths.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let len = 1 + next() as usize % 2048;
    let tags = b"CHMOVXYZUWNTFIRSAB\x51\x60\x61\x70\x71\x72\x78\x79\x7a\x90\x91\x92\x93\x01\x02";
    let body: Vec<u8> = (0..len)
        .map(|_| {
            let draw = next();
            let byte = (draw >> 16) as u8;
            if draw.is_multiple_of(4) { byte } else { tags[usize::from(byte) % tags.len()] }
        })
        .collect();
    match seed % 4 {
        0 => body,
        1 => raw(&body),
        _ => bomb("noise", &body),
    }
}

/// Sends bytes, then says that no more will come, and reads until the other side closes too.
fn throw(port: u16, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut client = Connection::connect(port)?;
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
