//! What the parser says about a text that is no YAML, put into our words.

use std::{collections::HashMap, rc::Rc, sync::LazyLock};

use regex::Regex;
use serde::de::{Deserialize, IgnoredAny};

use crate::spec::{
    fault::{At, Fault, Mark},
    locate::{Location, start_of_document},
    shown::{escaped, quoted},
    source::Source,
};

/// The parser's time grows with the square of the brackets that are open.
const MOST_BRACKETS: usize = 1000;

/// The fault of a text that the parser refused.
pub(super) fn fault(source: &Rc<Source>, error: &serde_yaml::Error) -> Fault {
    let text = &*source.text;
    let place = error.location().map(|place| place.index());
    let said = parser_words(&error.to_string());
    // The parser's reader stops at such a character before it has counted any line.
    if let Some(index) = text.find(is_refused) {
        let at = At::Location(Location::of(text, index));
        return Fault::new(Mark::new(source, at), "a control character cannot be in YAML")
            .hint("remove it, or write it as an escape in double quotes");
    }
    let at = place.map_or(At::Start, |index| At::Location(Location::of(text, index)));
    let mark = Mark::new(source, at);
    let is_tab = place.is_some_and(|index| text.as_bytes().get(index) == Some(&b'\t'));
    match hint(&said, is_tab) {
        Some(hint) => Fault::new(mark, format!("this is not YAML: {said}")).hint(hint),
        None => Fault::new(mark, format!("this is not YAML: {said}")),
    }
}

/// The parser's message without its places (ours are better), cut and escaped.
fn parser_words(message: &str) -> String {
    static PLACE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r" at (line \d+ column \d+|position \d+)").ok());
    match &*PLACE {
        Some(place) => escaped(&place.replace_all(message, "")),
        None => escaped(message),
    }
}

/// What to try, for the mistakes that people make.
fn hint(said: &str, is_tab: bool) -> Option<&'static str> {
    const HINTS: [(&str, &str); 9] = [
        ("mapping values are not allowed", "check the indentation, or quote text that holds `: `"),
        ("did not find expected ',' or ']'", "close the list with `]`, or quote what holds `]`"),
        ("did not find expected ',' or '}'", "close the map with `}`, or quote what holds `}`"),
        ("did not find expected key", "check the indentation: keys of one map stand in one column"),
        (
            "did not find expected '-'",
            "check the indentation: items of one list stand in one column",
        ),
        ("did not find expected node content", "a `,` too many? an IPv6 address needs quotes"),
        ("cannot start any token", "text that begins with such a character needs quotes"),
        ("could not find expected ':'", "is a `:` missing behind the key, or a quote not closed?"),
        ("unknown anchor", "define it with `&name` first, or quote text that begins with `*`"),
    ];
    if is_tab {
        return Some("indent with blanks, not with tabs");
    }
    if said.contains("quoted scalar") {
        return Some("is the quote closed?");
    }
    HINTS.iter().find(|(words, _)| said.contains(words)).map(|(_, hint)| *hint)
}

/// Characters that YAML does not allow in a text.
fn is_refused(character: char) -> bool {
    matches!(
        character,
        '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\x7f' | '\u{80}'..='\u{84}'
            | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}'
    )
}

/// What is wrong with the document that follows the first: that it is there, or that it is none.
pub(super) fn second(source: &Rc<Source>, second: serde_yaml::Deserializer<'_>) -> Fault {
    if let Err(error) = IgnoredAny::deserialize(second) {
        return fault(source, &error);
    }
    let at = start_of_document(&source.text, 1).map_or(At::Start, At::Location);
    Fault::new(Mark::new(source, at), "a second YAML document begins here")
        .hint("one file is one spec: move it to a file of its own, or remove the `---`")
}

/// Brackets nested so deeply that parsing them would take seconds.
///
/// Quotes are not looked at: text with that many unclosed brackets in it is no spec either.
pub(super) fn deep_brackets(source: &Rc<Source>) -> Option<Fault> {
    let mut depth: usize = 0;
    for (index, byte) in source.text.bytes().enumerate() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MOST_BRACKETS {
            let at = At::Location(Location::of(&source.text, index));
            let fault = Fault::new(Mark::new(source, at), "too many brackets are open at once");
            return Some(fault.hint("close them, or escape those that stand for themselves"));
        }
    }
    None
}

/// An anchor that is defined twice, in a text that uses aliases.
///
/// The parser numbers anchors by their names, so that behind a redefinition an alias can stand for
/// another anchor's value. YAML allows it; here it is refused. Only the text can be asked, so an
/// `&name` in quotes counts too: better one file too many refused than one misread.
pub(super) fn redefined_anchor(source: &Rc<Source>) -> Option<Fault> {
    static ANCHOR: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?m)(?:^|[\s\[{,])([&*])([\w-]+)").ok());
    let text = &*source.text;
    if !(text.contains('&') && text.contains('*')) {
        return None;
    }
    let (mut first, mut redefined, mut has_alias) = (HashMap::new(), None, false);
    for found in ANCHOR.as_ref()?.captures_iter(text) {
        let (Some(sign), Some(name)) = (found.get(1), found.get(2)) else { continue };
        if sign.as_str() == "*" {
            has_alias = true;
        } else if let Some(earlier) = first.insert(name.as_str(), sign.start()) {
            redefined = redefined.or(Some((name.as_str(), sign.start(), earlier)));
        }
    }
    let (name, again, earlier) = redefined.filter(|_| has_alias)?;
    let mark = |index| Mark::new(source, At::Location(Location::of(text, index)));
    Some(
        Fault::new(mark(again), format!("the anchor {} is defined twice", quoted(name)))
            .hint("give each anchor a name of its own")
            .also(mark(earlier), "first here"),
    )
}
