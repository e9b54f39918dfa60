//! The one escaper: how text that somebody else wrote may be shown.
//!
//! Container names, logs, process names, labels and spec text are untrusted. Through [`Foreign`]
//! no control character, no terminal escape, no text direction mark and no command of a CI runner
//! reaches a line of ours. Formats with rules of their own (XML, HTML, ...) escape on top of this.

use std::fmt::{self, Write};

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

#[cfg(test)]
mod tests {
    use super::{Foreign, shown};

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
