//! Servers that answer with what is no reply: the caller gets an exception, its connection and those
//! of others go on.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

use super::good;
use crate::{
    real::dubbo::{
        stage::{Library, Server, proxy},
        wire::{CALL, Call, Connection, HEARTBEAT, HESSIAN2, OK, frame, reply},
    },
    tally::Tally,
};

/// A name and what the server says to the first call; then it closes the connection.
type Lie = (&'static str, fn() -> Vec<u8>);

const LIES: &[Lie] = &[
    ("nothing", Vec::new),
    ("half a head", || vec![0xda, 0xbb, 2, 20, 0]),
    ("half a reply", || {
        let bytes = reply(1, "text");
        bytes[..bytes.len() - 1].to_vec()
    }),
    ("garbage", || b"+OK this is not Dubbo\r\n".repeat(100)),
    ("a frame of 2 GiB", || {
        [&frame(HESSIAN2, OK, 1, b"")[..12], &[0x7f, 0xff, 0xff, 0xff], &[0x91; 10_000]].concat()
    }),
    ("a reply to somebody else", || reply(u64::MAX, "text")),
    ("a call", || Call::new("die", &[]).frame(1)),
    ("a thousand calls", || Call::new("die", &[]).frame(1).repeat(1000)),
    ("a thousand heartbeats", || frame(HEARTBEAT, 0, 5, b"N").repeat(1000)),
    ("an event that is a bomb", || frame(CALL | 0x20, 0, 5, &b"\x79".repeat(100_000))),
    ("good-bye and nothing else", || frame(0xa2, 0, 0, b"\x01R")),
];

pub(super) fn run(tally: &mut Tally) -> Result<(), String> {
    let text = |e: std::io::Error| e.to_string();
    let live = Server::start(Library::Sofa, "live")?;
    for (name, lie) in LIES {
        let liar = TcpListener::bind("127.0.0.1:0").map_err(text)?;
        let port = liar.local_addr().map_err(text)?.port();
        let bytes = lie();
        // Ends with the process at the latest.
        thread::spawn(move || {
            for mut stream in liar.incoming().flatten() {
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(&bytes);
            }
        });
        let proxy = proxy("errors.yaml", &[live.port, port])?;
        let mut client = Connection::connect(proxy.port).map_err(text)?;
        for id in 1..=3 {
            let got = client.call(id, &Call::new("die", &[]));
            let told = matches!(&got, Ok(r) if r.id == id && r.said().starts_with('!'));
            tally.check(told, || format!("a server that says {name}: {got:?}\n{}", proxy.log()));
            let after = good(&mut client, id + 100);
            tally.check(after.is_ok(), || format!("after {name}: {after:?}"));
        }
    }
    tally.note(format!("{} lies", LIES.len()));
    Ok(())
}
