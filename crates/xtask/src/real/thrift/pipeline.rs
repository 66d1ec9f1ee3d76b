//! A client that sends many calls before it reads: replies come in the order of the calls, or, where
//! the listener is told that this does not matter, each with its own id.

use std::io;

use super::{
    stage::{Generated, Server, proxy},
    wire::{Argument, Around, Client, Reply, Said, call},
};
use crate::{rig::Middle, tally::Tally};

const CALLS: u32 = 20;

/// Far from where the calls of a router's own would begin.
const FIRST: u32 = 0x7fff_fff0;

const WAYS: &[(&str, &str, Around)] = &[
    ("framed", "framed-binary", Around::Frame),
    ("unframed", "buffered-binary", Around::Nothing),
    ("header", "header-binary", Around::Header(1000)),
];

pub(in crate::real) fn run(middle: Middle) -> Result<Tally, String> {
    let generated = Generated::new()?;
    let server = Server::start(&generated, &WAYS.iter().map(|w| w.1).collect::<Vec<_>>())?;
    let mut tally = Tally::default();
    for (name, dialect, around) in WAYS {
        let endpoint = server.port(dialect)?;
        let direct = pipelined(endpoint, *around).map_err(|e| format!("{name} direct: {e}"))?;
        let texts = |all: &[Reply]| all.iter().map(|r| (r.id, text(r))).collect::<Vec<_>>();
        let wanted: Vec<_> = (0..CALLS).map(|i| (id(i), format!("reply {i}"))).collect();
        tally.check(texts(&direct) == wanted, || format!("{name} direct: {direct:?}"));
        for ordered in [true, false] {
            let codec = format!("{{ thrift: {{ ordered: {ordered} }} }}");
            let proxy = match middle {
                Middle::Heptad => {
                    let filled = [("@CODEC@", codec.as_str()), ("@SPEAKS@", "")];
                    Some(proxy("one.yaml", &filled, &[endpoint])?)
                }
                _ => None,
            };
            let port = proxy.as_ref().map_or(endpoint, |p| p.port);
            let mut through =
                pipelined(port, *around).map_err(|e| format!("{name}, ordered {ordered}: {e}"))?;
            if !ordered {
                through.sort_by_key(|r| r.id.wrapping_sub(FIRST));
            }
            tally.check(texts(&through) == wanted, || {
                format!("{name}, ordered {ordered}: {through:?}")
            });
            if let (Around::Header(more), Some(_)) = (around, &proxy) {
                let outer = through.iter().all(|r| r.outer == Some(r.id.wrapping_add(*more)));
                tally.check(outer, || format!("{name}: ids in headers: {through:?}"));
            }
        }
    }
    tally.note(format!("{} ways of {CALLS} calls at once", WAYS.len()));
    Ok(tally)
}

fn id(i: u32) -> u32 {
    FIRST.wrapping_add(i)
}

/// Sends all calls, the first of which takes longest, and reads as many replies.
fn pipelined(port: u16, around: Around) -> io::Result<Vec<Reply>> {
    let mut client = Client::connect(port, around)?;
    let mut all = Vec::new();
    for i in 0..CALLS {
        let text = format!("reply {i}");
        let wait = i32::try_from(CALLS - i).unwrap_or_default();
        all.extend(call(around, "wait", id(i), &[Argument::Text(&text), Argument::Int(wait)]));
    }
    client.send(&all)?;
    (0..CALLS).map(|_| client.read()).collect()
}

fn text(reply: &Reply) -> String {
    match &reply.said {
        Said::Text(text) => text.clone(),
        other => format!("{other:?}"),
    }
}
