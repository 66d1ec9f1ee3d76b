#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| heptad_fuzzing::run("thrift_convert", data));
