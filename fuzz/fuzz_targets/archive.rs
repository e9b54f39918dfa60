//! Images in files: Docker archives and OCI layouts, packed or not.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portlid::fuzzing::archive(bytes));
