//! `heptad codec`: what authors of codecs need, each command in a file of its own.

mod described;
mod test;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};

use crate::failed;

/// What can be done with codecs.
#[derive(Debug, Subcommand)]
pub(crate) enum Codec {
    /// Begin a codec
    New(New),
    /// Test a description on the samples in it, with the checks that every codec must pass
    #[command(
        after_help = "Exit code: 0 the description is good, 1 it is not, 2 it cannot be read"
    )]
    Test {
        /// The description
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// The protocol's name: one word in lower case
    name: String,
    /// Describe it in YAML instead of coding it
    #[arg(long)]
    described: bool,
    /// The folder to write into
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    into: PathBuf,
}

/// Does what the arguments say.
pub(crate) fn codec(what: &Codec) -> ExitCode {
    match what {
        Codec::New(new) if new.described => described::new(&new.name, &new.into),
        Codec::New(_) => failed("say --described"),
        Codec::Test { file } => test::test(file),
    }
}
