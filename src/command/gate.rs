//! `portlid test`: the gate. From the command line's words to a run, and from its record to an exit.

use std::collections::BTreeSet;

use clap::ColorChoice;
use libtest_mimic::{Arguments, FormatSetting};

use super::{left_behind, part, refused::refused, reports, unusable};
use crate::{
    cli::{Global, Test},
    exit::Exit,
    foreign::{shown, without_credentials},
    harness, output,
    output::live::Live,
    progress::silent,
    record::RunRecord,
    report::text,
    run::Options,
    spec::{self, Loaded},
};

/// Checks the specs that were asked for.
pub(super) fn test(test: Test, global: &Global) -> Exit {
    let arguments = match arguments(&test, global) {
        Ok(arguments) => arguments,
        Err(error) => return refused(error),
    };
    if arguments.test_threads == Some(0) {
        // libtest-mimic would wait for ever.
        output::line("error: `--test-threads` must be at least 1");
        return Exit::Usage;
    }
    let mut loaded = spec::load(&test.paths, &|name| std::env::var(name).ok());
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
    let share = match part::keep(&test, &mut loaded.specs, &arguments, global.quiet) {
        Ok(share) => share,
        Err(exit) => return exit,
    };
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
    let progress = if global.quiet { silent() } else { output::progress() };
    let live = if is_live(&arguments, global) { Live::start() } else { None };
    let is_list = arguments.list;
    let mut outcome = harness::run(loaded.specs, options, &arguments, progress);
    outcome.record.share = share;
    drop(live);
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

/// Whether live lines go with what libtest prints: whole lines of its own, one by one.
fn is_live(arguments: &Arguments, global: &Global) -> bool {
    let is_pretty = matches!(arguments.format, None | Some(FormatSetting::Pretty));
    // With one thread libtest begins a line before the trial, and ends it after.
    let is_whole = arguments.test_threads != Some(1);
    let is_plain = global.quiet || matches!(global.color, ColorChoice::Never);
    is_pretty && is_whole && !arguments.quiet && !arguments.list && !is_plain
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

/// Names the YAML files that were not taken for specs, so that none is left out in silence.
fn passed_over(loaded: &Loaded, global: &Global) {
    if loaded.passed_over.is_empty() || global.quiet {
        return;
    }
    let files: Vec<String> =
        loaded.passed_over.iter().map(|it| shown(&it.display().to_string(), 120)).collect();
    output::line(&format!("portlid: not specs (no key `expose`): {}", files.join(", ")));
}
