//! Filters in the middle of a pipeline, in both orders; and what is refused has changed nothing.

use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use awesomerpc::AwesomeRpc;
use heptad_cluster::Balance;
use heptad_core::{
    Ask, Attr, Filter, FilterWorker, Outcome, Reason, Refusal, Request, Time, Value, Verdict,
};
use heptad_engine::{Fate, Links, Peer, Plan, Question, Route, Target, explain_question};
use heptad_redis::Redis;
use heptad_route::{Expr, Text};
use heptad_testkit::sim::{
    End, Profile,
    resp::{Value as Resp, line},
    seeds,
};

use crate::{common::*, redis};

/// Asks about methods `ECHO`/`slow…`, refuses `DEL`, and counts its calls.
#[derive(Debug, Default)]
struct Judge {
    asked: AtomicU64,
    requests: AtomicU64,
    done: AtomicU64,
    /// Lengths of the answers, in their order.
    wrote: Mutex<Vec<u64>>,
}

#[derive(Debug)]
struct Judges(Arc<Judge>);

impl Filter for Judges {
    fn name(&self) -> &str {
        "judge"
    }
    fn worker(&self, _: u64) -> Box<dyn FilterWorker> {
        Box::new(Worker(self.0.clone()))
    }
}

struct Worker(Arc<Judge>);

impl FilterWorker for Worker {
    fn request(&mut self, _: Time, attrs: &mut dyn Request, scratch: &mut u64) -> Verdict {
        *scratch += 1;
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        let method = match attrs.attr(&Attr::Method) {
            Ok(Some(Value::Bytes(b))) => String::from_utf8_lossy(b).to_ascii_lowercase(),
            _ => String::new(),
        };
        match &*method {
            "incr" | "ask" => {
                self.0.asked.fetch_add(1, Ordering::Relaxed);
                Verdict::Ask(Ask::new("judge", method.into_bytes()))
            }
            "del" | "select" | "refuse" => {
                Verdict::Refuse(Refusal::new(Outcome::Denied, Cow::Borrowed("not you")))
            }
            "drop" => Verdict::Drop,
            _ => Verdict::Pass,
        }
    }

    fn resumed(&mut self, _: Time, answer: &[u8], _: &mut dyn Request, _: &mut u64) -> Verdict {
        if answer == b"no" {
            return Verdict::Refuse(Refusal::new(Outcome::Denied, "the judge said no"));
        }
        Verdict::Pass
    }

