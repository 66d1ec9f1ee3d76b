//! Prints the requests among the frames on standard input, one JSON object on each line, as rules
//! see them: to be compared with what another decoder makes of the same bytes.
//!
//! What cannot be told is `null`; so are arguments and attachments that have no form for rules.

use std::io::{Read, Write};

use heptad_dubbo::{Call, Shown};
use serde_json::{Map, Value, json};

fn main() -> std::io::Result<()> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    let mut out = std::io::stdout().lock();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let Some((call, len)) = Call::read(rest) else {
            let at = bytes.len() - rest.len();
            return Err(std::io::Error::other(format!("no frame at byte {at}")));
        };
        if let Some(call) = call {
            writeln!(out, "{}", line(&call))?;
        }
        rest = &rest[len..];
    }
    Ok(())
}

fn line(call: &Call) -> Value {
    let attachments = call.attachments.as_ref().map(|all| {
        all.iter().map(|(name, value)| (name.clone(), shown(value))).collect::<Map<_, _>>()
    });
    json!({
        "service": call.service,
        "method": call.method,
        "version": call.version,
        "attachments": attachments,
        "args": call.args.as_ref().map(|args| args.iter().map(shown).collect::<Vec<_>>()),
    })
}

fn shown(value: &Shown) -> Value {
    match value {
        Shown::Text(text) => json!(text),
        Shown::Int(n) => json!(n),
        _ => Value::Null,
    }
}
