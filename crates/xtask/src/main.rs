//! Set-up, tests and generators: what CI and the README call. See `cargo xtask help`.
//!
//! Only the command line is here; each command is a module. Nothing in this package is part of the
//! router: it knows Heptad as a user does, by its binary, its configuration and its sockets.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    reason = "tools that start processes and measure them need the clock"
)]

mod bench;
mod check;
mod counts;
mod fuzz;
mod mutants;
mod paths;
mod planted;
mod real;
mod redis_commands;
mod rig;
mod setup;
mod sim;
mod tally;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  setup                      install what the tests need (Debian, PyPI and npm packages)
  test [OPTIONS]             set-up, unit tests, then the suites on real clients and servers
      --only unit            only `cargo test --workspace`
      --only real[:SUITE]    only the real-input suites, or one of them
      --stand-in             put a second redis-server where Heptad would be: tests the tests
      --no-build             use target/release/heptad as it is
      --list                 list the suites
  check                      formatting, clippy, docs and generated files, one line each
  fuzz [OPTIONS]             runs every fuzz target, one row each; fails at a finding
      --seconds N            how long each target runs (60)
      --only TEXT            only targets with this in their name
      --coverage             which lines of the codecs the committed corpora reach
      --record               makes corpora anew of what real clients and servers say
      --merge                adds what was grown by running to the corpora
  counts [--bless]           what single steps cost in instructions: compare, or write the list anew
  redis-commands [--check]   generate the Redis command table, or check that it is up to date
  bench [OPTIONS]            what a request costs, beside HAProxy, Envoy and twemproxy: see bench --help
  sim [OPTIONS]              random worlds in the simulator
      --seeds N              the seeds 0 to N-1; 3000 unless told
      --seed S               one of them, with every event
      --hours H              new ones for so long, with a line each minute
  mutants [CRATE K/N]        a sample of cargo-mutants: nine of ten must be caught
  planted [N]                plant known bugs into a copy of the engine: the simulator finds each
  suite NAME                 one real-input suite with its whole output (set-up must have run)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", [].as_slice()),
    };
    let result = match command {
        "setup" => setup::run(),
        "test" => test::run(rest),
        "check" => check::run(),
        "fuzz" => fuzz::run(rest),
        "counts" => counts::run(rest),
        "redis-commands" => redis_commands::run(rest).map(|()| true),
        "bench" => bench::run(rest),
        // What the bench starts as a process of its own.
        "bench-backend" => bench::backend(rest),
        "bench-bare" => bench::bare(rest),
        "bench-loud" => bench::loud(rest),
        "suite" => real::suite(rest),
        "mutants" => mutants::run(rest),
        "sim" => sim::run(rest),
        "planted" => planted::run(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(true)
        }
        other => Err(format!("there is no command `{other}`\n\n{HELP}")),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(2)
        }
    }
}
