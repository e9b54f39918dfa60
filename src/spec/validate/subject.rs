//! What is looked at: `image`, `build`, `archive` or `container`, and `platform`.

use std::path::Path;

use crate::spec::{
    fault::{Fault, Faults},
    fields::{Fields, describe, refuse, text},
    model::{Build, Platform, Subject},
    raw::{Node, Value},
    shown::one_of,
    validate::{
        image::check_reference,
        paths::{Kind, Place},
        run::variables,
    },
};

pub(super) const BUILD_KEYS: &[&str] = &["context", "dockerfile", "target", "args"];

/// Reads the one key of `kinds` that must be there; `owner` says who lacks it.
pub(super) fn subject(
    node: &Node,
    fields: &Fields<'_>,
    kinds: &[&str],
    place: &Place,
    faults: &mut Faults,
) -> Option<Subject> {
    let stated: Vec<_> = kinds.iter().filter_map(|kind| fields.entry(kind)).collect();
    match stated.as_slice() {
        [] if kinds.iter().any(|kind| !fields.lacks(kind)) => return None,
        [] => {
            let message = format!("nothing to look at: none of {} is there", one_of(kinds));
            let hint = "write `image: NAME:TAG`, or what else there is to look at";
            faults.push(Fault::new(node.mark.clone(), message).hint(hint));
            return None;
        }
        [_] => {}
        [first, others @ ..] => {
            for other in others {
                let message = format!("`{}` and `{}` contradict each other", first.key, other.key);
                faults.push(
                    Fault::new(other.mark.clone(), message)
                        .hint("a spec looks at one thing: remove one of them")
                        .also(first.mark.clone(), "stated here already"),
                );
            }
        }
    }
    // All of them are read for their own problems; with more than one, none counts.
    let subjects: Vec<Option<Subject>> = stated
        .iter()
        .map(|entry| match entry.key.as_str() {
            "image" => image(&entry.node, faults),
            "build" => build(&entry.node, place, faults).map(Subject::Build),
            "archive" => archive(&entry.node, place, faults),
            _ => container(&entry.node, faults),
        })
        .collect();
    subjects.into_iter().next().flatten()
}

fn image(node: &Node, faults: &mut Faults) -> Option<Subject> {
    let text = text(node, "image", faults)?;
    match check_reference(&text.text) {
        Ok(()) => Some(Subject::Image(text.text.clone())),
        Err(error) => {
            let message = format!("{} is not an image reference: {}", describe(text), error.reason);
            faults.push(Fault::new(node.mark.clone(), message).hint(error.hint));
            None
        }
    }
}

fn archive(node: &Node, place: &Place, faults: &mut Faults) -> Option<Subject> {
    let text = text(node, "archive", faults)?;
    place.inside_root(node, text, Kind::File, faults).map(Subject::Archive)
}

fn container(node: &Node, faults: &mut Faults) -> Option<Subject> {
    let text = text(node, "container", faults)?;
    let name = &text.text;
    let is_name = name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if !is_name {
        refuse(node, text, "the name or id of a container", "see `docker ps`", faults);
    }
    is_name.then(|| Subject::Container(name.clone()))
}

fn build(node: &Node, place: &Place, faults: &mut Faults) -> Option<Build> {
    let (context_node, fields) = match &node.value {
        Value::Map(_) => {
            let misplaced = |key: &str| match key {
                "path" | "folder" | "dir" => Some("did you mean `context`?".to_owned()),
                "file" => Some("did you mean `dockerfile`?".to_owned()),
                "stage" => Some("did you mean `target`?".to_owned()),
                "build_args" => Some("did you mean `args`?".to_owned()),
                _ => None,
            };
            let fields = Fields::of(node, "build", BUILD_KEYS, misplaced, faults)?;
            (fields.get("context"), Some(fields))
        }
        _ => (Some(node), None),
    };
    let get = |key: &str| fields.as_ref().and_then(|fields| fields.get(key));
    let name = if fields.is_some() { "context" } else { "build" };
    let context = match context_node {
        Some(context_node) => text(context_node, name, faults).and_then(|text| {
            let folder = place.inside_root(context_node, text, Kind::Folder, faults)?;
            Some((folder, text.text.clone()))
        }),
        None if fields.as_ref().is_some_and(|fields| !fields.lacks("context")) => None,
        None => {
            let fault = Fault::new(node.mark.clone(), "`build` has no `context`");
            faults.push(fault.hint("write `context: FOLDER`, relative to the spec's folder"));
            None
        }
    };
    let dockerfile = get("dockerfile").map(|node| {
        let context = context.as_ref().map(|(folder, _)| folder.as_path());
        dockerfile(node, context, place, faults)
    });
    let target = get("target").map(|node| {
        let text = text(node, "target", faults)?;
        let is_stage = text.text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.text.bytes().all(|it| it.is_ascii_alphanumeric() || b"_.-".contains(&it));
        if !is_stage {
            refuse(node, text, "a stage", "write a name that `FROM ... AS NAME` gives", faults);
        }
        is_stage.then(|| text.text.clone())
    });
    let args = get("args").map(|node| variables(node, "args", faults)).unwrap_or_default();
    let (context, shown) = context?;
    let dockerfile = match dockerfile {
        Some(stated) => stated?,
        None => default_dockerfile(node, &context, place, faults)?,
    };
    Some(Build { context, shown, dockerfile, target: target.flatten(), args })
}

