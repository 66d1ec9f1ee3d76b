//! From what a configuration says to what engines look things up in. Starts nothing.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use heptad_cluster::{Spec, Weighted};
use heptad_config::{Action, Address, Cluster, Listener, Model, Problem, Span};
use heptad_core::{Ctx, Filter};
use heptad_engine::{
    Compare, Limits, Links, LooksAt, Mirror, Plan, Route, Sniffed, Sniffer, Target,
};
use heptad_route::Table;

use crate::{Machines, Registry, registry::AnyCodec};

/// A listener ready to be started.
pub(crate) struct Compiled {
    pub(crate) plan: Arc<Plan>,
    pub(crate) machines: Machines,
}

/// Compiles a listener. Whatever can be wrong with a file was found when it was loaded; what is
/// still found here comes from models that were loaded with other plugins.
pub(crate) fn compile(
    registry: &Registry,
    model: &Model,
    listener: &Listener,
) -> Result<Compiled, Problem> {
    let at = |message: String| Problem::new(listener.span, message, "");
    let mut filters = Vec::new();
    for filter in &listener.filters {
        let made = registry.make_filter(&filter.name, filter.options.as_ref());
        let made = made.ok_or_else(|| at(format!("there is no filter {}", filter.name)))?;
        filters.push(made?);
    }
    let mut plan = plan(registry, model, listener, &listener.codec, &filters)?;
    let machines = codec(registry, listener, &listener.codec)?;
    let machines = machines.machines(listener.codec_options.as_ref())?;
    if listener.also.is_empty() {
        return Ok(Compiled { plan: Arc::new(plan), machines });
    }
    let mut parts = Vec::new();
    for (name, options) in listener.protocols() {
        let codec = codec(registry, listener, name)?;
        parts.push((codec.sniff(options)?, codec.machines(options)?));
    }
    for (name, _) in &listener.also {
        plan.also.push(Arc::new(self::plan(registry, model, listener, name, &filters)?));
    }
    Ok(Compiled { plan: Arc::new(plan), machines: sniffed(parts) })
}

/// Machines that give each connection to the protocol that its first bytes show.
fn sniffed(parts: Vec<(LooksAt, Machines)>) -> Machines {
    Arc::new(move |plan, seed| {
        let plans = std::iter::once(&plan).chain(&plan.also);
        let parts = parts.iter().zip(plans).zip(0..).map(|(((sniff, machines), plan), n)| {
            // Each engine has randomness of its own.
            let seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(n));
            Sniffed::new(sniff.clone(), machines(plan.clone(), seed))
        });
        Box::new(Sniffer::new(&plan, parts.collect()))
    })
}

fn codec<'a>(
    registry: &'a Registry,
    listener: &Listener,
    name: &str,
) -> Result<&'a dyn AnyCodec, Problem> {
    let missing = || Problem::new(listener.span, format!("there is no codec {name}"), "");
    registry.any_codec(name).ok_or_else(missing)
}

/// The plan of a listener for one of its protocols.
fn plan(
    registry: &Registry,
    model: &Model,
    listener: &Listener,
    name: &str,
    filters: &[Arc<dyn Filter>],
) -> Result<Plan, Problem> {
    let codec = codec(registry, listener, name)?;
    let mut clusters = Clusters { model, codec, name, places: HashMap::new() };
    let mut compiled = Vec::new();
    let mut routes = Vec::new();
    for route in &listener.routes {
        let target = match &route.action {
            Action::Answer(text) => Target::Answer(text.as_str().into()),
            Action::Refuse(outcome, text) => Target::Refuse(*outcome, text.as_str().into()),
            Action::To(shares) => {
                let mut places = Vec::new();
                for share in shares {
                    places.push(clusters.place(share.cluster, &mut compiled)?);
                }
                match places[..] {
                    [one] => Target::Cluster(one),
                    _ => {
                        let weights: Vec<u32> = shares.iter().map(|share| share.weight).collect();
                        let weighted =
                            Weighted::new(&weights).map_err(|error| problem(route.span, &error))?;
                        Target::Weighted(weighted, places)
                    }
                }
            }
        };
        let mirror = match &route.mirror {
            Some(mirror) => {
                let compare = match mirror.compare {
                    heptad_config::Compare::None => Compare::None,
                    heptad_config::Compare::Outcome => Compare::Outcome,
                    heptad_config::Compare::Bytes => Compare::Bytes,
                };
                let place = clusters.place(mirror.cluster, &mut compiled)?;
                let timeout = route.timeout.unwrap_or(Route::TIMEOUT);
                let mirror = Mirror::new(place).percent(mirror.percent);
                Some(mirror.compare(compare).timeout(timeout))
            }
            None => None,
        };
        let route = Route::new(route.name.as_str(), target)
            .mirror(mirror)
            .timeout(route.timeout)
            .client_timeout(route.client_timeout)
            .hash_on(route.hash_on.clone())
            .headers(route.request_headers.clone(), route.response_headers.clone());
        routes.push(route);
    }
    let rules: Vec<_> = listener.routes.iter().map(|route| route.matches.clone()).collect();
    let table = Table::compile(&rules).map_err(|error| {
        let span = listener.routes.get(error.rule).map_or(listener.span, |route| route.span);
        problem(span, &error)
    })?;
    let port = match &listener.listen {
        Address::Socket(address) => address.port(),
        Address::Host { port, .. } => *port,
        Address::Unix(_) => 0,
    };
    Ok(Plan::new(listener.name.as_str(), table, routes, compiled)
        .port(port)
        .limits(limits(listener))
        .filters(filters.to_vec()))
}

