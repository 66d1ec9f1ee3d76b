//! Clients in every dialect they have: straight to the server, through a listener that detects the
//! dialect, through one that was told, and over links that all clients share.

use super::stage::{Generated, Server, detecting, proxy, words};
use crate::{
    real::{clients::steps, transcript},
    rig::{Metrics, Middle, Proxy},
    tally::Tally,
};

/// What Apache's Python library can speak.
pub(super) const PYTHON: &[&str] = &[
    "buffered-binary",
    "buffered-old",
    "buffered-compact",
    "buffered-json",
    "framed-binary",
    "framed-old",
    "framed-compact",
    "framed-json",
    "header-binary",
    "header-compact",
    "header-json",
    "header-binary-zlib",
    "header-compact-zlib",
    "framed-header-binary",
    "framed-header-compact",
    "framed-header-json",
];

/// What Apache's Node library can speak as a client.
const NODE: &[&str] = &[
    "buffered-binary",
    "buffered-compact",
    "buffered-json",
    "framed-binary",
    "framed-compact",
    "framed-json",
];

const THRIFTPY2: &[&str] =
    &["buffered-binary", "buffered-compact", "framed-binary", "framed-compact"];

/// The language of a client's script.
#[derive(Clone, Copy)]
enum Script {
    Python(&'static str),
    Node(&'static str),
}

pub(in crate::real) fn python(middle: Middle) -> Result<Tally, String> {
    every(middle, Script::Python("client.py"), PYTHON, Some(ENDS))
}

pub(in crate::real) fn node(middle: Middle) -> Result<Tally, String> {
    every(middle, Script::Node("client.js"), NODE, None)
}

pub(in crate::real) fn thriftpy2(middle: Middle) -> Result<Tally, String> {
    every(middle, Script::Python("thriftpy2_client.py"), THRIFTPY2, None)
}

/// Speaks every dialect through what `between` puts in front of a server's port.
pub(in crate::real) fn recorded<T>(
    between: impl Fn(u16) -> Result<(u16, T), String>,
) -> Result<Vec<T>, String> {
    let generated = Generated::new()?;
    let server = Server::start(&generated, PYTHON)?;
    let mut all = Vec::new();
    for dialect in PYTHON {
        let (port, one) = between(server.port(dialect)?)?;
        record_python(&generated, dialect, port)?;
        all.push(one);
    }
    Ok(all)
}

/// What a client sees on a port.
fn record(
    generated: &Generated,
    script: Script,
    dialect: &str,
    port: u16,
) -> Result<Vec<transcript::Step>, String> {
    let mut command = match script {
        Script::Python(name) => generated.python(name),
        Script::Node(name) => generated.node(name),
    };
    command.args(["--dialect", dialect]);
    steps(command, port)
}

/// As [`record`] with `client.py`.
pub(super) fn record_python(
    generated: &Generated,
    dialect: &str,
    port: u16,
) -> Result<Vec<transcript::Step>, String> {
    record(generated, Script::Python("client.py"), dialect, port)
}

/// Outcomes and how many calls of `client.py` end in them.
type Ends = &'static [(&'static str, f64)];

/// Declared exceptions, and what the server's library answers itself.
const ENDS: Ends = &[("app_error", 5.0), ("protocol_error", 2.0), ("timeout", 0.0), ("reset", 0.0)];

fn every(
    middle: Middle,
    script: Script,
    dialects: &[&str],
    ends: Option<Ends>,
) -> Result<Tally, String> {
    let generated = Generated::new()?;
    let server = Server::start(&generated, dialects)?;
    let mut all = Tally::default();
    let mut seen = (0, 0);
    for dialect in dialects {
        let direct = record(&generated, script, dialect, server.port(dialect)?)
            .map_err(|e| format!("{dialect} direct: {e}"))?;
        seen.0 += direct.len();
        for (name, way) in ways(middle, dialect, &generated, server.port(dialect)?)? {
            let name = format!("{dialect}, {name}");
            match record(&generated, script, dialect, way.port()) {
                Ok(through) => {
                    seen.1 += through.len();
                    let mut tally = transcript::compare(&name, &direct, &through, false);
                    tally.notes.clear();
                    all.add(tally);
                    if let (Way::Heptad(proxy), Some(ends)) = (&way, ends) {
                        count_ends(&mut all, &name, proxy, ends)?;
                    }
                }
                Err(e) => all.fail(format!("{name}: {e}\n{}", way.log())),
            }
        }
    }
    all.note(format!("{} dialects: {} steps direct, {} through", dialects.len(), seen.0, seen.1));
    Ok(all)
}

/// Whether the router has understood how calls ended.
fn count_ends(tally: &mut Tally, name: &str, proxy: &Proxy, ends: Ends) -> Result<(), String> {
    let page = Metrics::read(proxy.admin)?;
    for (outcome, wanted) in ends {
        let label = format!("outcome=\"{outcome}\"");
        let got = page.sum("heptad_requests_total", &[&label]);
        tally.check(got == *wanted, || format!("{name}: {got} calls ended in {outcome}"));
    }
    Ok(())
}

/// What a client is led through.
enum Way {
    Heptad(Proxy),
    StandIn { _server: Server, port: u16 },
}

impl Way {
    fn port(&self) -> u16 {
        match self {
            Self::Heptad(proxy) => proxy.port,
            Self::StandIn { port, .. } => *port,
        }
    }

    fn log(&self) -> String {
        match self {
            Self::Heptad(proxy) => proxy.log(),
            Self::StandIn { .. } => String::new(),
        }
    }
}

fn ways(
    middle: Middle,
    dialect: &str,
    generated: &Generated,
    endpoint: u16,
) -> Result<Vec<(&'static str, Way)>, String> {
    if middle != Middle::Heptad {
        let server = Server::start(generated, &[dialect])?;
        let port = server.port(dialect)?;
        return Ok(vec![("stand-in", Way::StandIn { _server: server, port })]);
    }
    let shared = ", links: { share: true }";
    let shared = proxy("one.yaml", &[("@CODEC@", "thrift"), ("@SPEAKS@", shared)], &[endpoint])?;
    let (transport, protocol) = words(dialect);
    let told = format!("{{ thrift: {{ transport: {transport}, protocol: {protocol} }} }}");
    let told = proxy("one.yaml", &[("@CODEC@", &told), ("@SPEAKS@", "")], &[endpoint])?;
    Ok(vec![
        ("detected", Way::Heptad(detecting(endpoint)?)),
        ("told", Way::Heptad(told)),
        ("shared", Way::Heptad(shared)),
    ])
}
