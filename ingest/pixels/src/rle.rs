//! RLE Lossless (PS3.5, annex G): PackBits over byte planes.

use crate::PixelError;
use crate::image_pixel::ImagePixel;

/// One frame as native little-endian bytes, colours together.
///
/// The work is bounded by the frame's size and that of its data: a segment
/// that gives too little is an error, one that gives more is cut (G.3.2).
pub(crate) fn decode(stream: &[u8], form: &ImagePixel) -> Result<Vec<u8>, PixelError> {
    if form.bits_allocated < 8 {
        return Err(PixelError::unsupported("RLE with one bit allocated"));
    }
    let sample_bytes = usize::from(form.bits_allocated / 8);
    let planes = sample_bytes * usize::from(form.samples_per_pixel);
    let pixels = form.pixel_count() as usize;
    let segments = segments(stream, planes)?;
    let mut frame = vec![0; pixels * planes];
    let mut plane = Vec::with_capacity(pixels);
    for (index, segment) in segments.into_iter().enumerate() {
        plane.clear();
        unpack(segment, pixels, &mut plane)?;
        // the first segment of a sample holds its most significant byte
        let (sample, byte) = (index / sample_bytes, sample_bytes - 1 - index % sample_bytes);
        let place = sample * sample_bytes + byte;
        for (pixel, value) in frame.chunks_exact_mut(planes).zip(&plane) {
            pixel[place] = *value;
        }
    }
    Ok(frame)
}

/// The segments by the header of 16 words (G.5); there must be as many as planes.
fn segments(stream: &[u8], planes: usize) -> Result<Vec<&[u8]>, PixelError> {
    let header =
        stream.first_chunk::<64>().ok_or_else(|| PixelError::malformed("the RLE header is short"))?;
    let mut words = header.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word) as usize);
    if words.next() != Some(planes) {
        return Err(PixelError::malformed("the RLE frame has another number of segments than it must"));
    }
    let offsets: Vec<usize> = words.take(planes).collect();
    let mut segments = Vec::with_capacity(planes);
    for (index, start) in offsets.iter().enumerate() {
        let end = offsets.get(index + 1).copied().unwrap_or(stream.len());
        let segment = (*start >= 64).then(|| stream.get(*start..end)).flatten();
        segments.push(segment.ok_or_else(|| PixelError::malformed("an RLE segment lies outside its frame"))?);
    }
    Ok(segments)
}

/// PackBits (G.3.1) until `wanted` bytes are there.
fn unpack(segment: &[u8], wanted: usize, plane: &mut Vec<u8>) -> Result<(), PixelError> {
    let short = || PixelError::malformed("an RLE segment ends too early");
    let mut rest = segment;
    while plane.len() < wanted {
        let (&control, after) = rest.split_first().ok_or_else(short)?;
        let left = wanted - plane.len();
        match control {
            0..=127 => {
                let count = usize::from(control) + 1;
                let literal = after.get(..count).ok_or_else(short)?;
                plane.extend_from_slice(&literal[..count.min(left)]);
                rest = &after[count..];
            }
            128 => rest = after,
            129..=255 => {
                let (&value, after) = after.split_first().ok_or_else(short)?;
                let count = 257 - usize::from(control);
                plane.resize(plane.len() + count.min(left), value);
                rest = after;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_pixel::Interpretation;

    fn form(samples_per_pixel: u8, bits_allocated: u8) -> ImagePixel {
        ImagePixel {
            rows: 1,
            columns: 4,
            samples_per_pixel,
            bits_allocated,
            bits_stored: bits_allocated,
            high_bit: bits_allocated - 1,
            is_signed: false,
            is_planar: false,
            interpretation: Interpretation::Monochrome2,
        }
    }

    fn frame(segments: &[&[u8]]) -> Vec<u8> {
        let mut words = vec![segments.len() as u32];
        let mut at = 64;
        for segment in segments {
            words.push(at);
            at += segment.len() as u32;
        }
        words.resize(16, 0);
        let header = words.into_iter().flat_map(u32::to_le_bytes);
        header.chain(segments.concat()).collect()
    }

    /// PS3.5, section G.3.1: 0..127 copies, 129..255 repeats 257 - n times, 128 does nothing.
    #[test]
    fn literal_and_repeated_runs_are_unpacked() {
        let stream = frame(&[&[1, 10, 11, 128, 255, 12]]);
        assert_eq!(decode(&stream, &form(1, 8)).unwrap(), [10, 11, 12, 12]);
    }

    /// PS3.5, section G.2: the most significant byte comes first.
    #[test]
    fn byte_planes_become_little_endian_samples() {
        let stream = frame(&[&[253, 0x12], &[253, 0x34]]);
        assert_eq!(decode(&stream, &form(1, 16)).unwrap(), [0x34, 0x12].repeat(4));
    }

    #[test]
    fn colour_planes_become_pixels() {
        let stream = frame(&[&[253, 1], &[253, 2], &[253, 3]]);
        assert_eq!(decode(&stream, &form(3, 8)).unwrap(), [1, 2, 3].repeat(4));
    }

    #[test]
    fn broken_frames_are_errors() {
        for stream in [
            frame(&[&[253, 1], &[253, 1]]),
            frame(&[&[254, 1]]),
            frame(&[&[3, 1, 2]]),
            frame(&[&[253]]),
            vec![1, 0, 0, 0],
        ] {
            assert!(matches!(decode(&stream, &form(1, 8)), Err(PixelError::MalformedPixels(_))));
        }
    }
}
