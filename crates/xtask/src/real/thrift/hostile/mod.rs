//! What no honest client or server would send. It must end in an answer or a close for whoever did
//! it, in a counter, and in nothing at all for everybody else.

mod bombs;
mod liars;

use std::time::{Duration, Instant};

use super::{
    stage::{Generated, Server, proxy},
    wire::{Argument, Around, Client, Said},
};
use crate::{
    rig::{Metrics, Middle, Proxy},
    tally::Tally,
};

/// Ports of a stand-in: every bomb is thrown at a server of its own dialect.
const DIALECTS: &[&str] =
    &["framed-binary", "buffered-binary", "buffered-compact", "buffered-json", "header-binary"];

pub(in crate::real) fn run(middle: Middle) -> Result<Tally, String> {
    let mut all = Tally::default();
    type Case = (&'static str, fn(&mut Scene, &mut Tally) -> Result<(), String>);
    let cases: [Case; 3] = [
        ("huge announcements", bombs::announcements),
        ("bombs", bombs::bombs),
        ("random bytes", bombs::random),
    ];
    let generated = Generated::new()?;
    for (name, case) in cases {
        let start = Instant::now();
        let mut scene = Scene::new(middle, &generated)?;
        match case(&mut scene, &mut all) {
            Ok(()) => all.note(format!("{name} {:.1} s", start.elapsed().as_secs_f32())),
            Err(error) => all.fail(format!("{name}: {error}\n{}", scene.log())),
        }
    }
    if middle == Middle::Heptad {
        liars::run(&generated, &mut all)?;
    }
    Ok(all)
}

/// A server, the router, and a good client that stays connected all the time.
struct Scene {
    server: Server,
    proxy: Option<Proxy>,
    good: Client,
    calls: u32,
}

impl Scene {
    fn new(middle: Middle, generated: &Generated) -> Result<Self, String> {
        let server = Server::start(generated, DIALECTS)?;
        let endpoint = server.port("framed-binary")?;
        let proxy = match middle {
            Middle::Heptad => Some(proxy("hostile.yaml", &[], &[endpoint])?),
            _ => None,
        };
        let port = proxy.as_ref().map_or(endpoint, |p| p.port);
        let good = Client::connect(port, Around::Frame).map_err(|e| e.to_string())?;
        let mut scene = Self { server, proxy, good, calls: 0 };
        scene.serves()?;
        Ok(scene)
    }

    /// Where to throw what is meant for a dialect.
    fn port(&self, dialect: &str) -> Result<u16, String> {
        match &self.proxy {
            Some(proxy) => Ok(proxy.port),
            None => self.server.port(dialect),
        }
    }

    /// Whether good clients are served: one that was there all the time and a new one.
    fn serves(&mut self) -> Result<(), String> {
        self.calls += 1;
        good(&mut self.good, self.calls)?;
        let port = self.port("framed-binary")?;
        let mut fresh = Client::connect(port, Around::Frame).map_err(|e| e.to_string())?;
        good(&mut fresh, self.calls)
    }

    /// The router's counters; a stand-in has none.
    fn counters(&self) -> Result<Option<Metrics>, String> {
        self.proxy.as_ref().map(|p| Metrics::read(p.admin)).transpose()
    }

    /// Waits until counters have grown by so much together.
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
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Resident memory of what clients are connected to, in KiB.
    fn resident_kib(&self) -> Result<u64, String> {
        let id = self.proxy.as_ref().map_or(self.server.process.0.id(), |p| p.process.0.id());
        let path = format!("/proc/{id}/status");
        let status = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| format!("no VmRSS in {path}"))
    }

    fn log(&self) -> String {
        self.proxy.as_ref().map(|p| p.log()).unwrap_or_default()
    }
}

/// One call of an honest client.
fn good(client: &mut Client, id: u32) -> Result<(), String> {
    let text = format!("good manners {id}");
    match client.call("testString", id, &[Argument::Text(&text)]) {
        Ok(reply) if reply.id == id && reply.said == Said::Text(text) => Ok(()),
        other => Err(format!("a good client got {other:?}")),
    }
}
