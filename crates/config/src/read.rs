//! From a tree of the right form to the [`Model`], with every default filled in.
//!
//! Says nothing about what is wrong: that was said before. `None` means that something was.

use std::{collections::HashMap, time::Duration};

use heptad_cluster::{Balance, DEFAULT_TABLE_SIZE, Endpoint, KeyHash, Order};
use heptad_core::{HeaderEdit, Outcome};
use heptad_route::Match;

use crate::{
    Action, Address, Admin, Cluster, Compare, Filter, Limits, Links, Listener, Log, Mirror, Model,
    Node, Plugins, Route, Share, TapPolicy, check, node::Value, scalar,
};

/// A whole file.
pub(crate) fn model(root: &Node, plugins: &Plugins) -> Option<Model> {
    let clusters: Vec<Cluster> = list(root, "clusters", |node| cluster(node, plugins))?;
    let places: HashMap<&str, usize> = clusters
        .iter()
        .enumerate()
        .map(|(place, cluster)| (cluster.name.as_str(), place))
        .collect();
    let listeners = list(root, "listeners", |node| listener(node, &places))?;
    Some(Model {
        workers: or(root, "workers", None, |node| number(node).map(Some))?,
        moderation: or(root, "moderation", false, truth)?,
        admin: or(root, "admin", None, |node| admin(node).map(Some))?,
        log: or(root, "log", Node::empty_map(), |node| Some(node.clone())).and_then(log)?,
        listeners,
        clusters,
        source: root.clone(),
    })
}

fn admin(node: &Node) -> Option<Admin> {
    let default = std::net::SocketAddr::from(([127, 0, 0, 1], 9901));
    let listen = or(node, "listen", default, |node| match address(node)? {
        Address::Socket(address) => Some(address),
        _ => None,
    })?;
    let tap = or(node, "tap", TapPolicy::Off, |node| match text(node)?.as_str() {
        "redacted" => Some(TapPolicy::Redacted),
        "full" => Some(TapPolicy::Full),
        _ => Some(TapPolicy::Off),
    })?;
    Some(Admin { listen, tap })
}

fn log(node: Node) -> Option<Log> {
    let level = or(&node, "level", "info".to_owned(), text)?;
    Some(Log { level })
}

fn listener(node: &Node, clusters: &HashMap<&str, usize>) -> Option<Listener> {
    let name = node.get("name")?;
    let spoken = node.get("codec")?;
    let mut codecs = match &spoken.value {
        Value::List(items) => items.iter().map(plugin).collect::<Option<Vec<_>>>()?,
        _ => vec![plugin(spoken)?],
    };
    let also = codecs.split_off(1.min(codecs.len()));
    let (codec, codec_options) = codecs.pop()?;
    Some(Listener {
        name: text(name)?,
        listen: address(node.get("listen")?)?,
        codec,
        codec_options,
        also,
        filters: list(node, "filters", |node| {
            let (name, options) = plugin(node)?;
            let span = node.span;
            Some(Filter { name, options, span })
        })?,
        routes: list(node, "routes", |node| route(node, clusters))?,
        limits: or(node, "limits", Limits::default(), limits)?,
        idle_timeout: or(node, "idle_timeout", None, time_or_off)?,
        drain_timeout: or(node, "drain_timeout", Duration::from_secs(30), time)?,
        span: name.span,
    })
}

/// A name alone, or with options below it.
fn plugin(node: &Node) -> Option<(String, Option<Node>)> {
    match &node.value {
        Value::Text(name) => Some((name.clone(), None)),
        Value::Map(entries) => {
            let (key, options) = entries.first()?;
            let options = (options.value != Value::Null).then(|| options.clone());
            Some((key.text.clone(), options))
        }
        _ => None,
    }
}

fn limits(node: &Node) -> Option<Limits> {
    let d = Limits::default();
    Some(Limits {
        max_frame: or(node, "max_frame", d.max_frame, |node| size(node).map(Some))?,
        max_head: or(node, "max_head", d.max_head, size)?,
        max_parts: or(node, "max_parts", d.max_parts, number)?,
        max_depth: or(node, "max_depth", d.max_depth, number)?,
        in_flight: or(node, "in_flight", d.in_flight, number)?,
        sessions: or(node, "sessions", d.sessions, number)?,
        soft_mark: or(node, "soft_mark", d.soft_mark, size)?,
        hard_mark: or(node, "hard_mark", d.hard_mark, size)?,
        buffered: or(node, "buffered", d.buffered, size)?,
        queue: or(node, "queue", d.queue, number)?,
    })
}

