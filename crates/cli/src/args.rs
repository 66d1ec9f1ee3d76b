//! The arguments and their help, nothing else.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

/// The arguments of the process.
#[derive(Debug, Parser)]
#[command(
    name = "heptad",
    version,
    about = "A layer-7 router for any request/reply protocol",
    long_about = "A layer-7 router for any request/reply protocol.\n\n\
        It reads from each request only what the routes ask about (service, method, key, headers, \
        source), sends it to an endpoint of the cluster that the first matching route names, and \
        treats every protocol alike: weights, time-outs, balancing, limits, metrics.",
    after_help = "Examples:\n  \
        heptad demo                       see it work, nothing to install\n  \
        heptad check -c heptad.yaml       find everything that is wrong with a file\n  \
        heptad explain -c heptad.yaml --method GET --key user:1\n                                    \
        where such a request goes, and why\n  \
        heptad run -c heptad.yaml         run; SIGHUP reads the file again, SIGTERM stops\n  \
        heptad schema > heptad.json       for completion in editors",
    disable_help_subcommand = true
)]
pub(crate) struct Args {
    /// What is logged to stderr: off, error, warn, info, debug, trace, or a filter such as
    /// info,heptad_net=debug. Overrides the file's `log.level`.
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the router that a file describes
    #[command(after_help = "Signals:\n  \
        SIGTERM, SIGINT  stop accepting, let requests in flight end, exit; a second one: at once\n  \
        SIGHUP           read the file again: routes, clusters, limits and filters are replaced\n                   \
        without losing a connection; a bad file changes nothing")]
    Run(Run),
    /// Check a file: every problem at once, each with its place and cure
    #[command(after_help = "Exit code: 0 the file is good, 1 it is not, 2 it cannot be read")]
    Check(File),
    /// Say what a file does with a request: which route, filters, cluster and endpoint, and why
    #[command(
        long_about = "Say what a file does with a request: which route, filters, cluster and \
            endpoint, and why not the routes before.\n\n\
            The request is described by its attributes, with the values that rules see (of Redis \
            the command in upper case), or captured: --frame takes what a client sent on a new \
            connection. Nothing is sent; the look-up, the filters and the balancers are those \
            that `heptad run` uses.",
        after_help = "Examples:\n  \
            heptad explain -c heptad.yaml -l cache --method GET --key user:1 --source 10.1.2.3\n  \
            printf 'GET user:1\\r\\n' | heptad explain -c heptad.yaml -l cache --frame -\n\n\
            Exit code: 0 every request is served, 1 one is refused, 2 it cannot be told (a bad \
            file, an unknown listener, a frame without its end)"
    )]
    Explain(Box<Explain>),
    /// Print the JSON schema of configuration files
    #[command(
        after_help = "Example, first line of a file for editors with yaml-language-server:\n  \
        # yaml-language-server: $schema=heptad.json"
    )]
    Schema,
    /// Write and test codecs
    #[command(subcommand)]
    Codec(crate::codec::Codec),
    /// Show the router on traffic of its own, and judge it
    #[command(
        long_about = "Show the router on traffic of its own, and judge it.\n\n\
            One process, nothing to install: two versions of a reviews service (AwesomeRPC) and \
            three Redis-like stores, the router in front of them, and clients. All of them talk \
            through sockets of this machine. In the end the clients' and the servers' own counts \
            decide whether the router did what its configuration says.",
        after_help = "Examples:\n  \
            heptad demo --seconds 3\n  \
            heptad demo --print-config > demo.yaml   then change it, and\n  \
            heptad demo --config demo.yaml           see what the verdict says\n\n\
            Exit code: 0 every rule held, 1 one did not, 2 it could not run (a port is taken: \
            see --base-port)"
    )]
    Demo(Demo),
}

#[derive(ClapArgs, Debug)]
pub(crate) struct File {
    /// The configuration
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) file: File,
    /// The listener that the request comes to; not needed if there is only one
    #[arg(short, long, value_name = "NAME")]
    pub(crate) listener: Option<String>,
    /// `service`
    #[arg(long, value_name = "TEXT", help_heading = "The request; what is not given is absent")]
    pub(crate) service: Option<String>,
    /// `method`
    #[arg(long, value_name = "TEXT", help_heading = "The request; what is not given is absent")]
    pub(crate) method: Option<String>,
    /// `key`
    #[arg(long, value_name = "TEXT", help_heading = "The request; what is not given is absent")]
    pub(crate) key: Option<String>,
    /// `header.<name>`; may be repeated
    #[arg(long, value_name = "NAME=TEXT", value_parser = pair, help_heading = "The request; what is not given is absent")]
    pub(crate) header: Vec<(String, String)>,
    /// `arg.<number>`; may be repeated
    #[arg(long, value_name = "NUMBER=TEXT", value_parser = numbered, help_heading = "The request; what is not given is absent")]
    pub(crate) arg: Vec<(u16, String)>,
    /// Instead: bytes as a client sent them, one frame or several; `-` is stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["service", "method", "key", "header", "arg"], help_heading = "The request; what is not given is absent")]
    pub(crate) frame: Option<PathBuf>,
    /// The bytes are written in hexadecimal digits; blanks do not matter
    #[arg(long, requires = "frame", help_heading = "The request; what is not given is absent")]
    pub(crate) hex: bool,
    /// `source.ip`
    #[arg(long, value_name = "IP", help_heading = "Its connection")]
    pub(crate) source: Option<IpAddr>,
    /// `source.port`
    #[arg(
        long,
        value_name = "PORT",
        requires = "source",
        default_value_t = 0,
        hide_default_value = true,
        help_heading = "Its connection"
    )]
    pub(crate) source_port: u16,
    /// `destination.port` [default: the listener's]
    #[arg(long, value_name = "PORT", help_heading = "Its connection")]
    pub(crate) port: Option<u16>,
    /// `source.principal`
    #[arg(long, value_name = "TEXT", help_heading = "Its connection")]
    pub(crate) principal: Option<String>,
    /// How to say it
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// How something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected a name, `=` and a text".to_owned()),
    }
}

fn numbered(text: &str) -> Result<(u16, String), String> {
    let wrong = |_| "expected a number, `=` and a text".to_owned();
    let (number, value) = pair(text).map_err(wrong)?;
    Ok((number.parse().map_err(|_| wrong(String::new()))?, value))
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) file: File,
    /// How long requests in flight may take to end after SIGTERM [default: the longest
    /// `drain_timeout` of the file's listeners]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) grace: Option<Duration>,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Demo {
    /// How long traffic runs; Ctrl-C ends it earlier, and judges all the same
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// Use this configuration instead of the built-in one
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print the built-in configuration and exit
    #[arg(long, conflicts_with = "config")]
    pub(crate) print_config: bool,
    /// First of the fourteen ports that the demo uses on 127.0.0.1
    #[arg(long, value_name = "PORT", default_value_t = 20_880, value_parser = clap::value_parser!(u16).range(1..=65_522))]
    pub(crate) base_port: u16,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Args::command().debug_assert();
    }
}
