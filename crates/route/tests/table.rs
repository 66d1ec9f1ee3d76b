//! The edges of a table: its limits, what it says it asks, and what is kept between look-ups.

use heptad_core::{Attr, Attributes, Unknown, Value};
use heptad_route::{Expr, MAX_DEPTH, MAX_RULES, Pattern, Scratch, Table, Text};

/// Every attribute has the same value, or none is known.
struct Same(Option<Vec<u8>>);

impl Attributes for Same {
    fn attr(&mut self, _: &Attr) -> Result<Option<Value<'_>>, Unknown> {
        self.0.as_deref().map(|v| Some(Value::Bytes(v))).ok_or(Unknown)
    }
}

fn is(attr: Attr, text: Text) -> Expr {
    Expr::Attr(attr, text)
}

fn service(text: &str) -> Expr {
    is(Attr::Service, Text::Exact(text.into()))
}

fn find(table: &Table, value: &str) -> Option<usize> {
    table.find(&mut Scratch::default(), &mut Same(Some(value.into())))
}

#[test]
fn an_empty_table_matches_nothing_and_an_empty_rule_everything() {
    let none = Table::compile(&[]).unwrap();
    assert!(none.is_empty());
    assert_eq!(find(&none, "a"), None);
    let any = Table::compile(&[Expr::Any(vec![]), Expr::All(vec![])]).unwrap();
    assert_eq!(any.len(), 2);
    assert_eq!(find(&any, "a"), Some(1));
    let unknown = any.find(&mut Scratch::default(), &mut Same(None));
    assert_eq!(unknown, Some(1));
}

#[test]
fn too_many_rules_and_too_deep_ones_are_refused_by_place() {
    let mut rules = vec![Expr::All(vec![]); MAX_RULES + 1];
    let err = Table::compile(&rules).unwrap_err();
    assert_eq!(err.rule, MAX_RULES);
    assert!(err.message.contains("1000000"), "{err}");
    rules.pop();
    assert!(Table::compile(&rules).is_ok(), "as many as it says");
    rules.truncate(3);

    let mut deep = service("a");
    while deep.depth() < MAX_DEPTH {
        deep = Expr::Not(Box::new(deep));
    }
    rules.push(deep.clone());
    assert!(Table::compile(&rules).is_ok());
    rules.push(Expr::All(vec![deep]));
    let err = Table::compile(&rules).unwrap_err();
    assert_eq!(err.rule, 4);
    assert!(err.message.contains("64"), "{err}");

    let mut text = Text::Present(true);
    for _ in 0..MAX_DEPTH {
        text = Text::Not(Box::new(text));
    }
    let err = Table::compile(&[is(Attr::Key, text)]).unwrap_err();
    assert_eq!(err.rule, 0);
}

#[test]
fn a_table_knows_what_it_asks() {
    let user = Attr::Header("user".into());
    let plain = Table::compile(&[service("a"), service("b")]).unwrap();
    assert_eq!(plain.attrs().collect::<Vec<_>>(), [&Attr::Service]);
    assert!(!plain.want().headers && plain.want().service);
    let hidden = Expr::Not(Box::new(is(user.clone(), Text::Present(true))));
    let rules = [service("a"), Expr::Any(vec![Expr::All(vec![hidden])])];
    let table = Table::compile(&rules).unwrap();
    assert_eq!(table.attrs().collect::<Vec<_>>(), [&Attr::Service, &user]);
    assert!(table.want().headers);
}

#[test]
fn a_scratch_keeps_nothing_of_another_table_or_request() {
    let wide = Table::compile(&[is(Attr::Method, Text::Exact("m".into())), service("a")]).unwrap();
    let narrow = Table::compile(&[service("a")]).unwrap();
    let mut scratch = Scratch::default();
    for (table, value, expect) in [
        (&narrow, "a", Some(0)),
        (&wide, "a", Some(1)),
        (&wide, "m", Some(0)),
        (&narrow, "m", None),
        (&narrow, "a", Some(0)),
    ] {
        let found = table.find(&mut scratch, &mut Same(Some(value.into())));
        assert_eq!(found, expect, "{value}");
    }
    let huge = "a".repeat(1 << 20);
    assert_eq!(wide.find(&mut scratch, &mut Same(Some(huge.into()))), None);
    assert_eq!(wide.find(&mut scratch, &mut Same(None)), None);
}

/// More patterns than fit one automaton, of a kind that does not go together well.
#[test]
fn patterns_that_do_not_fit_one_automaton_are_all_found() {
    let source = |i| format!(".*x{i}y.*z");
    let rules: Vec<Expr> =
        (0..150).map(|i| is(Attr::Service, Text::regex(&source(i)).unwrap())).collect();
    let table = Table::compile(&rules).unwrap();
    for i in [0, 1, 63, 64, 149] {
        assert_eq!(find(&table, &format!("__x149y_x{i}y__z")), Some(i));
        assert_eq!(find(&table, &format!("__x{i}y__")), None);
    }
    assert!(Pattern::new(&source(0)).unwrap().matches(b"x0yz"));
}

#[test]
fn numeric_ranges_are_found_however_they_overlap() {
    let range = |from, to| is(Attr::Key, Text::Range { from, to });
    let mut rules = vec![range(5, 4), range(i64::MIN, -1), range(i64::MAX, i64::MAX)];
    rules.extend((0..100).map(|i| range(i * 10, i * 10 + 9)));
    rules.push(range(0, 2000));
    let table = Table::compile(&rules).unwrap();
    for (value, expect) in [
        ("-1", Some(1)),
        ("-9223372036854775808", Some(1)),
        ("9223372036854775807", Some(2)),
        ("0", Some(3)),
        ("9", Some(3)),
        ("10", Some(4)),
        ("999", Some(102)),
        ("1000", Some(103)),
        ("2000", Some(103)),
        ("2001", None),
        ("x", None),
    ] {
        assert_eq!(find(&table, value), expect, "{value}");
    }
}
