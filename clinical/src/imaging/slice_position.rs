//! Where a slice lies in the patient.

/// Where a frame lies in the patient, and how far apart its pixels are.
///
/// Source: PS3.3, section C.7.6.2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlicePosition {
    /// Image Position (Patient) (0020,0032): the centre of the first pixel, in mm.
    pub position_mm: [f64; 3],
    /// Image Orientation (Patient) (0020,0037): the direction of the rows, then of the columns, of length 1.
    pub orientation: [f64; 6],
    /// Pixel Spacing (0028,0030): between rows, between columns, in mm.
    pub spacing_mm: [f64; 2],
}

impl SlicePosition {
    /// The direction through the slice: that of its rows times that of its columns.
    pub fn normal(&self) -> [f64; 3] {
        let [a, b, c, d, e, f] = self.orientation;
        [b * f - c * e, c * d - a * f, a * e - b * d]
    }

    /// How far along its normal the slice lies, in mm.
    pub fn along_normal_mm(&self) -> f64 {
        self.normal().iter().zip(self.position_mm).map(|(one, other)| one * other).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PS3.3, C.7.6.2.1.1: x to the patient's left, y to the back, z to the head; rows to the left and columns to the
    /// back have the head as their normal.
    #[test]
    fn an_axial_slice_lies_along_the_body() {
        let axial = SlicePosition {
            position_mm: [-100.0, -120.0, 35.5],
            orientation: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            spacing_mm: [0.5, 0.5],
        };
        assert_eq!((axial.normal(), axial.along_normal_mm()), ([0.0, 0.0, 1.0], 35.5));
        let coronal = SlicePosition { orientation: [1.0, 0.0, 0.0, 0.0, 0.0, -1.0], ..axial };
        assert_eq!((coronal.normal(), coronal.along_normal_mm()), ([0.0, 1.0, 0.0], -120.0));
    }
}
