//! From stored values to 256 shades of grey.

use clinical::imaging::{Frame, LutTable, ModalityLut, Photometric, Samples, VoiFunction, VoiLut, Window};
use models::{Input, Luts};

use super::PrepareError;

/// How modality units become shades.
enum Voi<'a> {
    /// By the object's window.
    Window(Window),
    /// By the object's table.
    Table(&'a LutTable),
    /// The object has none: from black to white between these two.
    Between(f64, f64),
}

/// How one frame's stored values become shades.
pub(super) struct Shades<'a> {
    modality: Option<&'a ModalityLut>,
    voi: Voi<'a>,
    is_inverted: bool,
    padding: Option<(i64, i64)>,
    /// The value of padding where values stay in their units.
    black: f32,
}

impl<'a> Shades<'a> {
    /// The frame's way by its look-up tables, as far as the card follows them, and the card's window.
    pub(super) fn of(frame: &'a Frame, input: &Input) -> Result<Self, PrepareError> {
        let modality = frame.modality_lut.as_ref().filter(|_| input.luts != Luts::Stored);
        let table_is_empty = |table: &LutTable| table.entries.is_empty();
        if matches!(modality, Some(ModalityLut::Table(table)) if table_is_empty(table))
            || matches!(&frame.voi_lut, Some(VoiLut::Table(table)) if table_is_empty(table))
        {
            return Err(PrepareError::EmptyTable);
        }
        let padding = frame.padding.map(|(one, other)| (one.min(other), one.max(other)));
        let own = input.window.map(|window| Window {
            center: window.center,
            width: window.width,
            function: VoiFunction::LinearExact,
        });
        let voi = match (own, &frame.voi_lut) {
            (Some(window), _) => Voi::Window(window),
            (None, Some(VoiLut::Window(window))) => Voi::Window(*window),
            (None, Some(VoiLut::Table(table))) => Voi::Table(table),
            (None, None) if input.is_in_units() => Voi::Between(0.0, 0.0),
            (None, None) => {
                let (low, high) = full_range(frame).unwrap_or_else(|| range(frame, padding));
                Voi::Between(low, high)
            }
        };
        Ok(Self {
            modality,
            voi,
            is_inverted: frame.photometric == Photometric::Monochrome1,
            padding,
            black: input.value_range[0],
        })
    }

    /// The shade of a stored value, 0 (black) to 255 (white).
    pub(super) fn grey(&self, stored: i64) -> u8 {
        (self.shade(stored) * 255.0).round() as u8
    }

    /// The same without rounding to one of 256.
    pub(super) fn fine_grey(&self, stored: i64) -> f32 {
        let shade = (self.shade(stored) * 255.0) as f32;
        if shade.is_nan() { 0.0 } else { shade }
    }

    /// The stored value in the units that the card asks for; black for padding, and for what is no number.
    pub(super) fn in_units(&self, stored: i64) -> f32 {
        let units = units(self.modality, stored) as f32;
        if self.is_padding(stored) || !units.is_finite() { self.black } else { units }
    }

    fn is_padding(&self, stored: i64) -> bool {
        self.padding.is_some_and(|(low, high)| (low..=high).contains(&stored))
    }

    /// The shade of a stored value, 0.0 (black) to 1.0 (white).
    fn shade(&self, stored: i64) -> f64 {
        if self.is_padding(stored) {
            return 0.0;
        }
        let units = units(self.modality, stored);
        let shade = match &self.voi {
            Voi::Window(window) => window.shade(units),
            Voi::Table(table) => {
                let white = (1_u32 << table.bits.clamp(1, 16)) - 1;
                (f64::from(table.at(units.round() as i32)) / f64::from(white)).min(1.0)
            }
            Voi::Between(low, high) if low < high => ((units - low) / (high - low)).clamp(0.0, 1.0),
            Voi::Between(..) => 0.0,
        };
        if self.is_inverted { 1.0 - shade } else { shade }
    }
}

/// The luma of an RGB pixel (ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B), in fixed point as image libraries do it.
pub(super) fn luma([red, green, blue]: [u8; 3]) -> u8 {
    ((u32::from(red) * 19595 + u32::from(green) * 38470 + u32::from(blue) * 7471 + 0x8000) >> 16) as u8
}

/// Modality units of a stored value.
fn units(modality: Option<&ModalityLut>, stored: i64) -> f64 {
    match modality {
        None => stored as f64,
        Some(ModalityLut::Rescale(by)) => by.slope * stored as f64 + by.intercept,
        Some(ModalityLut::Table(table)) => {
            f64::from(table.at(stored.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32))
        }
    }
}

/// Least and largest units that up to 8 bits can hold; `None` for more bits.
///
/// Such values are shades already: stretching them would show another picture than the one that was made.
fn full_range(frame: &Frame) -> Option<(f64, f64)> {
    let bits = frame.bits_stored.max(1);
    let (low, high) = match frame.samples {
        Samples::U8(_) | Samples::U16(_) | Samples::U32(_) if bits <= 8 => (0, (1 << bits) - 1),
        Samples::I8(_) | Samples::I16(_) | Samples::I32(_) if bits <= 8 => {
            (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
        }
        _ => return None,
    };
    Some(match frame.modality_lut.as_ref() {
        Some(ModalityLut::Table(table)) => (0.0, f64::from((1_u32 << table.bits.clamp(1, 16)) - 1)),
        line => ordered(units(line, low), units(line, high)),
    })
}

/// Least and largest units of a frame's image, without padding; from high to low where there is none.
fn range(frame: &Frame, padding: Option<(i64, i64)>) -> (f64, f64) {
    match &frame.samples {
        Samples::U8(values) => range_of(values, frame, padding),
        Samples::I8(values) => range_of(values, frame, padding),
        Samples::U16(values) => range_of(values, frame, padding),
        Samples::I16(values) => range_of(values, frame, padding),
        Samples::U32(values) => range_of(values, frame, padding),
        Samples::I32(values) => range_of(values, frame, padding),
    }
}

fn range_of<T: Copy + Ord + Into<i64>>(
    values: &[T],
    frame: &Frame,
    padding: Option<(i64, i64)>,
) -> (f64, f64) {
    let nothing = (f64::INFINITY, f64::NEG_INFINITY);
    let is_image = |value: i64| padding.is_none_or(|(low, high)| !(low..=high).contains(&value));
    if let Some(table @ ModalityLut::Table(_)) = frame.modality_lut.as_ref() {
        let image = values.iter().map(|value| (*value).into()).filter(|value| is_image(*value));
        return image
            .map(|value| units(Some(table), value))
            .fold(nothing, |(low, high), value| (low.min(value), high.max(value)));
    }
    let ends = match padding {
        None => ends_of(values.iter().copied()),
        Some(_) => ends_of(values.iter().copied().filter(|value| is_image((*value).into()))),
    };
    let line = frame.modality_lut.as_ref();
    ends.map_or(nothing, |(low, high)| ordered(units(line, low.into()), units(line, high.into())))
}

/// Least and largest of some values, in one pass without branches.
fn ends_of<T: Copy + Ord>(mut values: impl Iterator<Item = T>) -> Option<(T, T)> {
    let first = values.next()?;
    Some(values.fold((first, first), |(low, high), value| (low.min(value), high.max(value))))
}

/// A negative slope turns the ends around.
fn ordered(one: f64, other: f64) -> (f64, f64) {
    (one.min(other), one.max(other))
}
