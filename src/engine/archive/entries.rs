//! The files of an image's archive, one after the other, none of them kept.
//!
//! Long names stand before their file and are read whole, by the library. How much may be read for
//! them is limited: a packed archive of some megabytes may hold a name of gigabytes.

use std::{
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::read::GzDecoder;

use crate::files;

/// How many bytes all that describes one file may take.
pub(super) const LARGEST_HEADERS: u64 = 1024 * 1024;
const NO_LIMIT: u64 = u64::MAX;

/// A file in an archive.
pub(super) type Entry<'a> = tar::Entry<'a, Limited>;

/// An archive, open.
pub(super) struct Entries {
    archive: tar::Archive<Limited>,
    left: Arc<AtomicU64>,
}

/// The archive's bytes, of which there may be a limited number until the next file begins.
pub(super) struct Limited {
    bytes: Box<dyn Read>,
    left: Arc<AtomicU64>,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.load(Ordering::Relaxed);
        if left == NO_LIMIT || buffer.is_empty() {
            return self.bytes.read(buffer);
        }
        if left == 0 {
            return Err(io::Error::other("one of its files has a name of more than 1 MiB"));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.bytes.read(&mut buffer[..most])?;
        self.left.store(left - count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Entries {
    /// Opens the archive at `path`, packed with gzip or not.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::of(files::open(path)?)
    }

    pub(super) fn of(mut file: impl Read + Seek + 'static) -> io::Result<Self> {
        let mut magic = Vec::new();
        file.by_ref().take(6).read_to_end(&mut magic)?;
        let others: [(&str, &[u8]); 3] =
            [("zstd", b"\x28\xb5\x2f\xfd"), ("xz", b"\xfd7zXZ\0"), ("bzip2", b"BZh")];
        if let Some((name, _)) = others.iter().find(|(_, start)| magic.starts_with(start)) {
            let what = format!("it is packed with {name}: only gzip can be read");
            return Err(io::Error::other(what));
        }
        let is_packed = magic.starts_with(&[0x1f, 0x8b]);
        file.seek(SeekFrom::Start(0))?;
        let file = BufReader::with_capacity(128 * 1024, file);
        let bytes: Box<dyn Read> =
            if is_packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
        let left = Arc::new(AtomicU64::new(NO_LIMIT));
        let archive = tar::Archive::new(Limited { bytes, left: Arc::clone(&left) });
        Ok(Self { archive, left })
    }

    /// Calls `each` for every file, with its number from 0 and its name without `./`.
    pub(super) fn each<E: From<io::Error>>(
        mut self,
        mut each: impl FnMut(usize, String, &mut Entry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut entries = self.archive.entries()?;
        for number in 0.. {
            self.left.store(LARGEST_HEADERS, Ordering::Relaxed);
            let entry = entries.next();
            self.left.store(NO_LIMIT, Ordering::Relaxed);
            let mut entry = match entry {
                None => break,
                // What the library says of bytes that are no tar is of no use.
                Some(Err(error)) if number == 0 && error.kind() == io::ErrorKind::Other => {
                    let is_ours = error.to_string().contains("a name of more than");
                    let told = if is_ours { error } else { io::Error::other("it is no tar") };
                    return Err(told.into());
                }
                Some(entry) => entry?,
            };
            // Its holes may be larger than any disk.
            if entry.header().entry_type().is_gnu_sparse() {
                return Err(io::Error::other("one of its files is sparse: save it again").into());
            }
            let name = name_of(&entry)?;
            each(number, name, &mut entry)?;
            // Else it would be passed over as part of what describes the next.
            io::copy(&mut entry, &mut io::sink())?;
        }
        Ok(())
    }
}

/// A name within the archive, without `./`.
fn name_of(entry: &Entry<'_>) -> io::Result<String> {
    let path = entry.path()?;
    Ok(path.strip_prefix("./").unwrap_or(&path).to_string_lossy().into_owned())
}
