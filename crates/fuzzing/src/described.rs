//! Described codecs: those that come with Heptad, those of the documentation, and one made of what
//! they have not. The upper bits of an input's first byte say which one reads it.

use heptad_described::{Frame, SHIPPED, read, samples};
use heptad_testkit::{conformance::Conformance, fuzz};

/// The page whose descriptions are read too.
const PAGE: &str = include_str!("../../../docs/described-codecs.md");
const ODDS: &str = include_str!("odds.yaml");

/// Bits of the first byte that do not say which protocol it is.
const BITS: u32 = 3;

struct Protocol {
    codec: Frame,
    /// Its frames end where their delimiter does, and are all head.
    delimited: bool,
    /// Headers that can be edited without changing what a frame is.
    headers: Vec<String>,
    /// Its samples as inputs.
    seeds: Vec<Vec<u8>>,
}

thread_local! {
    static ALL: Vec<Protocol> = all();
}

fn all() -> Vec<Protocol> {
    let blocks = PAGE.split("```yaml description\n").skip(1);
    let blocks = blocks.map(|block| ("page", block.split("```").next().unwrap_or_default()));
    let texts = SHIPPED.into_iter().chain(blocks).chain([("odds", ODDS)]);
    texts.enumerate().map(|(number, (name, text))| protocol(number as u8, name, text)).collect()
}

fn protocol(number: u8, name: &str, text: &str) -> Protocol {
    let (description, protocol) = match read(name, text) {
        Ok(read) => read,
        Err(problems) => panic!("{problems}"),
    };
    let codec = Frame::of(&protocol);
    assert_eq!(samples::mismatches(&description, &codec), [], "{name}");
    let mut set = Conformance::new(codec.clone());
    for sample in samples::bytes(&description).unwrap_or_default() {
        set = match sample.client {
            true => set.requests(&sample.bytes, sample.frames),
            false => set.replies(&sample.asked, &sample.bytes, sample.frames),
        };
    }
    let mut seeds = set.seeds();
    for control in seeds.iter_mut().filter_map(|seed| seed.first_mut()) {
        *control |= number << BITS;
    }
    let headers = samples::headers(&description).into_iter().map(str::to_owned).collect();
    Protocol { codec, delimited: description.delimiter.is_some(), headers, seeds }
}

/// The samples of all protocols as inputs of the targets.
pub fn described_seeds() -> Vec<Vec<u8>> {
    ALL.with(|all| all.iter().flat_map(|protocol| protocol.seeds.clone()).collect())
}

/// The checks for the protocol that an input chooses.
fn with(data: &[u8], run: impl FnOnce(&Conformance<Frame>)) {
    let number = usize::from(data.first().copied().unwrap_or_default() >> BITS);
    ALL.with(|all| {
        let chosen = all.get(number.checked_rem(all.len()).unwrap_or(0));
        if let Some(Protocol { codec, delimited, headers, .. }) = chosen {
            let names: Vec<&str> = headers.iter().map(String::as_str).collect();
            let set = Conformance::new(codec.clone()).headers(&names);
            run(&if *delimited { set.whole_frames() } else { set });
        }
    });
}

pub(crate) fn decode(data: &[u8]) {
    with(data, |set| fuzz::decode(set, data));
}

pub(crate) fn chunks(data: &[u8]) {
    with(data, |set| fuzz::chunks(set, data));
}

pub(crate) fn rewrite(data: &[u8]) {
    with(data, |set| fuzz::rewrite(set, data));
}
