//! `heptad run`: the router as a process, with its signals.

use std::{path::Path, process::ExitCode};

use heptad::{Admin, Heptad, Model, Registry, Running};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{args, check, failed, log};

pub(crate) fn run(registry: &Registry, args: &args::Run, level: Option<&str>) -> ExitCode {
    let file = &args.file.config;
    let model = match check::load(registry, file) {
        Ok(model) => model,
        Err(unusable) => return unusable.show(),
    };
    let set_log = match log::start(level.unwrap_or(&model.log.level)) {
        Ok(set_log) => set_log,
        Err(error) => return failed(error),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(error),
    };
    runtime.block_on(async {
        // Before anything is announced: whoever reads that may send a signal at once.
        let mut signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => return failed(error),
        };
        let wanted = model.admin.clone();
        let running = match Heptad::start(registry, model) {
            Ok(running) => running,
            Err(error) => return failed(error),
        };
        let admin = match &wanted {
            None => None,
            Some(wanted) => match Admin::start(wanted.listen, running.clone(), Some(set_log)) {
                Ok(admin) => Some(admin),
                Err(error) => return failed(format!("admin on {}: {error}", wanted.listen)),
            },
        };
        announce(&running, admin.as_ref());
        signals.serve(registry, args, &running).await;
        drop(admin);
        ExitCode::SUCCESS
    })
}

/// One line for each address, for people and for scripts that wait for it.
fn announce(running: &Running, admin: Option<&Admin>) {
    for listener in running.listeners() {
        eprintln!("listening on {} ({}, {})", listener.address, listener.name, listener.codec);
    }
    if let Some(admin) = admin {
        eprintln!("listening on {} (admin, http)", admin.address());
    }
}

struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Does what signals say, until the router has stopped.
    async fn serve(&mut self, registry: &Registry, args: &args::Run, running: &Running) {
        loop {
            tokio::select! {
                _ = self.hup.recv() => {
                    reload(registry, &args.file.config, running);
                    // Whatever became of that: the files may have been renamed.
                    running.reopen();
                }
                _ = self.term.recv() => break,
                _ = self.int.recv() => break,
            }
        }
        let drain = running.model().listeners.iter().map(|l| l.drain_timeout).max();
        let grace = args.grace.or(drain).unwrap_or_default();
        let shown = humantime::format_duration(grace);
        tracing::info!("stopping: requests in flight have {shown} to end");
        tokio::select! {
            cut_off = running.stop(grace) => return tracing::info!(cut_off, "stopped"),
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
        tracing::warn!("told twice: stopping at once");
        running.halt();
    }
}

fn reload(registry: &Registry, file: &Path, running: &Running) {
    let model: Model = match check::load(registry, file) {
        Ok(model) => model,
        Err(unusable) => {
            unusable.show();
            tracing::error!("{}: not usable; the running configuration stays", file.display());
            return;
        }
    };
    let summary = check::summary(&model);
    match running.reload(registry, model) {
        Ok(restarts) => {
            tracing::info!("{}: in use now: {summary}", file.display());
            for restart in restarts {
                tracing::warn!("{restart}: needs a restart, is not in use");
            }
        }
        Err(problem) => {
            let why = &problem.message;
            tracing::error!("{}: {why}; the running configuration stays", file.display());
        }
    }
}
