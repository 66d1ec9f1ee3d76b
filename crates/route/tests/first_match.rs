//! A table finds what a plain search in order finds, on tables that mix every kind of match, and
//! asks for each attribute at most once.

use std::collections::HashMap;

use heptad_core::{Attr, Attributes, Unknown, Value};
use heptad_route::{Expr, Scratch, Table, Text, Tri};
use proptest::{collection::vec, prelude::*, sample::select};

/// A value to own; `Lost` is unknown.
#[derive(Clone, Debug)]
enum Given {
    Bytes(String),
    Ip(std::net::IpAddr),
    Number(u64),
    Lost,
}

/// What is not in the map is absent.
#[derive(Clone, Debug)]
struct Request {
    values: HashMap<Attr, Given>,
    asked: HashMap<Attr, usize>,
}

impl Attributes for Request {
    fn attr(&mut self, attr: &Attr) -> Result<Option<Value<'_>>, Unknown> {
        *self.asked.entry(attr.clone()).or_default() += 1;
        match self.values.get(attr) {
            None => Ok(None),
            Some(Given::Lost) => Err(Unknown),
            Some(Given::Bytes(text)) => Ok(Some(Value::Bytes(text.as_bytes()))),
            Some(Given::Ip(ip)) => Ok(Some(Value::Ip(*ip))),
            Some(Given::Number(n)) => Ok(Some(Value::Number(*n))),
        }
    }
}

fn attrs() -> Vec<Attr> {
    vec![Attr::Service, Attr::Method, Attr::Header("x".into()), Attr::SourceIp, Attr::SourcePort]
}

fn attr() -> impl Strategy<Value = Attr> {
    select(attrs())
}

/// Short words of few letters, so that they meet often.
fn word() -> impl Strategy<Value = String> {
    vec(select(vec!['a', 'b', '1']), 0..4).prop_map(String::from_iter)
}

const IPS: [&str; 5] = ["10.1.2.3", "10.1.9.9", "11.0.0.1", "::ffff:10.1.2.3", "a::1"];
const NETS: [&str; 6] =
    ["10.0.0.0/8", "10.1.2.0/24", "10.1.2.3", "a::/16", "::ffff:10.1.0.0/112", "0.0.0.0/0"];
const PATTERNS: [&str; 10] =
    ["a.*", ".*a", "[ab]+", "a|b|ab", "(?i)A?b", "", "1+", ".*a.b?", "ab[^a]*", "^a|b$"];

fn given() -> impl Strategy<Value = Given> {
    prop_oneof![
        8 => word().prop_map(Given::Bytes),
        2 => (-3_i64..14).prop_map(|n| Given::Bytes(n.to_string())),
        2 => select(&IPS[..]).prop_map(|ip| Given::Ip(ip.parse().unwrap())),
        1 => select(&IPS[..]).prop_map(|ip| Given::Bytes(ip.into())),
        2 => (0_u64..14).prop_map(Given::Number),
        2 => Just(Given::Lost),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    // Absent values come from attributes that are drawn twice.
    vec((attr(), given()), 0..8)
        .prop_map(|values| Request { values: values.into_iter().collect(), asked: HashMap::new() })
}

fn text() -> impl Strategy<Value = Text> {
    let leaf = prop_oneof![
        6 => word().prop_map(Text::Exact),
        3 => word().prop_map(Text::Prefix),
        3 => word().prop_map(Text::Suffix),
        1 => word().prop_map(Text::Contains),
        3 => select(&PATTERNS[..]).prop_map(|p| Text::regex(p).unwrap()),
        3 => (-3_i64..14, -3_i64..14).prop_map(|(from, to)| Text::Range { from, to }),
        1 => any::<bool>().prop_map(Text::Present),
        2 => select(&NETS[..]).prop_map(|n| Text::exact_for(&Attr::SourceIp, n).unwrap()),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|t| Text::Not(Box::new(t))),
            vec(inner.clone(), 0..3).prop_map(Text::Any),
            vec(inner, 0..3).prop_map(Text::All),
        ]
    })
}

fn leaf() -> impl Strategy<Value = Expr> {
    (attr(), text()).prop_map(|(attr, text)| Expr::Attr(attr, text))
}

