//! A connected socket, TCP or Unix, as two halves: one is read by the connection's task, the other
//! written by the flush. It must not know whose connection it is.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use heptad_engine::Peer;
use tokio::{
    io::{AsyncRead, Interest, ReadBuf},
    net::{TcpStream, UnixStream, tcp, unix},
};

/// A connected socket that belongs to the runtime of this thread.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connected socket on its way to another thread.
#[derive(Debug)]
pub(crate) enum Parcel {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

/// The half that is read.
#[derive(Debug)]
pub(crate) enum ReadHalf {
    Tcp(tcp::OwnedReadHalf),
    Unix(unix::OwnedReadHalf),
}

/// The half that is written. Dropping it ends the stream for the peer (`shutdown`), see
/// [`WriteHalf::discard`].
#[derive(Debug)]
pub(crate) enum WriteHalf {
    Tcp(tcp::OwnedWriteHalf),
    Unix(unix::OwnedWriteHalf),
}

impl Stream {
    /// Takes the socket off this thread's runtime.
    pub(crate) fn pack(self) -> io::Result<Parcel> {
        Ok(match self {
            Self::Tcp(s) => Parcel::Tcp(s.into_std()?),
            Self::Unix(s) => Parcel::Unix(s.into_std()?),
        })
    }

    pub(crate) fn split(self) -> (ReadHalf, WriteHalf) {
        match self {
            Self::Tcp(s) => {
                let (r, w) = s.into_split();
                (ReadHalf::Tcp(r), WriteHalf::Tcp(w))
            }
            Self::Unix(s) => {
                let (r, w) = s.into_split();
                (ReadHalf::Unix(r), WriteHalf::Unix(w))
            }
        }
    }
}

impl Parcel {
    /// Puts the socket onto this thread's runtime.
    pub(crate) fn unpack(self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(s) => Stream::Tcp(TcpStream::from_std(s)?),
            Self::Unix(s) => Stream::Unix(UnixStream::from_std(s)?),
        })
    }
}

impl ReadHalf {
    /// Reads once. A read that does not fill the buffer proves the socket empty: the next poll
    /// waits without another system call.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_read(cx, buf),
        }
    }

    /// Waits until the socket is broken, without reading it.
    pub(crate) async fn broken(&self) {
        // An error to wait is as good as a broken socket.
        let _ = match self {
            Self::Tcp(s) => s.ready(Interest::ERROR).await,
            Self::Unix(s) => s.ready(Interest::ERROR).await,
        };
    }
}

impl WriteHalf {
    /// Writes once, as much as the socket takes now.
    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self, slices) {
            (Self::Tcp(s), [one]) => s.try_write(one),
            (Self::Unix(s), [one]) => s.try_write(one),
            (Self::Tcp(s), many) => s.try_write_vectored(many),
            (Self::Unix(s), many) => s.try_write_vectored(many),
        }
    }

    /// Whether the socket takes more; if not, the task is woken once it does. At most one task may
    /// wait.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Tcp(s) => s.as_ref().poll_write_ready(cx).map(drop),
            Self::Unix(s) => s.as_ref().poll_write_ready(cx).map(drop),
        }
    }

    /// Drops this half without ending the stream, which closing the socket does anyway.
    pub(crate) fn discard(self) {
        match self {
            Self::Tcp(s) => s.forget(),
            Self::Unix(s) => s.forget(),
        }
    }
}

/// A TCP client as the engine knows it: an IPv4 client of a dual-stack socket by its IPv4 address.
pub(crate) fn peer(addr: SocketAddr) -> Peer {
    Peer::ip(addr.ip().to_canonical(), addr.port())
}
