//! What no honest client or server would send. It must end in an answer or a close for whoever did
//! it, in a counter, and in nothing at all for everybody else.

mod bombs;
mod liars;

use std::{
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use super::{
    stage::{Library, Server, proxy},
    wire::{Call, Connection, reply},
};
use crate::{
    rig::{Metrics, Middle, Proxy},
    tally::Tally,
};

pub(in crate::real) fn run(middle: Middle) -> Result<Tally, String> {
    let mut all = Tally::default();
    type Case = (&'static str, fn(&mut Scene, &mut Tally) -> Result<(), String>);
    let cases: [Case; 4] = [
        ("huge announcements", bombs::too_long),
        ("large announcements", bombs::large),
        ("bombs", bombs::bombs),
        ("random bytes", bombs::random),
    ];
    for (name, case) in cases {
        let start = Instant::now();
        let mut scene = Scene::new(middle)?;
        match case(&mut scene, &mut all) {
            Ok(()) => all.note(format!("{name} {:.1} s", start.elapsed().as_secs_f32())),
            Err(error) => all.fail(format!("{name}: {error}\n{}", scene.log())),
        }
    }
    if middle == Middle::Heptad {
        liars::run(&mut all)?;
    }
    Ok(all)
}

/// A real server for honest calls, one that answers anything for the others, the router, and a good
/// client that stays connected all the time.
struct Scene {
    _server: Server,
    proxy: Option<Proxy>,
    port: u16,
    good: Connection,
    calls: u64,
}

impl Scene {
    fn new(middle: Middle) -> Result<Self, String> {
        let server = Server::start(Library::Sofa, "live")?;
        let sink = sink()?;
        let proxy = match middle {
            Middle::Heptad => Some(proxy("hostile.yaml", &[server.port, sink])?),
            _ => None,
        };
        let port = proxy.as_ref().map_or(sink, |p| p.port);
        let good = Connection::connect(port).map_err(|e| e.to_string())?;
        let mut scene = Self { _server: server, proxy, port, good, calls: 0 };
        scene.serves()?;
        Ok(scene)
    }

    /// Whether good clients are served: one that was there all the time and a new one.
    fn serves(&mut self) -> Result<(), String> {
        self.calls += 1;
        good(&mut self.good, self.calls)?;
        let mut fresh = Connection::connect(self.port).map_err(|e| e.to_string())?;
        good(&mut fresh, self.calls)
    }

    /// The router's counters; a stand-in has none.
    fn counters(&self) -> Result<Option<Metrics>, String> {
        self.proxy.as_ref().map(|p| Metrics::read(p.admin)).transpose()
    }

    /// Waits until the sum of some counters has grown by so much.
    fn grown(&self, before: Option<&Metrics>, names: &[&str], by: f64) -> Result<(), String> {
        let end = Instant::now() + Duration::from_secs(5);
        let sum = |page: &Metrics| names.iter().map(|name| page.sum(name, &[])).sum::<f64>();
        while let (Some(before), Some(after)) = (before, self.counters()?) {
            if sum(&after) - sum(before) >= by {
                break;
            }
            if Instant::now() > end {
                return Err(format!("{names:?} not grown by {by}:\n{}", after.changed(before)));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Resident memory of the router, in KiB.
    fn resident_kib(&self) -> Result<u64, String> {
        let Some(proxy) = &self.proxy else {
            return Ok(0);
        };
        let path = format!("/proc/{}/status", proxy.process.0.id());
        let status = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| format!("no VmRSS in {path}"))
    }

    fn log(&self) -> String {
        self.proxy.as_ref().map(Proxy::log).unwrap_or_default()
    }
}

/// One call of an honest client.
fn good(client: &mut Connection, id: u64) -> Result<(), String> {
    let text = format!("good manners {id}");
    match client.call(id, &Call::new("echo", &[text.as_str().into()])) {
        Ok(reply) if reply.id == id && reply.said() == format!("={text}") => Ok(()),
        other => Err(format!("a good client got {other:?}")),
    }
}

/// A server that answers every request, whatever it says, with its first argument.
fn sink() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let port = listener.local_addr().map_err(|e| e.to_string())?.port();
    // Ends with the process at the latest.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let Ok(mut client) = Connection::of(stream) else {
                    return;
                };
                while let Ok(frame) = client.read() {
                    let said = frame.first().unwrap_or_default();
                    if client.send(&reply(frame.id, &said)).is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(port)
}