/// The stated Dockerfile, relative to the context and within it.
fn dockerfile(
    node: &Node,
    context: Option<&Path>,
    place: &Place,
    faults: &mut Faults,
) -> Option<String> {
    let text = text(node, "dockerfile", faults)?;
    let is_plain = !text.text.starts_with(['/', '-'])
        && text.text.split('/').all(|part| !matches!(part, "" | ".."));
    if !is_plain {
        let hint = "write it relative to the context, and within it: `docker/Dockerfile.prod`";
        refuse(node, text, "a path within the context", hint, faults);
        return None;
    }
    let context = context?;
    if place.looks_up {
        let resolved = context.join(&text.text).canonicalize();
        let message = match resolved {
            Ok(path) if !path.starts_with(context) => "lies outside of the context",
            Ok(path) if path.is_file() => return Some(text.text.clone()),
            Ok(_) => "is not a file",
            Err(_) => "is not in the context",
        };
        let fault = Fault::new(node.mark.clone(), format!("{} {message}", describe(text)));
        faults.push(fault.hint("`dockerfile` is relative to the context"));
        return None;
    }
    Some(text.text.clone())
}

/// `Dockerfile`, or `Containerfile` where only that is there.
fn default_dockerfile(
    node: &Node,
    context: &Path,
    place: &Place,
    faults: &mut Faults,
) -> Option<String> {
    let found = ["Dockerfile", "Containerfile"]
        .into_iter()
        .find(|name| !place.looks_up || context.join(name).is_file());
    if found.is_none() {
        let fault = Fault::new(node.mark.clone(), "the context holds no `Dockerfile`");
        faults.push(fault.hint("name the file: `build: { context: FOLDER, dockerfile: FILE }`"));
    }
    found.map(str::to_owned)
}

/// Reads `OS/ARCHITECTURE[/VARIANT]`.
pub(super) fn platform(node: &Node, faults: &mut Faults) -> Option<Platform> {
    const HINT: &str = "write `linux/amd64`, `linux/arm64` or `linux/arm/v7`";
    let text = text(node, "platform", faults)?;
    let parts: Vec<&str> = text.text.split('/').collect();
    let is_part = |part: &&str| {
        !part.is_empty() && part.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
    };
    let (os, architecture, variant) = match parts.as_slice() {
        [os, architecture] => (os, architecture, None),
        [os, architecture, variant] => (os, architecture, Some((*variant).to_owned())),
        _ => {
            refuse(node, text, "a platform", HINT, faults);
            return None;
        }
    };
    let hint = match *architecture {
        "x86_64" | "x64" => "did you mean `linux/amd64`?",
        "aarch64" | "armv8" => "did you mean `linux/arm64`?",
        "i386" | "x86" => "did you mean `linux/386`?",
        "armv7" | "armhf" => "did you mean `linux/arm/v7`?",
        _ if *os != "linux" => "only Linux images can be looked at: write `linux/amd64`",
        _ if parts.iter().all(is_part) => {
            return Some(Platform {
                os: (*os).to_owned(),
                architecture: (*architecture).to_owned(),
                variant,
            });
        }
        _ => HINT,
    };
    refuse(node, text, "a platform", hint, faults);
    None
}
