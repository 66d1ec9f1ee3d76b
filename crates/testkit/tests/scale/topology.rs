//! Random plans: clusters that share endpoints, routes that share clusters, limits that hurt.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use heptad_cluster::{Balance, DEFAULT_TABLE_SIZE, Endpoint, Order, Spec, Weighted};
use heptad_core::{Attr, Ctx, Filter, Outcome};
use heptad_engine::{Cluster, Compare, Limits, Links, Mirror, Plan, Route, Target};
use heptad_route::{Expr, Table, Text};

use crate::tongue::Verb;

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// No route allows more, and no copy.
pub(crate) const LONGEST: Duration = Duration::from_millis(1_200);

/// What the addresses begin with to which several clusters lead.
pub(crate) const SHARED: &str = "b";

/// Everything that the plans of one listener are made of.
pub(crate) struct Parts {
    pub(crate) addresses: Vec<String>,
    pub(crate) mirrors: Vec<String>,
    clusters: Vec<Cluster>,
    mirror: Cluster,
    /// Most calls that may be open on a shared link.
    pub(crate) deepest: usize,
    /// Most bytes that may wait for a link, but for the last frame.
    pub(crate) link_buffer: usize,
}

fn balance(rng: &mut Rng, keyed: bool) -> Balance {
    let failover = !keyed && rng.bool();
    let hashing = [
        Balance::Maglev { table_size: DEFAULT_TABLE_SIZE, failover },
        Balance::Ring { failover },
        Balance::Modula { order: Order::default() },
    ];
    let any = [Balance::RoundRobin, Balance::LeastRequest, Balance::Random];
    match rng.usize(0..6) {
        n @ 0..3 => hashing[n],
        n if keyed => hashing[n - 3],
        n => any[n - 3],
    }
}

fn links(rng: &mut Rng) -> Links {
    Links::default()
        .per_endpoint(rng.usize(1..3))
        .max_in_flight(rng.u32(1..64))
        .max(rng.usize(1..8))
        .max_buffered(1 << rng.u32(8..20))
        .orphan_age(ms(rng.u64(100..2_000)))
        .idle_timeout(ms(rng.u64(200..3_000)))
        .ping(rng.bool().then_some(ms(500)))
        .share([None, None, Some(false), Some(true)][rng.usize(0..4)])
}

impl Parts {
    pub(crate) fn random(rng: &mut Rng, keyed: bool) -> Self {
        let list = |rng: &mut Rng, name: &str, most: usize| -> Vec<String> {
            (0..rng.usize(1..=most)).map(|i| format!("{name}:{i}")).collect()
        };
        let lists = [list(rng, "a", 3), list(rng, SHARED, 3), list(rng, "c", 2)];
        let mirrors = list(rng, "m", 2);
        let mut cluster = |name: &str, n: u64, all: &[String]| {
            let mut some: Vec<_> = all.iter().filter(|_| rng.bool()).collect();
            if some.is_empty() {
                some.push(&all[0]);
            }
            let weigh = |at: &String| Endpoint::new(at.clone()).weighing(rng.u32(1..4));
            let endpoints = some.into_iter().map(weigh).collect();
            let spec = Spec::new(balance(rng, keyed), endpoints);
            let cluster = Cluster::new(name, spec).expect("a balancer").links(links(rng));
            cluster.connect_timeout(ms(rng.u64(50..1_000))).fingerprint(n)
        };
        // Two of one name: a swap may exchange one for the other.
        let [a, b, c] = &lists;
        let named = [("a", a), ("b", b), ("b", b), ("c", c)];
        let clusters: Vec<_> =
            (1..).zip(named).map(|(n, (name, all))| cluster(name, n, all)).collect();
        let mirror = cluster("mirror", 9, &mirrors);
        let most = |of: &dyn Fn(&Links) -> usize| {
            clusters.iter().chain([&mirror]).map(|c| of(&c.links)).max().unwrap_or(0)
        };
        let deepest = most(&|links| links.max_in_flight as usize);
        let link_buffer = most(&|links| links.max_buffered);
        let addresses = lists.concat();
        Self { addresses, mirrors, clusters, mirror, deepest, link_buffer }
    }

    /// A plan of some of the clusters.
    pub(crate) fn plan(
        &self,
        rng: &mut Rng,
        limits: Limits,
        filters: Vec<Arc<dyn Filter>>,
        token: &str,
    ) -> Plan {
        let mut clusters = vec![self.clusters[0].clone(), self.clusters[rng.usize(1..3)].clone()];
        if rng.bool() {
            clusters.push(self.clusters[3].clone());
        }
        rng.shuffle(&mut clusters);
        let targets = clusters.len();
        clusters.push(self.mirror.clone());
        let mut rules = Vec::new();
        let mut routes = Vec::new();
        for n in 0..rng.usize(1..4) {
            rules.push(rule(rng, token));
            routes.push(route(rng, format!("r{n}"), targets));
        }
        if rng.u32(0..8) > 0 {
            rules.push(Expr::All(Vec::new()));
            routes.push(route(rng, "rest".to_owned(), targets));
        }
        let table = Table::compile(&rules).expect("rules");
        Plan::new("test", table, routes, clusters).limits(limits).filters(filters)
    }
}

fn rule(rng: &mut Rng, token: &str) -> Expr {
    let attr = |name: &str, text| Expr::Attr(name.parse::<Attr>().expect("an attribute"), text);
    let one = match rng.u32(0..3) {
        0 => attr("method", Text::Exact(Verb::ALL[rng.usize(0..9)].1.to_owned())),
        1 => attr(token, Text::Prefix(format!("{}.", rng.u32(0..5)))),
        _ => attr(token, Text::Suffix(rng.u32(0..10).to_string())),
    };
    if rng.u32(0..5) == 0 { Expr::Not(Box::new(one)) } else { one }
}

fn route(rng: &mut Rng, name: String, clusters: usize) -> Route {
    let target = match rng.u32(0..20) {
        0 => Target::Answer("direct".into()),
        1 => Target::Refuse(Outcome::Denied, "closed".into()),
        2..5 => {
            let weights: Vec<u32> = (0..clusters).map(|_| rng.u32(1..9)).collect();
            let weighted = Weighted::new(&weights).expect("weights");
            Target::Weighted(weighted, (0..clusters).collect())
        }
        _ => Target::Cluster(rng.usize(0..clusters)),
    };
    let longest = LONGEST.as_millis() as u64;
    let compare = [Compare::None, Compare::Outcome, Compare::Bytes][rng.usize(0..3)];
    let mirror = Mirror::new(clusters).percent(rng.u32(1..101)).compare(compare);
    let mirror = mirror.timeout(ms(rng.u64(30..longest)));
    Route::new(name, target)
        .timeout(Some(ms(rng.u64(30..longest))))
        .mirror((rng.u32(0..5) == 0).then_some(mirror))
}

/// Limits, and whether a session may be closed for what it did.
pub(crate) fn limits(rng: &mut Rng) -> (Limits, bool) {
    let soft = 1 << rng.u32(6..16);
    let mut limits = Limits::default()
        .in_flight(rng.usize(1..40))
        .queue(rng.usize(0..40))
        .soft_mark(soft)
        .frames(Ctx::default().max_frame(64 << 10));
    let tight = rng.u32(0..4) == 0;
    if tight {
        limits = limits.hard_mark(soft + (1 << rng.u32(8..14)));
        limits = limits.buffered(1 << rng.u32(10..20)).sessions(rng.usize(2..6));
        limits = limits.idle_timeout(rng.bool().then_some(ms(rng.u64(300..1_500))));
    }
    (limits, tight)
}
