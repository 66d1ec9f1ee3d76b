//! Start, balance, plans, questions, timers, panics and stop.

mod common;

use std::{
    io::Write,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use common::{
    ANY, Core, Echo, LONG, Note, Script, bench, bench_with, expect, expect_end, expect_gone,
    factory, mint::plan, round,
};
use heptad_engine::{ConnId, SessionId};
use heptad_net::{Driver, DriverConfig, Listen, ListenerConfig, Performer, StartError};

#[test]
fn a_start_that_cannot_be_says_which_listener_and_why() {
    let b = bench(2, ANY, || Echo);
    let (_, bound) = b.driver.listeners().next().unwrap();
    let fail = |listen: &str| {
        let (factory, _notes) = factory(|| Echo);
        let listener = ListenerConfig::new("second", listen, factory);
        Driver::start(DriverConfig::new(1, vec![listener])).unwrap_err()
    };
    let taken = fail(&bound.to_string());
    assert!(matches!(taken, StartError::Bind { .. }));
    let text = taken.to_string();
    assert!(text.contains("second") && text.contains(&bound.to_string()), "{text}");
    assert!(matches!(fail("localhost"), StartError::Listen { .. }));
    assert!(fail("localhost").to_string().contains("`localhost`"));

    let broken: heptad_net::Factory = Arc::new(|_, _| panic!("no machine"));
    let listener = ListenerConfig::new("third", ANY, broken);
    let error = Driver::start(DriverConfig::new(2, vec![listener])).unwrap_err();
    assert!(error.to_string().contains("no machine"), "{error}");
}

#[test]
fn clients_that_all_come_to_one_worker_are_spread() {
    let dir = tempfile::tempdir().unwrap();
    // The first worker accepts all connections of a Unix listener.
    let b = bench(2, &format!("unix:{}", dir.path().join("s").display()), || Echo);
    let mut clients: Vec<_> = (0..8).map(|_| b.unix()).collect();
    for client in &mut clients {
        round(client, b"hello");
    }
    assert_eq!(b.driver.sessions_by_worker("test"), [4, 4]);
    assert_eq!(b.io().accepted, 8);
    assert_eq!(b.io().handed_over, 4);
    drop(clients);
    b.until(|| b.driver.sessions_by_worker("test") == [0, 0]);

    let b = bench(2, ANY, || Echo);
    let mut clients: Vec<_> = (0..8)
        .map(|_| {
            let mut client = b.tcp();
            round(&mut client, b"hello");
            client
        })
        .collect();
    assert_eq!(b.driver.sessions_by_worker("test"), [4, 4]);
    clients.iter_mut().for_each(|client| round(client, b"hello"));
}

#[test]
fn a_plan_comes_to_every_machine_of_its_listener() {
    let b = bench(2, ANY, || Echo);
    assert!(b.driver.swap("test", &plan()));
    assert!(!b.driver.swap("nobody", &plan()));
    b.hear_that(&Note::Swapped);
    b.hear_that(&Note::Swapped);
    let rows = b.collect();
    assert_eq!(
        rows.iter().map(|r| (&*r.listener, r.worker)).collect::<Vec<_>>(),
        [("test", 0), ("test", 1)]
    );
}

/// Asks the service that a read names and answers with its answer.
struct Asker(Option<SessionId>);

impl Script for Asker {
    fn read(&mut self, core: &mut Core, id: SessionId, bytes: &[u8]) {
        self.0 = Some(id);
        let service = match bytes {
            b"reverse" => "reverse",
            b"broken" => "broken",
            _ => "unknown",
        };
        core.ask(7, service, bytes);
    }
    fn resumed(&mut self, core: &mut Core, ticket: u64, answer: &[u8]) {
        assert_eq!(ticket, 7);
        core.send(ConnId::Session(self.0.unwrap()), &[b"<", answer, b">"].concat());
    }
}

#[test]
fn questions_are_answered_and_with_nothing_if_nobody_can() {
    let reverse: Performer = Arc::new(|data| {
        Box::pin(async move {
            tokio::task::yield_now().await;
            data.into_iter().rev().collect()
        })
    });
    let broken: Performer = Arc::new(|_| Box::pin(async { panic!("a performer's defect") }));
    let b = bench_with(
        1,
        ANY,
        || Asker(None),
        |config| config.performer("reverse", reverse).performer("broken", broken),
    );
    let mut client = b.tcp();
    client.write_all(b"reverse").unwrap();
    expect(&mut client, b"<esrever>");
    client.write_all(b"broken").unwrap();
    expect(&mut client, b"<>");
    client.write_all(b"whoever").unwrap();
    expect(&mut client, b"<>");
    assert_eq!(b.io().restarts, 0);
}

/// Answers a number of milliseconds after it read; 255 is an hour.
struct Alarm(Vec<SessionId>);

impl Script for Alarm {
    fn read(&mut self, core: &mut Core, id: SessionId, bytes: &[u8]) {
        self.0.push(id);
        let wait = match bytes[0] {
            255 => Duration::from_secs(3600),
            ms => Duration::from_millis(ms.into()),
        };
        core.timer = Some(core.now + wait);
    }
    fn due(&mut self, core: &mut Core) {
        for id in self.0.drain(..) {
            core.send(ConnId::Session(id), b"due");
        }
    }
}

#[test]
fn a_deadline_is_looked_at_when_it_has_passed() {
    let b = bench(1, ANY, || Alarm(Vec::new()));
    let mut client = b.tcp();
    for ms in [30, 0, 200, 10] {
        client.write_all(&[ms]).unwrap();
        expect(&mut client, b"due");
    }
    // An early deadline after a late one.
    client.write_all(&[255]).unwrap();
    b.hear(|n| matches!(n, Note::Read(_, bytes) if bytes == [255]).then_some(()));
    client.write_all(&[1]).unwrap();
    expect(&mut client, b"duedue");
}

/// Panics when it reads `!`.
struct Fragile;

impl Script for Fragile {
    fn read(&mut self, core: &mut Core, id: SessionId, bytes: &[u8]) {
        assert_ne!(bytes, b"!", "a defect of the machine");
        core.send(ConnId::Session(id), bytes);
    }
}

#[test]
fn a_panic_costs_the_connections_of_one_listener_and_no_more() {
    let (fragile, notes) = factory(|| Fragile);
    let (echo, _more) = factory(|| Echo);
    let listeners =
        vec![ListenerConfig::new("fragile", ANY, fragile), ListenerConfig::new("echo", ANY, echo)];
    let driver = Driver::start(DriverConfig::new(1, listeners)).unwrap();
    let connect = |name: &str| {
        let Some((_, Listen::Tcp(addr))) = driver.listeners().find(|l| **l.0 == *name) else {
            panic!()
        };
        let s = TcpStream::connect(addr).unwrap();
        s.set_read_timeout(Some(LONG)).unwrap();
        s
    };
    let (mut bystander, mut victim) = (connect("echo"), connect("fragile"));
    let mut culprit = connect("fragile");
    round(&mut bystander, b"hello");
    round(&mut victim, b"hello");
    assert!(driver.swap("fragile", &plan()));
    // Commands are obeyed in turn: the plan is in place once this is answered.
    assert_eq!(driver.collect_blocking(LONG).unwrap().len(), 2);
    culprit.write_all(b"!").unwrap();
    expect_gone(&mut culprit);
    expect_gone(&mut victim);
    round(&mut bystander, b"still here");
    round(&mut connect("fragile"), b"as new");
    let rows = driver.collect_blocking(LONG).unwrap();
    assert_eq!(rows.iter().map(|r| r.io.restarts).collect::<Vec<_>>(), [1, 0]);
    assert!(driver.up());
    // The new machine has the newest plan.
    assert_eq!(notes.try_iter().filter(|n| *n == Note::Swapped).count(), 2);
}

#[test]
fn a_worker_that_cannot_go_on_starts_afresh() {
    let (fragile, _notes) = factory(|| Fragile);
    let made = AtomicUsize::new(0);
    // The second machine cannot be made: that is more than a seat can mend.
    let factory: heptad_net::Factory = Arc::new(move |worker, seed| {
        assert_ne!(made.fetch_add(1, Ordering::Relaxed), 1, "a defect of the factory");
        fragile(worker, seed)
    });
    let listener = ListenerConfig::new("test", ANY, factory);
    let driver = Driver::start(DriverConfig::new(1, vec![listener])).unwrap();
    let Some((_, Listen::Tcp(addr))) = driver.listeners().next() else { panic!() };
    let mut culprit = TcpStream::connect(addr).unwrap();
    culprit.set_read_timeout(Some(LONG)).unwrap();
    culprit.write_all(b"!").unwrap();
    expect_gone(&mut culprit);
    // The socket listens all the time.
    let mut client = TcpStream::connect(addr).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    round(&mut client, b"as new");
    assert!(driver.up());
    assert_eq!(driver.sessions(), 1, "those that were lost are not counted");
}

#[test]
fn every_machine_gets_a_seed_of_its_own_and_the_same_in_every_run() {
    let seeds = |seed| {
        let (echo, _notes) = factory(|| Echo);
        let (tell, told) = mpsc::channel();
        let spy: heptad_net::Factory = Arc::new(move |worker, seed| {
            tell.send((worker, seed)).unwrap();
            echo(worker, seed)
        });
        let listeners = ["a", "b"].map(|name| ListenerConfig::new(name, ANY, spy.clone()));
        drop(Driver::start(DriverConfig::new(2, listeners.into()).seed(seed)).unwrap());
        drop(spy);
        let mut seeds: Vec<_> = told.iter().collect();
        seeds.sort_unstable();
        seeds
    };
    let first = seeds(1);
    assert_eq!(first.len(), 4);
    assert_eq!(first, seeds(1));
    let mut all: Vec<_> = first.into_iter().chain(seeds(2)).map(|(_, seed)| seed).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 8);
}

