//! What is measured: which requests, over how many connections, and what is required of Heptad.

use heptad_load::{Command, Dubbo, Redis, Thrift, Traffic};

/// The requests of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Echo calls; `shared`: links carry the calls of all clients, or one at a time.
    Thrift { shared: bool },
    /// Echo calls; `attachments`: a route asks for one of them, or for the method only.
    Dubbo { attachments: bool },
    /// Commands; `MGET` has its keys on three servers.
    Redis(Command),
}

/// Who sends the requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Driver {
    /// The generator of `heptad-load`, as fast as replies come.
    Closed,
    /// The same, at a share of what HAProxy carried in a closed loop.
    Open(f64),
    /// redis-benchmark.
    RedisBenchmark,
}

/// What a row of the requirements asks: CPU time in relation to HAProxy's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limit {
    pub(super) required: f64,
    pub(super) aim: f64,
}

/// One case.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) work: Work,
    pub(super) bytes: usize,
    pub(super) connections: usize,
    pub(super) depth: usize,
    pub(super) driver: Driver,
    pub(super) limit: Option<Limit>,
}

impl Case {
    /// What `--case` looks in.
    pub(super) fn name(&self) -> String {
        let (what, how) = match self.work {
            Work::Thrift { shared: true } => ("thrift", "/shared"),
            Work::Thrift { shared: false } => ("thrift", "/call-per-link"),
            Work::Dubbo { attachments: true } => ("dubbo", "/attachments"),
            Work::Dubbo { attachments: false } => ("dubbo", "/method"),
            Work::Redis(Command::Get) => ("redis-get", ""),
            Work::Redis(Command::Set) => ("redis-set", ""),
            Work::Redis(Command::Mget) => ("redis-mget", ""),
        };
        let size = match self.bytes {
            bytes if bytes >= 1024 => format!("{}KiB", bytes / 1024),
            bytes => format!("{bytes}B"),
        };
        let driver = match self.driver {
            Driver::Closed => String::new(),
            Driver::Open(share) => format!("/open-{:.0}%", share * 100.0),
            Driver::RedisBenchmark => "/redis-benchmark".to_owned(),
        };
        format!("{what}/{size}/{}x{}{how}{driver}", self.connections, self.depth)
    }

    /// What the generator sends.
    pub(super) fn traffic(&self) -> Box<dyn Traffic + Send> {
        match self.work {
            Work::Thrift { .. } => Box::new(Thrift::new(self.bytes)),
            Work::Dubbo { .. } => Box::new(Dubbo::new(self.bytes)),
            Work::Redis(command) => Box::new(Redis::new(command, self.bytes)),
        }
    }

    /// How many servers there are.
    pub(super) fn servers(&self) -> usize {
        if self.work == Work::Redis(Command::Mget) { 3 } else { 1 }
    }

    /// Whether more requests per second than without a proxy are asked for.
    pub(super) fn saves_the_server_work(&self) -> bool {
        self.connections >= 50
            && self.work != (Work::Thrift { shared: false })
            && self.limit.is_some()
    }
}

/// All cases, or only those with a requirement and what is to be seen beside them.
pub(super) fn cases(quick: bool) -> Vec<Case> {
    let mut all = required();
    all.extend(beside());
    if quick {
        return all;
    }
    let mut add = |work, bytes, connections, depth, driver| {
        let case = Case { work, bytes, connections, depth, driver, limit: None };
        if all.iter().all(|other| other.name() != case.name()) {
            all.push(case);
        }
    };
    let shapes = || [1, 50, 500].into_iter().flat_map(|c| [(c, 1), (c, 16)]);
    let rpc = [
        Work::Thrift { shared: true },
        Work::Thrift { shared: false },
        Work::Dubbo { attachments: false },
        Work::Dubbo { attachments: true },
    ];
    for work in rpc {
        for bytes in [128, 16 << 10] {
            for (connections, depth) in shapes() {
                add(work, bytes, connections, depth, Driver::Closed);
            }
        }
        add(work, 128, 50, 1, Driver::Open(0.5));
    }
    for command in [Command::Get, Command::Set, Command::Mget] {
        for bytes in [64, 4 << 10] {
            for (clients, pipeline) in shapes() {
                let work = Work::Redis(command);
                add(work, bytes, clients, pipeline, Driver::Closed);
                // redis-benchmark has no test of MGET.
                if command != Command::Mget {
                    add(work, bytes, clients, pipeline, Driver::RedisBenchmark);
                }
            }
        }
        add(Work::Redis(command), 64, 50, 1, Driver::Open(0.5));
    }
    all
}

