//! Weights in the order in which the kernels read them.

use super::spec::{Geometry, Input};
use crate::error::{KernelError, product};
use crate::isa::lanes::{LANES, pair};
use crate::isa::table::Table;
use crate::primitive::multiply::Segment;

/// Rows of weights that are packed together: 16 KiB of the widest.
pub(super) const PACKED: usize = 64;

/// One to four blocks of output channels that are computed together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panel {
    pub first_block: usize,
    pub blocks: usize,
    /// Floats before the panel's weights.
    pub weights: usize,
    /// Which of the lists of segments it reads by.
    pub list: usize,
}

/// Which weights one row of a panel holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// None where a place of the block has no channel: its weights are zero.
    pub channel: Option<usize>,
    /// The other channel of a pair, likewise.
    pub second: Option<usize>,
    pub tap: usize,
}

/// What the kernels read, and the rows of weights that it meets.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    pub segments: Vec<Segment>,
    pub rows: Vec<Row>,
}

impl Lines {
    /// The lines of the channels that are `wanted`, block by block and tap by tap; what has no channel at the ends
    /// of a block is left out. `place` gives the base of a block at the tap of this position.
    pub(super) fn new(
        (input, is_paired): (&Input, bool),
        wanted: impl Fn(usize) -> bool,
        taps: &[usize],
        place: impl Fn(usize, usize) -> usize,
    ) -> Lines {
        let mut lines = Lines::default();
        let blocks = match input {
            Input::Blocked(channels) => channels.blocks(),
            Input::Plain(_) => 1,
        };
        for block in 0..blocks {
            let lanes: Vec<Option<usize>> = match input {
                Input::Blocked(channels) => channels.block(block).collect(),
                Input::Plain(count) => (0..*count).map(Some).collect(),
            };
            let is_wanted = |lane: &Option<usize>| lane.is_some_and(&wanted);
            let Some(first) = lanes.iter().position(is_wanted) else { continue };
            let last = lanes.iter().rposition(is_wanted).unwrap_or(first);
            // channels that a row holds
            let each = if is_paired { 2 } else { 1 };
            let (first, last) = (first / each, last / each);
            for (position, tap) in taps.iter().enumerate() {
                lines.push(Segment { offset: place(block, position) + first, len: last - first + 1 });
                lines.rows.extend(lanes.chunks(each).take(last + 1).skip(first).map(|channels| Row {
                    channel: channels[0],
                    second: channels.get(1).copied().flatten(),
                    tap: *tap,
                }));
            }
        }
        lines
    }

    /// Adds a segment, or lengthens the last one where they touch.
    fn push(&mut self, segment: Segment) {
        match self.segments.last_mut() {
            Some(last) if last.offset + last.len == segment.offset => last.len += segment.len,
            _ => self.segments.push(segment),
        }
    }
}

/// All panels of a convolution.
#[derive(Debug, Clone)]
pub(super) struct Panels {
    pub list: Vec<Panel>,
    pub lines: Vec<Lines>,
    /// Floats of all weights.
    pub len: usize,
    /// Whether a row, and what it meets, is a pair of channels in bf16.
    pub is_paired: bool,
}

impl Panels {
    /// Panels for runs of `pixels` pixels; `lines` makes the lines for a range of groups. Each line's weights stand
    /// `copies` times (once for each product of a Winograd tile).
    pub(super) fn new(
        geometry: &Geometry,
        table: &Table,
        (pixels, before, copies): (usize, usize, usize),
        is_paired: bool,
        lines: impl Fn(std::ops::RangeInclusive<usize>) -> Lines,
    ) -> Result<Panels, KernelError> {
        let out_blocks = geometry.out_channels.blocks();
        let is_aligned = geometry.spec.groups == 1 || geometry.group_out.is_multiple_of(2 * LANES);
        let widest = match (table.is_wide() && is_aligned, pixels) {
            (false, _) => 1,
            (true, ..=7) if geometry.spec.groups == 1 => 4,
            (true, _) => 2,
        };
        let (mut list, mut all, mut ranges) = (Vec::new(), Vec::new(), Vec::new());
        let (mut first_block, mut weights) = (0, before);
        while first_block < out_blocks {
            let left = out_blocks - first_block;
            let blocks = if widest == 4 && left >= 4 { 4 } else { widest.min(2).min(left) };
            let last = ((first_block + blocks) * LANES).min(geometry.spec.out_channels) - 1;
            let groups = first_block * LANES / geometry.group_out..=last / geometry.group_out;
            let index = ranges.iter().position(|it| *it == groups).unwrap_or_else(|| {
                all.push(lines(groups.clone()));
                ranges.push(groups);
                all.len() - 1
            });
            list.push(Panel { first_block, blocks, weights, list: index });
            let more = product(&[all[index].rows.len(), blocks * LANES, copies])?;
            weights = weights.checked_add(more).ok_or(KernelError::TooLarge)?;
            first_block += blocks;
        }
        Ok(Panels { list, lines: all, len: weights - before, is_paired })
    }

