//! What the router answers itself reaches the callers of real clients as an exception with the
//! router's words, and their connections go on.

use serde_json::json;

use super::stage::{Generated, Server, proxy};
use crate::{
    real::{clients::steps, transcript::Step},
    rig::Middle,
    tally::Tally,
};

const PYTHON: &[&str] = &[
    "buffered-binary",
    "buffered-old",
    "buffered-json",
    "framed-compact",
    "framed-json",
    "header-binary",
    "header-compact",
    "header-json",
    "framed-header-binary",
];
const NODE: &[&str] = &["buffered-binary", "buffered-compact", "framed-binary", "framed-json"];

/// Those that are also run over shared links, on which a late reply comes before the next one.
const SHARED: &[&str] = &["buffered-binary", "framed-compact", "header-json"];

/// Groups of steps, and words of the exception that the first step of each must raise; without
/// words it must raise none, since nothing comes back to a call that expects nothing.
const CASES: &[(&str, &str)] = &[
    ("no route", NO_ROUTE),
    ("no route, oneway", ""),
    ("told", TOLD),
    ("refused", REFUSED),
    ("refused again", REFUSED),
    ("refused, oneway", ""),
    ("time-out", LATE),
    ("died", BROKE),
    ("gone", REFUSED),
];

const NO_ROUTE: &str = "no route matches the request";
const TOLD: &str = "not on my watch";
/// "the endpoint refused the connection", or, soon after, that it "cannot be connected".
const REFUSED: &str = "the endpoint ";
const LATE: &str = "no reply within the time-out";
const BROKE: &str = "the connection to the endpoint broke before the reply came";

/// What Node gets for its calls at once.
const AT_ONCE: &[&str] = &[LATE, "between", NO_ROUTE, REFUSED, "last"];

pub(in crate::real) fn run(middle: Middle) -> Result<Tally, String> {
    let generated = Generated::new()?;
    let live = Server::start(&generated, PYTHON)?;
    let live_node = Server::start(&generated, NODE)?;
    let mut all = Tally::default();
    let mut clients = 0;
    let shared = ", links: { share: true }";
    for (dialects, live, is_node, more) in
        [(PYTHON, &live, false, ""), (SHARED, &live, false, shared), (NODE, &live_node, true, "")]
    {
        for dialect in dialects {
            clients += 1;
            let name = format!("{} {dialect}{more}", if is_node { "Node" } else { "Python" });
            match one(middle, &generated, dialect, (live.port(dialect)?, more), is_node) {
                Ok(steps) => judge(&mut all, &name, &steps, is_node),
                Err(e) => all.fail(format!("{name}: {e}")),
            }
        }
    }
    all.note(format!("{clients} clients, {} cases each", CASES.len()));
    Ok(all)
}

/// What a client saw with a live server, for whose cluster there may be more to say, and one of its
/// own that it may kill.
fn one(
    middle: Middle,
    generated: &Generated,
    dialect: &str,
    (live, more): (u16, &str),
    is_node: bool,
) -> Result<Vec<Step>, String> {
    let mut command =
        if is_node { generated.node("errors.js") } else { generated.python("errors.py") };
    command.args(["--dialect", dialect]);
    if middle == Middle::Heptad {
        let victim = Server::start(generated, &[dialect])?;
        let proxy = proxy("errors.yaml", &[("@SPEAKS@", more)], &[live, victim.port(dialect)?])?;
        return steps(command, proxy.port).map_err(|e| format!("{e}\n{}", proxy.log()));
    }
    // A server that says what the router would say, which shows that the clients tell it.
    let words = json!({
        "testVoid": NO_ROUTE, "testByte": TOLD, "testI32": "the endpoint refused", "wait": LATE, "die": BROKE,
    });
    let options = ["--service", "Dead", "--refuse", &words.to_string()];
    let server = Server::start_with(generated, &[dialect], &options)?;
    steps(command, server.port(dialect)?).map(|steps| steps.into_iter().map(second_death).collect())
}

/// A stand-in does not die, so that it cannot be gone either.
fn second_death(mut step: Step) -> Step {
    if step.step == "gone/1" || step.step == "at once/4" {
        step.reply = step.reply.replace(BROKE, "the endpoint cannot be connected");
    }
    step
}

fn judge(tally: &mut Tally, name: &str, steps: &[Step], is_node: bool) {
    let reply = |step: &str| {
        steps.iter().find(|s| s.step == step).map_or("(no such step)", |s| s.reply.as_str())
    };
    let raised =
        |reply: &str, words: &str| reply.starts_with(r#"{"application":"#) && reply.contains(words);
    for (case, words) in CASES {
        let got = reply(&format!("{case}/1"));
        let good = match (words.is_empty(), is_node) {
            (true, true) => got == r#"{"undefined":true}"#,
            (true, false) => got == "null",
            (false, _) => raised(got, words),
        };
        tally.check(good, || format!("{name}, {case}: {got}"));
        let after = reply(&format!("{case}/2"));
        tally.check(after == format!("{:?}", format!("after: {case}")), || {
            format!("{name}, after {case}: {after}")
        });
    }
    if is_node {
        for (i, words) in AT_ONCE.iter().enumerate() {
            let got = reply(&format!("at once/{}", i + 1));
            let good = raised(got, words) || got == format!("{words:?}");
            tally.check(good, || format!("{name}, call {i} at once: {got}"));
        }
    } else {
        let got = reply("another connection/1");
        tally.check(got == r#""after all""#, || format!("{name}, another connection: {got}"));
    }
}
