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
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

pub(crate) use fairness::loud;
pub(crate) use rounds::{backend, bare};

use self::{cases::Case, peers::Pinned, rounds::Plan};
use crate::{paths, real, setup};

pub(crate) const HELP: &str = "\
cargo xtask bench [memory | scaling | fairness | all] [OPTIONS]

  memory     of idle sessions and links, and at start (--peers)
  scaling    2 workers to 1; start, reload and look-up with many routes and endpoints
  fairness   a quiet client beside a loud one
  all        everything, one after the other
  otherwise: processor time of each proxy per request, in rounds; Heptad is built as it is shipped

      --quick              only the rows with a requirement, and what is to be seen beside them
      --case TEXT          only cases whose name has this in it; may be repeated
      --peers A,B          only these (or what begins so): direct, haproxy, heptad, envoy, twemproxy
      --rounds N           how often each peer is measured in each case (5)
      --seconds S          how long each time (3)
      --csv FILE           every sample
      --svg FILE           the figure of the README
      --markdown FILE      the tables, for a page (`all`: of the comparison)
      --docs               into docs/performance.md and docs/performance.svg
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
    docs: bool,
    list: bool,
    build: bool,
}

/// Measures what the arguments ask for; `Ok(false)` if a requirement was missed or a reply wrong.
pub(crate) fn run(args: &[String]) -> Result<bool, String> {
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        print!("{HELP}");
        return Ok(true);
    }
    let Some(args) = args.strip_suffix(&[WATCHED.to_owned()]) else {
        return watched(args);
    };
    real::end_with_parent();
    let (what, args) = match args.split_first() {
        Some((what, rest)) if !what.starts_with('-') => (what.as_str(), rest),
        _ => ("", args),
    };
    let options = parse(args)?;
    let parts: Vec<&(&str, Part)> =
        PARTS.iter().filter(|(name, _)| what == "all" || what == *name).collect();
    if parts.is_empty() && !what.is_empty() {
        return Err(format!("there is no bench `{what}`\n\n{HELP}"));
    }
    let compares = matches!(what, "" | "all");
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
    if compares && cases.is_empty() {
        return Err("no case has such a name; see --list".to_owned());
    }
    let envoy = options.peers.is_empty() || options.peers.iter().any(|p| p.starts_with('e'));
    let pinned = prepare(options.build, envoy && (compares || what == "memory"))?;
    let mut good = !compares || compare(&options, &cases, pinned)?;
    for (name, part) in parts {
        let (text, met) = part(&options, pinned)?;
        println!("{text}");
        good &= met;
        let page = format!("{}\n\n{text}", machine(options.plan));
        if !compares {
            write(options.markdown.as_ref(), || page.clone())?;
        }
        if options.docs {
            into_page(name, &page)?;
        }
    }
    Ok(good)
}

/// The last argument of the process that measures.
const WATCHED: &str = "--watched";

/// Measures in a process group of its own, which ends with this process however that ends: nothing
/// that was started may be left behind, since it would run beside the next measurement.
fn watched(args: &[String]) -> Result<bool, String> {
    let mut command = rounds::me()?;
    let mut child = command
        .arg("bench")
        .args(args)
        .arg(WATCHED)
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|e| format!("bench: {e}"))?;
    // Kept open: the child learns from its end that this process is gone.
    let pipe = child.stdin.take();
    let status = child.wait().map_err(|e| e.to_string())?;
    drop(pipe);
    real::kill_group(child.id());
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(format!("the bench ended early: {status}")),
    }
}

/// A bench that gives a text, and whether requirements were met.
type Part = fn(&Options, Pinned) -> Result<(String, bool), String>;

/// Those beside the comparison, by name.
const PARTS: &[(&str, Part)] = &[
    ("memory", |options, pinned| memory::run(&options.peers, pinned)),
    ("scaling", |options, pinned| scaling::run(options.plan, pinned)),
    ("fairness", |options, pinned| fairness::run(options.plan, pinned)),
];

/// Where and how long was measured, for a page.
fn machine(plan: Plan) -> String {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!(
        "{} × {}, Linux {}; {} rounds of {:.1} s",
        cpu.lines().filter(|line| line.starts_with("processor")).count(),
        model.map_or("unknown processor", |(_, model)| model.trim()),
        read("/proc/sys/kernel/osrelease").trim(),
        plan.rounds,
        plan.measure.as_secs_f64()
    )
}

/// Replaces what stands between the marks of a part in the page of the documentation.
fn into_page(part: &str, text: &str) -> Result<(), String> {
    let file = paths::root().join("docs/performance.md");
    let wrong = |e: &dyn std::fmt::Display| format!("{}: {e}", file.display());
    let page = std::fs::read_to_string(&file).map_err(|e| wrong(&e))?;
    let page = replaced(&page, part, text).ok_or_else(|| wrong(&format!("no place for {part}")))?;
    std::fs::write(&file, page).map_err(|e| wrong(&e))
}

fn replaced(page: &str, part: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {part} -->\n"), format!("<!-- end of {part} -->"));
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{}\n\n{end}{after}", text.trim()))
}

/// Case after case.
fn compare(options: &Options, cases: &[Case], pinned: Pinned) -> Result<bool, String> {
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
        // What peers refuse is in the table, and theirs to answer for.
        let heptad = measured.rows.iter().filter(|row| row.peer == peers::Peer::Heptad);
        good &= heptad.flat_map(|row| &row.samples).all(|sample| sample.errors == 0);
        all.push(measured);
        // After each case, so that a run that is ended early leaves what it has.
        write(options.csv.as_ref(), || output::csv(&all))?;
        write(options.svg.as_ref(), || plot::svg(&all))?;
        write(options.markdown.as_ref(), || output::markdown(&all))?;
    }
    if options.docs {
        let text = format!("{}\n\n{}", machine(options.plan), output::markdown(&all));
        into_page("comparison", &text)?;
        write(Some(&paths::root().join("docs/performance.svg")), || plot::svg(&all))?;
    }
    println!("{}\nrequirements", machine(options.plan));
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
        docs: false,
        list: false,
        build: true,
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        let wrong = |text: &str| format!("{arg}: {text:?} is not a number of use");
        match arg.as_str() {
            "--quick" => options.quick = true,
            "--docs" => options.docs = true,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Options, String> {
        parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_understood_or_refused() {
        let options = parsed(&["--peers", "heptad,envoy", "--seconds", "0.5", "--rounds", "2"]);
        let options = options.expect("good options");
        assert_eq!(options.peers, ["heptad", "envoy"]);
        assert_eq!(options.plan.rounds, 2);
        assert_eq!(options.plan.measure, Duration::from_millis(500));
        assert!(options.plan.warm_up < options.plan.measure);
        for wrong in [
            &["--peers", "nginx"][..],
            &["--peers", "heptad,"],
            &["--rounds", "0"],
            &["--seconds", "many"],
            &["--case"],
            &["--fast"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_page_has_a_place_for_every_part() {
        let page = include_str!("../../../../docs/performance.md");
        for part in PARTS.iter().map(|(name, _)| *name).chain(["comparison"]) {
            let once = replaced(page, part, "| a |\n").expect(part);
            assert!(once.contains("\n\n| a |\n\n<!-- end"), "{part}");
            assert_eq!(replaced(&once, part, "| a |").as_ref(), Some(&once), "{part}");
        }
        assert_eq!(replaced(page, "absent", ""), None);
    }
}
