//! `heptad tap` and `heptad record`: what the admin server of a running router says of frames that
//! pass, as lines, as a capture or as a recording.

mod pcap;
mod stream;

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    args::{Look, Record, Tap, TapFormat},
    bytes::digits,
    failed,
};
use stream::Lines;

/// Bytes of a frame that a line shows.
const SHOWN: usize = 64;

pub(crate) fn tap(args: &Tap) -> ExitCode {
    let out = match sink(args.output.as_deref()) {
        Ok(out) => out,
        Err(error) => return failed(error),
    };
    let done = match args.format {
        TapFormat::Lines => follow(&args.look, &mut TextLines(out)),
        TapFormat::Json => follow(&args.look, &mut Recording { out, requests: 0, frames: false }),
        TapFormat::Pcap => follow(&args.look, &mut pcap::Capture::new(out)),
    };
    end(done)
}

pub(crate) fn record(args: &Record) -> ExitCode {
    let out = match sink(Some(&args.output)) {
        Ok(out) => out,
        Err(error) => return failed(error),
    };
    let mut recording = Recording { out, requests: 0, frames: true };
    let done = follow(&args.look, &mut recording);
    if done.is_ok() {
        eprintln!("recorded {} requests in {}", recording.requests, args.output.display());
    }
    end(done)
}

fn end(done: Result<(), String>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => failed(why),
    }
}

fn sink(file: Option<&Path>) -> Result<Box<dyn Write>, String> {
    match file {
        None => Ok(Box::new(io::stdout())),
        Some(file) => match File::create(file) {
            Ok(file) => Ok(Box::new(io::BufWriter::new(file))),
            Err(error) => Err(format!("cannot write {}: {error}", file.display())),
        },
    }
}

/// What becomes of the lines of a tap.
trait Taker {
    /// The first line: which listener, and whether there are frames.
    fn begin(&mut self, begin: &Value) -> Result<(), String>;
    /// A request or a reply.
    fn frame(&mut self, frame: &Value) -> io::Result<()>;
    /// Everything was said.
    fn end(&mut self) -> io::Result<()>;
}

/// Follows a tap until enough was seen, or the router ends.
#[allow(clippy::disallowed_methods, reason = "it runs as long as somebody said")]
fn follow(look: &Look, taker: &mut dyn Taker) -> Result<(), String> {
    let mut query = vec![];
    query.extend(look.listener.as_ref().map(|name| ("listener", name.clone())));
    query.extend(look.matches.as_ref().map(|text| ("match", text.clone())));
    query.extend(look.percent.map(|percent| ("percent", percent.to_string())));
    let lines = Lines::open(look.admin, &query)?;
    let until = look.seconds.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds));
    let broken = |error: io::Error| format!("the router's answer broke off: {error}");
    let cannot = |error: io::Error| format!("cannot write: {error}");
    let (mut begun, mut requests, mut replies) = (false, 0, 0);
    for line in lines {
        let line = line.map_err(broken)?;
        let over = until.is_some_and(|until| Instant::now() >= until);
        if over {
            break;
        }
        // The router says nothing in particular now and then.
        if line.is_empty() {
            taker.end().map_err(cannot)?;
            continue;
        }
        let value: Value = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        if !begun {
            begun = true;
            taker.begin(&value)?;
            eprintln!("tapping {}", value["listener"].as_str().unwrap_or_default());
            continue;
        }
        if let Some(dropped) = value["dropped"].as_u64() {
            eprintln!("heptad: {dropped} frames came too fast and were dropped");
            continue;
        }
        let reply = value["side"] == "reply";
        if look.count.is_some_and(|count| !reply && requests >= count) {
            continue;
        }
        requests += u64::from(!reply);
        replies += u64::from(reply);
        taker.frame(&value).map_err(cannot)?;
        if look.count.is_some_and(|count| requests >= count && replies >= count) {
            break;
        }
    }
    taker.end().map_err(cannot)
}

/// One line for people.
struct TextLines(Box<dyn Write>);

impl Taker for TextLines {
    fn begin(&mut self, _: &Value) -> Result<(), String> {
        Ok(())
    }

    fn frame(&mut self, frame: &Value) -> io::Result<()> {
        let text = |name: &str| frame[name].as_str().unwrap_or_default();
        let nanos = frame["nanos"].as_u64().unwrap_or(0);
        let time = std::time::UNIX_EPOCH + Duration::from_nanos(nanos);
        let time = humantime::format_rfc3339_micros(time);
        let peer = frame["peer"].as_str().unwrap_or("unix");
        let (call, len) = (&frame["call"], &frame["length"]);
        let what = if frame["side"] == "reply" {
            let code = text("code");
            let reason = text("reason");
            let more =
                [reason, code].into_iter().filter(|word| !word.is_empty() && *word != "none");
            let more: String = more.map(|word| format!(" {word}")).collect();
            format!("reply    {}{more}", text("outcome"))
        } else {
            let dot = if text("service").is_empty() { "" } else { "." };
            format!("request  {}{dot}{}", text("service"), text("method"))
        };
        let bytes = digits(text("hex").as_bytes()).unwrap_or_default();
        let shown = bytes.get(..SHOWN).unwrap_or(&bytes).escape_ascii();
        let more = if bytes.len() > SHOWN { "…" } else { "" };
        writeln!(self.0, "{time}  {peer}  #{call}  {what}  {len} B  {shown}{more}")
    }

    fn end(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The lines as they came.
struct Recording {
    out: Box<dyn Write>,
    requests: u64,
    /// Without frames it would be of no use.
    frames: bool,
}

impl Taker for Recording {
    fn begin(&mut self, begin: &Value) -> Result<(), String> {
        if self.frames {
            has_frames(begin)?;
        }
        writeln!(self.out, "{begin}").map_err(|error| format!("cannot write: {error}"))
    }

    fn frame(&mut self, frame: &Value) -> io::Result<()> {
        self.requests += u64::from(frame["side"] == "request");
        writeln!(self.out, "{frame}")
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Whether the first line of a tap promises frames.
fn has_frames(begin: &Value) -> Result<(), String> {
    match begin["frames"].as_bool() {
        Some(true) => Ok(()),
        _ => Err("the router shows no frames: its `admin.tap` is not `full`".to_owned()),
    }
}
