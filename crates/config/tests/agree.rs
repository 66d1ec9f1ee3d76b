//! The JSON schema and the check accept and refuse the same files, and every documented default is
//! what the reader fills in.

mod common;

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use heptad_config::{Action, Address, Model, Node, load, parse_yaml, schema};
use heptad_core::{Attr, Outcome, units};
use heptad_route::{Expr, Match, Text};
use regex_automata::meta::Regex;
use serde_json::Value;

/// As much of a validator for draft 2020-12 as our schema uses; an unknown word is a failure of the
/// test, so that nothing is skipped.
fn valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let Value::Object(schema) = schema else {
        return schema.as_bool().expect("a schema is an object or a truth value");
    };
    schema.iter().all(|(word, rule)| match word.as_str() {
        "$schema" | "title" | "description" | "$defs" | "default" | "format" => true,
        "$ref" => {
            let path = rule.as_str().and_then(|r| r.strip_prefix('#')).expect("ours");
            let def = root.pointer(path).unwrap_or_else(|| panic!("{path} is missing"));
            valid(root, def, value)
        }
        "type" => {
            let is = |name: &Value| match name.as_str().expect("a name") {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "null" => value.is_null(),
                "number" => value.is_number(),
                "integer" => value.is_i64() || value.is_u64(),
                other => panic!("unknown type {other}"),
            };
            rule.as_array().map_or_else(|| is(rule), |names| names.iter().any(is))
        }
        "enum" => rule.as_array().expect("a list").contains(value),
        "const" => rule == value,
        "anyOf" => rule.as_array().expect("a list").iter().any(|s| valid(root, s, value)),
        "oneOf" => {
            let all = rule.as_array().expect("a list").iter();
            all.filter(|s| valid(root, s, value)).count() == 1
        }
        "minimum" => value.as_f64().is_none_or(|n| n >= rule.as_f64().expect("a number")),
        "maximum" => value.as_f64().is_none_or(|n| n <= rule.as_f64().expect("a number")),
        "minLength" => value.as_str().is_none_or(|s| s.chars().count() as u64 >= size(rule)),
        "maxLength" => value.as_str().is_none_or(|s| s.chars().count() as u64 <= size(rule)),
        "minItems" => value.as_array().is_none_or(|a| a.len() as u64 >= size(rule)),
        "maxItems" => value.as_array().is_none_or(|a| a.len() as u64 <= size(rule)),
        "uniqueItems" => {
            value.as_array().is_none_or(|a| a.iter().enumerate().all(|(i, v)| !a[..i].contains(v)))
        }
        "minProperties" => value.as_object().is_none_or(|o| o.len() as u64 >= size(rule)),
        "maxProperties" => value.as_object().is_none_or(|o| o.len() as u64 <= size(rule)),
        "pattern" => value.as_str().is_none_or(|s| matches(rule, s)),
        "items" => value.as_array().is_none_or(|a| a.iter().all(|v| valid(root, rule, v))),
        "required" => value.as_object().is_none_or(|o| {
            let mut keys = rule.as_array().expect("a list").iter();
            keys.all(|key| o.contains_key(key.as_str().expect("a name")))
        }),
        "dependentRequired" => value.as_object().is_none_or(|o| {
            rule.as_object().expect("a mapping").iter().all(|(key, needs)| {
                let mut needs = needs.as_array().expect("a list").iter();
                !o.contains_key(key) || needs.all(|n| o.contains_key(n.as_str().expect("a name")))
            })
        }),
        "propertyNames" => value
            .as_object()
            .is_none_or(|o| o.keys().all(|key| valid(root, rule, &key.as_str().into()))),
        // Looked at together below.
        "properties" | "patternProperties" | "additionalProperties" => true,
        other => panic!("the test's validator does not know {other}"),
    }) && value.as_object().is_none_or(|object| {
        let get = |word: &str| schema.get(word).and_then(Value::as_object);
        object.iter().all(|(key, value)| {
            if let Some(rule) = get("properties").and_then(|p| p.get(key)) {
                return valid(root, rule, value);
            }
            let by_pattern = get("patternProperties").and_then(|p| {
                p.iter().find(|(pattern, _)| matches(&(*pattern).clone().into(), key))
            });
            match (by_pattern, schema.get("additionalProperties")) {
                (Some((_, rule)), _) | (None, Some(rule)) => valid(root, rule, value),
                (None, None) => true,
            }
        })
    })
}

