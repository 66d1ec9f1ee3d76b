//! Frames written by hand to real servers: what libraries do not let their users send, straight to
//! the server and through the router. The replies must be the same, byte by byte where it matters.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{
    stage::{Library, Server, Target},
    wire::{
        Call, Connection, EVENT, Frame, HEARTBEAT, HESSIAN2, OK, REQUEST, TWO_WAY, Value, frame,
    },
};
use crate::{rig::Middle, tally::Tally};

const MANY: u64 = 50;

/// A name, the servers that can have it, and what is said there.
type Dialogue = (&'static str, &'static [Library], fn(u16) -> io::Result<Vec<String>>);

const NODE: &[Library] = &[Library::Sofa, Library::Apache];

const DIALOGUES: &[Dialogue] = &[
    ("ids of 64 bits", &[Library::Sofa, Library::DubboPy], ids),
    ("heartbeats", &[Library::Sofa], heartbeats),
    ("oneway", &Library::ALL, oneway),
    ("generic calls", &[Library::DubboPy], generic),
    ("out of order", NODE, out_of_order),
    // dubbo-py takes what a read brings for all that it asked for, and then waits for ever.
    ("byte by byte", NODE, byte_by_byte),
    ("cut within a frame", NODE, in_two),
    ("all in one write", &Library::ALL, at_once),
    ("the same ids on many connections", &Library::ALL, same_ids),
    ("the client says that it has ended", &Library::ALL, half_closed),
];

pub(in crate::real) fn run(middle: Middle) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let mut lines = 0;
    for library in Library::ALL {
        // The same names and the same notes on both sides.
        let direct = Server::start(library, "alpha")?;
        let target = Target::start(middle, library)?;
        for (name, _, talk) in DIALOGUES.iter().filter(|(_, whose, _)| whose.contains(&library)) {
            let (a, b) = (talk(direct.port), talk(target.port));
            lines += a.as_ref().map_or(0, Vec::len);
            let alike = matches!((&a, &b), (Ok(a), Ok(b)) if a == b && !a.is_empty());
            tally.check(alike, || {
                let library = library.name();
                format!("{library}, {name}\n  direct:  {a:?}\n  through: {b:?}\n{}", target.log())
            });
        }
        if middle == Middle::Heptad {
            unasked(&mut tally, library, target.port).map_err(|e| e.to_string())?;
        }
    }
    if middle == Middle::Heptad {
        served_heartbeats(&mut tally)?;
    }
    tally.note(format!("{} dialogues, {lines} replies", DIALOGUES.len()));
    Ok(tally)
}

fn ids(port: u16) -> io::Result<Vec<String>> {
    let mut client = Connection::connect(port)?;
    let ids = [0, 1, 1 << 31, 1 << 32, (1 << 53) - 1, (1 << 53) + 1, 1 << 62, (1 << 63) - 1];
    ids.into_iter()
        .map(|id| {
            let reply =
                client.call(id, &Call::new("echo", &[format!("no. {id}").as_str().into()]))?;
            Ok(format!("{id}: {} {}", reply.id, reply.said()))
        })
        .collect()
}

/// Answers as a whole, flags and body too.
fn heartbeats(port: u16) -> io::Result<Vec<String>> {
    let mut client = Connection::connect(port)?;
    let mut seen = Vec::new();
    for id in [0, 7, 1 << 40] {
        client.send(&frame(HEARTBEAT, 0, id, b"N"))?;
        seen.push(format!("{:?}", client.read()?));
    }
    seen.push(client.call(8, &Call::new("name", &[]))?.said());
    Ok(seen)
}

/// Servers may answer what wants no answer: that has an id that nobody waits for.
fn oneway(port: u16) -> io::Result<Vec<String>> {
    let mut client = Connection::connect(port)?;
    for i in 0..5 {
        let note = Call::new("note", &[format!("raw-{i}=value {i}").as_str().into()]);
        client.send(&frame(REQUEST | HESSIAN2, 0, 1000 + i, &note.body()))?;
    }
    let late = Instant::now() + Duration::from_secs(20);
    let mut id = 0;
    let mut seen = Vec::new();
    while seen.len() < 5 && Instant::now() < late {
        id += 1;
        let ask = Call::new("noted", &[format!("raw-{}", seen.len()).as_str().into()]);
        client.send(&ask.frame(id))?;
        let reply = loop {
            let reply = client.read()?;
            if reply.id == id {
                break reply;
            }
        };
        match reply.said() {
            none if none == "=nothing yet" => std::thread::sleep(Duration::from_millis(5)),
            said => seen.push(said),
        }
    }
    Ok(seen)
}

/// The server unwraps them.
fn generic(port: u16) -> io::Result<Vec<String>> {
    let mut client = Connection::connect(port)?;
    let calls = [
        Call::new("name", &[]),
        Call::new("echo", &["你好".into()]),
        Call::new("echoAll", &["a".into(), "b".into()]),
        Call::new("fail", &["no luck".into()]),
    ];
    (1..)
        .zip(calls)
        .map(|(id, call)| Ok(format!("{id} {}", client.call(id, &call.generic())?.said())))
        .collect()
}

