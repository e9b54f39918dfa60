//! `portlid diff`: two looks, and what the second exposes more or less.

use super::{
    left_behind,
    looking::{Subject, check, exit, exploring},
};
use crate::{
    cli::{Diff, Global},
    exit::Exit,
    output,
    report::{
        diff::{Way, changes, diff as text},
        json, look,
    },
};

/// Looks at both images and compares.
pub(super) fn diff(diff: &Diff, global: &Global) -> Exit {
    let specs: Result<Vec<_>, Exit> = [("old", &diff.old), ("new", &diff.new)]
        .into_iter()
        .map(|(name, image)| exploring(name, &Subject::Image(image.clone()), &diff.started))
        .collect();
    let specs = match specs {
        Ok(specs) => specs,
        Err(exit) => return exit,
    };
    let Some(run) = check(&specs, &diff.started, global) else { return Exit::Internal };
    let looked = exit(&run);
    let [old, new] = &run.specs[..] else { return Exit::Internal };
    let is_known = matches!(looked, Exit::Pass | Exit::LeftBehind);
    if diff.json {
        output::result(&json::diff(&run, is_known.then(|| changes(old, new)).as_deref()));
    } else if is_known {
        output::result(&text(old, new));
    } else {
        // What could not be looked at cannot be compared.
        for record in run.specs.iter().filter(|record| record.reason.is_some()) {
            output::aside(&look::look(record));
        }
    }
    left_behind(&run.left_behind);
    run.specs.iter().for_each(|record| left_behind(&record.left_behind));
    let exposes_more = is_known && changes(old, new).iter().any(|it| it.way == Way::More);
    if exposes_more { looked.and(Exit::Broken) } else { looked }
}
