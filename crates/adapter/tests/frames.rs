//! Frames of two protocols over pipes so narrow that every frame comes in pieces.

use awesomerpc::{AwesomeRpc, wire::Message};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use heptad_adapter::{Answered, ClientEnd, FrameError, ServerEnd};
use heptad_core::{Answer, Attr, Codec as _, Ctx, Kind, NoOptions, Outcome, Reason, Want};
use heptad_redis::{Redis, RedisUpstream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_util::codec::Framed;

fn redis() -> Redis {
    Redis::new(&Default::default()).expect("good options")
}

fn bytes(message: &Message) -> Bytes {
    message.to_bytes().into()
}

/// Reads what a server says to these bytes of a client that then ends.
async fn said(bytes: &'static [u8], width: usize) -> (Vec<(Vec<u8>, Vec<u8>)>, String) {
    let (near, far) = duplex(width);
    let (mut reading, mut writing) = tokio::io::split(near);
    let mut server = Framed::new(far, ServerEnd::new(redis()));
    let client = tokio::spawn(async move {
        let mut heard = String::new();
        let write = async {
            writing.write_all(bytes).await.expect("the server reads");
            writing.shutdown().await.expect("it ends");
        };
        let (_, end) = tokio::join!(write, reading.read_to_string(&mut heard));
        end.expect("the server ends");
        heard
    });
    let mut seen = Vec::new();
    while let Some(request) = server.next().await {
        let request = request.expect("a request");
        let end = server.codec_mut();
        end.accept(&request);
        let method = end.attr(&request, &Attr::Method).expect("known").unwrap_or_default().to_vec();
        let key = end.attr(&request, &Attr::Key).expect("known").unwrap_or_default().to_vec();
        let text = String::from_utf8(method.clone()).expect("text");
        let answer = Answer::Direct { text: &text };
        server.send(Answered { to: &request, answer }).await.expect("the client reads");
        seen.push((method, key));
    }
    drop(server);
    (seen, client.await.expect("no panic"))
}

#[tokio::test]
async fn requests_come_out_whole_however_they_are_cut() {
    let pipeline =
        b"*2\r\n$3\r\nget\r\n$1\r\na\r\nPING\r\n\r\n*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$0\r\n\r\n";
    let mut wide = None;
    for width in [1, 2, 3, 7, 64, 4096] {
        let (seen, heard) = said(pipeline, width).await;
        let names: Vec<_> = seen.iter().map(|(m, k)| (&m[..], &k[..])).collect();
        assert_eq!(names, [(&b"GET"[..], &b"a"[..]), (b"PING", b""), (b"SET", b"b")], "{width}");
        assert!(heard.contains("GET") && heard.ends_with("SET\r\n"), "{heard:?}");
        assert_eq!(*wide.get_or_insert(heard.clone()), heard, "{width}");
    }
}

/// Sends all of it, then hears so many replies.
async fn replies(
    client: &mut Framed<DuplexStream, ClientEnd<Redis>>,
    n: usize,
) -> Vec<(Kind, Outcome, Bytes)> {
    let mut all = Vec::new();
    for _ in 0..n {
        let reply = client.next().await.expect("a reply").expect("a good one");
        all.push((reply.meta.kind, reply.meta.outcome, reply.bytes));
    }
    all
}

#[tokio::test]
async fn replies_in_order_find_their_requests() {
    let (near, mut far) = duplex(3);
    let mut client = Framed::new(near, ClientEnd::new(redis(), &RedisUpstream::default()));
    let server = tokio::spawn(async move {
        let mut asked = vec![0; 14 + 7];
        far.read_exact(&mut asked).await.expect("both requests");
        assert_eq!(asked, b"*1\r\n$4\r\nPING\r\nGET k\r\n");
        far.write_all(b"+PONG\r\n-ERR no\r\n").await.expect("the client reads");
        far
    });
    client.send(Bytes::from_static(b"*1\r\n$4\r\nPING\r\nGET k\r\n")).await.expect("two frames");
    let heard = replies(&mut client, 2).await;
    assert_eq!(heard[0].2, "+PONG\r\n");
    assert_eq!(
        (heard[1].0, heard[1].1, &heard[1].2[..]),
        (Kind::Reply, Outcome::AppError, &b"-ERR no\r\n"[..])
    );
    assert_eq!(client.codec().outstanding(), 0);

    // Half a request is none, and nothing of it is sent or waited for.
    let half = client.send(Bytes::from_static(b"GET a\r\n*2\r\n$3\r\nGET\r\n")).await;
    assert!(matches!(half, Err(FrameError::Fault(_))), "{half:?}");
    assert_eq!(client.codec().outstanding(), 0);

    // The end within a reply is an error.
    let mut far = server.await.expect("no panic");
    tokio::spawn(async move { far.write_all(b"$5\r\nab").await });
    assert!(matches!(client.next().await, Some(Err(FrameError::Io(_)))));
}

#[tokio::test]
async fn replies_with_ids_find_their_requests_in_any_order() {
    let (near, far) = duplex(5);
    let mut client =
        Framed::new(near, ClientEnd::new(AwesomeRpc::default(), &NoOptions::default()));
    let want = |headers| {
        let mut want = Want::default();
        want.headers = headers;
        want
    };
    let end = ServerEnd::limited(AwesomeRpc::default(), Ctx::default().want(want(true)));
    let mut server = Framed::new(far, end);
    let serving = tokio::spawn(async move {
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(server.next().await.expect("a request").expect("a good one"));
        }
        let tenant = Attr::Header("tenant".into());
        assert_eq!(server.codec_mut().attr(&all[0], &tenant), Ok(Some(&b"acme"[..])));
        assert_eq!(all[1].meta.kind, Kind::Oneway);
        server.send(bytes(&Message::reply(9, "second"))).await.expect("read");
        // Nobody listens for the answer to a oneway request, so there is none.
        let error = |text| Answer::Error { outcome: Outcome::Denied, reason: Reason::None, text };
        server.send(Answered { to: &all[1], answer: error("a") }).await.expect("read");
        server.send(Answered { to: &all[0], answer: error("b") }).await.expect("read");
        assert!(server.next().await.is_none());
    });
    let first = Message::request(8, "users", "get").header("tenant", "acme");
    client.send(bytes(&first)).await.expect("sent");
    client.send(bytes(&Message::oneway("log", "put"))).await.expect("sent");
    client
        .send(bytes(&Message::request(9, "users", "put").body(vec![1; 300])))
        .await
        .expect("sent");
    assert_eq!(client.codec().outstanding(), 2);
    for (id, outcome) in [(9, Outcome::Ok), (8, Outcome::Denied)] {
        let reply = client.next().await.expect("a reply").expect("a good one");
        assert_eq!((reply.meta.id, reply.meta.outcome, reply.tag), (id, outcome, Some(())));
    }
    assert_eq!(client.codec().outstanding(), 0);
    drop(client);
    serving.await.expect("no panic");
}

#[tokio::test]
async fn what_is_wrong_is_said_and_what_can_go_on_does() {
    let (mut near, far) = duplex(4096);
    let end = ServerEnd::limited(AwesomeRpc::default(), Ctx::default().max_frame(100).max_head(40));
    let mut server = Framed::new(far, end);
    let long = Message::request(1, "users", "get").header("x", &"y".repeat(60));
    let good = Message::request(2, "users", "get");
    let too_long = Message::request(3, "users", "get").body(vec![0; 200]);
    for message in [&long, &good, &too_long] {
        near.write_all(&message.to_bytes()).await.expect("room");
    }
    let rejected = server.next().await.expect("a frame").expect("the connection goes on");
    assert_eq!((rejected.meta.id, rejected.fault.map(|f| f.reason)), (1, Some(Reason::HeadSize)));
    let good = server.next().await.expect("a frame").expect("a good one");
    assert_eq!((good.meta.id, good.fault), (2, None));
    match server.next().await {
        Some(Err(FrameError::Fault(fault))) => assert_eq!(fault.reason, Reason::FrameSize),
        other => panic!("{other:?}"),
    }
}
