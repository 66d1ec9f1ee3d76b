//! One connection: the task that reads it and waits for its socket. Writing is the flush's work;
//! the task only says when a socket that was full takes more.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use heptad_engine::{ConnId, LinkId, Lost, SessionId};
use tokio::io::ReadBuf;

use crate::{
    dial::dial,
    seat::Seat,
    stream::{ReadHalf, WriteHalf},
};

/// Reads of one connection in one turn at most, so that a loud one does not starve the others.
pub(crate) const READS: usize = 4;
/// How long and how far a closed session's input is still read: a client that is sending when the
/// socket closes would be reset, and lose the last answer.
pub(crate) const LINGER: Duration = Duration::from_millis(500);
pub(crate) const LINGER_BYTES: usize = 64 << 10;

/// What the flush, the events and the task of a connection know together.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) id: ConnId,
    /// None while it is being dialed and after its end.
    pub(crate) write: RefCell<Option<WriteHalf>>,
    /// The socket is full; the task waits for it.
    pub(crate) blocked: Cell<bool>,
    /// In the list of this turn's writes.
    pub(crate) queued: Cell<bool>,
    /// The machine does not know it any more.
    ended: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

impl Conn {
    pub(crate) fn new(id: ConnId) -> Rc<Self> {
        Rc::new(Self {
            id,
            write: RefCell::new(None),
            blocked: Cell::new(false),
            queued: Cell::new(false),
            ended: Cell::new(false),
            task: RefCell::new(None),
        })
    }

    pub(crate) fn connected(&self, write: WriteHalf) {
        self.write.replace(Some(write));
    }

    pub(crate) fn ended(&self) -> bool {
        self.ended.get()
    }

    /// Marks it as unknown to the machine; its task will close the socket. False if it was so
    /// before.
    pub(crate) fn end(&self) -> bool {
        let first = !self.ended.replace(true);
        self.wake();
        first
    }

    /// Has the task look around.
    pub(crate) fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    fn register(&self, cx: &Context<'_>) {
        let mut task = self.task.borrow_mut();
        match &*task {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => *task = Some(cx.waker().clone()),
        }
    }

    /// Puts the connection back among those to be written once its socket takes more.
    fn poll_blocked(self: &Rc<Self>, cx: &mut Context<'_>, seat: &Seat) {
        let writable = self.blocked.get()
            && self.write.borrow().as_ref().is_some_and(|half| half.poll_writable(cx).is_ready());
        if writable {
            self.blocked.set(false);
            seat.queue(self);
        }
    }
}

/// Why reading, or waiting to read, stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The machine does not know the connection any more.
    Ended,
    /// Back-pressure began or ended: whether to read is to be asked anew.
    Turned,
    /// The peer will send no more.
    Eof,
    /// The connection is broken.
    Broken,
}

/// Serves a client until its end.
pub(crate) async fn session(seat: &Rc<Seat>, conn: &Rc<Conn>, id: SessionId, mut read: ReadHalf) {
    let guard = Guard { seat, conn };
    let mut eof = false;
    let broken = loop {
        let wants = !eof && seat.look(|m, _| m.wants_read(id)) == Some(true);
        let stop = if wants {
            let deliver = |bytes: &[u8]| {
                seat.tell(|m, now| {
                    m.session_read(now, id, bytes);
                    m.wants_read(id)
                })
            };
            poll_fn(|cx| poll_read(cx, seat, conn, &mut read, deliver)).await
        } else {
            wait(seat, conn, eof, id, &read).await
        };
        match stop {
            Stop::Ended => break false,
            Stop::Turned => {}
            Stop::Eof => {
                eof = true;
                seat.tell(|m, now| m.session_eof(now, id));
            }
            Stop::Broken => break true,
        }
    };
    if broken {
        drop(guard);
    }
    let write = conn.write.take();
    // After its end of file there is nothing that could be lost by a reset.
    if !eof && !broken {
        drop(write);
        // Too slow is as good as done.
        let _ = tokio::time::timeout(LINGER, drain(seat, &mut read)).await;
    } else if let Some(write) = write {
        write.discard();
    }
}

