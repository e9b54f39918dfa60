//! How text reaches a format that has a meaning for some of its characters.
//!
//! A [`Doc`] takes its markup from string literals alone ([`Doc::raw`] wants a `&'static str`); all
//! else, whoever wrote it, goes through [`Doc::text`], which makes it visible first (see
//! [`Foreign`]) and then escapes it for the format. So there is no way for a process name, an image
//! name or a line of a log to become a tag, a link, a mention or a command.

use std::{
    fmt::{Display, Write as _},
    marker::PhantomData,
};

use serde::{Serialize, Serializer};

use crate::foreign::Foreign;

/// A format, and how text becomes harmless in it.
pub trait Format {
    /// Appends `text`, in which nothing is left that a terminal or a CI runner would obey.
    fn escape(text: &str, to: &mut String);
}

/// Text of a format in the making, or done.
#[derive(Debug)]
pub struct Doc<F> {
    text: String,
    format: PhantomData<F>,
}

impl<F> Default for Doc<F> {
    fn default() -> Self {
        Self { text: String::new(), format: PhantomData }
    }
}

impl<F: Format> Doc<F> {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that holds only this text.
    #[must_use]
    pub fn of(text: impl Display) -> Self {
        let mut doc = Self::new();
        doc.text(text);
        doc
    }

    /// Markup of ours, taken as it is.
    pub fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.text.push_str(markup);
        self
    }

    /// Text, whoever wrote it.
    pub fn text(&mut self, text: impl Display) -> &mut Self {
        F::escape(&Foreign(&text.to_string()).to_string(), &mut self.text);
        self
    }

    /// Something that is safe already.
    pub fn doc(&mut self, other: &Self) -> &mut Self {
        self.text.push_str(&other.text);
        self
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The text, to be written out.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }
}

impl<F> Serialize for Doc<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// A sentence of ours in pieces: text, and in turn what stood between backticks in it.
///
/// Foreign text within can hold backticks too, and only changes what looks like code.
pub(super) fn pieces(sentence: &str) -> impl Iterator<Item = (bool, &str)> {
    let pairs = sentence.matches('`').count() / 2;
    let mut rest = Some(sentence);
    let mut at = 0;
    std::iter::from_fn(move || {
        let text = rest?;
        let is_code = at % 2 == 1;
        let piece = match text.split_once('`') {
            Some((piece, after)) if at < pairs * 2 => {
                rest = Some(after);
                piece
            }
            _ => {
                rest = None;
                text
            }
        };
        at += 1;
        Some((is_code, piece))
    })
}

/// HTML: between tags, and in attributes between double quotes.
#[derive(Debug)]
pub struct Html;

impl Format for Html {
    fn escape(text: &str, to: &mut String) {
        for character in text.chars() {
            match character {
                '&' => to.push_str("&amp;"),
                '<' => to.push_str("&lt;"),
                '>' => to.push_str("&gt;"),
                '"' => to.push_str("&quot;"),
                '\'' => to.push_str("&#39;"),
                '`' => to.push_str("&#96;"),
                _ => to.push(character),
            }
        }
    }
}

impl Doc<Html> {
    /// A sentence of ours: what stands between backticks becomes code.
    pub fn prose(&mut self, sentence: &str) -> &mut Self {
        for (is_code, piece) in pieces(sentence) {
            if is_code {
                self.raw("<code>").text(piece).raw("</code>");
            } else {
                self.text(piece);
            }
        }
        self
    }
}

/// GitHub's Markdown, within a line or a table's cell.
#[derive(Debug)]
pub struct Markdown;

impl Format for Markdown {
    /// What has a meaning becomes a character reference, which means nothing but itself. Mentions,
    /// links to issues and bare addresses are found in the text that comes of that, so they are
    /// broken by a character that joins nothing.
    fn escape(text: &str, to: &mut String) {
        let mut before = ' ';
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '@' | '#' => {
                    let _ = write!(to, "&#{};&zwnj;", u32::from(character));
                }
                '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '!' | '|' | '~'
                | '$' | '&' | '^' | '=' | '"' | '\'' => {
                    let _ = write!(to, "&#{};", u32::from(character));
                }
                // `http://` and `:smile:`, but not the end of a word.
                ':' if characters.peek().is_some_and(|next| !next.is_whitespace()) => {
                    to.push_str("&zwnj;:");
                }
                '.' if matches!(before, 'w' | 'W') => to.push_str("&zwnj;."),
                _ => to.push(character),
            }
            before = character;
        }
    }
}

impl Doc<Markdown> {
    /// Text as code: in it nothing has a meaning, and it can be copied as it is.
    pub fn code(&mut self, text: impl Display) -> &mut Self {
        let text = Foreign(&text.to_string()).to_string();
        if text.trim().is_empty() {
            return self;
        }
        if text.contains("\\|") {
            // How a table's cells are cut there is told differently.
            return self.raw("<code>").text(&text).raw("</code>");
        }
        let fence = "`".repeat(longest_run(&text) + 1);
        // A table is cut into cells before anything else is looked at.
        let text = text.replace('|', "\\|");
        let space =
            if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
        let _ = write!(self.text, "{fence}{space}{text}{space}{fence}");
        self
    }

