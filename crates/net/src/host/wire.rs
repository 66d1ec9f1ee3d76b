//! One stream of a worker: polling it, writing to it, and its farewell. It knows no machine but the
//! out-buffer that it writes.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use heptad_core::Time;
use heptad_engine::{ConnId, Machine};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadBuf},
    sync::oneshot,
    task::AbortHandle,
};

use super::{
    connect::BoxStream,
    ready::{Ready, Wakes},
};
use crate::{
    balance::Place,
    conn::{LINGER, LINGER_BYTES},
    flush::{ENOUGH, Wrote, write_chain},
};

/// What a client's stream has besides its bytes.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) place: Place,
    pub(crate) over: oneshot::Sender<()>,
}

/// One stream.
pub(crate) struct Wire {
    pub(crate) id: ConnId,
    /// None while it is being dialed.
    stream: Option<BoxStream>,
    wakes: Arc<Wakes>,
    waker: Waker,
    /// It took no more the last time; whatever wakes it may mean that it does now.
    pub(crate) blocked: bool,
    /// In the list of this turn's writes.
    pub(crate) queued: bool,
    /// The peer sends no more.
    pub(crate) eof: bool,
    /// The dial that brings the stream.
    dialing: Option<Dialing>,
    guest: Option<Guest>,
}

/// A dial that is given up when nobody waits for it.
struct Dialing(AbortHandle);

impl Drop for Dialing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Wire {
    fn new(id: ConnId, ready: &Arc<Ready>) -> Self {
        let wakes = Wakes::new(id, ready.clone());
        Self {
            id,
            stream: None,
            waker: wakes.clone().into(),
            wakes,
            blocked: false,
            queued: false,
            eof: false,
            dialing: None,
            guest: None,
        }
    }

    /// A client's.
    pub(crate) fn session(id: ConnId, ready: &Arc<Ready>, stream: BoxStream, guest: Guest) -> Self {
        Self { stream: Some(stream), guest: Some(guest), ..Self::new(id, ready) }
    }

    /// A link that is being dialed.
    pub(crate) fn dialing(id: ConnId, ready: &Arc<Ready>, dialing: AbortHandle) -> Self {
        Self { dialing: Some(Dialing(dialing)), ..Self::new(id, ready) }
    }

    /// The link's dial has succeeded.
    pub(crate) fn connected(&mut self, stream: BoxStream) {
        self.stream = Some(stream);
        self.dialing = None;
    }

    /// Has the stream polled.
    pub(crate) fn wake(&self) {
        self.waker.wake_by_ref();
    }

    /// See [`Wakes::unlist`].
    pub(crate) fn unlist(&self) {
        self.wakes.unlist();
    }

    /// Reads once into `memory`.
    pub(crate) fn read(&mut self, memory: &mut [u8]) -> Poll<io::Result<usize>> {
        let Self { stream: Some(stream), waker, .. } = self else { return Poll::Pending };
        let mut cx = Context::from_waker(waker);
        let mut buf = ReadBuf::new(memory);
        match guarded(|| stream.as_mut().poll_read(&mut cx, &mut buf)) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(Ok(buf.filled().len())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }

    /// Writes and flushes what there is to be written. `count` is told of each write and whether
    /// the stream was full.
    pub(crate) fn write(
        &mut self,
        machine: &mut dyn Machine,
        now: Time,
        count: &mut dyn FnMut(u64, bool),
    ) -> Wrote {
        let Self { id, stream, waker, .. } = self;
        // Not connected yet: it is queued again once it is.
        let Some(stream) = stream else { return Wrote::All };
        let mut cx = Context::from_waker(waker);
        let mut total = 0;
        let mut written = Wrote::All;
        while let Some(chain) = machine.out(*id).filter(|chain| !chain.is_empty()) {
            if total >= ENOUGH {
                written = Wrote::Enough;
                break;
            }
            let wrote = write_chain(chain, |slices| {
                match guarded(|| stream.as_mut().poll_write_vectored(&mut cx, slices)) {
                    Poll::Ready(wrote) => wrote,
                    Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
                }
            });
            let full = matches!(&wrote, Err(e) if e.kind() == io::ErrorKind::WouldBlock);
            count(1, full);
            match wrote {
                Ok(n @ 1..) => {
                    total += n;
                    machine.written(now, *id, n);
                }
                Err(_) if full => return Wrote::Full,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => return Wrote::Failed,
            }
        }
        // A stream that buffers has not sent it yet.
        match guarded(|| stream.as_mut().poll_flush(&mut cx)) {
            Poll::Ready(Ok(())) => written,
            Poll::Ready(Err(_)) => Wrote::Failed,
            Poll::Pending if written == Wrote::All => Wrote::Full,
            Poll::Pending => written,
        }
    }

    /// Ends the stream as a peer likes it: told that nothing more comes, and a client that is still
    /// sending is heard for a moment, because it would be reset and lose the last answer. Takes as
    /// long as that, at most [`LINGER`].
    pub(crate) async fn farewell(mut self) {
        let stream = self.stream.take();
        // A link's peer has nothing to lose.
        let drain = self.guest.is_some() && !self.eof;
        if let Some(mut stream) = stream {
            let end = async {
                if stream.shutdown().await.is_ok() && drain {
                    let mut memory = vec![0; 4096];
                    let mut left = LINGER_BYTES;
                    while let Ok(n @ 1..) = stream.read(&mut memory).await
                        && left > 0
                    {
                        left = left.saturating_sub(n);
                    }
                }
            };
            // Too slow is as good as done.
            let _: Result<(), _> = tokio::time::timeout(LINGER, end).await;
        }
        self.over();
    }

    /// The stream is dropped, and whoever waits for that is told.
    pub(crate) fn over(mut self) {
        self.stream = None;
        if let Some(Guest { place, over }) = self.guest.take() {
            drop(place);
            // Nobody needs to wait.
            let _ = over.send(());
        }
    }

    /// Whether there is anything to say goodbye to.
    pub(crate) fn is_connected(&self) -> bool {
        self.stream.is_some()
    }
}

/// Calls the host's code: its panic breaks this stream and nothing else.
fn guarded<T>(poll: impl FnOnce() -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    catch_unwind(AssertUnwindSafe(poll))
        .unwrap_or_else(|_| Poll::Ready(Err(io::Error::other("the stream panicked"))))
}
