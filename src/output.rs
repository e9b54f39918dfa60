//! How lines reach the terminal: results on stdout, everything else on stderr.
//!
//! The only place that prints. A pipe that nobody reads any more is no reason to stop cleaning up,
//! so errors of writing are dropped.

use std::io::Write;

/// Writes a line about what goes on to stderr.
pub fn line(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Writes text as it is to stderr.
pub fn aside(text: &str) {
    let _ = write!(anstream::stderr(), "{text}");
}

/// Writes the asked-for output to stdout.
pub fn result(text: &str) {
    let _ = write!(anstream::stdout(), "{text}");
}

/// Tells of long work: plain lines, so that they read well in the log of a CI job.
pub fn progress(spec: &str, text: &str) {
    if spec.is_empty() {
        line(&format!("portlid: {text}"));
    } else {
        line(&format!("portlid: {spec}: {text}"));
    }
}

/// Ends the process without another thought. The reaper removes what is left.
#[expect(clippy::exit, reason = "a second signal asks for just that")]
pub fn end_at_once(code: u8) -> ! {
    std::process::exit(i32::from(code))
}