/// Dials an endpoint and serves the link until its end.
pub(crate) async fn link(seat: &Rc<Seat>, conn: &Rc<Conn>, id: LinkId, address: &str) {
    let ended = poll_fn(|cx| {
        conn.register(cx);
        if conn.ended() { Poll::Ready(()) } else { Poll::Pending }
    });
    let dialed = tokio::select! {
        biased;
        () = ended => return,
        dialed = dial(address) => dialed,
    };
    let (mut read, write) = match dialed {
        Ok(stream) => stream.split(),
        Err(error) => {
            tracing::debug!(listener = %seat.role.name, address, %error, "dial failed");
            seat.lose(conn, Lost::Refused);
            return;
        }
    };
    let guard = Guard { seat, conn };
    conn.connected(write);
    seat.tell(|m, now| m.link_up(now, id));
    // In case the machine had something to say before it was up.
    seat.queue(conn);
    // Always read: a link is shared, and never paused for one session.
    let deliver = |bytes: &[u8]| seat.tell(|m, now| m.link_read(now, id, bytes)).map(|()| true);
    poll_fn(|cx| poll_read(cx, seat, conn, &mut read, deliver)).await;
    drop(guard);
    if let Some(write) = conn.write.take() {
        write.discard();
    }
}

/// Tells the machine that the connection is gone, if it does not know: also when the task panics.
struct Guard<'a> {
    seat: &'a Seat,
    conn: &'a Rc<Conn>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.seat.lose(self.conn, Lost::Closed);
    }
}

/// Reads and delivers until there is a reason to stop; lets others go first now and then. `deliver`
/// says whether to go on; `None` means that nobody listens any more.
fn poll_read(
    cx: &mut Context<'_>,
    seat: &Seat,
    conn: &Rc<Conn>,
    read: &mut ReadHalf,
    deliver: impl Fn(&[u8]) -> Option<bool>,
) -> Poll<Stop> {
    conn.register(cx);
    conn.poll_blocked(cx, seat);
    for _ in 0..READS {
        if conn.ended() {
            return Poll::Ready(Stop::Ended);
        }
        let go_on = {
            let mut memory = seat.worker.buffer.borrow_mut();
            let mut buf = ReadBuf::new(&mut memory);
            match read.poll_read(cx, &mut buf) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(Stop::Broken),
                Poll::Ready(Ok(())) if buf.filled().is_empty() => return Poll::Ready(Stop::Eof),
                Poll::Ready(Ok(())) => {}
            }
            seat.count(|io| io.reads += 1);
            seat.worker.took(buf.filled().len());
            deliver(buf.filled())
        };
        match go_on {
            Some(true) => {}
            Some(false) => return Poll::Ready(Stop::Turned),
            // The end of this turn ends the connection.
            None => return Poll::Pending,
        }
        seat.worker.turn_if_much();
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Waits without reading, until the session wants to be read again or is over.
async fn wait(seat: &Seat, conn: &Rc<Conn>, eof: bool, id: SessionId, read: &ReadHalf) -> Stop {
    let change = poll_fn(|cx| {
        conn.register(cx);
        conn.poll_blocked(cx, seat);
        if conn.ended() {
            Poll::Ready(Stop::Ended)
        } else if !eof && seat.look(|m, _| m.wants_read(id)) == Some(true) {
            Poll::Ready(Stop::Turned)
        } else {
            Poll::Pending
        }
    });
    tokio::select! {
        biased;
        stop = change => stop,
        () = read.broken() => Stop::Broken,
    }
}

/// Reads and forgets, up to a limit.
async fn drain(seat: &Seat, read: &mut ReadHalf) {
    let mut left = LINGER_BYTES;
    while left > 0 {
        let n = poll_fn(|cx| {
            let mut memory = seat.worker.buffer.borrow_mut();
            let mut buf = ReadBuf::new(&mut memory);
            read.poll_read(cx, &mut buf).map(|r| r.map_or(0, |()| buf.filled().len()))
        })
        .await;
        if n == 0 {
            return;
        }
        left = left.saturating_sub(n);
    }
}
