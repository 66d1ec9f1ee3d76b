//! A router inside a host's own runtime: streams are pipes, endpoints are tasks behind the host's
//! connector, and no socket is opened.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use awesomerpc::{AwesomeRpc, wire::Message};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use heptad::{
    Builder, Heptad, Host, HostError, Hosted, Registry, Totals,
    build::{Cluster, Listener, Route},
    core::{
        Answer, Attr, Codec as _, Filter, FilterWorker, NoOptions, Request, Time, Value, Verdict,
    },
    engine::{Limits, Links, Peer},
    redis::Redis,
};
use heptad_adapter::{Answered, ClientEnd, ServerEnd};
use tokio::{
    io::{
        AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex,
    },
    sync::Semaphore,
    time::timeout,
};
use tokio_util::codec::Framed;

/// Longer than anything takes; only a defect waits so long.
const LONG: Duration = Duration::from_secs(20);

fn redis() -> Redis {
    Redis::new(&Default::default()).expect("good options")
}

/// What the endpoints of a test have in common.
#[derive(Clone)]
struct World {
    /// Requests that came to the endpoints.
    asked: Arc<AtomicU64>,
    /// Calls of `poll_write` on links, and on streams that are [`World::counted`].
    writes: Arc<AtomicU64>,
    /// Requests that may be answered.
    permits: Arc<Semaphore>,
    /// How much a Redis reply has besides its key.
    padding: usize,
}

impl World {
    fn new() -> Self {
        Self {
            asked: Arc::default(),
            writes: Arc::default(),
            permits: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            padding: 0,
        }
    }

    fn host(&self) -> Host {
        let world = self.clone();
        Host::default().connector(move |address: Arc<str>| {
            let world = world.clone();
            async move {
                let (near, far) = duplex(1 << 16);
                match &*address {
                    "the store" => drop(tokio::spawn(world.clone().store(far))),
                    "the users" => drop(tokio::spawn(world.clone().users(far))),
                    _ => return Err(io::ErrorKind::ConnectionRefused.into()),
                }
                Ok(Counted(near, world.writes.clone()))
            }
        })
    }

    fn counted(&self, stream: DuplexStream) -> Counted {
        Counted(stream, self.writes.clone())
    }

    async fn asked(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.permits.acquire().await.expect("it is never closed").forget();
    }

    /// Answers each command with its key.
    async fn store(self, stream: DuplexStream) {
        let mut server = Framed::new(stream, ServerEnd::new(redis()));
        while let Some(Ok(request)) = server.next().await {
            self.asked().await;
            let end = server.codec_mut();
            let key = end.attr(&request, &Attr::Key).expect("known").unwrap_or_default().to_vec();
            let text = String::from_utf8(key).expect("text") + &"x".repeat(self.padding);
            let reply = Bytes::from(format!("${}\r\n{text}\r\n", text.len()));
            if server.send(reply).await.is_err() {
                return;
            }
        }
    }

    /// Answers each call with its method.
    async fn users(self, stream: DuplexStream) {
        let mut server = Framed::new(stream, ServerEnd::new(AwesomeRpc::default()));
        while let Some(Ok(request)) = server.next().await {
            self.asked().await;
            let text = String::from_utf8(request.method().expect("one").to_vec()).expect("text");
            let answer = Answer::Direct { text: &text };
            if server.send(Answered { to: &request, answer }).await.is_err() {
                return;
            }
        }
    }
}

/// A stream that counts how often it is written to.
struct Counted(DuplexStream, Arc<AtomicU64>);

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

fn router() -> Builder {
    let one = Links::default().per_endpoint(1);
    Heptad::build()
        .workers(2)
        .cluster(Cluster::new("store", ["the store"]).links(one))
        .cluster(Cluster::new("users", ["the users"]).links(one))
        .cluster(Cluster::new("nobody", ["nowhere"]))
        .listener(Listener::new("cache", redis()).route(Route::to("all", "store")))
        .listener(Listener::new("rpc", AwesomeRpc::default()).route(Route::to("all", "users")))
        .listener(Listener::new("lost", redis()).route(Route::to("all", "nobody")))
}

fn get(key: &str) -> String {
    format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len())
}

