//! What is remembered of a method is no more than what its name decides: not what a header, a
//! client or another plan decides, and nothing is left uncounted.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use awesomerpc::{AwesomeRpc, wire::Message};
use heptad_cluster::Balance;
use heptad_core::{
    Attr, Filter, FilterWorker, Outcome, Reason, Refusal, Repeats, Request, Time, Value, Verdict,
};
use heptad_engine::{Links, Plan, Route, Target};
use heptad_filters::{Authorize, AuthorizeOptions};
use heptad_route::{Expr, Text};
use heptad_testkit::sim::{Profile, Sim};

use crate::common::*;

/// Refuses the method `refuse`, and says that it would do the same again: of `moody` never, of `local`
/// for the same client.
#[derive(Debug, Default)]
struct Consistent {
    asked: Mutex<Vec<String>>,
    repeated: AtomicU64,
}

#[derive(Debug)]
struct Filtered(Arc<Consistent>);

struct Worker {
    all: Arc<Consistent>,
    repeats: Repeats,
}

impl Filter for Filtered {
    fn name(&self) -> &str {
        "consistent"
    }

    fn worker(&self, _: u64) -> Box<dyn FilterWorker> {
        Box::new(Worker { all: self.0.clone(), repeats: Repeats::No })
    }
}

impl FilterWorker for Worker {
    fn request(&mut self, _: Time, request: &mut dyn Request, _: &mut u64) -> Verdict {
        let method = match request.attr(&Attr::Method) {
            Ok(Some(Value::Bytes(method))) => String::from_utf8_lossy(method).into_owned(),
            other => panic!("{other:?}"),
        };
        self.all.asked.lock().expect("nobody panicked").push(method.clone());
        self.repeats = match &*method {
            "moody" => Repeats::No,
            "local" => Repeats::OnConnection,
            _ => Repeats::Always,
        };
        if method == "refuse" {
            return Verdict::Refuse(Refusal::new(Outcome::Denied, "not you"));
        }
        Verdict::Pass
    }

    fn repeats(&self) -> Repeats {
        self.repeats
    }

    fn repeated(&mut self) -> bool {
        self.all.repeated.fetch_add(1, Relaxed);
        true
    }
}

fn to(rules: &[Expr], clusters: &[&str]) -> Plan {
    let route = |at| Route::new(clusters[at], Target::Cluster(at)).timeout(Some(ms(500)));
    let routes = (0..clusters.len()).map(route).collect();
    let cluster = |name: &&str| cluster(name, 1, Balance::RoundRobin, Links::default());
    Plan::new("test", table(rules), routes, clusters.iter().map(cluster).collect())
}

fn is(attr: Attr, text: &str) -> Expr {
    Expr::Attr(attr, Text::Exact(text.into()))
}

fn header(name: &str) -> Attr {
    Attr::Header(name.into())
}

fn authorize(json: serde_json::Value) -> Authorize {
    let options: AuthorizeOptions = serde_json::from_value(json).expect("options");
    Authorize::new(&options).expect("rules")
}

fn counted(filter: &dyn Filter) -> Vec<(String, u64)> {
    let mut counts = Vec::new();
    filter.counters(&mut |name, n| counts.push((name.to_owned(), n)));
    counts.retain(|(_, n)| *n > 0);
    counts
}

