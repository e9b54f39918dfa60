//! Values that must never be shown, and their removal from what others said.
//!
//! Values of `env`, build arguments and logins are known to portlid, and a container, a build or an
//! engine may repeat them: as they are, escaped, in base64, or percent-encoded. What was cut in the
//! middle of a value counts too. A value that somebody encrypts or turns round is beyond this.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use crate::foreign::Foreign;

/// What is shorter would make the rest unreadable (`80`, `web`, `true`).
const SHORTEST: usize = 6;
/// The same for a variable whose name says that it is secret.
const SHORTEST_NAMED: usize = 3;
/// A piece of base64 shorter than this may be there by chance.
const SHORTEST_ENCODED: usize = 8;
/// The end of a cut text that is the beginning of a value, if it is at least this long.
const SHORTEST_CUT: usize = 3;
/// What stands in a value's place.
const HIDDEN: &str = "***";

/// Values that must never be shown. Values are only ever added.
#[derive(Default)]
pub struct Secrets {
    /// Every spelling of every value, the longest first.
    spellings: Mutex<Vec<String>>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Secrets {
    /// Keeps the value of a variable secret.
    pub fn keep(&self, name: &str, value: &str) {
        let shortest = if is_secret(name) { SHORTEST_NAMED } else { SHORTEST };
        let mut found = BTreeSet::new();
        // Logs are read line by line.
        for value in [value.trim()].into_iter().chain(value.lines().map(str::trim)) {
            if value.chars().count() >= shortest {
                spell(value, &mut found);
            }
        }
        let mut spellings = self.spellings.lock().unwrap_or_else(PoisonError::into_inner);
        found.extend(spellings.drain(..));
        spellings.extend(found);
        spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
    }

    /// Hides every value in the text.
    pub fn hide(&self, text: &mut String) {
        let spellings = self.spellings.lock().unwrap_or_else(PoisonError::into_inner);
        for spelling in spellings.iter() {
            if text.contains(spelling.as_str()) {
                *text = text.replace(spelling.as_str(), HIDDEN);
            }
        }
        let begins = spellings.iter().filter_map(|spelling| cut(text, spelling)).min();
        if let Some(begins) = begins {
            text.truncate(begins);
            text.push_str(HIDDEN);
            text.push('…');
        }
    }

    /// The text with every value hidden.
    #[must_use]
    pub fn hidden(&self, text: &str) -> String {
        let mut text = text.to_owned();
        self.hide(&mut text);
        text
    }
}

/// Where a cut text ends with the beginning of a value.
fn cut(text: &str, spelling: &str) -> Option<usize> {
    let kept = text.strip_suffix('…')?;
    let lengths = spelling.char_indices().map(|(length, _)| length).rev();
    let length = lengths
        .filter(|&length| length >= SHORTEST_CUT)
        .find(|&length| kept.ends_with(&spelling[..length]))?;
    Some(kept.len() - length)
}

/// Whether the name of a variable says that its value is secret.
fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 9] =
        ["PASS", "PWD", "SECRET", "TOKEN", "KEY", "AUTH", "CREDENTIAL", "PIN", "SALT"];
    let name = name.to_ascii_uppercase();
    WORDS.iter().any(|word| name.contains(word))
}

/// Every way in which the value may be written.
fn spell(value: &str, spellings: &mut BTreeSet<String>) {
    let json = serde_json::to_string(value).unwrap_or_default();
    let json = json.trim_matches('"').to_owned();
    // As a shell, a debugger or Go's `%q` writes it.
    let debug = format!("{value:?}").trim_matches('"').to_owned();
    let plain = [value.to_owned(), json, debug, percent(value, false), percent(value, true)];
    for spelling in plain {
        spellings.insert(Foreign(&spelling).to_string());
        spellings.insert(spelling);
    }
    for alphabet in [STANDARD, URL_SAFE] {
        for before in 0..3 {
            let piece = encoded(value.as_bytes(), before, alphabet);
            if piece.len() >= SHORTEST_ENCODED {
                spellings.insert(piece);
            }
        }
    }
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    spellings.insert(hex.to_uppercase());
    spellings.insert(hex);
}

