//! Secrets in the text of a spec: the values below `env` and `args` become `*`.
//!
//! This must also work for a text that is not YAML (the line of a syntax error is shown, too), so
//! it reads lines, not a tree, and would rather hide too much than too little. It replaces one
//! character by one, so that lines and columns stay.

use std::{collections::HashSet, sync::LazyLock};

use regex::Regex;

use crate::spec::{shown::nearest, validate::is_key};

/// Values shorter than this are hidden only where they stand, not wherever they occur: `80` or
/// `web` below `env` must not make the rest of the file unreadable.
const SHORTEST_EVERYWHERE: usize = 6;

/// The text with the values below `env` and `args`, and the known `secrets` anywhere, hidden.
pub(super) fn masked(text: &str, secrets: &HashSet<String>) -> String {
    let mut masker = Masker { shown: String::with_capacity(text.len()), state: State::Outside };
    for line in text.split_inclusive('\n') {
        masker.line(line);
    }
    let mut shown = masker.shown;
    for secret in secrets.iter().filter(|secret| secret.chars().count() >= SHORTEST_EVERYWHERE) {
        if shown.contains(secret.as_str()) {
            shown = shown.replace(secret.as_str(), &hidden(secret));
        }
    }
    for password in crate::foreign::credentials(&shown).into_iter().rev() {
        let stars = hidden(&shown[password.clone()]);
        shown.replace_range(password, &stars);
    }
    shown
}

/// Like [`masked`], for a text that is not YAML, where indentation cannot be trusted: a secret may
/// stand on any line, so lines are shown only if they begin with a key of the language or a port.
pub(super) fn masked_strictly(text: &str, secrets: &HashSet<String>) -> String {
    let shown = masked(text, secrets);
    if shown == text {
        return shown;
    }
    shown.split_inclusive('\n').map(shown_strictly).collect()
}

fn shown_strictly(line: &str) -> String {
    let content = line.trim_start_matches([' ', '-', '{', '"', '\'']);
    let name = content.split([':', '"', '\'']).next().unwrap_or_default().trim();
    let is_port = !content.contains(':') && content.starts_with(|it: char| it.is_ascii_digit());
    if is_key(name) || is_port || name.is_empty() && !content.contains(':') {
        return line.to_owned();
    }
    let value = match content.find(": ") {
        Some(colon) => line.len() - content.len() + colon + 1,
        None => line.len() - content.len(),
    };
    format!("{}{}", &line[..value], hidden(&line[value..]))
}

/// Where a key with secrets below it begins, and the byte behind its colon.
fn secret_key(text: &str) -> Option<(usize, usize)> {
    static KEY: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r#"(?:^|[\s{\[,-])["']?([\w-]+)["']?\s*:(?:[\s{\["']|$)"#).ok()
    });
    // Without the expression hide everything.
    let Some(pattern) = KEY.as_ref() else { return Some((0, 0)) };
    let mut from = 0;
    while let Some(found) = pattern.captures_at(text, from) {
        let key = found.get(1)?;
        let colon = key.end() + text[key.end()..].find(':')? + 1;
        if is_secret(key.as_str()) {
            return Some((key.start(), colon));
        }
        from = colon;
    }
    None
}

/// Whether a key is, or is most likely meant to be, one with secrets below it.
fn is_secret(key: &str) -> bool {
    const KEYS: [&str; 4] = ["env", "args", "environment", "build_args"];
    nearest(key, KEYS).is_some()
}

/// A `*` for each character that is not blank.
fn hidden(text: &str) -> String {
    text.chars().map(|it| if it.is_whitespace() { it } else { '*' }).collect()
}

#[derive(Clone, Copy)]
enum State {
    /// Not below `env` or `args`.
    Outside,
    /// Below the key in this column, in block style; then the column of the keys below it.
    Block { key: usize, below: Option<usize> },
    /// Within braces or brackets.
    Flow(Flow),
}

