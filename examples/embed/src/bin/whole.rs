//! Level 3, a whole router in code: threads and sockets of its own, routes, clusters and filters as
//! values, no YAML.
//!
//! `cargo run -p embed --bin whole`

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use heptad::{
    BuildError, Builder, Heptad, StartError,
    build::{Cluster, Listener, Route},
    cluster::Balance,
    core::{Attr, Codec as _, OptionsError, Outcome},
    engine::{Limits, Links},
    filters::{Authorize, AuthorizeOptions},
    redis::Redis,
    route::{Expr, Match, Text},
};

/// The router: two stores behind a ring, and nobody flushes.
fn router(stores: &[String]) -> Result<Builder, OptionsError> {
    let flush = ["FLUSHALL", "FLUSHDB"].map(|name| Text::Exact(name.to_owned()));
    let flush = Expr::Attr(Attr::Method, Text::Any(flush.into()));
    let append = Expr::Attr(Attr::Method, Text::Exact("APPEND".to_owned()));
    let mut rules = AuthorizeOptions::default();
    rules.deny = Some(vec![Match(append)]);
    rules.text = Some("read only".to_owned());
    Ok(Heptad::build()
        .workers(2)
        .cluster(
            Cluster::new("stores", stores)
                .balance(Balance::Ring { failover: false })
                .links(Links::default().per_endpoint(1)),
        )
        .listener(
            Listener::new("cache", Redis::new(&Default::default())?)
                .listen("127.0.0.1:0")
                .limits(Limits::default().in_flight(64))
                .filter(Authorize::new(&rules)?)
                .route(Route::refuse("no-flush", Outcome::Denied, "not here").when(flush))
                .route(Route::to("all", "stores").timeout(Some(Duration::from_secs(2)))),
        ))
}

/// Answers everything with its own name.
fn store(name: &'static str) -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).is_ok_and(|n| n > 0) {
                    if write!(stream, "+{name}\r\n").is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(address)
}

/// What a client heard.
async fn run() -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let stores = [store("one")?, store("two")?];
    let running = router(&stores)?.start()?;
    let front = running.listeners().next().ok_or("it has a listener")?.address.clone();
    let mut client = BufReader::new(TcpStream::connect(front)?);
    let mut heard = Vec::new();
    for command in ["GET a", "GET b", "GET a", "flushall", "append a b"] {
        write!(client.get_mut(), "{command}\r\n")?;
        let mut line = String::new();
        client.read_line(&mut line)?;
        heard.push(line.trim_end().to_owned());
    }
    drop(client);
    running.stop(Duration::from_secs(10)).await;

    // What makes no sense is an error to be matched on, before anything is started.
    match router(&stores)?.cluster(Cluster::new("stores", ["a:1"])).start() {
        Err(StartError::Build(BuildError::SameCluster { cluster })) => heard.push(cluster),
        other => return Err(format!("two clusters of one name: {other:?}").into()),
    }
    Ok(heard)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    for line in run().await? {
        println!("{line}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn a_router_is_built_started_and_stopped() {
        let heard = super::run().await.expect("it runs");
        let [a, b, again, flush, append, wrong] = &heard[..] else { panic!("{heard:?}") };
        assert!(["+one", "+two"].contains(&&**a) && ["+one", "+two"].contains(&&**b), "{heard:?}");
        assert_eq!(a, again);
        assert!(flush.starts_with('-') && flush.ends_with("not here"), "{heard:?}");
        assert!(append.starts_with('-') && append.ends_with("read only"), "{heard:?}");
        assert_eq!(wrong, "stores");
    }
}
