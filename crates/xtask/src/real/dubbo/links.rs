//! A server written by hand behind the router: every kind of reply and every other serialization
//! passes as it is, heartbeats stay between neighbours, and a server that says good-bye is asked
//! nothing new while its last replies are still taken.

use std::{io, net::TcpListener};

use super::{
    stage::proxy,
    wire::{
        CALL, Call, Connection, EVENT, FASTJSON, Frame, HEARTBEAT, HESSIAN2, OK, REQUEST, TWO_WAY,
        failure, frame, reply,
    },
};
use crate::{
    rig::{Metrics, Middle, Proxy},
    tally::Tally,
};

/// The event with which a server asks for no new calls.
const READ_ONLY: &[u8] = b"\x01R";

/// A client, the router if there is one, and the server's side of the connection behind it.
struct Scene {
    listener: TcpListener,
    proxy: Option<Proxy>,
    client: Connection,
    server: Connection,
    last: u64,
}

impl Scene {
    fn new(middle: Middle) -> Result<Self, String> {
        let text = |e: io::Error| e.to_string();
        let listener = TcpListener::bind("127.0.0.1:0").map_err(text)?;
        let port = listener.local_addr().map_err(text)?.port();
        let proxy = match middle {
            Middle::Heptad => Some(proxy("one.yaml", &[port])?),
            _ => None,
        };
        let mut client =
            Connection::connect(proxy.as_ref().map_or(port, |p| p.port)).map_err(text)?;
        let hello = Call::new("hello", &[]).frame(1);
        client.send(&hello).map_err(text)?;
        let mut server = Connection::accept(&listener).map_err(text)?;
        let asked = server.read().map_err(text)?;
        server.send(&reply(asked.id, "hello")).map_err(text)?;
        client.read().map_err(text)?;
        Ok(Self { listener, proxy, client, server, last: 1 })
    }

    /// Sends a frame with an id of its own; what comes out at the server.
    fn pass(&mut self, flags: u8, body: &[u8]) -> io::Result<Frame> {
        self.last += 1;
        self.client.send(&frame(flags, 0, self.last, body))?;
        self.server.read()
    }

    /// One call and its reply.
    fn serves(&mut self) -> io::Result<bool> {
        let asked = self.pass(CALL, &Call::new("echo", &["still here".into()]).body())?;
        self.server.send(&reply(asked.id, "still here"))?;
        let got = self.client.read()?;
        Ok(got.id == self.last && got.said() == "=still here")
    }
}