    /// Writes the weights to their places.
    pub(super) fn pack(&self, geometry: &Geometry, weights: &[f32], to: &mut [f32]) {
        for panel in &self.list {
            let width = panel.blocks * LANES;
            let rows = &self.lines[panel.list].rows;
            let places = to[panel.weights..][..rows.len() * width].chunks_mut(PACKED * width);
            // some rows of all outputs at a time: each output's weights lie side by side, and far from the next one's
            for (rows, places) in rows.chunks(PACKED).zip(places) {
                for lane in 0..width {
                    let out = panel.first_block * LANES + lane;
                    for (row, place) in rows.iter().zip(places.chunks_exact_mut(width)) {
                        let weight = |channel: Option<usize>| {
                            channel.map_or(0.0, |it| geometry.weight(weights, out, it, row.tap))
                        };
                        place[lane] = match self.is_paired {
                            true => pair(weight(row.channel), weight(row.second)),
                            false => weight(row.channel),
                        };
                    }
                }
            }
        }
    }

    /// Adds to a hash which weight stands where; before [`Panels::forget_rows`].
    pub(super) fn name(&self, hash: &mut Fnv) {
        hash.add(usize::from(self.is_paired));
        for panel in &self.list {
            [panel.first_block, panel.blocks, panel.weights, panel.list]
                .into_iter()
                .for_each(|it| hash.add(it));
        }
        for row in self.lines.iter().flat_map(|lines| &lines.rows) {
            hash.add(row.channel.unwrap_or(usize::MAX));
            hash.add(row.second.unwrap_or(usize::MAX));
            hash.add(row.tap);
        }
    }

    /// The lines' rows are needed only to pack.
    pub(super) fn forget_rows(&mut self) {
        for lines in &mut self.lines {
            lines.rows = Vec::new();
        }
    }
}

/// A hash of whole numbers (FNV-1a, 64 bits): no secret, only a name for an order.
#[derive(Debug)]
pub(super) struct Fnv(u64);

impl Fnv {
    pub(super) fn new() -> Self {
        Fnv(0xCBF2_9CE4_8422_2325)
    }

    pub(super) fn add(&mut self, number: usize) {
        for byte in (number as u64).to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    /// In four pieces of 16 bits.
    pub(super) fn sixteens(&self) -> [u32; 4] {
        [0, 16, 32, 48].map(|shift| (self.0 >> shift) as u32 & 0xFFFF)
    }
}

/// A run of segments whose weights stay cached while all pixels meet them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span<'a> {
    pub segments: &'a [Segment],
    /// Rows of weights before the span's.
    pub rows_before: usize,
    pub is_last: bool,
}

/// The segments in spans of at most `most` rows (but at least one segment); one span where there are none.
pub(super) fn spans(segments: &[Segment], most: usize) -> impl Iterator<Item = Span<'_>> {
    let (mut first, mut rows_before, mut is_done) = (0, 0, false);
    std::iter::from_fn(move || {
        if is_done {
            return None;
        }
        let (mut end, mut rows) = (first, 0);
        while end < segments.len() && (rows == 0 || rows + segments[end].len <= most) {
            rows += segments[end].len;
            end += 1;
        }
        is_done = end == segments.len();
        let span = Span { segments: &segments[first..end], rows_before, is_last: is_done };
        (first, rows_before) = (end, rows_before + rows);
        Some(span)
    })
}

/// The `part`-th of `parts` nearly equal pieces of `whole`: its first place and its length.
pub(super) fn piece(whole: usize, parts: usize, part: usize) -> (usize, usize) {
    let (size, larger) = (whole / parts, whole % parts);
    (part * size + part.min(larger), size + usize::from(part < larger))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_all_segments() {
        let segments: Vec<Segment> = [5, 3, 9, 1, 1].map(|len| Segment { offset: 0, len }).to_vec();
        let found: Vec<_> =
            spans(&segments, 8).map(|it| (it.segments.len(), it.rows_before, it.is_last)).collect();
        assert_eq!(found, [(2, 0, false), (1, 8, false), (2, 17, true)]);
        assert_eq!(spans(&[], 8).count(), 1, "a bias alone is written too");
    }

    #[test]
    fn pieces_cover_the_whole() {
        for whole in 1..40 {
            for parts in 1..=whole {
                let mut next = 0;
                for part in 0..parts {
                    let (first, len) = piece(whole, parts, part);
                    assert_eq!(first, next);
                    next += len;
                }
                assert_eq!(next, whole);
            }
        }
    }
}
