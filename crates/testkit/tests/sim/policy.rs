//! Every policy over every protocol, in one table: a protocol is a row that knows how a request
//! with given attributes is written and how an answer is read; a test knows no protocol.

use std::{sync::Arc, time::Duration};

use awesomerpc::{AwesomeRpc, wire::Message};
use heptad_cluster::Balance;
use heptad_core::{Filter, HeaderEdit, Kind, Options, Outcome, Reason};
use heptad_engine::{Links, Plan};
use heptad_filters::{
    InjectFault, InjectFaultOptions, LimitConcurrency, LimitConcurrencyOptions, LimitRate,
    LimitRateOptions,
};
use heptad_redis::Redis;
use heptad_testkit::sim::{
    Client, End, Profile, Sim,
    resp::{Value, line},
};

use crate::{common::*, dubbo, redis, thrift};

/// What a test asks, in attributes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    /// Different for each request of a client, and growing.
    pub(crate) id: u32,
    pub(crate) method: &'a str,
    /// Whose request it is: in `header.tenant`, or where the row's `per` says.
    pub(crate) tenant: &'a str,
}

/// An answer: `Ok` if the endpoint's came through, otherwise the protocol's word for the error and
/// the text.
pub(crate) type Said = Result<(), (String, String)>;

/// Names and values.
pub(crate) type Headers = Vec<(String, String)>;

/// A client, and what it has heard so far, in the order of its requests.
pub(crate) struct Peer {
    pub(crate) client: Client,
    pub(crate) heard: Box<dyn Fn() -> Vec<Said>>,
    /// The headers of the same replies, where replies have any.
    pub(crate) headers: Option<Box<dyn Fn() -> Vec<Headers>>>,
}

impl Peer {
    pub(crate) fn heard(&self) -> Vec<Said> {
        (self.heard)()
    }
}

/// What stands before the endpoint.
#[derive(Default)]
pub(crate) struct Front {
    pub(crate) filters: Vec<Arc<dyn Filter>>,
    pub(crate) request: Vec<HeaderEdit>,
    pub(crate) reply: Vec<HeaderEdit>,
}

impl Front {
    /// The plan, which has one route, with these in front.
    pub(crate) fn of(self, mut plan: Plan) -> Plan {
        for route in &mut plan.routes {
            route.request_headers = self.request.as_slice().into();
            route.reply_headers = self.reply.as_slice().into();
        }
        plan.filters(self.filters)
    }
}

/// A request as it reached the endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    pub(crate) method: String,
    pub(crate) headers: Headers,
}

/// A simulation, and what has reached its endpoint so far.
pub(crate) struct World {
    pub(crate) sim: Sim,
    pub(crate) reached: Box<dyn Fn() -> Vec<Reached>>,
}

impl World {
    pub(crate) fn methods(&self) -> Vec<String> {
        (self.reached)().into_iter().map(|reached| reached.method).collect()
    }
}

