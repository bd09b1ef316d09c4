//! Numbers that begin at the start of a cache line.

use std::ops::{Deref, DerefMut};

use crate::isa::lanes::LANES;

/// Sixteen numbers: a cache line of 64 bytes.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LANES]);

/// Numbers that begin at the start of a cache line, so that no block of sixteen lies across two.
#[derive(Debug, Clone, Default)]
pub struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    /// So many zeros.
    pub fn zeros(len: usize) -> Self {
        Buffer { lines: vec![Line([0.0; LANES]); len.div_ceil(LANES)], len }
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
        // SAFETY: a line is sixteen numbers without padding, and `len` numbers lie in the lines.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
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
}