/// The rows with a requirement; those of Redis are driven by redis-benchmark.
fn required() -> Vec<Case> {
    let row = |work, bytes, connections, depth, required, aim| {
        let driver = match work {
            Work::Redis(_) => Driver::RedisBenchmark,
            _ => Driver::Closed,
        };
        let limit = Some(Limit { required, aim });
        Case { work, bytes, connections, depth, driver, limit }
    };
    let thrift = Work::Thrift { shared: true };
    let dubbo = Work::Dubbo { attachments: false };
    let (get, set) = (Work::Redis(Command::Get), Work::Redis(Command::Set));
    vec![
        row(thrift, 128, 50, 1, 0.60, 0.55),
        row(thrift, 128, 50, 16, 0.65, 0.60),
        row(thrift, 128, 500, 1, 0.50, 0.45),
        row(thrift, 16 << 10, 20, 1, 0.55, 0.50),
        row(Work::Thrift { shared: false }, 128, 50, 1, 1.00, 0.95),
        row(dubbo, 128, 50, 1, 0.60, 0.55),
        row(dubbo, 128, 50, 16, 0.65, 0.60),
        row(dubbo, 16 << 10, 20, 1, 0.60, 0.55),
        row(get, 64, 50, 1, 0.72, 0.60),
        row(get, 4 << 10, 50, 1, 0.72, 0.60),
        row(set, 64, 50, 16, 0.95, 0.80),
        row(get, 64, 500, 1, 0.70, 0.55),
    ]
}

/// The rows of Redis driven by our own generator too, and p99 at the same offered load.
fn beside() -> Vec<Case> {
    let mut all: Vec<Case> =
        required().into_iter().filter(|case| case.driver == Driver::RedisBenchmark).collect();
    for case in &mut all {
        (case.driver, case.limit) = (Driver::Closed, None);
    }
    for work in [
        Work::Thrift { shared: true },
        Work::Dubbo { attachments: false },
        Work::Redis(Command::Get),
    ] {
        let bytes = if matches!(work, Work::Redis(_)) { 64 } else { 128 };
        let driver = Driver::Open(0.5);
        all.push(Case { work, bytes, connections: 50, depth: 1, driver, limit: None });
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_say_what_is_done() {
        let names: Vec<String> = cases(false).iter().map(Case::name).collect();
        let unique: BTreeSet<&String> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
        for name in [
            "thrift/128B/50x1/shared",
            "thrift/16KiB/500x16/call-per-link",
            "dubbo/128B/50x1/attachments/open-50%",
            "redis-get/4KiB/500x16",
            "redis-set/64B/50x16/redis-benchmark",
            "redis-mget/64B/1x1",
        ] {
            assert!(names.iter().any(|n| n == name), "{name} is not in {names:?}");
        }
    }

    #[test]
    fn twelve_rows_are_required() {
        let quick = cases(true);
        let limits: Vec<Limit> = quick.iter().filter_map(|case| case.limit).collect();
        assert_eq!(limits.len(), 12);
        assert!(limits.iter().all(|limit| limit.aim < limit.required));
        // Those of Redis are there with both drivers.
        for case in quick.iter().filter(|case| case.driver == Driver::RedisBenchmark) {
            let name = case.name().replace("/redis-benchmark", "");
            assert!(quick.iter().any(|other| other.name() == name), "{name}");
        }
    }
}