/// A protocol.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// The attribute with the tenant's name.
    pub(crate) per: &'static str,
    /// What it calls its service, if it has any.
    pub(crate) service: Option<&'static str>,
    /// How it says these outcomes.
    pub(crate) words: fn(Outcome) -> &'static str,
    /// A simulation with one endpoint, some milliseconds away.
    pub(crate) world: fn(Front) -> World,
    pub(crate) connect: fn(&mut Sim) -> Peer,
    pub(crate) request: fn(&Call<'_>) -> Vec<u8>,
    /// The same without a reply, if there is such a thing.
    pub(crate) oneway: Option<fn(&Call<'_>) -> Vec<u8>>,
}

/// Every protocol there is.
pub(crate) const ROWS: [Row; 4] = [
    dubbo::ROW,
    thrift::ROW,
    Row {
        name: "awesomerpc",
        per: "header.tenant",
        service: Some("svc"),
        words: |outcome| match outcome {
            Outcome::Denied => "DENIED",
            Outcome::Limited => "LIMITED",
            Outcome::Overloaded => "OVERLOADED",
            _ => "UNAVAILABLE",
        },
        world: |front| {
            let cluster = cluster("a", 1, Balance::RoundRobin, Links::default());
            let mut sim = sim::<AwesomeRpc>(front.of(plan_to(cluster, Some(ms(1000)))), 1);
            let server = serve(&mut sim, "a:0", Profile::default().latency(FAR), ms(0));
            let reached =
                |m: &Message| Reached { method: m.method.clone(), headers: m.headers.clone() };
            let reached = move || server.borrow().seen.iter().map(reached).collect();
            World { sim, reached: Box::new(reached) }
        },
        connect: |sim| {
            let (client, got) = rpc_client(sim, Profile::default());
            let heard = move || {
                let got = got.borrow();
                let mut replies: Vec<_> = got.replies.iter().map(|(_, m)| m).collect();
                replies.sort_by_key(|m| m.id);
                let said = |m: &&Message| match m.status_name() {
                    "OK" => Ok(()),
                    name => Err((name.to_owned(), String::from_utf8_lossy(&m.body).into())),
                };
                replies.iter().filter(|m| m.kind == Kind::Reply).map(said).collect()
            };
            // Its replies have no headers.
            Peer { client, heard: Box::new(heard), headers: None }
        },
        request: |call| {
            let request = Message::request(call.id, "svc", call.method);
            request.header("tenant", call.tenant).to_bytes()
        },
        oneway: Some(|call| {
            Message::oneway("svc", call.method).header("tenant", call.tenant).to_bytes()
        }),
    },
    Row {
        name: "redis",
        per: "key",
        service: None,
        words: |outcome| match outcome {
            Outcome::Denied => "NOPERM heptad",
            _ => "ERR heptad",
        },
        world: |front| {
            let mut sim = sim::<Redis>(front.of(redis::plan(1, 1000)), 1);
            let store = redis::store(&mut sim, "r:0", Profile::default().latency(FAR));
            let reached = |(_, words): &(usize, Vec<String>)| Reached {
                method: words[0].clone(),
                headers: Vec::new(),
            };
            let reached = move || store.borrow().seen.iter().map(reached).collect();
            World { sim, reached: Box::new(reached) }
        },
        connect: |sim| {
            let (client, got) = redis::connect(sim, Profile::default());
            let said = |value: &Value| match value {
                Value::Error(text) => {
                    let (code, text) = text.split_once(": ").expect("our words");
                    Err((code.to_owned(), text.to_owned()))
                }
                _ => Ok(()),
            };
            let heard = move || got.borrow().values.iter().map(said).collect();
            Peer { client, heard: Box::new(heard), headers: None }
        },
        request: |call| line(&format!("{} {}", call.method, call.tenant)),
        oneway: None,
    },
];

/// How far away endpoints are.
pub(crate) const FAR: Duration = Duration::from_millis(5);

/// Longer than any request takes that nobody delays.
pub(crate) const SOON: u64 = 40;

impl Row {
    fn start(&self, filters: Vec<Arc<dyn Filter>>) -> Sim {
        (self.world)(Front { filters, ..Front::default() }).sim
    }

    pub(crate) fn send(&self, sim: &mut Sim, peer: &Peer, call: &Call<'_>) {
        sim.send(peer.client, &(self.request)(call));
    }

    /// What a client is told that is refused.
    pub(crate) fn refused(&self, outcome: Outcome, text: &str) -> Said {
        Err(((self.words)(outcome).to_owned(), text.to_owned()))
    }

    /// Options in which `PER` is the attribute with the tenant's name.
    pub(crate) fn options<O: Options>(&self, json: &str) -> O {
        serde_json::from_str(&json.replace("PER", self.per)).expect(json)
    }

    pub(crate) fn limit_rate(&self, json: &str) -> Arc<dyn Filter> {
        Arc::new(LimitRate::new(&self.options::<LimitRateOptions>(json)).expect(json))
    }

    pub(crate) fn limit_concurrency(&self, json: &str) -> Arc<dyn Filter> {
        let options: LimitConcurrencyOptions = self.options(json);
        Arc::new(LimitConcurrency::new(&options).expect(json))
    }

    fn inject_fault(&self, json: &str) -> Arc<dyn Filter> {
        Arc::new(InjectFault::new(&self.options::<InjectFaultOptions>(json)).expect(json))
    }
}

pub(crate) fn get(id: u32, tenant: &str) -> Call<'_> {
    Call { id, method: "GET", tenant }
}

