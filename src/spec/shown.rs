//! Words of messages: foreign text in backticks, lists of words, and what was most likely meant.

use std::cmp::Reverse;

use crate::foreign;

/// The longest piece of foreign text in a message, in characters.
const LONGEST: usize = 80;

/// Foreign text as a message may hold it.
pub(super) fn escaped(text: &str) -> String {
    foreign::shown(&foreign::without_credentials(text), LONGEST)
}

/// The text in backticks, as messages name things.
pub(super) fn quoted(text: &str) -> String {
    // A backtick in the text would end the quotation early.
    format!("`{}`", escaped(text).replace('`', "'"))
}

/// `a`, `b` or `c`.
pub(super) fn one_of(words: &[&str]) -> String {
    match words {
        [others @ .., last] if !others.is_empty() => format!("{} or `{last}`", all_of(others)),
        words => all_of(words),
    }
}

/// `a`, `b`, `c`.
pub(super) fn all_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

/// The known word that was most likely meant.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A long foreign word resembles nothing, and comparing it would only take time.
    if word.len() > 64 {
        return None;
    }
    let fold = |word: &str| word.to_lowercase().replace('_', "-");
    let word = fold(word);
    known
        .into_iter()
        .map(|candidate| {
            let folded = fold(candidate);
            let distance = strsim::damerau_levenshtein(&word, &folded);
            (distance, Reverse(ends_in_common(&word, &folded)), candidate)
        })
        // One slip in a short word, two in a long one.
        .filter(|(distance, _, candidate)| *distance <= 1 + candidate.len() / 5)
        .filter(|(distance, _, candidate)| *distance < candidate.chars().count())
        .min()
        .map(|(_, _, candidate)| candidate)
}

/// How many characters two words begin and end with alike: slips are made in the middle.
fn ends_in_common(one: &str, other: &str) -> usize {
    let begin = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let end = one.chars().rev().zip(other.chars().rev()).take_while(|(a, b)| a == b).count();
    begin + end
}

#[cfg(test)]
mod tests {
    use super::{nearest, one_of, quoted};

    #[test]
    fn foreign_text_is_escaped_and_cut() {
        assert_eq!(quoted("a`b\u{1b}[31m"), "`a'b\\u{1b}[31m`");
        assert_eq!(quoted(&"x".repeat(500)).chars().count(), 83);
    }

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["image", "expose", "env", "entrypoint", "cap_add"];
        assert_eq!(nearest("exposes", known), Some("expose"));
        assert_eq!(nearest("EXPOSE", known), Some("expose"));
        assert_eq!(nearest("entry-point", known), Some("entrypoint"));
        assert_eq!(nearest("cap-add", known), Some("cap_add"));
        assert_eq!(nearest("evn", known), Some("env"));
        assert_eq!(nearest("htps", ["ftps", "http", "https"]), Some("https"));
        assert_eq!(nearest("volume", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }

    #[test]
    fn words_are_joined() {
        assert_eq!(one_of(&["a"]), "`a`");
        assert_eq!(one_of(&["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
