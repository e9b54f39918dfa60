//! `portlid init`: looks at an image, drafts a spec, tries it, and writes it.

use std::{
    fs::OpenOptions,
    io::Write as _,
    path::{Component, Path, PathBuf},
};

use jiff::{Timestamp, tz::TimeZone};

use super::{
    left_behind,
    looking::{Subject, check, exit, exploring, read, run_lines},
};
use crate::{
    cli::{Global, Init},
    exit::Exit,
    foreign::shown,
    judgement::Verdict,
    output,
    report::{draft::draft, text},
    spec::scalar,
};

/// Where the spec will stand if it goes to standard output: paths are relative to its folder.
const STDOUT: &str = "spec.yaml";

/// Looks, drafts, tries, writes.
pub(super) fn init(init: &Init, global: &Global) -> Exit {
    if let Some(path) = &init.output
        && path.symlink_metadata().is_ok()
    {
        output::line(&format!(
            "error: `{}` is there already\n  help: `portlid look` shows what is open, without a file",
            shown(&path.display().to_string(), 200)
        ));
        return Exit::Usage;
    }
    let subject =
        Subject::of(init.image.as_ref(), init.build.as_ref(), init.archive.as_ref(), None);
    let spec = match exploring("init", &subject, &init.started) {
        Ok(spec) => spec,
        Err(exit) => return exit,
    };
    let Some(seen) = check(&[spec], &init.started, global) else { return Exit::Internal };
    let exit = exit(&seen);
    let Some(record) = seen.specs.first().filter(|_| matches!(exit, Exit::Pass)) else {
        seen.specs.iter().for_each(|record| output::aside(&text::story(record)));
        left_behind(&seen.left_behind);
        return exit;
    };
    let file = init.output.clone().unwrap_or_else(|| PathBuf::from(STDOUT));
    let run = run_lines(&init.started);
    let subject = subject_lines(&subject, init.started.platform.as_deref(), &file);
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let mut drafted = draft(record, &subject, &run, today, &scalar);
    for doubt in &drafted.doubts {
        output::line(&format!("portlid: {doubt}"));
    }
    let exit = match tried(&drafted.text, &file, init, global) {
        Ok(exit) => exit,
        Err(exit) => return exit,
    };
    if exit != Exit::Pass {
        drafted.text.insert_str(0, "# It did not pass when it was tried.\n");
    }
    match &init.output {
        None => output::result(&drafted.text),
        Some(path) => {
            if let Err(error) = write(path, &drafted.text) {
                output::line(&format!(
                    "error: cannot write `{}`: {error}",
                    shown(&path.display().to_string(), 200)
                ));
                return Exit::Usage;
            }
        }
    }
    if exit == Exit::Pass {
        output::line("portlid: tried once, and it passes; say `why` of each port");
    }
    exit
}

/// Checks the image with the spec that was drafted for it.
fn tried(text: &str, file: &Path, init: &Init, global: &Global) -> Result<Exit, Exit> {
    let mut spec = read(&file.to_string_lossy(), text, &init.started)?;
    spec.name = "init".to_owned();
    let run = check(&[spec], &init.started, global).ok_or(Exit::Internal)?;
    for record in &run.specs {
        if record.verdict == Verdict::Pass {
            output::aside(&text::asides(record, false));
        } else {
            output::aside(&text::story(record));
        }
    }
    left_behind(&run.left_behind);
    Ok(run.exit())
}

/// What is looked at, in the words of a spec that stands in `file`.
fn subject_lines(subject: &Subject, platform: Option<&str>, file: &Path) -> String {
    let (key, value) = subject.key();
    let line = match subject {
        Subject::Image(_) | Subject::Container(_) => format!("{key}: {}", scalar(value)),
        Subject::Archive(_) => format!("{key}: {}", scalar(&relative(file, value))),
        Subject::Build(_) => format!("{key}: {{ context: {} }}", scalar(&relative(file, value))),
    };
    match platform {
        Some(platform) => format!("{line}\nplatform: {}", scalar(platform)),
        None => line,
    }
}

/// The path as it is seen from the folder of `file`. Where that cannot be said, the path as it is:
/// the trial will tell.
fn relative(file: &Path, target: &str) -> String {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    let (Ok(from), Ok(to)) = (folder.canonicalize(), Path::new(target).canonicalize()) else {
        return target.to_owned();
    };
    let common = from.components().zip(to.components()).take_while(|(one, two)| one == two).count();
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(to.components().skip(common)).collect();
    let text = path.to_string_lossy().into_owned();
    if text.is_empty() { ".".to_owned() } else { text }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}
