//! A running router with several protocols on one port: whoever connects is answered in its own.

mod common;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
};

use common::{PATIENCE, Router, http};
use heptad_dubbo::wire;

#[test]
fn each_client_is_answered_in_its_own_protocol() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("heptad.yaml");
    let yaml = "workers: 1\nadmin: { listen: \"127.0.0.1:0\", tap: full }\nlisteners:\n  - name: front\n    \
                listen: 127.0.0.1:0\n    codec: [ dubbo, thrift, redis ]\n    routes:\n      \
                - { name: redis, match: { protocol: redis }, answer: { ok: FINE } }\n      \
                - { name: rest, answer: { ok: fine } }\n";
    fs::write(&file, yaml).expect("it can be written");
    let router = Router::run(&file, &[]);
    let front = router.address("(front, dubbo+thrift+redis)");
    let admin = router.address("(admin");
    // Two at a time, in pieces.
    let connect = || {
        let stream = TcpStream::connect(front).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_nodelay(true).expect("an option");
        stream
    };
    let (mut redis, mut dubbo) = (connect(), connect());
    let request = wire::request(7, "svc", "1.0.0", "get", "", &[], &[]);
    for (a, b) in b"GET a\r\n".iter().zip(&request) {
        redis.write_all(&[*a]).expect("it reads");
        dubbo.write_all(&[*b]).expect("it reads");
    }
    dubbo.write_all(&request[7..]).expect("it reads");
    let mut said = [0; 7];
    redis.read_exact(&mut said).expect("it answers");
    assert_eq!(&said, b"+FINE\r\n");
    let mut bytes = Vec::new();
    let reply = loop {
        let mut buf = [0; 256];
        let n = dubbo.read(&mut buf).expect("it answers");
        assert!(n > 0, "{}", bytes.escape_ascii());
        bytes.extend_from_slice(&buf[..n]);
        if let Some((reply, _)) = wire::read_reply(&bytes).expect("Dubbo") {
            break reply;
        }
    };
    assert_eq!(reply.id, 7);
    assert!(matches!(reply.result, wire::Outcome::Value(_)), "{reply:?}");
    let (_, metrics) = http(admin, "GET", "/metrics", "");
    let counted = metrics.lines().filter(|line| {
        line.contains("dubbo+thrift+redis")
            && line.ends_with(" 1")
            && line.contains("outcome=\"ok\"")
    });
    let counted: Vec<_> = counted.collect();
    assert!(counted.len() >= 2, "{metrics}");
}
