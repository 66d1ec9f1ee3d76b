//! A client of one dialect and a server of another: what the client sees must not depend on it.

use super::{
    matrix::{PYTHON, record_python},
    stage::{Generated, Server, proxy, words},
};
use crate::{real::transcript, rig::Middle, tally::Tally};

/// Every framing with every protocol that can be turned into one another.
const SERVERS: &[&str] = &[
    "buffered-binary",
    "buffered-compact",
    "framed-binary",
    "framed-compact",
    "header-binary",
    "header-compact",
];

/// Clients that differ from all of these.
const MORE_CLIENTS: &[&str] =
    &["buffered-old", "framed-old", "framed-header-binary", "framed-header-compact"];

pub(in crate::real) fn run(middle: Middle) -> Result<Tally, String> {
    let generated = Generated::new()?;
    let server = Server::start(&generated, PYTHON)?;
    let stand_in = match middle {
        Middle::Heptad => None,
        _ => Some(Server::start(&generated, PYTHON)?),
    };
    let mut all = Tally::default();
    let (mut pairs, mut count) = (0, 0);
    let record = |dialect: &str, port| record_python(&generated, dialect, port);
    let headless = record("framed-binary", server.port("framed-binary")?)?;
    for client in SERVERS.iter().chain(MORE_CLIENTS) {
        let own = record(client, server.port(client)?)?;
        for speaks in SERVERS.iter().filter(|s| s != &client) {
            // Info headers go as far as both sides have them.
            let expected =
                if has_headers(client) && has_headers(speaks) { &own } else { &headless };
            let (transport, protocol) = words(speaks);
            let cluster = format!(", thrift: {{ transport: {transport}, protocol: {protocol} }}");
            let name = format!("{client} to {speaks}");
            let (proxy, port) = match &stand_in {
                Some(stand_in) => {
                    let plain = if has_headers(speaks) { *client } else { without(client) };
                    (None, (plain, stand_in.port(plain)?))
                }
                None => {
                    let filled = [("@CODEC@", "thrift"), ("@SPEAKS@", cluster.as_str())];
                    let proxy = proxy("one.yaml", &filled, &[server.port(speaks)?])?;
                    let port = proxy.port;
                    (Some(proxy), (*client, port))
                }
            };
            pairs += 1;
            match record(port.0, port.1) {
                Ok(through) => {
                    count += through.len();
                    let mut tally = transcript::compare(&name, expected, &through, false);
                    tally.notes.clear();
                    all.add(tally);
                }
                Err(e) => {
                    let log = proxy.map(|p| p.log()).unwrap_or_default();
                    all.fail(format!("{name}: {e}\n{log}"));
                }
            }
        }
    }
    all.note(format!("{pairs} pairs of dialects: {count} steps"));
    Ok(all)
}

fn has_headers(dialect: &str) -> bool {
    dialect.contains("header")
}

/// A dialect in which a server says the same without headers.
fn without(dialect: &str) -> &str {
    if has_headers(dialect) { "framed-binary" } else { dialect }
}
