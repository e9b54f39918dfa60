//! A YAML text -> a tree of [`Node`]s in which nothing has won silently.
//!
//! The tree keeps for every value where it stands, so that later stages can point at it. Whatever
//! YAML allows and a spec must not hold (duplicate keys, keys that are no text, merge keys, tags,
//! more than one document) is a fault of its own here, and the rest of the file is still read.
//! Time and memory are bounded, aliases included. Nothing here knows the spec language.

mod reader;
mod syntax;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use crate::spec::{
    fault::{At, Fault, Faults, Mark},
    source::Source,
};

/// The largest file that is read, in bytes.
pub(super) const LARGEST_FILE: usize = 256 * 1024;

/// How a variable of the environment is looked up.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where it stands.
    pub(super) mark: Mark,
    /// What it is.
    pub(super) value: Value,
}

/// What a YAML value can be.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A fault about it is already on the list: whoever meets it says nothing more.
    Faulty,
    /// `null`, `~`, or nothing at all.
    Null,
    /// `true` or `false`; `yes` and `on` are text.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(Text),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order of the file. Every key is text, and is there once.
    Map(Vec<Entry>),
}

/// A piece of text after `${...}` was filled in.
#[derive(Clone, Debug)]
pub(super) struct Text {
    /// The text that counts.
    pub(super) text: String,
    /// What the file says instead, if variables were filled in. Their values may be secrets: only
    /// this is ever shown.
    pub(super) written: Option<String>,
}

impl Text {
    /// The text as messages may show it.
    pub(super) fn shown(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.text)
    }
}

/// A key of a mapping and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The key.
    pub(super) key: String,
    /// Where the key stands.
    pub(super) mark: Mark,
    /// Its value.
    pub(super) node: Node,
}

impl Value {
    /// The kind of value, as messages name it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Faulty => "a faulty value",
            Self::Null => "nothing",
            Self::Bool(_) => "`true` or `false`",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// Reads the one document of `source`; `None` if it cannot be read at all.
pub(super) fn parse(
    source: &Rc<Source>,
    environment: Environment<'_>,
    faults: &mut Faults,
) -> Option<Node> {
    let unparsed = syntax::deep_brackets(source).or_else(|| syntax::redefined_anchor(source));
    if let Some(fault) = unparsed {
        faults.distrust(source);
        faults.push(fault);
        return None;
    }
    let mut documents = serde_yaml::Deserializer::from_str(&source.text);
    let whole = |message: &str| Fault::new(Mark::new(source, At::Start), message);
    let nothing = || {
        whole("the file is empty").hint("write `image: IMAGE` and `expose: []`, or delete the file")
    };
    let Some(document) = documents.next() else {
        faults.push(nothing());
        return None;
    };
    let node = match reader::read(document, source, environment, faults) {
        Ok(node) => node,
        Err(fault) => {
            faults.distrust(source);
            faults.push(*fault);
            return None;
        }
    };
    if let Some(second) = documents.next() {
        faults.distrust(source);
        faults.push(syntax::second(source, second));
        return None;
    }
    match node.value {
        Value::Null => {
            faults.push(nothing());
            None
        }
        Value::Map(_) => Some(node),
        Value::Faulty => None,
        _ => {
            let found = node.value.kind();
            faults
                .push(Fault::new(node.mark, format!("a spec is a map of keys, not {found}")).hint(
                    "the smallest spec is `image: IMAGE` and `expose: []`, each on its line",
                ));
            None
        }
    }
}
