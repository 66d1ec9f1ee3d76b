//! Every protocol that comes with Heptad finds in its samples what they say, and keeps the contract
//! of codecs on them.

use std::collections::BTreeSet;

use heptad_described::{
    Frame, SHIPPED,
    model::{Description, KindName, Sample},
    read, samples,
};
use heptad_testkit::conformance::Conformance;

fn suite(description: &Description, codec: Frame, keep: impl Fn(&Sample) -> bool) -> Conformance<Frame> {
    let mut suite = Conformance::new(codec);
    let all = samples::bytes(description).expect("hexadecimal digits");
    for (sample, said) in all.iter().zip(&description.samples) {
        if !keep(said) {
            continue;
        }
        suite = match sample.client {
            true => suite.requests(&sample.bytes, sample.frames),
            false => suite.replies(&sample.asked, &sample.bytes, sample.frames),
        };
    }
    suite
}

#[test]
fn shipped_protocols_keep_the_contract() {
    for (name, text) in SHIPPED {
        let (description, protocol) = match read(name, text) {
            Ok(read) => read,
            Err(problems) => panic!("{problems}"),
        };
        assert_eq!(protocol.name(), name);
        let codec = Frame::of(&protocol);
        assert_eq!(samples::mismatches(&description, &codec), []);
        suite(&description, codec.clone(), |_| true).assert();
        // Headers that are edited; those of a stream in tRPC can only be read.
        let frames = description.samples.iter().flat_map(|sample| &sample.frames);
        let names: BTreeSet<&str> =
            frames.flat_map(|frame| frame.headers.keys()).map(String::as_str).collect();
        assert!(!names.is_empty(), "{name}");
        let names: Vec<&str> = names.into_iter().collect();
        let calls = |sample: &Sample| sample.frames.iter().all(|f| f.kind != KindName::Open);
        suite(&description, codec, calls).headers(&names).assert();
    }
}
