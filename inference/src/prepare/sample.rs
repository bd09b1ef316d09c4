//! Taking single pixels of an image: the nearest ones, and what lies between them.

use ndarray::Array2;

use super::place::Region;

/// The region at `size`, each new pixel the old one that holds its centre.
///
/// `pixels` holds the whole image; the region lies within it.
pub(super) fn nearest<P: Copy>(
    pixels: &[P],
    region: &Region,
    (rows, columns): (usize, usize),
    value: impl Fn(P) -> f32,
) -> Array2<f32> {
    let holds = |index: usize, old: usize, new: usize| (2 * index + 1) * old / (2 * new);
    Array2::from_shape_fn((rows, columns), |(row, column)| {
        let (y, x) = (holds(row, region.rows, rows), holds(column, region.columns, columns));
        value(pixels[(region.top + y) * region.stride + region.left + x])
    })
}

/// The region at `size`, each new pixel between the four old ones around its centre.
///
/// Centres lie at half (`half_pixel` of ONNX's Resize); nothing is averaged, so that an image made
/// much smaller loses detail, as it did where the networks that ask for it learned.
pub(super) fn linear<P: Copy>(
    pixels: &[P],
    region: &Region,
    (rows, columns): (usize, usize),
    value: impl Fn(P) -> f32,
) -> Array2<f32> {
    let (down, across) = (betweens(region.rows, rows), betweens(region.columns, columns));
    let at = |y: usize, x: usize| value(pixels[(region.top + y) * region.stride + region.left + x]);
    Array2::from_shape_fn((rows, columns), |(row, column)| {
        let (above, below, down) = down[row];
        let (left, right, across) = across[column];
        let upper = at(above, left) * (1.0 - across) + at(above, right) * across;
        let lower = at(below, left) * (1.0 - across) + at(below, right) * across;
        upper * (1.0 - down) + lower * down
    })
}

/// For each of `new` pixels the two of `old` ones that it lies between, and how far it is on the way to the second.
fn betweens(old: usize, new: usize) -> Vec<(usize, usize, f32)> {
    let scale = old as f64 / new as f64;
    (0..new)
        .map(|index| {
            let centre = ((index as f64 + 0.5) * scale - 0.5).clamp(0.0, (old - 1) as f64);
            let first = centre.floor() as usize;
            (first, (first + 1).min(old - 1), (centre - centre.floor()) as f32)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: of six pixels in a row, new centres at 0.5, 2.5 and 4.5 are the means of neighbours.
    #[test]
    fn half_the_pixels_are_means_of_neighbours() {
        let row = [0_u8, 10, 20, 40, 50, 90];
        let found = linear(&row, &Region::whole(1, 6), (1, 3), f32::from);
        assert_eq!(found.as_slice().unwrap(), [5.0, 30.0, 70.0]);
    }

    /// OpenCV 4, `cv2.resize(np.float32([[0, 100], [50, 200]]), (4, 4), interpolation=cv2.INTER_LINEAR)`; first
    /// and second row, which are also 0.25 and 0.75 of the way by hand.
    #[test]
    fn twice_the_pixels_lie_a_quarter_from_the_old_ones() {
        let found = linear(&[0_u8, 100, 50, 200], &Region::whole(2, 2), (4, 4), f32::from);
        assert_eq!(found.row(0).as_slice().unwrap(), [0.0, 25.0, 75.0, 100.0]);
        assert_eq!(found.row(1).as_slice().unwrap(), [12.5, 40.625, 96.875, 125.0]);
    }

    /// By hand: of five, the centres of two new ones are 1.25 and 3.75, in pixels 1 and 3.
    #[test]
    fn the_nearest_pixel_holds_the_centre() {
        let found = nearest(&[1_u8, 2, 3, 4, 5], &Region::whole(1, 5), (1, 2), f32::from);
        assert_eq!(found.as_slice().unwrap(), [2.0, 4.0]);
        let found = nearest(&[1_u8, 2], &Region::whole(1, 2), (1, 4), f32::from);
        assert_eq!(found.as_slice().unwrap(), [1.0, 1.0, 2.0, 2.0]);
    }

    #[test]
    fn a_region_is_taken_from_within_its_image() {
        let image: Vec<u8> = (0..20).collect();
        let region = Region { top: 1, left: 2, rows: 2, columns: 2, stride: 5 };
        let expected = [7.0, 8.0, 12.0, 13.0];
        for found in [linear(&image, &region, (2, 2), f32::from), nearest(&image, &region, (2, 2), f32::from)]
        {
            assert_eq!(found.as_slice().unwrap(), expected);
        }
    }
}
