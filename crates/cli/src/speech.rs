//! What is spoken in captured bytes: the codec that was named, a description in a file, or whatever a
//! listener of a configuration speaks. It reads files, and knows nothing of what is done with them.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use heptad::{InspectError, Model, Registry, config::Node, description, protocol_name, spoken};

use crate::{FAILED, check, failed, style::Style};

/// One protocol, or those of a listener.
pub(crate) enum Speech {
    One(String, Option<Node>),
    /// A model, and the number of its listener.
    Listener(Model, usize),
}

/// What arguments say of it: a codec's name or the file of a description; or the file of a
/// configuration, and the name of its listener.
#[derive(Args, Debug)]
pub(crate) struct Named {
    /// The protocol, with its default options; or the file of a description
    #[arg(long, value_name = "NAME", required_unless_present = "config")]
    codec: Option<String>,
    /// Instead: a configuration, whose listener's codec and options are used
    #[arg(short, long, value_name = "FILE", conflicts_with = "codec")]
    config: Option<PathBuf>,
    /// The listener; the first one unless told
    #[arg(short, long, value_name = "NAME", requires = "config")]
    listener: Option<String>,
}

impl Speech {
    /// Reads what is named. After an error that was said the exit code.
    pub(crate) fn read(registry: &Registry, named: &Named) -> Result<Self, ExitCode> {
        let Some(file) = &named.config else {
            return Self::one(registry, named.codec.as_deref().unwrap_or_default());
        };
        let model = check::load(registry, file).map_err(|unusable| {
            unusable.show();
            ExitCode::from(FAILED)
        })?;
        let wanted = |one: &str| named.listener.as_deref().is_none_or(|name| name == one);
        match model.listeners.iter().position(|one| wanted(&one.name)) {
            Some(found) => Ok(Self::Listener(model, found)),
            None => Err(failed("there is no such listener in the file")),
        }
    }

    /// Whatever is no codec's name and could be a file's is one.
    fn one(registry: &Registry, name: &str) -> Result<Self, ExitCode> {
        let path = Path::new(name);
        let known = registry.codecs().any(|known| known == name);
        if known || !(path.extension().is_some() || path.is_file()) {
            return Ok(Self::One(name.to_owned(), None));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| failed(format!("cannot read {name}: {error}")))?;
        match description(name, &text) {
            Ok((codec, node)) => Ok(Self::One(codec.to_owned(), Some(node))),
            Err(problems) => {
                let style = Style::of(&std::io::stderr());
                eprint!("{}", problems.render(style.colours()));
                Err(ExitCode::from(FAILED))
            }
        }
    }

    fn all(&self) -> Vec<(&str, Option<&Node>)> {
        match self {
            Self::One(name, options) => vec![(name, options.as_ref())],
            Self::Listener(model, number) => {
                model.listeners.get(*number).map_or_else(Vec::new, |one| one.protocols().collect())
            }
        }
    }

    /// The codec of a connection whose client begins with these bytes, and its options.
    pub(crate) fn of(
        &self,
        registry: &Registry,
        bytes: &[u8],
    ) -> Result<(&str, Option<&Node>), InspectError> {
        let number = match self {
            Self::One(..) => 0,
            Self::Listener(model, number) => match model.listeners.get(*number) {
                Some(listener) => {
                    spoken(registry, listener, bytes).map_err(InspectError::Options)?
                }
                None => 0,
            },
        };
        Ok(self.all().get(number).copied().unwrap_or_default())
    }

    /// The protocols' names, as metrics have them.
    pub(crate) fn name(&self) -> String {
        let all = self.all();
        all.iter().map(|(name, node)| protocol_name(name, *node)).collect::<Vec<_>>().join("+")
    }

    /// Whether each connection may have another.
    pub(crate) fn is_several(&self) -> bool {
        self.all().len() > 1
    }
}