fn route(node: &Node, clusters: &HashMap<&str, usize>) -> Option<Route> {
    let name = node.get("name")?;
    Some(Route {
        name: text(name)?,
        matches: or(node, "match", Match::default(), |node| node.deserialize().ok())?.into(),
        action: match node.get("answer") {
            Some(node) => answer(node)?,
            None => Action::To(to(node.get("to")?, clusters)?),
        },
        timeout: or(node, "timeout", Some(Duration::from_secs(15)), time_or_off)?,
        mirror: match node.get("mirror") {
            Some(node) => Some(mirror(node, clusters)?),
            None => None,
        },
        client_timeout: or(node, "client_timeout", false, truth)?,
        request_headers: or(node, "request_headers", Vec::new(), headers)?,
        response_headers: or(node, "response_headers", Vec::new(), headers)?,
        hash_on: or(node, "hash_on", None, |node| node.text()?.parse().ok().map(Some))?,
        span: name.span,
    })
}

fn to(node: &Node, clusters: &HashMap<&str, usize>) -> Option<Vec<Share>> {
    if let Some(name) = node.text() {
        let cluster = *clusters.get(name)?;
        return Some(vec![Share { cluster, weight: 1 }]);
    }
    let share = |(key, weight): &(crate::node::Key, Node)| {
        let cluster = *clusters.get(key.text.as_str())?;
        let weight = number(weight)?;
        Some(Share { cluster, weight })
    };
    node.entries().iter().map(share).collect()
}

fn mirror(node: &Node, clusters: &HashMap<&str, usize>) -> Option<Mirror> {
    let name = node.get("to").unwrap_or(node);
    let compare = |node: &Node| match node.text()? {
        "none" => Some(Compare::None),
        "outcome" => Some(Compare::Outcome),
        "bytes" => Some(Compare::Bytes),
        _ => None,
    };
    Some(Mirror {
        cluster: *clusters.get(name.text()?)?,
        percent: or(node, "percent", 100, number)?,
        compare: or(node, "compare", Compare::None, compare)?,
    })
}

fn answer(node: &Node) -> Option<Action> {
    if let Some(ok) = node.get("ok") {
        return text(ok).map(Action::Answer);
    }
    let outcome = or(node, "outcome", Outcome::Denied, |node| {
        let word = node.text()?;
        Outcome::ALL.iter().copied().find(|o| o.as_str() == word)
    })?;
    Some(Action::Refuse(outcome, text(node.get("error")?)?))
}

fn headers(node: &Node) -> Option<Vec<HeaderEdit>> {
    let mut edits = list(node, "remove", |node| {
        let name = node.text()?.into();
        Some(HeaderEdit::Remove { name })
    })?;
    for word in ["set", "add"] {
        for (key, value) in node.get(word).map(Node::entries).unwrap_or_default() {
            let (name, value) = (key.text.as_str().into(), value.text()?.into());
            edits.push(match word {
                "set" => HeaderEdit::Set { name, value },
                _ => HeaderEdit::Add { name, value },
            });
        }
    }
    Some(edits)
}

/// A cluster alone; others need not be right.
pub(crate) fn cluster(node: &Node, plugins: &Plugins) -> Option<Cluster> {
    let name = node.get("name")?;
    let upstream = node
        .entries()
        .iter()
        .filter(|(key, node)| {
            let own = crate::table::CLUSTER.find(&key.text).is_some();
            !own && plugins.find_codec(&key.text).is_some() && node.value != Value::Null
        })
        .map(|(key, node)| (key.text.clone(), node.clone()))
        .collect();
    Some(Cluster {
        name: text(name)?,
        endpoints: list(node, "endpoints", endpoint)?,
        balance: or(node, "balance", Balance::RoundRobin, balance)?,
        hash: or(node, "hash", KeyHash::default(), hash)?,
        links: or(node, "links", Links::default(), links)?,
        connect_timeout: or(node, "connect_timeout", Duration::from_secs(3), time)?,
        upstream,
        span: name.span,
    })
}

