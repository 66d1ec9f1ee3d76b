//! What the router answers itself reaches the callers of real clients as an exception with the
//! router's words, and their connections go on.

use std::{
    io,
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    stage::{Asker, Library, Server, proxy},
    wire::{Call, Connection, failure, reply},
};
use crate::{
    rig::{Metrics, Middle},
    tally::Tally,
};

const NO_ROUTE: &str = "no route matches the request";
const TOLD: &str = "not on my watch";
const REFUSED: &str = "the endpoint refused the connection";
/// A dial that has just failed is not repeated.
const GONE: &str = "the endpoint cannot be connected";
const LATE: &str = "no reply within the time-out";
const BROKE: &str = "the connection to the endpoint broke before the reply came";

/// A name, a call, and words of the exception that it must raise.
fn cases() -> Vec<(&'static str, Value, &'static str)> {
    let hurried = json!({ "patience": "client", "timeout": "200" });
    vec![
        (
            "no route",
            json!({ "method": "echo", "args": ["x"], "service": "com.heptad.Nowhere" }),
            NO_ROUTE,
        ),
        ("told", json!({ "method": "fail", "args": ["x"] }), TOLD),
        (
            "refused",
            json!({ "method": "echo", "args": ["x"], "service": "com.heptad.Dead" }),
            REFUSED,
        ),
        (
            "refused again",
            json!({ "method": "echo", "args": ["x"], "service": "com.heptad.Dead" }),
            GONE,
        ),
        ("time-out", json!({ "method": "sleep", "args": [2000] }), LATE),
        (
            "the client's time-out",
            json!({ "method": "sleep", "args": [2000], "attachments": hurried }),
            LATE,
        ),
        ("died", json!({ "method": "die", "args": [] }), BROKE),
        ("gone", json!({ "method": "die", "args": [1] }), GONE),
    ]
}

pub(in crate::real) fn run(middle: Middle) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let live = Server::start(Library::Sofa, "live")?;
    for library in Asker::LIBRARIES {
        if middle != Middle::Heptad {
            let mut client = Asker::start(library, stand_in()?)?;
            judge(&mut tally, &mut client, None)?;
            continue;
        }
        let victim = Server::start(Library::Sofa, "victim")?;
        let proxy = proxy("errors.yaml", &[live.port, victim.port])?;
        let mut client = Asker::start(library, proxy.port)?;
        judge(&mut tally, &mut client, Some(victim.port))
            .map_err(|e| format!("{e}\n{}", proxy.log()))?;
        let page = Metrics::read(proxy.admin)?;
        let opened = page.sum("heptad_sessions_opened_total", &[]);
        tally.check(opened == 1.0, || format!("{library}: {opened} connections instead of one"));
        if library == Asker::LIBRARIES[0] {
            numeric_timeout(&mut tally, proxy.port).map_err(|e| e.to_string())?;
        }
    }
    tally.note(format!("{} clients, {} cases each", Asker::LIBRARIES.len(), cases().len()));
    Ok(tally)
}

/// `victim`: where the server that dies listens.
fn judge(tally: &mut Tally, client: &mut Asker, victim: Option<u16>) -> Result<(), String> {
    let library = client.library;
    for (name, call, words) in cases() {
        if library == "apache" && name == "the client's time-out" {
            // It writes its own time-out in place of the caller's, after which it gives up itself.
            continue;
        }
        let got = client.ask(&call)?;
        let error = got.get("error").and_then(Value::as_str).unwrap_or_default();
        // Unless it is time to dial again.
        let told = error.contains(words) || words == GONE && error.contains(REFUSED);
        tally.check(told, || format!("{library}, {name}: {got}"));
        let text = format!("after: {name}");
        let after = client.ask(&json!({ "method": "echo", "args": [text] }))?;
        tally.check(after == json!({ "value": text }), || {
            format!("{library}, after {name}: {after}")
        });
        if let Some(port) = victim.filter(|_| name == "died") {
            wait_until_gone(port)?;
        }
    }
    Ok(())
}

/// A process that exits closes its connections one after the other, and its listener when it comes to
/// it: until then it could still be connected.
fn wait_until_gone(port: u16) -> Result<(), String> {
    for _ in 0..500 {
        if TcpStream::connect(("127.0.0.1", port)).is_err() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(format!("the server at {port} does not die"))
}

/// Some clients write the attachment as a number.
fn numeric_timeout(tally: &mut Tally, port: u16) -> io::Result<()> {
    let call = Call::new("sleep", &[2000.into()]).with("patience", "client");
    let got = Connection::connect(port)?.call(1, &call.with("timeout", 200))?;
    let good = got.said().contains(LATE) && got.status == 31;
    tally.check(good, || format!("a time-out as a number: {got:?}"));
    Ok(())
}

/// A server that says what the router would say, which shows that the clients tell it.
fn stand_in() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let port = listener.local_addr().map_err(|e| e.to_string())?.port();
    // Ends with the process at the latest.
    thread::spawn(move || {
        while let Ok(mut client) = Connection::accept(&listener) {
            thread::spawn(move || {
                while let Ok(frame) = client.read() {
                    let prefix = frame.prefix();
                    let word = |i: usize| prefix.get(i).map_or("", String::as_str);
                    let said = match (word(1), word(3)) {
                        ("com.heptad.Nowhere", _) => failure(frame.id, 60, NO_ROUTE),
                        ("com.heptad.Dead", _) => failure(frame.id, 80, REFUSED),
                        (_, "fail") => failure(frame.id, 70, TOLD),
                        (_, "sleep") => failure(frame.id, 31, LATE),
                        (_, "die") if word(4).is_empty() => failure(frame.id, 80, BROKE),
                        (_, "die") => failure(frame.id, 80, GONE),
                        _ => reply(frame.id, &frame.first().unwrap_or_default()),
                    };
                    if client.send(&said).is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(port)
}
