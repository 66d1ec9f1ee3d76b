//! `heptad codec`: what authors of codecs need, each command in a file of its own.

mod coded;
mod described;
mod test;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use heptad::Registry;

/// What is done for an author.
#[derive(Debug, Subcommand)]
pub(crate) enum Codec {
    /// Write a crate with a codec, its tests, fuzz targets and bench, and a router that has it; or
    /// a description in YAML, which needs no code
    #[command(after_help = "Examples:\n  \
        heptad codec new telegraph\n  \
        heptad codec new telegraph --path ~/src/heptad   build against a checkout\n  \
        heptad codec new telegraph --described           describe it in telegraph.yaml\n\n\
        Exit code: 0 it is there, 1 the name or the folder will not do, 2 it cannot be written")]
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
    /// Name of the protocol, the crate and its folder: lower-case letters and digits
    name: String,
    /// Describe it in YAML instead of coding it
    #[arg(long)]
    described: bool,
    /// A checkout of Heptad to build against, instead of the published crates
    #[arg(long, value_name = "FOLDER", conflicts_with = "described")]
    path: Option<PathBuf>,
    /// Where the new folder or file is made
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    into: PathBuf,
}

pub(crate) fn codec(registry: &Registry, what: &Codec) -> ExitCode {
    match what {
        Codec::New(new) if new.described => described::new(&new.name, &new.into),
        Codec::New(new) => coded::new(registry, new),
        Codec::Test { file } => test::test(file),
    }
}
