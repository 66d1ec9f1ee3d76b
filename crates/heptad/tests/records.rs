//! Records over real sockets: lines in files, spans at a collector that decodes them with the
//! types of OpenTelemetry, and what becomes of both when they have nowhere to go.

#![allow(clippy::disallowed_methods, reason = "tests compare with the wall clock")]

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use awesomerpc::{AwesomeRpc, wire::Message};
use heptad::{Heptad, Registry, Running, StartError};
use heptad_dubbo::wire;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message as _;

/// Far longer than anything here takes; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

fn registry() -> Registry {
    Registry::standard().codec::<AwesomeRpc>()
}

fn start(text: &str) -> Result<Running, StartError> {
    let registry = registry();
    let model = registry.load("test", text).unwrap_or_else(|problems| panic!("{problems}"));
    Heptad::start(&registry, model)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

fn stop(running: &Running) {
    block_on(running.stop(PATIENCE));
}

/// Waits for what must come, however long it takes.
fn until(mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it did not come");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A server that answers everything, and refuses `Fail`; and the requests as they reached it.
fn server() -> (SocketAddr, Receiver<Message>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let (send, seen) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let send = send.clone();
            thread::spawn(move || {
                let mut buf = Vec::new();
                let mut some = [0; 4096];
                loop {
                    while let Ok(Some((request, used))) = Message::decode(&buf) {
                        buf.drain(..used);
                        let reply = match &*request.method {
                            "Fail" => Message::error(request.id, "APP_ERROR", "nothing here"),
                            _ => Message::reply(request.id, "done"),
                        };
                        let _ = send.send(request);
                        if stream.write_all(&reply.to_bytes()).is_err() {
                            return;
                        }
                    }
                    match stream.read(&mut some) {
                        Ok(n @ 1..) => buf.extend_from_slice(&some[..n]),
                        _ => return,
                    }
                }
            });
        }
    });
    (address, seen)
}

struct Client(TcpStream, u32);

