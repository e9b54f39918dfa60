//! A build's context folder as a tar stream, without what `.dockerignore` leaves out.
//!
//! Links are stored as links and never followed: nothing outside the folder is sent.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use globset::{GlobBuilder, GlobMatcher};
use tokio::sync::mpsc;

use crate::files;

/// A tar that is written by `write` on a thread of its own while it is sent.
pub(super) fn stream(
    write: impl FnOnce(&mut tar::Builder<Sender>) -> io::Result<()> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let mut builder = tar::Builder::new(Sender { sender: sender.clone(), buffer: Vec::new() });
        let written = write(&mut builder).and_then(|()| builder.into_inner()?.send());
        if let Err(error) = written {
            // Fails only if nobody listens any more; then nobody needs to know.
            let _ = sender.blocking_send(Err(error));
        }
    });
    stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    })
}

/// Hands what is written to it to the stream, in chunks.
pub(super) struct Sender {
    sender: mpsc::Sender<Result<Bytes, io::Error>>,
    buffer: Vec<u8>,
}

impl Sender {
    const CHUNK: usize = 128 * 1024;

    fn send(&mut self) -> io::Result<()> {
        let chunk = Bytes::from(std::mem::take(&mut self.buffer));
        self.sender
            .blocking_send(Ok(chunk))
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the engine hung up"))
    }
}

impl io::Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= Self::CHUNK {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the folder into the tar, in the order of names, so that the same folder makes the same
/// tar and the builder's cache holds.
pub(super) fn write(
    builder: &mut tar::Builder<Sender>,
    folder: &Path,
    dockerfile: &str,
) -> io::Result<()> {
    let ignored = Ignored::read(folder, dockerfile)?;
    walk(builder, folder, Path::new(""), &ignored)
}

fn walk(
    builder: &mut tar::Builder<Sender>,
    folder: &Path,
    below: &Path,
    ignored: &Ignored,
) -> io::Result<()> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder.join(below))?
        .map(|entry| entry.map(|entry| below.join(entry.file_name())))
        .collect::<Result<_, _>>()?;
    names.sort();
    for name in names {
        let path = folder.join(&name);
        let metadata = fs::symlink_metadata(&path)?;
        let kind = metadata.file_type();
        // An exception may let in something of a folder that is left out: so look into it.
        if ignored.leaves_out(&name) {
            if kind.is_dir() && ignored.has_exceptions {
                walk(builder, folder, &name, ignored)?;
            }
            continue;
        }
        let mut header = tar::Header::new_gnu();
        header.set_mode(metadata.permissions().mode() & 0o7777);
        header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or_default());
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        if kind.is_dir() {
            header.set_entry_type(tar::EntryType::Directory);
            builder.append_data(&mut header, name.join(""), io::empty())?;
            walk(builder, folder, &name, ignored)?;
        } else if kind.is_symlink() {
            header.set_entry_type(tar::EntryType::Symlink);
            builder.append_link(&mut header, &name, fs::read_link(&path)?)?;
        } else if kind.is_file() {
            let file = files::open(&path)?;
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(file.metadata()?.len());
            builder.append_data(&mut header, &name, file)?;
        }
        // A socket, a pipe or a device is nothing to build from.
    }
    Ok(())
}

/// Whether a `.dockerignore` of that text leaves `path` out.
#[cfg(fuzzing)]
pub(super) fn leaves_out(text: &str, path: &Path) -> bool {
    Ignored::parse(text, "Dockerfile").is_ok_and(|ignored| ignored.leaves_out(path))
}

/// What `.dockerignore` says.
struct Ignored {
    /// In the order of the file: the last that matches decides.
    patterns: Vec<(GlobMatcher, bool)>,
    has_exceptions: bool,
    /// Always sent: the builder reads it.
    dockerfile: PathBuf,
}

impl Ignored {
    fn read(folder: &Path, dockerfile: &str) -> io::Result<Self> {
        // A Dockerfile may have a file of its own, which then counts alone.
        let own = folder.join(format!("{dockerfile}.dockerignore"));
        let text = match fs::read_to_string(&own) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match fs::read_to_string(folder.join(".dockerignore")) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
                    read => read?,
                }
            }
            read => read?,
        };
        Self::parse(&text, dockerfile)
    }

    fn parse(text: &str, dockerfile: &str) -> io::Result<Self> {
        let mut patterns = Vec::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (lets_in, pattern) = match line.strip_prefix('!') {
                Some(pattern) => (true, pattern.trim()),
                None => (false, line),
            };
            let pattern = pattern.trim_start_matches("./").trim_matches('/');
            if pattern.is_empty() || pattern == "." {
                continue;
            }
            let glob = GlobBuilder::new(pattern)
                .literal_separator(true)
                .backslash_escape(true)
                .build()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            patterns.push((glob.compile_matcher(), lets_in));
        }
        Ok(Self {
            has_exceptions: patterns.iter().any(|(_, lets_in)| *lets_in),
            patterns,
            dockerfile: PathBuf::from(dockerfile),
        })
    }

    /// A pattern that matches a folder matches all that is in it.
    fn leaves_out(&self, path: &Path) -> bool {
        if path == self.dockerfile || self.dockerfile.starts_with(path) {
            return false;
        }
        self.patterns
            .iter()
            .rev()
            .find(|(glob, _)| {
                path.ancestors()
                    .filter(|part| !part.as_os_str().is_empty())
                    .any(|part| glob.is_match(part))
            })
            .is_some_and(|(_, lets_in)| !lets_in)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Ignored;

    #[test]
    fn dockerignore_is_read_as_the_docker_cli_reads_it() {
        let ignored = Ignored::parse(
            "# comment\n\nnode_modules\n/secret/\n*.log\n**/*.tmp\ndocs/*\n!docs/keep.md\nDockerfile\n",
            "Dockerfile",
        )
        .unwrap();
        for (path, left_out) in [
            ("node_modules", true),
            ("node_modules/a/b.js", true),
            ("app/node_modules", false),
            ("secret", true),
            ("secret/key", true),
            ("a.log", true),
            ("app/a.log", false),
            ("a.tmp", true),
            ("app/deep/a.tmp", true),
            ("docs", false),
            ("docs/other.md", true),
            ("docs/keep.md", false),
            ("Dockerfile", false),
            ("app/main.js", false),
        ] {
            assert_eq!(ignored.leaves_out(Path::new(path)), left_out, "{path}");
        }
    }
}
