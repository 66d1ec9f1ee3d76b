//! The real engine behind the driver, with the smallest protocol there is: lines.

mod common;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use common::{ANY, LONG, expect, expect_end};
use heptad_cluster::{Balance, Endpoint, Spec};
use heptad_core::{
    Answer, Asked, Codec, Ctx, Fault, Flavour, Meta, NoOptions, OptionsError, Outcome, Question,
    Side, Step, Traits,
};
use heptad_engine::{Cluster, Engine, Plan, Route, Target};
use heptad_net::{Driver, DriverConfig, Factory, Listen, ListenerConfig};
use heptad_route::{Expr, Table};

#[derive(Clone, Debug)]
struct Lines;

fn line(buf: &[u8]) -> Option<usize> {
    buf.iter().position(|b| *b == b'\n').map(|at| at + 1)
}

impl Codec for Lines {
    const NAME: &'static str = "lines";
    type Options = NoOptions;
    type Upstream = NoOptions;
    type Conn = ();
    type Tag = ();

    fn new(_: &NoOptions) -> Result<Self, OptionsError> {
        Ok(Self)
    }

    fn traits(&self) -> Traits {
        Traits::in_order()
    }

    fn open(&self, _: Side<'_, NoOptions>, _: Flavour) {}

    fn decode_request(&self, (): &mut (), _: &Ctx, buf: &[u8]) -> Result<Step<()>, Fault> {
        Ok(line(buf).map_or(Step::Need(buf.len() + 1), |len| Step::Frame(Meta::request(len), ())))
    }

    fn decode_reply<A: Asked<()>>(
        &self,
        (): &mut (),
        _: &A,
        _: &Ctx,
        buf: &[u8],
    ) -> Result<Step<()>, Fault> {
        let reply = |len| Step::Frame(Meta::reply(len, Outcome::Ok), ());
        Ok(line(buf).map_or(Step::Need(buf.len() + 1), reply))
    }

    fn answer(
        &self,
        (): &mut (),
        _: &Question<'_, ()>,
        _: &Answer<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        out.extend_from_slice(b"sorry\n");
        Ok(())
    }
}

/// Two workers in front of one endpoint.
fn start(endpoint: &str) -> Driver {
    start_with(endpoint, |_| {})
}

fn start_with(endpoint: &str, change: impl FnOnce(&mut DriverConfig)) -> Driver {
    let table = Table::compile(&[Expr::All(Vec::new())]).unwrap();
    let spec = Spec::new(Balance::RoundRobin, vec![Endpoint::new(endpoint)]);
    let cluster = Cluster::new("lines", spec).unwrap();
    let routes = vec![Route::new("all", Target::Cluster(0))];
    let plan = Arc::new(Plan::new("lines", table, routes, vec![cluster]));
    let factory: Factory =
        Arc::new(move |_, seed| Box::new(Engine::new(Lines, plan.clone(), seed)));
    let listener = ListenerConfig::new("lines", ANY, factory);
    let mut config = DriverConfig::new(2, vec![listener]);
    change(&mut config);
    Driver::start(config).unwrap()
}

fn connect(driver: &Driver) -> TcpStream {
    let Some((_, Listen::Tcp(addr))) = driver.listeners().next() else { panic!() };
    let s = TcpStream::connect(addr).unwrap();
    s.set_read_timeout(Some(LONG)).unwrap();
    s
}

/// Answers each line with itself, for as long as anybody asks.
fn endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for link in listener.incoming() {
            let mut link = link.unwrap();
            thread::spawn(move || {
                let mut lines = BufReader::new(link.try_clone().unwrap());
                let mut line = String::new();
                while lines.read_line(&mut line).is_ok_and(|n| n > 0) {
                    if link.write_all(line.as_bytes()).is_err() {
                        return;
                    }
                    line.clear();
                }
            });
        }
    });
    address
}

#[test]
fn many_clients_get_their_own_lines_back_in_order() {
    let driver = start(&endpoint());
    let clients: Vec<_> = (0..8)
        .map(|i| {
            let mut client = connect(&driver);
            thread::spawn(move || {
                let lines: String = (0..500).map(|n| format!("client {i} line {n}\n")).collect();
                client.write_all(lines.as_bytes()).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
                expect_end(&mut client, lines.as_bytes());
            })
        })
        .collect();
    clients.into_iter().for_each(|c| c.join().unwrap());
    let rows = driver.collect_blocking(LONG).unwrap();
    let count = |row: &heptad_net::Collected| -> u64 {
        row.stats.series.iter().flat_map(|s| &s.counts).map(|c| c.count).sum()
    };
    assert_eq!(rows.iter().map(count).sum::<u64>(), 8 * 500);
    assert!(rows.iter().all(|row| row.io.restarts == 0));
    assert_eq!(driver.stop_blocking(LONG, |_| ()).unwrap().cut_off, 0);
}

/// Whether there are pauses is the machine's mood; nothing may be lost in one.
#[test]
fn nothing_is_lost_where_workers_may_pause() {
    let driver = start_with(&endpoint(), |config| {
        config.workers = 1;
        config.moderation = true;
    });
    let clients: Vec<_> = (0..32)
        .map(|i| {
            let mut client = connect(&driver);
            thread::spawn(move || {
                for n in 0..200 {
                    let line = format!("client {i} line {n}\n");
                    client.write_all(line.as_bytes()).unwrap();
                    expect(&mut client, line.as_bytes());
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|c| c.join().unwrap());
    let rows = driver.collect_blocking(LONG).unwrap();
    assert_eq!(rows.iter().map(|row| row.stats.answered).sum::<u64>(), 32 * 200);
}

#[test]
fn an_endpoint_that_is_not_there_is_an_answer() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let driver = start(&nobody.to_string());
    let mut client = connect(&driver);
    client.write_all(b"hello\n").unwrap();
    let mut answer = [0; 6];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"sorry\n");
}

#[test]
fn a_stop_lets_idle_clients_go() {
    let driver = start(&endpoint());
    let mut client = connect(&driver);
    client.write_all(b"hello\n").unwrap();
    let mut answer = [0; 6];
    client.read_exact(&mut answer).unwrap();
    let stopped = driver.stop_blocking(LONG, |_| ()).unwrap();
    assert_eq!(stopped.cut_off, 0);
    expect_end(&mut client, b"");
}
