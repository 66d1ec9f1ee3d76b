//! A router of one's own: everything the `heptad` binary can do, and one protocol more.
//!
//! `cargo run --example router -- run -c heptad.yaml`

use awesomerpc::AwesomeRpc;
use heptad::Registry;

fn main() -> std::process::ExitCode {
    heptad_cli::main(Registry::standard().codec::<AwesomeRpc>())
}
