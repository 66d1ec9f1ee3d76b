//! Which calls changed: for people, and as test tools read it.

use std::fmt::{self, Write as _};

use super::recording::Reply;

/// A call, then and now.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) session: u64,
    pub(super) call: u64,
    pub(super) name: String,
    /// None: nothing was recorded of its end.
    pub(super) was: Option<Reply>,
    /// `Ok(None)`: there is no reply to it.
    pub(super) now: Result<Option<Reply>, String>,
}

pub(super) struct Report {
    calls: Vec<Call>,
    /// The replies' bytes are compared.
    bytes: bool,
}

/// Calls that are shown of many that changed.
const SHOWN: usize = 100;

impl Report {
    pub(super) fn new(mut calls: Vec<Call>, bytes: bool) -> Self {
        calls.sort_by_key(|call| call.call);
        Self { calls, bytes }
    }

    /// Calls that were sent, or could not be and should have been answered.
    pub(super) fn tried(&self) -> usize {
        self.calls.iter().filter(|call| call.was.is_some() || call.now.is_ok()).count()
    }

    pub(super) fn changed(&self) -> usize {
        self.calls.iter().filter(|call| self.change(call).is_some()).count()
    }

    /// What is not as it was.
    fn change(&self, call: &Call) -> Option<String> {
        let was = call.was.as_ref()?;
        let now = match &call.now {
            Err(why) => return Some(why.clone()),
            Ok(now) => now.as_ref()?,
        };
        if (&was.outcome, &was.code) != (&now.outcome, &now.code) {
            return Some(format!("was {}, is {}", words(was), words(now)));
        }
        if self.bytes && was.bytes != now.bytes {
            let same = was.bytes.iter().zip(&now.bytes).take_while(|(a, b)| a == b).count();
            return Some(format!(
                "{}, but other bytes from byte {same} on: {} were {}",
                words(now),
                shown(&now.bytes, same),
                shown(&was.bytes, same)
            ));
        }
        None
    }

    /// As JUnit's XML.
    pub(super) fn to_junit(&self, to: &str) -> String {
        let mut cases = String::new();
        for call in &self.calls {
            let name = escaped(&format!("{} #{}", call.name, call.call));
            let class = format!("session-{}", call.session);
            let _ = match self.change(call) {
                None => writeln!(cases, r#"  <testcase classname="{class}" name="{name}"/>"#),
                Some(change) => writeln!(
                    cases,
                    "  <testcase classname=\"{class}\" name=\"{name}\">\n    \
                     <failure message=\"{}\"/>\n  </testcase>",
                    escaped(&change)
                ),
            };
        }
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuite name=\"heptad replay to {}\" tests=\"{}\" failures=\"{}\">\n\
             {cases}</testsuite>\n",
            escaped(to),
            self.tried(),
            self.changed()
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changed: Vec<_> =
            self.calls.iter().filter_map(|call| Some((call, self.change(call)?))).collect();
        for (call, change) in changed.iter().take(SHOWN) {
            writeln!(f, "#{}  {}  {change}", call.call, call.name)?;
        }
        if changed.len() > SHOWN {
            writeln!(f, "… and {} more", changed.len() - SHOWN)?;
        }
        let silent = |call: &&Call| call.was.is_some() && call.now == Ok(None);
        let silent = self.calls.iter().filter(silent).count();
        let unknown = self.calls.iter().filter(|call| call.was.is_none()).count();
        let (all, changed) = (self.calls.len(), changed.len());
        let same = all - changed - unknown;
        writeln!(f, "{all} calls: {same} as they were, {changed} changed")?;
        if silent > 0 {
            writeln!(f, "{silent} of them have no reply")?;
        }
        if unknown > 0 {
            writeln!(f, "of {unknown} no end was recorded")?;
        }
        Ok(())
    }
}

fn words(reply: &Reply) -> String {
    let space = if reply.code.is_empty() { "" } else { " " };
    format!("{}{space}{}", reply.outcome, reply.code)
}

/// Some bytes from there on.
fn shown(bytes: &[u8], from: usize) -> String {
    let rest = bytes.get(from..).unwrap_or_default();
    let few = rest.get(..24).unwrap_or(rest);
    let more = if few.len() < rest.len() { "…" } else { "" };
    format!("\"{}\"{more}", few.escape_ascii())
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            // XML has no way to say others.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(outcome: &str, code: &str, bytes: &[u8]) -> Reply {
        Reply { outcome: outcome.into(), code: code.into(), bytes: bytes.to_vec() }
    }

    fn call(number: u64, was: Option<Reply>, now: Result<Option<Reply>, String>) -> Call {
        Call { session: 1, call: number, name: "a<b>.\"GET\"".into(), was, now }
    }

    #[test]
    fn only_what_changed_is_reported() {
        let ok = reply("ok", "", b"+OK\r\n");
        let bad = reply("app_error", "WRONGTYPE", b"-WRONGTYPE\r\n");
        let other = reply("ok", "", b"+OH\r\n");
        let all = || {
            vec![
                call(1, Some(ok.clone()), Ok(Some(ok.clone()))),
                call(2, Some(ok.clone()), Ok(Some(bad.clone()))),
                call(3, Some(ok.clone()), Ok(Some(other.clone()))),
                call(4, Some(ok.clone()), Err("no reply in time".into())),
                call(5, Some(reply("ok", "", b"")), Ok(None)),
                call(6, None, Ok(None)),
            ]
        };
        let report = Report::new(all(), false);
        assert_eq!((report.tried(), report.changed()), (6, 2));
        let text = report.to_string();
        assert!(text.contains("was ok, is app_error WRONGTYPE"), "{text}");
        assert!(text.contains("6 calls: 3 as they were, 2 changed\n"), "{text}");
        assert!(text.contains("1 of them have no reply\nof 1 no end was recorded\n"), "{text}");
        // Nobody knows what should have come of it, but it should have been sent.
        let report = Report::new(vec![call(1, None, Err("not connected".into()))], false);
        assert_eq!((report.tried(), report.changed()), (0, 0));
        let report = Report::new(all(), true);
        assert_eq!(report.changed(), 3);
        let text = report.to_string();
        assert!(text.contains(r#"from byte 2 on: "H\r\n" were "K\r\n""#), "{text}");
        let junit = report.to_junit("host:1");
        assert!(junit.contains(r#"tests="6" failures="3""#), "{junit}");
        assert!(junit.contains("a&lt;b&gt;.&quot;GET&quot; #2"), "{junit}");
    }
}
