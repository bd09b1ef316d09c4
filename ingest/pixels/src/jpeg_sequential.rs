//! JPEG's sequential DCT processes (ITU-T T.81, annex F): their entropy-coded data, and images of 12 bits.

use clinical::imaging::Samples;

use crate::decoded::{CodecError, Decoded};
use crate::jpeg_header::{JpegHeader, Segments, truncated};
use crate::jpeg_huffman::{Bits, HuffmanTable};

/// Where each coefficient of the zigzag order stands in the block, row by row (T.81, figure 5).
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// The coefficients of a block in zigzag order, and where it belongs.
struct Block {
    component: usize,
    row: usize,
    column: usize,
    coefficients: [i32; 64],
}

/// Whether every block of the image is in the data.
///
/// # Errors
///
/// [`CodecError::Malformed`] where the data end too early or break the standard.
pub(crate) fn check(stream: &[u8], header: &JpegHeader) -> Result<(), CodecError> {
    Sequential::new(header)?.walk(stream, |_, _| Ok(()))
}

/// The samples of an image of 12 bits whose components are not subsampled.
///
/// # Errors
///
/// As [`check`]; [`CodecError::Unsupported`] for subsampled components.
pub(crate) fn decode(stream: &[u8], header: &JpegHeader) -> Result<Decoded, CodecError> {
    if header.components.iter().any(|(_, sampling)| *sampling != 0x11) && header.components.len() > 1 {
        return Err(CodecError::unsupported("12-bit JPEG with subsampled components"));
    }
    let (rows, columns) = (usize::from(header.rows), usize::from(header.columns));
    let stride = header.components.len();
    let mut samples = vec![0_u16; rows * columns * stride];
    let cosines = Cosines::new();
    Sequential::new(header)?.walk(stream, |block, steps| {
        let values = cosines.inverse(&block.coefficients, steps);
        let (top, left) = (block.row * 8, block.column * 8);
        for (y, line) in values.chunks_exact(8).enumerate().take(rows.saturating_sub(top)) {
            let first = ((top + y) * columns + left) * stride + block.component;
            let places = samples[first..].iter_mut().step_by(stride);
            for (place, value) in places.zip(line).take(columns.saturating_sub(left)) {
                *place = (value.round() + 2_048.0).clamp(0.0, 4_095.0) as u16;
            }
        }
        Ok(())
    })?;
    Ok(Decoded {
        rows: header.rows.into(),
        columns: header.columns.into(),
        precision: 12,
        colours: header.colours(),
        samples: Samples::U16(samples),
    })
}

/// One component of a scan.
struct Coded {
    component: usize,
    dc: usize,
    ac: usize,
}

/// The tables and the geometry of an image while its scans are walked.
struct Sequential<'a> {
    header: &'a JpegHeader,
    /// Horizontal and vertical sampling factors.
    sampling: Vec<(usize, usize)>,
    most: (usize, usize),
    quantizers: Vec<usize>,
    steps: [Option<[u16; 64]>; 4],
    dc: [Option<HuffmanTable>; 4],
    ac: [Option<HuffmanTable>; 4],
    restart_interval: usize,
}

impl<'a> Sequential<'a> {
    fn new(header: &'a JpegHeader) -> Result<Self, CodecError> {
        let factors = |byte: u8| (usize::from(byte >> 4), usize::from(byte & 15));
        let sampling: Vec<_> = header.components.iter().map(|(_, byte)| factors(*byte)).collect();
        if sampling.iter().any(|(h, v)| !(1..=4).contains(h) || !(1..=4).contains(v)) {
            return Err(CodecError::malformed("a JPEG sampling factor is out of range"));
        }
        let most = sampling.iter().fold((1, 1), |most, it| (most.0.max(it.0), most.1.max(it.1)));
        Ok(Self {
            header,
            sampling,
            most,
            quantizers: header.quantizers.iter().map(|table| usize::from(*table)).collect(),
            steps: [None; 4],
            dc: [const { None }; 4],
            ac: [const { None }; 4],
            restart_interval: 0,
        })
    }

