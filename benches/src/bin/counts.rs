//! Repeats each case so many times, for callgrind: all repetitions of one case are one call of
//! `counted`, after which callgrind writes what was counted. Prints the names in that order. With
//! the name of a case, only that one.
#![forbid(unsafe_code)]

use std::process::exit;

use heptad_benches::cases;

#[inline(never)]
fn counted(step: &mut dyn FnMut(), times: u32) {
    for _ in 0..times {
        step();
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (Some(times), only) = (args.first().and_then(|n| n.parse().ok()), args.get(1)) else {
        eprintln!("usage: counts TIMES [CASE]");
        exit(2);
    };
    for mut case in cases() {
        if only.is_none_or(|only| *only == case.name) {
            // Once ahead, so that what is made at the first use is not counted.
            (case.step)();
            counted(&mut *case.step, times);
            println!("{}", case.name);
        }
    }
}
