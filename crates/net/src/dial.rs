//! Opens connections to endpoints. It tries each address of a name once and leaves time-outs and
//! retries to the engine.

use std::io;

use tokio::net::{TcpStream, UnixStream, lookup_host};

use crate::stream::Stream;

/// Connects to `host:port` or `unix:/path`.
pub(crate) async fn dial(address: &str) -> io::Result<Stream> {
    if let Some(path) = address.strip_prefix("unix:") {
        return UnixStream::connect(path).await.map(Stream::Unix);
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no addresses");
    for addr in lookup_host(address).await? {
        match TcpStream::connect(addr).await {
            // A dial to a port of the ephemeral range where nobody listens may meet itself.
            Ok(s) if s.local_addr().ok() == Some(addr) => {
                last = io::Error::from(io::ErrorKind::ConnectionRefused);
            }
            Ok(s) => {
                s.set_nodelay(true)?;
                return Ok(Stream::Tcp(s));
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}
