//! Level 1, the engine by hand: bytes in, events out, and no socket, thread, clock or `async`
//! anywhere. Who has an event loop, a simulator or a fuzzer drives it like this.
//!
//! `cargo run -p embed --bin engine`

use std::{collections::BTreeMap, sync::Arc};

use heptad::{
    cluster::{Balance, Endpoint, Spec},
    core::{Codec as _, Time},
    engine::{Cluster, ConnId, Engine, Event, Machine, Peer, Plan, Route, Target},
    redis::Redis,
    route::{Expr, Table},
};

/// What a host owns: connections, here as bytes that would have been written to them.
#[derive(Default)]
struct Host {
    now: Time,
    written: BTreeMap<ConnId, Vec<u8>>,
    dialed: Vec<String>,
    closed: Vec<ConnId>,
}

impl Host {
    /// The end of a turn: performs what the engine wants, and writes each connection once.
    fn turn(&mut self, machine: &mut dyn Machine) {
        while let Some(event) = machine.poll_event() {
            match event {
                Event::Dial(link, address) => {
                    // Whenever it is up or refused; here at once.
                    self.dialed.push(address.to_string());
                    machine.link_up(self.now, link);
                }
                Event::Write(conn) => {
                    let bytes = machine.out(conn).map(|chain| chain.to_vec()).unwrap_or_default();
                    machine.written(self.now, conn, bytes.len());
                    self.written.entry(conn).or_default().extend(bytes);
                }
                Event::Close(conn) => self.closed.push(conn),
                // A paused session may be read again; no filter here asks for anything.
                _ => {}
            }
        }
        // With a fresh clock, and a timer for what `next_timeout` says.
        machine.timeouts(self.now);
    }

    fn take(&mut self, conn: ConnId) -> String {
        String::from_utf8_lossy(&self.written.remove(&conn).unwrap_or_default()).into_owned()
    }
}

/// One request and its reply; says what went where.
fn run() -> Result<Vec<(String, String)>, Box<dyn std::error::Error>> {
    let endpoints = vec![Endpoint::new("store:6379")];
    let plan = Plan::new(
        "cache",
        Table::compile(&[Expr::All(Vec::new())])?,
        vec![Route::new("all", Target::Cluster(0))],
        vec![Cluster::new("store", Spec::new(Balance::RoundRobin, endpoints))?],
    );
    let mut engine = Engine::new(Redis::new(&Default::default())?, Arc::new(plan), 42);
    let mut host = Host::default();

    let session = engine.open_session(host.now, Peer::local()).ok_or("too many sessions")?;
    // However the bytes are cut.
    engine.session_read(host.now, session, b"*2\r\n$3\r\nGET\r\n$1");
    engine.session_read(host.now, session, b"\r\nk\r\n");
    host.turn(&mut engine);
    let link = host.written.keys().copied().find(|conn| matches!(conn, ConnId::Link(_)));
    let Some(ConnId::Link(link)) = link else { return Err("nothing was sent".into()) };
    let mut said = vec![(host.dialed.join(", "), host.take(ConnId::Link(link)))];

    engine.link_read(host.now, link, b"$5\r\nvalue\r\n");
    host.turn(&mut engine);
    said.push(("client".to_owned(), host.take(ConnId::Session(session))));

    engine.session_eof(host.now, session);
    host.turn(&mut engine);
    said.push(("closed".to_owned(), host.closed.len().to_string()));
    Ok(said)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (to, what) in run()? {
        println!("{to}: {what:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_request_passes_by_hand() {
        let said = super::run().expect("it runs");
        let said: Vec<_> = said.iter().map(|(to, what)| (&**to, &**what)).collect();
        assert_eq!(
            said,
            [
                ("store:6379", "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"),
                ("client", "$5\r\nvalue\r\n"),
                ("closed", "1"),
            ]
        );
    }
}
