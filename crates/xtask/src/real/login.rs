//! Who may log in at Heptad, compared with a redis-server that has the same users: by hand, command
//! by command, and by three clients; then what only a router has: users routed by name, and
//! passwords towards servers that are not those of clients.

use std::{io, process::Command, time::Duration};

use super::{
    clients::steps,
    transcript::{compare, normalise},
};
use crate::{
    paths,
    rig::{
        Metrics, Middle, Proxy, RedisServer,
        resp::{Client, Value},
        run_bounded,
    },
    tally::Tally,
};

/// The password of the servers behind.
const UPSTREAM: &str = "upstream-secret";

/// The users of `config/login.yaml`, in a server's words.
const USERS: &[&[&str]] = &[
    &["ACL", "SETUSER", "alice", "on", ">alice-secret", "~*", "&*", "+@all"],
    &["ACL", "SETUSER", "default", "resetpass", ">default-secret"],
];

/// The server to compare with, and what is under test.
struct Bench {
    direct: RedisServer,
    servers: Vec<RedisServer>,
    proxy: Option<Proxy>,
    port: u16,
}

impl Bench {
    fn start(middle: Middle) -> Result<Self, String> {
        let direct = with_users()?;
        if middle != Middle::Heptad {
            let other = with_users()?;
            let port = other.port;
            return Ok(Self { direct, servers: vec![other], proxy: None, port });
        }
        let servers = (0..2)
            .map(|_| configured(&[&["CONFIG", "SET", "requirepass", UPSTREAM]]))
            .collect::<Result<Vec<_>, _>>()?;
        let ports: Vec<u16> = servers.iter().map(|s| s.port).collect();
        let proxy = Proxy::start("login.yaml", &ports)?;
        let port = proxy.port;
        Ok(Self { direct, servers, proxy: Some(proxy), port })
    }
}

fn with_users() -> Result<RedisServer, String> {
    configured(USERS)
}

fn configured(commands: &[&[&str]]) -> Result<RedisServer, String> {
    let server = RedisServer::start()?;
    let mut client = server.client()?;
    for command in commands {
        let reply = client.call(command).map_err(|e| e.to_string())?;
        if reply.is_error() {
            return Err(format!("{command:?}: {reply}"));
        }
    }
    Ok(server)
}

pub(super) fn run(middle: Middle) -> Result<Tally, String> {
    let bench = Bench::start(middle)?;
    let mut all = Tally::default();
    all.add(strangers(&bench)?);
    for (name, commands) in DIALOGUES {
        for at_once in [false, true] {
            let a = dialogue(bench.direct.port, commands, at_once);
            let b = dialogue(bench.port, commands, at_once);
            all.check(a == b, || {
                format!("{name}, at once: {at_once}\n  direct:  {a:?}\n  through: {b:?}")
            });
        }
    }
    all.note(format!("{} dialogues", DIALOGUES.len()));
    let mut parts = vec![libraries(&bench), redis_cli(&bench)];
    if let Some(proxy) = &bench.proxy {
        parts.extend([passwords(&bench), routes(&bench), refused_greeting(proxy)]);
    }
    for part in parts {
        match part {
            Ok(tally) => all.add(tally),
            Err(error) => all.fail(error),
        }
    }
    Ok(all)
}

/// Every command of the server, with as many arguments as it needs, before any login.
fn strangers(bench: &Bench) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let mut eye = bench.direct.client()?;
    let io = |e: io::Error| e.to_string();
    eye.call(&["AUTH", "default-secret"]).map_err(io)?;
    let commands = eye.call(&["COMMAND"]).map_err(io)?;
    let mut direct = Client::connect(bench.direct.port).map_err(io)?;
    let mut through = Client::connect(bench.port).map_err(io)?;
    for command in commands.list() {
        let name = command.list().first().map(Value::text).unwrap_or_default();
        // These may be used before; what they answer is compared in dialogues.
        if ["auth", "hello", "quit", "reset"].contains(&&*name) {
            continue;
        }
        // Of a command with subcommands the second word must be one of them.
        let subs = command.list().get(9).map(Value::list).unwrap_or_default();
        let asked = subs.first().unwrap_or(command).list();
        let full = asked.first().map(Value::text).unwrap_or_default();
        let arity = asked.get(1).map(Value::text).unwrap_or_default();
        let words = arity.trim_start_matches('-').parse().unwrap_or(1_usize);
        let mut args: Vec<&str> = full.split('|').collect();
        args.resize(args.len().max(words), "1");
        let (a, b) = (direct.call(&args), through.call(&args));
        // A server with such a policy refuses some before it asks who it is.
        let holds = match (&a, &b) {
            (Ok(a), Ok(b)) => of_any_version(&b.to_string()) == NOAUTH || (a.is_error() && a == b),
            _ => false,
        };
        tally.check(holds, || format!("{args:?} before a login: {a:?} direct, {b:?} through"));
    }
    tally.note(format!("{} commands before a login", tally.passed));
    Ok(tally)
}

