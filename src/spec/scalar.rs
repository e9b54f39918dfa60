//! Text -> YAML that reads back as just this text, whatever is in it.
//!
//! For specs that are made of arguments, of what was seen, or of calls: they are read like any other.

use std::fmt::Write as _;

/// The text as a scalar wherever a value may stand. Nothing is filled in for a variable in it.
pub(crate) fn scalar(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// The same, with quotes in any case.
pub(crate) fn quoted(text: &str) -> String {
    // Elsewhere a dollar stands for itself.
    let is_filled_in = text.contains("${") || text.contains("$$");
    in_quotes(text, if is_filled_in { "$$" } else { "$" })
}

/// The text as a key of a mapping in block style. Nothing is ever filled into a key.
pub(crate) fn key(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { in_quotes(text, "$") }
}

/// Whether YAML takes the text as it is for this text and nothing else.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/@:+-".contains(&byte))
        // `true`, `80`, `1e3`, `a:` and the like are no text to YAML.
        && serde_yaml::from_str::<String>(text).is_ok_and(|read| read == text)
        && serde_yaml::from_str::<serde_yaml::Value>(text).is_ok_and(|read| read.is_string())
}

/// In double quotes, on one line. What is not plainly printable is escaped: YAML folds some line
/// breaks that are none elsewhere, and refuses other characters.
fn in_quotes(text: &str, dollar: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '$' => quoted.push_str(dollar),
            ' '..='~' => quoted.push(character),
            _ if character.is_alphanumeric() => quoted.push(character),
            _ => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(character));
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{key, quoted, scalar};
    use crate::spec::{Subject, load_text};

    /// What a spec's `why` reads as, where it is written so.
    fn why(written: &str) -> Option<String> {
        let text = format!("image: x\nexpose:\n  - port: 80\n    why: {written}\n");
        let spec = load_text("web.yaml", &text, &|_| Some("FILLED IN".to_owned())).specs.pop()?;
        spec.expose.into_iter().next()?.why
    }

    #[test]
    fn plain_text_stays_readable() {
        for text in ["80/tcp", "ghcr.io/acme/web:1.29", "prometheus", "2099-01-31x", "a:b"] {
            assert_eq!(scalar(text), text);
        }
        for text in ["80", "true", "~", "1e3", "a:", "- a", "", "a b", "#a", "é", "2.10"] {
            assert!(scalar(text).starts_with('"'), "{text} {}", scalar(text));
        }
        assert_eq!(quoted("^ready$"), "\"^ready$\"");
        assert_eq!(quoted("${A} $$ $"), "\"$${A} $$$$ $$\"");
        assert_eq!(key("${A}"), "\"${A}\"");
    }

    #[test]
    fn odd_text_reads_back_as_itself() {
        for text in [
            "a\u{2028}b\u{85}c\nd\te\r\u{feff}f\u{7f}g\u{ffff}h\u{1f980}i",
            "${HOME} $$ $x $",
            "\"'`\\ # : - { [ & * ! | > %",
            "<<",
        ] {
            assert_eq!(why(&scalar(text)).as_deref(), Some(text), "{}", scalar(text));
        }
    }

    proptest! {
        #[test]
        fn any_text_reads_back_as_itself(text in "\\PC{1,20}|[ -~]{1,20}|.{1,8}") {
            // A reason is trimmed, and a blank one refused, like any that a file holds.
            prop_assume!(!text.trim().is_empty() && !text.contains('\0'));
            prop_assert_eq!(why(&scalar(&text)), Some(text.trim().to_owned()));
            prop_assert_eq!(why(&quoted(&text)), Some(text.trim().to_owned()));
        }

        #[test]
        fn any_key_reads_back_as_itself(name in "[^=\\s\\p{Cc}]{1,12}") {
            prop_assume!(name != "<<");
            let text = format!("image: x\nexpose: []\nrun:\n  env:\n    {}: v\n", key(&name));
            let mut loaded = load_text("web.yaml", &text, &|_| Some("FILLED IN".to_owned()));
            let spec = loaded.specs.pop().unwrap();
            prop_assert_eq!(spec.run.env.keys().collect::<Vec<_>>(), [&name]);
            prop_assert_eq!(spec.subject, Subject::Image("x".to_owned()));
        }
    }
}
