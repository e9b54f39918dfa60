//! Defaults merged under a spec: maps key by key, anything else replaced as a whole.
//!
//! Every value keeps the mark of the file that it came from, so that a problem points there.

use crate::spec::{
    raw::{Entry, Node, Value},
    validate::CONDITIONS,
};

/// Keys of a defaults file that mean nothing for a container which already runs.
const FOR_STARTING: [&str; 2] = ["run", "platform"];

/// The spec with the defaults under it; `defaults` go from the deepest folder up.
pub(super) fn with_defaults<'n>(spec: &Node, defaults: impl IntoIterator<Item = &'n Node>) -> Node {
    defaults.into_iter().fold(spec.clone(), |upper, lower| {
        let mut lower = lower.clone();
        if let Value::Map(entries) = &mut lower.value {
            // `never` is no value to be merged: those of all levels add up.
            entries.retain(|entry| entry.key != "never");
            if get(spec, "container").is_some() {
                entries.retain(|entry| !FOR_STARTING.contains(&entry.key.as_str()));
            }
            // A spec's condition of readiness stands in for the defaults' one, whatever its kind.
            if get(&upper, "ready").is_some_and(states_condition) {
                for entry in entries.iter_mut().filter(|entry| entry.key == "ready") {
                    if let Value::Map(ready) = &mut entry.node.value {
                        ready.retain(|entry| !CONDITIONS.contains(&entry.key.as_str()));
                    }
                }
            }
        }
        merged(lower, upper)
    })
}

fn states_condition(ready: &Node) -> bool {
    CONDITIONS.iter().any(|condition| get(ready, condition).is_some())
}

fn get<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    match &node.value {
        Value::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|it| &it.node),
        _ => None,
    }
}

fn merged(lower: Node, upper: Node) -> Node {
    match (lower.value, upper.value) {
        (Value::Map(below), Value::Map(above)) => {
            Node { mark: upper.mark, value: Value::Map(merged_entries(below, above)) }
        }
        (_, value) => Node { mark: upper.mark, value },
    }
}

fn merged_entries(mut below: Vec<Entry>, above: Vec<Entry>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = above
        .into_iter()
        .map(|entry| match below.iter().position(|other| other.key == entry.key) {
            Some(index) => {
                let node = merged(below.remove(index).node, entry.node);
                Entry { node, ..entry }
            }
            None => entry,
        })
        .collect();
    entries.append(&mut below);
    entries
}