const NOAUTH: &str = "-NOAUTH Authentication required.";

/// Name and commands, each of which has one reply.
type Dialogue = (&'static str, &'static [&'static [&'static str]]);

const DIALOGUES: &[Dialogue] = &[
    (
        "before a login",
        &[
            &["PING"],
            &["GET", "x"],
            &["HELLO"],
            &["HELLO", "3"],
            &["MULTI"],
            &["EXEC"],
            &["SUBSCRIBE", "a"],
            &["CLIENT", "SETNAME", "me"],
            &["CLIENT", "REPLY", "OFF"],
            &["RESET"],
            &["ACL", "WHOAMI"],
            &["SELECT", "1"],
            &["PING"],
        ],
    ),
    ("QUIT before a login", &[&["QUIT"]]),
    (
        "more words than a stranger may say",
        &[&["DEL", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]],
    ),
    (
        "AUTH with a password",
        &[&["AUTH", "default-secret"], &["ACL", "WHOAMI"], &["SET", "d", "1"], &["GET", "d"]],
    ),
    (
        "AUTH with a user",
        &[
            &["auth", "alice", "alice-secret"],
            &["ACL", "WHOAMI"],
            &["SET", "d", "2"],
            &["GET", "d"],
            &["DEL", "d"],
        ],
    ),
    (
        "AUTH with a wrong password",
        &[
            &["AUTH", "wrong"],
            &["AUTH", "alice", "wrong"],
            &["AUTH", "bob", "alice-secret"],
            &["AUTH", "alice-secret"],
            &["AUTH", "alice", ""],
            &["AUTH", "default", "alice-secret"],
            &["GET", "x"],
        ],
    ),
    ("AUTH with too few and too many words", &[&["AUTH"], &["AUTH", "a", "b", "c"], &["GET", "x"]]),
    (
        "a wrong password after a login changes nothing",
        &[
            &["AUTH", "alice", "alice-secret"],
            &["AUTH", "wrong"],
            &["ACL", "WHOAMI"],
            &["HELLO", "3", "AUTH", "default", "wrong"],
            &["ACL", "WHOAMI"],
            &["GET", "none"],
        ],
    ),
    (
        "from one user to another",
        &[
            &["AUTH", "alice", "alice-secret"],
            &["ACL", "WHOAMI"],
            &["AUTH", "default-secret"],
            &["ACL", "WHOAMI"],
            &["HELLO", "2", "AUTH", "alice", "alice-secret"],
            &["ACL", "WHOAMI"],
        ],
    ),
    (
        "HELLO 2 with a user",
        &[
            &["HELLO", "2", "AUTH", "alice", "alice-secret"],
            &["ACL", "WHOAMI"],
            &["GET", "none"],
            &["HGETALL", "none"],
        ],
    ),
    (
        "HELLO 3 with a user",
        &[
            &["HELLO", "3", "AUTH", "default", "default-secret", "SETNAME", "me"],
            &["CLIENT", "GETNAME"],
            &["ACL", "WHOAMI"],
            &["GET", "none"],
            &["HGETALL", "none"],
        ],
    ),
    (
        "HELLO with a wrong password",
        &[
            &["HELLO", "3", "AUTH", "alice", "wrong"],
            &["HELLO", "2", "AUTH", "bob", "alice-secret"],
            &["GET", "none"],
            &["HELLO", "3", "AUTH", "alice", "alice-secret"],
            &["GET", "none"],
        ],
    ),
    (
        "RESET takes the login away",
        &[
            &["AUTH", "alice", "alice-secret"],
            &["GET", "none"],
            &["RESET"],
            &["GET", "none"],
            &["AUTH", "default-secret"],
            &["ACL", "WHOAMI"],
        ],
    ),
    (
        "RESET out of RESP3 and a transaction",
        &[
            &["HELLO", "3", "AUTH", "alice", "alice-secret"],
            &["MULTI"],
            &["SET", "n", "1"],
            &["RESET"],
            &["EXEC"],
            &["AUTH", "alice", "alice-secret"],
            &["GET", "n"],
        ],
    ),
    (
        "login, transaction, QUIT",
        &[
            &["AUTH", "alice", "alice-secret"],
            &["MULTI"],
            &["SET", "t", "1"],
            &["INCR", "t"],
            &["EXEC"],
            &["DEL", "t"],
            &["QUIT"],
        ],
    ),
];

