//! `needs`: companions, started before the subject, reachable by their names.

use crate::spec::{
    fault::{Fault, Faults},
    fields::{Fields, map},
    model::{Companion, Run},
    raw::Node,
    shown::quoted,
    validate::{
        limits::{HOST_NAME_HINT, is_host_name},
        paths::Place,
        ready, run, subject,
    },
};

const SUBJECTS: &[&str] = &["image", "build", "archive"];
/// What a companion is, the keys of `run` but `publish` and `egress` (which hold for the spec as a
/// whole), and `ready`.
pub(super) const KEYS: &[&str] = &[
    "image",
    "build",
    "archive",
    "ready",
    "command",
    "entrypoint",
    "env",
    "user",
    "hostname",
    "volumes",
    "tmpfs",
    "cap_add",
    "memory",
    "pids",
];

/// Each is a container of its own.
const MOST: usize = 32;

/// Reads the value of `needs`; the result is in the order of the names.
pub(super) fn needs(node: &Node, place: &Place, faults: &mut Faults) -> Vec<Companion> {
    let entries = map(node, "needs", faults).unwrap_or_default();
    if entries.len() > MOST {
        let message = format!("more than {MOST} companions");
        faults.push(Fault::new(node.mark.clone(), message).hint("name those that are needed"));
        return Vec::new();
    }
    let mut companions: Vec<Companion> = Vec::new();
    for entry in entries {
        let is_name = is_host_name(&entry.key) && !entry.key.eq_ignore_ascii_case("localhost");
        if !is_name {
            let message = format!("{} cannot be the name of a companion", quoted(&entry.key));
            let hint = format!("it is reached by this name, so: {HOST_NAME_HINT}");
            faults.push(Fault::new(entry.mark.clone(), message).hint(hint));
        } else if companions.iter().any(|other| other.name.eq_ignore_ascii_case(&entry.key)) {
            let message = format!("{} differs from another name only in case", quoted(&entry.key));
            let fault = Fault::new(entry.mark.clone(), message);
            faults.push(fault.hint("host names ignore case: give it a name of its own"));
        }
        if let Some(companion) = companion(&entry.key, &entry.node, place, faults) {
            companions.push(companion);
        }
    }
    companions.sort_by(|a, b| a.name.cmp(&b.name));
    companions
}

fn companion(name: &str, node: &Node, place: &Place, faults: &mut Faults) -> Option<Companion> {
    let shown = crate::spec::shown::escaped(name);
    let misplaced = |key: &str| match key {
        "publish" => Some("nothing of a companion is published".to_owned()),
        "container" => Some("a companion is started for each run: name its `image`".to_owned()),
        "platform" => Some("companions run on the engine's own platform".to_owned()),
        "expose" => Some("companions are not judged; give it a spec of its own".to_owned()),
        "run" => Some("write its keys directly below the name".to_owned()),
        "healthcheck" => Some("did you mean `ready`?".to_owned()),
        key => run::misplaced(key),
    };
    let fields = Fields::of(node, &shown, KEYS, misplaced, faults)?;
    let subject = subject::subject(node, &fields, SUBJECTS, place, faults);
    let run: Run = run::run(&fields, place, faults);
    let ready = match fields.get("ready") {
        Some(node) => ready::ready(node, faults),
        None => Some(ready::default()),
    };
    Some(Companion { name: name.to_owned(), subject: subject?, run, ready: ready? })
}
