//! Parses the command line, runs, and turns the outcome into an exit code.

use std::process::ExitCode;

use clap::Parser;
use portlid::{cli::Cli, command, engine};

fn main() -> ExitCode {
    if let Some(code) = engine::serve_reaper() {
        return code;
    }
    engine::enable_reaper();
    command::run(Cli::parse()).into()
}