impl Client {
    fn connect(running: &Running, listener: usize) -> Self {
        let front = running.listeners().nth(listener).expect("a listener");
        let stream = TcpStream::connect(&front.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Self(stream, 0)
    }

    fn call(&mut self, service: &str, method: &str, headers: &[(&str, &str)]) -> Message {
        self.1 += 1;
        let request = Message::request(self.1, service, method);
        let request = headers.iter().fold(request, |m, (name, value)| m.header(name, value));
        self.0.write_all(&request.to_bytes()).expect("the router reads");
        let mut buf = Vec::new();
        loop {
            if let Some((reply, _)) = Message::decode(&buf).expect("AwesomeRPC") {
                return reply;
            }
            let mut some = [0; 256];
            let n = self.0.read(&mut some).expect("the router answers");
            assert!(n > 0, "the router closed the connection");
            buf.extend_from_slice(&some[..n]);
        }
    }
}

/// Listeners in front of one server, with filters.
fn config(listeners: &[&str], to: SocketAddr) -> String {
    let mut text = "workers: 2\nlisteners:\n".to_owned();
    for (n, filters) in listeners.iter().enumerate() {
        text += &format!(
            "- name: front{n}\n  listen: 127.0.0.1:0\n  codec: awesomerpc\n  \
             filters: [ {filters} ]\n  routes: [ {{ name: all, to: back }} ]\n"
        );
    }
    text + &format!("clusters: [ {{ name: back, endpoints: [ {to} ] }} ]\n")
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// What a filter has counted, by event.
fn events(running: &Running, filter: &str) -> BTreeMap<String, u64> {
    let totals = block_on(running.collect());
    let all = totals.iter().flat_map(|totals| &totals.filters);
    all.filter(|((name, _), _)| **name == *filter)
        .map(|((_, event), count)| (event.to_string(), *count))
        .collect()
}

#[test]
fn a_line_of_json_says_what_a_request_was_and_how_it_ended() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("access.log");
    let (to, _seen) = server();
    let before = SystemTime::now();
    let filter = format!("{{ access_log: {{ path: {} }} }}", path.display());
    let running = start(&config(&[&filter], to)).expect("it starts");
    let mut client = Client::connect(&running, 0);
    client.call("reviews", "Get", &[]);
    client.call("re\"views\n", "Fail", &[]);
    let text = block_on(running.metrics_text());
    let row = "heptad_filter_events_total{listener=\"front0\",filter=\"access_log\",\
               event=\"recorded\"} 2";
    assert!(text.lines().any(|line| line == row), "{text}");
    let row = "heptad_method_requests_total{listener=\"front0\",protocol=\"awesomerpc\",\
               service=\"reviews\",method=\"Get\",outcome=\"ok\"} 1";
    assert!(text.lines().any(|line| line == row), "{text}");
    drop(client);
    // What was recorded is there once the router has stopped.
    stop(&running);

    let lines = lines(&path);
    let [first, second] = &lines[..] else { panic!("{lines:?}") };
    let first: serde_json::Value = serde_json::from_str(first).expect(first);
    for (field, value) in [
        ("listener", "front0"),
        ("protocol", "awesomerpc"),
        ("source.ip", "127.0.0.1"),
        ("service", "reviews"),
        ("method", "Get"),
        ("route", "all"),
        ("cluster", "back"),
        ("endpoint", &to.to_string()),
        ("outcome", "ok"),
    ] {
        assert_eq!(first[field], value, "{field} of {first}");
    }
    assert!(first["source.port"].as_u64() > Some(0) && first["request_bytes"].as_u64() > Some(8));
    assert!(first["reply_bytes"].as_u64() > Some(8) && first["attempts"] == 1);
    assert!(first["duration"].as_f64().is_some_and(|took| took > 0.0 && took < 60.0));
    assert_eq!(first.get("code"), None);
    // The wall clock, in one format whose order is that of time.
    let day = |time: SystemTime| time.duration_since(UNIX_EPOCH).expect("now").as_secs() / 86_400;
    let time = first["time"].as_str().expect("a time");
    let seconds = humantime_seconds(time);
    assert!(seconds / 86_400 >= day(before) && seconds / 86_400 <= day(SystemTime::now()));

    let second: serde_json::Value = serde_json::from_str(second).expect(second);
    assert_eq!(second["service"], "re\"views\n");
    assert_eq!((&second["outcome"], &second["code"]), (&"app_error".into(), &"APP_ERROR".into()));
}

/// Seconds since the Unix epoch of an RFC 3339 time in UTC.
fn humantime_seconds(text: &str) -> u64 {
    let parsed = humantime::parse_rfc3339(text).expect(text);
    parsed.duration_since(UNIX_EPOCH).expect("after the epoch").as_secs()
}

#[test]
fn listeners_and_reloads_share_a_file_and_it_can_be_moved_away() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, old) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
    let (to, _seen) = server();
    let with = |prefix: &str| {
        let filter = format!(
            "{{ access_log: {{ path: {}, format: '{prefix} {{listener}} {{method}}' }} }}",
            path.display()
        );
        config(&[&filter, &filter], to)
    };
    let running = start(&with("a")).expect("it starts");
    let mut clients = [Client::connect(&running, 0), Client::connect(&running, 1)];
    for client in &mut clients {
        client.call("s", "One", &[]);
    }
    until(|| lines(&path).len() == 2);

    // Another format for the same file, without a gap.
    let model = registry().load("test", &with("b")).expect("a good file");
    assert_eq!(running.reload(&registry(), model), Ok(Vec::new()));
    let mut sent = 2;
    until(|| {
        sent += 1;
        clients[0].call("s", "Two", &[]);
        until(|| lines(&path).len() == sent);
        lines(&path).last().is_some_and(|line| line == "b front0 Two")
    });

    std::fs::rename(&path, &old).expect("it can be moved");
    clients[0].call("s", "Three", &[]);
    sent += 1;
    until(|| lines(&old).len() == sent);
    running.reopen();
    until(|| path.exists());
    clients[0].call("s", "Four", &[]);
    until(|| lines(&path) == ["b front0 Four"]);
    assert_eq!(lines(&old).len(), sent, "none is lost, none is twice");
    drop(clients);
    stop(&running);
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_of_the_configuration() {
    let (to, _seen) = server();
    let filter = |path: &str| format!("{{ access_log: {{ path: {path} }} }}");
    let started = start(&config(&[&filter("/does/not/exist/a.log")], to));
    let Err(StartError::Model(problem)) = started else { panic!("{started:?}") };
    assert!(problem.message.starts_with("access_log: cannot write to /does/not/exist/a.log: "));
    assert_eq!(problem.span.line, 6, "{problem:?}");

    // A reload to such a file changes nothing.
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("access.log");
    let running = start(&config(&[&filter(path.to_str().expect("plain"))], to)).expect("starts");
    let registry = registry();
    let bad = registry.load("test", &config(&[&filter("/does/not/exist/a.log")], to));
    assert!(running.reload(&registry, bad.expect("well-formed")).is_err());
    Client::connect(&running, 0).call("s", "Get", &[]);
    until(|| lines(&path).len() == 1);
    stop(&running);
}