/// What was answered to each command, sent one after the other or all in one write.
fn dialogue(port: u16, commands: &[&[&str]], at_once: bool) -> Vec<String> {
    let mut seen = Vec::new();
    let mut talk = || -> io::Result<()> {
        let mut client = Client::connect(port)?;
        if at_once {
            let bytes: Vec<u8> = commands.iter().flat_map(|c| crate::rig::resp::frame(c)).collect();
            client.send_raw(&bytes)?;
        }
        for command in commands {
            if !at_once {
                client.send(command)?;
            }
            let mut reply = client.read()?;
            without_id(&mut reply);
            seen.push(of_any_version(&normalise(&reply.to_string())));
        }
        Ok(())
    };
    if let Err(e) = talk() {
        seen.push(e.kind().to_string());
    }
    seen
}

/// What differs between versions of Redis, and the wrapping of an `EXEC` that a stranger sends:
/// Heptad gives strangers one answer.
fn of_any_version(text: &str) -> String {
    text.replace("HELLO <proto> AUTH", "HELLO AUTH")
        .replace("EXECABORT Transaction discarded because of: NOAUTH", "NOAUTH")
}

/// `HELLO` tells the connection's number.
fn without_id(reply: &mut Value) {
    if let Value::List(all) | Value::Other(_, all) = reply
        && let Some(at) = all.iter().position(|v| *v == Value::Bulk(b"id".to_vec()))
        && let Some(id) = all.get_mut(at + 1)
    {
        *id = Value::Null;
    }
}

/// redis-py in both versions of the protocol, and ioredis.
fn libraries(bench: &Bench) -> Result<Tally, String> {
    let mut all = Tally::default();
    let python = |protocol: &str| {
        let mut command = Command::new(paths::python());
        command.arg(paths::real().join("redis-py/login.py")).args(["--protocol", protocol]);
        command
    };
    let node = || {
        let mut command = Command::new("node");
        command.arg(paths::real().join("ioredis/login.js"));
        command
    };
    let scripts: [(&str, &dyn Fn() -> Command); 3] = [
        ("redis-py RESP2", &|| python("2")),
        ("redis-py RESP3", &|| python("3")),
        ("ioredis", &node),
    ];
    for (name, script) in scripts {
        let record = |port: u16| {
            let mut all = steps(script(), port).map_err(|e| format!("{name} at {port}: {e}"))?;
            all.iter_mut().for_each(|s| s.reply = of_any_version(&s.reply));
            Ok::<_, String>(all)
        };
        let (direct, through) = (record(bench.direct.port)?, record(bench.port)?);
        all.add(compare(name, &direct, &through, false));
    }
    Ok(all)
}

/// redis-cli with its own options for users and passwords.
fn redis_cli(bench: &Bench) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let ways: &[&[&str]] = &[
        &[],
        &["--pass", "default-secret"],
        &["-a", "default-secret"],
        &["--user", "default", "--pass", "default-secret"],
        &["--user", "alice", "--pass", "alice-secret"],
        &["--user", "alice", "--pass", "wrong"],
        &["--user", "bob", "--pass", "alice-secret"],
        &["--pass", UPSTREAM],
    ];
    for resp in ["-2", "-3"] {
        for way in ways {
            for ask in [&["ACL", "WHOAMI"][..], &["SET", "cli", "1"], &["HGETALL", "none"]] {
                let said = |port: u16| -> Result<String, String> {
                    let mut command = Command::new("redis-cli");
                    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), resp, "--no-raw"]);
                    let out = run_bounded(command.args(*way).args(ask), Duration::from_secs(20))?;
                    let text = [out.stdout, out.stderr].concat();
                    let text = of_any_version(&String::from_utf8_lossy(&text));
                    Ok(format!("{:?} {text}", out.status.code()))
                };
                let (a, b) = (said(bench.direct.port)?, said(bench.port)?);
                tally.check(a == b, || {
                    format!("redis-cli {resp} {way:?} {ask:?}\n  direct:  {a}\n  through: {b}")
                });
            }
        }
    }
    tally.note(format!("redis-cli {} ways", ways.len()));
    Ok(tally)
}