    fn done(&mut self, _: Time, end: &heptad_core::End<'_>, scratch: u64) {
        assert_eq!(scratch, 1, "each request has its own memory");
        self.0.wrote.lock().expect("nobody panicked").push(end.reply_bytes);
        self.0.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Refuses everything, and says on which route and to which cluster it was.
#[derive(Debug)]
struct Where;

impl Filter for Where {
    fn name(&self) -> &str {
        "where"
    }
    fn worker(&self, _: u64) -> Box<dyn FilterWorker> {
        Box::new(Self)
    }
}

impl FilterWorker for Where {
    fn request(&mut self, _: Time, attrs: &mut dyn Request, _: &mut u64) -> Verdict {
        let names = [Attr::Route, Attr::Cluster].map(|attr| match attrs.attr(&attr) {
            Ok(Some(Value::Bytes(name))) => String::from_utf8_lossy(name).into_owned(),
            other => format!("{other:?}"),
        });
        Verdict::Refuse(Refusal::new(Outcome::Denied, names.join(" to ")))
    }
}

#[test]
fn filters_know_the_route_and_the_cluster_and_explanations_too() {
    let plan = redis::plan(1, 5_000).filters(vec![Arc::new(Where)]);
    let question = Question::from(Peer::local()).with(Attr::Method, "GET");
    let explained = explain_question(&plan, "redis", &question);
    let Fate::Refused(refused) = &explained.branches[0].fate else { panic!("{explained:?}") };
    assert_eq!(refused.text, "all to r");
    let mut sim = sim::<Redis>(plan, 1);
    let (client, got) = redis::connect(&mut sim, Profile::default());
    sim.send(client, &line("GET a"));
    sim.run(ms(10));
    let got = std::mem::take(&mut got.borrow_mut().values);
    assert!(matches!(&got[..], [Resp::Error(e)] if e.ends_with("all to r")), "{got:?}");
    sim.finish_clean();
}

#[test]
fn an_async_filter_in_an_ordered_pipeline_keeps_the_order() {
    for seed in seeds(10) {
        let judge = Arc::new(Judge::default());
        let plan = redis::plan(3, 5_000).filters(vec![Arc::new(Judges(judge.clone()))]);
        let mut sim = sim::<Redis>(plan, seed);
        for i in 0..3 {
            redis::store(&mut sim, &format!("r:{i}"), Profile::default());
        }
        sim.on_ask(|_, rng| Some((ms(rng.u64(0..30)), b"yes".to_vec())));
        let (client, got) = redis::connect(&mut sim, Profile::default().chopped(40));
        for n in 0..10 {
            sim.send(client, &line(&format!("SET a{n} x")));
            sim.send(client, &line("INCR n"));
            sim.send(client, &line("GET n"));
        }
        sim.run(ms(2_000));
        let got = std::mem::take(&mut got.borrow_mut().values);
        assert_eq!(got.len(), 30);
        for (n, three) in got.chunks(3).enumerate() {
            let n = n as i64 + 1;
            assert_eq!(three, [Resp::ok(), Resp::Int(n), Resp::bulk(n.to_string())]);
        }
        sim.finish_clean();
        assert_eq!(judge.asked.load(Ordering::Relaxed), 10);
        assert_eq!(judge.requests.load(Ordering::Relaxed), judge.done.load(Ordering::Relaxed));
    }
}

#[test]
fn an_async_filter_in_an_unordered_pipeline_lets_others_pass() {
    let judge = Arc::new(Judge::default());
    let plan = plan_to(cluster("a", 1, Balance::RoundRobin, Links::default()), Some(ms(500)))
        .filters(vec![Arc::new(Judges(judge.clone()))]);
    let mut sim = sim::<AwesomeRpc>(plan, 1);
    serve(&mut sim, "a:0", Profile::default(), ms(0));
    let mut n = 0;
    sim.on_ask(move |_, _| {
        n += 1;
        match n {
            1 => Some((ms(50), b"yes".to_vec())),
            2 => Some((ms(50), b"no".to_vec())),
            _ => None,
        }
    });
    let (a, got) = rpc_client(&mut sim, Profile::default());
    for (id, method) in
        [(1, "ask"), (2, "ask"), (3, "ask"), (4, "echo"), (5, "refuse"), (6, "drop")]
    {
        sim.send(a, &call(id, method, ""));
    }
    sim.run(ms(20));
    assert_eq!(got.borrow().status(4), "OK");
    assert_eq!(got.borrow().status(5), "DENIED");
    sim.run(ms(1_000));
    assert_eq!(got.borrow().status(1), "OK");
    assert_eq!(got.borrow().status(2), "DENIED");
    assert_eq!(got.borrow().status(3), "TIMEOUT", "the judge never spoke");
    assert_eq!(got.borrow().status(6), "none");
    assert_eq!(sim.ended(Outcome::Denied, Reason::Filter), 3);
    // A client that leaves while it is judged.
    sim.send(a, &call(7, "ask", ""));
    sim.run(ms(10));
    sim.end(a, End::Reset);
    sim.finish_clean();
    assert_eq!(judge.requests.load(Ordering::Relaxed), judge.done.load(Ordering::Relaxed));
}

#[test]
fn a_refused_request_has_changed_nothing() {
    let judge = Arc::new(Judge::default());
    let plan = redis::plan(2, 5_000).filters(vec![Arc::new(Judges(judge))]);
    let mut sim = sim::<Redis>(plan, 1);
    let stores = [0, 1].map(|i| redis::store(&mut sim, &format!("r:{i}"), Profile::default()));
    let (client, got) = redis::connect(&mut sim, Profile::default());
    for text in ["SET a 1", "SELECT 5", "DEL a", "GET a"] {
        sim.send(client, &line(text));
    }
    sim.run(ms(100));
    let got = std::mem::take(&mut got.borrow_mut().values);
    assert!(matches!((&got[1], &got[2]), (Resp::Error(_), Resp::Error(_))), "{got:?}");
    assert_eq!(got[3], Resp::bulk("1"), "database and key are as before");
    assert!(stores.iter().all(|s| s.borrow().lines("SELECT").is_empty()));
    sim.finish_clean();
}

#[test]
fn filters_hear_how_long_each_answer_is() {
    let judge = Arc::new(Judge::default());
    let plan = redis::plan(1, 5_000).filters(vec![Arc::new(Judges(judge.clone()))]);
    let mut sim = sim::<Redis>(plan, 1);
    redis::store(&mut sim, "r:0", Profile::default());
    let (client, got) = redis::connect(&mut sim, Profile::default());
    sim.send(client, &line("SET a 12345"));
    sim.run(ms(10));
    // All at once, so that answers are behind others that are not written yet.
    sim.send(client, &["DEL a", "GET a", "DEL a", "GET b"].map(line).concat());
    sim.run(ms(100));
    let got = std::mem::take(&mut got.borrow_mut().values);
    let Resp::Error(text) = &got[1] else { panic!("{got:?}") };
    let refused = (text.len() + "-\r\n".len()) as u64;
    let mut wrote = judge.wrote.lock().expect("nobody panicked").clone();
    wrote.sort_unstable();
    let mut expected = vec![5, refused, 11, refused, 5];
    expected.sort_unstable();
    assert_eq!(wrote, expected, "+OK, the refusals, a value of five bytes, none");
    sim.finish_clean();
}

#[test]
fn queued_commands_are_judged_one_by_one_and_exec_after_a_refused_one_aborts() {
    let judge = Arc::new(Judge::default());
    let plan = redis::plan(2, 5_000).filters(vec![Arc::new(Judges(judge))]);
    let mut sim = sim::<Redis>(plan, 1);
    let stores = [0, 1].map(|i| redis::store(&mut sim, &format!("r:{i}"), Profile::default()));
    let (client, got) = redis::connect(&mut sim, Profile::default());
    for text in ["MULTI", "SET a 1", "DEL a", "EXEC", "GET a"] {
        sim.send(client, &line(text));
        sim.run(ms(10));
    }
    let got = std::mem::take(&mut got.borrow_mut().values);
    assert_eq!(got[1], Resp::Simple("QUEUED".into()));
    assert!(matches!(&got[2], Resp::Error(e) if e.contains("not you")), "{got:?}");
    assert!(matches!(&got[3], Resp::Error(e) if e.starts_with("EXECABORT")), "{got:?}");
    assert_eq!(got[4], Resp::Null);
    assert!(stores.iter().all(|s| s.borrow().strings.is_empty()));
    sim.finish_clean();
}

#[test]
fn filters_see_requests_without_a_route_and_may_ask_before_a_direct_answer() {
    let is = |method: &str| Expr::Attr(Attr::Method, Text::Exact(method.into()));
    let judge = Arc::new(Judge::default());
    let route = Route::new("told", Target::Answer("told you".into()));
    let plan = Plan::new("test", table(&[is("ask")]), vec![route], vec![])
        .filters(vec![Arc::new(Judges(judge.clone()))]);
    let mut sim = sim::<AwesomeRpc>(plan, 1);
    sim.on_ask(|_, _| Some((ms(5), b"yes".to_vec())));
    let (client, got) = rpc_client(&mut sim, Profile::default());
    sim.send(client, &call(1, "ask", ""));
    sim.send(client, &call(2, "nowhere", ""));
    sim.send(client, &call(3, "refuse", ""));
    sim.send(client, &call(4, "incr", ""));
    sim.run(ms(100));
    let got = got.borrow();
    // The route answers although a filter had to ask first.
    assert_eq!((got.status(1), &*got.body(1)), ("OK", "told you"));
    assert_eq!(got.status(2), "UNKNOWN_METHOD");
    assert_eq!(got.status(3), "DENIED", "what a filter says comes first");
    assert_eq!(got.status(4), "UNKNOWN_METHOD", "also after a filter had to ask");
    assert_eq!(judge.requests.load(Ordering::Relaxed), 4);
    assert_eq!(judge.done.load(Ordering::Relaxed), 4);
    drop(got);
    sim.finish_clean();
}
