//! JPEG's lossless process (ITU-T T.81, annex H): predictors 1 to 7, point transform, restarts.
//!
//! Our own, because it is DICOM's most common compression and the general
//! decoders pass over restarts and the point transform in silence.

use crate::decoded::{CodecError, Decoded, Expected, narrowed};
use crate::jpeg_header::{JpegHeader, Segments, truncated};
use crate::jpeg_huffman::{Bits, HuffmanTable};

/// Decodes a lossless image of 2 to 16 bits.
pub(crate) fn decode(stream: &[u8], expected: &Expected) -> Result<Decoded, CodecError> {
    let header = JpegHeader::read(stream)?;
    let components = header.components.len() as u32;
    expected.check(header.rows.into(), header.columns.into(), components, header.precision.into())?;
    if !(2..=16).contains(&header.precision) {
        return Err(CodecError::malformed("the JPEG precision is out of range"));
    }
    if components > 1 && header.components.iter().any(|(_, sampling)| *sampling != 0x11) {
        return Err(CodecError::unsupported("lossless JPEG with subsampled components"));
    }
    let samples = LosslessImage::new(&header).decode(stream)?;
    Ok(Decoded {
        rows: header.rows.into(),
        columns: header.columns.into(),
        precision: header.precision,
        colours: header.colours(),
        samples: narrowed(samples, header.precision),
    })
}

/// A scan header: what is decoded, and how it is predicted.
struct Scan {
    /// The place in the pixel and the Huffman table of each component.
    components: Vec<(usize, usize)>,
    predictor: u8,
    point_transform: u8,
}

/// An image whose components arrive scan by scan.
struct LosslessImage<'a> {
    header: &'a JpegHeader,
    tables: [Option<HuffmanTable>; 4],
    restart_interval: usize,
    decoded: Vec<bool>,
    samples: Vec<u16>,
}

impl<'a> LosslessImage<'a> {
    fn new(header: &'a JpegHeader) -> Self {
        let components = header.components.len();
        let count = usize::from(header.rows) * usize::from(header.columns) * components;
        Self {
            header,
            tables: [const { None }; 4],
            restart_interval: 0,
            decoded: vec![false; components],
            samples: vec![0; count],
        }
    }

    /// Walks the segments; every step moves forward.
    fn decode(mut self, stream: &[u8]) -> Result<Vec<u16>, CodecError> {
        let mut segments = Segments::new(stream)?;
        loop {
            let (marker, body) = segments.next()?;
            match marker {
                0xD9 => return Err(CodecError::malformed("a JPEG component has no scan")),
                0xC4 => self.read_tables(body)?,
                0xDD => {
                    let &[high, low] = body else { return Err(truncated()) };
                    self.restart_interval = usize::from(u16::from_be_bytes([high, low]));
                }
                0xDC => return Err(CodecError::unsupported("JPEG with the number of lines after the scan")),
                0xDA => {
                    let scan = self.read_scan(body)?;
                    let end = self.decode_scan(&scan, Bits::new(stream, segments.at))?;
                    if self.decoded.iter().all(|done| *done) {
                        return Ok(self.samples);
                    }
                    segments.skip_data(end)?;
                }
                _ => {}
            }
        }
    }