#[derive(Clone, Copy)]
struct Flow {
    depth: usize,
    /// Keys are shown, values are not.
    in_value: bool,
    /// A list has no keys.
    is_list: bool,
    quote: Option<char>,
    /// The last character that was not blank.
    last: char,
}

struct Masker {
    shown: String,
    state: State,
}

impl Masker {
    fn line(&mut self, line: &str) {
        let indent = line.len() - line.trim_start_matches(' ').len();
        match self.state {
            State::Flow(flow) => self.flow(line, flow),
            // A tab is no indentation for the parser; here it only means that nothing is over yet.
            State::Block { .. } if line[indent..].starts_with('\t') => {
                self.shown.push_str(&hidden(line));
            }
            State::Block { key, below } => {
                let content = line.trim();
                if content.is_empty() {
                    self.shown.push_str(line);
                } else if indent > key || (indent == key && content.starts_with("- ")) {
                    let below = below.unwrap_or(indent);
                    self.state = State::Block { key, below: Some(below) };
                    self.block(line, indent == below);
                } else {
                    self.state = State::Outside;
                    self.outside(line, 0);
                }
            }
            State::Outside => self.outside(line, 0),
        }
    }

    /// A line below the key: what stands before the first colon is a name, unless the line only
    /// continues a value.
    fn block(&mut self, line: &str, has_name: bool) {
        let name = if !has_name {
            0
        } else if line.trim_start().starts_with("- ") {
            line.find('=').map_or(line.len() - line.trim_start().len() + 1, |end| end + 1)
        } else {
            line.find(": ")
                .or_else(|| line.find(":\r"))
                .or_else(|| line.find(":\n"))
                .map_or(if line.trim_end().ends_with(':') { line.len() } else { 0 }, |end| end + 1)
        };
        self.shown.push_str(&line[..name]);
        self.shown.push_str(&hidden(&line[name..]));
    }

    /// Looks for such a key from byte `from` of the line; what stands before it was shown.
    fn outside(&mut self, line: &str, from: usize) {
        let rest = &line[from..];
        let Some((key, colon)) = secret_key(rest) else { return self.shown.push_str(rest) };
        self.shown.push_str(&rest[..colon]);
        let value = &rest[colon..];
        let opens = value.trim_start();
        if opens.starts_with(['{', '[']) {
            self.shown.push_str(&value[..value.len() - opens.len()]);
            let is_list = opens.starts_with('[');
            let flow = Flow { depth: 0, in_value: is_list, is_list, quote: None, last: ' ' };
            self.flow(opens, flow);
        } else {
            self.state = State::Block { key: from + key, below: None };
            self.shown.push_str(&hidden(value));
        }
    }

    /// Within braces: until they are closed, or for the rest of the line.
    fn flow(&mut self, text: &str, mut flow: Flow) {
        for (index, character) in text.char_indices() {
            let begins = matches!(flow.last, ':' | ',' | '{' | '[');
            match (flow.quote, character) {
                (Some('"'), _) if flow.last == '\\' => {
                    // Escaped, and so is no second backslash.
                    flow.last = ' ';
                    self.push(character, flow.in_value);
                    continue;
                }
                (Some(quote), _) if character == quote => flow.quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') if begins => flow.quote = Some(character),
                (None, '{' | '[') => flow.depth += 1,
                (None, '}' | ']') => {
                    flow.depth = flow.depth.saturating_sub(1);
                    if flow.depth == 0 {
                        self.shown.push(character);
                        self.state = State::Outside;
                        let end = index + character.len_utf8();
                        return self.outside(text, end);
                    }
                }
                (None, ':') if flow.depth == 1 && !flow.in_value => {
                    flow.in_value = true;
                    self.shown.push(character);
                    flow.last = character;
                    continue;
                }
                (None, ',') if flow.depth == 1 => {
                    flow.in_value = flow.is_list;
                    self.shown.push(character);
                    flow.last = character;
                    continue;
                }
                (None, _) => {}
            }
            let is_bracket = flow.depth == 1 && flow.last == ' ' && index == 0;
            self.push(character, flow.in_value && !is_bracket);
            if !character.is_whitespace() {
                flow.last = character;
            }
        }
        self.state = State::Flow(flow);
    }

