//! Clients' connections over real sockets: bytes, ends and limits.

mod common;

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use common::{ANY, Bench, Core, Echo, LONG, Note, Script, bench, expect, expect_end, round};
use heptad_engine::{ConnId, SessionId};

#[test]
fn bytes_come_back_however_they_are_cut() {
    let b = bench(1, ANY, || Echo);
    let mut client = b.tcp();
    for one in b"one byte at a time" {
        round(&mut client, &[*one]);
    }
    let much: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let mut reader = client.try_clone().unwrap();
    let sent = much.clone();
    let writer = thread::spawn(move || {
        for chunk in sent.chunks(77_777) {
            client.write_all(chunk).unwrap();
        }
    });
    expect(&mut reader, &much);
    writer.join().unwrap();
}

#[test]
fn a_unix_socket_is_served_as_tcp_is_and_its_file_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let b = bench(2, &format!("unix:{}", path.display()), || Echo);
    round(&mut b.unix(), b"hello");
    assert!(path.exists());
    b.driver.stop_blocking(LONG, |_| ()).unwrap();
    assert!(!path.exists());
}

#[test]
fn the_machine_learns_who_the_client_is() {
    let b = bench(1, ANY, || Echo);
    let client = b.tcp();
    let peer = b.hear(|n| if let Note::Opened(_, peer) = n { Some(peer) } else { None });
    assert_eq!(peer.ip, Some(Ipv4Addr::LOCALHOST.into()));
    assert_eq!(peer.port, client.local_addr().unwrap().port());
}

#[test]
fn a_client_too_many_is_closed_and_there_is_room_once_another_left() {
    struct One;
    impl Script for One {
        fn full(&self, core: &Core) -> bool {
            !core.sessions().is_empty()
        }
        fn opened(&mut self, core: &mut Core, id: SessionId) {
            core.send(ConnId::Session(id), b"welcome");
        }
    }
    let b = bench(1, ANY, || One);
    let mut first = b.tcp();
    expect(&mut first, b"welcome");
    expect_end(&mut b.tcp(), b"");
    assert_eq!(b.driver.sessions(), 1);
    drop(first);
    b.until(|| b.driver.sessions() == 0);
    expect(&mut b.tcp(), b"welcome");
}

#[test]
fn a_client_that_is_done_sending_still_reads() {
    struct Bye;
    impl Script for Bye {
        fn read(&mut self, core: &mut Core, id: SessionId, bytes: &[u8]) {
            core.send(ConnId::Session(id), bytes);
        }
        fn eof(&mut self, core: &mut Core, id: SessionId) {
            core.send(ConnId::Session(id), b" and bye");
            core.close(ConnId::Session(id));
        }
    }
    let b = bench(1, ANY, || Bye);
    let mut client = b.tcp();
    client.write_all(b"hello").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    expect_end(&mut client, b"hello and bye");
    b.hear_that(&Note::Eof);
    b.until(|| b.driver.sessions() == 0);
}

/// Stops in the middle of reading until the test lets it go on.
struct Gate<S> {
    gate: Arc<Mutex<mpsc::Receiver<()>>>,
    then: S,
}

impl<S: Script> Script for Gate<S> {
    fn read(&mut self, core: &mut Core, id: SessionId, bytes: &[u8]) {
        if bytes == b"G" {
            self.gate.lock().unwrap().recv_timeout(LONG).unwrap();
        }
        self.then.read(core, id, bytes);
    }
    fn link_read(&mut self, core: &mut Core, id: heptad_engine::LinkId, bytes: &[u8]) {
        self.then.link_read(core, id, bytes);
    }
}

fn gated<S: Script + 'static>(listen: &str, then: fn() -> S) -> (Bench, mpsc::Sender<()>) {
    let (open, gate) = mpsc::channel();
    let gate = Arc::new(Mutex::new(gate));
    (bench(1, listen, move || Gate { gate: gate.clone(), then: then() }), open)
}

fn is_gate(note: Note) -> Option<()> {
    matches!(note, Note::Read(_, bytes) if bytes == b"G").then_some(())
}

