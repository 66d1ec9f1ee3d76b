//! The Redis codec through the checks that every codec is put through.

use heptad_core::{Codec, Flavour, Outcome, Side};
use heptad_redis::{Redis, RedisUpstream, Secret};
use heptad_testkit::conformance::Conformance;

/// A command as clients send it.
fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

fn commands(all: &[&[&str]]) -> Vec<u8> {
    all.iter().flat_map(|words| command(words)).collect()
}

/// Keys and lengths are spread over a whole command, so that it is all head.
fn suite() -> Conformance<Redis> {
    let redis = Redis::new(&Default::default()).expect("default options make sense");
    Conformance::new(redis).whole_frames()
}

#[test]
fn plain_commands_in_a_pipeline() {
    let long = "x".repeat(700);
    let requests = commands(&[
        &["SET", "key", &long],
        &["get", "key"],
        &["GET", ""],
        &["HGETALL", "a{tag}b"],
        &["MGET", "a", "b", "c"],
        &["PING"],
        &["EVAL", "return 1", "1", "key"],
    ]);
    let big = format!("${}\r\n{long}\r\n", long.len());
    let replies = format!(
        "+OK\r\n{big}$-1\r\n*2\r\n$1\r\na\r\n*1\r\n:7\r\n*3\r\n$-1\r\n$1\r\nb\r\n$-1\r\n+PONG\r\n\
         -WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
    );
    suite().requests(&requests, 7).replies(&requests, replies.as_bytes(), 7).assert();
}

#[test]
fn inline_commands() {
    let requests = b"PING\r\nset key \"a value\"\r\n\r\nGET key\nMGET a b\r\n";
    suite().requests(requests, 4).assert();
}

#[test]
fn commands_that_bind_the_connection() {
    let transaction = commands(&[
        &["MULTI"],
        &["SET", "key", "1"],
        &["INCR", "key"],
        &["EXEC"],
        &["BLPOP", "list", "30"],
        &["SELECT", "1"],
        &["WATCH", "key"],
        &["UNWATCH"],
    ]);
    let replies =
        b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:2\r\n*2\r\n$4\r\nlist\r\n$1\r\nx\r\n\
        +OK\r\n+OK\r\n+OK\r\n";
    suite().requests(&transaction, 8).replies(&transaction, replies, 8).assert();
}

#[test]
fn replies_of_resp3() {
    let asked =
        commands(&[&["HELLO", "3"], &["HGETALL", "h"], &["ZSCORE", "z", "a"], &["GET", "k"]]);
    let replies = b"%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n\
        %1\r\n$1\r\na\r\n~2\r\n:1\r\n#t\r\n,1.5\r\n_\r\n";
    suite().requests(&asked, 4).replies(&asked, replies, 4).assert();
}

/// A link to a server with a password, for clients of this flavour.
fn link(flavour: u32) -> impl Fn(&Redis) -> <Redis as Codec>::Conn {
    move |redis| {
        let mut upstream = RedisUpstream::default();
        upstream.password = Some(Secret::new("sesame"));
        upstream.db = 3;
        redis.open(Side::Link(&upstream), Flavour(flavour))
    }
}

#[test]
fn greetings() {
    suite()
        .greeting(link(0), b"+OK\r\n+OK\r\n")
        .greeting(link(1), b"%1\r\n$5\r\nproto\r\n:3\r\n+OK\r\n")
        .assert();
}

#[test]
fn hostile_requests() {
    suite()
        .hostile(b"*-5\r\n*1073741824\r\n", Outcome::TooLarge)
        .hostile(b"*2\r\n$3\r\nGET\r\n$99999999999\r\n", Outcome::BadRequest)
        .hostile(b"*1\r\n:1\r\n", Outcome::BadRequest)
        .hostile(&[b'a'; 128 << 10], Outcome::TooLarge)
        .assert();
}

/// The cursor of a reply was once kept in a span, as which it pointed anywhere.
#[test]
fn cursors() {
    let asked = commands(&[&["SCAN", "0"], &["SCAN", "17"], &["SCAN", "5"]]);
    let replies = b"*2\r\n$7\r\n1048576\r\n*1\r\n$1\r\nk\r\n*2\r\n$1\r\n0\r\n*0\r\n\
        *1\r\n$3\r\n153\r\n";
    suite().requests(&asked, 3).replies(&asked, replies, 3).assert();
}

heptad_testkit::conformance! {
    codec: Redis::new(&Default::default()).expect("default options make sense"),
    requests: [
        [command(&["SET", "key", "a value"]), command(&["GET", "key"]), command(&["PING"])],
        [*b"MGET a b\r\n"],
    ],
    replies: [
        [command(&["GET", "key"]), command(&["DEL", "a", "b"])] => [*b"$1\r\nx\r\n", *b":2\r\n"],
    ],
    with: |suite| suite.whole_frames().rounds(100),
}
