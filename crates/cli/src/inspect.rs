//! `heptad inspect`: captured bytes in, frames out. Here are files and formats; what the bytes mean
//! [`heptad::inspect`] says.

mod pcap;
mod tcp;

use std::{io::Write as _, path::Path, process::ExitCode};

use heptad::{Found, Inspected, Piece, Registry, Sender, protocol_name};
use serde_json::{Value, json};

use crate::{
    WRONG,
    args::Inspect,
    bytes::{digits, read},
    failed,
    speech::Speech,
};

/// What was said on one connection.
pub(crate) struct Talk {
    /// The client's address and the server's, where they are known.
    pub(crate) between: Option<(String, String)>,
    pub(crate) pieces: Vec<Piece>,
    /// Bytes that are missing, by whose they are, behind how many others.
    pub(crate) gaps: Vec<(Sender, usize)>,
}

/// A connection that was taken apart.
struct Heard {
    talk: Talk,
    /// The protocol's.
    name: String,
    found: Vec<Inspected>,
}

/// More first bytes than any protocol needs to be recognized.
const RECOGNIZED: usize = 4 << 10;

pub(crate) fn inspect(registry: &Registry, args: &Inspect) -> ExitCode {
    let talks = match talks(args) {
        Ok(talks) => talks,
        Err(why) => return failed(why),
    };
    let speech = match Speech::read(registry, &args.named) {
        Ok(speech) => speech,
        Err(code) => return code,
    };
    let mut all = Vec::new();
    for talk in talks {
        let requests = talk.pieces.iter().filter(|piece| piece.sender == Sender::Client);
        let requests: Vec<u8> =
            requests.flat_map(|piece| &piece.bytes).take(RECOGNIZED).copied().collect();
        let found = speech.of(registry, &requests).and_then(|(codec, options)| {
            let name = protocol_name(codec, options).to_owned();
            Ok((name, heptad::inspect(registry, codec, options, &talk.pieces)?))
        });
        match found {
            Ok((name, found)) => all.push(Heard { talk, name, found }),
            Err(error) => return failed(error),
        }
    }
    let text = if args.json {
        let all: Vec<_> = all.iter().map(to_json).collect();
        serde_json::to_string_pretty(&json!({ "codec": speech.name(), "connections": all }))
            .unwrap_or_default()
            + "\n"
    } else {
        all.iter().map(|heard| to_text(heard, speech.is_several())).collect()
    };
    if let Err(error) = std::io::stdout().write_all(text.as_bytes()) {
        return failed(error);
    }
    let sound = |one: &Inspected| matches!(one.found, Found::Frame(_) | Found::Skipped);
    let whole = all.iter().all(|heard| heard.talk.gaps.is_empty() && heard.found.iter().all(sound));
    let any = all.iter().any(|heard| !heard.found.is_empty());
    if whole && any { ExitCode::SUCCESS } else { ExitCode::from(WRONG) }
}

/// What the files say.
fn talks(args: &Inspect) -> Result<Vec<Talk>, String> {
    let bytes = load(&args.file, args.hex)?;
    if pcap::is_pcap(&bytes) && !args.hex {
        return pcap::talks(&bytes, args.port);
    }
    let sender = if args.server { Sender::Server } else { Sender::Client };
    let mut pieces = vec![Piece::new(sender, bytes)];
    if let Some(replies) = &args.replies {
        pieces.push(Piece::new(Sender::Server, load(replies, args.hex)?));
    }
    Ok(vec![Talk { between: None, pieces, gaps: Vec::new() }])
}

fn load(file: &Path, hex: bool) -> Result<Vec<u8>, String> {
    let bytes = read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    if hex { digits(&bytes) } else { Ok(bytes) }
}

fn to_text(Heard { talk, name, found }: &Heard, several: bool) -> String {
    let mut text = String::new();
    if let Some((client, server)) = &talk.between {
        text += &format!("connection of {client} to {server}\n");
    }
    if several {
        text += &format!("spoken is {name}\n");
    }
    for one in found {
        text += &one.to_string();
    }
    for (sender, at) in &talk.gaps {
        text += &format!("{:10}at {at}: the capture lacks bytes\n", sender.as_str());
    }
    if found.is_empty() {
        text += "there is no frame in it\n";
    }
    text
}

fn to_json(Heard { talk, name, found }: &Heard) -> Value {
    let gaps: Vec<_> =
        talk.gaps.iter().map(|(sender, at)| json!({ "side": sender.as_str(), "at": at })).collect();
    json!({
        "codec": name,
        "client": talk.between.as_ref().map(|(client, _)| client),
        "server": talk.between.as_ref().map(|(_, server)| server),
        "found": found.iter().map(Inspected::to_json).collect::<Vec<_>>(),
        "gaps": gaps,
    })
}