    /// Gives every block, with the quantizer's steps in zigzag order, to `each`.
    fn walk(
        mut self,
        stream: &[u8],
        mut each: impl FnMut(&Block, &[u16; 64]) -> Result<(), CodecError>,
    ) -> Result<(), CodecError> {
        let mut decoded = vec![false; self.sampling.len()];
        let mut segments = Segments::new(stream)?;
        loop {
            let (marker, body) = segments.next()?;
            match marker {
                0xD9 => return Err(CodecError::malformed("a JPEG component has no scan")),
                0xC4 => self.read_codes(body)?,
                0xDB => self.read_steps(body)?,
                0xDC => return Err(CodecError::unsupported("JPEG with the number of lines after the scan")),
                0xDD => {
                    let &[high, low] = body else { return Err(truncated()) };
                    self.restart_interval = usize::from(u16::from_be_bytes([high, low]));
                }
                0xDA => {
                    let scan = self.read_scan(body)?;
                    for coded in &scan {
                        if std::mem::replace(&mut decoded[coded.component], true) {
                            return Err(CodecError::malformed("a JPEG component is coded twice"));
                        }
                    }
                    let end = self.walk_scan(&scan, Bits::new(stream, segments.at), &mut each)?;
                    if decoded.iter().all(|done| *done) {
                        return Ok(());
                    }
                    segments.skip_data(end)?;
                }
                _ => {}
            }
        }
    }

    fn read_codes(&mut self, mut body: &[u8]) -> Result<(), CodecError> {
        while let Some((&place, rest)) = body.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(truncated)?;
            let count = counts.iter().map(|count| usize::from(*count)).sum();
            let values = rest.get(..count).ok_or_else(truncated)?;
            let tables = if place & 0x10 == 0 { &mut self.dc } else { &mut self.ac };
            let table = tables.get_mut(usize::from(place & 0xEF));
            let table = table.ok_or_else(|| CodecError::malformed("a JPEG Huffman table has no place"))?;
            *table = Some(HuffmanTable::new(counts, values)?);
            body = &rest[count..];
        }
        Ok(())
    }

    fn read_steps(&mut self, mut body: &[u8]) -> Result<(), CodecError> {
        while let Some((&place, rest)) = body.split_first() {
            let width = if place >> 4 == 0 { 1 } else { 2 };
            let bytes = rest.get(..64 * width).ok_or_else(truncated)?;
            let steps = self.steps.get_mut(usize::from(place & 15));
            let steps = steps.ok_or_else(|| CodecError::malformed("a JPEG quantizer has no place"))?;
            let value = |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all << 8 | u16::from(*byte));
            *steps = Some(std::array::from_fn(|index| value(&bytes[index * width..(index + 1) * width])));
            body = &rest[64 * width..];
        }
        Ok(())
    }

    fn read_scan(&self, body: &[u8]) -> Result<Vec<Coded>, CodecError> {
        let (&count, rest) = body.split_first().ok_or_else(truncated)?;
        if rest.len() != usize::from(count) * 2 + 3 || count == 0 {
            return Err(CodecError::malformed("the JPEG scan header has another length than it says"));
        }
        let mut scan = Vec::with_capacity(4);
        for pair in rest[..usize::from(count) * 2].chunks_exact(2) {
            let component = self.header.components.iter().position(|(name, _)| *name == pair[0]);
            let component =
                component.ok_or_else(|| CodecError::malformed("a JPEG scan names an unknown component"))?;
            let (dc, ac) = (usize::from(pair[1] >> 4), usize::from(pair[1] & 15));
            let is_there =
                |tables: &[Option<HuffmanTable>; 4], at: usize| tables.get(at).is_some_and(Option::is_some);
            if !is_there(&self.dc, dc) || !is_there(&self.ac, ac) {
                return Err(CodecError::malformed("a JPEG scan names an absent Huffman table"));
            }
            scan.push(Coded { component, dc, ac });
        }
        Ok(scan)
    }

    /// Walks the blocks of one scan; what comes back is where its data end.
    ///
    /// Source: T.81, sections A.2 (order of blocks) and F.2.2 (codes).
    fn walk_scan(
        &self,
        scan: &[Coded],
        mut bits: Bits<'_>,
        each: &mut impl FnMut(&Block, &[u16; 64]) -> Result<(), CodecError>,
    ) -> Result<usize, CodecError> {
        let (rows, columns) = (usize::from(self.header.rows), usize::from(self.header.columns));
        let (unit_rows, unit_columns) = if let [only] = scan {
            let (h, v) = self.sampling[only.component];
            ((rows * v).div_ceil(self.most.1).div_ceil(8), (columns * h).div_ceil(self.most.0).div_ceil(8))
        } else {
            (rows.div_ceil(8 * self.most.1), columns.div_ceil(8 * self.most.0))
        };
        let mut block = Block { component: 0, row: 0, column: 0, coefficients: [0; 64] };
        let mut predicted = [0_i32; 256];
        for unit in 0..unit_rows * unit_columns {
            if self.restart_interval > 0 && unit > 0 && unit.is_multiple_of(self.restart_interval) {
                bits.restart(((unit / self.restart_interval - 1) % 8) as u8)?;
                predicted.fill(0);
            }
            let (row, column) = (unit / unit_columns, unit % unit_columns);
            for coded in scan {
                let (h, v) = if scan.len() == 1 { (1, 1) } else { self.sampling[coded.component] };
                let steps = self.quantizers.get(coded.component).and_then(|at| self.steps.get(*at)?.as_ref());
                let steps = steps.ok_or_else(|| CodecError::malformed("a JPEG quantizer is missing"))?;
                for part in 0..h * v {
                    (block.component, block.row, block.column) =
                        (coded.component, row * v + part / h, column * h + part % h);
                    self.read_block(
                        coded,
                        &mut bits,
                        &mut predicted[coded.component],
                        &mut block.coefficients,
                    )?;
                    each(&block, steps)?;
                }
            }
        }
        Ok(bits.position())
    }

    #[inline]
    fn read_block(
        &self,
        coded: &Coded,
        bits: &mut Bits<'_>,
        predicted: &mut i32,
        coefficients: &mut [i32; 64],
    ) -> Result<(), CodecError> {
        let (Some(dc), Some(ac)) = (&self.dc[coded.dc], &self.ac[coded.ac]) else { return Err(truncated()) };
        coefficients.fill(0);
        let (_, difference) = bits.coded(dc, |category| category)?;
        *predicted = predicted.wrapping_add(difference);
        coefficients[0] = *predicted;
        let mut at = 1;
        while at < 64 {
            let (run, value) = bits.coded(ac, |symbol| symbol & 15)?;
            if run & 15 == 0 {
                if run != 0xF0 {
                    break;
                }
                at += 16;
                continue;
            }
            at += (run >> 4) as usize;
            let place = coefficients.get_mut(at);
            *place.ok_or_else(|| CodecError::malformed("a JPEG block has too many coefficients"))? = value;
            at += 1;
        }
        Ok(())
    }
}

