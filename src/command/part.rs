//! `--partition` and `--timings`: the part of the specs that this machine checks.
//!
//! A spec that no machine checks is a pass that nobody earned. So nothing here is guessed: times
//! that are not there are an error and not an empty list, since other machines may have them.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use libtest_mimic::Arguments;

use crate::{
    cli::Test,
    exit::Exit,
    files,
    foreign::shown,
    harness, output,
    partition::{Partition, Timings},
    record::Share,
    spec::Spec,
};

/// No report of times is larger than this.
const LARGEST: u64 = 256 * 1024 * 1024;

/// Keeps the specs of the part that was asked for, and says what it is a part of.
pub(super) fn keep(
    test: &Test,
    specs: &mut Vec<Spec>,
    arguments: &Arguments,
    is_quiet: bool,
) -> Result<Option<Share>, Exit> {
    let Some(partition) = test.partition else { return Ok(None) };
    let timings = timings(partition, &test.timings)?;
    // Of those that the filter lets run: parts are made after all other choices, as nextest does.
    specs.retain(|spec| harness::is_chosen(arguments, &spec.name));
    specs.sort_by(|one, other| one.name.cmp(&other.name));
    let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    let (split, of) = (partition.split(&names, &timings), names.len());
    let known = timings.weights(&names).1;
    let mut takes = partition.takes(&names, &timings).into_iter();
    specs.retain(|_| takes.next() == Some(true));
    if specs.is_empty() {
        output::line(&format!(
            "error: part `{partition}` has none of the {of} specs, so nothing was checked\n  help: \
             fewer parts, or `slice`, which gives every part about as many"
        ));
        return Err(Exit::NothingChecked);
    }
    if partition.is_by_timings() && !is_quiet {
        output::line(&format!(
            "portlid: part `{partition}` has {} of {of} specs, split {split}; the times of {known} are \
             known",
            specs.len()
        ));
    }
    Ok(Some(Share {
        by: partition.by(),
        part: partition.part(),
        parts: partition.parts(),
        of,
        split,
    }))
}

/// What the files say, if the specs are split by that.
fn timings(partition: Partition, files: &[PathBuf]) -> Result<Timings, Exit> {
    let mut timings = Timings::default();
    if !partition.is_by_timings() {
        if files.is_empty() {
            return Ok(timings);
        }
        output::line(&format!(
            "error: `--timings` says nothing to `--partition {partition}`\n  help: \
             `--partition timings:{}/{}` splits by it",
            partition.part(),
            partition.parts()
        ));
        return Err(Exit::Usage);
    }
    if files.is_empty() {
        output::line(&format!(
            "error: `--partition {partition}` needs to know how long the specs took\n  help: \
             `--timings FILE` names a JSON report of an earlier run"
        ));
        return Err(Exit::Usage);
    }
    for file in files {
        let added = read(file).map_err(|error| (error.to_string(), MISSING));
        let added = added.and_then(|text| timings.add(&text).map_err(|error| (error, FOREIGN)));
        if let Err((why, help)) = added {
            output::line(&format!(
                "error: `--timings {}`: {}\n  help: {help}",
                shown(&file.display().to_string(), 200),
                shown(&why, 200)
            ));
            return Err(Exit::Usage);
        }
    }
    Ok(timings)
}

const MISSING: &str = "every machine must have the same times, or specs would be left out by all of \
                       them; where nothing is known yet, give every machine a file of \
                       `{\"schema\":1,\"specs\":[]}`";
const FOREIGN: &str = "name a report that `portlid test --report json=FILE` wrote";

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    files::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(std::io::Error::other("it is too large"));
    }
    Ok(text)
}
