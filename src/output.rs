//! How lines reach the terminal: results on stdout, everything else on stderr.
//!
//! The only place that prints. A pipe that nobody reads any more is no reason to stop cleaning up,
//! so errors of writing are dropped.

pub mod live;

use std::{io::Write, sync::Arc};

use crate::progress::{Event, Progress};

/// Writes a line about what goes on to stderr.
pub fn line(text: &str) {
    let _screen = live::aside();
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Writes text as it is to stderr.
pub fn aside(text: &str) {
    let _screen = live::aside();
    let _ = write!(anstream::stderr(), "{text}");
}

/// Writes the asked-for output to stdout.
pub fn result(text: &str) {
    let _screen = live::aside();
    let _ = write!(anstream::stdout(), "{text}");
}

/// Tells of long work: plain lines, so that they read well in the log of a CI job, and where live
/// lines are shown, what goes on at the moment.
#[must_use]
pub fn progress() -> Progress {
    Arc::new(|spec, event| {
        live::note(spec, event);
        match event {
            Event::Line(text) if spec.is_empty() => line(&format!("portlid: {text}")),
            Event::Line(text) => line(&format!("portlid: {spec}: {text}")),
            Event::Now(_) | Event::Over => {}
        }
    })
}

/// Ends the process without another thought. The reaper removes what is left.
#[expect(clippy::exit, reason = "a second signal asks for just that")]
pub fn end_at_once(code: u8) -> ! {
    std::process::exit(i32::from(code))
}
