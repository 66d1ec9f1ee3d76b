//! The engine under arbitrary sequences of what peers can do, over every codec, in the simulator:
//! clients come, speak and go, servers answer, lie, stall and die, filters ask and refuse, time
//! passes, the plan is swapped. The engine checks its invariants after each step
//! (`Machine::check`), and in the end nothing may be left of anybody.
//!
//! An input is a program: which codec, which topology, then one operation after the other. Numbers
//! are reduced to what there is, so that every input is a valid program.

mod judge;
mod peers;
mod plans;

use std::{cell::RefCell, rc::Rc, time::Duration};

use awesomerpc::AwesomeRpc;
use heptad_core::Codec;
use heptad_dubbo::Dubbo;
use heptad_engine::{Engine, Peer};
use heptad_redis::Redis;
use heptad_testkit::sim::{Client, End, Profile, Sim};
use heptad_thrift::Thrift;

use crate::suites::codec;
use peers::{Count, Hears, Serves, Spoken};

/// Most operations and clients: a longer program says nothing new.
const OPERATIONS: usize = 200;
const CLIENTS: usize = 8;

pub(crate) fn run(data: &[u8]) {
    let mut program = Program { rest: data };
    match program.byte() % 4 {
        0 => over::<Redis>(program, false),
        1 => over::<Thrift>(program, true),
        2 => over::<Dubbo>(program, true),
        _ => over::<AwesomeRpc>(program, true),
    }
}

/// The rest of an input.
struct Program<'a> {
    rest: &'a [u8],
}

impl<'a> Program<'a> {
    /// The next byte; zero behind the end.
    fn byte(&mut self) -> u8 {
        match self.rest.split_first() {
            Some((byte, rest)) => {
                self.rest = rest;
                *byte
            }
            None => 0,
        }
    }

    /// Bytes with their length in front, as many as there are.
    fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(u16::from_be_bytes([self.byte() & 0x0f, self.byte()]));
        let (bytes, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        bytes
    }

    /// A span of time from a byte: up to a millisecond, a second, or a minute.
    fn span(&mut self) -> Duration {
        let byte = self.byte();
        let unit = [10, 1_000, 20_000, 1_000_000][usize::from(byte >> 6)];
        Duration::from_micros(u64::from(byte & 0x3f) * unit)
    }
}

/// A client that is there, and what is known of it.
struct Someone {
    client: Client,
    count: Rc<RefCell<Count>>,
}

fn over<C: Codec>(mut program: Program<'_>, counts: bool) {
    let shape = [program.byte(), program.byte(), program.byte()];
    let seed = u64::from(program.byte());
    let engine = Engine::new(codec::<C>(), plans::plan(shape), seed);
    let mut sim = Sim::new(engine, seed);
    let delay = Duration::from_millis(u64::from(shape[2] & 0x1f));
    sim.on_ask(move |ask, _| match ask.data.first() {
        Some(b'!') => None, // Nobody will ever answer.
        _ => Some((delay, ask.data.clone())),
    });
    let manner = Rc::new(RefCell::new(Spoken::default()));
    for address in plans::ADDRESSES {
        let (codec, manner) = (codec::<C>(), manner.clone());
        sim.endpoint(address, Profile::default(), move |_| {
            Box::new(Serves::new(codec.clone(), manner.clone()))
        });
    }
    let mut clients: Vec<Someone> = Vec::new();
    for _ in 0..OPERATIONS {
        if program.rest.is_empty() {
            break;
        }
        let what = program.byte();
        let which = program.byte();
        let address = plans::ADDRESSES[usize::from(which) % plans::ADDRESSES.len()];
        let someone = match clients.len() {
            0 => None,
            n => clients.get(usize::from(which) % n),
        };
        match (what % 16, someone) {
            (0, _) if clients.len() < CLIENTS => {
                let profile =
                    Profile::default().chopped(1 << (which & 7)).window(64 << (which >> 5));
                let count = Rc::new(RefCell::new(Count::default()));
                let script = Hears::new(codec::<C>(), count.clone());
                let ip = [10, 0, 0, which & 3];
                let client = sim.client_from(Peer::ip(ip.into(), 4_000), profile, script);
                clients.push(Someone { client, count });
            }
            (1..=4, Some(someone)) => {
                let bytes = program.bytes();
                someone.count.borrow_mut().sends(bytes);
                sim.send(someone.client, bytes);
            }
            (5, Some(someone)) => {
                let how = [End::Shutdown, End::Close, End::Reset][usize::from(what >> 4) % 3];
                sim.end(someone.client, how);
            }
            (6, Some(someone)) => {
                sim.with(someone.client, |_, io| io.read(what & 0x80 == 0));
            }
            (7, _) => sim.set_up(address, what & 0x80 == 0),
            (8, _) => sim.cut_links(address),
            (9, _) => sim.say_on_links(address, program.bytes()),
            (10, _) => sim.stall_links(address, what & 0x80 == 0),
            (11, _) => sim.set_deaf(address, what & 0x80 == 0),
            (12, _) => manner.borrow_mut().manner = which,
            (13, _) => {
                let plan = plans::plan([shape[0].rotate_left(which.into()), which, shape[2]]);
                sim.drive(|machine, now| machine.swap(now, plan));
            }
            (14, _) if what >> 4 == 15 => sim.drive(|machine, now| machine.drain(now)),
            _ => sim.run(program.span()),
        }
    }
    for address in plans::ADDRESSES {
        sim.stall_links(address, false);
    }
    sim.run(Duration::from_secs(90));
    sim.finish();
    if counts {
        for someone in &clients {
            someone.count.borrow().check::<C>();
        }
    }
}
