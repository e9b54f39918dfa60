//! The kernel's socket tables: every line is told, and nothing that is cut short is taken.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portlid::fuzzing::table(bytes));
