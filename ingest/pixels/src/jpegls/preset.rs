//! The coding parameters of a scan: given by an LSE segment or by default.

use super::JpegLsError;

/// Parameters of an LSE segment of type 1; 0 stands for the default.
///
/// Source: T.87, section C.2.4.1.1.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Preset {
    pub(super) max_value: u32,
    pub(super) t1: u32,
    pub(super) t2: u32,
    pub(super) t3: u32,
    pub(super) reset: u32,
}

/// The parameters in force during one scan.
///
/// Source: T.87, sections A.2.1 and C.2.4.1.1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coding {
    pub(super) near: i32,
    pub(super) max_value: i32,
    pub(super) t1: i32,
    pub(super) t2: i32,
    pub(super) t3: i32,
    pub(super) reset: i32,
    /// How many quantized prediction errors there are.
    pub(super) range: i32,
    /// Bits of such an error.
    pub(super) error_bits: u32,
    /// The longest code, in bits.
    pub(super) limit: u32,
}

/// `value` if it lies in `least..=most`, else `least` (the standard's own CLAMP).
fn held(value: i32, least: i32, most: i32) -> i32 {
    if value > most || value < least { least } else { value }
}

/// `ceil(log2(value))` for `value` of at least 1.
fn ceil_log2(value: i32) -> u32 {
    if value <= 1 { 0 } else { 32 - (value - 1).leading_zeros() }
}

impl Coding {
    /// The parameters for samples of `precision` bits, `preset` before the defaults.
    ///
    /// # Errors
    ///
    /// [`JpegLsError::Malformed`] where the values break the bounds of table C.3.
    pub(super) fn new(precision: u32, near: u8, preset: Preset) -> Result<Self, JpegLsError> {
        let full = (1_i32 << precision) - 1;
        let max_value = if preset.max_value == 0 { full } else { preset.max_value as i32 };
        let near = i32::from(near);
        if max_value > full || max_value < 1 {
            return Err(JpegLsError::Malformed("MAXVAL is out of range"));
        }
        if near > (max_value / 2).min(255) {
            return Err(JpegLsError::Malformed("NEAR is out of range"));
        }
        let [d1, d2, d3] = default_thresholds(max_value, near);
        let given = |value: u32, default: i32| if value == 0 { default } else { value as i32 };
        let (t1, t2, t3) = (given(preset.t1, d1), given(preset.t2, d2), given(preset.t3, d3));
        if !(near < t1 && t1 <= t2 && t2 <= t3 && t3 <= max_value) {
            return Err(JpegLsError::Malformed("the gradient thresholds are out of order"));
        }
        let reset = given(preset.reset, 64);
        if reset < 3 {
            return Err(JpegLsError::Malformed("RESET is out of range"));
        }
        let range = (max_value + 2 * near) / (2 * near + 1) + 1;
        let bits = ceil_log2(max_value + 1).max(2);
        let limit = 2 * (bits + bits.max(8));
        Ok(Self { near, max_value, t1, t2, t3, reset, range, error_bits: ceil_log2(range), limit })
    }
}

/// T.87, section C.2.4.1.1.1.
fn default_thresholds(max_value: i32, near: i32) -> [i32; 3] {
    let (basic1, basic2, basic3) = if max_value >= 128 {
        let factor = (max_value.min(4095) + 128) / 256;
        (factor + 2 + 3 * near, factor * 4 + 3 + 5 * near, factor * 17 + 4 + 7 * near)
    } else {
        let factor = 256 / (max_value + 1);
        ((3 / factor + 3 * near).max(2), (7 / factor + 5 * near).max(3), (21 / factor + 7 * near).max(4))
    };
    let t1 = held(basic1, near + 1, max_value);
    let t2 = held(basic2, t1, max_value);
    [t1, t2, held(basic3, t2, max_value)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T.87, table C.3 and C.2.4.1.1.1: 8 bits give 3, 7, 21; 12 bits and more 18, 67, 276.
    #[test]
    fn the_default_thresholds_are_the_standards() {
        assert_eq!(default_thresholds(255, 0), [3, 7, 21]);
        assert_eq!(default_thresholds(4095, 0), [18, 67, 276]);
        assert_eq!(default_thresholds(65_535, 0), [18, 67, 276]);
    }

    /// T.87, A.2.1: MAXVAL 255 gives RANGE 256, 8 bits an error, LIMIT 32.
    #[test]
    fn eight_bits_limit_a_code_to_32() {
        let coding = Coding::new(8, 0, Preset::default()).unwrap();
        assert_eq!((coding.range, coding.error_bits, coding.limit), (256, 8, 32));
        let coding = Coding::new(8, 3, Preset::default()).unwrap();
        assert_eq!((coding.range, coding.error_bits), (38, 6));
    }

    #[test]
    fn a_preset_outside_its_bounds_is_refused() {
        for preset in [
            Preset { max_value: 256, ..Preset::default() },
            Preset { t1: 9, t2: 8, t3: 20, ..Preset::default() },
            Preset { reset: 1, ..Preset::default() },
        ] {
            assert!(matches!(Coding::new(8, 0, preset), Err(JpegLsError::Malformed(_))));
        }
    }
}