    fn push(&mut self, character: char, hide: bool) {
        let blank = character.is_whitespace();
        self.shown.push(if hide && !blank { '*' } else { character });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{masked, masked_strictly};

    #[track_caller]
    fn check(text: &str, shown: &str) {
        assert_eq!(masked(text, &HashSet::new()), shown);
    }

    #[test]
    fn block_style() {
        check(
            "run:\n  env:\n    A: one # two\n    B: |\n      three\n      four: five\n  user: six\n",
            "run:\n  env:\n    A: *** * ***\n    B: *\n      *****\n      ***** ****\n  user: six\n",
        );
        check("env:\n- A=one\n- two\nrun: x\n", "env:\n- A=***\n- ***\nrun: x\n");
        check("env: one\nrun: x\n", "env: ***\nrun: x\n");
        check(
            "build:\n  args:\n    K: v\n  target: t\n",
            "build:\n  args:\n    K: *\n  target: t\n",
        );
        check("env:\r\n  A: one\r\nb: c\r\n", "env:\r\n  A: ***\r\nb: c\r\n");
    }

    #[test]
    fn flow_style() {
        check(
            "env: { A: one, B: 'two, C: x', D: d } # e\n",
            "env: { A: ***, B: ***** ** **, D: * } # e\n",
        );
        check(
            "{\"env\":{\"A\":\"o\\\"n,e\"},\"user\":\"six\"}",
            "{\"env\":{\"A\":********},\"user\":\"six\"}",
        );
        check(
            "a: { env: { A: one } }, b: { env: { B: don't } }",
            "a: { env: { A: *** } }, b: { env: { B: ***** } }",
        );
        check("env: [A=one, two]\nx: y", "env: [*****, ***]\nx: y");
        check("env: { A: one,\nB: two }\nx: y", "env: { A: ***,\nB: *** }\nx: y");
    }

    #[test]
    fn a_misspelt_key_is_one_too() {
        check("evn: { A: one }\n", "evn: { A: *** }\n");
        check("environment:\n  A: one\n", "environment:\n  A: ***\n");
        check("user: x # a: b, Env: { A: one }", "user: x # a: b, Env: { A: *** }");
    }

    #[test]
    fn what_is_not_yaml_is_shown_by_known_keys_only() {
        let none = HashSet::new();
        let text =
            "image: x\nrun:\n env:\n    A: one\n B: two\n\tC: three\n- four\nexpose:\n - 80/tcp\n";
        let shown =
            "image: x\nrun:\n env:\n    A: ***\n B: ***\n\tC: *****\n- ****\nexpose:\n - 80/tcp\n";
        assert_eq!(masked_strictly(text, &none), shown);
        let text = "imag: x\n B: two\n";
        assert_eq!(masked_strictly(text, &none), text, "there are no secrets");
        check("env:\n\tA: one\n", "env:\n\t** ***\n");
    }

    #[test]
    fn an_unclosed_value_hides_the_rest() {
        check("env: { A: \"one, B: two\nx: y", "env: { A: ***** ** ***\n** *");
    }

    #[test]
    fn other_keys_stay() {
        check("envelope: x\nimage: { A: one }\n", "envelope: x\nimage: { A: one }\n");
        check(
            "command: [sh, -c, env]\nwhy: env, args\n",
            "command: [sh, -c, env]\nwhy: env, args\n",
        );
    }

    #[test]
    fn long_values_are_hidden_wherever_they_occur() {
        let secrets = HashSet::from(["hunter2".to_owned(), "80".to_owned()]);
        assert_eq!(masked("why: hunter2 on 80\n", &secrets), "why: ******* on 80\n");
    }
}
