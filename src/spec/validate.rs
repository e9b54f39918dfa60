//! A tree -> a [`Spec`], or every reason why not.
//!
//! A reader never stops at the first problem. What it returns next to a problem is a stand-in: a
//! spec leaves here only if there was none.

mod contradictions;
mod expose;
mod image;
mod limits;
mod needs;
mod paths;
mod ports;
mod publish;
mod ready;
mod run;
mod subject;
#[cfg(test)]
mod tests;
mod together;
pub(super) mod words;

use std::{collections::BTreeMap, rc::Rc, time::Duration};

pub use self::image::{ReferenceError, check_reference};
pub(super) use self::{
    limits::CAPABILITIES,
    paths::{Place, reason},
    ready::CONDITIONS,
    together::Never,
};
use crate::{
    rule::{Level, Rule},
    spec::{
        fault::{Fault, Faults},
        fields::{Fields, duration, map, refuse, text, word},
        model::{Platform, Ready, Run, Scan, Spec},
        raw::{Node, Value},
        shown::{nearest, quoted},
        source::Source,
    },
};

const KEYS: &[&str] = &[
    "name",
    "image",
    "build",
    "archive",
    "container",
    "platform",
    "run",
    "needs",
    "ready",
    "watch",
    "scan",
    "expose",
    "rules",
];
const SUBJECTS: &[&str] = &["image", "build", "archive", "container"];
const DEFAULTS_KEYS: &[&str] = &["run", "ready", "watch", "scan", "rules", "platform", "never"];

const DEFAULT_WATCH: Duration = Duration::from_secs(2);
const LONGEST_WATCH: Duration = Duration::from_secs(60 * 60);
const LONGEST_NAME: usize = 100;

/// Whether a word is a key of the language, at any level.
pub(super) fn is_key(word: &str) -> bool {
    keys().any(|key| key == word)
}

/// Every key of the language; those of several levels are there several times.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    LEVELS.into_iter().flat_map(|(_, keys)| keys).copied()
}

/// The keys of every kind of map that has keys of its own.
pub(super) const LEVELS: [(&str, &[&str]); 8] = [
    ("spec", KEYS),
    ("defaults", DEFAULTS_KEYS),
    ("entry", expose::KEYS),
    ("ready", ready::KEYS),
    ("http", ready::HTTP_KEYS),
    ("run", run::KEYS),
    ("build", subject::BUILD_KEYS),
    ("companion", needs::KEYS),
];

/// Reads a spec: the tree of its file, with the defaults merged under it.
pub(super) fn validate(
    tree: &Node,
    source: &Rc<Source>,
    place: &Place,
    never: &[Never],
    faults: &mut Faults,
) -> Option<Spec> {
    let fields = Fields::of(tree, "the spec", KEYS, misplaced, faults)?;
    let name = name(tree, &fields, source, faults);
    let subject = subject::subject(tree, &fields, SUBJECTS, place, faults);
    let allowed = match fields.get("expose") {
        Some(node) => expose::expose(node, faults),
        None if !fields.lacks("expose") => Vec::new(),
        None => {
            let message = "`expose` is missing: the spec does not say which ports may be open";
            let hint = "write `expose: []` if nothing at all may listen";
            faults.push(Fault::new(tree.mark.clone(), message).hint(hint));
            Vec::new()
        }
    };
    together::check_never(&allowed, never, faults);
    let settings = settings(&fields, place, faults);
    let needs = fields.get("needs").map(|node| needs::needs(node, place, faults));
    contradictions::check(&fields, subject.as_ref(), &settings.run, &allowed, faults);
    if !faults.is_empty() {
        return None;
    }
    Some(Spec {
        name: name?,
        source: (**source).clone(),
        subject: subject?,
        platform: settings.platform,
        run: settings.run,
        needs: needs.unwrap_or_default(),
        ready: settings.ready,
        watch: settings.watch,
        scan: settings.scan,
        expose: allowed.into_iter().map(|allowed| allowed.entry).collect(),
        levels: settings.levels,
    })
}

/// Reads a defaults file for its own problems, and the ports that no spec may allow just so.
pub(super) fn validate_defaults(tree: &Node, place: &Place, faults: &mut Faults) -> Vec<Never> {
    let misplaced = |key: &str| {
        let is_spec_key = KEYS.contains(&key);
        is_spec_key.then(|| "each spec says for itself what it looks at and exposes".to_owned())
    };
    let Some(fields) = Fields::of(tree, "the file", DEFAULTS_KEYS, misplaced, faults) else {
        return Vec::new();
    };
    let _read_for_its_problems = settings(&fields, place, faults);
    fields.get("never").map(|node| together::never(node, faults)).unwrap_or_default()
}

