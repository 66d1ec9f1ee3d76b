//! What must hold between values: names that point somewhere, names and addresses given once,
//! weights, limits that fit together, endpoints that a balancer can work with.
//!
//! Reads the tree, not the model, so that it finds what it can although other things are wrong.

use std::collections::HashMap;

use heptad_cluster::{Balance, BalanceError, Balancer, Spec};
use heptad_route::Match;

use crate::{
    Address, Limits, Node, Plugins, Problem, Span, check,
    node::{Key, Value},
    read, suggest, table,
};

/// Every problem between values.
pub(crate) fn check(root: &Node, plugins: &Plugins) -> Vec<Problem> {
    let mut cross = Cross { problems: Vec::new() };
    let listeners = items(root, "listeners");
    let clusters = items(root, "clusters");
    let names = cross.unique(clusters, "cluster");
    cross.unique(listeners, "listener");
    cross.addresses(root, listeners);
    for listener in listeners {
        cross.limits(listener.get("limits"));
        cross.unique(items(listener, "routes"), "route");
        for route in items(listener, "routes") {
            cross.route(route, &names);
        }
    }
    for cluster in clusters {
        cross.cluster(cluster, plugins);
    }
    cross.problems
}

fn items<'n>(node: &'n Node, key: &str) -> &'n [Node] {
    node.get(key).map(Node::items).unwrap_or_default()
}

struct Cross {
    problems: Vec<Problem>,
}

impl Cross {
    fn report(&mut self, span: Span, message: impl Into<String>, cure: impl Into<String>) {
        self.problems.push(Problem::new(span, message, cure));
    }

