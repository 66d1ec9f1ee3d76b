//! `heptad check` and `heptad schema`, and how a configuration is read for everybody.

use std::{io::Write as _, path::Path, process::ExitCode};

use heptad::{Heptad, Model, Problem, Registry};

use crate::{WRONG, failed, style::Style};

/// Why there is no model.
pub(crate) enum Unusable {
    /// The file cannot be read.
    Unread(String),
    /// It was read and is wrong: the problems, as they are to be shown.
    Bad(String),
}

impl Unusable {
    /// Shows it on stderr.
    pub(crate) fn show(&self) -> ExitCode {
        match self {
            Self::Unread(why) => failed(why),
            Self::Bad(problems) => {
                eprint!("{problems}");
                ExitCode::from(WRONG)
            }
        }
    }
}

/// Reads and checks a file.
pub(crate) fn load(registry: &Registry, file: &Path) -> Result<Model, Unusable> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Unusable::Unread(format!("cannot read {name}: {error}")))?;
    let colours = Style::of(&std::io::stderr()).colours();
    let model =
        registry.load(&name, &text).map_err(|problems| Unusable::Bad(problems.render(colours)))?;
    Heptad::check(registry, &model).map_err(|Problem { span, message, cure, .. }| {
        Unusable::Bad(format!("{name}:{}:{}: {message} {cure}\n", span.line, span.column))
    })?;
    Ok(model)
}

pub(crate) fn check(registry: &Registry, file: &Path) -> ExitCode {
    match load(registry, file) {
        Ok(model) => {
            let style = Style::of(&std::io::stdout());
            println!("{} {}: {}", style.good("ok"), file.display(), summary(&model));
            ExitCode::SUCCESS
        }
        Err(unusable) => unusable.show(),
    }
}

/// What is in a model, in a line.
pub(crate) fn summary(model: &Model) -> String {
    let routes = model.listeners.iter().map(|listener| listener.routes.len()).sum();
    let endpoints = model.clusters.iter().map(|cluster| cluster.endpoints.len()).sum();
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    [
        count(model.listeners.len(), "listener"),
        count(routes, "route"),
        count(model.clusters.len(), "cluster"),
        count(endpoints, "endpoint"),
    ]
    .join(", ")
}

pub(crate) fn schema(registry: &Registry) -> ExitCode {
    let text = serde_json::to_string_pretty(&registry.schema()).unwrap_or_default();
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error),
    }
}
