//! AwesomeRPC through the checks that every codec is put through: this is all a codec author writes.

use awesomerpc::{AwesomeRpc, wire::Message};
use heptad_core::{Kind, Outcome};

fn list() -> Vec<u8> {
    let request = Message::request(7, "reviews", "list").header("user", "jason");
    request.header("trace", "0af7651916cd43dd").body("page=1").to_bytes()
}

fn note() -> Vec<u8> {
    Message::oneway("audit", "note").header("user", "jason").body("seen").to_bytes()
}

fn get() -> Vec<u8> {
    Message::request(9, "reviews", "get").body(vec![0xA1; 600]).to_bytes()
}

fn nothing() -> Vec<u8> {
    Message::request(u32::MAX, "", "").to_bytes()
}

fn open(id: u32) -> Vec<u8> {
    Message::open(id, "reviews", "watch").header("user", "").body("all").to_bytes()
}

fn bare(kind: Kind, id: u32) -> Vec<u8> {
    Message::new(kind, id).to_bytes()
}

fn data(id: u32, body: &str) -> Vec<u8> {
    Message::data(id, body).to_bytes()
}

fn reset(id: u32) -> Vec<u8> {
    Message::reset(id, "CANCELLED").body("as you wish").to_bytes()
}

heptad_testkit::conformance! {
    codec: AwesomeRpc::default(),
    requests: [
        [list(), note(), nothing(), get()],
        [open(3), data(3, "more"), bare(Kind::End, 3), open(4), reset(4)],
        [bare(Kind::Ping, 1)],
        [bare(Kind::Pong, 1)],
    ],
    replies: [
        [list(), note(), nothing(), get()] => [
            Message::reply(u32::MAX, "").to_bytes(),
            Message::reply(7, "five stars").body("five stars").to_bytes(),
            Message::error(9, "APP_ERROR", "no such review").to_bytes(),
        ],
        [open(3), open(4)] => [data(3, "one"), data(4, ""), reset(4), bare(Kind::End, 3)],
        [] => [bare(Kind::Ping, 2)],
        [] => [bare(Kind::Pong, 2)],
        [] => [bare(Kind::GoAway, 0)],
    ],
    headers: ["user", "trace"],
    with: |suite| suite
        .hostile(b"GET / HTTP/1.1\r\n\r\n", Outcome::BadRequest)
        .hostile(b"\xA1\x01\x00\x00\xFF\xFF\xFF\xFF\x00\x00\x00\x01", Outcome::TooLarge),
}
