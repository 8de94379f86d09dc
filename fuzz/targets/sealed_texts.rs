#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| service::fuzzing::sealed_texts(input));
