//! Baseline JPEG (ISO/IEC 10918-1), a large grey picture by several threads.
//!
//! Its strips are coded apart and joined by restart markers (B.2.1), behind which a decoder begins anew.

use std::thread;

use jpeg_encoder::{ColorType, Encoder, EncodingError};

use super::Picture;

/// From this many pixels on a picture is coded in strips.
const LARGE: usize = 1 << 20;
/// Most strips; there are eight restart markers, which would begin again.
const STRIPS_MAX: usize = 8;
/// Rows and columns of a block, which is also the smallest coded unit of a grey picture.
const BLOCK: usize = 8;

const START_OF_FRAME: u8 = 0xC0;
const RESTART: u8 = 0xD0;
const START_OF_SCAN: u8 = 0xDA;
const RESTART_INTERVAL: u8 = 0xDD;
/// The marker that ends every file, in bytes.
const END_BYTES: usize = 2;

/// `picture`, of these columns and rows, at a quality of 1 to 100.
pub(super) fn encode(
    picture: &Picture,
    (columns, rows): (u16, u16),
    quality: u8,
) -> Result<Vec<u8>, EncodingError> {
    if picture.channels == 1 && picture.pixels.len() >= LARGE {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(STRIPS_MAX);
        if let Some(file) = in_strips(&picture.pixels, (columns, rows), quality, threads)? {
            return Ok(file);
        }
    }
    let colours = if picture.channels == 1 { ColorType::Luma } else { ColorType::Rgb };
    whole(&picture.pixels, (columns, rows), quality, colours)
}

fn whole(
    pixels: &[u8],
    (columns, rows): (u16, u16),
    quality: u8,
    colours: ColorType,
) -> Result<Vec<u8>, EncodingError> {
    let mut file = Vec::with_capacity(pixels.len() / 4 + 1_024);
    Encoder::new(&mut file, quality).encode(pixels, columns, rows, colours)?;
    Ok(file)
}

/// `None` where strips are of no use, or too long for an interval of 16 bits.
fn in_strips(
    pixels: &[u8],
    (columns, rows): (u16, u16),
    quality: u8,
    strips: usize,
) -> Result<Option<Vec<u8>>, EncodingError> {
    let (width, blocks) = (usize::from(columns), usize::from(rows).div_ceil(BLOCK));
    let strip_blocks = blocks.div_ceil(strips.max(1));
    let units = width.div_ceil(BLOCK) * strip_blocks;
    let (Ok(units), true) = (u16::try_from(units), strips > 1) else { return Ok(None) };
    let coded: Vec<Result<Vec<u8>, EncodingError>> = thread::scope(|scope| {
        let strips = pixels.chunks(strip_blocks * BLOCK * width);
        let coding: Vec<_> = strips
            .map(|strip| {
                // no more rows than the picture, whose rows fit
                let rows = (strip.len() / width) as u16;
                scope.spawn(move || whole(strip, (columns, rows), quality, ColorType::Luma))
            })
            .collect();
        coding
            .into_iter()
            .map(|strip| strip.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let coded: Vec<Vec<u8>> = coded.into_iter().collect::<Result<_, _>>()?;
    Ok(joined(&coded, rows, units))
}

/// One file of `rows` rows out of a file for each strip, each of `units` coded units but the last.
fn joined(strips: &[Vec<u8>], rows: u16, units: u16) -> Option<Vec<u8>> {
    let (first, rest) = strips.split_first()?;
    let heads: Vec<Head> = strips.iter().map(|strip| Head::read(strip)).collect::<Option<_>>()?;
    let head = heads.first()?;
    let mut file = Vec::with_capacity(strips.iter().map(Vec::len).sum());
    file.extend_from_slice(&first[..head.scan_at]);
    file[head.rows_at..head.rows_at + 2].copy_from_slice(&rows.to_be_bytes());
    file.extend_from_slice(&[0xFF, RESTART_INTERVAL, 0, 4]);
    file.extend_from_slice(&units.to_be_bytes());
    file.extend_from_slice(&first[head.scan_at..first.len() - END_BYTES]);
    for ((strip, head), index) in rest.iter().zip(&heads[1..]).zip(0_u8..) {
        file.extend_from_slice(&[0xFF, RESTART + index % 8]);
        file.extend_from_slice(&strip[head.data_at..strip.len() - END_BYTES]);
    }
    file.extend_from_slice(&first[first.len() - END_BYTES..]);
    Some(file)
}

/// Where the parts of a file lie.
struct Head {
    /// The rows in the frame's header.
    rows_at: usize,
    /// The marker of the scan.
    scan_at: usize,
    /// The coded data.
    data_at: usize,
}

impl Head {
    /// Walks over the segments before the scan (B.1.1.4).
    fn read(file: &[u8]) -> Option<Self> {
        let (mut at, mut rows_at) = (2, None);
        loop {
            let [0xFF, marker, high, low] = *file.get(at..)?.first_chunk::<4>()? else { return None };
            let next = at + 2 + usize::from(u16::from_be_bytes([high, low]));
            match marker {
                START_OF_FRAME => rows_at = Some(at + 5),
                START_OF_SCAN => return Some(Self { rows_at: rows_at?, scan_at: at, data_at: next }),
                _ => {}
            }
            at = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Restart markers change nothing but where the coder begins anew: each pixel is that of the picture coded whole.
    #[test]
    fn a_picture_of_strips_shows_what_the_whole_one_shows() {
        let (columns, rows) = (203_u16, 117_u16);
        let count = u32::from(columns) * u32::from(rows);
        let pixels: Vec<u8> =
            (0..count).map(|at| (at.wrapping_mul(2_654_435_761) >> 27) as u8 + (at / 997) as u8).collect();
        let shown = |file: &[u8]| {
            let picture = image::load_from_memory(file).unwrap().to_luma8();
            (picture.width(), picture.height(), picture.into_raw())
        };
        let expected = shown(&whole(&pixels, (columns, rows), 90, ColorType::Luma).unwrap());
        for strips in [2, 3, 8] {
            let file = in_strips(&pixels, (columns, rows), 90, strips).unwrap().unwrap();
            assert!(shown(&file) == expected, "{strips}");
        }
        assert_eq!(in_strips(&pixels, (columns, rows), 90, 1).unwrap(), None);
    }
}
