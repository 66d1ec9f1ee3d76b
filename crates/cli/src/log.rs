//! Logs to stderr, with a level that can be changed while the program runs.

use std::{io::IsTerminal as _, sync::Arc};

use heptad::SetLog;
use tracing_subscriber::{
    EnvFilter, fmt, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

/// Starts logging at a level and gives the way to change it.
pub(crate) fn start(level: &str) -> Result<SetLog, String> {
    let (filter, handle) = reload::Layer::new(parse(level)?);
    let colours = crate::style::Style::of(&std::io::stderr()).colours();
    let layer = fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    // People read a terminal; elsewhere the target tells a program what it reads.
    let layer = layer.with_target(!std::io::stderr().is_terminal());
    tracing_subscriber::registry()
        .with(filter)
        .with(layer)
        .try_init()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(move |level| {
        let filter = parse(level)?;
        handle.reload(filter).map_err(|error| error.to_string())
    }))
}

fn parse(level: &str) -> Result<EnvFilter, String> {
    // A bare word that is no level would be taken for the name of a module.
    let words = ["off", "error", "warn", "info", "debug", "trace"];
    let directives = level.split(',').map(str::trim);
    for bare in directives.filter(|directive| !directive.contains('=')) {
        if !words.contains(&bare.to_ascii_lowercase().as_str()) {
            return Err(format!(
                "\"{bare}\" is not a log level: use {} or module=level",
                words.join(", ")
            ));
        }
    }
    EnvFilter::try_new(level).map_err(|error| format!("\"{level}\": {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_told_from_rubbish() {
        for good in ["debug", "INFO", "off", "info,heptad_net=debug", "heptad=trace"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["", "verbose", "info,loud", "heptad=loud"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