#[test]
fn the_last_answer_survives_what_the_client_was_still_sending() {
    struct Last;
    impl Script for Last {
        fn read(&mut self, core: &mut Core, id: SessionId, _: &[u8]) {
            core.send(ConnId::Session(id), b"last");
            core.close(ConnId::Session(id));
        }
    }
    let (b, open) = gated(ANY, || Last);
    let mut client = b.tcp();
    client.write_all(b"G").unwrap();
    b.hear(is_gate);
    // This is in the socket, unread, when the machine closes the session.
    client.write_all(&[b'x'; 20_000]).unwrap();
    open.send(()).unwrap();
    expect_end(&mut client, b"last");
}

/// Sends what it reads to an endpoint, and each byte of a reply to the session with that number.
struct Relay {
    link: Option<ConnId>,
    address: String,
}

impl Script for Relay {
    fn read(&mut self, core: &mut Core, _: SessionId, bytes: &[u8]) {
        let address = &self.address;
        let link = *self.link.get_or_insert_with(|| core.dial(address));
        core.send(link, bytes);
    }
    fn link_read(&mut self, core: &mut Core, _: heptad_engine::LinkId, bytes: &[u8]) {
        for b in bytes {
            let to = core.order[usize::from(b - b'0')];
            core.send(ConnId::Session(to), &[*b]);
        }
    }
}

#[test]
fn what_many_clients_sent_together_is_one_write_and_so_is_each_answer() {
    let dir = tempfile::tempdir().unwrap();
    // Unix sockets: what was sent to one can be read at once, so that nothing depends on time.
    let endpoint = dir.path().join("endpoint");
    let listener = std::os::unix::net::UnixListener::bind(&endpoint).unwrap();
    let address = format!("unix:{}", endpoint.display());
    let (open, gate) = mpsc::channel();
    let gate = Arc::new(Mutex::new(gate));
    let listen = format!("unix:{}", dir.path().join("s").display());
    let b = bench(1, &listen, move || Gate {
        gate: gate.clone(),
        then: Relay { link: None, address: address.clone() },
    });

    let mut clients: Vec<_> = (0..8)
        .map(|_| {
            let client = b.unix();
            b.hear(|n| matches!(n, Note::Opened(..)).then_some(()));
            client
        })
        .collect();
    clients[0].write_all(b"0").unwrap();
    let mut upstream = listener.accept().unwrap().0;
    expect(&mut upstream, b"0");
    b.hear(|n| matches!(n, Note::Written(ConnId::Link(_), 1)).then_some(()));
    assert_eq!(b.io().writes, 1);

    // While the worker is held up, all clients send.
    let mut loud = b.unix();
    loud.write_all(b"G").unwrap();
    b.hear(is_gate);
    for (i, client) in clients.iter_mut().enumerate() {
        for _ in 0..5 {
            write!(client, "{i}").unwrap();
        }
    }
    open.send(()).unwrap();
    // `G` went out at the end of the turn that was held up, and the rest in the next; or all of it
    // together, if the sockets were looked at once more before.
    expect(&mut upstream, b"G");
    let mut all = [0; 40];
    upstream.read_exact(&mut all).unwrap();
    let last = |n| match n {
        Note::Written(ConnId::Link(_), n) => (n >= 40).then_some(n),
        _ => None,
    };
    let together = b.hear(last) == 41;
    let writes = if together { 2 } else { 3 };
    assert_eq!(b.io().writes, writes);

    upstream.write_all(&all).unwrap();
    for (i, client) in clients.iter_mut().enumerate() {
        expect(client, i.to_string().repeat(5).as_bytes());
    }
    assert_eq!(b.io().writes, writes + 8);
}

/// Sends a lot to whoever says `F`, and echoes otherwise.
struct Flood;

const FLOOD: usize = 16 << 20;

impl Script for Flood {
    fn read(&mut self, core: &mut Core, id: SessionId, bytes: &[u8]) {
        if bytes != b"F" {
            return core.send(ConnId::Session(id), bytes);
        }
        core.push(ConnId::Session(id), |chain| {
            // Many small and large pieces in turns: more than one call takes.
            for i in 0..FLOOD / 8192 {
                chain.extend(&[i as u8; 4096]);
                chain.push(vec![i as u8; 4096].into());
            }
        });
    }
}

