//! What every reader of a key needs: the fields of a map, and values of one kind.
//!
//! Each function returns the value, or puts a fault on the list and returns `None`. So a reader
//! just goes on with the next key, and every problem of a file is found in one go.

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

use crate::spec::{
    fault::{Fault, Faults},
    raw::{Entry, Node, Text, Value},
    shown::{all_of, nearest, one_of, quoted},
};

/// The entries of a map whose keys are all known.
#[derive(Debug)]
pub(super) struct Fields<'n> {
    entries: &'n [Entry],
    /// Known keys that an unknown one was most likely meant to be.
    meant: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The entries of the map `node`, which is the value of `name`; faults for all other keys.
    ///
    /// `misplaced` may know where a key that is not known here belongs, or what it is called.
    pub(super) fn of(
        node: &'n Node,
        name: &str,
        known: &[&'static str],
        misplaced: impl Fn(&str) -> Option<String>,
        faults: &mut Faults,
    ) -> Option<Self> {
        let entries = map(node, name, faults)?;
        let mut meant = Vec::new();
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let near = nearest(&entry.key, known.iter().copied());
            let hint = misplaced(&entry.key)
                .or_else(|| near.map(|near| format!("did you mean `{near}`?")));
            // What the hint names is not missed a second time.
            let names = |key: &&&str| {
                hint.as_ref().is_some_and(|hint| hint.split(['`', ':']).any(|it| it == **key))
            };
            meant.extend(known.iter().filter(names));
            let fault =
                Fault::new(entry.mark.clone(), format!("unknown key {}", quoted(&entry.key)));
            faults.push(match hint {
                Some(hint) => fault.hint(hint),
                // Whatever it is, it may be a variable that slipped out of `env`.
                None => fault.hint(format!("known here: {}", all_of(known))).hide_value(),
            });
        }
        Some(Self { entries, meant })
    }

    /// The value of `key`.
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The key and its value.
    pub(super) fn entry(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Whether `key` is missing, and not just misspelt, which is a problem of its own already.
    pub(super) fn lacks(&self, key: &str) -> bool {
        self.entry(key).is_none() && !self.meant.contains(&key)
    }
}

/// A fault of a value that is of another kind than `expected`.
pub(super) fn wrong_kind(node: &Node, name: &str, expected: &str, hint: &str, faults: &mut Faults) {
    let fault = match node.value {
        Value::Faulty => return,
        Value::Null => Fault::new(node.mark.clone(), format!("`{name}` has no value")),
        _ => {
            let message = format!("`{name}` must be {expected}, not {}", node.value.kind());
            Fault::new(node.mark.clone(), message)
        }
    };
    faults.push(fault.hint(hint));
}

/// The entries of a map.
pub(super) fn map<'n>(node: &'n Node, name: &str, faults: &mut Faults) -> Option<&'n [Entry]> {
    match &node.value {
        Value::Map(entries) => Some(entries),
        _ => {
            let hint = "write its keys below it, or remove it";
            wrong_kind(node, name, "a map", hint, faults);
            None
        }
    }
}

/// The items of a list.
pub(super) fn list<'n>(node: &'n Node, name: &str, faults: &mut Faults) -> Option<&'n [Node]> {
    match &node.value {
        Value::List(items) => Some(items),
        _ => {
            let hint = "write a list: `[a, b]`, or each item behind a `-` on its own line";
            wrong_kind(node, name, "a list", hint, faults);
            None
        }
    }
}

/// Text that is not empty.
pub(super) fn text<'n>(node: &'n Node, name: &str, faults: &mut Faults) -> Option<&'n Text> {
    let text = any_text(node, name, faults)?;
    if text.text.trim().is_empty() {
        let message = match &text.written {
            Some(written) => format!("`{name}` is empty, once {} is filled in", quoted(written)),
            None => format!("`{name}` is empty"),
        };
        faults
            .push(Fault::new(node.mark.clone(), message).hint("write a value, or remove the key"));
        return None;
    }
    Some(text)
}

/// Text, which may be empty.
pub(super) fn any_text<'n>(node: &'n Node, name: &str, faults: &mut Faults) -> Option<&'n Text> {
    match &node.value {
        Value::Text(text) => Some(text),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            wrong_kind(node, name, "text", "write it in quotes", faults);
            None
        }
        Value::Faulty | Value::Null | Value::List(_) | Value::Map(_) => {
            wrong_kind(node, name, "text", "write text, or remove the key", faults);
            None
        }
    }
}

/// `true` or `false`; also as the text of a variable.
pub(super) fn boolean(node: &Node, name: &str, faults: &mut Faults) -> Option<bool> {
    match &node.value {
        Value::Bool(value) => Some(*value),
        Value::Text(Text { text, written: Some(_) }) if text == "true" => Some(true),
        Value::Text(Text { text, written: Some(_) }) if text == "false" => Some(false),
        _ => {
            wrong_kind(node, name, "`true` or `false`", "write `true` or `false`", faults);
            None
        }
    }
}

