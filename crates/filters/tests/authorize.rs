//! `authorize` against a plain statement of what its rules mean, and by example.

use std::{collections::BTreeMap, sync::Arc};

use heptad_core::{
    Attr, Attributes, Filter, HeaderEdit, Outcome, Request, Time, Unknown, Value, Verdict,
};
use heptad_filters::{Authorize, AuthorizeOptions};
use heptad_route::{Expr, Match, Text};
use heptad_testkit::alloc;
use proptest::prelude::*;

/// A value, or that it cannot be told; what is not there is absent.
#[derive(Clone, Debug, Default)]
struct Asked {
    attrs: BTreeMap<Attr, Option<String>>,
    keys: Vec<String>,
    /// It may touch other keys, too.
    open: bool,
}

impl Attributes for Asked {
    fn attr(&mut self, attr: &Attr) -> Result<Option<Value<'_>>, Unknown> {
        assert_ne!(*attr, Attr::Key, "the first key says nothing of the others");
        match self.attrs.get(attr) {
            None => Ok(None),
            Some(Some(text)) => Ok(Some(Value::Bytes(text.as_bytes()))),
            Some(None) => Err(Unknown),
        }
    }
}

impl Request for Asked {
    fn keys(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<(), Unknown> {
        self.keys.iter().for_each(|key| each(key.as_bytes()));
        if self.open { Err(Unknown) } else { Ok(()) }
    }

    fn edit(&mut self, _: HeaderEdit) {}
}

/// One world of a request: with one of its keys.
struct World<'a> {
    asked: &'a Asked,
    /// `None`: absent; `Some(None)`: cannot be told.
    key: Option<Option<&'a str>>,
}

impl World<'_> {
    /// Whether some value of what is unknown makes the expression true, as far as each attribute is
    /// looked at alone (`may`), or every one does.
    fn holds(&self, expr: &Expr, may: bool) -> bool {
        match expr {
            Expr::Attr(attr, text) => {
                let value = match attr {
                    Attr::Key => self.key,
                    attr => self.asked.attrs.get(attr).map(|value| value.as_deref()),
                };
                match value {
                    Some(None) => may,
                    Some(Some(value)) => text.matches(Some(Value::Bytes(value.as_bytes()))),
                    None => text.matches(None),
                }
            }
            Expr::Not(inner) => !self.holds(inner, !may),
            Expr::Any(all) => all.iter().any(|expr| self.holds(expr, may)),
            Expr::All(all) => all.iter().all(|expr| self.holds(expr, may)),
            other => panic!("{other:?}"),
        }
    }
}

/// Whether the request is refused, by the words of the documentation.
fn refused(deny: &[Expr], allow: &[Expr], asked: &Asked) -> bool {
    let world = |key| World { asked, key };
    let worlds: Vec<World<'_>> = match (asked.open, &asked.keys[..]) {
        (true, _) => vec![world(Some(None))],
        (false, []) => vec![world(None)],
        (false, keys) => keys.iter().map(|key| world(Some(Some(key)))).collect(),
    };
    let denied = deny.iter().any(|rule| worlds.iter().any(|world| world.holds(rule, true)));
    let allowed = allow.iter().any(|rule| worlds.iter().all(|world| world.holds(rule, false)));
    denied || !(allow.is_empty() || allowed)
}

fn authorize(deny: &[Expr], allow: &[Expr], audit: bool) -> Authorize {
    let list = |rules: &[Expr]| {
        (!rules.is_empty()).then(|| rules.iter().cloned().map(Match).collect::<Vec<_>>())
    };
    let mut options = AuthorizeOptions::default();
    (options.deny, options.allow, options.audit) = (list(deny), list(allow), audit);
    Authorize::new(&options).expect("there are rules")
}

fn ask(filter: &Authorize, asked: &Asked) -> Verdict {
    filter.worker(0).request(Time::default(), &mut asked.clone(), &mut 0)
}

fn counts(filter: &Authorize) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    filter.counters(&mut |name, count| _ = all.insert(name.to_owned(), count));
    all
}

fn values() -> impl Strategy<Value = String> {
    prop_oneof![Just("a".to_owned()), Just("b".to_owned()), Just("ab".to_owned())]
}

fn attrs() -> impl Strategy<Value = Attr> {
    prop_oneof![
        Just(Attr::Service),
        Just(Attr::Method),
        Just(Attr::Header("h".into())),
        Just(Attr::Arg(0)),
    ]
}

fn texts() -> impl Strategy<Value = Text> {
    let leaf = prop_oneof![
        values().prop_map(Text::Exact),
        values().prop_map(Text::Prefix),
        any::<bool>().prop_map(Text::Present),
    ];
    leaf.prop_recursive(2, 4, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|text| Text::Not(Box::new(text))),
            prop::collection::vec(inner, 1..3).prop_map(Text::Any),
        ]
    })
}

fn exprs() -> impl Strategy<Value = Expr> {
    let names = prop_oneof![2 => attrs(), 1 => Just(Attr::Key)];
    let leaf = (names, texts()).prop_map(|(attr, text)| Expr::Attr(attr, text));
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|expr| Expr::Not(Box::new(expr))),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Expr::Any),
            prop::collection::vec(inner, 0..3).prop_map(Expr::All),
        ]
    })
}

