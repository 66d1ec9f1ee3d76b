//! How a host opens links: any function from an address to a stream. It leaves time-outs and
//! retries to the engine.

use std::{fmt, future::Future, io, pin::Pin, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{dial::dial, stream::Stream};

/// Both directions of a stream.
pub trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send + ?Sized> Duplex for T {}

/// A stream of any kind.
pub type BoxStream = Pin<Box<dyn Duplex>>;

/// Opens streams to endpoints. Implemented for functions from an address to a future:
///
/// ```
/// # use std::{io, sync::Arc};
/// # use heptad_net::Connect;
/// # fn takes(_: impl Connect) {}
/// takes(|address: Arc<str>| async move {
///     let stream = tokio::net::TcpStream::connect(&*address).await?;
///     stream.set_nodelay(true)?;
///     Ok::<_, io::Error>(stream) // or the same in TLS, or one end of a pipe
/// });
/// ```
pub trait Connect: Send + Sync + 'static {
    /// Opens a stream to an endpoint's address as it was configured. The future is run in a task of
    /// its own and dropped if the engine no longer waits; its panic is a failed dial.
    fn connect(
        &self,
        address: Arc<str>,
    ) -> Pin<Box<dyn Future<Output = io::Result<BoxStream>> + Send>>;
}

impl<F, Fut, S> Connect for F
where
    F: Fn(Arc<str>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    fn connect(
        &self,
        address: Arc<str>,
    ) -> Pin<Box<dyn Future<Output = io::Result<BoxStream>> + Send>> {
        let dialing = self(address);
        Box::pin(async move { Ok(Box::pin(dialing.await?) as BoxStream) })
    }
}

impl fmt::Debug for dyn Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connect")
    }
}

/// Connects to `host:port` and `unix:/path`, as a router with threads of its own does. Needs a
/// runtime with I/O enabled.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Sockets;

impl Connect for Sockets {
    fn connect(
        &self,
        address: Arc<str>,
    ) -> Pin<Box<dyn Future<Output = io::Result<BoxStream>> + Send>> {
        Box::pin(async move {
            Ok(match dial(&address).await? {
                Stream::Tcp(stream) => Box::pin(stream) as BoxStream,
                Stream::Unix(stream) => Box::pin(stream),
            })
        })
    }
}
