//! No allocation per exchange once warm, in the whole proxy and over sockets: three protocols, a
//! filter, the access log and the metrics. Every thread of the process is counted, so the clients
//! and servers here must not allocate either, and nor may the thread that writes the records.
//!
//! What is reused grows when a turn is larger than any before, and how large a turn is, is up to
//! the machine. So the exchanges are counted in rounds, and one round has to be without: what an
//! exchange allocates, it allocates in all of them.

#![allow(clippy::disallowed_methods, reason = "tests wait for threads")]

use std::{
    alloc::System,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use heptad::{Heptad, Registry};
use heptad_dubbo::wire;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Clients, of each protocol in turn.
const CLIENTS: usize = 50;
/// Exchanges of each client before any is counted, and in a round that is.
const WARM: usize = 600;
const COUNTED: usize = 200;
/// Rounds that may be needed until nothing grows any more.
const ROUNDS: usize = 20;
/// Far longer than anything here takes; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A protocol as bytes: where the id is in a request and in a reply, and both around it.
#[derive(Clone)]
struct Speech {
    request: Vec<u8>,
    reply: Vec<u8>,
    /// Where the id begins and how long it is; nothing for protocols in order.
    id: (usize, usize),
}

fn redis() -> Speech {
    let request = b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n".to_vec();
    Speech { request, reply: b"$5\r\nvalue\r\n".to_vec(), id: (0, 0) }
}

fn thrift() -> Speech {
    let message = |kind: u8, body: &[u8]| {
        let mut bytes = vec![0x80, 1, 0, kind, 0, 0, 0, 4];
        bytes.extend_from_slice(b"ping");
        bytes.extend_from_slice(&[0, 0, 0, 9]);
        bytes.extend_from_slice(body);
        let len = u32::try_from(bytes.len()).expect("small");
        [&len.to_be_bytes()[..], &bytes].concat()
    };
    let request = message(1, &[11, 0, 1, 0, 0, 0, 2, b'h', b'i', 0]);
    let reply = message(2, &[11, 0, 0, 0, 0, 0, 2, b'h', b'o', 0]);
    Speech { request, reply, id: (16, 4) }
}

fn dubbo() -> Speech {
    let types = "Ljava/lang/String;";
    let request = wire::request(9, "org.Echo", "1", "say", types, &["hi".into()], &[("a", "b")]);
    Speech { request, reply: wire::reply(9, Ok("ho".into())), id: (4, 8) }
}

/// Answers whatever has the request's length with the reply, and the request's id in it.
fn serve(speech: Speech) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let speech = speech.clone();
            thread::spawn(move || answer(stream, &speech));
        }
    });
    address
}

fn answer(mut stream: TcpStream, speech: &Speech) {
    let (at, len) = speech.id;
    let size = speech.request.len();
    let (mut input, mut output) = (vec![0; 1 << 16], Vec::with_capacity(1 << 16));
    let mut filled = 0;
    loop {
        match stream.read(&mut input[filled..]) {
            Ok(n @ 1..) => filled += n,
            _ => return,
        }
        output.clear();
        let mut used = 0;
        while filled - used >= size {
            let from = output.len();
            output.extend_from_slice(&speech.reply);
            output[from + at..from + at + len].copy_from_slice(&input[used + at..used + at + len]);
            used += size;
        }
        input.copy_within(used..filled, 0);
        filled -= used;
        if stream.write_all(&output).is_err() {
            return;
        }
    }
}

/// Asks so many times, each time with another id, and looks at every byte of the replies.
fn ask(stream: &mut TcpStream, speech: &mut Speech, times: usize) {
    let (at, len) = speech.id;
    let mut reply = [0; 1024];
    let reply = &mut reply[..speech.reply.len()];
    for n in 0..times {
        if len > 0 {
            let id = [1, u8::try_from(n % 251).expect("small")];
            speech.request[at + len - 2..at + len].copy_from_slice(&id);
            speech.reply[at + len - 2..at + len].copy_from_slice(&id);
        }
        stream.write_all(&speech.request).expect("the router reads");
        stream.read_exact(reply).expect("the router answers");
        assert_eq!(reply, &speech.reply[..]);
    }
}

#[test]
fn ten_thousand_mixed_exchanges_allocate_nothing_once_warm() {
    let speeches = [("redis", redis()), ("thrift", thrift()), ("dubbo", dubbo())];
    let folder = tempfile::tempdir().expect("a folder");
    let mut listeners = String::new();
    let mut clusters = String::new();
    for (name, speech) in &speeches {
        let log = folder.path().join(name);
        listeners += &format!(
            "  - name: {name}\n    listen: 127.0.0.1:0\n    codec: {name}\n    filters:\n      \
             - authorize: {{ deny: [ {{ method: FLUSHALL }}, {{ source.ip: 10.0.0.0/8 }} ] }}\n      \
             - access_log: {{ path: {} }}\n    routes: [ {{ name: all, to: {name} }} ]\n",
            log.display()
        );
        let to = serve(speech.clone());
        clusters += &format!("  - {{ name: {name}, endpoints: [ \"{to}\" ] }}\n");
    }
    let text = format!("workers: 1\nlisteners:\n{listeners}clusters:\n{clusters}");
    let registry = Registry::standard();
    let model = registry.load("test", &text).unwrap_or_else(|problems| panic!("{problems}"));
    let running = Heptad::start(&registry, model).expect("it starts");
    let fronts: Vec<String> = running.listeners().map(|l| l.address.clone()).collect();

    let barrier = Arc::new(Barrier::new(CLIENTS + 1));
    let steady = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let which = n % speeches.len();
            let mut speech = speeches[which].1.clone();
            let mut stream = TcpStream::connect(&fronts[which]).expect("it listens");
            stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            let (barrier, steady) = (barrier.clone(), steady.clone());
            thread::spawn(move || {
                // All at once now and then, so that no later turn is larger than these.
                for _ in 0..WARM / 2 {
                    barrier.wait();
                    ask(&mut stream, &mut speech, 1);
                }
                ask(&mut stream, &mut speech, WARM / 2);
                barrier.wait();
                // A thread that ends is not what is counted, so all end together.
                while !steady.load(Ordering::Acquire) {
                    barrier.wait();
                    ask(&mut stream, &mut speech, COUNTED);
                    barrier.wait();
                    barrier.wait();
                }
            })
        })
        .collect();
    for _ in 0..WARM / 2 {
        barrier.wait();
    }
    barrier.wait();
    let mut rounds = Vec::with_capacity(ROUNDS);
    while !steady.load(Ordering::Relaxed) {
        let region = Region::new(ALLOCATOR);
        barrier.wait();
        barrier.wait();
        let change = region.change();
        let made = change.allocations + change.reallocations;
        rounds.push(made);
        steady.store(made == 0 || rounds.len() == ROUNDS, Ordering::Release);
        barrier.wait();
    }
    for client in clients {
        client.join().expect("every reply was right");
    }
    assert_eq!(rounds.last(), Some(&0), "allocations of each round: {rounds:?}");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(running.stop(PATIENCE));
    // It was logged, too: a proxy that does nothing allocates nothing.
    let lines = |name: &str| {
        let text = std::fs::read_to_string(folder.path().join(name)).expect("a log");
        text.lines().count()
    };
    let logged: usize = speeches.iter().map(|(name, _)| lines(name)).sum();
    assert_eq!(logged, CLIENTS * (WARM + rounds.len() * COUNTED));
}
