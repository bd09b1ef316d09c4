//! Whether numbers are numbers, looked at before an operator spreads one that is none.

use crate::error::KernelError;
use crate::isa::Isa;
use crate::isa::lanes::LANES;

/// Whether none of the numbers is infinite or no number at all.
///
/// Winograd's way spreads such a value over its tile, a window over its reach: a network's input is looked at first.
///
/// # Errors
///
/// [`KernelError::MissingIsa`].
pub fn is_finite(isa: Isa, numbers: &[f32]) -> Result<bool, KernelError> {
    let table = isa.table()?;
    let (blocks, rest) = numbers.as_chunks::<LANES>();
    // SAFETY: the chunks are blocks of sixteen numbers.
    let are_finite = unsafe { (table.is_finite)(blocks.as_ptr().cast(), blocks.len()) };
    Ok(are_finite && rest.iter().all(|it| it.is_finite()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_no_number_is_found_wherever_it_stands() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_present()) {
            for len in [1, 16, 75] {
                let mut numbers = vec![f32::MAX; len];
                assert_eq!(is_finite(isa, &numbers), Ok(true));
                for place in 0..len {
                    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                        let right = std::mem::replace(&mut numbers[place], wrong);
                        assert_eq!(is_finite(isa, &numbers), Ok(false));
                        numbers[place] = right;
                    }
                }
            }
        }
    }
}