/// The basis of the inverse DCT (T.81, section A.3.3).
struct Cosines([[f32; 8]; 8]);

impl Cosines {
    fn new() -> Self {
        Self(std::array::from_fn(|place| {
            std::array::from_fn(|frequency| {
                let scale = if frequency == 0 { std::f64::consts::FRAC_1_SQRT_2 } else { 1.0 };
                let angle = (2 * place + 1) as f64 * frequency as f64 * std::f64::consts::PI / 16.0;
                (scale * angle.cos() / 2.0) as f32
            })
        }))
    }

    /// The values of a block, row by row.
    fn inverse(&self, coefficients: &[i32; 64], steps: &[u16; 64]) -> [f32; 64] {
        let mut block = [0_f32; 64];
        for ((place, value), step) in ZIGZAG.iter().zip(coefficients).zip(steps) {
            block[usize::from(*place)] = *value as f32 * f32::from(*step);
        }
        let sum = |basis: &[f32; 8], value: &dyn Fn(usize) -> f32| -> f32 {
            basis.iter().enumerate().map(|(frequency, cosine)| cosine * value(frequency)).sum()
        };
        let rows: [f32; 64] =
            std::array::from_fn(|at| sum(&self.0[at % 8], &|frequency| block[at / 8 * 8 + frequency]));
        std::array::from_fn(|at| sum(&self.0[at / 8], &|frequency| rows[frequency * 8 + at % 8]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T.81, section A.3.3: a lone DC coefficient of 8 is a block of ones; a lone (0,1) follows its cosine.
    #[test]
    fn the_inverse_transform_follows_its_definition() {
        let mut coefficients = [0; 64];
        coefficients[0] = 4;
        let flat = Cosines::new().inverse(&coefficients, &[2; 64]);
        assert!(flat.iter().all(|value| (value - 1.0).abs() < 1e-5));

        let mut coefficients = [0; 64];
        coefficients[1] = 100;
        let wave = Cosines::new().inverse(&coefficients, &[1; 64]);
        let first = 100.0 * (std::f32::consts::PI / 16.0).cos() / 2.0 * std::f32::consts::FRAC_1_SQRT_2 / 2.0;
        assert!((wave[0] - first).abs() < 1e-3 && (wave[7] + first).abs() < 1e-3, "{wave:?}");
    }
}