pub(crate) fn counted(filter: &Arc<dyn Filter>) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    filter.counters(&mut |name, n| all.push((name.to_owned(), n)));
    all
}

fn counts(all: [(&str, u64); 3]) -> Vec<(String, u64)> {
    all.map(|(name, n)| (name.to_owned(), n)).into()
}

#[test]
fn a_rate_is_kept_for_each_tenant() {
    for row in &ROWS {
        let filter = row.limit_rate(
            r#"{"rate": "10/s", "burst": 2, "per": "PER", "match": {"method": "GET"}}"#,
        );
        let mut sim = row.start(vec![filter.clone()]);
        let (one, two) = ((row.connect)(&mut sim), (row.connect)(&mut sim));
        for id in 1..=3 {
            row.send(&mut sim, &one, &get(id, "acme"));
        }
        row.send(&mut sim, &two, &get(1, "zeta"));
        row.send(&mut sim, &two, &Call { id: 2, method: "DEL", tenant: "acme" });
        sim.run(ms(SOON));
        let text = format!("over the limit of 10/s for {} \"acme\"", row.per);
        let over = row.refused(Outcome::Limited, &text);
        assert_eq!(one.heard(), [Ok(()), Ok(()), over.clone()], "{}", row.name);
        assert_eq!(two.heard(), [Ok(()), Ok(())], "{}", row.name);
        // Every tenth of a second brings one.
        sim.run(ms(70));
        for id in 4..=5 {
            row.send(&mut sim, &one, &get(id, "acme"));
        }
        sim.run(ms(SOON));
        assert_eq!(one.heard()[3..], [Ok(()), over], "{}", row.name);
        assert_eq!(sim.ended(Outcome::Limited, Reason::Filter), 2, "{}", row.name);
        assert_eq!(counted(&filter), counts([("limited", 2), ("passed", 4), ("overflow", 0)]));
        sim.finish_clean();
    }
}

