//! From stored colours to RGB: planes, pairs, and the YBR forms.

use clinical::imaging::Samples;

use crate::PixelError;

/// The matrix from luminance and colour differences to RGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ybr {
    /// Every value is used (PS3.3, section C.7.6.3.1.2, `YBR_FULL`).
    Full,
    /// Black is 16 and white 235 of 255 (the same, `YBR_PARTIAL_422`; ITU-R BT.601).
    Partial,
}

/// Coefficients in units of 2^-16: luminance, red by Cr, green by Cb, green by Cr, blue by Cb.
const FULL: [i64; 5] = [65_536, 91_881, 22_554, 46_802, 116_130];
const PARTIAL: [i64; 5] = [76_309, 104_597, 25_675, 53_279, 132_201];

/// RGB of pixels in one of the YBR forms; `bits` are stored in each sample.
///
/// # Errors
///
/// [`PixelError::UnsupportedPixelFormat`] for signed colours and for more than 16 bits.
pub(crate) fn rgb(samples: Samples, from: Ybr, bits: u8) -> Result<Samples, PixelError> {
    match samples {
        Samples::U8(mut values) => {
            for pixel in values.as_chunks_mut::<3>().0 {
                *pixel = convert(pixel.map(i64::from), from, bits).map(|value| value as u8);
            }
            Ok(Samples::U8(values))
        }
        Samples::U16(mut values) => {
            for pixel in values.as_chunks_mut::<3>().0 {
                *pixel = convert(pixel.map(i64::from), from, bits).map(|value| value as u16);
            }
            Ok(Samples::U16(values))
        }
        _ => Err(PixelError::unsupported("signed or very deep colours")),
    }
}

#[inline]
fn convert([y, cb, cr]: [i64; 3], from: Ybr, bits: u8) -> [i64; 3] {
    let middle = 1_i64 << (bits - 1);
    let (least, [by_y, r_cr, g_cb, g_cr, b_cb]) = match from {
        Ybr::Full => (0, FULL),
        Ybr::Partial => ((16 << bits) >> 8, PARTIAL),
    };
    let (y, cb, cr) = ((y - least) * by_y + 32_768, cb - middle, cr - middle);
    let most = 2 * middle - 1;
    [y + r_cr * cr, y - g_cb * cb - g_cr * cr, y + b_cb * cb].map(|value| (value >> 16).clamp(0, most))
}

/// Applies `change` to the samples, whatever their type.
macro_rules! each_type {
    ($samples:expr, $values:ident => $change:expr) => {
        match $samples {
            Samples::U8($values) => Samples::U8($change),
            Samples::I8($values) => Samples::I8($change),
            Samples::U16($values) => Samples::U16($change),
            Samples::I16($values) => Samples::I16($change),
            Samples::U32($values) => Samples::U32($change),
            Samples::I32($values) => Samples::I32($change),
        }
    };
}

/// `count` samples from `first` on.
pub(crate) fn part(samples: Samples, first: usize, count: usize) -> Samples {
    each_type!(samples, values => values[first..first + count].to_vec())
}

/// Pixels of three samples out of three planes (Planar Configuration 1).
pub(crate) fn interleave(samples: &Samples) -> Samples {
    fn pixels<T: Copy>(planes: &[T]) -> Vec<T> {
        let (first, rest) = planes.split_at(planes.len() / 3);
        let (second, third) = rest.split_at(first.len());
        first.iter().zip(second).zip(third).flat_map(|((a, b), c)| [*a, *b, *c]).collect()
    }
    each_type!(samples, values => pixels(values))
}

/// Pixels of three samples out of `Y Y Cb Cr` for every two pixels (PS3.3, section C.7.6.3.1.2, `YBR_FULL_422`).
pub(crate) fn expand_pairs(samples: &Samples) -> Samples {
    fn pixels<T: Copy>(pairs: &[T]) -> Vec<T> {
        let pairs = pairs.as_chunks::<4>().0;
        pairs.iter().flat_map(|[y1, y2, cb, cr]| [*y1, *cb, *cr, *y2, *cb, *cr]).collect()
    }
    each_type!(samples, values => pixels(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(y: u8, cb: u8, cr: u8) -> Samples {
        rgb(Samples::U8(vec![y, cb, cr]), Ybr::Full, 8).unwrap()
    }

    /// PS3.3, C.7.6.3.1.2: Y = .299 R + .587 G + .114 B; pure red is (76, 85, 255), pure blue (29, 255, 107).
    #[test]
    fn primaries_return_from_ybr_full() {
        assert_eq!(full(76, 85, 255), Samples::U8(vec![254, 0, 0]));
        assert_eq!(full(29, 255, 107), Samples::U8(vec![0, 0, 254]));
        assert_eq!(full(128, 128, 128), Samples::U8(vec![128, 128, 128]));
    }

    /// BT.601: 16 is black and 235 is white.
    #[test]
    fn partial_range_is_stretched() {
        let stretched = rgb(Samples::U8(vec![16, 128, 128, 235, 128, 128]), Ybr::Partial, 8).unwrap();
        assert_eq!(stretched, Samples::U8(vec![0, 0, 0, 255, 255, 255]));
    }

    #[test]
    fn planes_and_pairs_become_pixels() {
        assert_eq!(interleave(&Samples::U8(vec![1, 2, 3, 4, 5, 6])), Samples::U8(vec![1, 3, 5, 2, 4, 6]));
        assert_eq!(expand_pairs(&Samples::U8(vec![1, 2, 3, 4])), Samples::U8(vec![1, 3, 4, 2, 3, 4]));
    }
}
