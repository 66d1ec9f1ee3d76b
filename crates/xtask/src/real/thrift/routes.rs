//! Two servers behind one listener: the right one answers, by service, method, argument and header,
//! and what the route edits arrives.

use super::stage::{Generated, Server, proxy};
use crate::{
    real::{clients::steps, transcript},
    rig::Middle,
    tally::Tally,
};

const DIALECTS: &[&str] = &[
    "framed-binary",
    "buffered-compact",
    "buffered-old",
    "framed-json",
    "buffered-json",
    "header-binary",
    "header-compact",
    "header-json",
    "header-binary-zlib",
    "framed-header-compact",
];

/// Methods that tell who was asked.
const TELLING: &[&str] = &["testVoid", "testString", "testI32", "testMulti", "secondtestString"];

pub(in crate::real) fn run(middle: Middle) -> Result<Tally, String> {
    let generated = Generated::new()?;
    let alpha = named(&generated, "alpha")?;
    let beta = named(&generated, "beta")?;
    let mut all = Tally::default();
    let mut count = 0;
    for dialect in DIALECTS {
        let (first, second) = (alpha.port(dialect)?, beta.port(dialect)?);
        let record = |ports: (u16, u16), router: bool| {
            let mut command = generated.python("routes.py");
            command.args(["--dialect", dialect]);
            command.args(["--alpha", &ports.0.to_string(), "--beta", &ports.1.to_string()]);
            if router {
                command.arg("--router");
            }
            steps(command, ports.0)
        };
        let direct = record((first, second), false).map_err(|e| format!("{dialect}: {e}"))?;
        count += direct.len();
        let told = |name: &str| direct.iter().any(|s| s.reply.contains(&format!("I am {name}")));
        all.check(told("alpha") && told("beta"), || format!("{dialect}: not both asked"));
        let through = match middle {
            Middle::Heptad => {
                let proxy = proxy("routes.yaml", &[], &[first, second])?;
                record((proxy.port, proxy.port), true).map_err(|e| format!("{e}\n{}", proxy.log()))
            }
            _ => record((first, second), false),
        };
        match through {
            Ok(through) => {
                let mut tally = transcript::compare(dialect, &direct, &through, false);
                tally.notes.clear();
                all.add(tally);
            }
            Err(e) => all.fail(format!("{dialect}: {e}")),
        }
    }
    all.note(format!("{} dialects: {count} steps direct, as many through", DIALECTS.len()));
    Ok(all)
}

fn named(generated: &Generated, name: &str) -> Result<Server, String> {
    let refusals: serde_json::Map<String, serde_json::Value> =
        TELLING.iter().map(|m| ((*m).to_owned(), format!("I am {name}").into())).collect();
    let refusals = serde_json::Value::Object(refusals).to_string();
    Server::start_with(generated, DIALECTS, &["--name", name, "--refuse", &refusals])
}