/// The password towards servers opens nothing at Heptad, and clients' passwords nothing behind it.
fn passwords(bench: &Bench) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let wrong = |port: u16, args: &[&str]| -> Result<Value, String> {
        Client::connect(port).and_then(|mut c| c.call(args)).map_err(|e| e.to_string())
    };
    let behind = bench.servers.iter().map(|s| s.port);
    let mut cases = vec![(bench.port, vec!["AUTH", UPSTREAM])];
    cases.push((bench.port, vec!["AUTH", "default", UPSTREAM]));
    cases.push((bench.port, vec!["HELLO", "3", "AUTH", "default", UPSTREAM]));
    for port in behind {
        cases.push((port, vec!["AUTH", "default-secret"]));
        cases.push((port, vec!["AUTH", "alice", "alice-secret"]));
    }
    for (port, args) in cases {
        let reply = wrong(port, &args)?;
        tally.check(reply.text().starts_with("WRONGPASS "), || format!("{args:?}: {reply}"));
    }
    Ok(tally)
}

/// Each user's keys are on the server of their route, also when a session changes its user.
fn routes(bench: &Bench) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let io = |e: io::Error| e.to_string();
    let mut client = Client::connect(bench.port).map_err(io)?;
    let script: &[&[&str]] = &[
        &["AUTH", "default-secret"],
        &["SET", "of", "default"],
        &["AUTH", "alice", "alice-secret"],
        &["SET", "of", "alice"],
        &["GET", "of"],
        &["AUTH", "default", "default-secret"],
        &["GET", "of"],
        &["HELLO", "3", "AUTH", "alice", "alice-secret"],
        &["GET", "of"],
        &["AUTH", "wrong"],
        &["GET", "of"],
        &["RESET"],
        &["GET", "of"],
    ];
    let commands: Vec<Vec<&str>> = script.iter().map(|c| c.to_vec()).collect();
    let replies = client.pipeline(&commands).map_err(io)?;
    let gets: Vec<String> = script
        .iter()
        .zip(&replies)
        .filter(|(c, _)| c.first() == Some(&"GET"))
        .map(|(_, r)| r.text())
        .collect();
    let expect = ["alice", "default", "alice", "alice", "NOAUTH Authentication required."];
    tally.check(gets == expect, || format!("GETs of several users: {replies:?}"));
    for (server, owner) in bench.servers.iter().zip(["default", "alice"]) {
        let mut eye = server.client()?;
        eye.call(&["AUTH", UPSTREAM]).map_err(io)?;
        let value = eye.call(&["GET", "of"]).map_err(io)?;
        tally.check(value.text() == owner, || format!("server of {owner} has {value}"));
    }
    Ok(tally)
}

/// A server that refuses Heptad's password: clients get an error and stay, and it is counted.
fn refused_greeting(proxy: &Proxy) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let io = |e: io::Error| e.to_string();
    let mut client = Client::connect(proxy.second).map_err(io)?;
    for args in [&["GET", "x"][..], &["SET", "x", "1"], &["MGET", "a", "b"]] {
        let reply = client.call(args).map_err(io)?;
        let right = reply.text().starts_with("ERR heptad: ");
        tally.check(right && !reply.text().contains("not-it"), || format!("{args:?}: {reply}"));
    }
    let page = Metrics::read(proxy.admin)?;
    let ends = page.sum("heptad_link_ends_total", &["listener=\"open\"", "reason=\"greeting\""]);
    tally.check(ends >= 1.0, || format!("no refused greeting in\n{}", page.0));
    let others = page.sum("heptad_link_ends_total", &["listener=\"login\"", "reason=\"greeting\""]);
    tally.check(others == 0.0, || format!("{others} greetings refused elsewhere"));
    Ok(tally)
}
