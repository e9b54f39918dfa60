//! What every reader of a statement needs: the keys of an object, and values of one kind.
//!
//! Each function returns the value, or notes a reason and returns `None`; the reader goes on, so that
//! all reasons are told at once.

use super::{Reason, json::Json};
use crate::foreign::shown;

/// The most reasons that are told.
const MOST: usize = 40;

/// What is to be done about a statement that the report would not have written.
const REWRITE: &str = "this version of portlid would not write it so: run the test again with \
                       `--report intoto=FILE`, and take its file as it is";

/// The reasons found so far.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    list: Vec<Reason>,
    count: usize,
}

impl Reasons {
    pub(super) fn push(&mut self, what: impl Into<String>, hint: impl Into<String>) {
        self.count += 1;
        // A file of many faults is one fault to whoever reads this.
        if self.list.len() < MOST {
            self.list.push(Reason { what: what.into(), hint: hint.into() });
        }
    }

    /// Notes that something is not as the report writes it.
    pub(super) fn malformed(&mut self, what: impl Into<String>) {
        self.push(what, REWRITE);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All of them; those that are too many are counted.
    pub(super) fn into_list(self) -> Vec<Reason> {
        let Self { mut list, count } = self;
        if count > list.len() {
            let what = format!("{} more reasons", count - list.len());
            list.push(Reason { what, hint: REWRITE.to_owned() });
        }
        list
    }
}

/// An object with known keys, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object<'a, 'p> {
    json: &'a Json,
    path: &'p str,
}

impl<'a, 'p> Object<'a, 'p> {
    /// The object at `path`; every key but `known` ones is a reason.
    pub(super) fn of(
        json: &'a Json,
        path: &'p str,
        known: &[&str],
        reasons: &mut Reasons,
    ) -> Option<Self> {
        let Json::Object(entries) = json else {
            reasons.malformed(format!("{} is {}, not an object", named(path), json.kind()));
            return None;
        };
        for (key, _) in entries.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
            let what = format!("{} has an unknown key `{}`", named(path), shown(key, 60));
            reasons.malformed(what);
        }
        Some(Self { json, path })
    }

    /// The value of a key that may be missing.
    pub(super) fn get(&self, key: &str) -> Option<&'a Json> {
        self.json.get(key)
    }

    /// The value of a key that must be there.
    pub(super) fn value(&self, key: &str, reasons: &mut Reasons) -> Option<&'a Json> {
        let value = self.get(key);
        if value.is_none() {
            reasons.malformed(format!("`{}` is missing", self.at(key)));
        }
        value
    }

    /// The text of a key that must be there, and is not empty.
    pub(super) fn text(&self, key: &str, reasons: &mut Reasons) -> Option<&'a str> {
        let value = self.value(key, reasons)?;
        match value {
            Json::Text(text) if !text.trim().is_empty() => Some(text),
            Json::Text(_) => {
                reasons.malformed(format!("`{}` is empty", self.at(key)));
                None
            }
            _ => {
                reasons.malformed(format!("`{}` is {}, not text", self.at(key), value.kind()));
                None
            }
        }
    }

    /// The items of a key that must be there.
    pub(super) fn list(&self, key: &str, reasons: &mut Reasons) -> Option<&'a [Json]> {
        match self.value(key, reasons)? {
            Json::List(items) => Some(items),
            other => {
                reasons.malformed(format!("`{}` is {}, not a list", self.at(key), other.kind()));
                None
            }
        }
    }

    /// The texts of a key that must be there.
    pub(super) fn texts(&self, key: &str, reasons: &mut Reasons) -> Option<Vec<&'a str>> {
        let items = self.list(key, reasons)?;
        let texts: Option<Vec<&str>> = items.iter().map(Json::text).collect();
        if texts.is_none() {
            reasons.malformed(format!("`{}` is not a list of texts", self.at(key)));
        }
        texts
    }

    /// The `sha256:...` of the key `digest`, which must be there and hold nothing else.
    pub(super) fn digest(&self, reasons: &mut Reasons) -> Option<String> {
        let path = self.at("digest");
        let digest = Object::of(self.value("digest", reasons)?, &path, &["sha256"], reasons)?;
        let whole = format!("sha256:{}", digest.text("sha256", reasons)?);
        checked(whole, &format!("{path}.sha256"), reasons)
    }

    /// The `sha256:...` of a key that must be there.
    pub(super) fn digest_text(&self, key: &str, reasons: &mut Reasons) -> Option<String> {
        let text = self.text(key, reasons)?.to_owned();
        checked(text, &self.at(key), reasons)
    }

    /// Where a key of this stands.
    pub(super) fn at(&self, key: &str) -> String {
        if self.path == STATEMENT { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// What the statement as a whole is called in messages.
pub(super) const STATEMENT: &str = "the statement";

fn named(path: &str) -> String {
    if path == STATEMENT { path.to_owned() } else { format!("`{path}`") }
}

fn checked(digest: String, path: &str, reasons: &mut Reasons) -> Option<String> {
    if is_digest(&digest) {
        return Some(digest);
    }
    reasons.malformed(format!("`{path}` is no SHA-256 digest: `{}`", shown(&digest, 90)));
    None
}

/// Whether a text is `sha256:` and 64 hexadecimal digits, as everybody writes them.
pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hash| {
        hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}
