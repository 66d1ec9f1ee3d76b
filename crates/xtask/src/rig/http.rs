//! As much HTTP as the admin address needs, and a look into a metrics page.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

/// The status and body of `GET path` on a loopback port.
pub(crate) fn get(port: u16, path: &str) -> Result<(u16, String), String> {
    let fail = |e: std::io::Error| format!("GET {path}: {e}");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(fail)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(fail)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .map_err(fail)?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).map_err(fail)?;
    let text = String::from_utf8_lossy(&text);
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no end of head")?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or("no status")?;
    Ok((status, body.to_owned()))
}

/// A `/metrics` page.
pub(crate) struct Metrics(pub(crate) String);

impl Metrics {
    /// Reads the page of an admin port.
    pub(crate) fn read(admin: u16) -> Result<Self, String> {
        match get(admin, "/metrics")? {
            (200, body) => Ok(Self(body)),
            (status, body) => Err(format!("/metrics: {status}\n{body}")),
        }
    }

    /// The sum of all series of a metric whose labels contain all of `labels` (as written:
    /// `outcome="bad_request"`).
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.0
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(series, _)| {
                let (base, rest) = series.split_at(series.find('{').unwrap_or(series.len()));
                base == name && labels.iter().all(|l| rest.contains(l))
            })
            .filter_map(|(_, value)| value.parse::<f64>().ok())
            .sum()
    }

    /// The samples that differ between two pages, for a failure's text.
    pub(crate) fn changed(&self, before: &Metrics) -> String {
        let old: std::collections::HashSet<&str> = before.0.lines().collect();
        let new: Vec<&str> = self.0.lines().filter(|l| !old.contains(l)).take(30).collect();
        new.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_matching_series_only() {
        let page = Metrics(
            "# TYPE a counter\na_total{x=\"1\",y=\"2\"} 3\na_total{x=\"1\"} 4\na_total_b 9\nb 1\n"
                .into(),
        );
        assert_eq!(page.sum("a_total", &["x=\"1\""]), 7.0);
        assert_eq!(page.sum("a_total", &["y=\"2\""]), 3.0);
        assert_eq!(page.sum("b", &[]), 1.0);
    }
}