/// The value as a URL may hold it.
fn percent(value: &str, is_lower: bool) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ if is_lower => format!("%{byte:02x}"),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The part of the base64 of a longer text that depends on the value alone, where `before` bytes
/// (modulo 3) stand before it.
fn encoded(value: &[u8], before: usize, alphabet: &[u8; 64]) -> String {
    let bits = |index: usize| -> Option<usize> {
        let first = (index * 6).checked_sub(before * 8)?;
        let byte = |at: usize| value.get(at).map(|&byte| usize::from(byte));
        let (at, shift) = (first / 8, first % 8);
        if shift <= 2 {
            return Some(byte(at)? >> (2 - shift) & 63);
        }
        Some((byte(at)? << (shift - 2) | byte(at + 1)? >> (10 - shift)) & 63)
    };
    let count = (before + value.len()) * 8 / 6;
    (0..=count)
        .filter_map(bits)
        .filter_map(|six| alphabet.get(six))
        .map(|&byte| char::from(byte))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Secrets;

    fn keeping(name: &str, value: &str) -> Secrets {
        let secrets = Secrets::default();
        secrets.keep(name, value);
        secrets
    }

    #[test]
    fn a_value_is_hidden_in_every_spelling() {
        let secrets = keeping("A", "p\"ss wörd/1");
        for text in [
            "p\"ss wörd/1",
            "p\\\"ss wörd/1",
            "p%22ss%20w%C3%B6rd%2F1",
            "p%22ss%20w%c3%b6rd%2f1",
            "702273732077c3b672642f31",
        ] {
            assert_eq!(secrets.hidden(&format!("x={text};")), "x=***;", "{text}");
        }
    }

    #[test]
    fn a_value_is_hidden_in_base64_wherever_it_stands() {
        let secrets = keeping("A", "hunter2-and-more");
        // `hunter2-and-more`, `u:hunter2-and-more`, `me:hunter2-and-more` and `me:hunter2-and-more!!`.
        for (text, whole) in [
            ("aHVudGVyMi1hbmQtbW9yZQ==", "aHVudGVyMi1hbmQtbW9yZ"),
            ("dTpodW50ZXIyLWFuZC1tb3Jl", "odW50ZXIyLWFuZC1tb3Jl"),
            ("bWU6aHVudGVyMi1hbmQtbW9yZQ==", "aHVudGVyMi1hbmQtbW9yZ"),
            ("bWU6aHVudGVyMi1hbmQtbW9yZSEh", "aHVudGVyMi1hbmQtbW9yZ"),
        ] {
            let hidden = secrets.hidden(text);
            assert!(hidden.contains("***"), "{text}: {hidden}");
            assert!(!hidden.contains(&whole[4..16]), "{text}: {hidden}");
        }
    }

    #[test]
    fn a_value_that_was_cut_is_hidden_too() {
        let secrets = keeping("A", "hunter2-and-more");
        assert_eq!(secrets.hidden("password: hunter2-a…"), "password: ***…");
        assert_eq!(secrets.hidden("password: hu…"), "password: hu…");
        assert_eq!(secrets.hidden("password: hunter2-a"), "password: hunter2-a");
    }

    #[test]
    fn each_line_of_a_value_is_one() {
        let secrets = keeping("A", "-----BEGIN-----\nabcdefgh\n-----END-----\n");
        assert_eq!(secrets.hidden("| abcdefgh"), "| ***");
    }

    #[test]
    fn what_is_short_stays_unless_its_name_says_that_it_is_secret() {
        assert_eq!(keeping("PORT", "8080").hidden("listens on 8080"), "listens on 8080");
        assert_eq!(keeping("DB_PASSWORD", "s3cr").hidden("is s3cr"), "is ***");
        assert_eq!(keeping("PIN", "").hidden("nothing"), "nothing");
    }
}
