//! The little that is read of an ELF executable, see `elf(5)`: its program headers.
//!
//! Any bytes will do: what makes no sense is not there.

use std::ops::Range;

const LOAD: u32 = 1;
const INTERPRETER: u32 = 3;
const READABLE: u32 = 4;

/// A part of an executable that means something to the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    kind: u32,
    flags: u32,
    /// The bytes of the file.
    pub(super) range: Range<usize>,
}

impl Segment {
    /// Whether it names the loader that the executable asks for.
    pub(super) fn is_interpreter(&self) -> bool {
        self.kind == INTERPRETER
    }

    /// Whether it is loaded to be read, and neither to be written nor to be executed.
    pub(super) fn is_read_only_data(&self) -> bool {
        self.kind == LOAD && self.flags == READABLE
    }
}

/// The segments of a 64-bit, little-endian executable: all that this crate is built for.
pub(super) fn segments(executable: &[u8]) -> impl Iterator<Item = Segment> {
    let is_elf = executable.starts_with(b"\x7fELF\x02\x01");
    let table = if is_elf { long(executable, 32) } else { None };
    let size = usize::from(half(executable, 54).unwrap_or_default());
    let count = usize::from(half(executable, 56).unwrap_or_default());
    (0..count).filter_map(move |index| {
        let at = table?.checked_add(index.checked_mul(size)?)?;
        let start = long(executable, at.checked_add(8)?)?;
        let length = long(executable, at.checked_add(32)?)?;
        Some(Segment {
            kind: word(executable, at)?,
            flags: word(executable, at.checked_add(4)?)?,
            range: start..start.checked_add(length)?,
        })
    })
}

fn bytes<const N: usize>(executable: &[u8], at: usize) -> Option<[u8; N]> {
    executable.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn half(executable: &[u8], at: usize) -> Option<u16> {
    bytes(executable, at).map(u16::from_le_bytes)
}

fn word(executable: &[u8], at: usize) -> Option<u32> {
    bytes(executable, at).map(u32::from_le_bytes)
}

fn long(executable: &[u8], at: usize) -> Option<usize> {
    bytes(executable, at).map(u64::from_le_bytes)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::segments;

    #[test]
    fn this_executable_has_code_and_texts() {
        let executable = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let mut texts = segments(&executable).filter(super::Segment::is_read_only_data);
        let has_this = |bytes: &[u8]| bytes.windows(20).any(|it| it == b"is in its own texts!");
        assert!(texts.any(|it| has_this(&executable[it.range])));
        assert!(segments(&executable).all(|it| it.range.end <= executable.len()));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for length in 0..200 {
            for fill in [0, 1, 0x40, 0xff] {
                let mut bytes = vec![fill; length];
                for (byte, magic) in bytes.iter_mut().zip(b"\x7fELF\x02\x01") {
                    *byte = *magic;
                }
                assert!(segments(&bytes).count() <= usize::from(u16::MAX));
            }
        }
    }
}
