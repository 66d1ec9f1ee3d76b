//! Dubbo through the checks that every codec is put through.

use heptad_core::Outcome;
use heptad_dubbo::{
    Dubbo,
    wire::{self, Value},
};
use heptad_testkit::conformance::Conformance;

/// What rules ask stands at a request's end, so that all of it must be seen.
fn suite() -> Conformance<Dubbo> {
    Conformance::new(Dubbo::default()).whole_frames()
}

fn text(text: &str) -> Value {
    text.into()
}

/// All sorts of arguments, with class definitions and references.
fn args() -> Vec<Value> {
    let book = |title: &str, pages| {
        let fields =
            vec![("title".to_owned(), text(title)), ("pages".to_owned(), Value::Int(pages))];
        Value::Object("com.example.Book".to_owned(), fields)
    };
    vec![
        text("grüße"),
        Value::Int(-70_000),
        Value::List(vec![book("sonnets", 154), book("", 0), Value::Ref(1), Value::Null]),
        Value::Map(vec![(text("a"), Value::Double(0.5)), (text("b"), Value::Bool(true))]),
        Value::Bytes(vec![0xda; 40]),
        Value::Long(1 << 40),
        Value::Date(1_700_000_000_000),
    ]
}

const TYPES: &str = "Ljava/lang/String;ILjava/util/List;Ljava/util/Map;[BJLjava/util/Date;";

fn requests() -> Vec<u8> {
    let attachments = [("user", "jason"), ("timeout", "1000"), ("group", "")];
    let list = "com.example.Reviews";
    let generic = [
        text("list"),
        Value::List(vec![text("java.lang.String")]),
        Value::List(vec![text("sonnets")]),
    ];
    let generic_types = "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;";
    [
        wire::request(7, list, "1.0.0", "list", TYPES, &args(), &attachments),
        wire::oneway(8, list, "", "note", "I", &[Value::Int(1)], &attachments[..1]),
        wire::request(u64::MAX, "", "", "", "", &[], &[]),
        wire::request(9, list, "1.0.0", "$invoke", generic_types, &generic, &attachments),
        wire::request(10, list, "1.0.0", "emoji", "Ljava/lang/String;", &[text("😀")], &[]),
    ]
    .concat()
}

fn replies() -> Vec<u8> {
    let thrown = vec![("detailMessage".to_owned(), text("no such book"))];
    let thrown = Value::Object("java.lang.IllegalArgumentException".to_owned(), thrown);
    [
        wire::reply(u64::MAX, Ok(Value::Null)),
        wire::reply(7, Ok(Value::List(args()))),
        wire::exception(9, &thrown),
        wire::reply(10, Err((31, "too late"))),
    ]
    .concat()
}

#[test]
fn dubbo_keeps_the_contract() {
    let report = suite()
        .requests(&requests(), 5)
        .requests(&wire::heartbeat(3), 1)
        .requests(&wire::pong(3), 1)
        .replies(&requests(), &replies(), 4)
        .replies(&[], &wire::heartbeat(4), 1)
        .replies(&[], &wire::pong(4), 1)
        .replies(&[], &wire::read_only(), 1)
        .headers(&["user", "timeout"])
        .assert();
    assert_eq!(report.frames, 2 * 14);
}

#[test]
fn events_and_calls_back_are_passed_over() {
    let request = wire::request(1, "a", "", "b", "", &[], &[]);
    let event = wire::read_only();
    suite()
        .requests(&[&event[..], &request, &event, &request].concat(), 2)
        .replies(&request, &[request.clone(), wire::reply(1, Ok(Value::Null))].concat(), 1)
        .assert();
}

#[test]
fn bodies_in_other_serializations_are_routed_by_their_head() {
    let in_json = |mut bytes: Vec<u8>| {
        bytes[2] = bytes[2] & 0xe0 | 6;
        bytes
    };
    let request = in_json(wire::request(1, "a", "", "b", "", &[], &[]));
    let oneway = in_json(wire::oneway(2, "a", "", "b", "", &[], &[]));
    let reply = in_json(wire::reply(1, Ok(text("x"))));
    suite()
        .requests(&[&request[..], &oneway].concat(), 2)
        .requests(&in_json(wire::heartbeat(3)), 1)
        .replies(&request, &reply, 1)
        .assert();
}

#[test]
fn hostile_requests() {
    let mut long = wire::request(1, "a", "", "b", "", &[], &[]);
    long.splice(12..16, [0xff; 4]);
    let broken = |at: usize, byte| {
        let mut bytes = wire::request(1, "a", "", "b", "", &[], &[]);
        bytes[at] = byte;
        bytes
    };
    suite()
        .hostile(b"GET / HTTP/1.1\r\n\r\n", Outcome::BadRequest)
        .hostile(&long, Outcome::TooLarge)
        .hostile(&broken(16, b'N'), Outcome::BadRequest)
        .hostile(&wire::reply(1, Ok(Value::Null)), Outcome::BadRequest)
        .assert();
}

heptad_testkit::conformance! {
    codec: Dubbo::default(),
    requests: [
        [
            wire::request(7, "com.example.Reviews", "1.0.0", "list", TYPES, &args(), &[("user", "jason")]),
            wire::oneway(8, "com.example.Reviews", "", "note", "I", &[Value::Int(1)], &[]),
        ],
        [wire::heartbeat(3)],
    ],
    replies: [
        [wire::request(7, "a", "", "b", "", &[], &[])] => [wire::reply(7, Ok(Value::List(args())))],
        [] => [wire::read_only()],
    ],
    headers: ["user"],
    with: |suite| suite.whole_frames().rounds(100),
}
