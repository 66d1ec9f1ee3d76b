//! Look-ups to be counted: `route_cost <shape> <routes> <rows> <look-ups>`.
//!
//! Shapes: `service`, `method`, `header` (service and header), `methods` (one service, rules by
//! method), `prefix`, `suffix`, `nets`, `default` (service, and a last rule for everything).
//! Rows: one or more of `first`, `last` and `miss`, with commas. The look-ups of each row run in one
//! call of a function of their own, for
//! `valgrind --tool=callgrind --toggle-collect=route_cost::lookups --dump-after=…`. One look-up has
//! run before, so that the scratch is warm. With the further argument `alloc` each look-up also
//! allocates, which shows that a count of allocations counts.
#![forbid(unsafe_code)]

use std::{env, hint::black_box, net::IpAddr, process::exit};

use heptad_core::{Attr, Attributes, Unknown, Value};
use heptad_route::{Expr, Scratch, Table, Text};

struct Request {
    service: String,
    method: String,
    header: String,
    ip: IpAddr,
}

impl Attributes for Request {
    fn attr(&mut self, attr: &Attr) -> Result<Option<Value<'_>>, Unknown> {
        Ok(Some(match attr {
            Attr::Service => Value::Bytes(self.service.as_bytes()),
            Attr::Method => Value::Bytes(self.method.as_bytes()),
            Attr::Header(_) => Value::Bytes(self.header.as_bytes()),
            Attr::SourceIp => Value::Ip(self.ip),
            Attr::Protocol => Value::Bytes(b"any"),
            _ => return Ok(None),
        }))
    }
}

/// Names of one length whatever the number, so that only the table differs.
fn name(i: u32) -> String {
    format!("org.example.bookinfo.Service{i:07}")
}

fn ip(i: u32) -> IpAddr {
    std::net::Ipv4Addr::from_bits(0x0a00_0000 | (i << 8)).into()
}

fn request(i: u32) -> Request {
    Request { service: name(i), method: name(i), header: name(i), ip: ip(i) }
}

fn rule(shape: &str, i: u32) -> Option<Expr> {
    let exact = |attr, text| Expr::Attr(attr, Text::Exact(text));
    let header = || Attr::Header("user".into());
    Some(match shape {
        "service" | "default" => exact(Attr::Service, name(i)),
        "method" => exact(Attr::Method, name(i)),
        "header" => Expr::All(vec![exact(Attr::Service, name(i)), exact(header(), name(i))]),
        "methods" => {
            Expr::All(vec![exact(Attr::Protocol, "any".into()), exact(Attr::Method, name(i))])
        }
        "prefix" => Expr::Attr(Attr::Service, Text::Prefix(name(i))),
        "suffix" => {
            let tail = name(i).split_off(20);
            Expr::Attr(Attr::Service, Text::Suffix(tail))
        }
        "nets" => {
            let net = Text::exact_for(&Attr::SourceIp, &format!("{}/24", ip(i))).ok()?;
            Expr::Attr(Attr::SourceIp, net)
        }
        _ => return None,
    })
}

#[inline(never)]
fn lookups(
    table: &Table,
    scratch: &mut Scratch,
    request: &mut Request,
    times: u32,
    alloc: bool,
) -> Option<usize> {
    let mut found = None;
    for _ in 0..times {
        found = table.find(scratch, black_box(&mut *request));
        if alloc {
            black_box(vec![0_u8; black_box(100)]);
        }
    }
    found
}

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let Some((shape, count, rows, times, alloc)) = parse(&args) else {
        eprintln!("usage: route_cost <shape> <routes> first,last,miss <look-ups> [alloc]");
        exit(2);
    };
    let mut rules: Vec<Expr> = (0..count).filter_map(|i| rule(shape, i)).collect();
    if shape == "default" {
        rules.push(Expr::All(vec![]));
    }
    let table = match Table::compile(&rules) {
        Ok(table) => table,
        Err(err) => {
            eprintln!("{err}");
            exit(1);
        }
    };
    let mut scratch = Scratch::default();
    for row in rows {
        let mut request = request(match row {
            "first" => 0,
            "last" => count - 1,
            _ => MISS,
        });
        table.find(&mut scratch, &mut request);
        match lookups(&table, &mut scratch, &mut request, times, alloc) {
            Some(rule) => println!("{row}: rule {rule}"),
            None => println!("{row}: none"),
        }
    }
}

/// A number that no rule has; rules have smaller ones.
const MISS: u32 = 0x00ff_fff0;

fn parse(args: &[String]) -> Option<(&str, u32, Vec<&str>, u32, bool)> {
    let [shape, count, rows, times, more @ ..] = args else {
        return None;
    };
    let count = count.parse().ok().filter(|n| (1..=MISS).contains(n))?;
    rule(shape, 0)?;
    let rows: Vec<&str> = rows.split(',').collect();
    let known = |row: &&str| ["first", "last", "miss"].contains(row);
    if !rows.iter().all(known) {
        return None;
    }
    Some((shape, count, rows, times.parse().ok()?, more == ["alloc"]))
}
