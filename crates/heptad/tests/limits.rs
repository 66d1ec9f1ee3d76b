//! Limits over real sockets: the total of all connections and workers is what counts.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use heptad::{Heptad, Registry, Running};

/// Reads one inline or array command; its words' number does not matter, only that it is whole.
fn command(lines: &mut impl Iterator<Item = std::io::Result<String>>) -> Option<()> {
    let count: usize = lines.next()?.ok()?.trim_start_matches('*').parse().ok()?;
    for _ in 0..count * 2 {
        lines.next()?.ok()?;
    }
    Some(())
}

/// Answers every command with `+ok`, but only after a permit has come, if it waits for any.
fn server(permits: Option<Receiver<()>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let permits = permits.map(|permits| std::sync::Arc::new(std::sync::Mutex::new(permits)));
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let permits = permits.clone();
            thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().expect("a handle")).lines();
                while command(&mut lines).is_some() {
                    if let Some(permits) = &permits {
                        let _ = permits.lock().expect("no panic").recv();
                    }
                    if stream.write_all(b"+ok\r\n").is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn start(filter: &str, server: &str) -> Running {
    let config = format!(
        "workers: 2\n\
         listeners:\n\
         - name: front\n  \
           listen: 127.0.0.1:0\n  \
           codec: redis\n  \
           filters: [ {filter} ]\n  \
           routes: [ {{ name: all, to: one, timeout: off }} ]\n\
         clusters:\n\
         - {{ name: one, endpoints: [ \"{server}\" ] }}\n"
    );
    let registry = Registry::standard();
    let model = registry.load("test", &config).unwrap_or_else(|problems| panic!("{problems}"));
    Heptad::start(&registry, model).expect("it starts")
}

fn connect(running: &Running) -> BufReader<TcpStream> {
    let front = running.listeners().next().expect("a listener");
    let stream = TcpStream::connect(&front.address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    BufReader::new(stream)
}

fn answer(client: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    client.read_line(&mut line).expect("the router answers");
    line.trim_end().to_owned()
}

fn stop(running: Running) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let left = runtime.expect("a runtime").block_on(running.stop(Duration::from_secs(60)));
    assert_eq!(left, 0);
}

/// A day brings five more: however slow the test is, the sum is known.
#[test]
fn a_rate_is_one_for_all_connections_of_all_workers() {
    const CLIENTS: usize = 16;
    let running = start("{ limit_rate: { rate: 5/d, burst: 50 } }", &server(None));
    let clients: Vec<_> = (0..CLIENTS).map(|_| connect(&running)).collect();
    let answers: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                scope.spawn(move || {
                    client.get_mut().write_all(&b"GET k\r\n".repeat(10)).expect("written");
                    (0..10).map(|_| answer(&mut client)).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|t| t.join().expect("no panic")).collect()
    });
    let passed = answers.iter().filter(|text| *text == "+ok").count();
    let refused = "-ERR heptad: over the limit of 5/d";
    assert_eq!(answers.iter().filter(|text| *text == refused).count(), 160 - 50, "{answers:?}");
    assert_eq!(passed, 50);
    stop(running);
}

#[test]
fn requests_in_flight_are_counted_over_all_connections_of_all_workers() {
    const CLIENTS: usize = 12;
    let (permit, permits): (Sender<()>, _) = channel();
    let running = start("{ limit_concurrency: { max: 5, per: method } }", &server(Some(permits)));
    let refused = "-ERR heptad: over the limit of 5 at a time for method \"GET\"";
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| connect(&running)).collect();
    for client in &mut clients {
        client.get_mut().write_all(b"GET k\r\n").expect("written");
    }
    // Who is refused hears of it at once; the others wait for the server.
    let (mut in_flight, mut waiting) = (Vec::new(), clients);
    while waiting.len() > 5 {
        let mut still = Vec::new();
        for mut client in waiting {
            client.get_ref().set_nonblocking(true).expect("it can be");
            let mut first = [0];
            let ready = matches!(client.get_ref().peek(&mut first), Ok(1));
            client.get_ref().set_nonblocking(false).expect("it can be");
            match ready {
                true => {
                    assert_eq!(answer(&mut client), refused);
                    in_flight.push(client);
                }
                false => still.push(client),
            }
        }
        waiting = still;
        thread::yield_now();
    }
    let mut refused_clients = in_flight;
    assert_eq!((refused_clients.len(), waiting.len()), (7, 5));
    // As many as have ended may come.
    for _ in 0..5 {
        permit.send(()).expect("the server listens");
    }
    for client in &mut waiting {
        assert_eq!(answer(client), "+ok");
    }
    let again = refused_clients.first_mut().expect("seven");
    permit.send(()).expect("the server listens");
    again.get_mut().write_all(b"GET k\r\n").expect("written");
    assert_eq!(answer(again), "+ok");
    let mut nothing = Vec::new();
    again.get_ref().shutdown(std::net::Shutdown::Write).expect("open");
    again.read_to_end(&mut nothing).expect("closed by the router");
    assert!(nothing.is_empty());
    drop((waiting, refused_clients));
    stop(running);
}
