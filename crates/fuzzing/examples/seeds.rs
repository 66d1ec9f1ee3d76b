//! Writes inputs for the targets of AwesomeRPC and of described codecs to folders below the given
//! one. Of AwesomeRPC there is no client but ours, so that its messages stand for real ones; the
//! samples of descriptions are what real clients sent, where there are any.
//! `cargo run -p heptad-fuzzing --example seeds FOLDER`

use std::{env, fs, path::Path, process::ExitCode};

use awesomerpc::{AwesomeRpc, wire::Message};
use heptad_core::Kind;
use heptad_testkit::conformance::Conformance;

fn main() -> ExitCode {
    let Some(folder) = env::args().nth(1) else {
        eprintln!("seeds FOLDER");
        return ExitCode::from(2);
    };
    let bytes = |all: &[Message]| all.iter().flat_map(Message::to_bytes).collect::<Vec<u8>>();
    let list = || Message::request(7, "reviews", "list").header("user", "jason").body("page=1");
    let open = |id| Message::open(id, "reviews", "watch").header("trace", "0af7").body("all");
    let one = |message: Message| bytes(&[message]);
    let note = Message::oneway("audit", "note").header("user", "").body("seen");
    let asked = bytes(&[list(), note, Message::request(u32::MAX, "", "")]);
    let stream = bytes(&[open(3), Message::data(3, "more"), Message::new(Kind::End, 3), open(4)]);
    let error = Message::error(u32::MAX, "APP_ERROR", "no such review");
    let replies = bytes(&[Message::reply(7, "five stars"), error]);
    let streamed = bytes(&[Message::data(3, "one"), Message::reset(4, "CANCELLED")]);
    let mut suite = Conformance::new(AwesomeRpc::default())
        .requests(&asked, 3)
        .requests(&stream, 4)
        .replies(&asked, &replies, 2)
        .replies(&stream, &streamed, 2)
        .replies(&[], &one(Message::new(Kind::GoAway, 0)), 1);
    for kind in [Kind::Ping, Kind::Pong] {
        let frame = one(Message::new(kind, 1));
        suite = suite.requests(&frame, 1).replies(&[], &frame, 1);
    }
    let folder = Path::new(&folder);
    let written = suite
        .write_seeds(&folder.join("awesomerpc"))
        .and_then(|()| write(&folder.join("described"), &heptad_fuzzing::described_seeds()));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path, inputs: &[Vec<u8>]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, bytes) in inputs.iter().enumerate() {
        fs::write(folder.join(format!("sample-{number:03}")), bytes)?;
    }
    Ok(())
}