pub(in crate::real) fn run(middle: Middle) -> Result<Tally, String> {
    let mut tally = Tally::default();
    type Case = (&'static str, fn(&mut Scene, &mut Tally) -> io::Result<()>, bool);
    let cases: [Case; 7] = [
        ("serializations", serializations, true),
        ("replies", replies, true),
        ("outcomes", outcomes, false),
        ("heartbeats", heartbeats, false),
        ("strange frames", strange, false),
        ("good-bye", good_bye, false),
        ("good-bye in JSON", good_bye_in_json, false),
    ];
    for (name, case, stand_in_too) in cases {
        if middle != Middle::Heptad && !stand_in_too {
            continue;
        }
        let mut scene = Scene::new(middle).map_err(|e| format!("{name}: {e}"))?;
        if let Err(error) = case(&mut scene, &mut tally) {
            let log = scene.proxy.as_ref().map(Proxy::log).unwrap_or_default();
            tally.fail(format!("{name}: {error}\n{log}"));
        }
    }
    Ok(tally)
}

/// Bodies that only their server can read.
fn serializations(scene: &mut Scene, tally: &mut Tally) -> io::Result<()> {
    let json =
        b"\"2.0.2\"\n\"com.heptad.Probe\"\n\"1.0\"\n\"echo\"\n\"I\"\n7\n{\"tag\":\"gray\"}\n";
    let bodies: [(u8, &[u8], &[u8]); 5] = [
        (FASTJSON, json, b"1\n7\n"),
        (3, b"\xac\xed\x00\x05java", b"\xac\xed\x00\x05w\x04\x00\x00\x00\x01"),
        (8, b"kryo\x01\x02", b""),
        (21, &[0xff; 5000], &[0; 70_000]),
        (31, b"", b"\xda\xbb\xc2\x00"),
    ];
    for (id, body, answer) in bodies {
        for flags in [REQUEST | TWO_WAY | id, REQUEST | id] {
            let asked = scene.pass(flags, body)?;
            let alike = asked.flags == flags && asked.body == body;
            tally.check(alike, || format!("serialization {id}: the server got {asked:?}"));
            if flags & TWO_WAY == 0 {
                continue;
            }
            scene.server.send(&frame(id, OK, asked.id, answer))?;
            let got = scene.client.read()?;
            let expect = Frame { flags: id, status: OK, id: scene.last, body: answer.to_vec() };
            tally.check(got == expect, || format!("serialization {id}: the client got {got:?}"));
        }
    }
    tally.note(format!("{} other serializations", bodies.len()));
    Ok(())
}

/// Every flag and status there is, and some that there are not, as they are.
fn replies(scene: &mut Scene, tally: &mut Tally) -> io::Result<()> {
    let attachments = b"H\x01k\x01vZ";
    let exception = b"C\x13java.lang.Exception\x91\x0ddetailMessage\x60\x03why";
    let bodies: [&[u8]; 12] = [
        &[&[0x90][..], exception].concat(),
        b"\x91\x05value",
        b"\x92",
        &[&[0x93][..], exception, attachments].concat(),
        &[&b"\x94\x05value"[..], attachments].concat(),
        &[&b"\x95"[..], attachments].concat(),
        b"\x96",
        b"N",
        b"F",
        b"",
        b"\xc8\x01\x05value",
        b"I\x00\x00\x00\x01\x91",
    ];
    let mut all: Vec<(u8, &[u8])> = bodies.iter().map(|body| (OK, *body)).collect();
    for status in [0, 1, 25, 30, 31, 35, 40, 50, 60, 70, 80, 90, 100, 255] {
        all.push((status, b"\x04text"));
        all.push((status, b""));
    }
    for (status, body) in &all {
        let asked = scene.pass(CALL, &Call::new("any", &[]).body())?;
        let said = Frame { flags: HESSIAN2, status: *status, id: scene.last, body: body.to_vec() };
        scene.server.send(&frame(HESSIAN2, *status, asked.id, body))?;
        let got = scene.client.read()?;
        tally.check(got == said, || format!("the server said {said:?}, the client got {got:?}"));
    }
    tally.note(format!("{} kinds of replies", all.len()));
    Ok(())
}

/// What replies count as.
fn outcomes(scene: &mut Scene, tally: &mut Tally) -> io::Result<()> {
    let said: [(u8, &[u8], &str); 7] = [
        (OK, b"\x91\x05value", "ok"),
        (OK, b"\x92", "ok"),
        (OK, b"\x90\x03why", "app_error"),
        (60, b"\x04text", "protocol_error"),
        (80, b"\x04text", "protocol_error"),
        (31, b"\x04text", "timeout"),
        (100, b"\x04text", "overloaded"),
    ];
    for (status, body, outcome) in said {
        let label = format!("outcome=\"{outcome}\"");
        let count = |scene: &Scene| {
            let admin = scene.proxy.as_ref().map_or(0, |p| p.admin);
            let page = Metrics::read(admin).map_err(io::Error::other)?;
            Ok::<_, io::Error>(page.sum("heptad_requests_total", &[&label]))
        };
        let before = count(scene)?;
        let asked = scene.pass(CALL, &Call::new("any", &[]).body())?;
        scene.server.send(&frame(HESSIAN2, status, asked.id, body))?;
        scene.client.read()?;
        let after = count(scene)?;
        tally.check(after - before == 1.0, || {
            format!("status {status}, body {body:?}: not counted as {outcome}")
        });
    }
    Ok(())
}

/// A server's heartbeats are answered by the router, and its answers to nobody go no further.
fn heartbeats(scene: &mut Scene, tally: &mut Tally) -> io::Result<()> {
    for id in [0, 9, 1 << 60] {
        scene.server.send(&frame(HEARTBEAT, 0, id, b"N"))?;
        let got = scene.server.read()?;
        let good = got.is_event()
            && (got.flags & REQUEST, got.status, got.id) == (0, OK, id)
            && got.body == b"N";
        tally.check(good, || format!("a server's heartbeat {id} was answered with {got:?}"));
        // One that wants no answer, and answers to what was never asked.
        scene.server.send(&frame(HEARTBEAT & !TWO_WAY, 0, id, b"N"))?;
        scene.server.send(&frame(EVENT | HESSIAN2, OK, id, b"N"))?;
        scene.server.send(&frame(EVENT | TWO_WAY | HESSIAN2, 0, 0, b"N"))?;
        let good = scene.serves()?;
        tally.check(good, || format!("a call after a server's heartbeat {id}"));
    }
    Ok(())
}

/// Replies that nobody waits for, and calls back to a client, disturb nobody.
fn strange(scene: &mut Scene, tally: &mut Tally) -> io::Result<()> {
    let asked = scene.pass(CALL, &Call::new("any", &[]).body())?;
    scene.server.send(&reply(asked.id.wrapping_add(1000), "for nobody"))?;
    scene.server.send(&failure(u64::MAX, 80, "for nobody"))?;
    scene.server.send(&Call::new("callback", &[]).frame(asked.id))?;
    scene.server.send(&frame(REQUEST | HESSIAN2, 0, 3, &Call::new("callback", &[]).body()))?;
    scene.server.send(&reply(asked.id, "first"))?;
    scene.server.send(&reply(asked.id, "again"))?;
    let got = scene.client.read()?;
    tally.check(got.id == scene.last && got.said() == "=first", || format!("got {got:?}"));
    let good = scene.serves()?;
    tally.check(good, || "a call after strange frames".into());
    Ok(())
}

fn good_bye(scene: &mut Scene, tally: &mut Tally) -> io::Result<()> {
    let event = frame(REQUEST | EVENT | HESSIAN2, 0, 0, READ_ONLY);
    leave(scene, tally, &event)
}

fn good_bye_in_json(scene: &mut Scene, tally: &mut Tally) -> io::Result<()> {
    leave(scene, tally, &frame(REQUEST | EVENT | FASTJSON, 0, 0, b"\"R\"\n"))
}

/// After the event new calls come on a connection of their own; what was asked before is answered.
fn leave(scene: &mut Scene, tally: &mut Tally, event: &[u8]) -> io::Result<()> {
    let old = scene.pass(CALL, &Call::new("echo", &["old".into()]).body())?;
    let old_id = scene.last;
    scene.server.send(event)?;
    // Its answer shows that the event was seen.
    scene.server.send(&frame(HEARTBEAT, 0, 77, b"N"))?;
    let pong = scene.server.read()?;
    tally.check(pong.is_event() && pong.id == 77, || format!("instead of a heartbeat: {pong:?}"));
    for round in 0..3 {
        scene.last += 1;
        let text = format!("new {round}");
        scene.client.send(&Call::new("echo", &[text.as_str().into()]).frame(scene.last))?;
        if round == 0 {
            let fresh = Connection::accept(&scene.listener)?;
            let gone = std::mem::replace(&mut scene.server, fresh);
            let asked = scene.server.read()?;
            tally.check(asked.first().as_deref() == Some("new 0"), || format!("{asked:?}"));
            scene.server.send(&reply(asked.id, "new 0"))?;
            let got = scene.client.read()?;
            let good = got.id == scene.last && got.said() == "=new 0";
            tally.check(good, || format!("the first new call: {got:?}"));
            last_words(scene, tally, gone, old.id, old_id)?;
        } else {
            let asked = scene.server.read()?;
            scene.server.send(&reply(asked.id, &text))?;
            let got = scene.client.read()?;
            let good = got.id == scene.last && got.said() == format!("={text}");
            tally.check(good, || format!("a new call: {got:?}"));
        }
    }
    Ok(())
}

/// The old connection answers what it was asked before it said good-bye.
fn last_words(
    scene: &mut Scene,
    tally: &mut Tally,
    mut gone: Connection,
    asked: u64,
    id: u64,
) -> io::Result<()> {
    gone.send(&reply(asked, "old"))?;
    let got = scene.client.read()?;
    tally.check(got.id == id && got.said() == "=old", || format!("the old call: {got:?}"));
    let rest = gone.read_to_close()?;
    tally.check(rest.is_empty(), || format!("more on the old connection: {rest:x?}"));
    Ok(())
}
