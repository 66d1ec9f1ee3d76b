//! redis-benchmark: every test it has must end without a complaint, and leave the same keys.

use std::{process::Command, time::Duration};

use crate::{
    paths,
    rig::{Middle, Rig, resp, run_bounded},
    tally::Tally,
};

/// Every name that `-t` knows. `lrange` stands for all four, and their `lpush` before.
const TESTS: &str = "ping,ping_inline,ping_mbulk,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,\
zadd,zpopmin,lrange,lrange_100,lrange_300,lrange_500,lrange_600,mset,xadd";

/// The titles under which a run reports, so that a test that was not run is noticed.
const TITLES: &[&str] = &[
    "PING_INLINE",
    "PING_MBULK",
    "SET",
    "GET",
    "INCR",
    "LPUSH",
    "RPUSH",
    "LPOP",
    "RPOP",
    "SADD",
    "HSET",
    "SPOP",
    "ZADD",
    "ZPOPMIN",
    "LPUSH (needed to benchmark LRANGE)",
    "LRANGE_100 (first 100 elements)",
    "LRANGE_300 (first 300 elements)",
    "LRANGE_500 (first 500 elements)",
    "LRANGE_600 (first 600 elements)",
    "MSET (10 keys)",
];

/// Requests per test: enough to fill every pipeline of every client several times.
const REQUESTS: &str = "4000";

/// All tests, four ways: both versions of the protocol, pipelined or not.
pub(super) fn run(middle: Middle, shards: usize) -> Result<Tally, String> {
    let mut all = Tally::default();
    for resp in ["2", "3"] {
        for depth in ["1", "16"] {
            let name = format!("RESP{resp} -P {depth}");
            let direct = bench(&Rig::start(Middle::Direct, 1)?, resp, depth)?;
            let rig = Rig::start(middle, shards)?;
            let through = bench(&rig, resp, depth).map_err(|e| format!("{name} through: {e}"))?;
            for title in TITLES {
                let ran = |out: &Ran| out.titles.iter().any(|t| t == title);
                all.check(ran(&direct) && ran(&through), || {
                    format!("{name}: no result of {title}, only {:?}", through.titles)
                });
            }
            all.check(direct.titles == through.titles, || {
                format!("{name}: direct {:?}\nthrough {:?}", direct.titles, through.titles)
            });
            all.check(through.complaints.is_empty(), || format!("{name}: {}", through.complaints));
            all.check(direct.keys == through.keys, || {
                format!("{name}: keys direct {:?}\nthrough {:?}", direct.keys, through.keys)
            });
        }
    }
    all.note(format!("{} tests 4 ways, {REQUESTS} requests each", TITLES.len()));
    Ok(all)
}

struct Ran {
    titles: Vec<String>,
    complaints: String,
    keys: std::collections::BTreeMap<String, String>,
}

fn bench(rig: &Rig, resp: &str, depth: &str) -> Result<Ran, String> {
    let program = paths::program("redis-benchmark").ok_or("redis-benchmark is not installed")?;
    let mut command = Command::new(program);
    // Without -r nothing is drawn: the keys are the same in every run.
    command
        .args(["-h", "127.0.0.1", "-p", &rig.port.to_string()])
        .args(["-n", REQUESTS, "-c", "20", "-P", depth])
        .args(["-t", TESTS, "--csv"]);
    if resp == "3" {
        command.arg("-3");
    }
    let out = run_bounded(&mut command, Duration::from_secs(60))?;
    let stdout = String::from_utf8_lossy(&out.stdout);
    let stderr = String::from_utf8_lossy(&out.stderr);
    if !out.status.success() {
        return Err(format!("{}\n{stdout}\n{stderr}", out.status));
    }
    let titles = stdout
        .lines()
        .filter_map(|l| l.strip_prefix('"')?.split_once("\",\""))
        .map(|(title, _)| title.to_owned())
        .filter(|title| title != "test")
        .collect();
    let mut clients = rig.servers.iter().map(|s| s.client()).collect::<Result<Vec<_>, _>>()?;
    let odd = |l: &&str| !l.starts_with('"') && !l.trim().is_empty();
    Ok(Ran {
        titles,
        complaints: stdout.lines().filter(odd).chain(stderr.lines()).collect::<Vec<_>>().join("\n"),
        keys: resp::keyspace(&mut clients)?,
    })
}
