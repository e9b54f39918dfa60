//! Variables of the environment in a value: `${VAR}`, `${VAR:-default}`, and `$$` for a dollar.
//!
//! They are filled in after parsing, so a variable's text can never become YAML. The values may be
//! secrets: no message holds one.

use crate::spec::{raw::Environment, shown::quoted};

/// Why a text could not be filled in.
#[derive(Debug)]
pub(super) struct ExpandError {
    pub(super) message: String,
    pub(super) hint: String,
}

/// The text with its variables filled in; `None` if there is nothing to do.
///
/// A `$` that neither `{` nor `$` follows stays: regular expressions and shell snippets need it.
pub(super) fn expand(
    text: &str,
    environment: Environment<'_>,
) -> Result<Option<String>, ExpandError> {
    if !text.contains("${") && !text.contains("$$") {
        return Ok(None);
    }
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        filled.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(behind) = rest.strip_prefix('$') {
            filled.push('$');
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix('{') {
            let (inside, behind) = behind.split_once('}').ok_or_else(|| ExpandError {
                message: "`${` is not closed".to_owned(),
                hint: "close it with `}`, or write `$${` if the text itself is meant".to_owned(),
            })?;
            filled.push_str(&value_of(inside, environment)?);
            rest = behind;
        } else {
            filled.push('$');
        }
    }
    filled.push_str(rest);
    Ok(Some(filled))
}

fn value_of(inside: &str, environment: Environment<'_>) -> Result<String, ExpandError> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_name = !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        return Err(ExpandError {
            message: format!("{} is not the name of a variable", quoted(name)),
            hint: "write `${NAME}` or `${NAME:-default}`; `$$` is a dollar".to_owned(),
        });
    }
    // As in a shell, `:-` also stands in for a variable that is set to nothing.
    match (environment(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(ExpandError {
            message: format!("the variable `{name}` is not set"),
            hint: format!("set it, or give a default: `${{{name}:-default}}`"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::expand;

    fn environment(name: &str) -> Option<String> {
        match name {
            "TAG" => Some("1.29".to_owned()),
            "EMPTY" => Some(String::new()),
            "TRICKY" => Some("a: b # ${TAG}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_filled_in() {
        for (text, filled) in [
            ("web:${TAG}", "web:1.29"),
            ("${TAG}${TAG}", "1.291.29"),
            ("${NONE:-latest}", "latest"),
            ("${NONE:-}", ""),
            ("${NONE:-a:-b}", "a:-b"),
            ("${EMPTY:-x}", "x"),
            ("[${EMPTY}]", "[]"),
            ("$$", "$"),
            ("$${TAG}", "${TAG}"),
            ("$$$${TAG}$", "$${TAG}$"),
            ("$$${TAG}", "$1.29"),
            // What a variable holds is text, and is not looked at again.
            ("${TRICKY}", "a: b # ${TAG}"),
        ] {
            assert_eq!(expand(text, &environment).unwrap().as_deref(), Some(filled), "{text}");
        }
    }

    #[test]
    fn a_lone_dollar_stays() {
        for text in ["", "plain", "$", "a$", "$TAG", "^ready$", "$(TAG)", "{TAG}"] {
            assert_eq!(expand(text, &environment).unwrap(), None, "{text}");
        }
    }

    #[test]
    fn problems_name_the_variable_and_never_a_value() {
        for (text, message) in [
            ("${NONE}", "the variable `NONE` is not set"),
            ("${TAG}${NONE}", "the variable `NONE` is not set"),
            ("${TAG", "`${` is not closed"),
            ("${}", "`` is not the name of a variable"),
            ("${1A}", "`1A` is not the name of a variable"),
            ("${A-B}", "`A-B` is not the name of a variable"),
            ("${A B}", "`A B` is not the name of a variable"),
            ("${:-x}", "`` is not the name of a variable"),
        ] {
            let error = expand(text, &environment).unwrap_err();
            assert_eq!(error.message, message, "{text}");
            assert!(!error.message.contains("1.29") && !error.hint.contains("1.29"));
        }
    }
}