/// The clusters of one plan: those that its routes lead to, each once.
struct Clusters<'a> {
    model: &'a Model,
    codec: &'a dyn AnyCodec,
    name: &'a str,
    /// From places in the model to places in the plan.
    places: HashMap<usize, usize>,
}

impl Clusters<'_> {
    fn place(
        &mut self,
        of: usize,
        compiled: &mut Vec<heptad_engine::Cluster>,
    ) -> Result<usize, Problem> {
        if let Some(place) = self.places.get(&of) {
            return Ok(*place);
        }
        let cluster = self.model.clusters.get(of).ok_or_else(|| {
            Problem::new(Span::default(), format!("there is no cluster number {of}"), "")
        })?;
        compiled.push(self.cluster(cluster)?);
        let place = compiled.len() - 1;
        self.places.insert(of, place);
        Ok(place)
    }

    fn cluster(&self, cluster: &Cluster) -> Result<heptad_engine::Cluster, Problem> {
        let spec = Spec::new(cluster.balance, cluster.endpoints.clone()).keyed(cluster.hash);
        let upstream = self.codec.upstream(cluster.upstream(self.name))?;
        let links = &cluster.links;
        let links = Links::default()
            .per_endpoint(links.per_endpoint)
            .max_in_flight(links.max_in_flight)
            .share(links.share)
            .max(links.max)
            .idle_timeout(links.idle_timeout)
            .ping(links.ping)
            .max_buffered(links.max_buffered)
            .orphan_age(links.orphan_age);
        let compiled = heptad_engine::Cluster::new(cluster.name.as_str(), spec)
            .map_err(|error| problem(cluster.span, &error))?;
        Ok(compiled
            .links(links)
            .connect_timeout(cluster.connect_timeout)
            .upstream(upstream)
            .fingerprint(fingerprint(cluster, self.name)))
    }
}

/// The same for the same meaning, wherever in the file and in whatever spelling it stands.
fn fingerprint(cluster: &Cluster, codec: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    let Cluster { name, endpoints, balance, hash, links, connect_timeout, .. } = cluster;
    (name, endpoints, connect_timeout).hash(&mut hasher);
    format!("{balance:?} {hash:?} {links:?}").hash(&mut hasher);
    let upstream = cluster.upstream(codec);
    upstream.map(|node| node.to_json().to_string()).hash(&mut hasher);
    hasher.finish()
}

fn limits(listener: &Listener) -> Limits {
    let limits = &listener.limits;
    let frames = Ctx::default()
        .max_frame(limits.max_frame.unwrap_or(0))
        .max_head(limits.max_head)
        .max_parts(limits.max_parts)
        .max_depth(limits.max_depth);
    Limits::default()
        .frames(frames)
        .in_flight(limits.in_flight)
        .sessions(limits.sessions)
        .soft_mark(limits.soft_mark)
        .hard_mark(limits.hard_mark)
        .buffered(limits.buffered)
        .queue(limits.queue)
        .idle_timeout(listener.idle_timeout)
}

fn problem(span: Span, error: &dyn std::error::Error) -> Problem {
    Problem::new(span, error.to_string(), "")
}

#[cfg(test)]
mod sniffing;

#[cfg(test)]
mod tests {
    use super::*;

    fn print(cluster: &str) -> u64 {
        let text = format!(
            "listeners:\n- name: l\n  listen: 127.0.0.1:0\n  codec: redis\n  \
               routes: [ {{ name: r, to: c }} ]\nclusters:\n{cluster}\n"
        );
        let registry = Registry::standard();
        let model = registry.load("test", &text).expect("a good file");
        let compiled = compile(&registry, &model, &model.listeners[0]).expect("it compiles");
        compiled.plan.clusters[0].fingerprint
    }

    #[test]
    fn links_outlive_a_new_spelling_and_not_a_new_meaning() {
        let one = print("- { name: c, endpoints: [ a:1 ], redis: { password: x } }");
        let same = "# moved\n- name: c\n  redis: { password: \"x\" }\n  endpoints: [ a:1 ]\n  \
                    balance: round_robin";
        assert_eq!(one, print(same));
        for other in [
            "- { name: c, endpoints: [ a:2 ], redis: { password: x } }",
            "- { name: c, endpoints: [ a:1 ], redis: { password: y } }",
            "- { name: c, endpoints: [ a:1 ] }",
            "- { name: c, endpoints: [ a:1 ], redis: { password: x }, links: { max: 7 } }",
            "- { name: c, endpoints: [ a:1 ], redis: { password: x }, balance: random }",
            "- { name: c, endpoints: [ a:1 ], redis: { password: x }, connect_timeout: 1s }",
        ] {
            assert_ne!(one, print(other), "{other}");
        }
    }

    #[test]
    fn decoders_are_told_what_rules_and_edits_ask() {
        let want = |route: &str| {
            let text = format!(
                "listeners:\n- name: l\n  listen: 127.0.0.1:0\n  codec: redis\n  \
                   routes: [ {{ name: r, to: c, {route} }} ]\n\
                 clusters: [ {{ name: c, endpoints: [ a:1 ] }} ]\n"
            );
            let registry = Registry::standard();
            let model = registry.load("test", &text).expect("a good file");
            let compiled = compile(&registry, &model, &model.listeners[0]).expect("it compiles");
            let want = compiled.plan.want();
            (want.headers, want.edits)
        };
        assert_eq!(want("timeout: 1s"), (false, false));
        assert_eq!(want("match: { header.a: b }"), (true, false));
        assert_eq!(want("match: { arg.0: b }"), (true, false));
        assert_eq!(want("hash_on: header.a"), (true, false));
        assert_eq!(want("client_timeout: true"), (true, false));
        assert_eq!(want("request_headers: { set: { a: b } }"), (false, true));
    }
}
