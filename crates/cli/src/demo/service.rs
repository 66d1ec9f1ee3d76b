//! What the demo's servers have in common: a loop over sockets, and what the versions of a service
//! count for the verdict. Knows no protocol, and nothing of the router in front of them.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A server's side of a protocol.
pub(crate) trait Service: Send + Sync + 'static {
    /// Takes the first message of `buf`, appends what is to be said to it, and tells how many bytes
    /// it had; `None` until all of it is there. After an error the connection is closed.
    fn answer(&self, buf: &[u8], out: &mut Vec<u8>) -> io::Result<Option<usize>>;
}

/// Serves connections until the task is dropped.
pub(crate) async fn serve<S: Service>(service: Arc<S>, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = service.clone();
        tokio::spawn(async move {
            // A client that breaks off is no concern of a server.
            let _ = session(&*service, stream).await;
        });
    }
}

async fn session<S: Service>(service: &S, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut buf, mut out) = (Vec::with_capacity(16 << 10), Vec::new());
    loop {
        if stream.read_buf(&mut buf).await? == 0 {
            return Ok(());
        }
        let mut done = 0;
        while let Some(len) = service.answer(buf.get(done..).unwrap_or_default(), &mut out)? {
            done += len;
        }
        buf.drain(..done);
        stream.write_all(&out).await?;
        out.clear();
    }
}

/// One version of a service: its name, and its account.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) name: &'static str,
    served: Mutex<Served>,
}

/// What one version served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Served {
    /// Calls and streams of those for whom there is a rule: the user `jason`, the tag `canary`.
    pub(crate) chosen: u64,
    /// Calls and streams of everybody else.
    pub(crate) others: u64,
    /// Calls of another service.
    pub(crate) strangers: u64,
    /// Calls of the greedy tenant, which are among the calls above.
    pub(crate) greedy: u64,
    /// Calls of what is private; not among the others.
    pub(crate) private: u64,
    /// Calls that no answer was wanted for; not among the others.
    pub(crate) oneways: u64,
    /// Error replies by code.
    pub(crate) errors: BTreeMap<&'static str, u64>,
}

impl Version {
    /// A version that has served nothing yet.
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, served: Mutex::default() }
    }

    /// What was served so far.
    pub(crate) fn served(&self) -> Served {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes something down.
    pub(crate) fn note(&self, what: impl FnOnce(&mut Served)) {
        what(&mut self.served.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Served {
    /// One more call.
    pub(crate) fn call(&mut self, chosen: bool) {
        *(if chosen { &mut self.chosen } else { &mut self.others }) += 1;
    }

    /// One more error.
    pub(crate) fn error(&mut self, code: &'static str) {
        *self.errors.entry(code).or_default() += 1;
    }
}
