//! The suites on real clients and servers, and how one of them is run in a process of its own.
//!
//! A suite compares what clients see when they speak to a redis-server with what they see through
//! Heptad in front of servers that are configured alike, or sends what no honest client would.

mod bench;
mod benchmark;
mod bolt;
mod cli;
mod clients;
mod cost;
mod demo;
mod dubbo;
mod hostile;
mod login;
mod metrics;
mod nutcracker;
pub(crate) mod record;
mod thrift;
mod transcript;
mod trpc;
mod tutorial;

use std::{
    io::Read,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{rig::Middle, tally::Tally};

/// One suite.
pub(crate) struct Suite {
    /// What `--only real:NAME` takes.
    pub(crate) name: &'static str,
    /// One line on what is compared.
    pub(crate) what: &'static str,
    /// It fails when it has not ended by then.
    pub(crate) limit: Duration,
    run: fn(Middle) -> Result<Tally, String>,
}

const fn suite_of(
    name: &'static str,
    seconds: u64,
    what: &'static str,
    run: fn(Middle) -> Result<Tally, String>,
) -> Suite {
    Suite { name, what, limit: Duration::from_secs(seconds), run }
}

/// All suites, in the order in which they run.
pub(crate) const SUITES: &[Suite] = &[
    suite_of(
        "redis-benchmark",
        300,
        "every test of redis-benchmark, RESP2 and RESP3, pipelined or not",
        |middle| benchmark::run(middle, 1),
    ),
    suite_of("redis-benchmark-three", 300, "the same, three servers", |middle| {
        benchmark::run(middle, 3)
    }),
    suite_of("redis-cli", 180, "one line per command of Redis, RESP2 and RESP3", |middle| {
        cli::run(middle, 1)
    }),
    suite_of("redis-cli-three", 180, "the same, three servers", |middle| cli::run(middle, 3)),
    suite_of(
        "redis-cli-special",
        120,
        "commands that take the connection or the server with them",
        cli::special,
    ),
    suite_of("redis-py", 180, "every group of redis-py's calls, RESP2 and RESP3", |middle| {
        clients::python(middle, 1)
    }),
    suite_of("redis-py-three", 180, "the same, three servers", |middle| clients::python(middle, 3)),
    suite_of("ioredis", 180, "every group of ioredis's calls", |middle| {
        clients::ioredis(middle, 1)
    }),
    suite_of("ioredis-three", 180, "the same, three servers", |middle| clients::ioredis(middle, 3)),
    suite_of(
        "login",
        120,
        "users of Heptad's own against the same users of a redis-server, by hand and by clients",
        login::run,
    ),
    suite_of(
        "nutcracker",
        180,
        "10 000 keys written through nutcracker are read through Heptad, and the reverse",
        nutcracker::run,
    ),
    suite_of(
        "hostile",
        420,
        "huge announcements, bombs, garbage, killed servers, clients that never read",
        hostile::run,
    ),
    suite_of(
        "thrift-python",
        180,
        "every method of Apache's own test in every dialect, Apache's Python client and server",
        thrift::python,
    ),
    suite_of(
        "thrift-node",
        120,
        "the same with Apache's Node client, 50 calls at once",
        thrift::node,
    ),
    suite_of("thriftpy2", 60, "the same with thriftpy2", thrift::thriftpy2),
    suite_of("thrift-convert", 240, "clients of one dialect, servers of another", thrift::convert),
    suite_of(
        "thrift-routes",
        60,
        "by service, method, argument and header to the right of two servers",
        thrift::routes,
    ),
    suite_of(
        "thrift-errors",
        120,
        "refusals, time-outs and dead servers as exceptions with the router's words",
        thrift::errors,
    ),
    suite_of(
        "thrift-pipeline",
        30,
        "20 calls before the first reply, in order or each with its id",
        thrift::pipeline,
    ),
    suite_of(
        "thrift-throughput",
        60,
        "50 clients of a threaded server whose handler takes 5 ms, against direct",
        thrift::throughput,
    ),
    suite_of(
        "thrift-hostile",
        90,
        "huge announcements, bombs, garbage, servers that lie",
        thrift::hostile,
    ),
    suite_of(
        "dubbo-sofa",
        90,
        "calls of all types from sofa-rpc-node's client to the servers of three libraries",
        dubbo::sofa,
    ),
    suite_of("dubbo-apache", 90, "the same from apache-dubbo-consumer", dubbo::apache),
    suite_of("dubbo-py", 90, "the same from dubbo-py", dubbo::dubbo_py),
    suite_of("dubbo-ssl-python", 90, "the same from dubbo-ssl-python", dubbo::dubbo_ssl),
    suite_of(
        "dubbo-frames",
        60,
        "frames by hand to real servers: ids, heartbeats, oneway, generic, 50 out of order",
        dubbo::frames,
    ),
    suite_of(
        "dubbo-links",
        60,
        "a server by hand: all replies and serializations, heartbeats, its good-bye",
        dubbo::links,
    ),
    suite_of(
        "dubbo-routes",
        60,
        "by service, method, attachment, version, argument to the right of two servers",
        dubbo::routes,
    ),
    suite_of(
        "dubbo-errors",
        90,
        "refusals, time-outs and dead servers as exceptions with the router's words",
        dubbo::errors,
    ),
    suite_of(
        "dubbo-hostile",
        120,
        "huge announcements, bombs of Hessian, garbage, servers that lie",
        dubbo::hostile,
    ),
    suite_of(
        "dubbo-differential",
        180,
        "random requests, read by the codec and by hessian.js",
        dubbo::differential,
    ),
    suite_of("filters-cost", 240, "instructions of each filter for an exchange", cost::run),
    suite_of(
        "bolt-sofa",
        90,
        "calls in every dialect of Bolt from sofa-rpc-node to the servers of two libraries",
        bolt::sofa,
    ),
    suite_of("bolt-anthunder", 60, "the same from both clients of anthunder", bolt::anthunder),
    suite_of(
        "bolt-errors",
        60,
        "refusals, time-outs and dead servers in every dialect of Bolt",
        bolt::errors,
    ),
    suite_of(
        "trpc",
        60,
        "calls, streams and 51 replies out of order, heads written by Google's protobuf",
        trpc::calls,
    ),
    suite_of("trpc-errors", 60, "refusals, time-outs and dead servers in tRPC", trpc::errors),
    suite_of("metrics", 60, "promtool on /metrics after traffic", metrics::run),
    suite_of("bench", 120, "two tiny cases of the bench: right replies, all figures", bench::run),
    suite_of("demo", 120, "the demo judges itself, and notices broken rules", demo::run),
    suite_of(
        "tutorial",
        3_600,
        "docs/write-a-codec.md, block by block, in an empty folder",
        tutorial::run,
    ),
];

/// The suite of a name.
pub(crate) fn find(name: &str) -> Option<&'static Suite> {
    SUITES.iter().find(|s| s.name == name)
}

