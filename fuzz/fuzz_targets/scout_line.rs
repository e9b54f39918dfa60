//! The lines of JSON between portlid and its scout.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portlid::fuzzing::scout_line(bytes));
