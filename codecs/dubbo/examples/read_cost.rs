//! Reading to be counted: `read_cost <what> <times>`.
//!
//! What: `decode` (a request's prefix), `attributes` (service, method and one attachment of it, as
//! rules ask), `large` (the same of a request with 16 KiB of text), `reply`. Everything is done once
//! before, then `times` times in a function of its own, for
//! `valgrind --tool=callgrind --toggle-collect=read_cost::reads`.
#![forbid(unsafe_code)]

use std::{env, hint::black_box, process::exit};

use heptad_core::{Asked, Codec, Ctx, Flavour, NoOptions, Side, Step};
use heptad_dubbo::{
    Conn, Dubbo, Tag,
    wire::{self, Value},
};

struct Nothing;

impl Asked<Tag> for Nothing {
    fn tag(&self, _: u64) -> Option<Tag> {
        None
    }
}

#[inline(never)]
fn reads(conn: &mut Conn, what: &str, bytes: &[u8], scratch: &mut Vec<u8>, times: u32) -> u32 {
    let (codec, cx, mut done) = (Dubbo::default(), Ctx::default(), 0);
    for _ in 0..times {
        let frame = black_box(bytes);
        if what == "reply" {
            let step = codec.decode_reply(conn, &Nothing, &cx, frame);
            done += u32::from(matches!(step, Ok(Step::Frame(..))));
            continue;
        }
        let Ok(Step::Frame(meta, _)) = codec.decode_request(conn, &cx, frame) else {
            continue;
        };
        done += 1;
        if what == "decode" {
            continue;
        }
        scratch.clear();
        done += u32::from(codec.service(conn, &meta, frame, scratch).is_err());
        done += u32::from(codec.method(conn, &meta, frame, scratch).is_err());
        done += u32::from(codec.header(conn, &meta, frame, "user", scratch).is_err());
    }
    done
}

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (what, times) = match args[..] {
        [what @ ("decode" | "attributes" | "large" | "reply"), times] => (what, times),
        _ => {
            eprintln!("usage: read_cost decode|attributes|large|reply <times>");
            exit(2);
        }
    };
    let times = times.parse().unwrap_or(0);
    let book = vec![("title".to_owned(), "sonnets".into()), ("pages".to_owned(), Value::Int(154))];
    let book = Value::Object("com.example.Book".to_owned(), book);
    let text = "x".repeat(if what == "large" { 16 << 10 } else { 20 });
    let attachments =
        [("interface", "com.example.Reviews"), ("version", "1.0.0"), ("user", "anna")];
    let types = "Lcom/example/Book;Ljava/lang/String;";
    let said = [book, Value::Text(text)];
    let request =
        wire::request(1, "com.example.Reviews", "1.0.0", "list", types, &said, &attachments);
    let reply = wire::reply(1, Ok("five stars".into()));
    let bytes = if what == "reply" { reply } else { request };
    let codec = Dubbo::default();
    let mut conn = match what {
        "reply" => codec.open(Side::Link(&NoOptions::default()), Flavour::default()),
        _ => codec.open(Side::Session, Flavour::default()),
    };
    let mut scratch = Vec::new();
    if reads(&mut conn, what, &bytes, &mut scratch, 1) != 1 {
        eprintln!("read_cost: the bytes are not what was meant");
        exit(1);
    }
    println!("{} of {} bytes", reads(&mut conn, what, &bytes, &mut scratch, times), bytes.len());
}
