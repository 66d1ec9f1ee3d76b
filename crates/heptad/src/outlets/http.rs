//! Batches to a collector by HTTP/1.1: one POST at a time, on a connection of its own.
//!
//! Small on purpose: it speaks to a collector in the neighbourhood, without TLS. What the collector
//! does not take now is tried again for a while; meanwhile the feeds fill up and drop.

use std::{
    fmt::Write as _,
    io::{self, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use heptad_core::Feed;

use super::Sink;

/// How long a record may wait for others.
const PAUSE: Duration = Duration::from_secs(1);
/// The time for one POST, from the connection to the status.
const DEADLINE: Duration = Duration::from_secs(5);
/// Pauses before a batch is tried again; after the last it is given up.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(5),
];
/// How long is slept at a time, before it is asked whether to end.
const NAP: Duration = Duration::from_millis(50);
/// The most that is read of an answer's head.
const HEAD: usize = 8 << 10;

pub(super) struct Post {
    url: Url,
    body: Vec<u8>,
    /// An error was logged, and nothing was taken since.
    failing: bool,
}

/// `http://host[:port][/path]`
#[derive(Debug, PartialEq, Eq)]
struct Url {
    /// As `connect` wants it.
    host: String,
    port: u16,
    /// As the header `Host` wants it.
    authority: String,
    path: String,
}

impl Url {
    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at_checked(at)?,
            None => (rest, ""),
        };
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '@' | '?' | '#');
        if authority.is_empty() || !rest.chars().all(plain) {
            return None;
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => {
                let (host, port) = v6.split_once(']')?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => authority.split_once(':').map_or((authority, None), |(h, p)| (h, Some(p))),
        };
        let port = port.map_or(Some(80), |port| port.parse().ok())?;
        // What the specification of OTLP says of a collector's base address.
        let path = match path.trim_end_matches('/') {
            path if path.ends_with("/v1/traces") => path.to_owned(),
            path => format!("{path}/v1/traces"),
        };
        if host.is_empty() {
            return None;
        }
        Some(Self { host: host.to_owned(), port, authority: authority.to_owned(), path })
    }
}

/// Why a batch was not taken.
enum Refused {
    /// It may be later.
    Later(String),
    /// Never.
    Never(String),
}

impl Post {
    pub(super) fn new(target: &str) -> Result<Self, String> {
        let url = Url::parse(target).ok_or_else(|| {
            format!("{target} is no address of a collector: expected http://host:port, without TLS")
        })?;
        Ok(Self { url, body: Vec::new(), failing: false })
    }

    fn post(&self) -> Result<(), Refused> {
        let later = |error: io::Error| Refused::Later(error.to_string());
        let end = Deadline::new();
        let mut stream = self.connect(&end).map_err(later)?;
        let Url { authority, path, .. } = &self.url;
        let mut head = String::new();
        let _ = write!(
            head,
            "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/x-protobuf\r\n\
             Content-Length: {}\r\nUser-Agent: heptad/{}\r\nConnection: close\r\n\r\n",
            self.body.len(),
            env!("CARGO_PKG_VERSION"),
        );
        send(&mut stream, head.as_bytes(), &end).map_err(later)?;
        send(&mut stream, &self.body, &end).map_err(later)?;
        let status = status(&mut stream, &end).map_err(later)?;
        match status {
            200..=299 => Ok(()),
            // What the specification of OTLP calls retryable.
            429 | 502 | 503 | 504 => Err(Refused::Later(format!("status {status}"))),
            _ => Err(Refused::Never(format!("status {status}"))),
        }
    }

    fn connect(&self, end: &Deadline) -> io::Result<TcpStream> {
        let mut why = io::Error::from(io::ErrorKind::NotFound);
        for address in (self.url.host.as_str(), self.url.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, end.left()?) {
                Ok(stream) => return Ok(stream),
                Err(error) => why = error,
            }
        }
        Err(why)
    }
}

impl Sink for Post {
    fn pause(&self) -> Duration {
        PAUSE
    }

    fn take(&mut self, feed: &Arc<Feed>, spans: &[u8], records: u64, last: &dyn Fn() -> bool) {
        self.body.clear();
        feed.render().batch(spans, &mut self.body);
        let collector = self.url.authority.clone();
        let mut pauses = PAUSES.iter();
        let mut ending = false;
        let why = loop {
            match self.post() {
                Ok(()) => {
                    if std::mem::take(&mut self.failing) {
                        tracing::info!(collector, "the collector takes records again");
                    }
                    return;
                }
                Err(Refused::Never(why)) => break why,
                Err(Refused::Later(why)) => match pauses.next() {
                    Some(pause) if !last() => nap(*pause, last),
                    // Told to end: one more time, and no more.
                    Some(_) if !std::mem::replace(&mut ending, true) => thread::sleep(NAP),
                    _ => break why,
                },
            }
        };
        feed.fail(records);
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(
                collector,
                why,
                "the collector does not take records; counting those that are lost"
            );
        }
    }
}

/// Sleeps, unless it is time to end.
fn nap(pause: Duration, last: &dyn Fn() -> bool) {
    let mut left = pause;
    while !left.is_zero() && !last() {
        let nap = left.min(NAP);
        thread::sleep(nap);
        left -= nap;
    }
}

/// Until when something must be done.
struct Deadline(Instant);

impl Deadline {
    #[allow(clippy::disallowed_methods, reason = "a thread of its own, on no request's way")]
    fn new() -> Self {
        Self(Instant::now() + DEADLINE)
    }

    #[allow(clippy::disallowed_methods, reason = "as above")]
    fn left(&self) -> io::Result<Duration> {
        let left = self.0.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

fn send(stream: &mut TcpStream, mut bytes: &[u8], end: &Deadline) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(end.left()?))?;
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The status of the answer. Its body says nothing that would change what is done.
fn status(stream: &mut TcpStream, end: &Deadline) -> io::Result<u16> {
    let mut head = Vec::new();
    let mut some = [0; 1024];
    loop {
        if let Some(line) =
            head.split(|byte| *byte == b'\n').next().filter(|l| l.len() < head.len())
        {
            let text = String::from_utf8_lossy(line);
            let status = text.split(' ').nth(1).and_then(|word| word.trim().parse().ok());
            return status.ok_or_else(|| io::Error::other("the answer is not HTTP"));
        }
        if head.len() > HEAD {
            return Err(io::Error::other("the answer is not HTTP"));
        }
        stream.set_read_timeout(Some(end.left()?))?;
        match stream.read(&mut some) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => head.extend_from_slice(some.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_collectors() {
        for (text, host, port, path) in [
            ("http://127.0.0.1:4318", "127.0.0.1", 4318, "/v1/traces"),
            ("http://collector/", "collector", 80, "/v1/traces"),
            ("http://[::1]:4318/base", "::1", 4318, "/base/v1/traces"),
            ("http://[::1]", "::1", 80, "/v1/traces"),
            ("http://c:1/v1/traces", "c", 1, "/v1/traces"),
        ] {
            let url = Url::parse(text).expect(text);
            assert_eq!((&*url.host, url.port, &*url.path), (host, port, path));
        }
        for bad in [
            "",
            "collector:4318",
            "https://c:1",
            "http://",
            "http://:1",
            "http://c:x",
            "http://c:1/a b",
            "http://c:1/a\r\nX: y",
            "http://user@c:1",
            "http://[::1",
        ] {
            assert_eq!(Url::parse(bad), None, "{bad}");
        }
    }
}
