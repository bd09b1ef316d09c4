//! Why an operator was not built, or did not run.

use crate::isa::Isa;

/// Why an operator was not built, or did not run. Nothing has been written to the output then.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelError {
    /// A dimension, a stride, a dilation or a count is zero.
    Zero(&'static str),
    /// A dimension, or the product of all, is larger than any network's.
    TooLarge,
    /// A slice is longer or shorter than its shape says.
    Length {
        /// Which slice.
        of: &'static str,
        /// The length that the shape asks for.
        expected: usize,
        /// The length that was given.
        given: usize,
    },
    /// Two shapes that must agree do not.
    Mismatch(&'static str),
    /// A shape that the operator cannot have.
    Impossible(&'static str),
    /// A weight is infinite or not a number.
    NotFinite(&'static str),
    /// This processor lacks the instructions that were asked for.
    MissingIsa(Isa),
    /// These instructions do not reckon in bf16.
    MissingBf16(Isa),
    /// No instruction set has this name.
    UnknownIsa,
}

impl std::fmt::Display for KernelError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KernelError::Zero(what) => write!(out, "{what} is zero"),
            KernelError::TooLarge => write!(out, "the shape is too large for this machine"),
            KernelError::Length { of, expected, given } => {
                write!(out, "{of} has {given} values instead of {expected}")
            }
            KernelError::Mismatch(what) => write!(out, "shapes differ: {what}"),
            KernelError::Impossible(what) => write!(out, "impossible shape: {what}"),
            KernelError::NotFinite(what) => write!(out, "{what} holds an infinite value or none at all"),
            KernelError::MissingIsa(isa) => write!(out, "this processor has no {isa}"),
            KernelError::MissingBf16(isa) => write!(out, "{isa} does not reckon in bf16 here"),
            KernelError::UnknownIsa => write!(out, "the instruction set is none of avx512, avx2, portable"),
        }
    }
}

impl std::error::Error for KernelError {}

/// Dimensions, strides, dilations and counts of channels beyond this are refused: no network has them, no sum of them
/// overflows, and what is allocated for a shape that is only declared stays small.
pub(crate) const LARGEST: usize = 1 << 24;

/// Pads beyond this are refused: no network has them, and they are memory that is only declared.
pub(crate) const LARGEST_PAD: usize = 1 << 12;

/// Refuses a slice whose length is not what its shape says.
pub(crate) fn same_length(of: &'static str, expected: usize, given: usize) -> Result<(), KernelError> {
    if expected == given { Ok(()) } else { Err(KernelError::Length { of, expected, given }) }
}

/// The product of `factors`.
///
/// # Errors
///
/// [`KernelError::TooLarge`]: more than [`isize::MAX`] bytes of `f32`.
pub(crate) fn product(factors: &[usize]) -> Result<usize, KernelError> {
    let count = factors.iter().try_fold(1_usize, |product, factor| product.checked_mul(*factor));
    count.filter(|count| *count <= isize::MAX as usize / size_of::<f32>()).ok_or(KernelError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_that_overflows_is_refused() {
        assert_eq!(product(&[usize::MAX, 2]), Err(KernelError::TooLarge));
        assert_eq!(product(&[usize::MAX / 4]), Err(KernelError::TooLarge), "its bytes overflow");
        assert_eq!(product(&[3, 4]), Ok(12));
    }
}
