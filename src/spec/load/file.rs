//! One file -> its text. Only regular files, within their size, in UTF-8.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    files,
    spec::{problem::Problem, raw::LARGEST_FILE, source::Source, validate::reason},
};

/// Reads the file at `path`, which is shown as `shown`.
///
/// What it is, is asked before it is opened: opening a FIFO would wait for a writer.
pub(super) fn read(path: &Path, shown: PathBuf) -> Result<Source, Box<Problem>> {
    let wrong = |message: String, hint: &str| {
        Box::new(Problem::new(shown.clone(), message).with_hint(hint))
    };
    let cannot = |error: &io::Error| {
        wrong(format!("this cannot be read: {}", reason(error)), "check the path and permissions")
    };
    let found = path.metadata().map_err(|error| cannot(&error))?;
    if !found.is_file() {
        let what = if found.is_dir() { "a folder" } else { "no regular file" };
        return Err(wrong(format!("this is {what}, not a spec"), "rename or remove it"));
    }
    let mut bytes = Vec::new();
    files::open(path)
        // It may grow while it is read: never take more than the limit.
        .and_then(|file| file.take(LARGEST_FILE as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| cannot(&error))?;
    if bytes.len() > LARGEST_FILE {
        let hint = "a spec is a short file: is this one meant?";
        return Err(wrong("this is larger than 256 KiB".to_owned(), hint));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
        wrong(format!("this is not UTF-8 (line {line})"), "save it as UTF-8")
    })?;
    // Editors do not show a byte order mark, and no column counts it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Ok(Source::new(shown, text))
}
