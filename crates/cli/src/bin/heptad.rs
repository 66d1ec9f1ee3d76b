//! The `heptad` binary: the standard protocols, and the demo's.

use awesomerpc::AwesomeRpc;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    heptad_cli::main(heptad::Registry::standard().codec::<AwesomeRpc>())
}
