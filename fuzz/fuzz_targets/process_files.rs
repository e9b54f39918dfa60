//! The kernel's small files of a process: `stat`, `status`, `cgroup`, `uid_map`, `sockstat`, links.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portlid::fuzzing::process_files(bytes));
