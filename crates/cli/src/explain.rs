//! `heptad explain`: the question from the arguments, the answer on stdout.

use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::ExitCode,
};

use heptad::{Question, Registry, core::Attr, engine::Peer};

use crate::{
    FAILED, WRONG,
    args::{Explain, Format},
    check::{self, Unusable},
    failed,
};

pub(crate) fn explain(registry: &Registry, args: &Explain) -> ExitCode {
    let model = match check::load(registry, &args.file.config) {
        Ok(model) => model,
        Err(Unusable::Unread(why)) => return failed(why),
        Err(bad @ Unusable::Bad(_)) => {
            bad.show();
            return ExitCode::from(FAILED);
        }
    };
    let listener = match (&args.listener, &model.listeners[..]) {
        (Some(name), _) => name,
        (None, [one]) => &one.name,
        (None, several) => {
            let known: Vec<_> = several.iter().map(|one| &*one.name).collect();
            return failed(format!("say which --listener: {}", known.join(", ")));
        }
    };
    let question = match question(args) {
        Ok(question) => question,
        Err(why) => return failed(why),
    };
    let explanation = match heptad::explain(registry, &model, listener, &question) {
        Ok(explanation) => explanation,
        Err(error) => return failed(error),
    };
    let text = match args.format {
        Format::Text => explanation.to_string(),
        Format::Json => {
            serde_json::to_string_pretty(&explanation.to_json()).unwrap_or_default() + "\n"
        }
    };
    if let Err(error) = std::io::stdout().write_all(text.as_bytes()) {
        return failed(error);
    }
    match (explanation.is_cut_off(), explanation.is_refused()) {
        (true, _) => ExitCode::from(FAILED),
        (false, true) => ExitCode::from(WRONG),
        (false, false) => ExitCode::SUCCESS,
    }
}

fn question(args: &Explain) -> Result<Question, String> {
    let mut question = Question::new();
    let plain =
        [(Attr::Service, &args.service), (Attr::Method, &args.method), (Attr::Key, &args.key)];
    for (attr, text) in plain {
        if let Some(text) = text {
            question = question.with(attr, text.as_str());
        }
    }
    for (name, text) in &args.header {
        question = question.with(Attr::Header(name.as_str().into()), text.as_str());
    }
    for (number, text) in &args.arg {
        question = question.with(Attr::Arg(*number), text.as_str());
    }
    if let Some(file) = &args.frame {
        let bytes =
            read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let bytes = if args.hex { digits(&bytes)? } else { bytes };
        question = question.frames(bytes);
    }
    let mut peer = match args.source {
        Some(ip) => Peer::ip(ip, args.source_port),
        None => Peer::local(),
    };
    peer.principal = args.principal.as_deref().map(Into::into);
    Ok(question.from(peer).port(args.port))
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return std::fs::read(file);
    }
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Bytes from pairs of hexadecimal digits.
fn digits(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut half = None;
    let mut bytes = Vec::new();
    for c in text.iter().filter(|c| !c.is_ascii_whitespace()) {
        let digit = char::from(*c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let digit =
            digit.ok_or_else(|| format!("'{}' is not a hexadecimal digit", c.escape_ascii()))?;
        match half.take() {
            None => half = Some(digit),
            Some(high) => bytes.push(high << 4 | digit),
        }
    }
    match half {
        None => Ok(bytes),
        Some(_) => Err("an odd number of hexadecimal digits".to_owned()),
    }
}
