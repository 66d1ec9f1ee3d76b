//! The least that a relay with one shared link can do: whole frames, an id of its own in each, one
//! write for each connection and turn. It routes, counts, limits and closes nothing. What it costs is
//! what the sockets cost, and no proxy that shares a link can cost less.

use std::{
    convert::Infallible,
    io::{self, Error},
    net::SocketAddr,
    ops::Range,
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};

use crate::socket::{SCRATCH, Socket};

const LISTENER: Token = Token(usize::MAX);
const LINK: Token = Token(usize::MAX - 1);

/// The first frame in what was read: its length, and where its id is.
pub type Frame = (usize, Range<usize>);

/// The first frame of framed Thrift messages in strict binary, if all of it is there.
pub fn thrift_frame(input: &[u8]) -> Option<Frame> {
    let number = |at: usize| {
        let bytes: [u8; 4] = input.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes) as usize)
    };
    let (length, id) = (4 + number(0)?, 12 + number(8)?);
    (input.len() >= length && id + 4 <= length).then_some((length, id..id + 4))
}

/// The first frame of Dubbo messages, if all of it is there.
pub fn dubbo_frame(input: &[u8]) -> Option<Frame> {
    let body: [u8; 4] = input.get(12..16)?.try_into().ok()?;
    let length = 16 + u32::from_be_bytes(body) as usize;
    (input.len() >= length).then_some((length, 4..12))
}

/// Whose request has an id, and what its own id was.
#[derive(Clone, Copy)]
struct Call {
    client: usize,
    id: u64,
}

/// Calls by the ids that they have on the link.
#[derive(Default)]
struct Calls {
    all: Vec<Call>,
    free: Vec<usize>,
}

impl Calls {
    fn insert(&mut self, call: Call) -> u64 {
        let at = self.free.pop().unwrap_or(self.all.len());
        match self.all.get_mut(at) {
            Some(place) => *place = call,
            None => self.all.push(call),
        }
        at as u64
    }

    fn take(&mut self, id: u64) -> Option<Call> {
        let at = usize::try_from(id).ok()?;
        let call = self.all.get(at).copied()?;
        self.free.push(at);
        Some(call)
    }
}

/// The id in a frame.
fn id_of(frame: &[u8], id: &Range<usize>) -> u64 {
    frame[id.clone()].iter().fold(0, |id, byte| id << 8 | u64::from(*byte))
}

/// Copies a frame with another id.
fn copy(frame: &[u8], id: &Range<usize>, new: u64, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(frame);
    let place = &mut out[start + id.start..start + id.end];
    let width = place.len();
    place.copy_from_slice(&new.to_be_bytes()[8 - width..]);
}

/// Relays to one server until the process ends.
pub fn relay(
    mut listener: TcpListener,
    server: SocketAddr,
    cut: impl Fn(&[u8]) -> Option<Frame>,
) -> io::Result<Infallible> {
    let mut poll = Poll::new()?;
    let both = Interest::READABLE | Interest::WRITABLE;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut link = Socket::new(TcpStream::connect(server)?)?;
    poll.registry().register(&mut link.stream, LINK, both)?;
    let mut clients: Vec<Option<Socket>> = Vec::new();
    let mut calls = Calls::default();
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; SCRATCH];
    // Clients with something to be written.
    let mut dirty: Vec<usize> = Vec::new();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => {
                    while let Ok((stream, _)) = listener.accept() {
                        let mut socket = Socket::new(stream)?;
                        let token = Token(clients.len());
                        poll.registry().register(&mut socket.stream, token, both)?;
                        clients.push(Some(socket));
                    }
                }
                LINK => {
                    let open = link.read(&mut scratch, |input, _| {
                        let mut taken = 0;
                        while let Some((length, id)) = cut(&input[taken..]) {
                            let frame = &input[taken..taken + length];
                            if let Some(Call { client: at, id: old }) =
                                calls.take(id_of(frame, &id))
                                && let Some(client) = clients.get_mut(at).and_then(Option::as_mut)
                            {
                                if client.out.is_empty() {
                                    dirty.push(at);
                                }
                                copy(frame, &id, old, &mut client.out);
                            }
                            taken += length;
                        }
                        Ok::<_, Infallible>(taken)
                    });
                    if !open.unwrap_or(false) {
                        return Err(Error::other("the server has closed"));
                    }
                }
                Token(at) => {
                    let Some(client) = clients.get_mut(at).and_then(Option::as_mut) else {
                        continue;
                    };
                    let open = client.read(&mut scratch, |input, _| {
                        let mut taken = 0;
                        while let Some((length, id)) = cut(&input[taken..]) {
                            let frame = &input[taken..taken + length];
                            let wire = calls.insert(Call { client: at, id: id_of(frame, &id) });
                            copy(frame, &id, wire, &mut link.out);
                            taken += length;
                        }
                        Ok::<_, Infallible>(taken)
                    });
                    if !open.unwrap_or(false) {
                        clients[at] = None;
                    } else if event.is_writable() {
                        dirty.push(at);
                    }
                }
            }
        }
        link.flush()?;
        for at in dirty.drain(..) {
            if let Some(client) = clients.get_mut(at).and_then(Option::as_mut) {
                // A connection that is broken is noticed when it is next read.
                let _ = client.flush();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;
    use crate::{Answer, Dubbo, Echo, Generator, Pace, Thrift, Traffic, listen, serve};

    type Cut = fn(&[u8]) -> Option<Frame>;

    /// Clients of a protocol through the relay, and what they find wrong.
    fn relayed<T>(traffic: fn() -> T, cut: Cut)
    where
        T: Traffic + Answer + Send + 'static,
    {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (server, middle) = (listen(any).expect("a port"), listen(any).expect("a port"));
        let (to, through) = (server.local_addr(), middle.local_addr().expect("an address"));
        thread::spawn(move || serve(server, &traffic(), Echo::default()).map(drop));
        thread::spawn(move || relay(middle, to.expect("an address"), cut).map(drop));
        let mut generator =
            Generator::connect(through, Box::new(traffic()), 5, 7).expect("connections");
        let (warm_up, measure) = (Duration::from_millis(20), Duration::from_millis(150));
        let report = generator.run(Pace::Closed, warm_up, measure, &mut |_| ()).expect("a run");
        assert!(report.faults.is_empty(), "{:?}", report.faults);
        assert!(report.requests > 0);
    }

    #[test]
    fn every_reply_comes_to_whom_it_is_for() {
        relayed(|| Thrift::new(64), thrift_frame);
        relayed(|| Dubbo::new(64), dubbo_frame);
    }

    #[test]
    fn a_frame_is_there_with_its_last_byte_and_not_before() {
        let cuts: [(Box<dyn Traffic>, Cut); 2] =
            [(Box::new(Thrift::new(20)), thrift_frame), (Box::new(Dubbo::new(20)), dubbo_frame)];
        for (traffic, cut) in cuts {
            let mut input = Vec::new();
            traffic.request(77, 1, &mut input);
            let end = input.len();
            for at in 0..end {
                assert_eq!(cut(&input[..at]), None, "{at} of {end}");
            }
            traffic.request(78, 2, &mut input);
            let (length, id) = cut(&input).expect("it is all there");
            assert_eq!((length, id_of(&input, &id)), (end, 77));
        }
    }
}
