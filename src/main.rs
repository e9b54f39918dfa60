//! Parses the command line, runs, and turns the outcome into an exit code.

use std::process::ExitCode;

use clap::Parser;
use portlid::{cli::Cli, command, engine, panics};

fn main() -> ExitCode {
    if let Some(code) = engine::serve_reaper() {
        return code;
    }
    if engine::is_helper() {
        return portlid::harness::scout();
    }
    panics::tell_only_where();
    engine::enable_reaper();
    engine::enable_scout();
    Cli::try_parse().map_or_else(command::refuse, command::run).into()
}
