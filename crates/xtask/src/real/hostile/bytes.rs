//! Bytes that announce too much, nest too deep, stop half-way, or mean nothing.

use std::{
    io::{self, ErrorKind, Write as _},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use super::{counters, resident_kib, rig, serves};
use crate::{
    rig::{Metrics, Middle, Proxy, Rig, resp::Client},
    tally::Tally,
};

/// Connections that each announce [`ANNOUNCED`] bytes.
const CONNECTIONS: usize = 1000;
const ANNOUNCED: usize = 1 << 30;

/// What they may cost together.
const GROWTH_KIB: u64 = 64 << 10;

pub(super) fn announcements(middle: Middle) -> Result<Tally, String> {
    let head = format!("*3\r\n$3\r\nSET\r\n$4\r\nhuge\r\n${ANNOUNCED}\r\n");
    let rig = rig(middle)?;
    let mut tally = announce("RESP", &rig, rig.port, head.as_bytes())?;
    if let Some(server) = rig.servers.first()
        && middle == Middle::Heptad
    {
        let proxy = Proxy::start("both-codecs.yaml", &[server.port])?;
        let port = proxy.second;
        let rig = Rig { servers: Vec::new(), port: proxy.port, proxy: Some(proxy) };
        tally.add(announce("AwesomeRPC", &rig, port, &awesome_head())?);
    }
    Ok(tally)
}

/// A request of AwesomeRPC to `rev`/`get` whose body is to follow.
fn awesome_head() -> Vec<u8> {
    let mut head = vec![0xA1, 1, 0, 8];
    head.extend((ANNOUNCED as u32).to_be_bytes());
    head.extend(7_u32.to_be_bytes());
    head.extend(b"\x03rev\x03get");
    head
}

/// Opens the connections to `port`, each with this head and a little of the body.
fn announce(name: &str, rig: &Rig, port: u16, head: &[u8]) -> Result<Tally, String> {
    let mut tally = Tally::default();
    serves(rig)?;
    let before = resident_kib(rig)?;
    let counted = counters(rig)?;
    let mut open = Vec::new();
    for i in 0..CONNECTIONS {
        let mut stream =
            TcpStream::connect(("127.0.0.1", port)).map_err(|e| format!("{i}: {e}"))?;
        // It may be closed while we still write.
        let _ = stream.write_all(head);
        let _ = stream.write_all(&[b'x'; 8 << 10]);
        open.push(stream);
    }
    serves(rig)?;
    let peak = resident_kib(rig)?;
    tally.check(peak.saturating_sub(before) < GROWTH_KIB, || {
        format!("{CONNECTIONS} announcements: resident {before} KiB, then {peak} KiB")
    });
    if let Some(before) = counted {
        // Each worker accepts when it comes to it.
        let all = CONNECTIONS as f64;
        let seen = grown(rig, &before, "heptad_sessions_opened_total", all)?;
        tally.check(seen.is_ok(), || format!("not {all} sessions counted: {seen:?}"));
    }
    drop(open);
    let alive = serves(rig);
    tally.check(alive.is_ok(), || format!("after {name} announcements: {alive:?}"));
    tally.note(format!(
        "{CONNECTIONS} {name} announcements of 1 GiB: {} KiB more",
        peak.saturating_sub(before)
    ));
    Ok(tally)
}

/// A name, the bytes, and whether an error answer must come before the close.
type Bomb = (&'static str, fn() -> Vec<u8>, bool);

const BOMBS: &[Bomb] = &[
    ("nested arrays", || b"*1\r\n".repeat(100_000), true),
    ("nested RESP3 maps", || [&b"*1\r\n"[..], &b"%1\r\n".repeat(10_000)].concat(), true),
    ("ten milliard arguments", || b"*9999999999\r\n$1\r\na\r\n".to_vec(), true),
    ("length past 64 bits", || b"*1\r\n$99999999999999999999\r\n".to_vec(), true),
    ("negative bulk", || b"*2\r\n$3\r\nGET\r\n$-5\r\n".to_vec(), true),
    ("not a number", || b"*1\r\n$x\r\nPING\r\n".to_vec(), true),
    ("wrong type byte", || b"*1\r\n:4\r\nPING\r\n".to_vec(), true),
    ("endless inline", || b"a".repeat(1 << 20), true),
    ("unbalanced quotes", || b"SET a \"b\r\n".to_vec(), true),
    ("half a head", || b"*2\r\n$3\r\nGE".to_vec(), false),
    ("half a body", || b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100\r\nhalf".to_vec(), false),
];

pub(super) fn bombs(middle: Middle) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let rig = rig(middle)?;
    for (name, bytes, must_answer) in BOMBS {
        let before = counters(&rig)?;
        let ended = throw(rig.port, &bytes());
        tally.check(
            matches!(&ended, Ok(said) if said.starts_with(b"-") || !must_answer && said.is_empty()),
            || format!("{name}: {:?}", ended.map(|b| String::from_utf8_lossy(&b).into_owned())),
        );
        if let Some(before) = before {
            let counted = grown(&rig, &before, "heptad_session_ends_total", 1.0)?;
            tally.check(counted.is_ok(), || format!("{name}: not counted; changed:\n{counted:?}"));
        }
        let alive = serves(&rig);
        tally.check(alive.is_ok(), || format!("{name}: {alive:?}"));
    }
    tally.note(format!("{} bombs", BOMBS.len()));
    Ok(tally)
}

pub(super) fn random(middle: Middle) -> Result<Tally, String> {
    const ROUNDS: u64 = 200;
    let mut slowest = (Duration::ZERO, 0);
    let mut tally = Tally::default();
    let rig = rig(middle)?;
    for seed in 1..=ROUNDS {
        let start = Instant::now();
        let ended = throw(rig.port, &noise(seed));
        slowest = slowest.max((start.elapsed(), seed));
        tally.check(ended.is_ok(), || format!("random bytes, seed {seed}: {ended:?}"));
    }
    let alive = serves(&rig);
    tally.check(alive.is_ok(), || format!("after random bytes: {alive:?}"));
    let (time, seed) = slowest;
    tally.note(format!("{ROUNDS} times random bytes, slowest {time:.1?} with seed {seed}"));
    Ok(tally)
}

/// Bytes of a seed; every second time with what RESP is made of mixed in, to get past the first
/// check. No letters: by chance they would be commands.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let len = 1 + next() as usize % 4096;
    let grammar = b"*$:+-_%~>,#(=!\r\n0123456789";
    (0..len)
        .map(|_| {
            let draw = next();
            let byte = (draw >> 16) as u8;
            if seed.is_multiple_of(2) && !draw.is_multiple_of(8) {
                grammar[usize::from(byte) % grammar.len()]
            } else if byte.is_ascii_alphabetic() {
                b'*'
            } else {
                byte
            }
        })
        .collect()
}

/// Sends bytes, then says that no more will come, and reads until the other side closes too.
fn throw(port: u16, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut client = Client::connect(port)?;
    match client.send_raw(bytes) {
        Err(e) if !matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
            return Err(e);
        }
        _ => {}
    }
    // An error when the other side has closed already.
    let _ = client.socket().shutdown(Shutdown::Write);
    client.read_to_close()
}

fn delta(before: &Metrics, after: &Metrics, name: &str, labels: &[&str]) -> f64 {
    after.sum(name, labels) - before.sum(name, labels)
}

/// Waits until a counter has grown by so much; what changed if it has not.
fn grown(rig: &Rig, before: &Metrics, name: &str, by: f64) -> Result<Result<(), String>, String> {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let Some(after) = counters(rig)? else {
            return Ok(Ok(()));
        };
        if delta(before, &after, name, &[]) >= by {
            return Ok(Ok(()));
        }
        if Instant::now() > end {
            return Ok(Err(after.changed(before)));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
