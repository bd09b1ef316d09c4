//! Numbers over one frame: how surely, or how much, each part of it counts.

/// A map over the whole of one frame, as it is stored and shown; often smaller than the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameMap {
    /// The frame, counted from 0.
    pub frame: u32,
    /// Rows of the map, which lie evenly over the frame's.
    pub rows: u32,
    /// Columns of the map, which lie evenly over the frame's.
    pub columns: u32,
    /// `rows * columns` values, row by row: 0 is nothing, 65,535 the most.
    pub values: Vec<u16>,
}

impl FrameMap {
    /// The map of parts of 1; what is no number, or below 0, is nothing.
    pub fn of_parts(frame: u32, rows: u32, columns: u32, parts: impl IntoIterator<Item = f32>) -> Self {
        // A cast holds to the bounds, and makes NaN 0.
        let values = parts.into_iter().map(|part| (part * f32::from(u16::MAX)).round() as u16).collect();
        Self { frame, rows, columns, values }
    }

    /// The value at a row and column of the map, as a part of 1; nothing outside.
    pub fn part(&self, row: u32, column: u32) -> f32 {
        let is_inside = row < self.rows && column < self.columns;
        let at = row as usize * self.columns as usize + column as usize;
        let value = self.values.get(at).copied().filter(|_| is_inside).unwrap_or(0);
        f32::from(value) / f32::from(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_become_whole_numbers_and_what_is_none_becomes_nothing() {
        let map = FrameMap::of_parts(3, 1, 5, [0.0, 1.0, 0.5, f32::NAN, -0.5]);
        assert_eq!(map.values, [0, 65_535, 32_768, 0, 0]);
        assert_eq!(map.part(0, 1), 1.0);
        assert_eq!((map.part(1, 0), map.part(0, 5)), (0.0, 0.0), "nothing lies outside");
    }
}
