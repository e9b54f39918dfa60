//! What `portlid verify` reads: statements, envelopes, and several of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portlid::fuzzing::statement(bytes));
