//! The demo's reviews service: an AwesomeRPC server that says in every reply, and in the text of
//! every error, which version it is. It counts what
//! it served, for the verdict; it knows nothing of the router in front of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use awesomerpc::wire::Message;
use heptad::core::Kind;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Data frames that a `Watch` stream sends before it ends.
pub(crate) const WATCHED: usize = 3;

/// One version of the service.
#[derive(Debug)]
pub(crate) struct Reviews {
    version: &'static str,
    served: Mutex<Served>,
}

/// What one version served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Served {
    /// Calls and streams of the user `jason`.
    pub(crate) jason: u64,
    /// Calls and streams of everybody else.
    pub(crate) others: u64,
    /// Calls of services other than `reviews`.
    pub(crate) strangers: u64,
    /// Error replies by status.
    pub(crate) errors: BTreeMap<&'static str, u64>,
}

impl Reviews {
    /// A server that answers as this version.
    pub(crate) fn new(version: &'static str) -> Arc<Self> {
        Arc::new(Self { version, served: Mutex::default() })
    }

    /// Serves connections until the task is dropped.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let reviews = self.clone();
            tokio::spawn(async move {
                // A client that breaks off is no concern of a server.
                let _ = reviews.session(stream).await;
            });
        }
    }

    /// What was served so far.
    pub(crate) fn served(&self) -> Served {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn session(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut buf, mut out) = (Vec::with_capacity(16 << 10), Vec::new());
        loop {
            if stream.read_buf(&mut buf).await? == 0 {
                return Ok(());
            }
            let mut done = 0;
            while let Some((message, len)) = Message::decode(buf.get(done..).unwrap_or_default())
                .map_err(std::io::Error::other)?
            {
                self.answer(&message, &mut out);
                done += len;
            }
            buf.drain(..done);
            stream.write_all(&out).await?;
            out.clear();
        }
    }

    fn answer(&self, message: &Message, out: &mut Vec<u8>) {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let mut say = |reply: Message| {
            if reply.status != 0 {
                *served.errors.entry(reply.status_name()).or_default() += 1;
            }
            // The demo's own texts are far below every limit of the format.
            let _ = reply.encode(out);
        };
        let (id, version) = (message.id, self.version);
        match (message.kind, message.method.as_str()) {
            (Kind::Ping, _) => return say(Message::new(Kind::Pong, id)),
            (Kind::Request, "Get") if message.body == b"missing" => {
                say(Message::error(id, "APP_ERROR", &format!("{version}: no such product")));
            }
            (Kind::Request, "Get") => say(Message::reply(id, version)),
            (Kind::Open, "Watch") => {
                for _ in 0..WATCHED {
                    say(Message::data(id, version));
                }
                say(Message::new(Kind::End, id));
            }
            (Kind::Request | Kind::Open, _) => {
                say(Message::error(id, "UNKNOWN_METHOD", &format!("{version}: no such method")));
            }
            // What a client says on a stream that is over, and oneways, need no answer.
            _ => return,
        }
        match message.value("user") {
            _ if message.service != "reviews" => served.strangers += 1,
            Some("jason") => served.jason += 1,
            _ => served.others += 1,
        }
    }
}
