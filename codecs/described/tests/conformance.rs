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

/// A protocol of streams, with the frame that resets one.
fn streams(reset: &str) -> String {
    format!(
        "name: streams
initial_bytes: 6
length: {{ offset: 4, width: 2 }}
id: {{ offset: 1, width: 3 }}
kind: {{ offset: 0, width: 1 }}
frames:
- kinds: {{ open: 1 }}
  parts:
  - method: {{ prefix: 1 }}
- kinds: {{ data: 2, end: 3 }}
- kinds: {{ reset: 4 }}
{reset}
answers:
  stream_error: {{ kind: reset }}
samples:
- from: client
  hex: \"01 000007 0003 02 6869 02 000007 0001 00 04 000007 0000\"
  frames:
  - {{ kind: open, id: 7, method: hi }}
  - {{ kind: data, id: 7 }}
  - {{ kind: reset, id: 7 }}
- from: server
  asked: \"01 000007 0003 02 6869\"
  hex: \"04 000007 0000\"
  frames:
  - {{ kind: reset, id: 7, outcome: protocol_error, code: OTHER }}
"
    )
}

/// A reset without a status once counted as a success, and so did Heptad's own errors.
#[test]
fn a_stream_that_is_reset_is_no_success() {
    let (description, protocol) = read("streams", &streams("")).expect("a description");
    let codec = Frame::of(&protocol);
    assert_eq!(samples::mismatches(&description, &codec), []);
    suite(&description, codec, |_| true).assert();
}

/// What no side may send once passed for a frame, and the engine was told of a client that goes.
#[test]
fn a_side_sends_its_own_kinds_of_frames() {
    for (kind, from, who) in [
        ("goaway", "both", "both sides"),
        ("goaway", "client", "clients"),
        ("reply", "client", "clients"),
        ("request", "server", "servers"),
    ] {
        let text = streams(&format!("- kinds: {{ {kind}: 5 }}\n  from: {from}"));
        let problems = read("streams", &text).expect_err("it makes no sense").to_string();
        assert!(problems.contains(&format!("no protocol has `{kind}` from {who}")), "{problems}");
        read("streams", &text.replace(&format!("  from: {from}\n"), "")).expect("its own side");
    }
    read("streams", &streams("- kinds: { ping: 5 }\n  from: client")).expect("either side");
}
