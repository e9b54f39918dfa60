//! `portlid completions`: what a shell needs to complete a command line. Needs neither specs nor an
//! engine.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::{cli::Cli, exit::Exit, output, rule::Rule};

/// Prints the script for a shell.
pub(super) fn completions(shell: Shell) -> Exit {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "portlid", &mut script);
    output::result(&String::from_utf8_lossy(&script));
    if shell == Shell::Fish {
        output::result(&rules_for_fish());
    }
    Exit::Pass
}

/// For fish the generator knows flags and their values, but not the values of an argument.
fn rules_for_fish() -> String {
    let line = |rule: Rule| {
        let summary = rule.summary().replace('\\', "\\\\").replace('\'', "\\'");
        format!(
            "complete -c portlid -n \"__fish_portlid_using_subcommand explain\" -f -a \"{rule}\" -d '{summary}'\n"
        )
    };
    Rule::ALL.into_iter().map(line).collect()
}
