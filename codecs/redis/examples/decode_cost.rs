//! Decoding to be counted: `decode_cost <what> <times>`.
//!
//! What: `get` and `set` (one command in a read), `pipeline` (sixteen `GET`s in one read), `value`
//! and `values` (one reply, and sixteen in one read). Everything is decoded once before, then
//! `times` times in a function of its own, for
//! `valgrind --tool=callgrind --toggle-collect=decode_cost::requests` or `…::replies`. Divide the
//! count by the frames that are printed.
#![forbid(unsafe_code)]

use std::{env, hint::black_box, process::exit};

use heptad_core::{Asked, Codec, Ctx, Flavour, Side, Step};
use heptad_redis::{Conn, Redis, RedisOptions, RedisUpstream, Tag};

struct Plain;

impl Asked<Tag> for Plain {
    fn tag(&self, _: u64) -> Option<Tag> {
        Some(Tag::default())
    }
}

#[inline(never)]
fn requests(codec: &Redis, conn: &mut Conn, bytes: &[u8], times: u32) -> u32 {
    let (cx, mut frames) = (Ctx::default(), 0);
    for _ in 0..times {
        let mut rest = black_box(bytes);
        while let Ok(Step::Frame(meta, tag)) = codec.decode_request(conn, &cx, rest) {
            black_box(tag);
            rest = rest.get(meta.len as usize..).unwrap_or_default();
            frames += 1;
            if rest.is_empty() {
                break;
            }
        }
    }
    frames
}

#[inline(never)]
fn replies(codec: &Redis, conn: &mut Conn, bytes: &[u8], times: u32) -> u32 {
    let (cx, mut frames) = (Ctx::default(), 0);
    for _ in 0..times {
        let mut rest = black_box(bytes);
        while let Ok(Step::Frame(meta, ())) = codec.decode_reply(conn, &Plain, &cx, rest) {
            rest = rest.get(meta.len as usize..).unwrap_or_default();
            frames += 1;
            if rest.is_empty() {
                break;
            }
        }
    }
    frames
}

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (what, times) = match args[..] {
        [what, times] => (what, times.parse().unwrap_or(0)),
        _ => ("", 0),
    };
    let get = b"*2\r\n$3\r\nGET\r\n$12\r\nuser:1000042\r\n";
    let set = b"*3\r\n$3\r\nSET\r\n$12\r\nuser:1000042\r\n$16\r\n0123456789abcdef\r\n";
    let value = b"$16\r\n0123456789abcdef\r\n";
    let (bytes, from_client) = match what {
        "get" => (get.to_vec(), true),
        "set" => (set.to_vec(), true),
        "pipeline" => (get.repeat(16), true),
        "value" => (value.to_vec(), false),
        "values" => (value.repeat(16), false),
        _ => {
            eprintln!("usage: decode_cost get|set|pipeline|value|values <times>");
            exit(2);
        }
    };
    let Ok(codec) = Redis::new(&RedisOptions::default()) else {
        exit(1);
    };
    let frames = if from_client {
        let mut conn = codec.open(Side::Session, Flavour::default());
        requests(&codec, &mut conn, &bytes, times)
    } else {
        let mut conn = codec.open(Side::Link(&RedisUpstream::default()), Flavour::default());
        replies(&codec, &mut conn, &bytes, times)
    };
    println!("{what}: {frames} frames");
}
