//! A Dockerfile and a `.dockerignore`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portlid::fuzzing::build_context(bytes));
