//! The demo's clients: each keeps its own account of what it asked for and what came back, which is
//! what the verdict rests on. They know their protocols and the router's addresses, and nothing of
//! how the router decides.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    calls::Caller, commands::Commander, detail_calls::Browser, policed::Policed,
    rating_calls::Reader, stores::Item,
};

/// Connections of each protocol.
const CLIENTS: u32 = 4;
/// How long a client waits for the answers to one batch. Far longer than any route's time-out.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the router listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) reviews: SocketAddr,
    pub(crate) stores: SocketAddr,
    pub(crate) ratings: SocketAddr,
    pub(crate) details: SocketAddr,
}

/// What all clients saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    pub(crate) reviews: Calls,
    pub(crate) commands: Commands,
    pub(crate) ratings: Calls,
    pub(crate) details: Calls,
}

/// What the clients of a service with versions saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    /// Answers to those for whom there is a rule (the user `jason`, the tag `canary`), by the
    /// version that gave them.
    pub(crate) chosen: BTreeMap<String, u64>,
    /// Answers to everybody else, by the version that gave them.
    pub(crate) others: BTreeMap<String, u64>,
    /// Errors that were provoked and came, by code.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Oneways that have arrived for sure, by the version that must have got them.
    pub(crate) oneways: BTreeMap<String, u64>,
    /// Heartbeats sent.
    pub(crate) pings: u64,
    /// Heartbeats answered.
    pub(crate) pongs: u64,
    /// Calls of a service that no route knows, answered with an error.
    pub(crate) unrouted: u64,
    /// Streams that were whole.
    pub(crate) streams: u64,
    /// What policies did.
    pub(crate) policed: Policed,
    /// Everything that should not have happened.
    pub(crate) odd: Odd,
}

/// What the Redis clients saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commands {
    /// Commands answered as they had to be, by name.
    pub(crate) right: BTreeMap<&'static str, u64>,
    /// Errors that were provoked and came, by code.
    pub(crate) errors: BTreeMap<String, u64>,
    /// What must be in the stores when all is done.
    pub(crate) expected: HashMap<String, Item>,
    /// Increments of [`commands::HITS`], a key that all clients share.
    pub(crate) hits: u64,
    /// What policies did; those that passed are increments of [`commands::HOT`].
    pub(crate) policed: Policed,
    /// Everything that should not have happened.
    pub(crate) odd: Odd,
}

/// Surprises: how many, and the first of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Odd {
    pub(crate) count: u64,
    pub(crate) first: Option<String>,
}

impl Odd {
    /// Notes a surprise.
    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        self.first.get_or_insert_with(what);
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.take().or(other.first);
    }
}

/// Says when it is time to stop: no client begins another batch then, and all finish theirs.
pub(crate) type Stop = Arc<AtomicBool>;

/// Runs all clients until `stop` is set, and gives their accounts.
pub(crate) async fn run(to: Addresses, stop: Stop) -> Accounts {
    let (reviews, commands, ratings, details) = tokio::join!(
        clients(to.reviews, &stop, Caller::new),
        clients(to.stores, &stop, Commander::new),
        clients(to.ratings, &stop, Reader::new),
        clients(to.details, &stop, Browser::new),
    );
    Accounts { reviews, commands, ratings, details }
}

async fn clients<C: Client>(to: SocketAddr, stop: &Stop, new: fn(u32) -> C) -> C::Account {
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        clients.spawn(client(to, stop.clone(), new(n)));
    }
    let mut all = C::Account::default();
    while let Some(done) = clients.join_next().await {
        match done {
            Ok(client) => all.merge(client.seen()),
            Err(error) => all.odd().note(|| error.to_string()),
        }
    }
    all
}

/// A client that sends a batch and waits for all of its answers.
pub(crate) trait Client: Send + 'static {
    /// What it takes down.
    type Account: Account;
    /// Appends the next batch.
    fn ask(&mut self, out: &mut Vec<u8>);
    /// Takes what has come, returns how many bytes of it are done with, and whether the batch is.
    fn hear(&mut self, buf: &[u8]) -> io::Result<(usize, bool)>;
    /// The connection broke with the batch unfinished.
    fn broke(&mut self, error: &io::Error);
    /// What it took down.
    fn seen(self) -> Self::Account;
}

/// Accounts of several clients can be made one.
pub(crate) trait Account: Default {
    /// Adds another one.
    fn merge(&mut self, other: Self);
    /// Everything that should not have happened.
    fn odd(&mut self) -> &mut Odd;
}

async fn client<C: Client>(to: SocketAddr, stop: Stop, mut client: C) -> C {
    while !stop.load(Ordering::Relaxed) {
        if let Err(error) = connection(to, &stop, &mut client).await {
            client.broke(&error);
            sleep(Duration::from_millis(100)).await;
        }
    }
    client
}

async fn connection<C: Client>(to: SocketAddr, stop: &Stop, client: &mut C) -> io::Result<()> {
    let mut stream = timeout(PATIENCE, TcpStream::connect(to)).await??;
    stream.set_nodelay(true)?;
    let (mut buf, mut out) = (Vec::with_capacity(16 << 10), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        out.clear();
        client.ask(&mut out);
        let batch = async {
            stream.write_all(&out).await?;
            loop {
                let (done, over) = client.hear(&buf)?;
                buf.drain(..done);
                if over {
                    return io::Result::Ok(());
                }
                if stream.read_buf(&mut buf).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        };
        timeout(PATIENCE, batch).await??;
    }
    Ok(())
}

impl Calls {
    /// Counts an answer by the version that gave it, and the error that it was, if it was one.
    pub(crate) fn answered(&mut self, chosen: bool, version: &str, error: Option<&str>) {
        let by = if chosen { &mut self.chosen } else { &mut self.others };
        count(by, version);
        error.into_iter().for_each(|code| count(&mut self.errors, code));
    }
}

fn count(counts: &mut BTreeMap<String, u64>, key: &str) {
    match counts.get_mut(key) {
        Some(n) => *n += 1,
        None => _ = counts.insert(key.to_owned(), 1),
    }
}

impl Account for Calls {
    fn merge(&mut self, other: Self) {
        add(&mut self.chosen, other.chosen);
        add(&mut self.others, other.others);
        add(&mut self.errors, other.errors);
        add(&mut self.oneways, other.oneways);
        self.pings += other.pings;
        self.pongs += other.pongs;
        self.unrouted += other.unrouted;
        self.streams += other.streams;
        self.policed.merge(other.policed);
        self.odd.merge(other.odd);
    }

    fn odd(&mut self) -> &mut Odd {
        &mut self.odd
    }
}

impl Account for Commands {
    fn merge(&mut self, other: Self) {
        add(&mut self.right, other.right);
        add(&mut self.errors, other.errors);
        self.expected.extend(other.expected);
        self.hits += other.hits;
        self.policed.merge(other.policed);
        self.odd.merge(other.odd);
    }

    fn odd(&mut self) -> &mut Odd {
        &mut self.odd
    }
}

fn add<K: Ord>(mine: &mut BTreeMap<K, u64>, theirs: BTreeMap<K, u64>) {
    for (key, count) in theirs {
        *mine.entry(key).or_default() += count;
    }
}
