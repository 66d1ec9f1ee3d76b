//! Listening sockets: the address as written, binding it for all workers at once, and the file of a
//! Unix socket. Binding happens before any worker runs, so that an error is an error of the start.

use std::{
    fmt, fs, io,
    net::SocketAddr,
    os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net as unix_std,
    },
    path::{Path, PathBuf},
    str::FromStr,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::stream::{Stream, peer};
use heptad_engine::Peer;

/// Connections that wait to be accepted, per socket.
const BACKLOG: i32 = 1024;

/// Where to listen: `ip:port`, `[v6]:port` or `unix:/path`. Port 0 takes a free one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Listen {
    /// An IP address and port.
    Tcp(SocketAddr),
    /// The path of a socket file.
    Unix(PathBuf),
}

/// The text is no address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("`{0}` is not `ip:port`, `[v6]:port` or `unix:/path`")]
pub struct BadListen(pub String);

impl FromStr for Listen {
    type Err = BadListen;

    fn from_str(s: &str) -> Result<Self, BadListen> {
        let bad = || BadListen(s.to_owned());
        match s.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(_) => Err(bad()),
            None => s.parse().map(Self::Tcp).map_err(|_| bad()),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where a listener really listens: as configured, but with the port that port 0 became.
pub type Bound = Listen;

/// One worker's listening socket, not yet on a runtime.
#[derive(Debug)]
pub(crate) enum Socketed {
    Tcp(std::net::TcpListener),
    Unix(unix_std::UnixListener),
}

/// A listener's sockets: one for each worker that accepts.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) bound: Bound,
    /// By worker; all of a TCP listener's, the first of a Unix listener's.
    pub(crate) by_worker: Vec<Option<Socketed>>,
    /// The socket file, which is removed when this is dropped.
    pub(crate) file: Option<SocketFile>,
}

/// Binds `listen` for so many workers.
pub(crate) fn bind(listen: &Listen, workers: usize) -> io::Result<Sockets> {
    match listen {
        Listen::Tcp(addr) => {
            if addr.port() != 0 {
                // With `SO_REUSEPORT` alone, a second process would silently share the port.
                let probe = socket(*addr)?;
                probe.bind(&(*addr).into())?;
            }
            let mut addr = *addr;
            let mut by_worker = Vec::with_capacity(workers);
            for _ in 0..workers {
                let socket = socket(addr)?;
                socket.set_reuse_port(true)?;
                socket.bind(&addr.into())?;
                socket.listen(BACKLOG)?;
                let socket = std::net::TcpListener::from(socket);
                // Port 0 is a port from now on: the other workers share it.
                addr = socket.local_addr()?;
                by_worker.push(Some(Socketed::Tcp(socket)));
            }
            Ok(Sockets { bound: Listen::Tcp(addr), by_worker, file: None })
        }
        Listen::Unix(path) => {
            remove_stale(path)?;
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            socket.bind(&socket2::SockAddr::unix(path)?)?;
            socket.listen(BACKLOG)?;
            let mut by_worker: Vec<_> = (0..workers).map(|_| None).collect();
            if let Some(first) = by_worker.first_mut() {
                *first = Some(Socketed::Unix(socket.into()));
            }
            let file = Some(SocketFile::new(path)?);
            Ok(Sockets { bound: listen.clone(), by_worker, file })
        }
    }
}

fn socket(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier process in TIME_WAIT must not keep this one from starting.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Removes a socket file that nobody listens on; everything else at the path is left alone.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(meta) = fs::symlink_metadata(path) else { return Ok(()) };
    if !meta.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "the file exists and is not a socket",
        ));
    }
    match unix_std::UnixStream::connect(path) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(io::Error::from(io::ErrorKind::AddrInUse)),
    }
}

/// The file of a Unix listener.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        let meta = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), inode: (meta.dev(), meta.ino()) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A successor may have put its own socket there.
        if fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.inode)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "socket file not removed");
        }
    }
}

/// A listening socket on this thread's runtime.
#[derive(Debug)]
pub(crate) enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socketed {
    /// Puts a copy onto this thread's runtime; the original outlives a worker that panics.
    pub(crate) fn acceptor(&self) -> io::Result<Acceptor> {
        Ok(match self {
            Self::Tcp(s) => Acceptor::Tcp(TcpListener::from_std(s.try_clone()?)?),
            Self::Unix(s) => Acceptor::Unix(UnixListener::from_std(s.try_clone()?)?),
        })
    }
}

impl Acceptor {
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(s) => {
                let (stream, addr) = s.accept().await?;
                // The peer may be gone already; reading will tell.
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), peer(addr)))
            }
            Self::Unix(s) => {
                let (stream, _) = s.accept().await?;
                Ok((Stream::Unix(stream), Peer::local()))
            }
        }
    }
}

/// Whether an accept failed for the sake of one connection only, so that the next may be tried at
/// once. Anything else (out of descriptors or memory) would fail again and again.
pub(crate) fn transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["127.0.0.1:80", "[::1]:0", "unix:/run/x.sock"] {
            assert_eq!(good.parse::<Listen>().unwrap().to_string(), good);
        }
        for bad in ["", "80", "localhost:80", "::1:80", "unix:", "127.0.0.1"] {
            assert_eq!(bad.parse::<Listen>(), Err(BadListen(bad.into())));
        }
    }

    #[test]
    fn all_workers_share_the_port_that_zero_became_and_nobody_else_does() {
        let zero = "127.0.0.1:0".parse().unwrap();
        let sockets = bind(&zero, 3).unwrap();
        assert_eq!(sockets.by_worker.iter().flatten().count(), 3);
        let again = bind(&sockets.bound, 1).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_socket_file_is_removed_only_if_stale_and_only_by_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listen = Listen::Unix(path.clone());

        let live = bind(&listen, 2).unwrap();
        assert_eq!(live.by_worker.iter().flatten().count(), 1);
        assert_eq!(bind(&listen, 2).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(live);
        assert!(!path.exists());

        drop(unix_std::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a stale file");
        let live = bind(&listen, 1).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "not a socket").unwrap();
        drop(live);
        assert!(path.exists(), "somebody else's");
        assert_eq!(bind(&listen, 1).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
