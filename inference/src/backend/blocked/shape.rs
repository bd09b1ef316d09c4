//! How a network's values lie: images at once, channels, and one to three axes of space.

use kernels::Extent;
use tract_onnx::tract_core::internal::{Datum, TypedFact, TypedModel};

/// What all values of a network share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// Images at once.
    pub images: usize,
    /// Axes of space: two for images, three for volumes.
    space: usize,
}

/// One image of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub channels: usize,
    /// Depth, height and width.
    pub extent: Extent,
}

impl Shape {
    /// Numbers of one image.
    pub fn len(&self) -> usize {
        self.channels * self.extent.iter().product::<usize>()
    }
}

impl Frame {
    /// By the network's first input: `[images, channels, space …]`; none for one of another kind.
    pub fn of(model: &TypedModel) -> Option<Frame> {
        let fact = model.input_fact(0).ok()?;
        let shape = fact.shape.as_concrete()?;
        match shape.len() {
            3..=5 if shape[0] > 0 => Some(Frame { images: shape[0], space: shape.len() - 2 }),
            _ => None,
        }
    }

    /// The axes of space in a value.
    pub fn axes(&self) -> std::ops::Range<usize> {
        2..2 + self.space
    }

    /// A value of 32-bit numbers as images of channels; `[images, channels]` is one pixel.
    pub fn shape(&self, fact: &TypedFact) -> Option<Shape> {
        if fact.datum_type != f32::datum_type() {
            return None;
        }
        let sides = fact.shape.as_concrete()?;
        if sides.len() < 2 || sides[0] != self.images || sides.contains(&0) {
            return None;
        }
        let space = &sides[2..];
        (space.is_empty() || space.len() == self.space)
            .then(|| Shape { channels: sides[1], extent: filled(space, 1) })
    }
}

/// Sides of one to three axes as depth, height and width; what is missing in front is `default`.
pub(super) fn filled(sides: &[usize], default: usize) -> Extent {
    let mut all = [default; 3];
    let missing = 3 - sides.len().min(3);
    all[missing..].copy_from_slice(&sides[..3 - missing]);
    all
}

#[cfg(test)]
mod tests {
    use tract_onnx::prelude::DatumExt;

    use super::*;

    #[test]
    fn an_image_is_a_volume_of_one_plane() {
        let image = Frame { images: 1, space: 2 };
        let fact = |sides: &[usize]| f32::fact(sides);
        assert_eq!(image.shape(&fact(&[1, 3, 5, 7])), Some(Shape { channels: 3, extent: [1, 5, 7] }));
        assert_eq!(image.shape(&fact(&[1, 10])), Some(Shape { channels: 10, extent: [1; 3] }));
        for other in [&[1, 3, 4, 5, 7][..], &[2, 3, 5, 7], &[3, 5, 7], &[1, 3, 0, 7], &[10]] {
            assert_eq!(image.shape(&fact(other)), None, "{other:?}");
        }
        let volume = Frame { images: 1, space: 3 };
        assert_eq!(volume.shape(&fact(&[1, 3, 4, 5, 7])), Some(Shape { channels: 3, extent: [4, 5, 7] }));
    }
}
