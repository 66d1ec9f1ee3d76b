//! The byte that is named is the right one, whatever the cuts, and other protocols than Redis.

use heptad_core::Outcome;

use super::*;

fn frames(codec: &str, pieces: &[Piece]) -> Vec<Inspected> {
    inspect(&Registry::standard(), codec, None, pieces).expect("a codec")
}

fn shown(all: &[Inspected]) -> String {
    all.iter().map(ToString::to_string).collect()
}

#[test]
fn the_cuts_of_the_pieces_do_not_matter() {
    let bytes = b"PING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\nset a b\r\n*1\r\n$x\r\n";
    let whole = frames("redis", &[Piece::new(Sender::Client, *bytes)]);
    let Found::Broken(broken) = &whole[3].found else { panic!("{whole:?}") };
    assert_eq!((broken.byte, bytes[broken.byte]), (40, b'x'));
    for cut in 1..bytes.len() {
        let (a, b) = bytes.split_at(cut);
        let pieces = [Piece::new(Sender::Client, a), Piece::new(Sender::Client, b)];
        let found = frames("redis", &pieces);
        // How many bytes there are behind the fault depends on when it was seen, nothing else.
        let brief =
            |all: &[Inspected]| shown(all).replace(", 7 bytes", "").replace(", 9 bytes", "");
        assert_eq!(found.len(), whole.len(), "cut at {cut}");
        assert_eq!(brief(&found[..3]), brief(&whole[..3]), "cut at {cut}");
        let Found::Broken(other) = &found[3].found else { panic!("{found:?}") };
        assert_eq!((other.byte, &other.around), (broken.byte, &broken.around), "cut at {cut}");
    }
    let single: Vec<_> = bytes.iter().map(|b| Piece::new(Sender::Client, [*b])).collect();
    let found = frames("redis", &single);
    let Found::Broken(other) = &found[3].found else { panic!("{found:?}") };
    assert_eq!(other.byte, broken.byte);
}

#[test]
fn dubbo_shows_attachments_and_pairs_replies_by_id() {
    use heptad_dubbo::wire;
    let args = ["x".into()];
    let types = "Ljava/lang/String;";
    let request = wire::request(7, "svc", "1.0.0", "say", types, &args, &[("tenant", "acme")]);
    let reply = wire::reply(7, Err((70, "down")));
    let all = frames(
        "dubbo",
        &[
            Piece::new(Sender::Client, [wire::heartbeat(3), request].concat()),
            Piece::new(Sender::Server, [wire::pong(3), reply].concat()),
        ],
    );
    let text = shown(&all);
    assert!(text.contains("service   \"svc\"\n"), "{text}");
    assert!(text.contains("header    tenant = \"acme\"\n"), "{text}");
    let Found::Frame(last) = &all[3].found else { panic!("{text}") };
    assert_eq!((last.id, last.kind), (7, Kind::Reply));
    assert_ne!(last.outcome, Some(Outcome::Ok));
    assert_eq!(all.iter().map(|one| one.at).filter(|at| *at == 0).count(), 2);
}

#[test]
fn a_codec_that_is_not_there_is_named_with_those_that_are() {
    let error = inspect(&Registry::standard(), "smtp", None, &[]).expect_err("no such");
    assert_eq!(
        error.to_string(),
        "there is no codec smtp; there are: awesomerpc, bolt, dubbo, frame, redis, thrift, \
         trpc, and files with a description"
    );
}

/// Headers of described protocols, in each of their forms.
#[test]
fn described_protocols_show_their_headers() {
    for (codec, shown) in [
        ("awesomerpc", "header    user = \"jason\"\n"),
        ("bolt", "header    sofa_head_target_service = "),
        ("trpc", "header    caller = \"trpc..\"\n"),
        ("trpc", "header    user = \"jason\"\n"),
    ] {
        let text = heptad_described::SHIPPED.iter().find(|(name, _)| *name == codec).expect("it").1;
        let (description, _) = heptad_described::read(codec, text).expect("it is good");
        let samples = heptad_described::samples::bytes(&description).expect("bytes");
        let clients = samples.iter().filter(|sample| sample.client);
        let all = clients
            .flat_map(|sample| frames(codec, &[Piece::new(Sender::Client, sample.bytes.clone())]));
        let all: Vec<_> = all.collect();
        assert!(shown_in(&all, shown), "{codec}: {}", super::tests::shown(&all));
    }
    let lines = "{name: l, delimiter: \"\\n\", initial_bytes: 0, method: {header: op}, frames: \
                 [{kinds: {request: }, parts: [{headers: {format: json}}]}, {kinds: {reply: }}]}";
    let (codec, options) = crate::description("l.yaml", lines).expect("it is good");
    let bytes = br#"{"op":"a\u0062","n":7,"no":null}"#;
    let pieces = [Piece::new(Sender::Client, [&bytes[..], b"\n"].concat())];
    let all = inspect(&Registry::standard(), codec, Some(&options), &pieces).expect("a codec");
    let Found::Frame(frame) = &all[0].found else { panic!("{all:?}") };
    let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    assert_eq!(frame.headers, Ok(vec![pair("op", "ab"), pair("n", "7")]));
    // What holds another object cannot be said as text.
    let pieces = [Piece::new(Sender::Client, b"{\"op\":{}}\n".to_vec())];
    let all = inspect(&Registry::standard(), codec, Some(&options), &pieces).expect("a codec");
    let Found::Frame(frame) = &all[0].found else { panic!("{all:?}") };
    assert_eq!(frame.headers, Err(heptad_core::Unknown));
}

fn shown_in(all: &[Inspected], text: &str) -> bool {
    shown(all).contains(text)
}

#[test]
fn each_connection_is_taken_for_what_it_would_be_on_the_wire() {
    let text = "listeners:\n- name: l\n  listen: 127.0.0.1:0\n  codec: [ bolt, redis ]\n  \
                routes: [ { name: r, answer: { ok: fine } } ]\n";
    let registry = Registry::standard();
    let model = registry.load("test", text).expect("a good file");
    let listener = &model.listeners[0];
    for (bytes, number) in [(&b"get a\r\n"[..], 1), (b"\x01\x01", 0), (b"", 0), (b"\0", 0)] {
        assert_eq!(spoken(&registry, listener, bytes).expect("codecs"), number, "{bytes:?}");
    }
}