/// The keys that a defaults file may hold as well.
struct Settings {
    platform: Option<Platform>,
    run: Run,
    ready: Ready,
    watch: Duration,
    scan: Scan,
    levels: BTreeMap<Rule, Level>,
}

fn settings(fields: &Fields<'_>, place: &Place, faults: &mut Faults) -> Settings {
    let run = fields
        .get("run")
        .and_then(|node| Fields::of(node, "run", run::KEYS, run::misplaced, faults))
        .map(|fields| run::run(&fields, place, faults));
    let ready = fields.get("ready").and_then(|node| ready::ready(node, faults));
    let watch = fields
        .get("watch")
        .and_then(|node| duration(node, "watch", Duration::ZERO..=LONGEST_WATCH, faults));
    let scan = fields.get("scan").and_then(|node| word(node, "scan", &words::SCANS, faults));
    Settings {
        platform: fields.get("platform").and_then(|node| subject::platform(node, faults)),
        run: run.unwrap_or_default(),
        ready: ready.unwrap_or_else(ready::default),
        watch: watch.unwrap_or(DEFAULT_WATCH),
        scan: scan.unwrap_or_default(),
        levels: fields.get("rules").map(|node| levels(node, faults)).unwrap_or_default(),
    }
}

/// Where a key belongs that is not known at the top of a spec.
fn misplaced(key: &str) -> Option<String> {
    match key {
        "ports" | "expose_ports" | "allow" => Some("did you mean `expose`?".to_owned()),
        "depends_on" | "services" => Some("did you mean `needs`?".to_owned()),
        "healthcheck" => Some("did you mean `ready`?".to_owned()),
        "never" => Some("it belongs into `_defaults.yaml`".to_owned()),
        "within" => Some("it belongs below `ready`".to_owned()),
        key if run::KEYS.contains(&key) => Some("it belongs below `run`".to_owned()),
        _ => None,
    }
}

/// The stated name, or the stem of the file.
fn name(tree: &Node, fields: &Fields<'_>, source: &Source, faults: &mut Faults) -> Option<String> {
    const HINT: &str = "a name is printable, has no blanks around it, and at most 100 characters";
    let is_name = |name: &str| {
        !name.is_empty()
            && name.trim() == name
            && name.chars().count() <= LONGEST_NAME
            && crate::foreign::Foreign(name).to_string() == name
    };
    if let Some(node) = fields.get("name") {
        let text = text(node, "name", faults)?;
        if is_name(&text.text) {
            return Some(text.text.clone());
        }
        refuse(node, text, "a name", HINT, faults);
        return None;
    }
    let stem = source.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if is_name(&stem) {
        return Some(stem);
    }
    let message = format!("the file's stem {} is not a name", quoted(&stem));
    faults.push(Fault::new(tree.mark.clone(), message).hint("give the spec a `name`"));
    None
}

/// Where the spec's name stands: at its key, else at the beginning.
pub(super) fn name_mark(tree: &Node) -> crate::spec::fault::Mark {
    let stated = match &tree.value {
        Value::Map(entries) => entries.iter().find(|entry| entry.key == "name"),
        _ => None,
    };
    stated.map_or_else(|| tree.mark.clone(), |entry| entry.node.mark.clone())
}

/// Reads `rules`: the levels that differ from the default.
fn levels(node: &Node, faults: &mut Faults) -> BTreeMap<Rule, Level> {
    let mut levels = BTreeMap::new();
    let words = Level::ALL.map(|level| (level.as_str(), level));
    for entry in map(node, "rules", faults).unwrap_or_default() {
        let rule: Option<Rule> = entry.key.parse().ok();
        if rule.is_none() {
            let hint = match nearest(&entry.key, Rule::ALL.map(Rule::id)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "`portlid explain` lists the rules".to_owned(),
            };
            let message = format!("no rule is called {}", quoted(&entry.key));
            faults.push(Fault::new(entry.mark.clone(), message).hint(hint));
        }
        let level = word(&entry.node, &entry.key, &words, faults);
        let (Some(rule), Some(level)) = (rule, level) else { continue };
        if !rule.is_fixed() {
            levels.insert(rule, level);
        } else if level != Level::Fail {
            let message = format!("`{rule}` is fixed: it always fails");
            let hint =
                "without it a pass would mean nothing; allow the port under `expose` instead";
            faults.push(Fault::new(entry.node.mark.clone(), message).hint(hint));
        }
    }
    levels
}
