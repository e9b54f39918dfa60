//! The Docker CLI's configuration and contexts.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portlid::fuzzing::docker_config(bytes));
