//! The shipped specs under `cargo test` and `cargo nextest run`: one test per spec.

use std::process::ExitCode;

fn main() -> ExitCode {
    portlid::harness::main()
}
