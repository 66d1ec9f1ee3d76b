//! Every protocol that comes with Heptad finds in its samples what they say, and keeps the contract
//! of codecs on them.

use heptad_described::{
    Frame, SHIPPED,
    model::{Description, Sample},
    read, samples,
};
use heptad_testkit::conformance::Conformance;

fn suite(
    description: &Description,
    codec: Frame,
    keep: impl Fn(&Sample) -> bool,
) -> Conformance<Frame> {
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
        let names = samples::headers(&description);
        assert!(!names.is_empty(), "{name}");
        let calls = |sample: &Sample| samples::editable(&description, sample);
        suite(&description, codec, calls).headers(&names).assert();
    }
}
