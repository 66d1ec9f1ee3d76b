//! `heptad explain`: the question from the arguments, the answer on stdout.

use std::{io::Write as _, process::ExitCode};

use heptad::{Question, Registry, core::Attr, engine::Peer};

use crate::{
    FAILED, WRONG,
    args::{Explain, Format},
    bytes::{digits, read},
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
