//! What each command does, one function each.

mod clean;
mod completions;
mod diff;
mod explain;
mod gate;
mod init;
mod look;
mod looking;
mod man;
mod part;
mod refused;
mod reports;
mod schema;
mod verify;

use std::path::PathBuf;

use clap::ColorChoice;

use crate::{
    cli::{Cli, Command},
    exit::Exit,
    output,
    record::LeftBehind,
    spec::{self, Loaded},
};

/// Does what was asked for.
#[must_use]
pub fn run(cli: Cli) -> Exit {
    match cli.global.color {
        ColorChoice::Auto => {}
        ColorChoice::Always => anstream::ColorChoice::Always.write_global(),
        ColorChoice::Never => anstream::ColorChoice::Never.write_global(),
    }
    match cli.command {
        Command::Test(test) => gate::test(test, &cli.global),
        Command::Look(look) => look::look(&look, &cli.global),
        Command::Init(init) => init::init(&init, &cli.global),
        Command::Diff(diff) => diff::diff(&diff, &cli.global),
        Command::Lint { paths } => lint(&paths),
        Command::Clean { images, dry_run } => clean::clean(images, dry_run, &cli.global),
        Command::Schema { defaults } => schema::schema(defaults),
        Command::Verify(asked) => verify::verify(&asked, &cli.global),
        Command::Explain { rule } => explain::explain(rule.as_deref()),
        Command::Completions { shell } => completions::completions(shell),
        Command::Man { dir } => man::man(dir.as_deref()),
    }
}

/// Says what is wrong with a command line, or the help or version that it asks for.
#[must_use]
pub fn refuse(error: clap::Error) -> Exit {
    refused::refused(error)
}

/// Says why specs cannot be used, if they cannot.
fn unusable(loaded: &Loaded) -> Option<Exit> {
    if !loaded.problems.is_empty() {
        output::aside(&spec::render(&loaded.problems, true));
        return Some(Exit::Usage);
    }
    if loaded.specs.is_empty() {
        output::line(
            "error: there is no spec here, so nothing was checked\n  help: a spec is a YAML file \
             with the keys `image` and `expose`; see the README",
        );
        return Some(Exit::NothingChecked);
    }
    None
}

fn lint(paths: &[PathBuf]) -> Exit {
    let loaded = spec::load(paths, &|name| std::env::var(name).ok());
    if let Some(exit) = unusable(&loaded) {
        return exit;
    }
    let count = loaded.specs.len();
    let specs = if count == 1 { "spec" } else { "specs" };
    output::result(&format!("{count} {specs}, no problems\n"));
    Exit::Pass
}

/// Names what is still there, each with the command that removes it.
fn left_behind(left: &[LeftBehind]) {
    for left in left {
        output::line(&format!(
            "left behind: {}\n  remove it with: {}",
            left.what, left.remove_with
        ));
    }
}
