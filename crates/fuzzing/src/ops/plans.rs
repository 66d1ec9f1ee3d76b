//! Topologies: few endpoints, every sort of balancing and sharing, small limits, filters, mirrors.

use std::{sync::Arc, time::Duration};

use heptad_cluster::{Balance, Endpoint, Spec};
use heptad_core::{Attr, Ctx, HeaderEdit, Outcome};
use heptad_engine::{Cluster, Limits, Links, Mirror, Plan, Route, Target};
use heptad_route::{Expr, Table, Text};

use super::judge::Judges;

/// All endpoints; clusters have the first so many, and the last one is the mirror's.
pub(super) const ADDRESSES: [&str; 4] = ["a:0", "a:1", "a:2", "m:0"];

/// A plan for three bytes; all plans over one codec may follow each other.
pub(super) fn plan([topology, limits, policy]: [u8; 3]) -> Arc<Plan> {
    let ms = Duration::from_millis;
    let endpoints = usize::from(topology & 3).clamp(1, 3);
    let balance = match topology >> 2 & 3 {
        0 => Balance::RoundRobin,
        1 => Balance::Ring { failover: false },
        2 => Balance::LeastRequest,
        _ => Balance::Slots,
    };
    let links = Links::default()
        .per_endpoint(1 + usize::from(topology >> 4 & 1))
        .share([None, Some(true), Some(false), None][usize::from(topology >> 5 & 3)])
        .max_in_flight(if topology & 0x80 == 0 { 1024 } else { 2 })
        .max(if limits & 1 == 0 { 1024 } else { 2 })
        .ping((limits & 2 != 0).then(|| ms(500)))
        .idle_timeout(ms(if limits & 4 == 0 { 60_000 } else { 200 }))
        .orphan_age(ms(1_000));
    let cluster = |name: &str, addresses: &[&str], balance| {
        let endpoints = addresses.iter().map(|a| Endpoint::new(*a)).collect();
        match Cluster::new(name, Spec::new(balance, endpoints)) {
            Ok(cluster) => {
                let print = u64::from(topology) << 8 | u64::from(limits);
                cluster.links(links).connect_timeout(ms(300)).fingerprint(print)
            }
            Err(error) => panic!("a topology that cannot be: {error}"),
        }
    };
    let addresses = ADDRESSES.get(..endpoints).unwrap_or(&ADDRESSES);
    let clusters =
        vec![cluster("a", addresses, balance), cluster("m", &ADDRESSES[3..], Balance::RoundRobin)];
    let exact = |text: &str| Expr::Attr(Attr::Method, Text::Exact(text.into()));
    let rules = [
        exact("answered"),
        exact("DEL"),
        Expr::Attr(Attr::Header("user".into()), Text::Present(true)),
        Expr::All(vec![]),
    ];
    let timeout = Some(ms(if policy & 0x20 == 0 { 2_000 } else { 60 }));
    let edits = || vec![HeaderEdit::Set { name: "via".into(), value: "heptad".into() }];
    let mirror = (policy & 0x40 != 0).then(|| Mirror::new(1));
    let routes = vec![
        Route::new("answered", Target::Answer("ok".into())),
        Route::new("refused", Target::Refuse(Outcome::Denied, "no".into())),
        Route::new("user", Target::Cluster(0)).timeout(timeout).headers(edits(), edits()),
        Route::new("all", Target::Cluster(0)).timeout(timeout).client_timeout(true).mirror(mirror),
    ];
    let table = match Table::compile(&rules) {
        Ok(table) => table,
        Err(error) => panic!("rules that cannot be compiled: {error}"),
    };
    let mut most = Limits::default();
    if limits & 8 != 0 {
        let small = Ctx::default().max_frame(2_048).max_head(512).max_parts(32).max_depth(8);
        most = most.frames(small).in_flight(3).sessions(4).queue(2);
        most = most.soft_mark(512).hard_mark(4_096).buffered(16_384);
    }
    if limits & 16 != 0 {
        most = most.idle_timeout(Some(ms(800)));
    }
    let mut plan = Plan::new("fuzz", table, routes, clusters).limits(most);
    if policy & 0x80 != 0 {
        plan = plan.filters(vec![Arc::new(Judges)]);
    }
    Arc::new(plan)
}