    /// The names of these; a name that is given twice is reported.
    fn unique<'n>(&mut self, nodes: &'n [Node], what: &str) -> HashMap<&'n str, Span> {
        let mut names = HashMap::new();
        for name in nodes.iter().filter_map(|node| node.get("name")) {
            let Some(text) = name.text() else { continue };
            match names.get(text) {
                None => {
                    names.insert(text, name.span);
                }
                Some(first) => self.report(
                    name.span,
                    format!("a second {what} is called `{text}`"),
                    format!("rename one; the first is in line {}", first.line),
                ),
            }
        }
        names
    }

    /// Nothing listens where something else does, and the admin server on loopback only.
    fn addresses(&mut self, root: &Node, listeners: &[Node]) {
        let mut taken: HashMap<Address, Span> = HashMap::new();
        let admin = root.get("admin").and_then(|admin| admin.get("listen"));
        let all = admin.into_iter().chain(listeners.iter().filter_map(|l| l.get("listen")));
        for node in all {
            let Some(Ok(address)) = node.text().map(str::parse::<Address>) else {
                continue;
            };
            let any_port = address.port() == 0 && !matches!(address, Address::Unix(_));
            match taken.get(&address) {
                Some(first) if !any_port => self.report(
                    node.span,
                    format!("`{address}` is listened on twice"),
                    format!("change one; the first is in line {}", first.line),
                ),
                _ => {
                    taken.insert(address, node.span);
                }
            }
        }
        let public = root.at("admin.public").value == Value::Bool(true);
        let Some(node) = admin else { return };
        match node.text().map(str::parse) {
            Some(Ok(Address::Socket(address))) if !address.ip().is_loopback() && !public => self
                .report(
                    node.span,
                    format!("the admin server would be open to others on `{address}`"),
                    "use a loopback address like `127.0.0.1:9901`, or add `public: true`",
                ),
            Some(Ok(Address::Unix(_))) => self.report(
                node.span,
                "the admin server cannot listen on a Unix socket",
                "write ip:port, like `127.0.0.1:9901`",
            ),
            _ => {}
        }
    }

    fn limits(&mut self, limits: Option<&Node>) {
        let Some(limits) = limits else { return };
        let d = Limits::default();
        let size = |key: &str, default: Option<u64>| match limits.get(key) {
            Some(node) => check::size_of(node),
            None => default,
        };
        let pairs = [
            ("soft_mark", Some(d.soft_mark as u64), "hard_mark", Some(d.hard_mark as u64)),
            ("max_head", None, "max_frame", None),
            ("max_frame", None, "buffered", Some(d.buffered as u64)),
        ];
        for (low, low_default, high, high_default) in pairs {
            let (Some(a), Some(b)) = (size(low, low_default), size(high, high_default)) else {
                continue;
            };
            if a > b {
                let at = limits.get(low).or_else(|| limits.get(high)).unwrap_or(limits);
                self.report(
                    at.span,
                    format!("`{low}` ({a} bytes) is above `{high}` ({b} bytes)"),
                    format!("`{low}` must not be above `{high}`"),
                );
            }
        }
    }

    fn route(&mut self, route: &Node, clusters: &HashMap<&str, Span>) {
        if let Some(node) = route.get("match")
            && let Err(problem) = node.deserialize::<Match>()
            && check::form(node, &table::MATCH, "").is_empty()
        {
            // Its form is right, so it is as a whole that it is wrong.
            self.problems.push(problem);
        }
        if let Some(node) = route.get("mirror")
            && let name = node.get("to").unwrap_or(node)
            && let Some(text) = name.text()
        {
            self.points(text, name.span, clusters);
        }
        let Some(to) = route.get("to") else { return };
        if let Some(name) = to.text() {
            return self.points(name, to.span, clusters);
        }
        let Value::Map(entries) = &to.value else {
            return;
        };
        let mut sum = Some(0i64);
        for (Key { span, text }, weight) in entries {
            self.points(text, *span, clusters);
            sum = match (sum, &weight.value) {
                (Some(sum), Value::Int(n)) => sum.checked_add(*n),
                _ => None,
            };
        }
        if sum == Some(0) {
            self.report(
                to.span,
                "the weights of `to` sum to 0",
                "give at least one cluster a weight above 0",
            );
        }
    }

    fn points(&mut self, name: &str, span: Span, clusters: &HashMap<&str, Span>) {
        if !clusters.contains_key(name) {
            let mut known: Vec<&str> = clusters.keys().copied().collect();
            known.sort_unstable();
            let cure = match known.is_empty() {
                true => "there are no clusters; add it under `clusters:`".to_owned(),
                false => suggest::cure(name, known),
            };
            self.report(span, format!("there is no cluster `{name}`"), cure);
        }
    }

    fn cluster(&mut self, node: &Node, plugins: &Plugins) {
        // If it cannot be read, something else was said about it.
        let Some(cluster) = read::cluster(node, plugins) else {
            return;
        };
        let endpoints = items(node, "endpoints");
        let at = |i: usize| endpoints.get(i).map_or(node.span, |e| e.span);
        let line = |i: usize| at(i).line;
        if cluster.balance != Balance::Slots {
            for slots in endpoints.iter().filter_map(|e| e.get("slots")) {
                self.report(
                    slots.span,
                    "`slots` mean nothing with this way to balance",
                    "remove them, or write `balance: slots`",
                );
            }
        }
        let spec = Spec::new(cluster.balance, cluster.endpoints).keyed(cluster.hash);
        let Err(error) = Balancer::new(&spec, 0) else {
            return;
        };
        let message = error.to_string();
        let all = node.get("endpoints").unwrap_or(node).span;
        match error {
            BalanceError::NoWeight => self.report(
                all,
                "the weights of the endpoints sum to 0",
                "give at least one endpoint a weight above 0",
            ),
            BalanceError::SameIdentity { first, second, identity } => self.report(
                at(second),
                format!("a second endpoint is hashed as `{identity}`"),
                format!("give one another `name:`; the first is in line {}", line(first)),
            ),
            BalanceError::TableSize(_) => {
                let size = node.at("balance.maglev.table_size");
                self.report(size.span, message, "write a prime, like `65537` or `655373`");
            }
            BalanceError::SlotTwice { slot, first, second } => self.report(
                endpoints.get(second).map_or(all, |e| e.at("slots").span),
                format!("slot {slot} lives here and elsewhere"),
                format!("give it to one endpoint; the other is in line {}", line(first)),
            ),
            _ => self.report(all, message, ""),
        }
    }
}