fn size(rule: &Value) -> u64 {
    rule.as_u64().expect("a size")
}

fn matches(pattern: &Value, text: &str) -> bool {
    // JavaScript's spelling of a character by number.
    let pattern = pattern.as_str().expect("a pattern");
    let pattern = pattern.replace(r"\u00", r"\x");
    thread_local! {
        static KNOWN: RefCell<HashMap<String, Regex>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        let compile = || Regex::new(&pattern).expect("a regular expression");
        known.entry(pattern.clone()).or_insert_with(compile).is_match(text)
    })
}

fn read(text: &str) -> Model {
    load("f.yaml", text, &common::plugins()).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

const EXAMPLE: &str = include_str!("example.yaml");
const FULL: &str = include_str!("full.yaml");

#[test]
fn the_documented_example_is_read() {
    let model = read(EXAMPLE);
    assert_eq!(model.workers, Some(2));
    assert_eq!(model.admin.expect("given").listen.to_string(), "127.0.0.1:9901");
    assert_eq!(model.listeners[0].listen, "127.0.0.1:20880".parse::<Address>().expect("valid"));
    assert_eq!(model.listeners[0].codec, "awesomerpc");
    let Action::To(shares) = &model.listeners[0].routes[1].action else { panic!("to") };
    let shares: Vec<_> = shares.iter().map(|s| (s.cluster, s.weight)).collect();
    assert_eq!(shares, [(0, 75), (1, 25)]);
}

#[test]
fn every_key_reaches_the_model() {
    let model = read(FULL);
    assert!(model.moderation);
    let plain = read(&minimal());
    let full = format!("{model:?}");
    let listener = &model.listeners[0];
    assert_eq!(model.log.level, "debug");
    assert_eq!(model.admin.as_ref().expect("given").listen.port(), 9902);
    let tap = model.admin.as_ref().expect("given").tap;
    assert_eq!(tap, heptad_config::TapPolicy::Redacted);
    assert_eq!(model.listeners[1].codec, "awesomerpc");
    assert_eq!(model.listeners[1].also.len(), 1);
    assert_eq!(model.listeners[1].also[0].0, "redis");
    assert_eq!(listener.limits.max_frame, Some(1 << 20));
    assert_eq!(listener.limits.hard_mark, 2000);
    assert_eq!(listener.idle_timeout.expect("given").as_secs(), 300);
    assert_eq!(listener.drain_timeout.as_secs(), 90);
    assert_eq!(listener.filters[0].name, "rate");
    assert_eq!(listener.routes[0].timeout, None);
    assert_eq!(listener.routes[0].request_headers.len(), 3);
    assert_eq!(listener.routes[1].action, Action::Answer("PONG".into()));
    let refuse = Action::Refuse(Outcome::NoRoute, "not here".into());
    assert_eq!(listener.routes[2].action, refuse);
    let options = listener.codec_options.as_ref().expect("given");
    let options: common::RedisOptions = options.deserialize().expect("checked");
    assert_eq!(options.users[0].password, "secret");
    assert_eq!((options.dialect, options.databases), (common::Dialect::Resp3, Some(4)));
    assert_eq!((options.users[0].name.as_str(), options.aliases["a"].as_str()), ("alice", "b"));
    let upstream = model.clusters[0].upstream("redis").expect("given");
    let upstream: common::RedisUpstream = upstream.deserialize().expect("checked");
    assert_eq!((upstream.user.as_deref(), upstream.database), (Some("u"), 3));
    assert_eq!(upstream.password.as_deref(), Some("p"));
    let rate: common::Rate =
        listener.filters[0].options.as_ref().expect("given").deserialize().expect("checked");
    assert_eq!((rate.per_second, rate.burst), (100, 5));
    let guard: common::Guard =
        listener.filters[1].options.as_ref().expect("given").deserialize().expect("checked");
    let exact = |attr, s: &str| Expr::Attr(attr, Text::Exact(s.into()));
    let routed = [exact(Attr::Route, "pong"), Expr::Attr(Attr::Cluster, Text::Prefix("m".into()))];
    let version = exact(Attr::Header("version".into()), "1.50");
    assert_eq!(guard.deny, [Match(Expr::All(routed.into())), Match(version)]);
    assert!(matches!(guard.only, Some(Match(Expr::Not(_)))));
    assert_eq!((guard.every.0.as_secs(), guard.most.0), (90, 65_536));
    assert_eq!(Some(guard.speed), units::Rate::new(100, Duration::from_secs(1)));
    assert_eq!(model.clusters[0].endpoints[0].slots, [(0, 8191), (16383, 16383)]);
    let balance: Vec<_> = model.clusters.iter().map(|c| format!("{:?}", c.balance)).collect();
    assert_eq!(
        balance,
        [
            "Slots",
            "Maglev { table_size: 251, failover: true }",
            "Ring { failover: true }",
            "Modula { order: Listed }",
        ]
    );
    // Nothing of limits and links kept its default.
    assert_ne!(format!("{:?}", model.clusters[0].hash), format!("{:?}", plain.clusters[0].hash));
    let fields = |debug: String| debug.split(", ").map(str::to_owned).collect::<BTreeSet<_>>();
    let links = |m: &Model| fields(format!("{:?}", m.clusters[0].links));
    let limits = |m: &Model| fields(format!("{:?}", m.listeners[0].limits));
    assert!(links(&model).is_disjoint(&links(&plain)), "{full}");
    assert!(limits(&model).is_disjoint(&limits(&plain)), "{full}");
    assert!(!full.contains("secret"), "a dump of the model shows a password");
}

#[test]
fn every_key_of_the_schema_is_in_the_full_example_and_is_known_to_the_check() {
    let schema = schema(&common::plugins());
    let mut keys = BTreeSet::new();
    fn collect(schema: &Value, keys: &mut BTreeSet<String>) {
        match schema {
            Value::Object(object) => {
                if let Some(Value::Object(properties)) = object.get("properties") {
                    keys.extend(properties.keys().cloned());
                }
                object.values().for_each(|each| collect(each, keys));
            }
            Value::Array(items) => items.iter().for_each(|each| collect(each, keys)),
            _ => {}
        }
    }
    collect(&schema, &mut keys);
    // Said by their names alone, or the default.
    assert!(keys.remove("awesomerpc"));
    let mut used = BTreeSet::new();
    fn walk(value: &Value, used: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                used.extend(object.keys().cloned());
                object.values().for_each(|each| walk(each, used));
            }
            Value::Array(items) => items.iter().for_each(|each| walk(each, used)),
            _ => {}
        }
    }
    let tree = parse_yaml("full.yaml", FULL).expect("YAML").to_json();
    walk(&tree, &mut used);
    let missing: Vec<_> = keys.difference(&used).collect();
    assert!(missing.is_empty(), "in the schema and not in full.yaml: {missing:?}");
    assert!(keys.len() > 80, "{}", keys.len());
    let guard = schema.pointer("/$defs/filter.guard.Match").expect("it is named");
    assert_eq!(guard, &serde_json::json!({ "$ref": "#/$defs/match_of_a_filter" }));
}

