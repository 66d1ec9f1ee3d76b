//! A client of one dialect and a server of another: what the client sees must not depend on it.

use super::{
    matrix::{PYTHON, record_python},
    stage::{Generated, Server, proxy, words},
};
use crate::{real::transcript, rig::Middle, tally::Tally};

/// Clients, and servers for each of them: protocols that can be turned into one another, in every
/// framing.
const GROUPS: &[(&[&str], &[&str])] = &[
    (
        &[
            "buffered-binary",
            "buffered-old",
            "buffered-compact",
            "framed-binary",
            "framed-old",
            "framed-compact",
            "header-binary",
            "header-binary-zlib",
            "header-compact",
            "header-compact-zlib",
            "framed-header-binary",
            "framed-header-compact",
        ],
        &[
            "buffered-binary",
            "buffered-compact",
            "framed-binary",
            "framed-compact",
            "header-binary",
            "header-compact",
        ],
    ),
    (
        &["buffered-json", "framed-json", "header-json", "framed-header-json"],
        &["buffered-json", "framed-json", "header-json"],
    ),
];

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
    let each =
        GROUPS.iter().flat_map(|(clients, servers)| clients.iter().map(move |c| (c, servers)));
    for (client, servers) in each {
        let own = record(client, server.port(client)?)?;
        let headless = record(without(client), server.port(without(client))?)?;
        for speaks in servers.iter().filter(|s| s != &client) {
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
    match (has_headers(dialect), dialect.contains("json")) {
        (true, true) => "framed-json",
        (true, false) => "framed-binary",
        (false, _) => dialect,
    }
}
