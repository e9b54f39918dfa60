//! `run`: how a container is started. The same keys stand directly below a companion's name.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use crate::spec::{
    fault::{Fault, Faults},
    fields::{Fields, any_text, integer, list, map, refuse, text, word, wrong_kind},
    locate::{Step, scalar_texts},
    model::{PublishMode, Run, Volume},
    raw::{Node, Value},
    shown::{nearest, quoted},
    validate::{
        limits::{self, is_host_name},
        paths::{Kind, Place},
        publish, words,
    },
};

/// The keys of `run`.
pub(in crate::spec) const KEYS: &[&str] = &[
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
    "publish",
    "egress",
];

/// What keys are called elsewhere.
pub(super) fn misplaced(key: &str) -> Option<String> {
    let meant = match key {
        "cmd" | "args" => "command",
        "environment" | "envs" => "env",
        "mounts" | "volume" => "volumes",
        "ports" => "publish",
        "mem_limit" | "mem" => "memory",
        "pids_limit" => "pids",
        "capabilities" | "caps" => "cap_add",
        "privileged" => return Some("an image under test is never privileged".to_owned()),
        "network" | "network_mode" | "networks" => "egress",
        _ => return None,
    };
    Some(format!("did you mean `{meant}`?"))
}

/// Reads `run`, or the keys of it that stand beside others below a companion's name.
pub(super) fn run(fields: &Fields<'_>, place: &Place, faults: &mut Faults) -> Run {
    let mut run = Run::default();
    if let Some(node) = fields.get("command") {
        run.command = words(node, "command", faults);
    }
    if let Some(node) = fields.get("entrypoint") {
        run.entrypoint = words(node, "entrypoint", faults);
    }
    if let Some(node) = fields.get("env") {
        run.env = variables(node, "env", faults);
    }
    run.user = fields.get("user").and_then(|node| user(node, faults));
    run.hostname = fields.get("hostname").and_then(|node| hostname(node, faults));
    if let Some(node) = fields.get("volumes") {
        let items = list(node, "volumes", faults).unwrap_or_default();
        run.volumes = items.iter().filter_map(|item| volume(item, place, faults)).collect();
    }
    if let Some(node) = fields.get("tmpfs") {
        let items = list(node, "tmpfs", faults).unwrap_or_default();
        run.tmpfs = items.iter().filter_map(|item| tmpfs(item, faults)).collect();
    }
    if let Some(node) = fields.get("cap_add") {
        run.cap_add = capabilities(node, faults);
    }
    if let Some(node) = fields.get("memory") {
        run.memory = limits::memory(node, faults).unwrap_or(Run::DEFAULT_MEMORY);
    }
    if let Some(node) = fields.get("pids") {
        let pids = integer(node, "pids", words::PIDS, faults);
        run.pids = pids.and_then(|pids| pids.try_into().ok()).unwrap_or(Run::DEFAULT_PIDS);
    }
    if let Some(node) = fields.get("publish") {
        run.publish = publish::mode(node, faults).unwrap_or(PublishMode::All);
    }
    if let Some(node) = fields.get("egress") {
        run.egress = word(node, "egress", &words::EGRESSES, faults).unwrap_or_default();
    }
    run
}

/// A list of words. A plain string is refused: it would need a shell's rules to be split.
fn words(node: &Node, name: &str, faults: &mut Faults) -> Option<Vec<String>> {
    if let Value::Text(text) = &node.value {
        let example = match &text.written {
            None => {
                let words: Vec<&str> = text.text.split_whitespace().collect();
                format!("[{}]", words.join(", "))
            }
            Some(_) => "[serve, --verbose]".to_owned(),
        };
        let hint = format!("write a list, one item a word: {}", quoted(&example));
        wrong_kind(node, name, "a list of words", &hint, faults);
        return None;
    }
    let items = list(node, name, faults)?;
    items.iter().map(|item| any_text(item, name, faults).map(|text| text.text.clone())).collect()
}

/// `env` of a container, or `args` of a build. The values are secrets.
pub(super) fn variables(node: &Node, name: &str, faults: &mut Faults) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    if let Value::List(_) = node.value {
        let hint = "write a map: `NAME: value`, each on its own line";
        wrong_kind(node, name, "a map", hint, faults);
        return variables;
    }
    let mut texts = Texts::default();
    for entry in map(node, name, faults).unwrap_or_default() {
        let key = &entry.key;
        let is_name = !key.is_empty()
            && !key.contains('=')
            && !key.contains(|it: char| it.is_whitespace() || it.is_control());
        if !is_name {
            let message = format!("{} is not the name of a variable", quoted(key));
            let hint = "a name is not empty and holds no `=` and no blank";
            faults.push(Fault::new(entry.mark.clone(), message).hint(hint));
        }
        if let Some(value) = scalar(&entry.node, key, &mut texts, faults) {
            faults.keep_secret(&value);
            variables.insert(key.clone(), value);
        }
    }
    variables
}

/// The value as the file has it: `1.10` stays `1.10`.
fn scalar(node: &Node, key: &str, texts: &mut Texts, faults: &mut Faults) -> Option<String> {
    let name = quoted(key);
    match &node.value {
        Value::Text(text) => return Some(text.text.clone()),
        Value::Bool(value) => return texts.of(node).or_else(|| Some(value.to_string())),
        Value::Int(value) => return texts.of(node).or_else(|| Some(value.to_string())),
        Value::Float(value) => return texts.of(node).or_else(|| Some(value.to_string())),
        Value::Null => faults.push(
            Fault::new(node.mark.clone(), format!("{name} has no value"))
                .hint("write `\"\"` for an empty value, or `${VAR}` to pass one on"),
        ),
        Value::List(_) | Value::Map(_) => {
            let message = format!("{name} must be one value, not {}", node.value.kind());
            faults.push(Fault::new(node.mark.clone(), message).hint("write it in quotes"));
        }
        Value::Faulty => {}
    }
    None
}

