//! Every protocol that comes with Heptad finds in its samples what they say, and keeps the contract
//! of codecs on them.

use heptad_described::{Frame, SHIPPED, model::Description, read, samples};
use heptad_testkit::conformance::Conformance;

fn suite(description: &Description, codec: Frame) -> Conformance<Frame> {
    let mut suite = Conformance::new(codec);
    for sample in samples::bytes(description).expect("hexadecimal digits") {
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
        suite(&description, codec).assert();
    }
}
