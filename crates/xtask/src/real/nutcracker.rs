//! In place of twemproxy: what one wrote, the other finds, for its ways to place keys.

use crate::{
    rig::{
        Middle, Nutcracker, Proxy, RedisServer,
        resp::{Client, Value, keyspace},
    },
    tally::Tally,
};

/// Keys written and read each way.
const KEYS: usize = 10_000;

/// A placement: the name of the templates `NAME.nutcracker.yml` and `NAME.heptad.yaml`.
const PLACEMENTS: &[&str] = &["ketama-fnv1a", "ketama-weighted-tags", "modula-crc16", "ketama-md5"];

pub(super) fn run(middle: Middle) -> Result<Tally, String> {
    let mut all = Tally::default();
    for name in PLACEMENTS {
        all.add(placement(middle, name).map_err(|e| format!("{name}: {e}"))?);
    }
    all.note(format!("{KEYS} keys each way, {}", PLACEMENTS.join(", ")));
    Ok(all)
}

fn placement(middle: Middle, name: &str) -> Result<Tally, String> {
    let mut tally = Tally::default();
    for written_by_nutcracker in [true, false] {
        let servers = (0..3).map(|_| RedisServer::start()).collect::<Result<Vec<_>, _>>()?;
        let ports: Vec<u16> = servers.iter().map(|s| s.port).collect();
        let template = format!("{name}.nutcracker.yml");
        let nutcracker = Nutcracker::start(&template, &ports)?;
        // In place of Heptad, a second nutcracker must agree with the first.
        let (other, _keep_proxy, _keep_second);
        if middle == Middle::Heptad {
            let proxy = Proxy::start(&format!("{name}.heptad.yaml"), &ports)?;
            other = proxy.port;
            _keep_proxy = Some(proxy);
            _keep_second = None;
        } else {
            let second = Nutcracker::start(&template, &ports)?;
            other = second.port;
            _keep_second = Some(second);
            _keep_proxy = None;
        }
        let (writer, reader, way) = if written_by_nutcracker {
            (nutcracker.port, other, "written by nutcracker")
        } else {
            (other, nutcracker.port, "written by heptad")
        };
        write(writer).map_err(|e| format!("{way}: {e}"))?;
        let mut clients = servers.iter().map(|s| s.client()).collect::<Result<Vec<_>, _>>()?;
        let spread = keyspace_sizes(&mut clients)?;
        tally.check(spread.iter().all(|n| *n > 0), || {
            format!("{name} {way}: keys per server {spread:?}")
        });
        let wrong = read(reader).map_err(|e| format!("{way}: {e}"))?;
        tally.passed += (KEYS - wrong.len()) as u64;
        tally.failed += wrong.len() as u64;
        if !wrong.is_empty() {
            let some: Vec<_> = wrong.iter().take(5).collect();
            tally.failures.push(format!("{name} {way}: {} keys not found: {some:?}", wrong.len()));
        }
    }
    Ok(tally)
}

fn keyspace_sizes(clients: &mut [Client]) -> Result<Vec<usize>, String> {
    clients.iter_mut().map(|c| Ok(keyspace(std::slice::from_mut(c))?.len())).collect()
}

/// Keys of several shapes: short, long, with a tag in several places, with an empty or open tag.
fn key(i: usize) -> String {
    match i % 8 {
        0 => format!("{i}"),
        1 => format!("user:{i}:name"),
        2 => format!("{{tag{}}}:{i}", i % 97),
        3 => format!("before{{tag{}}}after{i}", i % 89),
        4 => format!("{{}}empty{i}"),
        5 => format!("{{open{i}"),
        6 => format!("{}{i}", "long-".repeat(20)),
        _ => format!("ключ {i} \u{1f511}"),
    }
}

fn write(port: u16) -> Result<(), String> {
    let mut client = Client::connect(port).map_err(|e| e.to_string())?;
    for from in (0..KEYS).step_by(500) {
        let pairs: Vec<(String, String)> =
            (from..from + 500).map(|i| (key(i), format!("value {i}"))).collect();
        let commands: Vec<Vec<&str>> = pairs.iter().map(|(k, v)| vec!["SET", k, v]).collect();
        for (reply, (key, _)) in
            client.pipeline(&commands).map_err(|e| e.to_string())?.iter().zip(&pairs)
        {
            if reply != &Value::Simple("OK".into()) {
                return Err(format!("SET {key}: {reply}"));
            }
        }
    }
    Ok(())
}

/// Keys whose value is not what was written, with what was read.
fn read(port: u16) -> Result<Vec<(String, String)>, String> {
    let mut client = Client::connect(port).map_err(|e| e.to_string())?;
    let mut wrong = Vec::new();
    for from in (0..KEYS).step_by(500) {
        let keys: Vec<String> = (from..from + 500).map(key).collect();
        let commands: Vec<Vec<&str>> = keys.iter().map(|k| vec!["GET", k]).collect();
        let replies = client.pipeline(&commands).map_err(|e| e.to_string())?;
        for ((i, key), reply) in (from..).zip(keys).zip(replies) {
            if reply.text() != format!("value {i}") {
                wrong.push((key, reply.to_string()));
            }
        }
    }
    Ok(wrong)
}
