//! A router with one filter more: everything the `heptad` binary can do, with the same messages.

use heptad::Registry;
use tenant_filter::Tenant;

fn main() -> std::process::ExitCode {
    let make = |options: &_| Ok(std::sync::Arc::new(Tenant::new(options)?) as _);
    heptad_cli::main(Registry::standard().filter(Tenant::NAME, make))
}