#[test]
fn a_filter_is_asked_again_unless_it_said_that_it_repeats_itself() {
    let seen = Arc::new(Consistent::default());
    let all = [Expr::All(vec![])];
    let plan =
        |seen: &Arc<Consistent>| to(&all, &["a"]).filters(vec![Arc::new(Filtered(seen.clone()))]);
    let mut sim = sim::<AwesomeRpc>(plan(&seen), 1);
    serve(&mut sim, "a:0", Profile::default(), ms(0));
    let (client, got) = rpc_client(&mut sim, Profile::default());
    let methods = ["echo", "moody", "refuse"];
    for id in 0..30 {
        sim.send(client, &call(id, methods[id as usize % 3], "x"));
    }
    sim.run(ms(200));
    for id in 0..30 {
        let expected = if id % 3 == 2 { "DENIED" } else { "OK" };
        assert_eq!(got.borrow().status(id), expected, "{id}");
    }
    let asked = std::mem::take(&mut *seen.asked.lock().expect("nobody panicked"));
    let of = |method| asked.iter().filter(|asked| *asked == method).count() as u64;
    assert_eq!((of("moody"), of("refuse")), (10, 10));
    assert!(of("echo") < 4, "{asked:?}");
    assert_eq!(of("echo") + seen.repeated.load(Relaxed), 10, "each request is told of once");

    // What holds on a connection is not known on another one, nor for long if it asks for others.
    let local = |sim: &mut Sim, id: u32, client| {
        (id..id + 5).for_each(|id| sim.send(client, &call(id, "local", "x")));
        sim.run(ms(50));
        std::mem::take(&mut *seen.asked.lock().expect("nobody panicked")).len()
    };
    let (other, told) = rpc_client(&mut sim, Profile::default());
    assert!((1..4).contains(&local(&mut sim, 30, client)));
    assert_eq!(local(&mut sim, 40, client), 0);
    assert_eq!(local(&mut sim, 30, other), 1);
    sim.send(client, &call(50, "echo", "x"));
    assert_eq!(local(&mut sim, 60, client), 1);
    assert!((30..35).all(|id| told.borrow().status(id) == "OK"));

    // Another plan has other filters, which have said nothing yet.
    let fresh = Arc::new(Consistent::default());
    let next = plan(&fresh);
    sim.drive(|m, now| m.swap(now, Arc::new(next)));
    sim.send(client, &call(70, "local", "x"));
    sim.send(client, &call(71, "echo", "x"));
    sim.run(ms(50));
    assert_eq!(*fresh.asked.lock().expect("nobody panicked"), ["local", "echo"]);
    sim.finish_clean();
}

/// Repeats itself, but looks at every fourth request, and remembers that until it is over.
#[derive(Debug, Default)]
struct Fourth {
    told: AtomicU64,
    asked: AtomicU64,
    done: AtomicU64,
}

#[derive(Debug)]
struct EachFourth(Arc<Fourth>, u64);

struct FourthWorker(Arc<Fourth>, u64);

impl Filter for EachFourth {
    fn name(&self) -> &str {
        "fourth"
    }

    fn worker(&self, _: u64) -> Box<dyn FilterWorker> {
        Box::new(FourthWorker(self.0.clone(), self.1))
    }
}

impl FilterWorker for FourthWorker {
    fn request(&mut self, _: Time, request: &mut dyn Request, memory: &mut u64) -> Verdict {
        assert_eq!(*memory, 0, "it is another request's");
        assert!(matches!(request.attr(&Attr::Method), Ok(Some(Value::Bytes(b"echo")))));
        self.0.asked.fetch_add(1, Relaxed);
        if self.1 == 4 {
            (self.1, *memory) = (0, 7);
        }
        Verdict::Pass
    }

    fn repeats(&self) -> Repeats {
        Repeats::Always
    }

    fn repeated(&mut self) -> bool {
        self.0.told.fetch_add(1, Relaxed);
        self.1 += 1;
        self.1 < 4
    }

    fn done(&mut self, _: Time, _: &heptad_core::End<'_>, memory: u64) {
        assert_eq!(memory, 7);
        self.0.done.fetch_add(1, Relaxed);
    }
}

#[test]
fn a_filter_that_repeats_itself_may_look_at_one_request_of_many() {
    let all: Vec<_> = (0..3).map(|_| Arc::new(Fourth::default())).collect();
    // Each of the three looks at other requests than the others do.
    let filter = |(one, from): (&Arc<Fourth>, u64)| Arc::new(EachFourth(one.clone(), from)) as _;
    let filters: Vec<Arc<dyn Filter>> = all.iter().zip(0..).map(filter).collect();
    let plan = to(&[Expr::All(vec![])], &["a"]).filters(filters);
    let mut sim = sim::<AwesomeRpc>(plan, 1);
    serve(&mut sim, "a:0", Profile::default(), ms(0));
    let (client, got) = rpc_client(&mut sim, Profile::default());
    for id in 0..41 {
        sim.send(client, &call(id, "echo", "x"));
        sim.run(ms(5));
    }
    assert!((0..41).all(|id| got.borrow().status(id) == "OK"));
    for (one, from) in all.iter().zip(0..) {
        let count = |cell: &AtomicU64| cell.load(Relaxed);
        // Until they are known requests are asked about; then told of, every fourth asked about too.
        let told = count(&one.told);
        assert!(told >= 38, "{told}");
        let fourths = (told + from) / 4;
        assert_eq!((count(&one.asked), count(&one.done)), (41 - told + fourths, fourths));
    }
    sim.finish_clean();
}

