//! What was found, for people and for programs.

use std::fmt;

use heptad_core::Unknown;
use serde_json::{Value, json};

use super::{Broken, Found, FrameFacts, Headers, Inspected, Known, Sender};

/// Longest value that is shown to people, bytes.
const SHOWN: usize = 120;
/// Width of the columns with labels.
const LABEL: usize = 10;

impl Sender {
    /// `requests` or `replies`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "requests",
            Self::Server => "replies",
        }
    }
}

impl fmt::Display for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sender, at, len, found } = self;
        write!(f, "{:LABEL$}at {at}, {len} bytes: ", sender.as_str())?;
        match found {
            Found::Frame(facts) => facts.show(f),
            Found::Skipped => writeln!(f, "skipped, they belong to no frame"),
            Found::CutOff(wanted) => writeln!(f, "cut off, at least {wanted} were wanted"),
            Found::Broken(broken) => broken.show(f),
        }
    }
}

impl FrameFacts {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", kind(self))?;
        if self.id != 0 {
            write!(f, ", id {}", self.id)?;
        }
        if let Some(outcome) = self.outcome {
            write!(f, ", {outcome}")?;
        }
        if let Some(code) = &self.code {
            write!(f, ", code {code}")?;
        }
        writeln!(f)?;
        if let Some(fault) = &self.refused {
            let (outcome, reason) = (fault.outcome, fault.reason);
            writeln!(f, "{:LABEL$}refused   {} ({outcome}/{reason})", "", fault.text)?;
        }
        for (name, value) in [("service", &self.service), ("method", &self.method)] {
            match value {
                Ok(None) => {}
                Ok(Some(value)) => writeln!(f, "{:LABEL$}{name:LABEL$}{}", "", quoted(value))?,
                Err(Unknown) => writeln!(f, "{:LABEL$}{name:LABEL$}cannot be read", "")?,
            }
        }
        match &self.keys {
            Ok(keys) => {
                for key in keys {
                    writeln!(f, "{:LABEL$}{:LABEL$}{}", "", "key", quoted(key))?;
                }
            }
            Err(Unknown) => writeln!(f, "{:LABEL$}{:LABEL$}cannot be told", "", "keys")?,
        }
        match &self.headers {
            Ok(headers) => {
                for (name, value) in headers {
                    let (name, value) = (name.escape_ascii(), quoted(value));
                    writeln!(f, "{:LABEL$}{:LABEL$}{name} = {value}", "", "header")?;
                }
                Ok(())
            }
            Err(Unknown) => writeln!(f, "{:LABEL$}{:LABEL$}cannot be read", "", "headers"),
        }
    }
}

impl Broken {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (outcome, reason) = (self.fault.outcome, self.fault.reason);
        writeln!(f, "not the protocol")?;
        writeln!(f, "{:LABEL$}byte {}: {} ({outcome}/{reason})", "", self.byte, self.fault.text)?;
        let (from, bytes) = &self.around;
        for (row, line) in bytes.chunks(16).enumerate() {
            let at = from + row * 16;
            let hex: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            let text: String = line.iter().map(|byte| printable(*byte)).collect();
            writeln!(f, "{:LABEL$}{at:08x}  {:47}  |{text}|", "", hex.join(" "))?;
            if let Some(column) = self.byte.checked_sub(at).filter(|column| *column < line.len()) {
                writeln!(f, "{:LABEL$}{:10}{:width$}^^", "", "", "", width = column * 3)?;
            }
        }
        Ok(())
    }
}

fn printable(byte: u8) -> char {
    if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '.' }
}

fn quoted(value: &[u8]) -> String {
    let shown = value.get(..SHOWN).unwrap_or(value);
    let more = if shown.len() < value.len() { "…" } else { "" };
    format!("\"{}\"{more}", plain(shown))
}

fn plain(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

fn kind(facts: &FrameFacts) -> String {
    format!("{:?}", facts.kind).to_lowercase()
}

impl Inspected {
    /// As JSON: `side`, `at`, `length`, and one of `frame`, `skipped`, `cut_off` and `broken`.
    pub fn to_json(&self) -> Value {
        let mut value = json!({
            "side": self.sender.as_str(), "at": self.at, "length": self.len,
        });
        let (name, found) = match &self.found {
            Found::Frame(facts) => ("frame", facts.to_json()),
            Found::Skipped => ("skipped", json!(true)),
            Found::CutOff(wanted) => ("cut_off", json!({ "wanted": wanted })),
            Found::Broken(broken) => ("broken", broken.to_json()),
        };
        value[name] = found;
        value
    }
}

impl FrameFacts {
    fn to_json(&self) -> Value {
        let texts = |all: &Vec<Vec<u8>>| all.iter().map(|one| plain(one)).collect::<Vec<_>>();
        let pairs = |all: &Headers| {
            all.iter().map(|(name, value)| [plain(name), plain(value)]).collect::<Vec<_>>()
        };
        json!({
            "kind": kind(self),
            "id": self.id,
            "service": known(&self.service),
            "method": known(&self.method),
            "keys": self.keys.as_ref().map_or(unknown(), |keys| json!(texts(keys))),
            "headers": self.headers.as_ref().map_or(unknown(), |all| json!(pairs(all))),
            "outcome": self.outcome.map(heptad_core::Outcome::as_str),
            "code": self.code,
            "refused": self.refused.map(|fault| json!({
                "outcome": fault.outcome.as_str(),
                "reason": fault.reason.as_str(),
                "text": fault.text,
            })),
        })
    }
}

impl Broken {
    fn to_json(&self) -> Value {
        let hex: String = self.around.1.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({
            "byte": self.byte,
            "outcome": self.fault.outcome.as_str(),
            "reason": self.fault.reason.as_str(),
            "text": self.fault.text,
            "around": { "at": self.around.0, "hex": hex },
        })
    }
}

/// Absent is null; what cannot be read is an object, so that no value is taken for it.
fn known(value: &Known) -> Value {
    match value {
        Ok(value) => json!(value.as_deref().map(plain)),
        Err(Unknown) => unknown(),
    }
}

fn unknown() -> Value {
    json!({ "unknown": true })
}
