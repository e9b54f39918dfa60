//! What a server answers to a probe for HTTP or a protocol.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portlid::fuzzing::answer(bytes));
