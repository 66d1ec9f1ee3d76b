//! What real clients and servers say to each other, as bytes: every suite's scripts once, through a
//! relay that writes down. It compares nothing; fuzzers begin with what it brings.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use super::{cli, clients::steps, dubbo, thrift};
use crate::{
    paths,
    rig::{Middle, Rig},
};

/// What one side said before the other one spoke.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) by_server: bool,
    pub(crate) bytes: Vec<u8>,
}

/// One connection from its beginning.
pub(crate) type Conversation = Vec<Said>;

type Shared = Arc<Mutex<Vec<Arc<Mutex<Conversation>>>>>;

/// Listens, and passes on what it hears to a port.
pub(crate) struct Relay {
    pub(crate) port: u16,
    heard: Shared,
}

impl Relay {
    /// A relay in front of a loopback port, for as long as this process lives.
    pub(crate) fn start(to: u16) -> Result<Self, String> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|e| e.to_string())?;
        let port = listener.local_addr().map_err(|e| e.to_string())?.port();
        let heard = Shared::default();
        let all = heard.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else {
                    continue;
                };
                let one = Arc::new(Mutex::new(Conversation::new()));
                all.lock().unwrap_or_else(|e| e.into_inner()).push(one.clone());
                let ends = (client.try_clone(), server.try_clone());
                let (Ok(client_too), Ok(server_too)) = ends else { continue };
                pass(client, server_too, one.clone(), false);
                pass(server, client_too, one, true);
            }
        });
        Ok(Self { port, heard })
    }

    /// All conversations so far.
    pub(crate) fn heard(&self) -> Vec<Conversation> {
        let all = self.heard.lock().unwrap_or_else(|e| e.into_inner());
        all.iter().map(|one| one.lock().unwrap_or_else(|e| e.into_inner()).clone()).collect()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, one: Arc<Mutex<Conversation>>, by_server: bool) {
    thread::spawn(move || {
        let mut buf = vec![0; 1 << 16];
        while let Ok(n @ 1..) = from.read(&mut buf) {
            let bytes = buf.get(..n).unwrap_or_default();
            {
                let mut all = one.lock().unwrap_or_else(|e| e.into_inner());
                match all.last_mut() {
                    Some(last) if last.by_server == by_server => {
                        last.bytes.extend_from_slice(bytes);
                    }
                    _ => all.push(Said { by_server, bytes: bytes.to_vec() }),
                }
            }
            if to.write_all(bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// redis-cli, redis-py and ioredis, in each version of the protocol that they speak.
pub(crate) fn redis() -> Result<Vec<Conversation>, String> {
    let mut all = Vec::new();
    for resp in ["2", "3"] {
        let rig = Rig::start(Middle::Direct, 1)?;
        let relay = Relay::start(rig.port)?;
        cli::every_line(relay.port, resp)?;
        let mut python = Command::new(paths::python());
        python.arg(paths::real().join("redis-py/run.py")).args(["--protocol", resp]);
        steps(python_or_node(python, &rig), relay.port)?;
        all.extend(relay.heard());
    }
    let rig = Rig::start(Middle::Direct, 1)?;
    let relay = Relay::start(rig.port)?;
    let mut node = Command::new("node");
    node.arg(paths::real().join("ioredis/run.js"));
    steps(python_or_node(node, &rig), relay.port)?;
    all.extend(relay.heard());
    Ok(all)
}

fn python_or_node(mut command: Command, rig: &Rig) -> Command {
    command.args(["--servers", &rig.server_ports()]);
    command
}

/// Apache's Python library in every dialect.
pub(crate) fn thrift() -> Result<Vec<Conversation>, String> {
    thrift::recorded(|port| Relay::start(port).map(|relay| (relay.port, relay)))
        .map(|relays| relays.iter().flat_map(Relay::heard).collect())
}

/// Every client library with every server library.
pub(crate) fn dubbo() -> Result<Vec<Conversation>, String> {
    dubbo::recorded(|port| Relay::start(port).map(|relay| (relay.port, relay)))
        .map(|relays| relays.iter().flat_map(Relay::heard).collect())
}
