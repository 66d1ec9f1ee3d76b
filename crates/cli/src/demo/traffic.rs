//! The demo's clients: each keeps its own account of what it asked for and what came back, which is
//! what the verdict rests on. They know the two protocols and the router's two addresses, and
//! nothing of how the router decides.

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

use super::{calls, commands, stores::Item};

/// Connections that speak AwesomeRPC, and that speak Redis.
const CLIENTS: u32 = 4;
/// How long a client waits for the answers to one batch. Far longer than any route's time-out.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the AwesomeRPC clients saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    /// Answers to the user `jason`, by the version that gave them.
    pub(crate) jason: BTreeMap<String, u64>,
    /// Answers to everybody else, by the version that gave them.
    pub(crate) others: BTreeMap<String, u64>,
    /// Errors that were provoked and came, by status.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Calls of a service that no route knows, answered with an error.
    pub(crate) unrouted: u64,
    /// Streams that were whole.
    pub(crate) streams: u64,
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
    /// Increments of [`commands::HITS`], the one key that all clients share.
    pub(crate) hits: u64,
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
pub(crate) async fn run(rpc: SocketAddr, redis: SocketAddr, stop: Stop) -> (Calls, Commands) {
    let mut callers = JoinSet::new();
    let mut commanders = JoinSet::new();
    for n in 0..CLIENTS {
        callers.spawn(client(rpc, stop.clone(), calls::Caller::new(n)));
        commanders.spawn(client(redis, stop.clone(), commands::Commander::new(n)));
    }
    let mut calls = Calls::default();
    while let Some(done) = callers.join_next().await {
        match done {
            Ok(caller) => calls.merge(caller.seen),
            Err(error) => calls.odd.note(|| error.to_string()),
        }
    }
    let mut commands = Commands::default();
    while let Some(done) = commanders.join_next().await {
        match done {
            Ok(commander) => commands.merge(commander.seen),
            Err(error) => commands.odd.note(|| error.to_string()),
        }
    }
    (calls, commands)
}

/// A client that sends a batch and waits for all of its answers.
pub(crate) trait Client: Send + 'static {
    /// Appends the next batch.
    fn ask(&mut self, out: &mut Vec<u8>);
    /// Takes what has come, returns how many bytes of it are done with, and whether the batch is.
    fn hear(&mut self, buf: &[u8]) -> io::Result<(usize, bool)>;
    /// The connection broke with the batch unfinished.
    fn broke(&mut self, error: &io::Error);
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
    fn merge(&mut self, other: Self) {
        add(&mut self.jason, other.jason);
        add(&mut self.others, other.others);
        add(&mut self.errors, other.errors);
        self.unrouted += other.unrouted;
        self.streams += other.streams;
        self.odd.merge(other.odd);
    }
}

impl Commands {
    fn merge(&mut self, other: Self) {
        add(&mut self.right, other.right);
        add(&mut self.errors, other.errors);
        self.expected.extend(other.expected);
        self.hits += other.hits;
        self.odd.merge(other.odd);
    }
}

fn add<K: Ord>(mine: &mut BTreeMap<K, u64>, theirs: BTreeMap<K, u64>) {
    for (key, count) in theirs {
        *mine.entry(key).or_default() += count;
    }
}