/// The last call is answered first.
fn out_of_order(port: u16) -> io::Result<Vec<String>> {
    let mut client = Connection::connect(port)?;
    let key = client.socket().local_addr()?.port();
    let meet = |i: u64| Call::new("meet", &[format!("{key}:{MANY}:{i}").as_str().into()]);
    let all: Vec<u8> = (0..MANY).flat_map(|i| meet(i).frame(700 + i)).collect();
    client.send(&all)?;
    (0..MANY).map(|_| client.read().map(|r| format!("{} {}", r.id, r.said()))).collect()
}

fn byte_by_byte(port: u16) -> io::Result<Vec<String>> {
    let mut client = Connection::connect(port)?;
    for byte in Call::new("echo", &["slowly".into()]).with("k", "v").frame(5) {
        client.send(&[byte])?;
    }
    let reply = client.read()?;
    Ok(vec![format!("{} {}", reply.id, reply.said())])
}

fn in_two(port: u16) -> io::Result<Vec<String>> {
    many(port, 9)
}

fn at_once(port: u16) -> io::Result<Vec<String>> {
    many(port, 0)
}

/// Many calls, the last bytes of which come a little later.
fn many(port: u16, later: usize) -> io::Result<Vec<String>> {
    let mut client = Connection::connect(port)?;
    let echo = |i: u64| Call::new("echo", &[format!("no. {i}").as_str().into()]);
    let mut all: Vec<u8> = (0..MANY).flat_map(|i| echo(i).frame(MANY - i)).collect();
    let last = all.split_off(all.len() - later);
    client.send(&all)?;
    client.send(&last)?;
    let mut seen = (0..MANY)
        .map(|_| client.read().map(|r| format!("{} {}", r.id, r.said())))
        .collect::<io::Result<Vec<_>>>()?;
    // Servers with threads of their own may answer in any order.
    seen.sort();
    Ok(seen)
}

fn same_ids(port: u16) -> io::Result<Vec<String>> {
    let mut clients = (0..20).map(|_| Connection::connect(port)).collect::<io::Result<Vec<_>>>()?;
    let mut seen = Vec::new();
    for (who, client) in clients.iter_mut().enumerate() {
        for id in 1..=5 {
            let text = format!("{who} says {id}");
            client.send(&Call::new("echo", &[text.as_str().into()]).frame(id))?;
        }
    }
    for (who, client) in clients.iter_mut().enumerate() {
        let replies = (0..5).map(|_| client.read()).collect::<io::Result<Vec<_>>>()?;
        let mut said: Vec<_> = replies.iter().map(|r| (r.id, r.said())).collect();
        said.sort();
        seen.push(format!("{who}: {said:?}"));
    }
    Ok(seen)
}

/// Its last calls are answered.
fn half_closed(port: u16) -> io::Result<Vec<String>> {
    // The servers of Node close as soon as the client has.
    let mut client = Connection::connect(port)?;
    let reply = client.call(1, &Call::new("echo", &["first".into()]))?;
    client.socket().shutdown(std::net::Shutdown::Write)?;
    let rest = client.read_to_close()?;
    Ok(vec![reply.said(), format!("{} more bytes", rest.len())])
}

/// Through the router comes nothing that was not asked for: no answer to oneway calls, although these
/// servers give one, and none to heartbeats that want none. Others are answered, although two of the
/// servers do it with a status that is none.
fn unasked(tally: &mut Tally, library: Library, port: u16) -> io::Result<()> {
    let mut client = Connection::connect(port)?;
    let note = Call::new("note", &["unasked=1".into()]).body();
    let mut seen = Vec::new();
    for id in 1..=20 {
        client.send(&frame(REQUEST | HESSIAN2, 0, 900 + id, &note))?;
        client.send(&frame(HEARTBEAT & !TWO_WAY, 0, 800 + id, b"N"))?;
        let reply = client.call(id, &Call::new("echo", &[Value::Text(format!("no. {id}"))]))?;
        seen.push((reply.id, reply.said()));
        client.send(&frame(HEARTBEAT, 0, id, b"N"))?;
        let pong = client.read()?;
        let right = pong == Frame { flags: EVENT | HESSIAN2, status: OK, id, body: b"N".to_vec() };
        tally.check(right, || format!("{}: heartbeat {id}: {pong:?}", library.name()));
    }
    let expect: Vec<_> = (1..=20).map(|id| (id, format!("=no. {id}"))).collect();
    tally.check(seen == expect, || {
        format!("{}: replies nobody asked for: {seen:?}", library.name())
    });
    Ok(())
}

/// A real server's own heartbeats, ten in a second, are answered, and clients see none of them.
fn served_heartbeats(tally: &mut Tally) -> Result<(), String> {
    let server = Server::start_with(Library::DubboPy, &["alpha", "0.1"])?;
    let proxy = super::stage::proxy("one.yaml", &[server.port])?;
    let text = |e: io::Error| e.to_string();
    let mut client = Connection::connect(proxy.port).map_err(text)?;
    let late = Instant::now() + Duration::from_secs(20);
    let mut id = 0;
    let said = loop {
        id += 1;
        // Whether an answer has come.
        let reply = client.call(id, &Call::new("heartbeatAnswered", &[])).map_err(text)?;
        let said = format!("{} {}", reply.id, reply.said());
        if said != format!("{id} =false") || Instant::now() > late {
            break said;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    tally.check(said == format!("{id} =true"), || {
        format!("a server's heartbeats: call {id} {said}\n{}", proxy.log())
    });
    Ok(())
}
