#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| client::fuzzing::download_names(input));
