//! Every client library with every server library: straight to the server, and through the router.

use std::process::Command;

use super::stage::{Library, Target, node, python};
use crate::{
    real::{clients::steps, transcript},
    rig::Middle,
    tally::Tally,
};

pub(in crate::real) fn sofa(middle: Middle) -> Result<Tally, String> {
    every(middle, || node("call-sofa.js"))
}

pub(in crate::real) fn apache(middle: Middle) -> Result<Tally, String> {
    every(middle, || node("call-apache.js"))
}

pub(in crate::real) fn dubbo_py(middle: Middle) -> Result<Tally, String> {
    every(middle, || python("call_dubbo_py.py"))
}

pub(in crate::real) fn dubbo_ssl(middle: Middle) -> Result<Tally, String> {
    every(middle, || python("call_dubbo_ssl.py"))
}

/// Every pair of libraries, through what `between` puts in front of a server's port.
pub(in crate::real) fn recorded<T>(
    between: impl Fn(u16) -> Result<(u16, T), String>,
) -> Result<Vec<T>, String> {
    let mut all = Vec::new();
    for library in Library::ALL {
        let scripts = [
            node("call-sofa.js"),
            node("call-apache.js"),
            python("call_dubbo_py.py"),
            python("call_dubbo_ssl.py"),
        ];
        for mut command in scripts {
            let target = Target::start(Middle::Direct, library)?;
            let (port, one) = between(target.port)?;
            command.args(["--server", library.name()]);
            steps(command, port)?;
            all.push(one);
        }
    }
    Ok(all)
}

fn every(middle: Middle, script: impl Fn() -> Command) -> Result<Tally, String> {
    let mut all = Tally::default();
    for library in Library::ALL {
        let name = library.name();
        let record = |target: &Target| {
            let mut command = script();
            command.args(["--server", name]);
            steps(command, target.port)
        };
        let direct = record(&Target::start(Middle::Direct, library)?)
            .map_err(|e| format!("{name} direct: {e}"))?;
        let target = Target::start(middle, library)?;
        match record(&target) {
            Ok(through) => all.add(transcript::compare(name, &direct, &through, false)),
            Err(e) => all.fail(format!("{name} through: {e}\n{}", target.log())),
        }
    }
    Ok(all)
}
