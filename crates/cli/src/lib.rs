//! The `heptad` command line as a library: a program with codecs of its own is five lines that end
//! in [`main`].
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     heptad_cli::main(heptad::Registry::standard()) // .codec::<Yours>()
//! }
//! ```
#![forbid(unsafe_code)]

mod args;
mod bytes;
mod check;
mod codec;
mod demo;
mod explain;
mod inspect;
mod log;
mod replay;
mod run;
mod speech;
mod style;
mod tap;

use std::process::ExitCode;

use args::{Args, Command};
use clap::Parser as _;
use heptad::Registry;

/// Exit code of what was judged and found wrong: a bad file, a verdict.
const WRONG: u8 = 1;
/// Exit code of what could not be tried: a file that cannot be read, a port that is taken. Clap
/// uses it for arguments that make no sense.
const FAILED: u8 = 2;

/// Parses the arguments of the process and does what they say, with the plugins of `registry`.
///
/// `run` does not return before the process is told to stop. The exit code is 0 if all is well, 1
/// if a configuration or the demo's verdict is bad or a request would be refused, 2 if something could not be done at all.
pub fn main(registry: Registry) -> ExitCode {
    let args = Args::parse();
    match args.command {
        Command::Run(run) => run::run(&registry, &run, args.log_level.as_deref()),
        Command::Check(file) => check::check(&registry, &file.config),
        Command::Explain(explain) => explain::explain(&registry, &explain),
        Command::Codec(what) => codec::codec(&registry, &what),
        Command::Inspect(args) => inspect::inspect(&registry, &args),
        Command::Tap(args) => tap::tap(&args),
        Command::Record(args) => tap::record(&args),
        Command::Replay(args) => replay::replay(&registry, &args),
        Command::Schema => check::schema(&registry),
        Command::Demo(demo) => demo::demo(&registry, &demo, args.log_level.as_deref()),
    }
}

/// Says on stderr why something could not be done at all.
fn failed(why: impl std::fmt::Display) -> ExitCode {
    let style = style::Style::of(&std::io::stderr());
    eprintln!("{} {why}", style.bad("heptad:"));
    ExitCode::from(FAILED)
}
