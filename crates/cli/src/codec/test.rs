//! `heptad codec test FILE`: whether a description finds in its samples what they say, and whether
//! the codec made of it keeps the contract that every codec keeps.

use std::{path::Path, process::ExitCode};

use heptad_conformance::Conformance;
use heptad_described::{Frame, model::Description, read, samples};

use crate::{WRONG, failed, style::Style};

/// Tests a description and says what is wrong with it.
pub(crate) fn test(path: &Path) -> ExitCode {
    let name = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return failed(format!("cannot read {name}: {error}")),
    };
    let style = Style::of(&std::io::stderr());
    let (description, protocol) = match read(&name, &text) {
        Ok(read) => read,
        Err(problems) => {
            eprint!("{}", problems.render(style.colours()));
            return ExitCode::from(WRONG);
        }
    };
    if description.samples.is_empty() {
        eprintln!("{name}: there are no `samples`, so that there is nothing to test with");
        return ExitCode::from(WRONG);
    }
    let codec = Frame::of(&protocol);
    let wrong = samples::mismatches(&description, &codec);
    if !wrong.is_empty() {
        for one in &wrong {
            let problem = samples::problem(&name, &text, one);
            eprint!("{}", problem.render(style.colours()));
        }
        return ExitCode::from(WRONG);
    }
    match conformance(&description, &codec) {
        Ok((frames, decodes)) => {
            let good = Style::of(&std::io::stdout()).good("ok");
            let samples = description.samples.len();
            println!("{good} {name}: {samples} samples, {frames} frames, {decodes} decodings");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{} {name}\n{failure}", style.bad("wrong"));
            ExitCode::from(WRONG)
        }
    }
}

/// Every rule, on all samples; and those of header edits on samples of frames that have headers.
fn conformance(description: &Description, codec: &Frame) -> Result<(u64, u64), String> {
    let all = samples::bytes(description).map_err(|wrong| wrong.to_string())?;
    let mut done = (0, 0);
    let names = samples::headers(description);
    for edits in [false, true] {
        let mut suite = Conformance::new(codec.clone());
        if description.delimiter.is_some() {
            suite = suite.whole_frames();
        }
        if edits {
            if names.is_empty() {
                break;
            }
            suite = suite.headers(&names);
        }
        let mut some = false;
        for (sample, said) in all.iter().zip(&description.samples) {
            if edits && !samples::editable(description, said) {
                continue;
            }
            some = true;
            suite = match sample.client {
                true => suite.requests(&sample.bytes, sample.frames),
                false => suite.replies(&sample.asked, &sample.bytes, sample.frames),
            };
        }
        if some {
            let report = suite.check().map_err(|failure| failure.to_string())?;
            done.0 += report.frames;
            done.1 += report.decodes;
        }
    }
    Ok(done)
}
