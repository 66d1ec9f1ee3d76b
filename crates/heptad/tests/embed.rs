//! A program that embeds a whole router: its own filter, its own metrics, a reload, an end.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use heptad::{
    Heptad, Registry, Running, StartError,
    core::{
        Attr, Filter, FilterWorker, NoOptions, OptionsError, Outcome, Refusal, Request, Time,
        Value, Verdict,
    },
};

/// Refuses one command, and counts what it saw on all workers.
#[derive(Debug)]
struct Refuse {
    seen: Arc<AtomicU64>,
}

impl Filter for Refuse {
    fn name(&self) -> &str {
        "refuse"
    }

    fn worker(&self, _: u64) -> Box<dyn FilterWorker> {
        Box::new(Self { seen: self.seen.clone() })
    }
}

impl FilterWorker for Refuse {
    fn request(&mut self, _: Time, asked: &mut dyn Request, _: &mut u64) -> Verdict {
        self.seen.fetch_add(1, Ordering::Relaxed);
        match asked.attr(&Attr::Method) {
            Ok(Some(Value::Bytes(b"APPEND"))) => {
                Verdict::Refuse(Refusal::new(Outcome::Denied, "not that one"))
            }
            _ => Verdict::Pass,
        }
    }
}

/// Says `+<what>` to everything.
fn server(what: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || -> std::io::Result<()> {
                let mut lines = BufReader::new(stream.try_clone()?).lines();
                let mut stream = stream;
                while let Some(line) = lines.next() {
                    let count: usize = line?.trim_start_matches('*').parse().unwrap_or(0);
                    for _ in 0..count * 2 {
                        let _ = lines.next();
                    }
                    write!(stream, "+{what}\r\n")?;
                }
                Ok(())
            });
        }
    });
    address
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(running: &Running) -> Self {
        let front = running.listeners().next().expect("a listener");
        let stream = TcpStream::connect(&front.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
        Self(BufReader::new(stream))
    }

    fn call(&mut self, command: &str) -> String {
        write!(self.0.get_mut(), "{command}\r\n").expect("the router reads");
        let mut line = String::new();
        self.0.read_line(&mut line).expect("the router answers");
        line.trim_end().to_owned()
    }
}

fn config(one: &str, two: &str, to: &str) -> String {
    format!(
        "workers: 2\n\
         listeners:\n\
         - name: front\n  \
           listen: 127.0.0.1:0\n  \
           codec: redis\n  \
           filters: [ refuse ]\n  \
           routes: [ {{ name: all, to: {to} }} ]\n\
         clusters:\n\
         - {{ name: one, endpoints: [ {one} ] }}\n\
         - {{ name: two, endpoints: [ {two} ] }}\n"
    )
}

fn registry(seen: &Arc<AtomicU64>) -> Registry {
    let seen = seen.clone();
    Registry::standard().filter::<NoOptions>("refuse", move |_| {
        Ok::<_, OptionsError>(Arc::new(Refuse { seen: seen.clone() }))
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

#[test]
fn a_router_is_embedded_reloaded_and_stopped() {
    let seen = Arc::default();
    let registry = registry(&seen);
    let (one, two) = (server("one"), server("two"));
    let load = |to: &str| registry.load("test", &config(&one, &two, to)).expect("a good file");
    let running = Heptad::start(&registry, load("one")).expect("it starts");
    assert!(running.ready());

    let mut clients = [Client::connect(&running), Client::connect(&running)];
    for client in &mut clients {
        assert_eq!(client.call("GET k"), "+one");
        assert!(client.call("APPEND k v").starts_with('-'));
    }
    assert_eq!(seen.load(Ordering::Relaxed), 4);

    // Both workers' counts in one sum.
    let totals = block_on(running.collect());
    let [front] = &totals[..] else { panic!("{totals:?}") };
    assert_eq!((&*front.listener, &*front.protocol, front.sessions), ("front", "redis", 2));
    let requests: u64 = front.series.values().map(heptad::SeriesTotals::requests).sum();
    assert_eq!(requests, 4);
    let outcomes = |wanted: Outcome| -> u64 {
        let counts = front.series.values().flat_map(|series| &series.counts);
        counts.filter(|((outcome, ..), _)| *outcome == wanted).map(|(_, n)| n).sum()
    };
    assert_eq!((outcomes(Outcome::Ok), outcomes(Outcome::Denied)), (2, 2));
    // Clusters that no route leads to are not there.
    let endpoints = block_on(running.endpoints());
    let clusters: Vec<_> = endpoints.iter().map(|row| (&*row.cluster, &row.address)).collect();
    assert_eq!(clusters, [("one", &one)]);

    assert_eq!(running.reload(&registry, load("two")), Ok(Vec::new()));
    for client in &mut clients {
        // Workers swap when they come to it; a request in between goes where it went before.
        let swapped = (0..100_000).any(|_| client.call("GET k") == "+two");
        assert!(swapped);
    }

    drop(clients);
    assert_eq!(block_on(running.stop(Duration::from_secs(60))), 0);
    assert!(!running.ready());
}

#[test]
fn a_model_of_other_plugins_is_refused() {
    let seen = Arc::default();
    let with = registry(&seen);
    let model = with.load("test", &config("127.0.0.1:1", "127.0.0.1:1", "one"));
    let started = Heptad::start(&Registry::standard(), model.expect("a good file"));
    assert!(matches!(started, Err(StartError::Model(_))), "{started:?}");
}
