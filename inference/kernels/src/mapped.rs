//! Numbers in a file, read where they lie by as many processes as like.

use std::fs::File;
use std::io;

use crate::isa::lanes::LANES;

/// Bytes of a cache line: where numbers begin in a file.
const LINE: u64 = (LANES * size_of::<f32>()) as u64;

/// Numbers in a file, as this processor has them: nothing is read before it is needed, and what several processes
/// have mapped is in memory once.
///
/// The file must not be cut while it is mapped: it is one that is written under another name, renamed when it is whole,
/// and from then on only removed.
#[derive(Debug)]
pub struct Mapped(memmap2::Mmap);

impl Mapped {
    /// `count` numbers from this byte of the file on, which is the beginning of a line of 64.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] where the file has fewer or they begin elsewhere; any other of the system's.
    pub fn of(file: &File, first_byte: u64, count: usize) -> io::Result<Mapped> {
        let bytes = (count as u64).checked_mul(size_of::<f32>() as u64);
        let end = bytes.and_then(|bytes| first_byte.checked_add(bytes));
        let is_inside = end.is_some_and(|end| file.metadata().is_ok_and(|about| end <= about.len()));
        if !is_inside || !first_byte.is_multiple_of(LINE) || count == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: whoever gives the file keeps it whole, as the type asks; any bits are a number.
        let map = unsafe {
            memmap2::MmapOptions::new().offset(first_byte).len(count * size_of::<f32>()).map(file)?
        };
        Ok(Mapped(map))
    }
}

impl AsRef<[f32]> for Mapped {
    fn as_ref(&self) -> &[f32] {
        // SAFETY: pages begin at a line, and so do the numbers in them; the map is as long, and any bits are a number.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() / size_of::<f32>()) }
    }
}

/// The bytes of numbers, as this processor has them: what a file is written with that is [`Mapped`] later.
pub fn bytes_of(numbers: &[f32]) -> &[u8] {
    // SAFETY: a number is four bytes without padding, each of which may be read.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn numbers_are_read_where_they_lie_and_nowhere_else() {
        let path = std::env::temp_dir().join(format!("kernels-mapped-{}", std::process::id()));
        let mut file =
            File::options().create(true).truncate(true).read(true).write(true).open(&path).unwrap();
        let numbers: Vec<f32> = (0..48).map(|it| it as f32).collect();
        file.write_all(bytes_of(&numbers)).unwrap();
        std::fs::remove_file(&path).unwrap();
        let mapped = Mapped::of(&file, 64, 20).unwrap();
        assert_eq!(mapped.as_ref(), &numbers[16..36]);
        assert_eq!(mapped.as_ref().as_ptr().addr() % 64, 0);
        for (first_byte, count) in [(64, 33), (4, 1), (0, 0), (u64::MAX - 63, 16), (0, usize::MAX)] {
            assert!(Mapped::of(&file, first_byte, count).is_err(), "{count} numbers from {first_byte} on");
        }
    }
}
