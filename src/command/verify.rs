//! `portlid verify`: whether a statement about a run holds for the image that is to be released.
//!
//! Reads the file, asks the engine who the image is, and prints what [`attestation`] makes of both.
//! Nothing is pulled or started, and no signature is checked, which every answer says.

use std::{
    io::{self, Read as _},
    path::Path,
    sync::Arc,
};

use jiff::Timestamp;

use crate::{
    attestation::{self, Demands, LARGEST_FILE, Outcome, Reason, Verified, Wanted},
    cli::{Global, Verify},
    engine::{Engine, EngineError, chain, is_missing},
    exit::Exit,
    files,
    foreign::{shown, without_credentials},
    harness, output, progress,
    spec::check_reference,
};

/// Holds a file against an image.
pub(super) fn verify(asked: &Verify, global: &Global) -> Exit {
    let reference = match Reference::of(&asked.image) {
        Ok(reference) => reference,
        Err(reason) => return wrong(&reason),
    };
    let file = match read(&asked.file) {
        Ok(file) => file,
        Err(reason) => return wrong(&reason),
    };
    let (wanted, exit) = match reference {
        Reference::Digest(digest) => (Some(Wanted::Stated { digest }), Exit::Pass),
        Reference::Engine => match resolve(&asked.image, global) {
            Ok(wanted) => (Some(wanted), Exit::Pass),
            Err(exit) => (None, exit),
        },
    };
    let demands = Demands {
        now: Timestamp::now(),
        max_age: asked.max_age,
        allow_warnings: asked.allow_warnings,
        platforms: asked.platform.clone(),
    };
    let name = shown(&asked.file.display().to_string(), 200);
    match attestation::judge(&file, wanted.as_ref(), &demands) {
        Outcome::Verified(verified) => {
            output::result(&told(&name, &shown_image(&asked.image), &verified));
            Exit::Pass
        }
        // Nothing is wrong with it but that nobody knows what image it should be about.
        Outcome::Refused(reasons) if wanted.is_none() && reasons.is_empty() => exit,
        Outcome::Refused(reasons) => {
            for Reason { what, hint } in &reasons {
                output::line(&format!("error: {what}\n  help: {hint}"));
            }
            output::line(&format!(
                "not verified: `{name}` does not vouch for `{}` (its signature was not looked at)",
                shown_image(&asked.image)
            ));
            exit.and(Exit::Broken)
        }
    }
}

/// How the image is named.
enum Reference {
    /// By a digest that is taken as it is.
    Digest(String),
    /// By what an engine has to resolve.
    Engine,
}

impl Reference {
    fn of(text: &str) -> Result<Self, Reason> {
        let wrong = |why: &str, hint: &str| Reason {
            what: format!("`--image {}`: {why}", shown_image(text)),
            hint: hint.to_owned(),
        };
        check_reference(text).map_err(|error| {
            wrong(&format!("it is no image reference: {}", error.reason), error.hint)
        })?;
        match text.split_once('@') {
            None => Ok(Self::Engine),
            Some((_, digest)) if digest.starts_with("sha256:") => {
                Ok(Self::Digest(digest.to_owned()))
            }
            Some(_) => Err(wrong("only sha256 digests are compared", "write `NAME@sha256:...`")),
        }
    }
}

fn shown_image(reference: &str) -> String {
    shown(&without_credentials(reference), 300)
}

fn wrong(Reason { what, hint }: &Reason) -> Exit {
    output::line(&format!("error: {what}\n  help: {hint}"));
    Exit::Usage
}

/// The statements of a file, or of standard input.
fn read(path: &Path) -> Result<attestation::File, Reason> {
    let is_stdin = path.as_os_str() == "-";
    let name = if is_stdin {
        "standard input".to_owned()
    } else {
        format!("`{}`", shown(&path.display().to_string(), 200))
    };
    // More than the limit is never held, whatever it is read from.
    let limit = LARGEST_FILE as u64 + 1;
    let mut bytes = Vec::new();
    let read = if is_stdin {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        files::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| Reason {
        what: format!("cannot read {name}: {error}"),
        hint:
            "name the file that `portlid test --report intoto=FILE` wrote, or `-` for what comes \
               through a pipe"
                .to_owned(),
    })?;
    attestation::read(&bytes).map_err(|error| Reason {
        what: format!("{name} holds nothing to verify: {}", error.what),
        hint: error.hint,
    })
}

/// What the engine has by that name. Nothing is pulled: what is released is what is here.
fn resolve(reference: &str, global: &Global) -> Result<Wanted, Exit> {
    let Some(runtime) = harness::runtime() else {
        output::line("error: no thread can be started");
        return Err(Exit::Internal);
    };
    let progress = if global.quiet { progress::silent() } else { output::progress() };
    let asked = global.engine.as_deref();
    let found: Result<_, EngineError> = runtime.block_on(async {
        let engine = Engine::connect(asked, progress, Arc::default()).await?;
        let image = engine.resolved(reference, reference, None).await;
        engine.end(true);
        image
    });
    match found {
        Ok(image) => Ok(Wanted::Resolved {
            id: image.id,
            digests: image.digests.into_iter().collect(),
            platform: image.platform,
        }),
        Err(error) => {
            let hint = if is_missing(&error) {
                "pull it first: nothing is pulled here".to_owned()
            } else {
                error.hint().unwrap_or_else(|| "see whether the engine runs".to_owned())
            };
            output::line(&format!(
                "error: cannot say which image `{}` is: {}\n  help: {hint}; or name it \
                 NAME@sha256:DIGEST: no engine is asked for that",
                shown_image(reference),
                chain(&error)
            ));
            Err(Exit::Inconclusive)
        }
    }
}

/// What was verified, and what was not.
fn told(file: &str, image: &str, verified: &[Verified]) -> String {
    let mut text = format!("verified: `{file}` vouches for `{image}`\n");
    for it in verified {
        let platforms: Vec<&str> = it.platforms().into_iter().collect();
        text.push_str(&format!("  subject    {} ({})\n", it.subject, it.digest));
        text.push_str(&format!("  compared   {}\n", it.compared));
        text.push_str(&format!(
            "  looked at  for {}, {} ({})\n",
            platforms.join(", "),
            it.ago(),
            it.finished
        ));
        text.push_str(&format!("  by         portlid {} with {}\n", it.version, it.engine));
        for test in &it.tests {
            let warned = if test.is_warned { ", with warnings" } else { "" };
            text.push_str(&format!("  passed     {} ({}){warned}\n", test.name, test.file));
        }
    }
    text.push_str(
        "not checked: the signature; `cosign verify-attestation` and `gh attestation verify` do that\n",
    );
    text
}