fn requests() -> impl Strategy<Value = Asked> {
    let attrs = prop::collection::btree_map(attrs(), prop::option::of(values()), 0..5);
    let keys = prop::collection::vec(values(), 0..4);
    (attrs, keys, prop::bool::weighted(0.2)).prop_map(|(attrs, keys, open)| Asked {
        attrs,
        keys,
        open,
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn rules_mean_what_they_are_said_to_mean(
        deny in prop::collection::vec(exprs(), 0..4),
        allow in prop::collection::vec(exprs(), 0..4),
        asked in requests(),
    ) {
        // Without rules there is no such filter.
        let deny = if deny.is_empty() && allow.is_empty() { vec![Expr::Any(vec![])] } else { deny };
        let filter = authorize(&deny, &allow, false);
        let wanted = refused(&deny, &allow, &asked);
        let verdict = ask(&filter, &asked);
        prop_assert_eq!(matches!(verdict, Verdict::Refuse(_)), wanted, "{:?}", verdict);
        let told = filter.explain(&mut asked.clone());
        let last = if wanted { "so the request is refused" } else { "the request is allowed" };
        prop_assert!(told.ends_with(last), "{}", told);
        let audit = authorize(&deny, &allow, true);
        prop_assert_eq!(ask(&audit, &asked), Verdict::Pass);
        prop_assert_eq!(counts(&audit)["would_deny"], u64::from(wanted));
        prop_assert_eq!(counts(&filter)["denied"], u64::from(wanted));
        prop_assert_eq!(counts(&filter)["allowed"], u64::from(!wanted));
    }
}

fn exact(attr: Attr, text: &str) -> Expr {
    Expr::Attr(attr, Text::Exact(text.into()))
}

fn get(method: &str, keys: &[&str]) -> Asked {
    Asked {
        attrs: [(Attr::Method, Some(method.to_owned()))].into(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        open: false,
    }
}

#[test]
fn refusals_say_which_rule_and_explanations_why() {
    let secret = Expr::Attr(Attr::Key, Text::Prefix("secret:".into()));
    let filter = authorize(
        &[exact(Attr::Method, "FLUSHALL"), secret],
        &[exact(Attr::Method, "GET"), exact(Attr::Header("team".into()), "ops")],
        false,
    );
    let say = |asked: &Asked| match ask(&filter, asked) {
        Verdict::Refuse(refusal) => {
            assert_eq!(refusal.outcome, Outcome::Denied);
            refusal.text.into_owned()
        }
        verdict => format!("{verdict:?}"),
    };
    assert_eq!(say(&get("GET", &["a"])), "Pass");
    assert_eq!(say(&get("GET", &["a", "secret:b"])), "denied by rule deny[1] of authorize");
    assert_eq!(say(&get("FLUSHALL", &[])), "denied by rule deny[0] of authorize");
    assert_eq!(say(&get("SET", &["a"])), "no allow rule of authorize matches");
    let open = Asked { open: true, ..get("GET", &["a"]) };
    assert_eq!(say(&open), "denied by rule deny[1] of authorize: what it asks for is unknown");
    let explain = |asked: &Asked| filter.explain(&mut asked.clone());
    assert_eq!(
        explain(&get("GET", &["a", "secret:b"])),
        "deny[0] does not match: method is \"GET\"\n\
         deny[1] matches: key is \"secret:b\"\n\
         so the request is refused"
    );
    assert_eq!(
        explain(&open),
        "deny[0] does not match: method is \"GET\"\n\
         deny[1] counts as matching: key is unknown\n\
         so the request is refused"
    );
    assert_eq!(
        explain(&get("SET", &[])),
        "deny[0] does not match: method is \"SET\"\n\
         deny[1] does not match: key is absent\n\
         allow[0] does not match: method is \"SET\"\n\
         allow[1] does not match: header.team is absent\n\
         no allow rule matches\n\
         so the request is refused"
    );
    assert!(
        explain(&get("GET", &["a"]))
            .ends_with("allow[0] matches: method is \"GET\"\nso the request is allowed")
    );
}

#[test]
fn options_that_refuse_nothing_are_refused() {
    let say = |json: &str| {
        let options = serde_json::from_str::<AuthorizeOptions>(json).expect(json);
        Authorize::new(&options).map(drop).map_err(|error| error.to_string())
    };
    assert!(say("{}").is_err_and(|e| e.contains("give `deny` or `allow`")));
    assert!(say(r#"{"allow": []}"#).is_err_and(|e| e.starts_with("allow: `allow` has no rules")));
    assert!(say(r#"{"deny": [], "allow": [{}]}"#).is_err_and(|e| e.starts_with("deny:")));
    assert!(say(r#"{"deny": [{}], "text": "a\nb"}"#).is_err_and(|e| e.starts_with("text:")));
    assert_eq!(say(r#"{"deny": [{}], "text": "no"}"#), Ok(()));
    assert_eq!(say(r#"{"allow": [{"method": "GET"}], "audit": true}"#), Ok(()));
}

#[test]
fn judging_allocates_nothing_once_warm() {
    let filter = authorize(
        &[Expr::Attr(Attr::Key, Text::Prefix("secret:".into())), exact(Attr::Service, "x")],
        &[exact(Attr::Method, "SET"), Expr::Attr(Attr::Key, Text::Prefix("a".into()))],
        false,
    );
    let mut worker = filter.worker(0);
    let mut asked = get("MGET", &["a1", "a2", "a3"]);
    let mut ask = || assert_eq!(worker.request(Time::default(), &mut asked, &mut 0), Verdict::Pass);
    ask();
    let ((), counts) = alloc::count(ask);
    assert_eq!(counts.allocations, 0);
}

#[test]
fn only_rules_on_what_stands_behind_the_head_want_it() {
    let want = |attr| authorize(&[exact(attr, "x")], &[], false).want();
    assert!(!want(Attr::Method).headers && !want(Attr::Key).headers);
    assert!(want(Attr::Header("a".into())).headers && want(Attr::Arg(1)).headers);
    assert!(want(Attr::Service).service);
    let _: Arc<dyn Filter> = Arc::new(authorize(&[exact(Attr::Route, "x")], &[], false));
}
