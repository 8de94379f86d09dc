#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| domain::fuzzing::tus_fields(input));