    fn read_tables(&mut self, mut body: &[u8]) -> Result<(), CodecError> {
        while let Some((&destination, rest)) = body.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(truncated)?;
            let count = counts.iter().map(|count| usize::from(*count)).sum();
            let values = rest.get(..count).ok_or_else(truncated)?;
            if destination > 3 {
                return Err(CodecError::malformed("a lossless JPEG names a Huffman table it cannot have"));
            }
            self.tables[usize::from(destination)] = Some(HuffmanTable::new(counts, values)?);
            body = &rest[count..];
        }
        Ok(())
    }

    fn read_scan(&mut self, body: &[u8]) -> Result<Scan, CodecError> {
        let (&count, rest) = body.split_first().ok_or_else(truncated)?;
        if rest.len() != usize::from(count) * 2 + 3 || count == 0 {
            return Err(CodecError::malformed("the JPEG scan header has another length than it says"));
        }
        let (named, rest) = rest.split_at(usize::from(count) * 2);
        let mut components = Vec::with_capacity(4);
        for pair in named.chunks_exact(2) {
            let place = self.header.components.iter().position(|(name, _)| *name == pair[0]);
            let place =
                place.ok_or_else(|| CodecError::malformed("a JPEG scan names an unknown component"))?;
            if std::mem::replace(&mut self.decoded[place], true) {
                return Err(CodecError::malformed("a JPEG component is coded twice"));
            }
            let table = usize::from(pair[1] >> 4);
            if table > 3 || self.tables[table].is_none() {
                return Err(CodecError::malformed("a JPEG scan names an absent Huffman table"));
            }
            components.push((place, table));
        }
        let (predictor, point_transform) = (rest[0], rest[2] & 15);
        if !(1..=7).contains(&predictor) || point_transform >= self.header.precision {
            return Err(CodecError::malformed("the JPEG scan header is out of range"));
        }
        Ok(Scan { components, predictor, point_transform })
    }

    /// Decodes one scan; what comes back is where its data end.
    fn decode_scan(&mut self, scan: &Scan, mut bits: Bits<'_>) -> Result<usize, CodecError> {
        let columns = usize::from(self.header.columns);
        let stride = self.header.components.len();
        if !self.restart_interval.is_multiple_of(columns) {
            return Err(CodecError::unsupported("lossless JPEG with restarts within a line"));
        }
        let lines_to_restart = self.restart_interval / columns;
        let initial = 1_i32 << (self.header.precision - scan.point_transform - 1);
        let mut coded = Vec::with_capacity(scan.components.len());
        for (place, table) in &scan.components {
            let table = self.tables[*table].as_ref().ok_or_else(truncated)?;
            coded.push((*place, table));
        }
        let row_length = columns * stride;
        let mut restarts = 0_u8;
        for row in 0..usize::from(self.header.rows) {
            let restarts_here = lines_to_restart > 0 && row > 0 && row.is_multiple_of(lines_to_restart);
            if restarts_here {
                bits.restart(restarts & 7)?;
                restarts = restarts.wrapping_add(1);
            }
            let (before, rest) = self.samples.split_at_mut(row * row_length);
            let line = &mut rest[..row_length];
            let above = (row > 0 && !restarts_here).then(|| &before[before.len() - row_length..]);
            for (place, table) in &coded {
                let first = above.map_or(initial, |above| above[*place].into());
                line[*place] = (first + bits.difference(table)?) as u16;
                if coded.len() == 1 {
                    rest_of_line(line, above, *place, stride, scan.predictor, || bits.difference(table))?;
                }
            }
            if coded.len() > 1 {
                interleaved_rest(line, above, &coded, stride, scan.predictor, &mut bits)?;
            }
        }
        if scan.point_transform > 0 {
            for pixel in self.samples.chunks_exact_mut(stride) {
                for (place, _) in &scan.components {
                    pixel[*place] <<= scan.point_transform;
                }
            }
        }
        Ok(bits.position())
    }
}

/// The samples of one component after the first of its line.
fn rest_of_line(
    line: &mut [u16],
    above: Option<&[u16]>,
    place: usize,
    stride: usize,
    predictor: u8,
    mut difference: impl FnMut() -> Result<i32, CodecError>,
) -> Result<(), CodecError> {
    let mut left = i32::from(line[place]);
    for at in (place + stride..line.len()).step_by(stride) {
        let predicted = match above {
            Some(above) => predict(predictor, left, above[at].into(), above[at - stride].into()),
            None => left,
        };
        line[at] = (predicted + difference()?) as u16;
        left = line[at].into();
    }
    Ok(())
}

/// The same, where the components of a pixel follow one another.
fn interleaved_rest(
    line: &mut [u16],
    above: Option<&[u16]>,
    coded: &[(usize, &HuffmanTable)],
    stride: usize,
    predictor: u8,
    bits: &mut Bits<'_>,
) -> Result<(), CodecError> {
    for pixel in (stride..line.len()).step_by(stride) {
        for (place, table) in coded {
            let at = pixel + place;
            let left = i32::from(line[at - stride]);
            let predicted = match above {
                Some(above) => predict(predictor, left, above[at].into(), above[at - stride].into()),
                None => left,
            };
            line[at] = (predicted + bits.difference(table)?) as u16;
        }
    }
    Ok(())
}

