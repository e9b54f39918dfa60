//! Opens files that users name, and only regular ones.
//!
//! Opening a FIFO waits for a writer, and reading a device may never end; and what a name stands
//! for may change between a look at it and its use. So nothing here waits, and what was opened is
//! looked at once more.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use rustix::fs::OFlags;

/// Opens the regular file at `path` to read it, through symbolic links.
///
/// # Errors
///
/// As the system says; and if it is no regular file, before anything is read of it.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let refuse = || io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
    // A device may act when it is merely opened.
    if !path.metadata()?.is_file() {
        return Err(refuse());
    }
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(refuse()) }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::PathBuf,
        sync::atomic::{AtomicBool, Ordering},
        thread,
        time::{Duration, Instant},
    };

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::open;

    fn fifo(path: &PathBuf) {
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let (file, pipe) = (folder.path().join("file"), folder.path().join("pipe"));
        fs::write(&file, "text").unwrap();
        fifo(&pipe);
        assert!(open(&file).is_ok());
        for other in [&pipe, &folder.path().to_owned(), &PathBuf::from("/dev/zero")] {
            assert!(open(other).is_err(), "{}", other.display());
        }
    }

    /// A file that is swapped for a FIFO at any moment is refused or read, and never waited for.
    #[test]
    fn what_changes_meanwhile_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spec");
        let (file, pipe) = (folder.path().join("file"), folder.path().join("pipe"));
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    fs::write(&file, "text").unwrap();
                    fs::rename(&file, &path).unwrap();
                    fifo(&pipe);
                    fs::rename(&pipe, &path).unwrap();
                }
            });
            let begun = Instant::now();
            let mut opened = 0;
            while begun.elapsed() < Duration::from_millis(300) {
                opened +=
                    u32::from(open(&path).is_ok_and(|file| file.metadata().unwrap().is_file()));
            }
            over.store(true, Ordering::Relaxed);
            assert!(opened > 0);
        });
    }
}
