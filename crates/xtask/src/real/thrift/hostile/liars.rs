//! Servers that answer with what is no reply: the caller gets an exception, its connection and those
//! of others go on.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

use super::good;
use crate::{
    real::thrift::{
        stage::{Generated, Server, proxy},
        wire::{Around, Client, Said, call, framed},
    },
    tally::Tally,
};

/// A name and what the server says to the first call; then it closes the connection.
type Lie = (&'static str, fn() -> Vec<u8>);

const LIES: &[Lie] = &[
    ("nothing", Vec::new),
    ("half a length", || vec![0, 0]),
    ("half a reply", || framed(&reply(2))[..12].to_vec()),
    ("garbage", || b"+OK this is not Thrift\r\n".repeat(100)),
    ("a frame of 2 GiB", || [&[0x7f, 0xff, 0xff, 0xff][..], &reply(2)].concat()),
    ("an empty frame", || vec![0; 4]),
    ("a call", || call(Around::Frame, "die", 1, &[])),
    ("an unknown kind of message", || framed(&reply(9))),
    ("a message without a frame", || reply(2)),
];

/// A message with the method's name and an empty result.
fn reply(kind: u8) -> Vec<u8> {
    [&[0x80, 1, 0, kind, 0, 0, 0, 3][..], b"die", &[0, 0, 0, 1, 0]].concat()
}

pub(super) fn run(generated: &Generated, tally: &mut Tally) -> Result<(), String> {
    let text = |e: std::io::Error| e.to_string();
    let live = Server::start(generated, &["framed-binary"])?;
    for (name, lie) in LIES {
        let liar = TcpListener::bind("127.0.0.1:0").map_err(text)?;
        let port = liar.local_addr().map_err(text)?.port();
        let bytes = lie();
        // Ends with the process at the latest.
        thread::spawn(move || {
            for stream in liar.incoming() {
                let Ok(mut stream) = stream else {
                    return;
                };
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(&bytes);
            }
        });
        let endpoints = [live.port("framed-binary")?, port];
        let proxy = proxy("errors.yaml", &[("@SPEAKS@", "")], &endpoints)?;
        let mut client = Client::connect(proxy.port, Around::Frame).map_err(text)?;
        for id in 1..=3 {
            let got = client.call("die", id, &[]);
            let told = matches!(&got, Ok(r) if r.id == id && matches!(r.said, Said::Failed(_)));
            tally.check(told, || format!("a server that says {name}: {got:?}\n{}", proxy.log()));
            let after = good(&mut client, id + 100);
            tally.check(after.is_ok(), || format!("after {name}: {after:?}"));
        }
    }
    tally.note(format!("{} lies", LIES.len()));
    Ok(())
}
