//! Look-up tables as data: `ingest` reads them, `inference` and the renderer apply them.

/// `output = slope * stored + intercept` (PS3.3, C.11.1.1.2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rescale {
    /// Rescale Slope (0028,1053).
    pub slope: f64,
    /// Rescale Intercept (0028,1052).
    pub intercept: f64,
}

/// A table of output values (PS3.3, C.11.1.1.1 and C.11.2.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LutTable {
    /// The input that maps to the first entry; lower inputs map there too.
    pub first_mapped: i32,
    /// Bits of each entry, 8 to 16: the largest output is `2^bits - 1`.
    pub bits: u8,
    /// The entries; never empty.
    pub entries: Vec<u16>,
}

impl LutTable {
    /// The entry for `input`, held to the first and the last one.
    pub fn at(&self, input: i32) -> u16 {
        let last = self.entries.len() - 1;
        let index = i64::from(input) - i64::from(self.first_mapped);
        self.entries[index.clamp(0, last as i64) as usize]
    }
}

/// From stored values to modality units, for CT Hounsfield units (PS3.3, C.11.1).
#[derive(Debug, Clone, PartialEq)]
pub enum ModalityLut {
    /// A line.
    Rescale(Rescale),
    /// A table.
    Table(LutTable),
}

/// How a window maps its values (PS3.3, C.11.2.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VoiFunction {
    /// The default, with the half step of C.11.2.1.2.1.
    #[default]
    Linear,
    /// Without the half step.
    LinearExact,
    /// A logistic curve.
    Sigmoid,
}

/// A window over modality units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Window Center (0028,1050).
    pub center: f64,
    /// Window Width (0028,1051); at least 1 for `Linear`, above 0 otherwise.
    pub width: f64,
    /// VOI LUT Function (0028,1056).
    pub function: VoiFunction,
}

impl Window {
    /// The shade of `value`, 0.0 (darkest) to 1.0 (brightest).
    ///
    /// Source: PS3.3, C.11.2.1.2.1 and C.11.2.1.3.
    pub fn shade(&self, value: f64) -> f64 {
        match self.function {
            VoiFunction::Linear => {
                if self.width <= 1.0 {
                    return f64::from(u8::from(value > self.center - 0.5));
                }
                ((value - (self.center - 0.5)) / (self.width - 1.0) + 0.5).clamp(0.0, 1.0)
            }
            VoiFunction::LinearExact => ((value - self.center) / self.width + 0.5).clamp(0.0, 1.0),
            VoiFunction::Sigmoid => 1.0 / (1.0 + (-4.0 * (value - self.center) / self.width).exp()),
        }
    }
}

/// From modality units to what a person or a network should see (PS3.3, C.11.2).
#[derive(Debug, Clone, PartialEq)]
pub enum VoiLut {
    /// A window.
    Window(Window),
    /// A table.
    Table(LutTable),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PS3.3, C.11.2.1.2.1 shifts the centre by half a step: 39.5, not 40.
    #[test]
    fn the_window_centre_becomes_mid_grey() {
        let window = Window { center: 40.0, width: 400.0, function: VoiFunction::Linear };
        assert_eq!(window.shade(39.5), 0.5);
    }

    /// The example of PS3.3, C.11.2.1.2.1: c=2048, w=4096 maps 0 to 0 and 4095 to full.
    #[test]
    fn a_full_window_maps_its_ends_to_the_ends() {
        let window = Window { center: 2048.0, width: 4096.0, function: VoiFunction::Linear };
        assert_eq!(window.shade(0.0), 0.0);
        assert_eq!(window.shade(4095.0), 1.0);
    }

    /// The example of PS3.3, C.11.2.1.2.1: width 1 is a threshold at c - 0.5.
    #[test]
    fn a_window_of_width_one_is_a_threshold() {
        let window = Window { center: 1024.0, width: 1.0, function: VoiFunction::Linear };
        assert_eq!(window.shade(1023.0), 0.0);
        assert_eq!(window.shade(1024.0), 1.0);
    }

    #[test]
    fn a_table_holds_values_outside_to_its_ends() {
        let table = LutTable { first_mapped: -2, bits: 8, entries: vec![10, 20, 30] };
        assert_eq!([-9, -2, -1, 0, 9].map(|input| table.at(input)), [10, 10, 20, 30, 30]);
    }
}
