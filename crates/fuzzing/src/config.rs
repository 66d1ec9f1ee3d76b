//! Configuration files and descriptions of protocols: no text makes the reader panic, what it accepts reads back as the same
//! tree, and every complaint can be shown.

use std::cell::OnceCell;

use awesomerpc::AwesomeRpc;
use heptad_config::{Plugins, Problems, load, parse_yaml};
use heptad_described::{Frame, read};
use heptad_dubbo::Dubbo;
use heptad_redis::Redis;
use heptad_thrift::Thrift;

thread_local! {
    // Schemas take longer to make than most files to read.
    static PLUGINS: OnceCell<Plugins> = const { OnceCell::new() };
}

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    PLUGINS.with(|plugins| one(text, plugins.get_or_init(all)));
}

fn all() -> Plugins {
    Plugins::new()
        .codec::<Redis>()
        .codec::<Thrift>()
        .codec::<Dubbo>()
        .codec::<AwesomeRpc>()
        .codec::<Frame>()
}

fn one(text: &str, plugins: &Plugins) {
    shown(load("fuzz.yaml", text, plugins));
    // A description is a file too.
    shown(read("fuzz.yaml", text));
    let Ok(tree) = parse_yaml("fuzz.yaml", text) else {
        return;
    };
    let yaml = tree.to_yaml();
    match parse_yaml("again.yaml", &yaml) {
        Ok(again) => assert_eq!(again.to_json(), tree.to_json(), "{yaml}"),
        Err(problems) => panic!("what was written does not read: {problems}\n{yaml}"),
    }
}

fn shown<T>(read: Result<T, Problems>) {
    let Err(problems) = read else {
        return;
    };
    assert!(!problems.list.is_empty(), "refused without a problem");
    for colours in [false, true] {
        assert!(!problems.render(colours).is_empty(), "a problem that cannot be shown");
    }
}
