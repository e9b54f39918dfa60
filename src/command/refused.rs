//! What is said of a command line that cannot be read. clap repeats what was typed, and that may come
//! from anywhere: a step of a CI job passes on names that others chose.

use clap::{
    Error,
    builder::StyledStr,
    error::{ContextKind, ContextValue},
};

use crate::{exit::Exit, foreign::shown, output};

/// Prints the error, or the help or version that was asked for, and says how to end.
pub(super) fn refused(error: Error) -> Exit {
    let is_error = error.use_stderr();
    let said = safe(error).render().ansi().to_string();
    if is_error {
        output::aside(&said);
        return Exit::Usage;
    }
    output::result(&said);
    Exit::Pass
}

/// The same error, with everything in it that was typed safe to show.
fn safe(mut error: Error) -> Error {
    const LIMIT: usize = 300;
    let context: Vec<(ContextKind, ContextValue)> =
        error.context().map(|(kind, value)| (kind, value.clone())).collect();
    for (kind, value) in context {
        let value = match value {
            ContextValue::String(text) => ContextValue::String(shown(&text, LIMIT)),
            ContextValue::Strings(texts) => {
                ContextValue::Strings(texts.iter().map(|text| shown(text, LIMIT)).collect())
            }
            // Tips, which repeat it too; without their colours, which would be escaped as well.
            ContextValue::StyledStrs(tips) => {
                let plain = tips.iter().map(|tip| shown(&tip.to_string(), LIMIT));
                ContextValue::StyledStrs(plain.map(StyledStr::from).collect())
            }
            // Numbers, and the usage, in which nothing is repeated.
            other => other,
        };
        error.insert(kind, value);
    }
    error
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::safe;
    use crate::cli::Cli;

    #[test]
    fn what_was_typed_commands_no_runner() {
        for hostile in ["##[error]x", "a\n::error::x", "\u{1b}[2Jx", "--a\n::error::x", "-\n::x::"]
        {
            for typed in [
                &["portlid", hostile][..],
                &["portlid", "test", "--report", hostile],
                &["portlid", "test", &format!("--report={hostile}=x")],
                &["portlid", "test", &format!("--image={hostile}")],
                &["portlid", "test", &format!("--pull={hostile}")],
                &["portlid", "test", &format!("--jobs={hostile}")],
                &["portlid", "test", &format!("--list={hostile}")],
                &["portlid", "test", &format!("{hostile}=x"), "--lis"],
                &["portlid", "test", "--watch", hostile],
                &["portlid", "test", "--partition", hostile],
                &["portlid", "explain", "a", hostile],
            ] {
                let error = Cli::try_parse_from(typed).unwrap_err();
                let said = safe(error).render().to_string();
                assert!(!said.contains("##["), "{typed:?}\n{said}");
                assert!(!said.contains('\u{1b}'), "{typed:?}\n{said}");
                assert!(!said.contains("\n::"), "{typed:?}\n{said}");
            }
        }
    }
}