#[test]
fn lines_that_cannot_be_written_are_counted_and_requests_go_on() {
    let (to, _seen) = server();
    let running = start(&config(&["{ access_log: { path: /dev/full } }"], to)).expect("it starts");
    let mut client = Client::connect(&running, 0);
    for _ in 0..10 {
        assert_eq!(client.call("s", "Get", &[]).body, b"done");
    }
    until(|| events(&running, "access_log").get("failed") == Some(&10));
    drop(client);
    stop(&running);
}

#[test]
fn a_router_that_is_cut_off_still_writes_what_it_has_recorded() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("access.log");
    let (to, _seen) = server();
    let filter = format!("{{ access_log: {{ path: {} }} }}", path.display());
    let running = start(&config(&[&filter], to)).expect("it starts");
    let mut client = Client::connect(&running, 0);
    for _ in 0..10 {
        client.call("s", "Get", &[]);
    }
    running.halt();
    drop(running);
    assert_eq!(lines(&path).len(), 10);
}

/// A collector: what it was sent, decoded. Answers the first requests with these statuses.
fn collector(
    statuses: &'static [u16],
) -> (SocketAddr, Receiver<(String, ExportTraceServiceRequest)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let (send, sent) = channel();
    thread::spawn(move || {
        let mut statuses = statuses.iter();
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut buf = Vec::new();
            let mut some = [0; 4096];
            let (head, body) = loop {
                if let Some(at) = buf.windows(4).position(|four| four == b"\r\n\r\n") {
                    let head = String::from_utf8_lossy(&buf[..at]).into_owned();
                    let length =
                        head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
                    let length: usize = length.and_then(|n| n.parse().ok()).expect("a length");
                    if buf.len() >= at + 4 + length {
                        break (head, buf[at + 4..].to_vec());
                    }
                }
                let n = stream.read(&mut some).expect("a request");
                assert!(n > 0, "half a request");
                buf.extend_from_slice(&some[..n]);
            };
            let status = statuses.next().copied().unwrap_or(200);
            if status == 200 {
                let decoded = ExportTraceServiceRequest::decode(&body[..]).expect("OTLP");
                if send.send((head, decoded)).is_err() {
                    return;
                }
            }
            // Told last, so that what the router knows to be taken is there.
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).expect("it is read");
        }
    });
    (address, sent)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Attributes as text, so that tables of them are short.
fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |kv: &KeyValue| match kv.value.as_ref().and_then(|any| any.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(|kv| (kv.key.clone(), text(kv))).collect()
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

#[test]
fn a_collector_decodes_the_span_of_every_sampled_request() {
    let (to, seen) = server();
    // The first POST is told to come again.
    let (otlp, sent) = collector(&[503]);
    let filter = format!("{{ trace: {{ otlp: 'http://{otlp}', service_name: shop }} }}");
    let nanos = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("now").as_nanos();
        u64::try_from(now).expect("this century")
    };
    let before = nanos();
    let running = start(&config(&[&filter], to)).expect("it starts");
    let mut client = Client::connect(&running, 0);
    let sampled = format!("00-{TRACE}-{PARENT}-01");
    let not_sampled = format!("00-{TRACE}-{PARENT}-00");
    client.call("reviews", "Get", &[("traceparent", &sampled), ("tracestate", "a=1")]);
    client.call("reviews", "Skip", &[("traceparent", &not_sampled)]);
    client.call("reviews", "Fail", &[("traceparent", "nonsense"), ("tracestate", "a=1")]);
    drop(client);
    stop(&running);
    let after = nanos();

    // What the server was told.
    let [get, skip, fail] = [(); 3].map(|()| seen.recv_timeout(PATIENCE).expect("a request"));
    assert_eq!(skip.value("traceparent"), Some(&*not_sampled), "nothing is put in between");
    assert_eq!((get.value("tracestate"), fail.value("tracestate")), (Some("a=1"), None));

    let mut spans: Vec<Span> = Vec::new();
    while spans.len() < 2 {
        let (head, request) = sent.recv_timeout(PATIENCE).expect("spans");
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("Content-Type: application/x-protobuf"), "{head}");
        for of in request.resource_spans {
            let resource = of.resource.expect("who it is from");
            assert_eq!(texts(&resource.attributes)["service.name"], "shop");
            for scoped in of.scope_spans {
                assert_eq!(scoped.scope.expect("a scope").name, "heptad");
                spans.extend(scoped.spans);
            }
        }
    }
    let [one, two] = &spans[..] else { panic!("{spans:?}") };

    // The span is the request's own: the server's parent, and the client's child.
    let told = format!("00-{TRACE}-{}-01", hex(&one.span_id));
    assert_eq!(get.value("traceparent"), Some(&*told));
    assert_eq!((hex(&one.trace_id), hex(&one.parent_span_id)), (TRACE.into(), PARENT.into()));
    assert_eq!((&*one.name, &*one.trace_state), ("reviews/Get", "a=1"));
    assert_eq!((one.kind(), one.flags, &one.status), (SpanKind::Server, 0x301, &None));
    let attributes = texts(&one.attributes);
    for (key, value) in [
        ("rpc.system", "awesomerpc"),
        ("rpc.service", "reviews"),
        ("rpc.method", "Get"),
        ("client.address", "127.0.0.1"),
        ("heptad.listener", "front0"),
        ("heptad.route", "all"),
        ("heptad.cluster", "back"),
        ("heptad.endpoint", &to.to_string()),
        ("heptad.outcome", "ok"),
        ("heptad.attempts", "1"),
    ] {
        assert_eq!(attributes.get(key).map(String::as_str), Some(value), "{key}: {attributes:?}");
    }

    // A trace of its own, with nothing left of what was not valid.
    assert_ne!(hex(&two.trace_id), TRACE);
    assert!(two.trace_id.iter().any(|byte| *byte != 0) && two.trace_id.len() == 16);
    assert_eq!((&*two.parent_span_id, &*two.trace_state, two.flags), (&[][..], "", 1));
    let told = format!("00-{}-{}-01", hex(&two.trace_id), hex(&two.span_id));
    assert_eq!(fail.value("traceparent"), Some(&*told));
    let status = two.status.as_ref().expect("a status");
    assert_eq!((status.code(), &*status.message), (StatusCode::Error, "app_error: APP_ERROR"));

    // The clocks are two reads apart.
    let slack = 20_000_000;
    for span in [one, two] {
        let (from, to) = (span.start_time_unix_nano, span.end_time_unix_nano);
        assert!(before - slack <= from && from <= to && to <= after + slack, "{from} {to}");
    }
}

/// A server that takes what comes in one piece for a request, and what it was sent.
fn raw_server(reply: fn(&[u8]) -> Option<Vec<u8>>) -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let (send, seen) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut buf = Vec::new();
            let mut some = [0; 4096];
            while let Ok(n @ 1..) = stream.read(&mut some) {
                buf.extend_from_slice(&some[..n]);
                if let Some(reply) = reply(&buf) {
                    let _ = send.send(std::mem::take(&mut buf));
                    let _ = stream.write_all(&reply);
                }
            }
        }
    });
    (address, seen)
}

/// A call of the binary protocol in a THeader with this info header.
fn thrift_call(name: &str, value: &str) -> Vec<u8> {
    let mut head = vec![0, 0, 1, 1];
    for text in [name, value] {
        head.push(text.len() as u8);
        head.extend_from_slice(text.as_bytes());
    }
    head.resize(head.len().next_multiple_of(4), 0);
    let mut frame = vec![0x0f, 0xff, 0, 0, 0, 0, 0, 7, 0, (head.len() / 4) as u8];
    frame.extend_from_slice(&head);
    frame.extend_from_slice(b"\x80\x01\x00\x01\x00\x00\x00\x08Cart:get\x00\x00\x00\x07\x00");
    [&(frame.len() as u32).to_be_bytes()[..], &frame].concat()
}

/// The call itself as its reply, once all of it is there.
fn thrift_reply(call: &[u8]) -> Option<Vec<u8>> {
    let len = u32::from_be_bytes(*call.first_chunk()?) as usize;
    let mut reply = call.get(..4 + len)?.to_vec();
    let kind = reply.windows(4).position(|four| four == [0x80, 1, 0, 1]).expect("a call") + 3;
    reply[kind] = 2;
    Some(reply)
}