#[test]
fn rules_on_names_count_each_request_and_rules_on_more_judge_each() {
    let names = Arc::new(authorize(serde_json::json!({ "deny": [{ "method": "refuse" }] })));
    let tenants = Arc::new(authorize(serde_json::json!({
        "deny": [{ "method": "echo", "header.tenant": "evil" }],
    })));
    let plan = to(&[Expr::All(vec![])], &["a"]).filters(vec![names.clone(), tenants.clone()]);
    let mut sim = sim::<AwesomeRpc>(plan, 1);
    serve(&mut sim, "a:0", Profile::default(), ms(0));
    let (client, got) = rpc_client(&mut sim, Profile::default());
    for id in 0..40 {
        let tenant = if id % 2 == 1 { "evil" } else { "good" };
        sim.send(client, &Message::request(id, "svc", "echo").header("tenant", tenant).to_bytes());
    }
    sim.send(client, &call(40, "refuse", ""));
    sim.send(client, &call(41, "refuse", ""));
    sim.run(ms(200));
    for id in 0..42 {
        let denied = id % 2 == 1 || id == 40;
        assert_eq!(got.borrow().status(id), if denied { "DENIED" } else { "OK" }, "{id}");
    }
    let count = |name: &str, n| (name.to_owned(), n);
    assert_eq!(counted(&*names), [count("allowed", 40), count("denied", 2)]);
    assert_eq!(counted(&*tenants), [count("allowed", 20), count("denied", 20)]);
    assert_eq!(sim.ended(Outcome::Denied, Reason::Filter), 22);
    sim.finish_clean();
}

#[test]
fn an_audit_is_never_taken_for_a_permission() {
    let audit = Arc::new(authorize(serde_json::json!({
        "audit": true,
        "deny": [{ "method": "echo" }],
    })));
    let plan = to(&[Expr::All(vec![])], &["a"]).filters(vec![audit.clone()]);
    let mut sim = sim::<AwesomeRpc>(plan, 1);
    serve(&mut sim, "a:0", Profile::default(), ms(0));
    let (client, got) = rpc_client(&mut sim, Profile::default());
    for id in 0..10 {
        sim.send(client, &call(id, "echo", ""));
    }
    sim.run(ms(100));
    assert!((0..10).all(|id| got.borrow().status(id) == "OK"));
    assert_eq!(counted(&*audit), [("would_deny".to_owned(), 10)]);
    sim.finish_clean();
}

#[test]
fn a_method_goes_where_its_headers_say_and_where_the_new_plan_says() {
    let rules = [
        Expr::All(vec![is(Attr::Method, "echo"), is(header("tenant"), "one")]),
        is(Attr::Method, "echo"),
    ];
    let mut sim = sim::<AwesomeRpc>(to(&rules, &["a", "b"]), 1);
    for address in ["a:0", "b:0"] {
        serve(&mut sim, address, Profile::default(), ms(0));
    }
    let (client, got) = rpc_client(&mut sim, Profile::default());
    let send = |sim: &mut Sim, id: u32, tenant: &str| {
        let call = Message::request(id, "svc", "echo").header("tenant", tenant).body("x");
        sim.send(client, &call.to_bytes());
    };
    for id in 0..20 {
        send(&mut sim, id, if id % 2 == 0 { "one" } else { "two" });
    }
    sim.run(ms(200));
    for id in 0..20 {
        assert_eq!(got.borrow().body(id), if id % 2 == 0 { "a:0:x" } else { "b:0:x" }, "{id}");
    }

    // Now by the name alone, the other way round; what the old plan knew is void.
    for (id, clusters) in [(20, ["b", "a"]), (30, ["a", "b"])] {
        let next = to(&[is(Attr::Method, "echo"), Expr::All(vec![])], &clusters);
        sim.drive(|m, now| m.swap(now, Arc::new(next)));
        (id..id + 5).for_each(|id| send(&mut sim, id, "one"));
        sim.run(ms(200));
        let expected = format!("{}:0:x", clusters[0]);
        assert!((id..id + 5).all(|id| got.borrow().body(id) == expected));
    }
    sim.finish_clean();
}
