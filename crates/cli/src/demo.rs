//! `heptad demo`: servers, the router, clients, a live table and a verdict, in one process.

mod calls;
mod commands;
mod detail_calls;
mod details;
mod live;
mod policed;
mod rating_calls;
mod ratings;
mod resp;
mod reviews;
mod servers;
mod service;
mod stars;
mod stores;
mod theader;
mod traffic;
mod verdict;

use std::{
    io::{IsTerminal as _, Write as _},
    net::SocketAddr,
    process::ExitCode,
    sync::atomic::Ordering,
    thread,
    time::Duration,
};

use heptad::{Admin, Heptad, Model, Registry, Running, SetLog, Table};
use live::Live;
use servers::Servers;
use tokio::time::{Instant, interval_at};
use traffic::Addresses;
use verdict::{Evidence, Rule, Versions};

use crate::{WRONG, args, check, failed, log, style::Style};

/// The built-in configuration, as `--print-config` prints it. The ports from [`BASE_PORT`] on are
/// replaced when `--base-port` says so.
const CONFIG: &str = include_str!("demo/config.yaml");
const BASE_PORT: u16 = 20_880;
/// How many ports there are from the base port on: the router's, and the servers'.
const PORTS: u16 = 14;

pub(crate) fn demo(registry: &Registry, args: &args::Demo, level: Option<&str>) -> ExitCode {
    let built_in = config(args.base_port);
    if args.print_config {
        return match std::io::stdout().write_all(built_in.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(error),
        };
    }
    let model = match &args.config {
        Some(file) => check::load(registry, file),
        None => registry
            .load("the built-in configuration", &built_in)
            .map_err(|problems| check::Unusable::Bad(problems.render(false))),
    };
    let model = match model {
        Ok(model) => model,
        Err(unusable) => return unusable.show(),
    };
    let set_log = match log::start(level.unwrap_or("warn")) {
        Ok(set_log) => set_log,
        Err(error) => return failed(error),
    };
    match stage(registry, args, model, set_log) {
        Ok(evidence) => show(&verdict::judge(&evidence)),
        Err(error) => failed(error),
    }
}

/// The built-in configuration with other ports.
fn config(base_port: u16) -> String {
    let mut text = CONFIG.to_owned();
    // Marked first, so that a new port is not taken for an old one.
    for n in 0..PORTS {
        text = text.replace(&format!("127.0.0.1:{}", BASE_PORT + n), &format!("127.0.0.1:<{n}>"));
    }
    for n in 0..PORTS {
        let port = base_port.saturating_add(n);
        text = text.replace(&format!("127.0.0.1:<{n}>"), &format!("127.0.0.1:{port}"));
    }
    text
}

/// Runs everything and collects what was counted.
fn stage(
    registry: &Registry,
    args: &args::Demo,
    model: Model,
    set_log: SetLog,
) -> Result<Evidence, String> {
    let source = match &args.config {
        Some(file) => file.display().to_string(),
        None => "the built-in configuration (see --print-config)".to_owned(),
    };
    let servers = Servers::start(args.base_port)?;
    let admin = model.admin.as_ref().map(|admin| admin.listen);
    let running = Heptad::start(registry, model)
        .map_err(|error| format!("{error}{}", hint(&error.to_string())))?;
    let find = |name: &str, codec: &str| {
        let listener = running.listeners().find(|l| l.name == name && l.codec == codec);
        let address = listener.and_then(|l| l.address.parse::<SocketAddr>().ok());
        address.ok_or_else(|| {
            format!("{source} has no listener `{name}` with codec {codec} on a TCP port")
        })
    };
    let to = Addresses {
        reviews: find("reviews", "awesomerpc")?,
        stores: find("stores", "redis")?,
        ratings: find("ratings", "thrift")?,
        details: find("details", "dubbo")?,
    };
    let taken = |error: std::io::Error| format!("admin: {error}{}", hint(&error.to_string()));
    let admin = admin.map(|listen| Admin::start(listen, running.clone(), Some(set_log)));
    let admin = admin.transpose().map_err(taken)?;
    println!("heptad demo with {source}");
    println!("  awesomerpc clients -> {} -> reviews v1, v2", to.reviews);
    println!("  redis clients      -> {} -> stores 1, 2, 3", to.stores);
    println!("  thrift clients     -> {} -> ratings v1, v2", to.ratings);
    println!("  dubbo clients      -> {} -> details v1, v2", to.details);
    if let Some(admin) = &admin {
        println!("  metrics and more   -> http://{}/", admin.address());
    }
    println!();
    let stop = traffic::Stop::default();
    let start = Instant::now();
    let clients = {
        let stop = stop.clone();
        spawn("clients", async move { traffic::run(to, stop).await })?
    };
    let watched = block_on(watch(&running, Duration::from_secs(args.seconds)));
    stop.store(true, Ordering::Relaxed);
    let seen = clients.join().map_err(|_| "the clients failed: this is a bug in the demo")?;
    let lasted = start.elapsed();
    watched?;
    let evidence = Evidence {
        reviews: Versions { served: servers.reviews(), calls: seen.reviews },
        stores: servers.stores(),
        commands: seen.commands,
        ratings: Versions { served: servers.ratings(), calls: seen.ratings },
        details: Versions { served: servers.details(), calls: seen.details },
        lasted,
    };
    block_on(running.stop(Duration::from_secs(1)))?;
    Ok(evidence)
}