#[test]
fn schema_and_check_agree_about_good_files() {
    let schema = schema(&common::plugins());
    for text in [EXAMPLE, FULL, &minimal()] {
        let tree = parse_yaml("f.yaml", text).expect("YAML").to_json();
        assert!(valid(&schema, &schema, &tree));
        read(text);
    }
}

/// Each value of the full example is replaced by each of these, one at a time; whatever the schema
/// refuses the check must refuse, too, and what the check alone refuses must be one of the things
/// that a schema cannot say.
#[test]
fn schema_and_check_agree_about_changed_files() {
    let plugins = common::plugins();
    let schema = schema(&plugins);
    let whole = parse_yaml("full.yaml", FULL).expect("YAML").to_json();
    let mut paths = Vec::new();
    fn collect(value: &Value, path: &str, paths: &mut Vec<String>) {
        paths.push(path.to_owned());
        match value {
            Value::Object(object) => {
                for (key, each) in object {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    collect(each, &format!("{path}/{key}"), paths);
                }
            }
            Value::Array(items) => {
                for (i, each) in items.iter().enumerate() {
                    collect(each, &format!("{path}/{i}"), paths);
                }
            }
            _ => {}
        }
    }
    collect(&whole, "", &mut paths);
    let others: Vec<Value> = serde_json::from_str(
        r#"[null, true, 7, -1, 99999999, 1.5, "", "word", "2s", "off", "64KiB", "\u0001", [], {},
            ["x"], [2, 1], {"unknown": 1}]"#,
    )
    .expect("JSON");
    let (mut both, mut check_only) = (0, 0);
    for path in paths {
        for other in &others {
            let mut changed = whole.clone();
            *changed.pointer_mut(&path).expect("it exists") = other.clone();
            let by_schema = valid(&schema, &schema, &changed);
            let text = changed.to_string();
            let by_check = load("f.yaml", &text, &plugins);
            match (by_schema, by_check) {
                (true, Ok(_)) | (false, Err(_)) => both += 1,
                (false, Ok(_)) => panic!("only the schema refuses {other} at {path}"),
                (true, Err(problems)) => {
                    let between = [
                        "is above",
                        "there is no cluster",
                        "a user needs a name",
                        "sum to 0",
                        "is called",
                        "slot ",
                        "mean nothing",
                        "would be open",
                        "is not a prime",
                        "is hashed as",
                        "must be two whole numbers",
                        "must be a duration",
                        "must be an address",
                        "must be a regular expression",
                        "more than this balancer",
                        "the key `password` is missing",
                        "the key `per_second` is missing",
                        // A plugin's own.
                        "expected a duration like",
                        "expected a rate like",
                        "expected a size like",
                    ];
                    let said = problems.to_string();
                    assert!(
                        problems.list.iter().all(|p| between.iter().any(|b| p.message.contains(b))),
                        "the schema accepts {other} at {path}:\n{said}"
                    );
                    check_only += 1;
                }
            }
        }
    }
    assert!(both > 2000 && check_only > 30, "{both} {check_only}");
}

