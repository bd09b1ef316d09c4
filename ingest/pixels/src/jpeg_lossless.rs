//! JPEG's lossless process (ITU-T T.81, annex H): predictors 1 to 7, point transform, restarts.
//!
//! Our own, because it is DICOM's most common compression and the general
//! decoders pass over restarts and the point transform in silence.

mod huffman;

use huffman::{Bits, HuffmanTable};

use crate::codec::{CodecError, Decoded, Expected, narrowed};
use crate::jpeg::JpegHeader;

/// Decodes a lossless image of 2 to 16 bits.
pub(crate) fn decode(stream: &[u8], expected: &Expected) -> Result<Decoded, CodecError> {
    let header = JpegHeader::read(stream)?;
    let components = header.components.len() as u32;
    expected.check(header.rows.into(), header.columns.into(), components, header.precision.into())?;
    if !(2..=16).contains(&header.precision) {
        return Err(CodecError::malformed("the JPEG precision is out of range"));
    }
    if header.components.iter().any(|(_, sampling)| *sampling != 0x11) {
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

fn truncated() -> CodecError {
    CodecError::malformed("the JPEG data end too early")
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
        let mut at = 2;
        loop {
            let &[lead, marker] =
                stream.get(at..).and_then(|rest| rest.first_chunk::<2>()).ok_or_else(truncated)?;
            if lead != 0xFF {
                return Err(CodecError::malformed("a JPEG marker is missing"));
            }
            at += 1;
            if marker == 0xFF {
                continue;
            }
            at += 1;
            if marker == 0xD9 {
                return Err(CodecError::malformed("a JPEG component has no scan"));
            }
            let length = stream.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(truncated)?;
            let end = at + usize::from(u16::from_be_bytes(*length));
            let body = stream.get(at + 2..end).ok_or_else(truncated)?;
            at = end;
            match marker {
                0xC4 => self.read_tables(body)?,
                0xDD => {
                    let &[high, low] = body else { return Err(truncated()) };
                    self.restart_interval = usize::from(u16::from_be_bytes([high, low]));
                }
                0xDC => return Err(CodecError::unsupported("JPEG with the number of lines after the scan")),
                0xDA => {
                    let scan = self.read_scan(body)?;
                    at = self.decode_scan(&scan, Bits::new(stream, at))?;
                    if self.decoded.iter().all(|done| *done) {
                        return Ok(self.samples);
                    }
                    let rest = stream.get(at..).unwrap_or_default();
                    let is_marker =
                        |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xD0..=0xD7 | 0xFF);
                    at += rest.windows(2).position(is_marker).ok_or_else(truncated)?;
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