/// Ends idle sessions with a word, and keeps those that said `busy` until they say `done`.
#[derive(Default)]
struct Polite {
    busy: Option<SessionId>,
    draining: bool,
}

impl Script for Polite {
    fn read(&mut self, core: &mut Core, id: SessionId, bytes: &[u8]) {
        if bytes == b"busy" {
            self.busy = Some(id);
        }
        core.send(ConnId::Session(id), bytes);
        if bytes == b"done" && self.draining {
            core.close(ConnId::Session(id));
        }
    }
    fn drain(&mut self, core: &mut Core) {
        self.draining = true;
        for id in core.sessions() {
            if Some(id) != self.busy.map(ConnId::Session) {
                core.send(id, b"bye");
                core.close(id);
            }
        }
    }
}

#[test]
fn a_graceful_stop_waits_for_those_who_are_busy() {
    let b = bench(2, ANY, Polite::default);
    let (mut idle, mut busy) = (b.tcp(), b.tcp());
    round(&mut idle, b"hello");
    round(&mut busy, b"busy");
    std::thread::scope(|s| {
        let stop = s.spawn(|| b.driver.stop_blocking(LONG, |_| ()).unwrap());
        expect_end(&mut idle, b"bye");
        b.hear_that(&Note::Drained);
        b.hear_that(&Note::Drained);
        round(&mut busy, b"still served");
        // Nobody listens any more.
        let Some((_, Listen::Tcp(addr))) = b.driver.listeners().next() else { panic!() };
        b.until(|| TcpStream::connect(addr).is_err());
        assert!(!stop.is_finished());
        busy.write_all(b"done").unwrap();
        expect_end(&mut busy, b"done");
        drop((busy, idle));
        assert_eq!(stop.join().unwrap().cut_off, 0);
    });
    assert!(!b.driver.up());
}