fn minimal() -> String {
    "listeners: [ { name: a, listen: '127.0.0.1:1', codec: awesomerpc, routes: [ { name: r, to: c } \
     ] } ]\nclusters: [ { name: c, endpoints: [ '127.0.0.1:2' ] } ]\n"
        .to_owned()
}

/// Writing every documented default out changes nothing.
#[test]
fn documented_defaults_are_what_the_reader_fills_in() {
    let schema = schema(&common::plugins());
    let defaults = |def: &str| -> String {
        let path = match def {
            "" => "/properties".to_owned(),
            def => format!("/$defs/{def}/properties"),
        };
        let properties = schema.pointer(&path).and_then(Value::as_object).expect(def);
        let mut all = Vec::new();
        for (key, rule) in properties {
            let doc = rule.get("description").and_then(Value::as_str).unwrap_or("");
            if let Some((_, default)) = doc.rsplit_once(" Default: ") {
                let default = default.strip_suffix('.').expect("a full stop");
                if !matches!(default, "{}" | "[]") {
                    all.push(format!("{key}: \"{default}\"").replace("\"\"", "\""));
                }
            }
        }
        // Numbers and truth values without quotes.
        all.iter()
            .map(|line| {
                let (key, value) = line.split_once(": ").expect("written above");
                let bare = value.trim_matches('"');
                let plain = bare.parse::<i64>().is_ok() || matches!(bare, "true" | "false");
                if plain { format!("{key}: {bare}") } else { line.clone() }
            })
            .collect::<Vec<_>>()
            .join(", ")
    };
    let join = |parts: &[String]| {
        parts.iter().filter(|p| !p.is_empty()).cloned().collect::<Vec<_>>().join(", ")
    };
    let listener = join(&[defaults("listener"), format!("limits: {{ {} }}", defaults("limits"))]);
    let cluster = join(&[
        defaults("cluster"),
        format!("hash: {{ {} }}", defaults("key_hash")),
        format!("links: {{ {} }}", defaults("links")),
    ]);
    let written = format!(
        "admin: {{ {} }}\nlog: {{ {} }}\nlisteners: [ {{ name: a, listen: '127.0.0.1:1', codec: \
         awesomerpc, {listener}, routes: [ {{ name: r, to: c, {} }}, {{ name: s, answer: {{ error: \
         x, {} }} }} ] }} ]\nclusters: [ {{ name: c, endpoints: [ {{ address: '127.0.0.1:2', {} }} \
         ], {cluster} }} ]\n",
        defaults("admin_server"),
        defaults("logs"),
        defaults("route"),
        defaults("answer"),
        defaults("endpoint"),
    );
    assert!(written.contains("timeout: \"15s\"") && written.contains("max_buffered: \"4MiB\""));
    let left_out = "admin: {}\nlisteners: [ { name: a, listen: '127.0.0.1:1', codec: awesomerpc, \
                    routes: [ { name: r, to: c }, { name: s, answer: { error: x } } ] } ]\n\
                    clusters: [ { name: c, endpoints: [ '127.0.0.1:2' ] } ]\n";
    assert_eq!(places_out(&read(&written)), places_out(&read(left_out)));
    for (balance, def) in [("ring", "ring"), ("maglev", "maglev"), ("modula", "modula")] {
        let with = |options: String| {
            let text = minimal().replace("name: c, ", &format!("name: c, balance: {options}, "));
            format!("{:?}", read(&text).clusters[0].balance)
        };
        let written = with(format!("{{ {balance}: {{ {} }} }}", defaults(def)));
        assert_eq!(written, with(balance.to_owned()));
    }
}