#[test]
fn a_rate_is_kept_over_all_workers() {
    for row in &ROWS {
        let filter = row.limit_rate(r#"{"rate": "1/s", "burst": 30}"#);
        // Two engines are two workers.
        let mut sims = [0, 1].map(|_| row.start(vec![filter.clone()]));
        let mut passed = [0, 0];
        for (sim, passed) in sims.iter_mut().zip(&mut passed) {
            let peer = (row.connect)(sim);
            for id in 1..=20 {
                row.send(sim, &peer, &get(id, "acme"));
            }
            sim.run(ms(SOON));
            assert_eq!(peer.heard().len(), 20, "{}", row.name);
            *passed = peer.heard().iter().filter(|said| said.is_ok()).count();
        }
        assert_eq!(passed, [20, 10], "{}", row.name);
    }
}

#[test]
fn no_more_than_so_many_are_in_flight() {
    for row in &ROWS {
        let filter = row.limit_concurrency(r#"{"max": 2, "per": "PER"}"#);
        let mut sim = row.start(vec![filter.clone()]);
        let (one, two) = ((row.connect)(&mut sim), (row.connect)(&mut sim));
        for id in 1..=3 {
            row.send(&mut sim, &one, &get(id, "acme"));
        }
        row.send(&mut sim, &two, &get(1, "zeta"));
        sim.run(ms(SOON));
        let text = format!("over the limit of 2 at a time for {} \"acme\"", row.per);
        let over = row.refused(Outcome::Limited, &text);
        assert_eq!(one.heard(), [Ok(()), Ok(()), over.clone()], "{}", row.name);
        assert_eq!(two.heard(), [Ok(())], "{}", row.name);
        // They have ended, so there is room; a client that leaves makes room too.
        for id in 4..=6 {
            row.send(&mut sim, &one, &get(id, "acme"));
        }
        sim.run(ms(2));
        sim.end(one.client, End::Reset);
        sim.run(ms(SOON));
        for id in 2..=4 {
            row.send(&mut sim, &two, &get(id, "acme"));
        }
        sim.run(ms(SOON));
        assert_eq!(two.heard(), [Ok(()), Ok(()), Ok(()), over], "{}", row.name);
        sim.finish_clean();
        assert_eq!(counted(&filter), counts([("limited", 3), ("passed", 7), ("overflow", 0)]));
    }
}

#[test]
fn what_times_out_makes_room() {
    for row in &ROWS {
        let filter = row.limit_concurrency(r#"{"max": 1, "per": "route"}"#);
        let mut sim = row.start(vec![filter.clone()]);
        let address = sim.machine().endpoints()[0].address.clone();
        sim.set_deaf(&address, true);
        let (one, two) = ((row.connect)(&mut sim), (row.connect)(&mut sim));
        row.send(&mut sim, &one, &get(1, "acme"));
        sim.run(ms(500));
        row.send(&mut sim, &two, &get(1, "acme"));
        sim.run(ms(SOON));
        let text = "over the limit of 1 at a time for route \"all\"";
        assert_eq!(two.heard(), [row.refused(Outcome::Limited, text)], "{}", row.name);
        sim.run(ms(1000));
        assert_eq!(sim.ended(Outcome::Timeout, Reason::Request), 1, "{}", row.name);
        row.send(&mut sim, &two, &get(2, "acme"));
        sim.run(ms(1100));
        assert_eq!(sim.ended(Outcome::Timeout, Reason::Request), 2, "{}", row.name);
        assert_eq!(counted(&filter), counts([("limited", 1), ("passed", 2), ("overflow", 0)]));
        sim.finish();
    }
}

#[test]
fn faults_are_injected_where_they_are_meant() {
    for row in &ROWS {
        let refuse = r#""refuse": {"outcome": "overloaded", "text": "try later"}"#;
        let delayed = row.inject_fault(r#"{"match": {"PER": "acme"}, "delay": "100ms"}"#);
        let refused = row.inject_fault(&format!(r#"{{"match": {{"PER": "zeta"}}, {refuse}}}"#));
        let both =
            row.inject_fault(r#"{"match": {"PER": "both"}, "delay": "200ms", "refuse": {}}"#);
        let never = row.inject_fault(r#"{"percent": 0, "refuse": {}}"#);
        let mut sim = row.start(vec![delayed, refused, both, never]);
        let peers = [0; 4].map(|_| (row.connect)(&mut sim));
        for (peer, tenant) in peers.iter().zip(["acme", "zeta", "both", "none"]) {
            row.send(&mut sim, peer, &get(1, tenant));
        }
        sim.run(ms(SOON));
        let heard = |at: usize| peers[at].heard();
        assert_eq!(heard(0), []);
        assert_eq!(heard(1), [row.refused(Outcome::Overloaded, "try later")], "{}", row.name);
        assert_eq!(heard(2), []);
        assert_eq!(heard(3), [Ok(())], "{}", row.name);
        sim.run(ms(100));
        assert_eq!((heard(0), heard(2)), (vec![Ok(())], vec![]), "{}", row.name);
        sim.run(ms(100));
        let fault = row.refused(Outcome::FaultInjected, "a fault was injected");
        assert_eq!(heard(2), [fault], "{}", row.name);
        assert_eq!(sim.ended(Outcome::FaultInjected, Reason::Filter), 1);
        sim.finish_clean();
    }
}

#[test]
fn a_delay_ends_with_the_time_that_the_route_allows() {
    for row in &ROWS {
        let filter = row.inject_fault(r#"{"delay": "10s"}"#);
        let limit = row.limit_concurrency(r#"{"max": 1}"#);
        let mut sim = row.start(vec![limit, filter]);
        let peer = (row.connect)(&mut sim);
        row.send(&mut sim, &peer, &get(1, "acme"));
        sim.run(ms(1100));
        assert_eq!(sim.ended(Outcome::Timeout, Reason::Request), 1, "{}", row.name);
        row.send(&mut sim, &peer, &get(2, "acme"));
        sim.run(ms(1100));
        assert_eq!(sim.ended(Outcome::Timeout, Reason::Request), 2, "the first gave its place");
        sim.finish();
    }
}
