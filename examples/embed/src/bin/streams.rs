//! Level 2, streams of a host: the program has a multi-thread runtime, accepts (here: makes) its own
//! streams, opens the links by its own connector and hears the numbers in its own way.
//!
//! `cargo run -p embed --bin streams`

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use heptad::{
    Heptad, Host, SeriesTotals, Totals,
    build::{Cluster, Listener, Route},
    core::Codec as _,
    engine::Peer,
    redis::Redis,
};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, duplex};

/// A store that has one answer. In a real program: a socket, TLS, a tunnel.
async fn connect(address: Arc<str>) -> io::Result<tokio::io::DuplexStream> {
    if &*address != "mem:store" {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let (near, mut far) = duplex(4096);
    tokio::spawn(async move {
        // As many replies as there are commands, which are one read each here.
        let mut bytes = [0; 4096];
        while far.read(&mut bytes).await.is_ok_and(|n| n > 0) {
            if far.write_all(b"+from memory\r\n").await.is_err() {
                return;
            }
        }
    });
    Ok(near)
}

/// What a client was told, and how many requests the host's sink heard of.
async fn run() -> Result<(String, u64), Box<dyn std::error::Error + Send + Sync>> {
    let heard = Arc::new(AtomicU64::new(0));
    let sink = heard.clone();
    let host = Host::default().connector(connect).metrics(
        Duration::from_secs(10),
        move |totals: &[Totals]| {
            let series = totals.iter().flat_map(|one| one.series.values());
            sink.store(series.map(SeriesTotals::requests).sum(), Ordering::Relaxed);
        },
    );
    let router = Heptad::build()
        .cluster(Cluster::new("store", ["mem:store"]))
        .listener(
            Listener::new("cache", Redis::new(&Default::default())?)
                .route(Route::to("all", "store")),
        )
        .host(host)?;
    let cache = router.listener("cache").ok_or("it was just made")?;

    // Where a host would accept and take TLS off: any stream, and who is at its other end.
    let (client, server) = duplex(4096);
    let session = cache.serve_stream(server, Peer::local());

    let mut client = BufReader::new(client);
    client.write_all(b"GET k\r\n").await?;
    let mut reply = String::new();
    client.read_line(&mut reply).await?;
    drop(client);
    session.await;
    router.stop(Duration::from_secs(10)).await;
    Ok((reply, heard.load(Ordering::Relaxed)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (reply, requests) = run().await?;
    println!("the client heard {reply:?}, the sink of {requests} requests");
    Ok(())
}

#[cfg(test)]
mod tests {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_stream_of_the_host_is_served() {
        let ran = super::run().await.expect("it runs");
        assert_eq!(ran, ("+from memory\r\n".to_owned(), 1));
    }
}
