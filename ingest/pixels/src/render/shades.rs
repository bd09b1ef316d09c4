//! From stored values to shades of grey, and from samples to colours of 8 bits.

use clinical::imaging::{Frame, ModalityLut, Photometric, Samples, VoiLut, Window};

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

/// The way from stored values to shades of grey.
pub(super) struct Shades<'a> {
    frame: &'a Frame,
    voi: Voi<'a>,
}

impl<'a> Shades<'a> {
    pub(super) fn new(frame: &'a Frame, window: Option<Window>) -> Self {
        let voi = match (window, &frame.voi_lut) {
            (Some(window), _) => Voi::Own(VoiLut::Window(window)),
            (None, Some(lut)) => Voi::Given(lut),
            (None, None) => {
                let (least, most) = Self::stored_range(frame);
                let ends = [modality(frame, least), modality(frame, most)];
                Voi::Range(ends[0].min(ends[1]), ends[0].max(ends[1]))
            }
        };
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
        let value = modality(self.frame, stored);
        let table = |lut: &VoiLut| match lut {
            VoiLut::Window(window) => window.shade(value),
            VoiLut::Table(table) => {
                f64::from(table.at(value.round() as i32)) / ((1_u32 << table.bits) - 1) as f64
            }
        };
        let part = match &self.voi {
            Voi::Given(lut) => table(lut),
            Voi::Own(lut) => table(lut),
            Voi::Range(least, most) if most > least => (value - least) / (most - least),
            Voi::Range(..) => 0.5,
        };
        let part = if self.frame.photometric == Photometric::Monochrome1 { 1.0 - part } else { part };
        (part.clamp(0.0, 1.0) * 255.0).round() as u8
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
fn modality(frame: &Frame, stored: i64) -> f64 {
    match &frame.modality_lut {
        None => stored as f64,
        Some(ModalityLut::Rescale(line)) => line.slope * stored as f64 + line.intercept,
        Some(ModalityLut::Table(table)) => {
            table.at(stored.clamp(i32::MIN.into(), i32::MAX.into()) as i32).into()
        }
    }
}