/// The model in words, without places.
fn places_out(model: &Model) -> String {
    let text = format!("{model:?}");
    let mut out = String::new();
    for (i, part) in text.split("Span {").enumerate() {
        let rest = if i == 0 { part } else { part.split_once('}').map_or("", |(_, rest)| rest) };
        out.push_str(rest);
    }
    out
}

#[test]
fn secrets_do_not_leave_in_dumps() {
    let model = read(FULL);
    let dump: Node = model.source.redacted();
    let (yaml, json) = (dump.to_yaml(), dump.to_json().to_string());
    for text in [&yaml, &json] {
        assert!(!text.contains("secret") && text.contains("<redacted>"), "{text}");
        assert!(text.contains("alice"));
    }
    let again = parse_yaml("dump.yaml", &yaml).expect("a dump is YAML");
    assert_eq!(again.to_json(), dump.to_json());
    let tree = "users: { a: x1, b: { password: x2 } }\nprivate_key: [ x3 ]\nkey_file: x4\n\
                header.x-token: x5\npassword:\nAUTHORIZATION: x6\ntokenizer: kept\nkey: kept";
    let tree = parse_yaml("f", tree).expect("YAML").redacted().to_yaml();
    for i in 1..=6 {
        assert!(!tree.contains(&format!("x{i}")), "{tree}");
    }
    assert_eq!(tree.matches("kept").count(), 2, "{tree}");
}
