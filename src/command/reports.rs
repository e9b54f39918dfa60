//! Where reports go: files, and what GitHub reads by itself.
//!
//! A file is replaced as a whole or not at all; what is no file (a pipe, a device) is written to.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::{
    cli::{ReportFile, ReportFormat},
    exit::Exit,
    foreign::shown,
    output,
    record::RunRecord,
    report::{github, html, intoto, json, junit, markdown, sarif},
};

/// Whether every report can be written, and to a file of its own.
pub(super) fn check(reports: &[ReportFile]) -> Result<(), Exit> {
    for (at, report) in reports.iter().enumerate() {
        if let Err(error) = writable(&report.path) {
            cannot(&report.path, &error);
            return Err(Exit::Usage);
        }
        let is_file = fs::metadata(&report.path).map_or(true, |metadata| metadata.is_file());
        let same = |other: &ReportFile| place(&other.path) == place(&report.path);
        if is_file && reports[..at].iter().any(same) {
            output::line(&format!(
                "error: two reports are to be written to `{}`\n  help: give each a file of its own",
                name(&report.path)
            ));
            return Err(Exit::Usage);
        }
    }
    Ok(())
}

/// Writes every report; whether all could be.
pub(super) fn write(reports: &[ReportFile], run: &RunRecord) -> bool {
    let mut all = true;
    for report in reports {
        let text = match report.format {
            ReportFormat::Json => json::json(run),
            ReportFormat::Junit => junit::junit(run),
            ReportFormat::Sarif => sarif::sarif(run),
            ReportFormat::Html => html::html(run),
            ReportFormat::Markdown => markdown::markdown(run, markdown::COMMENT),
            ReportFormat::Intoto => intoto::intoto(run),
        };
        if let Err(error) = write_whole(&report.path, &text) {
            cannot(&report.path, &error);
            all = false;
        }
    }
    all
}

/// A file's name, safe to show.
fn name(path: &Path) -> String {
    shown(&path.display().to_string(), 200)
}

fn cannot(path: &Path, error: &io::Error) {
    output::line(&format!("error: cannot write the report `{}`: {error}", name(path)));
}

/// In a job of GitHub Actions: annotates the specs and appends to the job's summary. The runner reads
/// annotations on either stream; they go to stdout where people read it.
pub(super) fn tell_github(run: &RunRecord, on_stdout: bool) {
    if env::var_os("GITHUB_ACTIONS").is_none_or(|value| value != "true") {
        return;
    }
    let annotations = github::annotations(run);
    if on_stdout {
        output::result(&annotations);
    } else {
        output::aside(&annotations);
    }
    let Some(path) = env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else {
        return;
    };
    let path = PathBuf::from(path);
    let used = fs::metadata(&path).map_or(0, |metadata| metadata.len());
    let Some(summary) = github::summary(run, usize::try_from(used).unwrap_or(usize::MAX)) else {
        output::line("warning: the job's summary is full already, so nothing was added to it");
        return;
    };
    let written = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(format!("\n{summary}").as_bytes()));
    if let Err(error) = written {
        // The verdict stands without it.
        output::line(&format!("warning: cannot write the job's summary: {error}"));
    }
}

/// Whether a report can be written there, without changing what is there.
fn writable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(io::Error::from(io::ErrorKind::IsADirectory)),
        // A pipe or a device is written to as it is.
        Ok(metadata) if !metadata.is_file() => Ok(()),
        Ok(_) | Err(_) => {
            let probe = beside(&target(path));
            fs::File::create(&probe)?;
            fs::remove_file(&probe)
        }
    }
}

/// Writes beside the file and renames: a reader finds the whole report or none.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes());
    }
    let target = target(path);
    let beside = beside(&target);
    let written = fs::File::create(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &target)
    });
    written.inspect_err(|_| drop(fs::remove_file(&beside)))
}

/// Where a file is, or will be.
fn place(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::canonicalize(path)
        .or_else(|_| fs::canonicalize(folder.unwrap_or(Path::new("."))).map(|it| it.join(name)))
        .unwrap_or_else(|_| path.to_owned())
}

/// The file that a link leads to: it is the file that is replaced, not the link.
fn target(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// A name in the same folder that nothing else has.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    PathBuf::from(name)
}
