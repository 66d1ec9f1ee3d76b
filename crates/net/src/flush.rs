//! One write for each dirty connection, and the task that ends each turn.
//!
//! The task is woken by whatever is told to a machine. On a current-thread runtime it then stands
//! in the queue behind all sockets that were found ready together, so that it runs when all of them
//! were read: no timer and no counting is needed to gather what belongs into one write.
//!
//! Clients are written to at once, and so are links that carry one call at a time. Before other links
//! are, the sockets are looked at once more, as long as that brings more requests: what they ask
//! goes to the endpoint in the same write. Where it brings nothing, it is seldom tried again.

use std::{
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

use heptad_core::{Chain, Time};
use heptad_engine::Machine;

use crate::{conn::Conn, moderate::Moderation, worker::Worker};

/// Pieces of an out-buffer that one system call writes.
const PIECES: usize = 64;
/// Bytes written to one connection in one turn at most: what a client of small frames may have to
/// wait for, on a socket that takes all it is given.
pub(crate) const ENOUGH: usize = 256 << 10;
/// A deadline that its machine did not settle is looked at again after this time.
pub(crate) const AGAIN: Duration = Duration::from_millis(1);

/// How often the sockets are looked at before endpoints are written to, at most.
const LOOKS: usize = 8;
/// No other look if more connections than these wait to be written: with a link for each call there
/// would be nothing to gather.
const FEW: usize = 4;
/// Nor if so many bytes were read: they fill a write, and more would not stay in the cache.
const PLENTY: usize = 64 << 10;
/// So many turns at most pass without another look, after looks that brought nothing.
const SELDOM: u32 = 64;

/// How far a write came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// Nothing is left.
    All,
    /// The socket takes no more for now.
    Full,
    /// More is left, but others come first.
    Enough,
    /// The connection is broken.
    Failed,
}

