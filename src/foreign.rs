//! The one escaper: how text that somebody else wrote may be shown.
//!
//! Container names, logs, process names, labels and spec text are untrusted. Through [`Foreign`]
//! no control character, no terminal escape, no text direction mark and no command of a CI runner
//! reaches a line of ours. Formats with rules of their own (XML, HTML, ...) escape on top of this.

use std::{
    fmt::{self, Write},
    ops::Range,
    sync::LazyLock,
};

use regex::Regex;
use serde::{Deserialize, Serialize};

/// Text that somebody else wrote, kept as it is: the name of a process, a reason given in a spec.
///
/// It has no `Display`, so that it cannot end up in a line by mistake. [`Untrusted::shown`] makes it
/// safe for a line; a format with rules of its own escapes it through its escaper; and only what
/// compares it asks for the [raw](Untrusted::raw) text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Untrusted(String);

impl Untrusted {
    /// The text as it is: to compare or to change it, never to show it.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// The same, to change it.
    pub fn raw_mut(&mut self) -> &mut String {
        &mut self.0
    }

    /// The text, safe within a line, cut to at most `limit` characters.
    #[must_use]
    pub fn shown(&self, limit: usize) -> String {
        shown(&self.0, limit)
    }
}

impl fmt::Debug for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", Foreign(&self.0))
    }
}

impl From<String> for Untrusted {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Untrusted {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Foreign text; its `Display` is safe to print within a line.
#[derive(Clone, Copy, Debug)]
pub struct Foreign<'a>(pub &'a str);

impl fmt::Display for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = ' ';
        for character in self.0.chars() {
            // GitHub's and Azure's runners obey `##[command]` and `##vso[...]` anywhere in a line.
            let commands_a_runner = character == '#' && before == '#';
            if commands_a_runner || is_unsafe(character) {
                write!(f, "\\u{{{:x}}}", u32::from(character))?;
            } else {
                f.write_char(character)?;
            }
            before = character;
        }
        Ok(())
    }
}

/// Whether a character could move the cursor, hide, or reorder what stands around it.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
            | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
}

/// The text, safe to show, cut to at most `limit` characters.
#[must_use]
pub fn shown(text: &str, limit: usize) -> String {
    let mut shown: String = Foreign(text).to_string();
    if let Some((cut, _)) = shown.char_indices().nth(limit) {
        shown.truncate(cut);
        shown.push('…');
    }
    shown
}

/// The text without the passwords of URLs and references in it: `***` for each.
#[must_use]
pub fn without_credentials(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for range in credentials(text) {
        shown.push_str(&text[from..range.start]);
        shown.push_str("***");
        from = range.end;
    }
    shown.push_str(&text[from..]);
    shown
}

/// Where a text holds passwords, as in `USER:PASSWORD@HOST`. The digest of an image
/// (`web:1@sha256:...`) only looks so.
#[must_use]
pub fn credentials(text: &str) -> Vec<Range<usize>> {
    static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r#"(?:[A-Za-z][A-Za-z0-9+.-]*://)?[^\s/@:"'`,{\[(]*:([^\s/@"'`]+)@([^\s]*)"#)
            .ok()
    });
    // Without the expression nothing is sure.
    let Some(pattern) = PATTERN.as_ref() else { return std::iter::once(0..text.len()).collect() };
    let found = pattern.captures_iter(text).filter_map(|found| {
        let (password, host) = (found.get(1)?, found.get(2)?.as_str());
        let is_digest = ["sha256:", "sha512:"].iter().any(|it| host.starts_with(it));
        (!is_digest && !host.is_empty()).then(|| password.range())
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::{Foreign, shown, without_credentials};

    #[test]
    fn passwords_in_urls_are_hidden() {
        for (text, hidden) in [
            ("tcp://me:hunter2@host:1", "tcp://me:***@host:1"),
            ("at `http://me:hunter2@host/x?y`", "at `http://me:***@host/x?y`"),
            ("http://:hunter2@host", "http://:***@host"),
            ("me:hunter2@ghcr.io/a/b:1", "me:***@ghcr.io/a/b:1"),
            ("image: me:hunter2@ghcr.io/a", "image: me:***@ghcr.io/a"),
            ("a://u:one@h b://u:two@h", "a://u:***@h b://u:***@h"),
        ] {
            assert_eq!(without_credentials(text), hidden);
        }
        let id = "web:1@sha256:00ff";
        for text in [id, "ssh://me@host", "unix:///x@y", "a: b@c", "me@example.com: hello"] {
            assert_eq!(without_credentials(text), text);
        }
    }

    #[test]
    fn what_commands_a_terminal_or_a_runner_is_made_visible() {
        for (raw, safe) in [
            ("node", "node"),
            ("naïve 端口", "naïve 端口"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("a\r\n::error::b", "a\\u{d}\\u{a}::error::b"),
            ("##[error]x", "#\\u{23}[error]x"),
            ("##vso[task.complete]", "#\\u{23}vso[task.complete]"),
            ("\u{202e}gpj.exe", "\\u{202e}gpj.exe"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
        ] {
            assert_eq!(Foreign(raw).to_string(), safe, "{raw:?}");
        }
    }

    #[test]
    fn long_text_is_cut_with_a_mark() {
        assert_eq!(shown("abcdef", 3), "abc…");
        assert_eq!(shown("abc", 3), "abc");
    }
}
