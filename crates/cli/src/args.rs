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
        heptad schema > heptad.json       for completion in editors\n  \
        heptad codec new telegraph        begin a codec for a protocol of your own",
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
    /// Take captured bytes apart, frame by frame, up to the byte that is not the protocol
    #[command(after_help = "Examples:\n  \
            heptad inspect --codec redis requests.bin\n  \
            heptad inspect --codec thrift traffic.pcap --port 9090\n  \
            printf 'GET user:1\\r\\n' | heptad inspect --codec redis -\n\n\
            Exit code: 0 all of it is frames, 1 something is not or has no end, 2 it cannot be read")]
    Inspect(Box<Inspect>),
    /// Show requests and replies of a running router as they pass
    #[command(
        long_about = "Show requests and replies of a running router as they pass.\n\n\
            The router's admin server must be reachable and its `admin.tap` be `redacted` (no \
            bytes of frames) or `full`. A tap never holds up a request: what comes too fast is \
            dropped and counted.",
        after_help = "Examples:\n  \
            heptad tap --listener cache --match '{\"method\": \"SET\"}'\n  \
            heptad tap --percent 1 --format pcap -o sample.pcap --seconds 60"
    )]
    Tap(Box<Tap>),
    /// Record requests and replies of a running router, for `heptad replay`
    #[command(after_help = "Example:\n  \
        heptad record --listener cache --seconds 60 -o traffic.jsonl")]
    Record(Box<Record>),
    /// Send recorded requests to another endpoint, and say which calls changed
    #[command(after_help = "Examples:\n  \
        heptad replay traffic.jsonl --codec redis --to 10.0.0.9:6379\n  \
        heptad replay traffic.jsonl --codec redis --to 10.0.0.9:6379 --paced --bytes --junit out.xml\n\n\
        Exit code: 0 every call went as it was recorded, 1 one did not, 2 it could not be tried")]
    Replay(Box<Replay>),
    /// Print the JSON schema of configuration files
    #[command(
        after_help = "Example, first line of a file for editors with yaml-language-server:\n  \
        # yaml-language-server: $schema=heptad.json"
    )]
    Schema,
    /// Begin a codec of your own, or test a described one
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

#[derive(ClapArgs, Debug)]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub(crate) named: crate::speech::Named,
    /// A pcap or pcapng capture, or bytes of one direction; `-` is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// What the server said to the bytes in FILE
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    pub(crate) replies: Option<PathBuf>,
    /// The bytes in FILE are a server's
    #[arg(long)]
    pub(crate) server: bool,
    /// The bytes are written in hexadecimal digits; blanks do not matter
    #[arg(long)]
    pub(crate) hex: bool,
    /// Of a capture: only connections to this port
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Say it for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Look {
    /// The router's admin server
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9901")]
    pub(crate) admin: std::net::SocketAddr,
    /// The listener; not needed if there is only one
    #[arg(short, long, value_name = "NAME")]
    pub(crate) listener: Option<String>,
    /// Only requests that match, and their replies: a `match` as routes have it, as JSON
    #[arg(long = "match", value_name = "JSON")]
    pub(crate) matches: Option<String>,
    /// Only so many of a hundred of them
    #[arg(long, value_name = "N")]
    pub(crate) percent: Option<f64>,
    /// End after so many requests and their replies
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// End after this time
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<f64>,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Tap {
    #[command(flatten)]
    pub(crate) look: Look,
    /// How to show them
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = TapFormat::Lines)]
    pub(crate) format: TapFormat,
    /// Where to [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// How frames are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TapFormat {
    /// A line for each, for people
    Lines,
    /// A JSON object for each
    Json,
    /// A capture for Wireshark, tcpdump and `heptad inspect`
    Pcap,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Record {
    #[command(flatten)]
    pub(crate) look: Look,
    /// The recording
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Replay {
    /// What `heptad record` wrote
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Where to send the requests
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) named: crate::speech::Named,
    /// Send each request as long after the first as it was recorded, and not as soon as it can be
    #[arg(long)]
    pub(crate) paced: bool,
    /// Compare the replies' bytes, too
    #[arg(long)]
    pub(crate) bytes: bool,
    /// How long to wait for a reply
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
    /// A report as test tools read it
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
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
