//! Connections to endpoints: dialing, and their ends.

mod common;

use std::{
    io::{Read, Write},
    net::TcpListener,
};

use common::{ANY, Core, Note, Script, bench, expect, round};
use heptad_engine::{ConnId, LinkId, Lost, SessionId};

/// Dials the address that the first read says, tells the client how it went, and passes bytes on.
#[derive(Default)]
struct Bridge {
    client: Option<ConnId>,
    link: Option<ConnId>,
}

impl Script for Bridge {
    fn read(&mut self, core: &mut Core, id: SessionId, bytes: &[u8]) {
        self.client = Some(ConnId::Session(id));
        match self.link {
            Some(link) if bytes == b"close" => {
                self.link = None;
                core.close(link);
                core.send(ConnId::Session(id), b"c");
            }
            Some(link) => core.send(link, bytes),
            None => {
                let link = core.dial(std::str::from_utf8(bytes).unwrap());
                // Said before it is up, and written when it is.
                core.send(link, b"first ");
                self.link = Some(link);
            }
        }
    }
    fn up(&mut self, core: &mut Core, _: LinkId) {
        core.send(self.client.unwrap(), b"u");
    }
    fn link_read(&mut self, core: &mut Core, _: LinkId, bytes: &[u8]) {
        core.send(self.client.unwrap(), bytes);
    }
    fn link_lost(&mut self, core: &mut Core, _: LinkId, why: Lost) {
        self.link = None;
        let what = if why == Lost::Refused { b"r" } else { b"l" };
        core.send(self.client.unwrap(), what);
    }
}

#[test]
fn a_link_carries_bytes_both_ways_until_the_endpoint_ends_it() {
    let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = endpoint.local_addr().unwrap().port();
    let b = bench(1, ANY, Bridge::default);
    let mut client = b.tcp();
    // Once by address and once by name.
    for host in ["127.0.0.1", "localhost"] {
        client.write_all(format!("{host}:{port}").as_bytes()).unwrap();
        let mut upstream = endpoint.accept().unwrap().0;
        expect(&mut upstream, b"first ");
        expect(&mut client, b"u");
        client.write_all(b"question").unwrap();
        expect(&mut upstream, b"question");
        upstream.write_all(b"answer").unwrap();
        expect(&mut client, b"answer");
        drop(upstream);
        expect(&mut client, b"l");
        b.hear_that(&Note::LinkLost(Lost::Closed));
    }
}

#[test]
fn a_link_that_the_machine_closes_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("endpoint");
    let endpoint = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let b = bench(1, ANY, Bridge::default);
    let mut client = b.tcp();
    client.write_all(format!("unix:{}", path.display()).as_bytes()).unwrap();
    let mut upstream = endpoint.accept().unwrap().0;
    expect(&mut upstream, b"first ");
    expect(&mut client, b"u");
    round_close(&mut client);
    let mut rest = Vec::new();
    upstream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}

fn round_close(client: &mut (impl Read + Write)) {
    client.write_all(b"close").unwrap();
    expect(client, b"c");
}

#[test]
fn what_cannot_be_dialed_is_refused() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let b = bench(1, ANY, Bridge::default);
    let mut client = b.tcp();
    let refused = [&nobody.to_string(), "unix:/nowhere/at/all", "no-port", "127.0.0.1:99999"];
    for address in refused {
        client.write_all(address.as_bytes()).unwrap();
        expect(&mut client, b"r");
        b.hear_that(&Note::LinkLost(Lost::Refused));
    }
}

#[test]
fn a_dial_that_is_given_up_is_not_heard_of_again() {
    /// Dials and closes in one turn.
    struct Fickle(String);
    impl Script for Fickle {
        fn read(&mut self, core: &mut Core, id: SessionId, bytes: &[u8]) {
            let link = core.dial(&self.0);
            core.close(link);
            core.send(ConnId::Session(id), bytes);
        }
    }
    let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = endpoint.local_addr().unwrap().to_string();
    let b = bench(1, ANY, move || Fickle(address.clone()));
    let mut client = b.tcp();
    for _ in 0..20 {
        round(&mut client, b"again");
    }
    let heard: Vec<_> = b.notes.try_iter().collect();
    assert!(!heard.iter().any(|n| matches!(n, Note::Up | Note::LinkLost(_))), "{heard:?}");
}