/// A whole number within `range`; also as the text of a variable.
pub(super) fn integer(
    node: &Node,
    name: &str,
    range: RangeInclusive<i128>,
    faults: &mut Faults,
) -> Option<i128> {
    let (first, last) = (range.start(), range.end());
    let hint = format!("write a whole number from {first} to {last}");
    let number = match &node.value {
        Value::Int(number) => Some(*number),
        Value::Text(Text { text, written: Some(_) }) => text.parse().ok(),
        _ => None,
    };
    match number {
        Some(number) if range.contains(&number) => return Some(number),
        Some(_) => {
            let message = format!("{} is out of range for `{name}`", shown(node));
            faults.push(Fault::new(node.mark.clone(), message).hint(hint));
        }
        None => wrong_kind(node, name, "a whole number", &hint, faults),
    }
    None
}

/// One of a few words.
pub(super) fn word<T: Copy>(
    node: &Node,
    name: &str,
    words: &[(&'static str, T)],
    faults: &mut Faults,
) -> Option<T> {
    let text = text(node, name, faults)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.text) {
        return Some(*value);
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let hint = match nearest(&text.text, known.iter().copied()) {
        // What a variable holds must not show in what it resembles.
        Some(meant) if text.written.is_none() => format!("did you mean `{meant}`?"),
        _ => format!("write {}", one_of(&known)),
    };
    refuse(node, text, &format!("a value of `{name}`"), hint, faults);
    None
}

/// A duration such as `500ms`, `60s` or `1m30s`, within `range`.
pub(super) fn duration(
    node: &Node,
    name: &str,
    range: RangeInclusive<Duration>,
    faults: &mut Faults,
) -> Option<Duration> {
    const HINT: &str = "write it with its unit: `500ms`, `60s`, `2m`, `1h` or `1m30s`";
    let text = match &node.value {
        Value::Text(text) => text,
        Value::Int(number) => {
            let message = format!("`{name}` needs a unit: {number} of what?");
            faults.push(Fault::new(node.mark.clone(), message).hint(HINT));
            return None;
        }
        _ => {
            wrong_kind(node, name, "a duration", HINT, faults);
            return None;
        }
    };
    let Some(duration) = parse_duration(&text.text) else {
        refuse(node, text, "a duration", HINT, faults);
        return None;
    };
    if range.contains(&duration) {
        return Some(duration);
    }
    let message = format!("{} is out of range for `{name}`", quoted(text.shown()));
    let hint = format!("write a duration from {:?} to {:?}", range.start(), range.end());
    faults.push(Fault::new(node.mark.clone(), message).hint(hint));
    None
}

/// Numbers with units, each unit once, from the largest to the smallest.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut units = UNITS.iter();
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() || total == 0 && rest.len() == text.len() {
        let digits = rest.find(|it: char| !it.is_ascii_digit())?;
        let (number, behind) = rest.split_at(digits);
        let unit_end = behind.find(|it: char| it.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_end);
        let (_, milliseconds) = units.find(|(name, _)| *name == unit)?;
        let number: u64 = number.parse().ok()?;
        total = total.checked_add(number.checked_mul(*milliseconds)?)?;
        rest = behind;
    }
    Some(Duration::from_millis(total))
}

/// A fault of a text that is not what it should be.
pub(super) fn refuse(
    node: &Node,
    text: &Text,
    expected: &str,
    hint: impl Into<String>,
    faults: &mut Faults,
) {
    let message = format!("{} is not {expected}", describe(text));
    faults.push(Fault::new(node.mark.clone(), message).hint(hint));
}

/// The text as the file has it; a variable's value is not shown.
pub(super) fn describe(text: &Text) -> String {
    match &text.written {
        Some(written) => format!("what {} stands for", quoted(written)),
        None => quoted(&text.text),
    }
}

/// A scalar as the file has it, in backticks.
pub(super) fn shown(node: &Node) -> String {
    fn plain(value: impl Display) -> String {
        format!("`{value}`")
    }
    match &node.value {
        Value::Int(number) => plain(number),
        Value::Float(number) => plain(number),
        Value::Bool(value) => plain(value),
        Value::Text(text) => quoted(text.shown()),
        Value::Faulty | Value::Null | Value::List(_) | Value::Map(_) => {
            node.value.kind().to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parse_duration;

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("0ms", 0),
            ("500ms", 500),
            ("60s", 60_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1m30s", 90_000),
            ("1h2m3s4ms", 3_723_004),
            ("007s", 7_000),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in [
            "",
            " ",
            "5",
            "s",
            "ms",
            "1.5s",
            "-1s",
            "+1s",
            "1s1s",
            "1s1m",
            "5 s",
            " 5s",
            "5S",
            "1d",
            "99999999999999999999s",
            "9999999999999999h",
            "1m30",
            "٣s",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
