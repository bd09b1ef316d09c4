//! RLE Lossless (PS3.5, annex G): PackBits over byte planes.

use super::EncodeError;
use crate::image_pixel::ImagePixel;

/// The most segments of a frame (PS3.5, section G.4).
const MOST_SEGMENTS: usize = 15;
const HEADER: usize = 64;

/// One frame of containers as RLE segments, the most significant byte of a sample first, each row on its own.
///
/// # Errors
///
/// [`EncodeError::NotRepresentable`] beyond 15 segments.
pub(super) fn encode(containers: &[u8], form: &ImagePixel) -> Result<Vec<u8>, EncodeError> {
    let sample_bytes = usize::from(form.bits_allocated / 8);
    let planes = sample_bytes * usize::from(form.samples_per_pixel);
    if planes > MOST_SEGMENTS {
        return Err(EncodeError::NotRepresentable("more than 15 RLE segments"));
    }
    let mut stream = vec![0; HEADER];
    stream[0] = planes as u8;
    let mut plane = Vec::with_capacity(containers.len() / planes);
    for index in 0..planes {
        let offset =
            u32::try_from(stream.len()).map_err(|_| EncodeError::NotRepresentable("RLE beyond 4 GiB"))?;
        stream[4 + 4 * index..8 + 4 * index].copy_from_slice(&offset.to_le_bytes());
        let (sample, byte) = (index / sample_bytes, sample_bytes - 1 - index % sample_bytes);
        plane.clear();
        plane.extend(containers.iter().skip(sample * sample_bytes + byte).step_by(planes));
        for row in plane.chunks(form.columns as usize) {
            pack(row, &mut stream);
        }
        if stream.len() % 2 == 1 {
            stream.push(0);
        }
    }
    Ok(stream)
}

/// PackBits of one row (G.3.1): runs of three and more are repeated, all else is copied.
fn pack(row: &[u8], stream: &mut Vec<u8>) {
    let mut rest = row;
    while let [first, ..] = rest {
        let run = rest.iter().take(128).take_while(|value| *value == first).count();
        if run > 2 || run == rest.len() && run > 1 {
            stream.extend_from_slice(&[(257 - run) as u8, *first]);
            rest = &rest[run..];
            continue;
        }
        let triple = rest.windows(3).take(128).position(|three| three[0] == three[1] && three[1] == three[2]);
        let count = triple.unwrap_or(rest.len()).min(128);
        stream.push((count - 1) as u8);
        stream.extend_from_slice(&rest[..count]);
        rest = &rest[count..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(row: &[u8]) -> Vec<u8> {
        let mut stream = Vec::new();
        pack(row, &mut stream);
        stream
    }

    /// PS3.5, section G.3.1: 257 - n repeats n times, n - 1 copies n bytes.
    #[test]
    fn runs_are_repeated_and_the_rest_is_copied() {
        assert_eq!(packed(&[7; 5]), [252, 7]);
        assert_eq!(packed(&[1, 2, 3]), [2, 1, 2, 3]);
        assert_eq!(packed(&[1, 2, 9, 9, 9]), [1, 1, 2, 254, 9]);
        assert_eq!(packed(&[4; 130]), [129, 4, 255, 4]);
    }
}
