//! Calls of real clients are answered by the server that the rules name: by service, method,
//! attachment, group, version and argument; and attachments are edited on the way.

use serde_json::{Value, json};

use super::{
    stage::{Asker, Library, Server, proxy},
    wire::{CALL, Call, Connection, FASTJSON, HESSIAN2, OK, frame},
};
use crate::{
    rig::{Middle, Proxy},
    tally::Tally,
};

/// Calls, and who must answer. All methods asked here tell their server's name.
fn cases() -> Vec<(Value, &'static str)> {
    let name = |more: Value| {
        let mut call = json!({ "method": "name", "args": [] });
        if let (Some(call), Value::Object(more)) = (call.as_object_mut(), more) {
            call.extend(more);
        }
        call
    };
    vec![
        (name(json!({})), "alpha"),
        (name(json!({ "service": "com.heptad.Other" })), "beta"),
        (name(json!({ "method": "who" })), "beta"),
        (name(json!({ "attachments": { "tag": "gray" } })), "beta"),
        (name(json!({ "attachments": { "tag": "white", "other": "gray" } })), "alpha"),
        (name(json!({ "attachments": { "group": "blue" } })), "beta"),
        (name(json!({ "version": "2.0" })), "beta"),
        (name(json!({ "args": ["gold"] })), "beta"),
        (name(json!({ "args": ["silver"] })), "alpha"),
        (name(json!({ "args": ["silver", "gold"] })), "alpha"),
        (name(json!({ "args": [42] })), "beta"),
        (name(json!({ "args": [43] })), "alpha"),
        (name(json!({ "args": ["中文"], "attachments": { "tag": "gray" } })), "beta"),
    ]
}

pub(in crate::real) fn run(middle: Middle) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let servers = [Server::start(Library::Sofa, "alpha")?, Server::start(Library::Sofa, "beta")?];
    let proxy = match middle {
        Middle::Heptad => Some(proxy("routes.yaml", &servers.each_ref().map(|s| s.port))?),
        _ => None,
    };
    let alone = servers.first().map_or(0, |s| s.port);
    let port = proxy.as_ref().map_or(alone, |p| p.port);
    let cases = cases();
    for library in Asker::LIBRARIES {
        let mut client = Asker::start(library, port)?;
        for (call, right) in &cases {
            let right = if proxy.is_some() { right } else { "alpha" };
            let reply = client.ask(call)?;
            tally.check(reply == json!({ "value": right }), || {
                format!("{library}, {call}: {reply}, not {right}")
            });
        }
        if proxy.is_some() {
            edited(&mut tally, &mut client)?;
        }
    }
    if let Some(proxy) = &proxy {
        marked(&mut tally, proxy)?;
        opaque(&mut tally, proxy)?;
        generic(&mut tally)?;
    }
    tally.note(format!("{} clients, {} calls each", Asker::LIBRARIES.len(), cases.len()));
    Ok(tally)
}

/// Servers see what the route added, and not what it took away.
fn edited(tally: &mut Tally, client: &mut Asker) -> Result<(), String> {
    let sent = json!({ "tag": "edited", "secret": "1", "kept": "你好" });
    for (name, value) in [("added", "by-route"), ("secret", "none"), ("kept", "你好")] {
        let call = json!({ "method": "attachments", "args": [name], "attachments": sent });
        let reply = client.ask(&call)?;
        tally.check(reply == json!({ "value": value }), || {
            format!("{}, attachment {name}: {reply}, not {value}", client.library)
        });
    }
    Ok(())
}

/// Replies get the route's attachment, whether the server's had some or none.
fn marked(tally: &mut Tally, sofa: &Proxy) -> Result<(), String> {
    let server = Server::start(Library::Apache, "alpha")?;
    let apache = proxy("routes.yaml", &[server.port, server.port])?;
    for (name, proxy) in [("without", sofa), ("with", &apache)] {
        let mut client = Connection::connect(proxy.port).map_err(|e| e.to_string())?;
        let call = Call::new("echo", &["text".into()]).with("tag", "edited");
        let reply = client.call(1, &call).map_err(|e| e.to_string())?;
        let has = |text: &str| reply.body.windows(text.len()).any(|w| w == text.as_bytes());
        let good = reply.status == OK && reply.said() == "=text" && has("\x06marked\x08by-route");
        tally.check(good, || format!("a reply {name} attachments: {reply:?}"));
        let kept = has("\x09served-by") == (name == "with");
        tally.check(kept, || format!("a reply {name} attachments: {reply:?}"));
    }
    Ok(())
}

/// Rules on what only the server can read do not match, and do not let pass either: the client is told
/// in the serialization that it asked in.
fn opaque(tally: &mut Tally, proxy: &Proxy) -> Result<(), String> {
    let mut client = Connection::connect(proxy.port).map_err(|e| e.to_string())?;
    let json = b"\"2.0.2\"\n\"com.heptad.Probe\"\n\"1.0\"\n\"name\"\n\"\"\n{}\n";
    for (id, serialization) in [(1, FASTJSON), (2, 8)] {
        client
            .send(&frame(CALL & !HESSIAN2 | serialization, 0, id, json))
            .map_err(|e| e.to_string())?;
        let got = client.read().map_err(|e| e.to_string())?;
        tally.check(got.id == id && got.status != OK, || format!("{serialization}: {got:?}"));
    }
    Ok(())
}

/// A generic call goes where the real method and its arguments lead.
fn generic(tally: &mut Tally) -> Result<(), String> {
    let start = |name| Server::start(Library::DubboPy, name);
    let (alpha, beta) = (start("alpha")?, start("beta")?);
    let proxy = proxy("routes.yaml", &[alpha.port, beta.port])?;
    let mut client = Connection::connect(proxy.port).map_err(|e| e.to_string())?;
    let cases = [
        (Call::new("name", &[]), "=alpha"),
        (Call::new("who", &[]), "=beta"),
        (Call::new("name", &["gold".into()]), "=beta"),
        (Call::new("name", &["silver".into()]), "=alpha"),
        (Call::new("name", &[42.into()]), "=beta"),
        (Call::new("name", &[]).with("tag", "gray"), "=beta"),
        (Call::new("name", &[]).version("2.0"), "=beta"),
        (Call::new("name", &[]).of("com.heptad.Other"), "=beta"),
    ];
    for (id, (call, right)) in (1..).zip(cases) {
        let generic = call.clone().generic();
        let other = call.clone().through("$invokeAsync");
        for (id, call) in [(id, call), (id + 100, generic), (id + 200, other)] {
            let reply = client.call(id, &call).map(|r| (r.id, r.said()));
            let good = matches!(&reply, Ok((i, said)) if *i == id && said == right);
            tally.check(good, || format!("{call:?}: {reply:?}, not {right}\n{}", proxy.log()));
        }
    }
    Ok(())
}