/// Marks the line with the counts in a suite's output.
const REPORT: &str = "REPORT ";

/// `cargo xtask suite NAME`: runs one suite in this process and reports.
pub(crate) fn suite(args: &[String]) -> Result<bool, String> {
    let has = |flag: &str| args.iter().any(|a| a == flag);
    let name = args.first().map_or("", String::as_str);
    let suite = find(name).ok_or_else(|| format!("there is no suite `{name}`"))?;
    let middle = if has("--stand-in") { Middle::StandIn } else { Middle::Heptad };
    let watched = has("--watched");
    if watched {
        end_with_parent();
    }
    let tally = (suite.run)(middle).unwrap_or_else(|error| {
        let mut tally = Tally::default();
        tally.fail(error);
        tally
    });
    if watched {
        println!("{REPORT}{}", report(&tally));
    } else {
        for failure in &tally.failures {
            println!("FAILED {failure}");
        }
        for note in &tally.notes {
            println!("{note}");
        }
        println!("{}", tally.total());
    }
    Ok(tally.failed == 0)
}

fn report(tally: &Tally) -> Value {
    json!({
        "passed": tally.passed,
        "failed": tally.failed,
        "notes": tally.notes,
        "failures": tally.failures,
    })
}

/// The counts in a suite's output, if it came that far.
pub(crate) fn read_report(output: &str) -> Option<Tally> {
    let line = output.lines().rev().find_map(|l| l.strip_prefix(REPORT))?;
    let value: Value = serde_json::from_str(line).ok()?;
    let texts = |name: &str| {
        let all = value.get(name).and_then(Value::as_array);
        all.into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    Some(Tally {
        passed: value.get("passed")?.as_u64()?,
        failed: value.get("failed")?.as_u64()?,
        notes: texts("notes"),
        failures: texts("failures"),
    })
}

/// Ends this process and all it started when the pipe from its parent closes: nobody would read
/// the result, and servers must not outlive the tests.
pub(crate) fn end_with_parent() {
    thread::spawn(|| {
        let mut nothing = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut nothing);
        kill_group(std::process::id());
    });
}

/// Kills a process group by the id of its first process.
pub(crate) fn kill_group(id: u32) {
    let _ = Command::new("kill")
        .args(["-KILL", "--", &format!("-{id}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}
