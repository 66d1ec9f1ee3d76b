//! AwesomeRPC through the checks that every codec is put through: this is all a codec author writes.

use awesomerpc::{AwesomeRpc, wire::Message};
use heptad_core::Kind;
use heptad_testkit::conformance::Conformance;

/// Messages as bytes, one behind the other.
fn bytes(messages: &[Message]) -> Vec<u8> {
    messages.iter().flat_map(Message::to_bytes).collect()
}

#[test]
fn awesomerpc_keeps_the_contract() {
    let requests = [
        Message::request(7, "reviews", "list")
            .header("user", "jason")
            .header("trace", "0af7651916cd43dd")
            .body("page=1"),
        Message::oneway("audit", "note").header("user", "jason").body("seen"),
        Message::request(u32::MAX, "", ""),
        Message::request(9, "reviews", "get").body(vec![0xA1; 600]),
    ];
    let replies = [
        Message::reply(u32::MAX, ""),
        Message::reply(7, "five stars").body("five stars"),
        Message::error(9, "APP_ERROR", "no such review"),
    ];
    let stream = [
        Message::open(3, "reviews", "watch").header("user", "").body("all"),
        Message::data(3, "more"),
        Message::new(Kind::End, 3),
        Message::open(4, "reviews", "watch"),
        Message::reset(4, "CANCELLED"),
    ];
    let streamed = [
        Message::data(3, "one"),
        Message::data(4, ""),
        Message::reset(4, "CANCELLED").body("as you wish"),
        Message::new(Kind::End, 3),
    ];
    let report = Conformance::new(AwesomeRpc::default())
        .requests(&bytes(&requests), 4)
        .requests(&bytes(&stream), 5)
        .requests(&Message::new(Kind::Ping, 1).to_bytes(), 1)
        .requests(&Message::new(Kind::Pong, 1).to_bytes(), 1)
        .replies(&bytes(&requests), &bytes(&replies), 3)
        .replies(&bytes(&stream), &bytes(&streamed), 4)
        .replies(&[], &Message::new(Kind::Ping, 2).to_bytes(), 1)
        .replies(&[], &Message::new(Kind::Pong, 2).to_bytes(), 1)
        .replies(&[], &Message::new(Kind::GoAway, 0).to_bytes(), 1)
        .headers(&["user", "trace"])
        .assert();
    assert_eq!(report.frames, 2 * 21);
}
