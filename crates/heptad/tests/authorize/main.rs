//! Nobody gets around `authorize`: a row for each way that was thought of, over real sockets, from
//! the client's bytes to what it is told and what the server saw.

mod awesomerpc;
mod dubbo;
mod redis;
mod thrift;

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use ::awesomerpc::AwesomeRpc;
use heptad::{Heptad, Registry, core::Outcome};

fn registry() -> Registry {
    Registry::standard().codec::<AwesomeRpc>()
}

/// Only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// One way that was thought of.
#[derive(Clone, Debug, Default)]
struct Row {
    what: &'static str,
    codec: &'static str,
    /// The filter's options, as YAML.
    rules: &'static str,
    /// All that the client sends.
    sends: Vec<u8>,
    /// What it reads, in this order, with anything in between.
    reads: Vec<Vec<u8>>,
    /// What the server reads somewhere.
    seen: Vec<Vec<u8>>,
    /// What the server never reads.
    unseen: Vec<Vec<u8>>,
    /// How many requests are counted as denied.
    denied: u64,
}

/// What a server says to the bytes it has read; takes from them what it understood.
type Serve = fn(&mut Vec<u8>) -> Vec<u8>;

/// A server that keeps whatever it reads.
struct Server {
    address: String,
    read: Arc<Mutex<Vec<u8>>>,
    ends: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Server {
    fn start(serve: Serve) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let read = Arc::<Mutex<Vec<u8>>>::default();
        let ends = Arc::<Mutex<Vec<JoinHandle<()>>>>::default();
        let (all, links) = (read.clone(), ends.clone());
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let all = all.clone();
                let link = thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    let mut pending = Vec::new();
                    while let Ok(n @ 1..) = stream.read(&mut buffer) {
                        all.lock().unwrap().extend_from_slice(&buffer[..n]);
                        pending.extend_from_slice(&buffer[..n]);
                        if stream.write_all(&serve(&mut pending)).is_err() {
                            break;
                        }
                    }
                });
                links.lock().unwrap().push(link);
            }
        });
        Self { address, read, ends }
    }

    /// Everything that was read, once all links have ended.
    fn whole(self) -> Vec<u8> {
        for link in std::mem::take(&mut *self.ends.lock().unwrap()) {
            link.join().expect("a link ends");
        }
        std::mem::take(&mut *self.read.lock().unwrap())
    }
}

fn find(whole: &[u8], part: &[u8], from: usize) -> Option<usize> {
    let at = whole[from..].windows(part.len()).position(|window| window == part)?;
    Some(from + at + part.len())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

fn config(row: &Row, server: &str) -> String {
    let Row { codec, rules, .. } = row;
    format!(
        "workers: 1\n\
         listeners:\n\
         - name: front\n  \
           listen: 127.0.0.1:0\n  \
           codec: {codec}\n  \
           filters: [ {{ authorize: {rules} }} ]\n  \
           routes: [ {{ name: all, to: back }} ]\n\
         clusters: [ {{ name: back, endpoints: [ {server} ] }} ]\n"
    )
}

fn check(row: &Row, serve: Serve) {
    let what = row.what;
    let registry = registry();
    let server = Server::start(serve);
    let model = registry.load(what, &config(row, &server.address));
    let running = Heptad::start(&registry, model.unwrap_or_else(|error| panic!("{error}")));
    let running = running.expect("it starts");
    let address = running.listeners().next().expect("a listener").address.to_string();

    let mut client = TcpStream::connect(&address).expect("it listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    client.write_all(&row.sends).expect("the router reads");
    let (mut read, mut at) = (Vec::new(), 0);
    let mut buffer = [0; 4096];
    for part in &row.reads {
        at = loop {
            if let Some(end) = find(&read, part, at) {
                break end;
            }
            let n = match client.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
                read => read.unwrap_or_else(|e| panic!("{what}: {e}")),
            };
            let (part, read_) = (part.escape_ascii(), read.escape_ascii());
            assert_ne!(n, 0, "{what}: \"{part}\" is not in \"{read_}\"");
            read.extend_from_slice(&buffer[..n]);
        };
    }
    // What it still says comes before the end.
    let _ = client.shutdown(Shutdown::Write);
    while let Ok(n @ 1..) = client.read(&mut buffer) {
        read.extend_from_slice(&buffer[..n]);
    }
    let rest = &read[at..];
    assert_eq!(find(rest, b"authorize", 0), None, "{what}: another answer in {rest:?}");

    let totals = block_on(running.collect());
    let counts = totals.iter().flat_map(|front| front.series.values());
    let denied = counts.flat_map(|series| &series.counts);
    let denied = denied.filter(|((outcome, ..), _)| *outcome == Outcome::Denied);
    assert_eq!(denied.map(|(_, n)| n).sum::<u64>(), row.denied, "{what}");

    assert_eq!(block_on(running.stop(PATIENCE)), 0);
    let whole = server.whole();
    let shown = whole.escape_ascii();
    for part in &row.seen {
        let seen = find(&whole, part, 0).is_some();
        assert!(seen, "{what}: \"{}\" is not in \"{shown}\"", part.escape_ascii());
    }
    for part in &row.unseen {
        let seen = find(&whole, part, 0).is_some();
        assert!(!seen, "{what}: \"{}\" is in \"{shown}\"", part.escape_ascii());
    }
}

/// Checks all rows and says which ones failed.
fn check_all(rows: &[Row], serve: Serve) {
    let mut failed = Vec::new();
    for row in rows {
        let done = std::panic::catch_unwind(|| check(row, serve));
        if done.is_err() {
            failed.push(row.what);
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