    /// A sentence of ours: what stands between backticks becomes code.
    pub fn prose(&mut self, sentence: &str) -> &mut Self {
        for (is_code, piece) in pieces(sentence) {
            if is_code {
                self.code(piece);
            } else {
                self.text(piece);
            }
        }
        self
    }

    /// Lines in a block of their own, each behind a mark: a line of somebody else's must not begin
    /// one of ours, where a CI runner that is shown the file would obey it.
    pub fn block<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) -> &mut Self {
        let lines: Vec<String> = lines.into_iter().map(|line| Foreign(line).to_string()).collect();
        let longest = lines.iter().map(|line| longest_run(line)).max().unwrap_or(0);
        let fence = "`".repeat(longest.max(2) + 1);
        let _ = writeln!(self.text, "{fence}text");
        for line in &lines {
            let _ = writeln!(self.text, "| {line}");
        }
        let _ = writeln!(self.text, "{fence}");
        self
    }
}

fn longest_run(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or(0)
}

/// The message of a command to GitHub's runner.
#[derive(Debug)]
pub struct Message;

impl Format for Message {
    fn escape(text: &str, to: &mut String) {
        for character in text.chars() {
            match character {
                '%' => to.push_str("%25"),
                '\r' => to.push_str("%0D"),
                '\n' => to.push_str("%0A"),
                _ => to.push(character),
            }
        }
    }
}

/// A property of a command to GitHub's runner: `file`, `title`.
#[derive(Debug)]
pub struct Property;

impl Format for Property {
    fn escape(text: &str, to: &mut String) {
        for character in text.chars() {
            match character {
                ':' => to.push_str("%3A"),
                ',' => to.push_str("%2C"),
                _ => Message::escape(character.encode_utf8(&mut [0; 4]), to),
            }
        }
    }
}

impl Doc<Message> {
    /// A property within the command.
    pub fn property(&mut self, text: impl Display) -> &mut Self {
        self.text.push_str(&Doc::<Property>::of(text).text);
        self
    }
}

/// A plain text message of SARIF, in which `[text](link)` is a link and `{0}` a placeholder.
#[derive(Debug)]
pub struct SarifText;

impl Format for SarifText {
    fn escape(text: &str, to: &mut String) {
        for character in text.chars() {
            match character {
                '\\' | '[' | ']' => {
                    to.push('\\');
                    to.push(character);
                }
                '{' => to.push_str("{{"),
                '}' => to.push_str("}}"),
                _ => to.push(character),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Doc, Html, Markdown, Message, SarifText, pieces};

    #[test]
    fn each_format_takes_the_meaning_away() {
        let hostile = "<b a=\"'\">&`x`";
        assert_eq!(
            Doc::<Html>::of(hostile).finish(),
            "&lt;b a=&quot;&#39;&quot;&gt;&amp;&#96;x&#96;"
        );
        assert_eq!(
            Doc::<Markdown>::of("@me #1 a|b").finish(),
            "&#64;&zwnj;me &#35;&zwnj;1 a&#124;b"
        );
        assert_eq!(Doc::<Markdown>::of("why: http://x").finish(), "why: http&zwnj;://x");
        assert_eq!(Doc::<Markdown>::of("1.2 www.x.y").finish(), "1.2 www&zwnj;.x.y");
        assert_eq!(Doc::<Message>::of("50%\n::x").finish(), "50%25\\u{a}::x");
        let mut command = Doc::<Message>::new();
        command.property("a:b,c%").raw("::");
        assert_eq!(command.finish(), "a%3Ab%2Cc%25::");
        assert_eq!(Doc::<SarifText>::of("[a](b) {0}").finish(), "\\[a\\](b) {{0}}");
    }

    #[test]
    fn code_is_fenced_by_more_backticks_than_it_has() {
        for (text, code) in [
            ("node", "`node`"),
            ("a`b", "``a`b``"),
            ("``", "``` `` ```"),
            ("a|b", "`a\\|b`"),
            ("a\\|b", "<code>a&#92;&#124;b</code>"),
            ("", ""),
        ] {
            let mut doc = Doc::<Markdown>::new();
            doc.code(text);
            assert_eq!(doc.finish(), code, "{text:?}");
        }
    }

    #[test]
    fn a_lone_backtick_is_text() {
        let all = |text| pieces(text).collect::<Vec<_>>();
        assert_eq!(all("a"), [(false, "a")]);
        assert_eq!(all("a `b` c"), [(false, "a "), (true, "b"), (false, " c")]);
        assert_eq!(all("a `b` c`d"), [(false, "a "), (true, "b"), (false, " c`d")]);
        assert_eq!(all("`"), [(false, "`")]);
    }
}
