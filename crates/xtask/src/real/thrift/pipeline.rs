//! A client that sends many calls before it reads: replies come in the order of the calls, or, where
//! the listener is told that this does not matter, each with its own id.

use std::{io, thread};

use super::{
    stage::{Generated, Server, proxy},
    wire::{Argument, Around, Client, Reply, Said, call, oneway},
};
use crate::{
    rig::{Middle, Proxy},
    tally::Tally,
};

/// Calls with a reply; as many without go in between.
const CALLS: u32 = 20;

/// Clients that do the same at the same time, with the same ids.
const CLIENTS: usize = 20;

/// Far from where the calls of a router's own would begin.
const FIRST: u32 = 0x7fff_fff0;

const WAYS: &[(&str, &str, Around)] = &[
    ("framed", "framed-binary", Around::Frame),
    ("unframed", "buffered-binary", Around::Nothing),
    ("header", "header-binary", Around::Header(1000)),
];

/// How the router is told to do it: a name, the listener's codec, more of the cluster, and whether
/// replies come in order.
const MODES: &[(&str, &str, &str, bool)] = &[
    ("in order", "thrift", "", true),
    ("in order over shared links", "thrift", ", links: { share: true }", true),
    ("in any order", "{ thrift: { ordered: false } }", "", false),
    (
        "in any order over shared links",
        "{ thrift: { ordered: false } }",
        ", links: { share: true }",
        false,
    ),
];

pub(in crate::real) fn run(middle: Middle) -> Result<Tally, String> {
    let generated = Generated::new()?;
    let server = Server::start(&generated, &WAYS.iter().map(|w| w.1).collect::<Vec<_>>())?;
    let mut tally = Tally::default();
    for (name, dialect, around) in WAYS {
        let endpoint = server.port(dialect)?;
        let direct = pipelined(endpoint, *around, usize::MAX);
        judge(&mut tally, &format!("{name} direct"), *around, &direct, true, false);
        for (mode, codec, more, ordered) in MODES {
            let name = format!("{name}, {mode}");
            let proxy = match middle {
                Middle::Heptad => {
                    let filled = [("@CODEC@", *codec), ("@SPEAKS@", *more)];
                    Some(proxy("one.yaml", &filled, &[endpoint])?)
                }
                _ => None,
            };
            let port = proxy.as_ref().map_or(endpoint, |p: &Proxy| p.port);
            let all: Vec<_> = thread::scope(|scope| {
                let clients: Vec<_> = (0..CLIENTS)
                    // Pieces of other sizes for each, down to single bytes.
                    .map(|i| scope.spawn(move || pipelined(port, *around, 1 + i * 3)))
                    .collect();
                clients.into_iter().map(|c| c.join()).collect()
            });
            for result in all {
                let result = result.unwrap_or_else(|_| Err(io::Error::other("a client panicked")));
                judge(&mut tally, &name, *around, &result, *ordered, proxy.is_some());
            }
        }
    }
    tally.note(format!(
        "{} framings, {} modes, {CLIENTS} clients with {CALLS} calls at once",
        WAYS.len(),
        MODES.len()
    ));
    Ok(tally)
}

fn id(i: u32) -> u32 {
    FIRST.wrapping_add(i)
}

/// Sends all calls, the first of which takes longest, in pieces of this size, and reads as many
/// replies.
fn pipelined(port: u16, around: Around, piece: usize) -> io::Result<Vec<Reply>> {
    let mut client = Client::connect(port, around)?;
    let mut all = Vec::new();
    for i in 0..CALLS {
        let text = format!("reply {i}");
        let wait = i32::try_from(CALLS - i).unwrap_or_default() / 4;
        all.extend(call(around, "wait", id(i), &[Argument::Text(&text), Argument::Int(wait)]));
        all.extend(oneway(around, "testOneway", id(i), &[Argument::Int(1)]));
    }
    for piece in all.chunks(piece) {
        client.send(piece)?;
    }
    (0..CALLS).map(|_| client.read()).collect()
}

fn judge(
    tally: &mut Tally,
    name: &str,
    around: Around,
    got: &io::Result<Vec<Reply>>,
    ordered: bool,
    outer: bool,
) {
    let Ok(replies) = got else {
        tally.fail(format!("{name}: {got:?}"));
        return;
    };
    let mut texts: Vec<_> = replies.iter().map(|r| (r.id.wrapping_sub(FIRST), &r.said)).collect();
    if !ordered {
        texts.sort_by_key(|(i, _)| *i);
    }
    let wanted: Vec<_> = (0..CALLS).map(|i| Said::Text(format!("reply {i}"))).collect();
    tally.check(texts.into_iter().eq((0..).zip(&wanted)), || format!("{name}: {replies:?}"));
    // Apache's server answers with the message's id in the header; the router with the caller's.
    if let (Around::Header(more), true) = (around, outer) {
        let good = replies.iter().all(|r| r.outer == Some(r.id.wrapping_add(more)));
        tally.check(good, || format!("{name}: ids in headers: {replies:?}"));
    }
}
