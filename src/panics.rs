//! What is said when portlid itself is broken: where, and nothing of what it held.
//!
//! The text of a panic may repeat whatever was being worked on: answers of an engine, values of an
//! environment. Reports show it with the secrets hidden; the terminal is not shown it at all.

use std::panic::{self, Location};

use crate::output;

/// Has every panic of this process told that way.
pub fn tell_only_where() {
    panic::set_hook(Box::new(|broken| output::line(&told(broken.location()))));
}

fn told(location: Option<&Location<'_>>) -> String {
    let place = location.map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
    format!(
        "portlid: internal error{place}\n  help: this is a defect of portlid: please report it, with \
         `portlid --version` and what was run"
    )
}

#[cfg(test)]
mod tests {
    use std::panic::Location;

    use super::told;

    #[test]
    fn it_names_the_place() {
        let here = Location::caller();
        assert!(told(Some(here)).starts_with("portlid: internal error at src/panics.rs:"));
        assert!(told(None).starts_with("portlid: internal error\n"));
    }
}