/// T.81, table H.1.
#[inline]
fn predict(predictor: u8, left: i32, above: i32, corner: i32) -> i32 {
    match predictor {
        1 => left,
        2 => above,
        3 => corner,
        4 => left + above - corner,
        5 => left + ((above - corner) >> 1),
        6 => above + ((left - corner) >> 1),
        _ => (left + above) >> 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROWS: usize = 6;
    const COLUMNS: usize = 5;

    /// How the test's encoder codes an image.
    #[derive(Debug, Clone, Copy)]
    struct Form {
        predictor: u8,
        point_transform: u8,
        lines_to_restart: usize,
        components: usize,
    }

    /// An encoder written from T.81, annex H: every category has a code of five bits.
    fn encoded(samples: &[u16], form: Form) -> Vec<u8> {
        let Form { predictor, point_transform, lines_to_restart, components } = form;
        let mut stream = vec![0xFF, 0xD8, 0xFF, 0xC3, 0, 8 + 3 * components as u8, 16];
        stream.extend([0, ROWS as u8, 0, COLUMNS as u8, components as u8]);
        (0..components as u8).for_each(|name| stream.extend([name, 0x11, 0]));
        stream.extend([0xFF, 0xC4, 0, 36, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        stream.extend(0..17);
        stream.extend([0xFF, 0xDD, 0, 4, 0, (lines_to_restart * COLUMNS) as u8]);
        stream.extend([0xFF, 0xDA, 0, 6 + 2 * components as u8, components as u8]);
        (0..components as u8).for_each(|name| stream.extend([name, 0]));
        stream.extend([predictor, 0, point_transform]);
        let at = |row: usize, column: usize, component: usize| {
            i32::from(samples[(row * COLUMNS + column) * components + component] >> point_transform)
        };
        let (mut bits, mut interval) = (Vec::new(), 0);
        for row in 0..ROWS {
            let restarts = lines_to_restart > 0 && row > 0 && row % lines_to_restart == 0;
            if restarts {
                flush(&mut stream, &mut bits);
                stream.extend([0xFF, 0xD0 + interval % 8]);
                interval += 1;
            }
            let is_first = row == 0 || restarts;
            for (column, component) in (0..COLUMNS * components).map(|it| (it / components, it % components))
            {
                let predicted = match (is_first, column) {
                    (true, 0) => 1 << (15 - point_transform),
                    (true, _) => at(row, column - 1, component),
                    (false, 0) => at(row - 1, column, component),
                    (false, _) => predict(
                        predictor,
                        at(row, column - 1, component),
                        at(row - 1, column, component),
                        at(row - 1, column - 1, component),
                    ),
                };
                push_difference(&mut bits, (at(row, column, component) - predicted) as i16);
            }
        }
        flush(&mut stream, &mut bits);
        stream.extend([0xFF, 0xD9]);
        stream
    }

    fn push_difference(bits: &mut Vec<bool>, difference: i16) {
        let difference = i32::from(difference);
        let category = 32 - difference.abs().leading_zeros();
        let mut push =
            |value: i32, count: u32| bits.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
        push(category as i32, 5);
        if category < 16 {
            push(if difference < 0 { difference - 1 } else { difference }, category);
        }
    }

    fn flush(stream: &mut Vec<u8>, bits: &mut Vec<bool>) {
        bits.resize(bits.len().next_multiple_of(8), true);
        for byte in bits.chunks_exact(8) {
            let byte = byte.iter().fold(0, |all, bit| all << 1 | u8::from(*bit));
            stream.push(byte);
            if byte == 0xFF {
                stream.push(0);
            }
        }
        bits.clear();
    }

    fn expected(components: usize) -> Expected {
        let (rows, columns) = (ROWS as u32, COLUMNS as u32);
        Expected { rows, columns, components: components as u8, bits_allocated: 16, least_size: None }
    }

    proptest! {
        #[test]
        fn every_predictor_restart_and_transform_returns_the_image(
            samples in prop::collection::vec(any::<u16>(), ROWS * COLUMNS * 3),
            predictor in 1..=7_u8,
            point_transform in 0..=3_u8,
            lines_to_restart in 0..=3_usize,
            components in prop::sample::select(vec![1, 3]),
        ) {
            let form = Form { predictor, point_transform, lines_to_restart, components };
            let samples: Vec<u16> = samples[..ROWS * COLUMNS * components]
                .iter()
                .map(|value| value >> point_transform << point_transform)
                .collect();
            let stream = encoded(&samples, form);
            let decoded = decode(&stream, &expected(components)).unwrap();
            prop_assert_eq!(decoded.samples, clinical::imaging::Samples::U16(samples));
        }

        #[test]
        fn damaged_bytes_never_panic(at in 2..200_usize, byte: u8) {
            let form = Form { predictor: 4, point_transform: 0, lines_to_restart: 2, components: 3 };
            let samples: Vec<u16> = (0..ROWS * COLUMNS * 3).map(|it| (it * 977) as u16).collect();
            let mut stream = encoded(&samples, form);
            stream[at] = byte;
            let _ = decode(&stream, &expected(3));
        }
    }
}
