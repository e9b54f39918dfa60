//! The text of a spec: a spec or problems, each at a place in the text, and nothing secret or foreign shown raw.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portlid::fuzzing::spec(bytes));