#[test]
fn a_slow_reader_is_waited_for_without_trying_and_holds_up_nobody() {
    let b = bench(1, ANY, || Flood);
    let mut slow = b.tcp();
    slow.write_all(b"F").unwrap();
    b.until(|| b.io().blocked > 0);
    // The kernel may still move bytes into the client's buffer.
    let mut last = b.io();
    b.until(|| {
        thread::sleep(Duration::from_millis(50));
        b.io() == last || {
            last = b.io();
            false
        }
    });
    let mut quick = b.tcp();
    for _ in 0..50 {
        round(&mut quick, b"still served");
    }
    assert_eq!(b.io().writes, last.writes + 50);
    assert_eq!(b.io().blocked, last.blocked);

    let mut got = vec![0; FLOOD];
    slow.read_exact(&mut got).unwrap();
    for (i, part) in got.chunks(8192).enumerate() {
        assert!(part.iter().all(|b| *b == i as u8), "part {i}");
    }
    round(&mut slow, b"and in order again");
}

/// Does not read whoever says `P` until another says `R`.
struct Pause;

impl Script for Pause {
    fn read(&mut self, core: &mut Core, id: SessionId, bytes: &[u8]) {
        match bytes {
            b"P" => {
                core.paused.insert(id);
            }
            b"R" => {
                if let Some(paused) = core.paused.first().copied() {
                    core.resume(paused);
                }
            }
            _ => {}
        }
        core.send(ConnId::Session(id), bytes);
    }
}

#[test]
fn a_session_that_is_not_wanted_is_not_read_until_it_is() {
    let b = bench(1, ANY, || Pause);
    let (mut paused, mut other) = (b.tcp(), b.tcp());
    round(&mut paused, b"P");
    paused.write_all(b"held back").unwrap();
    round(&mut other, b"hello");
    round(&mut other, b"hello");
    round(&mut other, b"R");
    expect(&mut paused, b"held back");
    // `P` came first and what was held back came last.
    let mut order = Vec::new();
    while order.len() < 5 {
        order.push(b.hear(|n| if let Note::Read(_, bytes) = n { Some(bytes) } else { None }));
    }
    assert_eq!(order, [&b"P"[..], b"hello", b"hello", b"R", b"held back"]);
}

#[test]
fn a_client_that_breaks_off_is_noticed_while_it_is_not_read() {
    let b = bench(1, ANY, || Pause);
    let mut client = b.tcp();
    round(&mut client, b"P");
    client.write_all(b"more, which nobody reads").unwrap();
    // A reset, not an end.
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    b.hear_that(&Note::Lost);
    b.until(|| b.driver.sessions() == 0);
}

#[test]
fn a_loud_client_does_not_starve_a_quiet_one() {
    struct Sink;
    impl Script for Sink {
        fn read(&mut self, core: &mut Core, id: SessionId, bytes: &[u8]) {
            if bytes == b"quiet" {
                core.send(ConnId::Session(id), bytes);
            }
        }
    }
    let b = bench(1, ANY, || Sink);
    let mut loud = b.tcp();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let shouting = thread::spawn(move || {
        let much = vec![b'x'; 1 << 20];
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            loud.write_all(&much).unwrap();
        }
    });
    let mut quiet = b.tcp();
    for _ in 0..20 {
        round(&mut quiet, b"quiet");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    shouting.join().unwrap();
}

#[test]
fn many_clients_are_served_and_leave_nothing_behind() {
    let b = bench(2, ANY, || Echo);
    let mut clients: Vec<_> = (0..400).map(|_| b.tcp()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        round(client, format!("client {i}").as_bytes());
    }
    assert_eq!(b.driver.sessions(), 400);
    let by_worker = b.driver.sessions_by_worker("test");
    assert!(by_worker.iter().all(|n| *n > 150), "{by_worker:?}");
    drop(clients);
    b.until(|| b.driver.sessions() == 0);
}