fn got(key: &str) -> String {
    format!("${}\r\n{key}\r\n", key.len())
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), text: &str) {
    timeout(LONG, stream.write_all(text.as_bytes())).await.expect("in time").expect("it is read");
}

async fn hear(stream: &mut (impl AsyncRead + Unpin), text: &str) {
    let mut heard = vec![0; text.len()];
    timeout(LONG, stream.read_exact(&mut heard)).await.expect("in time").expect("it is answered");
    assert_eq!(String::from_utf8_lossy(&heard), text);
}

/// Waits until something is so.
async fn until(what: impl Fn() -> bool) {
    let so = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LONG, so).await.expect("it comes to be so");
}

fn serve(hosted: &Hosted, listener: &str) -> DuplexStream {
    let (near, far) = duplex(1 << 16);
    drop(hosted.listener(listener).expect("it is there").serve_stream(far, Peer::local()));
    near
}

fn requests(totals: &[Totals], listener: &str) -> u64 {
    let one = totals.iter().find(|one| *one.listener == *listener).expect("it is there");
    one.series.values().map(heptad::SeriesTotals::requests).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_protocols_pass_over_the_hosts_pipes() {
    let hosted = router().host(World::new().host()).expect("it starts");
    let mut redis = serve(&hosted, "cache");
    for key in ["a", "b"] {
        say(&mut redis, &get(key)).await;
        hear(&mut redis, &got(key)).await;
    }
    let end = ClientEnd::new(AwesomeRpc::default(), &NoOptions::default());
    let mut rpc = Framed::new(serve(&hosted, "rpc"), end);
    for id in [7, 7, 8] {
        let call = Message::request(id, "users", "who").to_bytes();
        rpc.send(Bytes::from(call)).await.expect("sent");
        let reply = timeout(LONG, rpc.next()).await.expect("in time").expect("one").expect("good");
        let (reply, _) = Message::decode(&reply.bytes).expect("good").expect("whole");
        assert_eq!((reply.id, reply.status_name(), &reply.body[..]), (id, "OK", &b"who"[..]));
    }
    // What the connector refuses is said in the protocol.
    let mut lost = serve(&hosted, "lost");
    say(&mut lost, &get("a")).await;
    hear(&mut lost, "-").await;
    let totals = hosted.collect().await;
    assert_eq!((requests(&totals, "cache"), requests(&totals, "rpc")), (2, 3));
    assert!(hosted.metrics_text().await.contains("listener=\"rpc\""));
    assert!(hosted.listener("nobody").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_streams_get_their_own_replies() {
    let world = World::new();
    let hosted = router().host(world.host()).expect("it starts");
    let clients: Vec<_> = (0..200)
        .map(|client| {
            let mut stream = serve(&hosted, "cache");
            tokio::spawn(async move {
                for round in 0..20 {
                    let keys: Vec<_> = (0..5).map(|n| format!("{client}-{round}-{n}")).collect();
                    say(&mut stream, &keys.iter().map(|key| get(key)).collect::<String>()).await;
                    hear(&mut stream, &keys.iter().map(|key| got(key)).collect::<String>()).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("no panic");
    }
    assert_eq!(world.asked.load(Ordering::SeqCst), 200 * 20 * 5);
    let streams = hosted.listener("cache").expect("it is there").clone();
    until(|| streams.sessions() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_dropped_within_a_request_harms_nobody_else() {
    let world = World { permits: Arc::new(Semaphore::new(0)), ..World::new() };
    let hosted = router().workers(1).host(world.host()).expect("it starts");
    let (mut gone, far) = duplex(1 << 16);
    let streams = hosted.listener("cache").expect("it is there");
    let session = streams.serve_stream(far, Peer::local());
    let mut stays = serve(&hosted, "cache");
    say(&mut gone, &get("gone")).await;
    until(|| world.asked.load(Ordering::SeqCst) == 1).await;
    say(&mut stays, &get("stays")).await;
    // Half a request behind a whole one, and then nobody.
    say(&mut gone, "*2\r\n$3\r\nGE").await;
    drop(gone);
    world.permits.add_permits(10);
    timeout(LONG, session).await.expect("it is over");
    hear(&mut stays, &got("stays")).await;
    assert_eq!(streams.sessions(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_closed_stream_gets_its_replies() {
    let world = World { permits: Arc::new(Semaphore::new(0)), ..World::new() };
    let hosted = router().host(world.host()).expect("it starts");
    let (mut near, far) = duplex(1 << 16);
    let session = hosted.listener("cache").expect("it is there").serve_stream(far, Peer::local());
    say(&mut near, &(get("a") + &get("b"))).await;
    near.shutdown().await.expect("it ends");
    until(|| world.asked.load(Ordering::SeqCst) == 1).await;
    world.permits.add_permits(2);
    let mut heard = String::new();
    timeout(LONG, near.read_to_string(&mut heard)).await.expect("in time").expect("an end");
    assert_eq!(heard, got("a") + &got("b"));
    timeout(LONG, session).await.expect("it is over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hosts_sink_hears_the_numbers() {
    let seen: Arc<Mutex<Vec<BTreeMap<String, u64>>>> = Arc::default();
    let told = seen.clone();
    let host = World::new().host().metrics(Duration::from_millis(5), move |totals| {
        let by_name = totals.iter().map(|one| &*one.listener);
        let numbers = by_name.map(|name| (name.to_owned(), requests(totals, name))).collect();
        told.lock().expect("no panic").push(numbers);
    });
    let hosted = router().host(host).expect("it starts");
    let mut stream = serve(&hosted, "cache");
    say(&mut stream, &get("a")).await;
    hear(&mut stream, &got("a")).await;
    let last =
        |name: &str| seen.lock().expect("no panic").last().and_then(|n| n.get(name).copied());
    until(|| last("cache") == Some(1)).await;
    assert_eq!(last("rpc"), Some(0));
    say(&mut stream, &get("b")).await;
    hear(&mut stream, &got("b")).await;
    drop(stream);
    assert_eq!(hosted.stop(LONG).await, 0);
    assert_eq!(last("cache"), Some(2));
    let calls = seen.lock().expect("no panic").len();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(seen.lock().expect("no panic").len(), calls, "nothing is told after the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_requests_end_and_cuts_off_what_does_not() {
    let world = World { permits: Arc::new(Semaphore::new(0)), ..World::new() };
    let hosted = router().host(world.host()).expect("it starts");
    let mut stream = serve(&hosted, "cache");
    say(&mut stream, &get("a")).await;
    until(|| world.asked.load(Ordering::SeqCst) == 1).await;
    let stopping = tokio::spawn({
        let hosted = hosted.clone();
        async move { hosted.stop(LONG).await }
    });
    // A stream that comes too late is dropped.
    until(|| {
        let (near, far) = duplex(8);
        drop(near);
        let streams = hosted.listener("cache").expect("it is there");
        let before = streams.sessions();
        drop(streams.serve_stream(far, Peer::local()));
        before == 1 && streams.sessions() == 1
    })
    .await;
    world.permits.add_permits(1);
    hear(&mut stream, &got("a")).await;
    assert_eq!(timeout(LONG, stopping).await.expect("in time").expect("no panic"), 0);
    assert_eq!(stream.read(&mut [0]).await.expect("an end"), 0);

    let hosted = router().host(world.host()).expect("it starts");
    let mut stream = serve(&hosted, "cache");
    say(&mut stream, &get("a")).await;
    until(|| world.asked.load(Ordering::SeqCst) == 2).await;
    assert_eq!(hosted.stop(Duration::ZERO).await, 1);
    assert_eq!(stream.read(&mut [0]).await.expect("an end"), 0);
}

/// A pipeline is one write to the endpoint and one to the client, whatever runs the tasks.
async fn one_write_for_a_pipeline() {
    let world = World { permits: Arc::new(Semaphore::new(0)), ..World::new() };
    let hosted = router().workers(1).host(world.host()).expect("it starts");
    let (mut near, far) = duplex(1 << 16);
    let streams = hosted.listener("cache").expect("it is there");
    drop(streams.serve_stream(world.counted(far), Peer::local()));
    // The link is open.
    world.permits.add_permits(1);
    say(&mut near, &get("first")).await;
    hear(&mut near, &got("first")).await;
    assert_eq!(world.writes.swap(0, Ordering::SeqCst), 2);

    let keys: Vec<_> = (0..16).map(|n| format!("key-{n}")).collect();
    say(&mut near, &keys.iter().map(|key| get(key)).collect::<String>()).await;
    until(|| world.asked.load(Ordering::SeqCst) == 2).await;
    assert_eq!(world.writes.load(Ordering::SeqCst), 1, "sixteen requests are one write");
    world.permits.add_permits(16);
    hear(&mut near, &keys.iter().map(|key| got(key)).collect::<String>()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pipeline_is_one_write_among_threads() {
    one_write_for_a_pipeline().await;
}

#[tokio::test]
async fn a_pipeline_is_one_write_on_one_thread() {
    one_write_for_a_pipeline().await;
}

#[tokio::test]
async fn streams_that_are_ready_together_share_a_write() {
    let world = World { permits: Arc::new(Semaphore::new(0)), ..World::new() };
    let hosted = router().workers(1).host(world.host()).expect("it starts");
    let mut streams: Vec<_> = (0..16).map(|_| serve(&hosted, "cache")).collect();
    world.permits.add_permits(1);
    say(&mut streams[0], &get("first")).await;
    hear(&mut streams[0], &got("first")).await;
    assert_eq!(world.writes.swap(0, Ordering::SeqCst), 1);

    // Nothing else runs meanwhile: this thread does not wait for anything.
    for stream in &mut streams {
        say(stream, &get("k")).await;
    }
    until(|| world.asked.load(Ordering::SeqCst) == 2).await;
    assert_eq!(world.writes.load(Ordering::SeqCst), 1, "sixteen streams are one write");
    world.permits.add_permits(16);
    for stream in &mut streams {
        hear(stream, &got("k")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_not_read_from_and_keeps_nobody_up() {
    const ALL: u64 = 5000;
    let world = World { padding: 1 << 10, ..World::new() };
    let limits = Limits::default().in_flight(16).soft_mark(8 << 10);
    let hosted = Heptad::build()
        .workers(1)
        .cluster(Cluster::new("store", ["the store"]))
        .listener(Listener::new("cache", redis()).route(Route::to("all", "store")).limits(limits))
        .host(world.host())
        .expect("it starts");
    let (near, far) = duplex(4 << 10);
    drop(hosted.listener("cache").expect("it is there").serve_stream(far, Peer::local()));
    let (mut reading, mut writing) = tokio::io::split(near);
    let deaf = tokio::spawn(async move {
        for _ in 0..ALL {
            writing.write_all(get("deaf").as_bytes()).await.expect("it is read at last");
        }
        writing
    });
    // Others are served while it is stuck; then what it got is bounded by marks and pipes.
    let other = "other".to_owned() + &"x".repeat(1 << 10);
    let mut stream = serve(&hosted, "cache");
    let mut before = u64::MAX;
    let rounds = async {
        loop {
            say(&mut stream, &get("other")).await;
            hear(&mut stream, &got(&other)).await;
            let asked = world.asked.load(Ordering::SeqCst);
            if before.checked_add(1) == Some(asked) {
                return asked;
            }
            before = asked;
        }
    };
    timeout(LONG, rounds).await.expect("it gets stuck");
    let mut heard = 0;
    for _ in 0..100 {
        say(&mut stream, &get("other")).await;
        hear(&mut stream, &got(&other)).await;
        heard += 1;
    }
    let totals = hosted.collect().await;
    assert!(!deaf.is_finished());
    assert!(requests(&totals, "cache") < ALL / 4, "{} of {heard}", requests(&totals, "cache"));
    let reply = got(&("deaf".to_owned() + &"x".repeat(1 << 10)));
    for _ in 0..ALL {
        hear(&mut reading, &reply).await;
    }
    drop(deaf.await.expect("no panic"));
}

#[tokio::test]
async fn a_file_may_say_what_the_host_serves() {
    let text = "workers: 1\n\
                listeners:\n\
                - { name: cache, listen: 127.0.0.1:0, codec: redis, routes: [ { name: r, to: c } ] }\n\
                clusters: [ { name: c, endpoints: [ store:1 ] } ]\n";
    let registry = Registry::standard();
    let model = registry.load("test", text).expect("a good file");
    let world = World::new();
    let host = Host::default().connector(move |address: Arc<str>| {
        assert_eq!(&*address, "store:1");
        let (near, far) = duplex(64);
        tokio::spawn(world.clone().store(far));
        async { Ok(near) }
    });
    let hosted = Heptad::host(&registry, &model, host).expect("it starts");
    let mut stream = serve(&hosted, "cache");
    say(&mut stream, &get("a")).await;
    hear(&mut stream, &got("a")).await;
}

#[test]
fn without_a_runtime_it_says_so() {
    assert!(matches!(router().host(Host::default()), Err(HostError::Runtime(_))));
}

/// Panics when it is read.
struct Rotten;

impl AsyncRead for Rotten {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        panic!("rotten, on purpose")
    }
}

impl AsyncWrite for Rotten {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panics_of_the_hosts_code_cost_what_they_touch() {
    let world = World::new();
    let host = Host::default().connector(move |address: Arc<str>| {
        assert_eq!(&*address, "the store", "on purpose");
        let world = world.clone();
        async move {
            let (near, far) = duplex(64);
            tokio::spawn(world.store(far));
            Ok(near)
        }
    });
    let hosted = router().workers(1).host(host).expect("it starts");
    let mut stays = serve(&hosted, "cache");
    say(&mut stays, &get("a")).await;
    hear(&mut stays, &got("a")).await;
    let streams = hosted.listener("cache").expect("it is there");
    timeout(LONG, streams.serve_stream(Rotten, Peer::local())).await.expect("it is over");
    let mut lost = serve(&hosted, "lost");
    say(&mut lost, &get("a")).await;
    hear(&mut lost, "-").await;
    say(&mut stays, &get("b")).await;
    hear(&mut stays, &got("b")).await;
    let totals = hosted.collect().await;
    assert_eq!(totals.iter().map(|one| one.restarts).sum::<u64>(), 0);
}

#[tokio::test]
async fn a_stream_that_buffers_is_flushed() {
    let hosted = router().host(World::new().host()).expect("it starts");
    let (mut near, far) = duplex(1 << 16);
    let streams = hosted.listener("cache").expect("it is there");
    let buffered = tokio::io::BufStream::new(far);
    drop(streams.serve_stream(buffered, Peer::local()));
    say(&mut near, &get("a")).await;
    hear(&mut near, &got("a")).await;
}

#[tokio::test]
async fn the_last_handle_ends_everything() {
    let hosted = router().host(World::new().host().metrics(LONG, |_| ())).expect("it starts");
    let mut stream = serve(&hosted, "cache");
    say(&mut stream, &get("a")).await;
    hear(&mut stream, &got("a")).await;
    drop(hosted);
    let end = timeout(LONG, stream.read(&mut [0])).await.expect("in time");
    assert_eq!(end.expect("an end"), 0);
}

/// A filter that panics inside of the engine when it is asked about the key `bad`.
#[derive(Debug)]
struct Panics;

impl Filter for Panics {
    fn name(&self) -> &str {
        "panics"
    }

    fn worker(&self, _: u64) -> Box<dyn FilterWorker> {
        Box::new(Self)
    }
}

impl FilterWorker for Panics {
    fn request(&mut self, _: Time, request: &mut dyn Request, _: &mut u64) -> Verdict {
        assert_ne!(request.attr(&Attr::Key), Ok(Some(Value::Bytes(b"bad"))), "on purpose");
        Verdict::Pass
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_panics_is_replaced() {
    let hosted = Heptad::build()
        .workers(1)
        .cluster(Cluster::new("store", ["the store"]))
        .listener(Listener::new("cache", redis()).filter(Panics).route(Route::to("all", "store")))
        .host(World::new().host())
        .expect("it starts");
    let (mut near, far) = duplex(64);
    let streams = hosted.listener("cache").expect("it is there");
    let session = streams.serve_stream(far, Peer::local());
    say(&mut near, &get("good")).await;
    hear(&mut near, &got("good")).await;
    say(&mut near, &get("bad")).await;
    timeout(LONG, session).await.expect("it is over");
    assert_eq!(near.read(&mut [0]).await.expect("an end"), 0);
    let mut next = serve(&hosted, "cache");
    say(&mut next, &get("good")).await;
    hear(&mut next, &got("good")).await;
    assert_eq!(hosted.collect().await[0].restarts, 1);
    drop(next);
    assert_eq!(hosted.stop(LONG).await, 0);
}
