//! `portlid look`: one look at one image, without a spec. It judges nothing.

use super::{
    left_behind,
    looking::{Subject, check, exit, exploring},
};
use crate::{
    cli::{Global, Look},
    exit::Exit,
    output,
    report::{json, look as picture},
};

/// Looks, and prints what is there.
pub(super) fn look(look: &Look, global: &Global) -> Exit {
    let subject = Subject::of(
        look.image.as_ref(),
        look.build.as_ref(),
        look.archive.as_ref(),
        look.container.as_ref(),
    );
    let spec = match exploring("look", &subject, &look.started) {
        Ok(spec) => spec,
        Err(exit) => return exit,
    };
    let Some(run) = check(&[spec], &look.started, global) else { return Exit::Internal };
    if look.json {
        output::result(&json::look(&run));
    } else {
        for record in &run.specs {
            output::result(&picture::look(record));
        }
    }
    left_behind(&run.left_behind);
    run.specs.iter().for_each(|record| left_behind(&record.left_behind));
    exit(&run)
}
