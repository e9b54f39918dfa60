//! The kernel's answers about sockets: nothing odd is taken for an answer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portlid::fuzzing::diag(bytes));
