//! A tap on a running listener, as a program that runs the router reads it: what the engine's
//! workers have copied, as records of its own, with the time of the wall.

use std::{
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use heptad_core::{Feed, Outcome, Reason, Render, Time, Wall};
use heptad_engine::{Tap, TapRecord, Tapped};
use heptad_route::Expr;
use serde_json::{Value, json};

/// What is taken from a listener.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TapOptions {
    /// Which requests; their replies come with them.
    pub when: Expr,
    /// How many of a hundred of those.
    pub percent: f64,
    /// Whether the frames themselves are copied.
    pub frames: bool,
    /// Bytes that each worker may keep until they are read; what has no room is dropped.
    pub buffer: usize,
}

impl Default for TapOptions {
    /// Everything, and 4 MiB for each worker.
    fn default() -> Self {
        Self { when: Expr::All(Vec::new()), percent: 100.0, frames: true, buffer: 4 << 20 }
    }
}

/// Why a tap could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TapError {
    /// There is no such listener.
    #[error("there is no listener {name}")]
    NoListener {
        /// What was asked for.
        name: String,
    },
    /// Somebody else looks.
    #[error("the listener is tapped already")]
    Open,
}

/// An open tap. It is closed when this is dropped.
pub struct Tapping {
    tap: Arc<Tap>,
    feed: Arc<Feed>,
    clock: Arc<dyn Fn() -> Time + Send + Sync>,
    scratch: Vec<u8>,
}

impl fmt::Debug for Tapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tapping").field("feed", &self.feed).finish_non_exhaustive()
    }
}

impl Drop for Tapping {
    fn drop(&mut self) {
        self.tap.close();
    }
}

/// A request, or what its client got for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TapFrame {
    /// Whether it is the reply, or what came in its place.
    pub reply: bool,
    /// Nanoseconds since the Unix epoch.
    pub nanos: u64,
    /// What a request and its reply have in common.
    pub call: u64,
    /// What all calls of a client's connection have in common, as far as one worker is concerned.
    pub session: u64,
    /// The client's address and port; none for Unix sockets.
    pub peer: Option<(IpAddr, u16)>,
    /// Of requests.
    pub service: String,
    /// Of requests.
    pub method: String,
    /// Of replies.
    pub outcome: Outcome,
    /// Of replies.
    pub reason: Reason,
    /// Of replies.
    pub code: String,
    /// Length of the frame.
    pub len: u32,
    /// The frame; empty if frames are not copied.
    pub frame: Vec<u8>,
}

struct Plain;

impl Render for Plain {
    fn record(&self, record: &[u8], _: Wall, out: &mut Vec<u8>) {
        out.extend_from_slice(record);
    }
}

impl Tapping {
    pub(crate) fn open(
        tap: Arc<Tap>,
        wanted: TapOptions,
        clock: Arc<dyn Fn() -> Time + Send + Sync>,
    ) -> Result<Self, TapError> {
        let feed = Feed::new("tap", "", wanted.buffer, Plain);
        let what = Tapped::new(feed.clone()).when(wanted.when);
        let what = what.percent(wanted.percent).frames(wanted.frames);
        if !tap.open(what) {
            return Err(TapError::Open);
        }
        Ok(Self { tap, feed, clock, scratch: Vec::new() })
    }

    /// Calls `each` with everything that was copied since the last time, in order for each worker.
    #[allow(clippy::disallowed_methods, reason = "records are shown with the time of the wall")]
    pub fn read(&mut self, each: &mut dyn FnMut(TapFrame)) {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Wall::pair((self.clock)(), u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX));
        self.feed.read(&mut self.scratch, &mut |record| {
            if let Some(record) = TapRecord::read(record) {
                each(TapFrame::new(&record, wall));
            }
        });
    }

    /// Frames that had no room so far.
    pub fn dropped(&self) -> u64 {
        self.feed.dropped()
    }
}

impl TapFrame {
    fn new(record: &TapRecord<'_>, wall: Wall) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            reply: record.reply,
            nanos: wall.nanos(record.time),
            call: record.call,
            session: record.session,
            peer: record.ip.map(|ip| (ip, record.port)),
            service: text(record.service),
            method: text(record.method),
            outcome: record.outcome,
            reason: record.reason,
            code: text(record.code),
            len: record.len,
            frame: record.frame.to_vec(),
        }
    }

    /// As JSON, in one line: what recordings are made of.
    pub fn to_json(&self) -> Value {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let peer = self.peer.map(|(ip, port)| std::net::SocketAddr::new(ip, port).to_string());
        let mut value = json!({
            "side": if self.reply { "reply" } else { "request" },
            "nanos": self.nanos,
            "call": self.call,
            "session": self.session,
            "peer": peer,
            "length": self.len,
        });
        let more: &[(&str, &str)] = match self.reply {
            false => &[("service", &self.service), ("method", &self.method)],
            true => &[
                ("outcome", self.outcome.as_str()),
                ("reason", self.reason.as_str()),
                ("code", &self.code),
            ],
        };
        for (name, text) in more {
            value[*name] = json!(text);
        }
        if !self.frame.is_empty() {
            value["hex"] = json!(hex(&self.frame));
        }
        value
    }
}
