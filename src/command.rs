//! What each command does, one function each.

mod reports;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use clap::ColorChoice;
use libtest_mimic::{Arguments, FormatSetting};

use crate::{
    cli::{Cli, Command, Global, Test},
    engine::{Engine, Progress, chain},
    exit::Exit,
    foreign::{shown, without_credentials},
    harness, output,
    record::{LeftBehind, RunRecord},
    report::text,
    rule::{Explained, Rule},
    run::Options,
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
        Command::Test(test) => self::test(test, &cli.global),
        Command::Lint { paths } => lint(&paths),
        Command::Clean { images, dry_run } => clean(images, dry_run, &cli.global),
        Command::Explain { rule } => explain(rule.as_deref()),
    }
}

fn test(test: Test, global: &Global) -> Exit {
    let arguments = match arguments(&test, global) {
        Ok(arguments) => arguments,
        Err(error) if error.kind() == clap::error::ErrorKind::DisplayHelp => {
            output::result(&error.to_string());
            return Exit::Pass;
        }
        Err(error) => {
            output::aside(&error.to_string());
            return Exit::Usage;
        }
    };
    if arguments.test_threads == Some(0) {
        // libtest-mimic would wait for ever.
        output::line("error: `--test-threads` must be at least 1");
        return Exit::Usage;
    }
    let loaded = spec::load(&test.paths, &|name| std::env::var(name).ok());
    if let Some(exit) = unusable(&loaded) {
        return exit;
    }
    passed_over(&loaded, global);
    let names: BTreeSet<&str> = loaded.specs.iter().map(|spec| spec.name.as_str()).collect();
    if let Some((name, _)) = test.image.iter().find(|(name, _)| !names.contains(name.as_str())) {
        output::line(&format!(
            "error: `--image`: no spec is called `{}`\n  help: there are {}",
            shown(name, 80),
            names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        ));
        return Exit::Usage;
    }
    let images: BTreeSet<&str> = test.image.iter().map(|(name, _)| name.as_str()).collect();
    if images.len() < test.image.len() {
        output::line("error: `--image` is given twice for the same spec");
        return Exit::Usage;
    }
    if let Some((name, reference, error)) = test.image.iter().find_map(|(name, reference)| {
        spec::check_reference(reference).err().map(|error| (name, reference, error))
    }) {
        output::line(&format!(
            "error: `--image {}={}`: it is not an image reference: {}\n  help: {}",
            shown(name, 80),
            shown(&without_credentials(reference), 120),
            error.reason,
            error.hint
        ));
        return Exit::Usage;
    }
    if !names.iter().any(|name| harness::is_chosen(&arguments, name)) {
        output::line(&format!(
            "error: the filter matches none of {} specs, so nothing was checked\n  help: \
             `portlid test --list` lists them",
            names.len()
        ));
        return Exit::NothingChecked;
    }
    // A report that cannot be written is known before the work, not after.
    if let Err(exit) = reports::check(&test.report) {
        return exit;
    }
    let options = Options {
        engine: global.engine.clone(),
        look: test.look.into(),
        pull: test.pull.into(),
        watch: test.watch,
        scan: test.scan.map(Into::into),
        images: test.image.into_iter().collect(),
    };
    let progress: Progress =
        if global.quiet { Arc::new(|_, _| {}) } else { Arc::new(output::progress) };
    let is_list = arguments.list;
    let outcome = harness::run(loaded.specs, options, &arguments, progress);
    if is_list {
        return Exit::Pass;
    }
    asides(&outcome.record, global);
    let mut exit = outcome.record.exit();
    if let Some(number) = outcome.signal {
        // A closed pipe breaks libtest off, which is no defect of anybody's.
        let is_pipe = number == 13 && outcome.conclusion.num_passed == 0;
        exit = if is_pipe { Exit::Signal(number) } else { exit.and(Exit::Signal(number)) };
    }
    left_behind(&outcome.record.left_behind);
    if !reports::write(&test.report, &outcome.record) {
        exit = exit.and(Exit::Internal);
    }
    // Between lines for programs there is no place for others.
    let is_for_people = matches!(arguments.format, None | Some(FormatSetting::Pretty));
    reports::tell_github(&outcome.record, is_for_people);
    exit
}

