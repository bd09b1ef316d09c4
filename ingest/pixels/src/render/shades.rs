//! From stored values to shades of grey, and from samples to colours of 8 bits.

use clinical::imaging::{Frame, ModalityLut, Photometric, Samples, VoiLut, Window};

use crate::FloatFrame;

/// Colours scaled to 8 bits.
pub(super) fn colours(frame: &Frame) -> Vec<u8> {
    if let (Samples::U8(values), 8) = (&frame.samples, frame.bits_stored) {
        return values.clone();
    }
    let most = (1_u64 << frame.bits_stored) - 1;
    let samples = &frame.samples;
    (0..samples.len())
        .map(|index| (samples.at(index).clamp(0, most as i64) as u64 * 255 / most) as u8)
        .collect()
}

/// What becomes of modality units.
enum Voi<'a> {
    Given(&'a VoiLut),
    Own(VoiLut),
    /// From black to white in a line.
    Range(f64, f64),
}

impl<'a> Voi<'a> {
    /// The window wanted, else the frame's own, else what spans the values from end to end.
    fn of(window: Option<Window>, own: Option<&'a VoiLut>, ends: impl FnOnce() -> (f64, f64)) -> Self {
        match (window, own) {
            (Some(window), _) => Self::Own(VoiLut::Window(window)),
            (None, Some(lut)) => Self::Given(lut),
            (None, None) => {
                let (one, other) = ends();
                Self::Range(one.min(other), one.max(other))
            }
        }
    }

    /// The shade of a value in modality units.
    fn shade(&self, value: f64, photometric: Photometric) -> u8 {
        let by = |lut: &VoiLut| match lut {
            VoiLut::Window(window) => window.shade(value),
            VoiLut::Table(table) => {
                f64::from(table.at(value.round() as i32)) / ((1_u32 << table.bits) - 1) as f64
            }
        };
        let part = match self {
            Self::Given(lut) => by(lut),
            Self::Own(lut) => by(lut),
            Self::Range(least, most) if most > least => (value - least) / (most - least),
            Self::Range(..) => 0.5,
        };
        let part = if photometric == Photometric::Monochrome1 { 1.0 - part } else { part };
        (part.clamp(0.0, 1.0) * 255.0).round() as u8
    }
}

/// The shades of a frame of real numbers; padding, and what is no number, is black.
pub(super) fn float_shades(frame: &FloatFrame, window: Option<Window>) -> Vec<u8> {
    let units = |stored: f64| modality(frame.modality_lut.as_ref(), stored);
    let is_image = |stored: f64| {
        !stored.is_nan() && frame.padding.is_none_or(|(first, last)| !(first..=last).contains(&stored))
    };
    let ends = || {
        let shown = frame.values.iter().copied().filter(|stored| stored.is_finite() && is_image(*stored));
        let nothing = (f64::INFINITY, f64::NEG_INFINITY);
        shown.map(units).fold(nothing, |(least, most), value| (least.min(value), most.max(value)))
    };
    let voi = Voi::of(window, frame.voi_lut.as_ref(), ends);
    let shade = |stored: f64| if is_image(stored) { voi.shade(units(stored), frame.photometric) } else { 0 };
    frame.values.iter().map(|stored| shade(*stored)).collect()
}

/// The way from stored values to shades of grey.
pub(super) struct Shades<'a> {
    frame: &'a Frame,
    voi: Voi<'a>,
}

impl<'a> Shades<'a> {
    pub(super) fn new(frame: &'a Frame, window: Option<Window>) -> Self {
        let voi = Voi::of(window, frame.voi_lut.as_ref(), || {
            let (least, most) = Self::stored_range(frame);
            let units = |stored: i64| modality(frame.modality_lut.as_ref(), stored as f64);
            (units(least), units(most))
        });
        Self { frame, voi }
    }

    /// The stored values that become black and white: up to 8 bits they are shades already, as the networks
    /// take them too; above, the least and the greatest value that is no padding.
    fn stored_range(frame: &Frame) -> (i64, i64) {
        let samples = &frame.samples;
        let most = (1_i64 << frame.bits_stored) - 1;
        match samples {
            Samples::U8(_) => return (0, most),
            Samples::I8(_) => return (-(most + 1) / 2, most / 2),
            _ => {}
        }
        let spread = match samples {
            Samples::U16(values) => spread(frame, values),
            Samples::I16(values) => spread(frame, values),
            Samples::U32(values) => spread(frame, values),
            Samples::I32(values) => spread(frame, values),
            Samples::U8(_) | Samples::I8(_) => None,
        };
        spread.unwrap_or((0, 0))
    }

    pub(super) fn apply(&self) -> Vec<u8> {
        let table =
            |range: std::ops::RangeInclusive<i64>| range.map(|it| self.shade(it)).collect::<Vec<u8>>();
        match &self.frame.samples {
            Samples::U8(values) => {
                let table = table(0..=255);
                values.iter().map(|it| table[usize::from(*it)]).collect()
            }
            Samples::I8(values) => {
                let table = table(-128..=127);
                values.iter().map(|it| table[(i16::from(*it) + 128) as usize]).collect()
            }
            Samples::U16(values) => {
                let most = values.iter().copied().max().unwrap_or(0);
                let table = table(0..=most.into());
                values.iter().map(|it| table[usize::from(*it)]).collect()
            }
            Samples::I16(values) => {
                let least = values.iter().copied().min().unwrap_or(0);
                let most = values.iter().copied().max().unwrap_or(0);
                let table = table(least.into()..=most.into());
                values.iter().map(|it| table[(i32::from(*it) - i32::from(least)) as usize]).collect()
            }
            samples => (0..samples.len()).map(|index| self.shade(samples.at(index))).collect(),
        }
    }

    /// The shade of one stored value.
    fn shade(&self, stored: i64) -> u8 {
        if is_padding(self.frame, stored) {
            return 0;
        }
        self.voi.shade(modality(self.frame.modality_lut.as_ref(), stored as f64), self.frame.photometric)
    }
}

/// The least and the greatest value that is no padding.
fn spread<T: Copy + Ord + Into<i64>>(frame: &Frame, values: &[T]) -> Option<(i64, i64)> {
    let ends = |least: Option<T>, most: Option<T>| Some((least?.into(), most?.into()));
    if frame.padding.is_none() {
        return ends(values.iter().copied().min(), values.iter().copied().max());
    }
    let image = || values.iter().copied().filter(|value| !is_padding(frame, (*value).into()));
    ends(image().min(), image().max())
}

fn is_padding(frame: &Frame, stored: i64) -> bool {
    frame.padding.is_some_and(|(first, last)| (first..=last).contains(&stored))
}

/// The modality units of a stored value.
fn modality(lut: Option<&ModalityLut>, stored: f64) -> f64 {
    match lut {
        None => stored,
        Some(ModalityLut::Rescale(line)) => line.slope * stored + line.intercept,
        Some(ModalityLut::Table(table)) => table.at(stored.round() as i32).into(),
    }
}