/// Writes what there is to be written to a connection. `count` is told of each system call and
/// whether the socket was full.
pub(crate) fn write(
    machine: &mut dyn Machine,
    now: Time,
    conn: &Conn,
    count: &mut dyn FnMut(u64, bool),
) -> Wrote {
    let write = conn.write.borrow();
    // Not connected yet: it is queued again once it is.
    let Some(half) = write.as_ref() else { return Wrote::All };
    if conn.blocked.get() {
        return Wrote::Full;
    }
    let mut total = 0;
    loop {
        let Some(chain) = machine.out(conn.id).filter(|c| !c.is_empty()) else {
            return Wrote::All;
        };
        if total >= ENOUGH {
            return Wrote::Enough;
        }
        let wrote = write_chain(chain, |slices| half.try_write(slices));
        let full = matches!(&wrote, Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        count(1, full);
        match wrote {
            Ok(0) => return Wrote::Failed,
            Ok(n) => {
                total += n;
                machine.written(now, conn.id, n);
            }
            Err(_) if full => return Wrote::Full,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Wrote::Failed,
        }
    }
}

/// Gives the first pieces of a chain to one system call, not more than is [`ENOUGH`].
pub(crate) fn write_chain(
    chain: &Chain,
    write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
) -> io::Result<usize> {
    if let Some(run) = chain.flat() {
        return write(&[IoSlice::new(run.get(..ENOUGH).unwrap_or(run))]);
    }
    let mut slices = [IoSlice::new(&[]); PIECES];
    let (mut used, mut left) = (0, ENOUGH);
    chain.pieces(|piece| {
        let piece = piece.get(..left).unwrap_or(piece);
        left = left.saturating_sub(piece.len());
        if let Some(slot) = slices.get_mut(used) {
            *slot = IoSlice::new(piece);
            used += 1;
        }
        used < PIECES && left > 0
    });
    write(slices.get(..used).unwrap_or_default())
}

/// How much it has paid of late to look at the sockets once more.
#[derive(Debug, Default)]
struct Patience {
    /// Turns until the next look, and how many it will be after one that brings nothing.
    skip: u32,
    pause: u32,
}

impl Patience {
    /// Whether this turn looks.
    fn try_now(&mut self) -> bool {
        match self.skip.checked_sub(1) {
            Some(left) => self.skip = left,
            None => return true,
        }
        false
    }

    /// What a turn's looks brought.
    fn learn(&mut self, brought: bool) {
        self.pause = if brought { 0 } else { (self.pause * 2).clamp(1, SELDOM) };
        self.skip = self.pause;
    }
}

/// Answers clients, and gathers what more they ask.
async fn gather(worker: &Worker, patience: &mut Patience) {
    let mut brought = None;
    for _ in 0..LOOKS {
        let left = worker.answer();
        let enough = !(1..=FEW).contains(&left) || worker.taken() >= PLENTY;
        if enough || (brought.is_none() && !patience.try_now()) {
            break;
        }
        // The task goes on behind the sockets that are found ready by then.
        tokio::task::yield_now().await;
        let more = worker.told_more();
        brought = Some(brought.unwrap_or(false) | more);
        if !more {
            break;
        }
    }
    if let Some(brought) = brought {
        patience.learn(brought);
    }
}

/// Ends turns for ever.
pub(crate) async fn flusher(worker: Rc<Worker>, mut moderation: Option<Moderation>) {
    let mut sleep = pin!(tokio::time::sleep(Duration::ZERO));
    // What `sleep` waits for. It is set back only for something earlier: time-outs of requests move
    // on with every turn, and a timer that fires early costs less than one that is moved each time.
    let mut armed: Option<Time> = None;
    let mut patience = Patience::default();
    loop {
        poll_fn(|cx| {
            if worker.woken(cx) {
                return Poll::Ready(());
            }
            if armed.is_some() && sleep.as_mut().poll(cx).is_ready() {
                armed = None;
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
        gather(&worker, &mut patience).await;
        let began = worker.now();
        worker.turn();
        let now = worker.clock.now();
        if let Some(at) = worker.timeouts(now) {
            let at = at.max(now + AGAIN);
            if armed.is_none_or(|set| at < set) {
                armed = Some(at);
                sleep.as_mut().reset(worker.clock.instant(at));
            }
        }
        worker.finish_if_idle();
        let pause =
            moderation.as_mut().and_then(|m| m.pause(now, now.since(began), worker.answered()));
        if worker.has_more() {
            // The sockets first, which this task would not let be looked at.
            tokio::task::yield_now().await;
        } else if let Some(pause) = pause {
            std::thread::sleep(pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heptad_core::SHARE_FROM;

    #[test]
    fn one_call_takes_so_many_pieces_and_no_more() {
        let mut chain = Chain::default();
        let big = vec![b'x'; SHARE_FROM];
        for _ in 0..100 {
            chain.extend(b"head");
            chain.push(big.clone().into());
        }
        let mut calls = Vec::new();
        while !chain.is_empty() {
            let n = write_chain(&chain, |slices| {
                assert!(slices.len() <= PIECES);
                calls.push(slices.len());
                Ok(slices.iter().map(|s| s.len()).sum())
            });
            chain.consume(n.unwrap());
        }
        assert_eq!(calls, [64, 64, 64, 8]);
    }

    #[test]
    fn one_call_takes_so_many_bytes_and_no_more() {
        let take = |chain: &mut Chain| {
            let n = write_chain(chain, |slices| Ok(slices.iter().map(|s| s.len()).sum())).unwrap();
            chain.consume(n);
            n
        };
        for flat in [true, false] {
            let mut chain = Chain::default();
            if !flat {
                chain.extend(b"head");
                chain.push(vec![b'x'; SHARE_FROM].into());
            }
            let before = chain.len();
            match flat {
                true => chain.extend(&vec![b'x'; 2 * ENOUGH + 1]),
                false => chain.push(vec![b'x'; 2 * ENOUGH + 1 - before].into()),
            }
            let taken = [take(&mut chain), take(&mut chain), take(&mut chain)];
            assert_eq!(taken, [ENOUGH, ENOUGH, 1], "flat: {flat}");
            assert!(chain.is_empty());
        }
    }
}