#[test]
fn a_stop_ends_at_its_deadline_or_when_it_is_told_to() {
    struct Deaf;
    impl Script for Deaf {
        fn read(&mut self, core: &mut Core, id: SessionId, bytes: &[u8]) {
            core.send(ConnId::Session(id), bytes);
        }
        fn drain(&mut self, _: &mut Core) {}
    }
    let start = || {
        let b = bench(2, ANY, || Deaf);
        let mut clients: Vec<_> = (0..3).map(|_| b.tcp()).collect();
        clients.iter_mut().for_each(|c| round(c, b"hello"));
        (b, clients)
    };

    let (b, mut clients) = start();
    let mut left = Vec::new();
    let stopped = b.driver.stop_blocking(Duration::from_millis(1500), |n| left.push(n)).unwrap();
    assert_eq!(stopped.cut_off, 3);
    assert_eq!(left, [3]);
    for client in &mut clients {
        expect_gone(client);
    }

    let (b, mut clients) = start();
    std::thread::scope(|s| {
        let stop = s.spawn(|| b.driver.stop_blocking(100 * LONG, |_| ()).unwrap());
        b.hear_that(&Note::Drained);
        b.driver.halt();
        assert_eq!(stop.join().unwrap().cut_off, 3);
    });
    for client in &mut clients {
        expect_gone(client);
    }
}
