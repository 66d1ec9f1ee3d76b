//! The program with the filter: what its YAML errors look like, and what clients see of it over
//! sockets.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::Arc,
    thread,
    time::Duration,
};

use awesomerpc::{AwesomeRpc, wire::Message};
use heptad::{Heptad, Registry};
use tenant_filter::Tenant;

/// The file of a cache whose filter has these options; they begin at line 6, column 15.
fn file(options: &str) -> String {
    format!(
        "listeners:\n\
         - name: cache\n  \
           listen: 127.0.0.1:0\n  \
           codec: redis\n  \
           filters:\n  \
           - tenant: {options}\n  \
           routes: [ {{ name: all, to: store }} ]\n\
         clusters: [ {{ name: store, endpoints: [ 127.0.0.1:1 ] }} ]\n"
    )
}

#[test]
fn errors_of_its_options_are_reported_where_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("router.yaml");
    let check = |options: &str| {
        std::fs::write(&path, file(options)).unwrap();
        let mut program = Command::new(env!("CARGO_BIN_EXE_tenant-filter"));
        let said = program.arg("check").arg("-c").arg(&path).output().expect("it runs");
        (said.status.code(), String::from_utf8(said.stderr).unwrap())
    };
    for (options, column, message) in [
        // What the type says by itself …
        ("{ tennants: [ acme ] }", 15, "tennants"),
        ("{ tenants: acme }", 24, "acme"),
        ("{ from: [], tenants: [ acme ] }", 21, ""),
        // … and what its maker says.
        ("{ from: heder.x, tenants: [ acme ] }", 21, "expected service, method"),
        ("{ tenants: [] }", 24, "name at least one tenant"),
        ("{ until: \"\", tenants: [ acme ] }", 22, "an empty text"),
        ("{ tenants: [ acme, globex, acme ] }", 40, "`acme` is there twice"),
    ] {
        let (code, said) = check(options);
        let place = format!("{}:6:{column}:", path.display());
        assert_eq!(code, Some(1), "{options}: {said}");
        assert!(said.contains(&place) && said.contains(message), "{options}: {said}");
        assert!(said.contains("1 problem in"), "{options}: {said}");
    }
    let (code, said) = check("{ from: key, until: \":\", tenants: [ acme ] }");
    assert_eq!(code, Some(0), "{said}");
}

/// Says what `reply` makes of what it read, until nothing more comes.
fn server(reply: fn(&[u8]) -> Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut bytes) {
                    if stream.write_all(&reply(&bytes[..n])).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    stream
}

fn call(stream: &mut TcpStream, message: &Message) -> Message {
    let mut bytes = Vec::new();
    message.encode(&mut bytes).expect("it fits");
    stream.write_all(&bytes).expect("the router reads");
    let mut head = [0; awesomerpc::FIXED];
    stream.read_exact(&mut head).expect("the router answers");
    let mut frame = head.to_vec();
    let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    frame.resize(frame.len() + length as usize, 0);
    stream.read_exact(&mut frame[awesomerpc::FIXED..]).expect("all of it");
    Message::decode(&frame).expect("a reply").expect("a whole one").0
}

#[test]
fn known_tenants_pass_and_others_are_told_so_in_their_protocol() {
    // One request at a time, so that one read is one request.
    let store = server(|_| b"+stored\r\n".to_vec());
    let users = server(|bytes| {
        let (asked, _) = Message::decode(bytes).expect("a request").expect("a whole one");
        let mut out = Vec::new();
        Message::reply(asked.id, "hello").encode(&mut out).expect("it fits");
        out
    });
    let text = format!(
        "workers: 1\n\
         listeners:\n\
         - name: cache\n  \
           listen: 127.0.0.1:0\n  \
           codec: redis\n  \
           filters: [ {{ tenant: {{ from: key, until: \":\", tenants: [ acme, globex ] }} }} ]\n  \
           routes: [ {{ name: all, to: store }} ]\n\
         - name: rpc\n  \
           listen: 127.0.0.1:0\n  \
           codec: awesomerpc\n  \
           filters: [ {{ tenant: {{ tenants: [ acme ] }} }} ]\n  \
           routes: [ {{ name: all, to: users }} ]\n\
         clusters:\n\
         - {{ name: store, endpoints: [ {store} ] }}\n\
         - {{ name: users, endpoints: [ {users} ] }}\n"
    );
    let registry = Registry::standard()
        .codec::<AwesomeRpc>()
        .filter(Tenant::NAME, |options| Ok(Arc::new(Tenant::new(options)?)));
    let model = registry.load("test", &text).expect("a good file");
    let running = Heptad::start(&registry, model).expect("it starts");
    let [cache, rpc] = [0, 1].map(|at| running.listeners().nth(at).expect("both").address.clone());

    let mut redis = BufReader::new(connect(&cache));
    let mut say = |command: &str| {
        write!(redis.get_mut(), "{command}\r\n").expect("the router reads");
        let mut line = String::new();
        redis.read_line(&mut line).expect("the router answers");
        line
    };
    assert_eq!(say("SET acme:1 x"), "+stored\r\n");
    assert_eq!(say("SET globex:1 x"), "+stored\r\n");
    for (refused, why) in [
        ("SET initech:1 x", "unknown tenant"),
        ("SET acme x", "the request has no tenant"),
        ("SET acmes:1 x", "unknown tenant"),
    ] {
        let said = say(refused);
        assert!(said.starts_with('-') && said.contains(why), "{refused}: {said}");
    }

    let mut stream = connect(&rpc);
    let ask = || Message::request(7, "users", "get");
    let reply = call(&mut stream, &ask().header("tenant", "acme"));
    assert_eq!((reply.id, reply.status_name(), &reply.body[..]), (7, "OK", &b"hello"[..]));
    for refused in [ask().header("tenant", "globex"), ask()] {
        let reply = call(&mut stream, &refused);
        assert_eq!((reply.id, reply.status_name()), (7, "DENIED"), "{reply:?}");
    }

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let totals = runtime.block_on(running.collect());
    let counts = |at: usize| -> Vec<(String, u64)> {
        let one: &heptad::Totals = &totals[at];
        one.filters.iter().map(|((_, event), count)| (event.to_string(), *count)).collect()
    };
    let expected = |list: &[(&str, u64)]| -> Vec<(String, u64)> {
        list.iter().map(|(event, count)| ((*event).to_owned(), *count)).collect()
    };
    assert_eq!(counts(0), expected(&[("acme", 1), ("globex", 1), ("refused", 3)]));
    assert_eq!(counts(1), expected(&[("acme", 1), ("refused", 2)]));
    drop((redis, stream));
    assert_eq!(runtime.block_on(running.stop(Duration::from_secs(60))), 0);
}