fn rule() -> impl Strategy<Value = Expr> {
    // Mostly what configurations have: several conditions, all of which must hold.
    let any_shape = leaf().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|e| Expr::Not(Box::new(e))),
            vec(inner.clone(), 0..4).prop_map(Expr::Any),
            vec(inner, 0..4).prop_map(Expr::All),
        ]
    });
    prop_oneof![
        2 => vec(leaf(), 2..4).prop_map(Expr::All),
        1 => any_shape,
    ]
}

fn exact_rule() -> impl Strategy<Value = Expr> {
    let one = (attr(), word()).prop_map(|(attr, w)| Expr::Attr(attr, Text::Exact(w)));
    vec(one, 2..4).prop_map(Expr::All)
}

fn check(rules: &[Expr], requests: &[Request]) -> Result<(), TestCaseError> {
    let table = Table::compile(rules).unwrap();
    // One scratch for all look-ups: nothing of one may be seen by the next.
    let mut scratch = Scratch::default();
    for request in requests {
        let mut plain = request.clone();
        let expect = rules.iter().position(|r| r.eval(&mut plain) == Tri::True);
        let mut request = request.clone();
        let found = table.find(&mut scratch, &mut request);
        prop_assert_eq!(found, expect, "{:?}", request);
        prop_assert!(request.asked.values().all(|n| *n == 1), "{:?}", request);
        explains(rules, &table, &mut scratch, &mut plain, found)?;
    }
    Ok(())
}

/// The explanation finds the same, each rule's answer in it is the rule's, and the conditions that
/// it names are such that they give this answer.
fn explains(
    rules: &[Expr],
    table: &Table,
    scratch: &mut Scratch,
    request: &mut Request,
    found: Option<usize>,
) -> Result<(), TestCaseError> {
    request.asked.clear();
    let explained = table.explain(scratch, request);
    prop_assert!(request.asked.values().all(|n| *n == 1), "{:?}", request);
    prop_assert_eq!(explained.found, found);
    prop_assert_eq!(explained.reasons.len(), found.map_or(rules.len(), |found| found + 1));
    for (at, (reason, rule)) in explained.reasons.iter().zip(rules).enumerate() {
        prop_assert_eq!(reason.rule, at);
        prop_assert_eq!(reason.said, rule.eval(request));
        prop_assert_eq!(reason.said == Tri::True, found == Some(at));
        for cause in &reason.causes {
            prop_assert_eq!(cause.said, reason.said, "{:?}", cause);
            let text = cause.wanted.clone();
            let text = if cause.negated { Text::Not(Box::new(text)) } else { text };
            let alone = Expr::Attr(cause.attr.clone(), text).eval(request);
            prop_assert_eq!(alone, cause.said, "{:?}", cause);
        }
    }
    Ok(())
}

/// A third of the cases that a table of the kind is tested with must match, or nothing is tested.
#[test]
fn the_generators_meet() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut found = [0; 3];
    for _ in 0..300 {
        use proptest::strategy::ValueTree;
        let case = (vec(rule(), 1..40), request());
        let (rules, mut request) = case.new_tree(&mut runner).unwrap().current();
        let at = rules.iter().position(|r| r.eval(&mut request) == Tri::True);
        found[match at {
            None => 0,
            Some(..4) => 1,
            Some(_) => 2,
        }] += 1;
    }
    assert!(found.iter().all(|n| *n >= 20), "{found:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_rules(rules in vec(rule(), 0..40), requests in vec(request(), 1..8)) {
        check(&rules, &requests)?;
    }

    #[test]
    fn rules_that_share_values(
        rules in vec(exact_rule(), 0..80),
        tail in vec(rule(), 0..4),
        requests in vec(request(), 1..8),
    ) {
        let rules: Vec<_> = rules.into_iter().chain(tail).collect();
        check(&rules, &requests)?;
    }

    #[test]
    fn many_rules_on_one_attribute(texts in vec(text(), 0..80), requests in vec(request(), 1..8)) {
        let rules: Vec<_> = texts.into_iter().map(|t| Expr::Attr(Attr::Service, t)).collect();
        check(&rules, &requests)?;
    }
}