/// libtest's arguments: ours translated, and those behind `--`.
fn arguments(test: &Test, global: &Global) -> Result<Arguments, clap::Error> {
    let mut typed = vec!["portlid test --".to_owned()];
    if let Some(jobs) = test.jobs {
        typed.push(format!("--test-threads={jobs}"));
    }
    if test.list {
        typed.push("--list".to_owned());
    }
    match global.color {
        ColorChoice::Auto => {}
        choice => typed.push(format!("--color={choice}")),
    }
    typed.extend(test.libtest.iter().cloned());
    use clap::Parser as _;
    Arguments::try_parse_from(typed)
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

/// Names the YAML files that were not taken for specs, so that none is left out in silence.
fn passed_over(loaded: &Loaded, global: &Global) {
    if loaded.passed_over.is_empty() || global.quiet {
        return;
    }
    let files: Vec<String> =
        loaded.passed_over.iter().map(|it| shown(&it.display().to_string(), 120)).collect();
    output::line(&format!("portlid: not specs (no key `expose`): {}", files.join(", ")));
}

/// Warnings of specs that passed, and with `-v` the evidence of each.
fn asides(record: &RunRecord, global: &Global) {
    for spec in &record.specs {
        if spec.verdict == crate::judgement::Verdict::Pass && !global.quiet {
            output::aside(&text::asides(spec, global.verbose > 0));
        }
        if global.verbose > 0
            && let Some(evidence) = text::evidence(spec)
        {
            output::line(&evidence);
        }
    }
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

/// Removes what earlier runs left behind, and says what.
fn clean(with_builds: bool, is_dry: bool, global: &Global) -> Exit {
    let Some(runtime) = harness::runtime() else {
        output::line("error: no thread can be started");
        return Exit::Internal;
    };
    let progress: Progress = Arc::new(output::progress);
    let asked = global.engine.as_deref();
    let swept = runtime.block_on(async {
        let engine = Engine::connect(asked, progress, Arc::default()).await?;
        let swept = engine.clean(with_builds, is_dry).await;
        engine.end(true);
        swept
    });
    let swept = match swept {
        Ok(swept) => swept,
        Err(error) => {
            output::line(&format!("error: {}", chain(&error)));
            if let Some(hint) = error.hint() {
                output::line(&format!("  help: {hint}"));
            }
            return Exit::Inconclusive;
        }
    };
    let done = if is_dry { "would remove" } else { "removed" };
    for what in &swept.removed {
        output::result(&format!("{done} {what}\n"));
    }
    if swept.removed.is_empty() && swept.left.is_empty() && !global.quiet {
        output::result("nothing to remove\n");
    }
    left_behind(&swept.left);
    if swept.left.is_empty() { Exit::Pass } else { Exit::LeftBehind }
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

fn explain(rule: Option<&str>) -> Exit {
    let Some(asked) = rule else {
        for rule in Rule::ALL {
            let fixed = if rule.is_fixed() { ", fixed" } else { "" };
            output::result(&format!(
                "{:19} {:11} {}\n",
                rule.id(),
                format!("{}{fixed}", rule.default_level()),
                rule.summary()
            ));
        }
        return Exit::Pass;
    };
    let Ok(rule) = asked.parse::<Rule>() else {
        let near = Rule::ALL
            .into_iter()
            .max_by(|one, other| {
                let similar = |rule: &Rule| strsim::jaro_winkler(rule.id(), asked);
                similar(one).total_cmp(&similar(other))
            })
            .map_or("", Rule::id);
        output::line(&format!(
            "error: there is no rule `{}`\n  help: did you mean `{near}`?",
            shown(asked, 60)
        ));
        return Exit::Usage;
    };
    output::result(&explanation(rule));
    Exit::Pass
}

/// All there is to say of a rule.
fn explanation(rule: Rule) -> String {
    let fixed = if rule.is_fixed() { " (fixed: no spec can change it)" } else { "" };
    let cis = match rule.cis() {
        [] => String::new(),
        items => format!("CIS Docker Benchmark 1.6.0: {}\n", items.join(", ")),
    };
    let Explained { why, mend, servers } = rule.explained();
    let indented =
        |text: &str| text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n");
    let servers = servers
        .map(|servers| format!("\nin common servers:\n{}\n", indented(servers)))
        .unwrap_or_default();
    format!(
        "{rule}\n  {}\n\nlevel: {}{fixed}\n{cis}\nwhy it matters:\n{}\n\nwhat to do:\n{}\n{servers}",
        rule.summary(),
        rule.default_level(),
        indented(why),
        indented(mend),
    )
}
