//! The lines of `/tap`, by HTTP/1.0: their end is the connection's.

use std::{
    io::{self, BufRead as _, BufReader, Lines as ReadLines, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// The router says something each second, if only an empty line.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Lines(ReadLines<BufReader<TcpStream>>);

impl Lines {
    /// Asks for a tap; the error is the router's.
    pub(super) fn open(admin: SocketAddr, query: &[(&str, String)]) -> Result<Self, String> {
        let failed = |error: io::Error| format!("the admin server at {admin}: {error}");
        let mut stream = TcpStream::connect_timeout(&admin, PATIENCE).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        let query: Vec<_> =
            query.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        write!(stream, "GET /tap?{} HTTP/1.0\r\nHost: {admin}\r\n\r\n", query.join("&"))
            .map_err(failed)?;
        let mut reader = BufReader::new(stream);
        let mut status = String::new();
        reader.read_line(&mut status).map_err(failed)?;
        let mut line = String::new();
        while reader.read_line(&mut line).map_err(failed)? > 0 && !line.trim_end().is_empty() {
            line.clear();
        }
        if status.split_whitespace().nth(1) != Some("200") {
            let mut why = String::new();
            reader.read_to_string(&mut why).map_err(failed)?;
            let why = if why.is_empty() { status } else { why };
            return Err(format!("the admin server at {admin} says: {}", why.trim_end()));
        }
        Ok(Self(reader.lines()))
    }
}

impl Iterator for Lines {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<io::Result<String>> {
        self.0.next()
    }
}

/// A value of a query.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
