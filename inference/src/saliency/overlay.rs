//! A map over its picture: what counted is tinted, from blue over green and yellow to red.

use clinical::imaging::FrameMap;

/// How much of a tinted pixel is tint where the map is greatest.
const STRONGEST: f32 = 0.55;
/// Below it a pixel stays as it is.
const LEAST: f32 = 0.05;
/// Colours along the scale, evenly apart (after the scale that medical viewers call "jet").
const SCALE: [[f32; 3]; 5] =
    [[0.0, 0.0, 255.0], [0.0, 255.0, 255.0], [0.0, 255.0, 0.0], [255.0, 255.0, 0.0], [255.0, 0.0, 0.0]];

/// A picture of `columns` by `rows` pixels of 1 (grey) or 3 (RGB) channels, tinted by the map that lies over all of it;
/// RGB. Empty where the picture's samples do not fill it.
pub fn overlay(samples: &[u8], channels: u8, (columns, rows): (u32, u32), map: &FrameMap) -> Vec<u8> {
    let width = usize::from(channels.max(1));
    if samples.len() as u64 != u64::from(columns) * u64::from(rows) * width as u64 || columns == 0 {
        return Vec::new();
    }
    let mut tinted = Vec::with_capacity(samples.len() / width * 3);
    for (at, pixel) in samples.chunks_exact(width).enumerate() {
        let (row, column) = ((at / columns as usize) as u32, (at % columns as usize) as u32);
        let strength = map.part(scaled(row, rows, map.rows), scaled(column, columns, map.columns));
        let colours = match pixel {
            [red, green, blue] => [*red, *green, *blue],
            _ => [pixel[0]; 3],
        };
        let (tint, weight) =
            (tint(strength), if strength < LEAST { 0.0 } else { STRONGEST * strength.sqrt() });
        tinted.extend(
            colours
                .iter()
                .zip(tint)
                .map(|(colour, tint)| (f32::from(*colour) * (1.0 - weight) + tint * weight).round() as u8),
        );
    }
    tinted
}

/// The line of the map that lies over a line of the picture.
fn scaled(line: u32, lines: u32, of: u32) -> u32 {
    let scaled = (2 * u64::from(line) + 1) * u64::from(of) / (2 * u64::from(lines.max(1)));
    u32::try_from(scaled).unwrap_or(u32::MAX)
}

/// The colour of a strength of 0 to 1.
fn tint(strength: f32) -> [f32; 3] {
    let at = strength.clamp(0.0, 1.0) * (SCALE.len() - 1) as f32;
    let first = (at as usize).min(SCALE.len() - 2);
    let part = at - first as f32;
    std::array::from_fn(|channel| SCALE[first][channel] * (1.0 - part) + SCALE[first + 1][channel] * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_counted_the_picture_stays_and_where_most_did_it_is_red() {
        let map = FrameMap::of_parts(0, 1, 2, [0.0, 1.0]);
        let grey = overlay(&[100, 100, 100, 100], 1, (4, 1), &map);
        // By hand: 100 * 0.45 is 45, and 45 + 255 * 0.55 is 185.25.
        assert_eq!(grey, [100, 100, 100, 100, 100, 100, 185, 45, 45, 185, 45, 45]);
        let colours = overlay(&[10, 20, 30, 0, 0, 0], 3, (2, 1), &map);
        assert_eq!(colours, [10, 20, 30, 140, 0, 0]);
    }

    #[test]
    fn the_scale_goes_from_blue_over_green_to_red() {
        assert_eq!([tint(0.0), tint(0.5), tint(1.0)], [SCALE[0], SCALE[2], SCALE[4]]);
        assert_eq!(tint(0.125), [0.0, 127.5, 255.0]);
    }

    #[test]
    fn a_picture_that_is_not_whole_is_not_tinted() {
        let map = FrameMap::of_parts(0, 1, 1, [1.0]);
        assert!(overlay(&[1, 2, 3], 1, (2, 2), &map).is_empty());
        assert!(overlay(&[], 1, (0, 0), &map).is_empty());
    }
}