fn endpoint(node: &Node) -> Option<Endpoint> {
    if let Some(text) = node.text() {
        address(node)?;
        return Some(Endpoint::new(text));
    }
    let text = node.get("address")?;
    address(text)?;
    let mut endpoint = Endpoint::new(text.text()?).weighing(or(node, "weight", 1, number)?);
    if let Some(name) = node.get("name") {
        endpoint = endpoint.named(name.text()?);
    }
    for (first, last) in list(node, "slots", check::slots_of)? {
        endpoint = endpoint.holding(first, last);
    }
    Some(endpoint)
}

fn balance(node: &Node) -> Option<Balance> {
    let empty = Node::empty_map();
    let (word, options) = match node.text() {
        Some(word) => (word, &empty),
        None => node.entries().first().map(|(key, node)| (key.text.as_str(), node))?,
    };
    let failover = or(options, "failover", false, truth)?;
    Some(match word {
        "round_robin" => Balance::RoundRobin,
        "random" => Balance::Random,
        "least_request" => Balance::LeastRequest,
        "ring" => Balance::Ring { failover },
        "modula" => Balance::Modula {
            order: or(options, "order", Order::Identity, |node| match node.text()? {
                "identity" => Some(Order::Identity),
                "listed" => Some(Order::Listed),
                _ => None,
            })?,
        },
        "maglev" => Balance::Maglev {
            table_size: or(options, "table_size", DEFAULT_TABLE_SIZE, number)?,
            failover,
        },
        "slots" => Balance::Slots,
        _ => return None,
    })
}

fn hash(node: &Node) -> Option<KeyHash> {
    let d = KeyHash::default();
    let function = or(node, "function", d.function, |node| node.text()?.parse().ok())?;
    let hash = KeyHash::new(function);
    or(node, "tag", hash, |node| {
        let (begin, end) = scalar::tag(node.text()?)?;
        Some(hash.tagged(begin, end))
    })
}

fn links(node: &Node) -> Option<Links> {
    let d = Links::default();
    Some(Links {
        per_endpoint: or(node, "per_endpoint", d.per_endpoint, number)?,
        max_in_flight: or(node, "max_in_flight", d.max_in_flight, number)?,
        share: or(node, "share", d.share, |node| truth(node).map(Some))?,
        max: or(node, "max", d.max, number)?,
        idle_timeout: or(node, "idle_timeout", d.idle_timeout, time)?,
        ping: or(node, "ping", d.ping, time_or_off)?,
        max_buffered: or(node, "max_buffered", d.max_buffered, size)?,
        orphan_age: or(node, "orphan_age", d.orphan_age, time)?,
    })
}

/// The value of a key, or the default if there is none.
fn or<T>(node: &Node, key: &str, default: T, read: impl FnOnce(&Node) -> Option<T>) -> Option<T> {
    match node.get(key) {
        Some(node) => read(node),
        None => Some(default),
    }
}

/// The items of a key's list; none if there is no such key.
fn list<T>(node: &Node, key: &str, read: impl Fn(&Node) -> Option<T>) -> Option<Vec<T>> {
    match node.get(key) {
        None => Some(Vec::new()),
        Some(node) => match &node.value {
            Value::List(items) => items.iter().map(read).collect(),
            _ => None,
        },
    }
}

fn text(node: &Node) -> Option<String> {
    node.text().map(str::to_owned)
}

fn truth(node: &Node) -> Option<bool> {
    match node.value {
        Value::Bool(b) => Some(b),
        _ => None,
    }
}

fn number<T: TryFrom<i64>>(node: &Node) -> Option<T> {
    match node.value {
        Value::Int(n) => n.try_into().ok(),
        _ => None,
    }
}

fn size<T: TryFrom<u64>>(node: &Node) -> Option<T> {
    check::size_of(node)?.try_into().ok()
}

fn time(node: &Node) -> Option<Duration> {
    check::duration(node.text()?)
}

fn time_or_off(node: &Node) -> Option<Option<Duration>> {
    match node.text()? {
        "off" => Some(None),
        text => check::duration(text).map(Some),
    }
}

fn address(node: &Node) -> Option<Address> {
    node.text()?.parse().ok()
}
