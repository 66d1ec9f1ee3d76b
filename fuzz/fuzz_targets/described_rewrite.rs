#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| heptad_fuzzing::run("described_rewrite", data));