/// The texts of a map's scalars, as its file has them. A merged map is of several files.
#[derive(Default)]
struct Texts(HashMap<(PathBuf, Vec<Step>), Vec<String>>);

impl Texts {
    fn of(&mut self, node: &Node) -> Option<String> {
        let source = node.mark.source();
        let mut steps = node.mark.trail()?.steps();
        let Some(Step::Value(index)) = steps.pop() else { return None };
        let texts = self
            .0
            .entry((source.file.clone(), steps))
            .or_insert_with_key(|(_, steps)| scalar_texts(&source.text, steps));
        texts.get(index).cloned()
    }
}

fn user(node: &Node, faults: &mut Faults) -> Option<String> {
    const HINT: &str = "write a uid or a name, and a group behind a `:` if need be";
    if let Value::Int(uid) = node.value {
        return match u32::try_from(uid) {
            Ok(uid) => Some(uid.to_string()),
            Err(_) => {
                let message = format!("`{uid}` is not a user");
                faults.push(Fault::new(node.mark.clone(), message).hint(HINT));
                None
            }
        };
    }
    let text = text(node, "user", faults)?;
    let mut parts = text.text.split(':');
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && part.chars().all(|it| it.is_ascii_alphanumeric() || "_.-$".contains(it))
    };
    let is_user = parts.clone().count() <= 2 && parts.all(is_part);
    if !is_user {
        refuse(node, text, "a user", HINT, faults);
    }
    is_user.then(|| text.text.clone())
}

fn hostname(node: &Node, faults: &mut Faults) -> Option<String> {
    let text = text(node, "hostname", faults)?;
    if is_host_name(&text.text) {
        return Some(text.text.clone());
    }
    refuse(node, text, "a host name", limits::HOST_NAME_HINT, faults);
    None
}

/// `SOURCE:TARGET[:ro|rw]`.
fn volume(node: &Node, place: &Place, faults: &mut Faults) -> Option<Volume> {
    const HINT: &str = "write `./SOURCE:/TARGET:ro`, with a source in the spec's own folder";
    let text = text(node, "volumes", faults)?;
    let parts: Vec<&str> = text.text.split(':').collect();
    let (source, target, mode) = match parts.as_slice() {
        [source, target] => (*source, *target, None),
        [source, target, mode] => (*source, *target, Some(*mode)),
        _ => {
            refuse(node, text, "a volume", HINT, faults);
            return None;
        }
    };
    let read_only = match mode {
        // The image is not trusted: it may write into the folder of specs only where one says so.
        None | Some("ro") => true,
        Some("rw") => false,
        Some(_) => {
            refuse(node, text, "a volume", "the part behind the last `:` is `ro` or `rw`", faults);
            return None;
        }
    };
    if !is_container_path(target) {
        let hint = "the target is an absolute path in the container, without `..`, and not `/`";
        refuse(node, text, "a volume", hint, faults);
        return None;
    }
    let source = place.inside_folder(node, text, source, Kind::FileOrFolder, faults)?;
    Some(Volume { source, target: target.to_owned(), read_only })
}

/// `/PATH`, or `/PATH:OPTIONS`.
fn tmpfs(node: &Node, faults: &mut Faults) -> Option<String> {
    let text = text(node, "tmpfs", faults)?;
    let (path, options) = match text.text.split_once(':') {
        Some((path, options)) => (path, Some(options)),
        None => (text.text.as_str(), None),
    };
    let has_options = options.is_none_or(|options| {
        !options.is_empty() && !options.contains(|it: char| it.is_whitespace() || it == ':')
    });
    if is_container_path(path) && has_options {
        return Some(text.text.clone());
    }
    let hint = "write an absolute path in the container, such as `/run` or `/run:size=64m`";
    refuse(node, text, "a folder in memory", hint, faults);
    None
}

fn is_container_path(path: &str) -> bool {
    path.starts_with('/')
        && path.split('/').any(|part| !matches!(part, "" | "."))
        && path.split('/').all(|part| part != "..")
        && !path.contains(char::is_control)
}

fn capabilities(node: &Node, faults: &mut Faults) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for item in list(node, "cap_add", faults).unwrap_or_default() {
        let Some(text) = text(item, "cap_add", faults) else { continue };
        let name = text.text.to_ascii_uppercase();
        let name = name.strip_prefix("CAP_").unwrap_or(&name);
        if name == "ALL" {
            let fault =
                Fault::new(item.mark.clone(), "`ALL` capabilities are more than a gate gives");
            faults.push(fault.hint("name those that the image needs"));
        } else if !limits::CAPABILITIES.contains(&name) {
            let hint = match nearest(name, limits::CAPABILITIES.iter().copied()) {
                Some(meant) if text.written.is_none() => format!("did you mean `{meant}`?"),
                _ => "write its name as in `man 7 capabilities`, such as `NET_ADMIN`".to_owned(),
            };
            refuse(item, text, "a capability", hint, faults);
        } else if names.iter().any(|known| known == name) {
            let fault = Fault::new(item.mark.clone(), format!("`{name}` is there twice"));
            faults.push(fault.hint("remove one of them"));
        } else {
            names.push(name.to_owned());
        }
    }
    names
}
