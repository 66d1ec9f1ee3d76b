//! Fifty clients of Apache's threaded server, whose handler takes 5 ms: how many calls per second
//! are left of those without a router.
//!
//! The clients are threads here that write and read bytes, so that they cost next to nothing: on a
//! small machine the server's Python and the router have the processors to themselves. The ratio is
//! always told; only one that no scheduler explains is a failure, since a busy machine is none.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use super::{
    stage::{Generated, Server, detecting},
    wire::{Argument, Around, Client, Said},
};
use crate::{
    rig::{Metrics, Middle},
    tally::Tally,
};

const CLIENTS: u32 = 50;
const CALLS: u32 = 60;
const HANDLER: i32 = 5;
const ROUNDS: usize = 4;

/// What must be left on any machine.
const LEAST: f64 = 0.5;

pub(in crate::real) fn run(middle: Middle) -> Result<Tally, String> {
    let generated = Generated::new()?;
    // Apache's C code for the binary protocol: Python alone would be the limit.
    let dialect = "framed-accelerated";
    let server = Server::start(&generated, &[dialect])?;
    let stand_in = match middle {
        Middle::Heptad => None,
        _ => Some(Server::start(&generated, &[dialect])?),
    };
    let endpoint = server.port(dialect)?;
    let proxy = match &stand_in {
        None => Some(detecting(endpoint)?),
        Some(_) => None,
    };
    let way = match (&proxy, &stand_in) {
        (Some(proxy), _) => proxy.port,
        (None, Some(server)) => server.port(dialect)?,
        (None, None) => endpoint,
    };
    let mut tally = Tally::default();
    let (mut direct, mut through) = (Duration::ZERO, Duration::ZERO);
    let mut ratios = Vec::new();
    for i in 0..ROUNDS {
        // In turns, and each as often first: what else the machine does is not on one side.
        let (a, b) = if i.is_multiple_of(2) {
            let a = round(endpoint, &mut tally);
            (a, round(way, &mut tally))
        } else {
            let b = round(way, &mut tally);
            (round(endpoint, &mut tally), b)
        };
        direct += a;
        through += b;
        ratios.push(a.as_secs_f64() / b.as_secs_f64());
    }
    let calls = f64::from(CLIENTS * CALLS) * ROUNDS as f64;
    let ratio = direct.as_secs_f64() / through.as_secs_f64();
    tally.check(ratio >= LEAST, || format!("{ratio:.2} of direct; rounds {ratios:.2?}"));
    if let Some(proxy) = &proxy {
        let used = Metrics::read(proxy.admin)?.sum("process_cpu_seconds_total", &[]);
        tally.note(format!("{:.0} µs of the router's processor time per call", used / calls * 1e6));
    }
    tally.note(format!(
        "{ratio:.2} of direct: {:.0} and {:.0} calls/s (rounds {ratios:.2?})",
        calls / through.as_secs_f64(),
        calls / direct.as_secs_f64(),
    ));
    Ok(tally)
}

/// All clients make all their calls; how long that took from the first call to the last.
fn round(port: u16, tally: &mut Tally) -> Duration {
    let clients: Vec<_> =
        (0..CLIENTS).filter_map(|_| Client::connect(port, Around::Frame).ok()).collect();
    tally.check(clients.len() == CLIENTS as usize, || "not all could connect".into());
    let start = Instant::now();
    let results: Vec<_> = thread::scope(|scope| {
        let all: Vec<_> = clients.into_iter().map(|client| scope.spawn(|| calls(client))).collect();
        all.into_iter().map(|one| one.join()).collect()
    });
    let took = start.elapsed();
    for result in results {
        let good = matches!(&result, Ok(Ok(())));
        tally.check(good, || format!("a client: {:?}", result.ok()));
    }
    took
}

fn calls(mut client: Client) -> io::Result<()> {
    for id in 0..CALLS {
        let text = format!("call {id}");
        let arguments = [Argument::Text(&text), Argument::Int(HANDLER)];
        let reply = client.call("wait", id, &arguments)?;
        if (reply.id, &reply.said) != (id, &Said::Text(text)) {
            return Err(io::Error::other(format!("call {id}: {reply:?}")));
        }
    }
    Ok(())
}
