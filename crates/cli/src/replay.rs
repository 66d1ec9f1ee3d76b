//! `heptad replay`: recorded requests to another endpoint, connection by connection, and what became
//! of each of them compared with what was recorded.

mod recording;
mod report;
mod talk;

use std::{fs, process::ExitCode, thread};

use heptad::Registry;

use crate::{FAILED, WRONG, args::Replay, failed, speech::Speech};
use report::{Call, Report};

pub(crate) fn replay(registry: &Registry, args: &Replay) -> ExitCode {
    let speech = match Speech::read(registry, &args.named) {
        Ok(speech) => speech,
        Err(code) => return code,
    };
    let text = match fs::read_to_string(&args.file) {
        Ok(text) => text,
        Err(error) => return failed(format!("cannot read {}: {error}", args.file.display())),
    };
    let sessions = match recording::read(&text) {
        Ok(sessions) if !sessions.is_empty() => sessions,
        Ok(_) => return failed(format!("{}: there is no request in it", args.file.display())),
        Err(why) => return failed(format!("{}: {why}", args.file.display())),
    };
    let mut talks = Vec::new();
    for session in sessions {
        let first = session.requests.first().map_or(&[][..], |request| &request.bytes);
        let inspector = speech
            .of(registry, first)
            .and_then(|(codec, options)| heptad::inspector(registry, codec, options));
        match inspector {
            Ok(inspector) => talks.push((session, inspector)),
            Err(error) => return failed(error),
        }
    }
    let begin = talk::start(args, talks.iter().map(|(session, _)| session));
    let calls: Vec<Call> = thread::scope(|scope| {
        let run = |(session, inspector)| {
            let begin = &begin;
            scope.spawn(move || talk::run(args, begin, session, inspector))
        };
        let threads: Vec<_> = talks.into_iter().map(run).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    let report = Report::new(calls, args.bytes);
    print!("{report}");
    if let Some(file) = &args.junit
        && let Err(error) = fs::write(file, report.to_junit(&args.to))
    {
        return failed(format!("cannot write {}: {error}", file.display()));
    }
    match (report.tried(), report.changed()) {
        (0, _) => ExitCode::from(FAILED),
        (_, 0) => ExitCode::SUCCESS,
        _ => ExitCode::from(WRONG),
    }
}