fn dubbo_reply(call: &[u8]) -> Option<Vec<u8>> {
    let (request, _) = wire::read_request(call).expect("Dubbo")?;
    Some(wire::reply(request.id, Ok("done".into())))
}

#[test]
fn traces_go_on_through_info_headers_and_attachments() {
    let sampled = format!("00-{TRACE}-{PARENT}-01");
    let thrift = thrift_call("traceparent", &sampled);
    let attachments = [("traceparent", &*sampled)];
    let dubbo = wire::request(7, "Cart", "", "get", "", &[], &attachments);
    type Reply = fn(&[u8]) -> Option<Vec<u8>>;
    // What stands before a value of 55 bytes is the protocol's.
    for (codec, call, reply, before) in [
        ("thrift", thrift, thrift_reply as Reply, &b"\x0btraceparent\x37"[..]),
        ("dubbo", dubbo, dubbo_reply, b"\x0btraceparent\x30\x37"),
    ] {
        let (to, seen) = raw_server(reply);
        let (otlp, sent) = collector(&[]);
        let filter = format!("{{ trace: {{ otlp: 'http://{otlp}' }} }}");
        let text = config(&[&filter], to).replace("awesomerpc", codec);
        let running = start(&text).expect("it starts");
        let mut client = Client::connect(&running, 0).0;
        client.write_all(&call).expect("the router reads");
        let seen = seen.recv_timeout(PATIENCE).expect("a request");
        assert!(client.read(&mut [0; 256]).expect("the router answers") > 0);
        drop(client);
        stop(&running);

        let (_, request) = sent.recv_timeout(PATIENCE).expect("spans");
        let span = &request.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.into(), PARENT.into()));
        assert_eq!(&*span.name, "Cart/get", "{codec}");
        let attributes = texts(&span.attributes);
        assert_eq!((&*attributes["rpc.system"], &*attributes["heptad.outcome"]), (codec, "ok"));
        // The server has this span as its parent, and no other.
        let told = format!("00-{TRACE}-{}-01", hex(&span.span_id));
        let header = [before, told.as_bytes()].concat();
        let count = |part: &[u8]| seen.windows(part.len()).filter(|some| *some == part).count();
        assert_eq!((count(&header), count(b"traceparent")), (1, 1), "{}", seen.escape_ascii());
    }
}

#[test]
fn traces_that_begin_here_are_sampled_by_their_share_and_the_rest_is_told() {
    let (to, seen) = server();
    let (otlp, sent) = collector(&[]);
    let filter = format!("{{ trace: {{ otlp: 'http://{otlp}', sample: 25 }} }}");
    let running = start(&config(&[&filter], to)).expect("it starts");
    let mut client = Client::connect(&running, 0);
    let mut sampled = 0;
    for _ in 0..400 {
        client.call("s", "Get", &[]);
        let request = seen.recv_timeout(PATIENCE).expect("a request");
        let header = request.value("traceparent").expect("a trace");
        sampled += usize::from(header.ends_with("-01"));
    }
    drop(client);
    stop(&running);
    // A hundred, and eight standard deviations.
    assert!((30..170).contains(&sampled), "{sampled}");
    let spans: usize = sent
        .try_iter()
        .flat_map(|(_, request)| request.resource_spans)
        .flat_map(|of| of.scope_spans)
        .map(|scoped| scoped.spans.len())
        .sum();
    assert_eq!(spans, sampled, "each of them has its span, and no other has");
}

#[test]
fn a_collector_that_is_away_holds_up_nobody() {
    let (to, _seen) = server();
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let filter = format!("{{ trace: {{ otlp: 'http://{nobody}', buffer: 64KiB }} }}");
    let running = start(&config(&[&filter], to)).expect("it starts");
    let mut client = Client::connect(&running, 0);
    let mut calls = 0;
    until(|| {
        calls += 1;
        assert_eq!(client.call("s", "Get", &[]).body, b"done");
        events(&running, "trace").get("dropped") > Some(&0)
    });
    drop(client);
    stop(&running);
    let events = events(&running, "trace");
    assert_eq!(events["recorded"] + events["dropped"], calls);
    assert_eq!(events["failed"], events["recorded"], "{events:?}");
}
