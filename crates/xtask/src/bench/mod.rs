//! `cargo xtask bench`: what a request costs through Heptad and through its peers.
//!
//! The proxy has a processor of its own; who asks and who answers share another one. All figures
//! are of one run on one machine; what counts is their ratio to HAProxy's in the same round.

mod account;
mod cases;
mod envoy;
mod fairness;
mod memory;
mod output;
mod peers;
mod plot;
mod redis_benchmark;
mod rounds;
mod scaling;
mod summary;

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    time::Duration,
};

pub(crate) use fairness::loud;
pub(crate) use rounds::backend;

use self::{peers::Pinned, rounds::Plan};
use crate::{paths, setup};

pub(crate) const HELP: &str = "\
cargo xtask bench [memory | scaling | fairness] [OPTIONS]

  memory     of idle sessions and links, and at start (--peers)
  scaling    2 workers to 1; start, reload and look-up with many routes and endpoints
  fairness   a quiet client beside a loud one
  otherwise: processor time of each proxy per request, in rounds; Heptad is built as it is shipped
      --quick              only the rows with a requirement
      --case TEXT          only cases whose name has this in it; may be repeated
      --peers A,B          only these (or what begins so): direct, haproxy, heptad, envoy, twemproxy
      --rounds N           how often each peer is measured in each case (5)
      --seconds S          how long each time (3)
      --csv FILE           every sample
      --svg FILE           the figure of the README
      --markdown FILE      the tables, for a page
      --list               the names of all cases, those with a requirement marked
      --no-build           use what was built before; HEPTAD=FILE uses another one
";

struct Options {
    quick: bool,
    cases: Vec<String>,
    peers: Vec<String>,
    plan: Plan,
    csv: Option<PathBuf>,
    svg: Option<PathBuf>,
    markdown: Option<PathBuf>,
    list: bool,
    build: bool,
}

/// Measures what the arguments ask for; `Ok(false)` if a requirement was missed or a reply wrong.
pub(crate) fn run(args: &[String]) -> Result<bool, String> {
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        print!("{HELP}");
        return Ok(true);
    }
    let (what, args) = match args.split_first() {
        Some((what, rest)) if !what.starts_with('-') => (what.as_str(), rest),
        _ => ("", args),
    };
    let options = parse(args)?;
    let envoy = options.peers.is_empty() || options.peers.iter().any(|p| p.starts_with('e'));
    let (text, good) = match what {
        "" => return compare(&options, envoy),
        "memory" => memory::run(&options.peers, prepare(options.build, envoy)?)?,
        "scaling" => scaling::run(options.plan, prepare(options.build, false)?)?,
        "fairness" => fairness::run(options.plan, prepare(options.build, false)?)?,
        other => return Err(format!("there is no bench `{other}`\n\n{HELP}")),
    };
    println!("{text}");
    write(options.markdown.as_ref(), || text)?;
    Ok(good)
}

/// Case after case.
fn compare(options: &Options, envoy: bool) -> Result<bool, String> {
    let mut cases = cases::cases(options.quick);
    cases.retain(|case| {
        let name = case.name();
        options.cases.is_empty() || options.cases.iter().any(|part| name.contains(part.as_str()))
    });
    if options.list {
        for case in &cases {
            println!("{} {}", if case.limit.is_some() { "*" } else { " " }, case.name());
        }
        return Ok(true);
    }
    if cases.is_empty() {
        return Err("no case has such a name; see --list".to_owned());
    }
    let pinned = prepare(options.build, envoy)?;
    let mut all = Vec::new();
    let mut good = true;
    for (n, case) in cases.iter().enumerate() {
        let head = format!("{}/{} {}", n + 1, cases.len(), case.name());
        let measured = rounds::measure(case, &options.peers, options.plan, pinned, &mut |what| {
            progress(&format!("{head}: {what}"));
        })?;
        progress("");
        println!("{}", output::table(&measured));
        good &= measured.verdicts().iter().all(|verdict| verdict.met);
        good &= measured.rows.iter().flat_map(|r| &r.samples).all(|s| s.errors == 0);
        all.push(measured);
        // After each case, so that a run that is ended early leaves what it has.
        write(options.csv.as_ref(), || output::csv(&all))?;
        write(options.svg.as_ref(), || plot::svg(&all))?;
        write(options.markdown.as_ref(), || output::markdown(&all))?;
    }
    println!("requirements");
    for measured in &all {
        for verdict in measured.verdicts() {
            println!("  {:<44} {}", measured.case.name(), verdict.text);
        }
    }
    Ok(good)
}

/// Everything that must be there before something is measured.
fn prepare(build: bool, envoy: bool) -> Result<Pinned, String> {
    setup::bench(envoy)?;
    if build {
        progress("building heptad as it is shipped");
        rounds::build()?;
        progress("");
    }
    let pinned = Pinned::start()?;
    println!(
        "heptad: {}; {}",
        heptad_binary().display(),
        if pinned.apart {
            "the proxy runs on processor 1, clients and servers on processor 0"
        } else {
            "there is only one processor: all share it, and figures say little"
        }
    );
    Ok(pinned)
}

/// What is shipped; `HEPTAD` names another one.
fn heptad_binary() -> PathBuf {
    std::env::var_os("HEPTAD").map_or_else(|| paths::target().join("dist/heptad"), PathBuf::from)
}

fn parse(args: &[String]) -> Result<Options, String> {
    let mut options = Options {
        quick: false,
        cases: Vec::new(),
        peers: Vec::new(),
        plan: Plan {
            rounds: 5,
            warm_up: Duration::from_millis(500),
            measure: Duration::from_secs(3),
        },
        csv: None,
        svg: None,
        markdown: None,
        list: false,
        build: true,
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        let wrong = |text: &str| format!("{arg}: {text:?} is not a number of use");
        match arg.as_str() {
            "--quick" => options.quick = true,
            "--list" => options.list = true,
            "--no-build" => options.build = false,
            "--case" => options.cases.push(value()?.clone()),
            "--csv" => options.csv = Some(value()?.into()),
            "--svg" => options.svg = Some(value()?.into()),
            "--markdown" => options.markdown = Some(value()?.into()),
            "--peers" => {
                for name in value()?.split(',') {
                    if !peers::Peer::known(name) {
                        return Err(format!("--peers: nobody is called {name:?}"));
                    }
                    options.peers.push(name.to_owned());
                }
            }
            "--rounds" => {
                let text = value()?;
                let rounds = text.parse().ok().filter(|n| *n > 0);
                options.plan.rounds = rounds.ok_or_else(|| wrong(text))?;
            }
            "--seconds" => {
                let text = value()?;
                let seconds = text.parse::<f64>().ok().filter(|s| (0.05..=3600.0).contains(s));
                let seconds = seconds.ok_or_else(|| wrong(text))?;
                options.plan.measure = Duration::from_secs_f64(seconds);
                options.plan.warm_up = options.plan.warm_up.min(options.plan.measure / 2);
            }
            other => return Err(format!("there is no option `{other}`\n\n{HELP}")),
        }
    }
    Ok(options)
}

fn write(file: Option<&PathBuf>, text: impl FnOnce() -> String) -> Result<(), String> {
    let Some(file) = file else { return Ok(()) };
    std::fs::write(file, text()).map_err(|e| format!("{}: {e}", file.display()))
}

/// One line that is written over and over, where there is somebody to see it.
fn progress(what: &str) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let _ = write!(stderr, "\r\x1b[K{what}");
        let _ = stderr.flush();
    }
}
