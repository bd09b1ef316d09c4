//! Numbers that begin at the start of a cache line.

use std::ops::{Deref, DerefMut};

use crate::isa::lanes::LANES;

/// Sixteen numbers: a cache line of 64 bytes.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LANES]);

/// Bytes from which on packed weights have pages of their own.
#[cfg(feature = "map")]
const LARGE: usize = 1 << 16;

/// Numbers that begin at the start of a cache line, so that no block of sixteen lies across two.
#[derive(Debug, Default)]
pub struct Buffer {
    lines: Lines,
    len: usize,
}

#[derive(Debug)]
enum Lines {
    Own(Vec<Line>),
    /// The system's pages, which begin at a line, too.
    #[cfg(feature = "map")]
    Pages(memmap2::MmapMut),
}

impl Buffer {
    /// So many zeros.
    pub fn zeros(len: usize) -> Self {
        Buffer { lines: Lines::Own(vec![Line([0.0; LANES]); len.div_ceil(LANES)]), len }
    }

    /// The same for what is made once, large, and written as a whole: the system's pages are zero already and come all at
    /// once, and it has them back when they go, where an allocator keeps them for a while.
    pub(crate) fn zeros_apart(len: usize) -> Self {
        #[cfg(feature = "map")]
        if let Some(bytes) = len.checked_mul(size_of::<f32>()).filter(|bytes| *bytes >= LARGE)
            && let Ok(pages) = memmap2::MmapOptions::new().len(bytes).populate().map_anon()
        {
            return Buffer { lines: Lines::Pages(pages), len };
        }
        Buffer::zeros(len)
    }

    /// At least so many numbers; what they were is lost when it has to grow.
    pub(crate) fn reserve(&mut self, len: usize) {
        if self.len < len {
            // the old numbers go first: both at once would be the peak of memory
            *self = Buffer::default();
            *self = Buffer::zeros(len);
        }
    }
}

impl Default for Lines {
    fn default() -> Self {
        Lines::Own(Vec::new())
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        Buffer::from(&**self)
    }
}

impl From<&[f32]> for Buffer {
    fn from(numbers: &[f32]) -> Self {
        let mut buffer = Buffer::zeros(numbers.len());
        buffer.copy_from_slice(numbers);
        buffer
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        let numbers = match &self.lines {
            Lines::Own(lines) => lines.as_ptr().cast(),
            #[cfg(feature = "map")]
            Lines::Pages(pages) => pages.as_ptr().cast(),
        };
        // SAFETY: a line is sixteen numbers without padding, pages are bytes of which any four are one; `len` numbers lie there.
        unsafe { std::slice::from_raw_parts(numbers, self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        let numbers = match &mut self.lines {
            Lines::Own(lines) => lines.as_mut_ptr().cast(),
            #[cfg(feature = "map")]
            Lines::Pages(pages) => pages.as_mut_ptr().cast(),
        };
        // SAFETY: as above, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(numbers, self.len) }
    }
}

impl AsRef<[f32]> for Buffer {
    fn as_ref(&self) -> &[f32] {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_begin_at_a_cache_line() {
        for len in [0, 1, 15, 16, 17, 1000] {
            let buffer = Buffer::zeros(len);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr().addr() % 64, 0);
        }
        assert_eq!(&*Buffer::from(&[1.0, 2.0][..]), [1.0, 2.0]);
    }

    #[test]
    fn zeros_apart_are_zeros() {
        for len in [0, 17, 1 << 14, (1 << 14) + 5] {
            let mut buffer = Buffer::zeros_apart(len);
            assert!(buffer.len() == len && buffer.iter().all(|it| *it == 0.0));
            assert_eq!(buffer.as_ptr().addr() % 64, 0);
            buffer.fill(1.0);
            assert_eq!(*buffer.clone(), *buffer);
        }
    }
}
