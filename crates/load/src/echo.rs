//! A server that answers with what it was sent: one thread, one write per readable connection.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpListener};

use crate::{
    Answer,
    socket::{SCRATCH, Socket},
};

const LISTENER: Token = Token(usize::MAX);
/// How long the next connection is waited for before replies are sent all the same.
const PATIENCE: Duration = Duration::from_secs(6);

/// How a server answers.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "options of a call")]
pub struct Echo {
    /// Withholds all replies until so many connections have sent something, or none has for six
    /// seconds, so that a proxy that takes a connection for each call has to open so many; 0: it
    /// does not.
    pub gather: usize,
}

struct Peer {
    socket: Socket,
    /// It has sent something.
    heard: bool,
}

/// A socket for [`serve`], with the longest queue of new connections that the system allows: a
/// proxy may open thousands at once.
pub fn listen(on: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(on)
}

/// Serves until the process ends.
pub fn serve(
    mut listener: TcpListener,
    answer: &dyn Answer,
    echo: Echo,
) -> io::Result<std::convert::Infallible> {
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; SCRATCH];
    let mut peers: Vec<Option<Peer>> = Vec::new();
    let mut free = Vec::new();
    let (mut heard, mut since) = (0, Instant::now());
    let mut gathering = echo.gather > 0;
    loop {
        poll.poll(&mut events, gathering.then_some(Duration::from_millis(100)))?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    let mut socket = Socket::new(stream)?;
                    let at = free.pop().unwrap_or(peers.len());
                    let both = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut socket.stream, Token(at), both)?;
                    if at == peers.len() {
                        peers.push(None);
                    }
                    peers[at] = Some(Peer { socket, heard: false });
                }
                continue;
            }
            let at = event.token().0;
            let Some(peer) = peers.get_mut(at).and_then(Option::as_mut) else {
                continue;
            };
            let mut open = true;
            if event.is_readable() || event.is_read_closed() {
                let read = peer.socket.read(&mut scratch, |input, out| {
                    let mut taken = 0;
                    while let Some(length) = answer.answer(&input[taken..], out)? {
                        taken += length;
                    }
                    Ok::<_, crate::Fault>(taken)
                });
                open = read.unwrap_or(false);
            }
            if gathering && !peer.heard && !peer.socket.out.is_empty() {
                peer.heard = true;
                heard += 1;
                since = Instant::now();
            }
            if !gathering {
                open &= peer.socket.flush().is_ok();
            }
            if !open {
                peers[at] = None;
                free.push(at);
            }
        }
        if gathering && (heard >= echo.gather || heard > 0 && since.elapsed() > PATIENCE) {
            gathering = false;
            for peer in peers.iter_mut().flatten() {
                // What cannot be written is noticed when the connection is next readable.
                let _ = peer.socket.flush();
            }
        }
    }
}