/// What to do about a port that is taken.
fn hint(error: &str) -> &'static str {
    if error.contains("in use") {
        " (is another demo running? --base-port takes other ports; \
         with --config, the file must name the same ones)"
    } else {
        ""
    }
}

/// Runs a future on a thread with a runtime of its own.
fn spawn<T: Send + 'static>(
    name: &str,
    future: impl Future<Output = T> + Send + 'static,
) -> Result<thread::JoinHandle<T>, String> {
    let runtime = runtime()?;
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || runtime.block_on(future))
        .map_err(|error| error.to_string())
}

fn block_on<T>(future: impl Future<Output = T>) -> Result<T, String> {
    Ok(runtime()?.block_on(future))
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())
}

/// Draws the live table each second until the time is over or somebody presses Ctrl-C.
async fn watch(running: &Running, time: Duration) {
    let stdout = std::io::stdout();
    let terminal = stdout.is_terminal();
    let mut live = Live::new(Style::of(&stdout), terminal);
    let start = Instant::now();
    let end = start + time;
    let second = Duration::from_secs(1);
    let mut ticks = interval_at(start + second, second);
    let mut last = start;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = tokio::time::sleep_until(end) => {}
            _ = tokio::signal::ctrl_c() => return,
        }
        let now = Instant::now();
        let (passed, took) = (now - start, now - last);
        // The end may come right after a tick: a rate over a few milliseconds says nothing.
        if took > second / 2 {
            let all = running.collect().await;
            let title = format!("{:.0} of {} s", passed.as_secs_f64(), time.as_secs());
            // Who closes stdout does not want to see the table; the verdict still counts.
            let _ = live.draw(&mut std::io::stdout().lock(), &title, &all, took);
            last = now;
        }
        if now >= end {
            return;
        }
    }
}

fn show(rules: &[Rule]) -> ExitCode {
    let style = Style::of(&std::io::stdout());
    let mut table = Table::new(&["RULE", "EXPECTED", "SEEN"]);
    for rule in rules {
        table.row([rule.name, &*rule.expected, &*rule.seen]);
    }
    println!("\nVerdict, from what the clients and the servers counted:\n");
    let mut lines = table.lines().into_iter();
    println!("      {}", style.dim(&lines.next().unwrap_or_default()));
    for (rule, line) in rules.iter().zip(lines) {
        let word = if rule.held { style.good("PASS") } else { style.bad("FAIL") };
        println!("{word}  {line}");
    }
    let broken = rules.iter().filter(|rule| !rule.held).count();
    if broken == 0 {
        println!("\n{} all {} rules held", style.good("PASS"), rules.len());
        ExitCode::SUCCESS
    } else {
        println!("\n{} {broken} of {} rules did not hold", style.bad("FAIL"), rules.len());
        ExitCode::from(WRONG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_replaced_even_if_old_and_new_overlap() {
        assert_eq!(config(BASE_PORT), CONFIG);
        let moved = config(BASE_PORT + 2);
        for n in 0..PORTS {
            let port = format!("127.0.0.1:{}", BASE_PORT + n);
            let new = format!("127.0.0.1:{}", BASE_PORT + n + 2);
            assert_eq!(CONFIG.matches(&port).count(), moved.matches(&new).count(), "{n}");
            assert!(CONFIG.contains(&port), "{n}");
        }
    }
}
