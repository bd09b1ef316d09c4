//! Where each value of a region lies: parts of a concatenation side by side, what is changed in its place, and the rest
//! wherever there is room.

use std::ops::Range;

use kernels::{Channels, Extent, KernelError, LANES};

use super::plan::{Step, Work};

/// Numbers between two values: they begin at the start of a cache line.
const LINE: usize = LANES;

/// Where a value lies.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Numbers before it.
    pub start: usize,
    pub channels: Channels,
    pub extent: Extent,
}

impl Place {
    /// Numbers of one block.
    pub fn block_len(&self) -> usize {
        self.extent.iter().product::<usize>() * LANES
    }

    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.block_len() * self.channels.blocks()
    }
}

/// All of them, and the steps that are left.
pub(super) struct Places {
    pub all: Vec<Option<Place>>,
    /// Numbers in all.
    pub memory: usize,
    pub steps: Vec<Step>,
}

/// A value that lies within another one, so many blocks from its beginning.
#[derive(Debug, Clone, Copy)]
struct Within {
    root: usize,
    blocks: usize,
}

impl Places {
    /// Finds a place for every value.
    ///
    /// # Errors
    ///
    /// [`KernelError::TooLarge`]: more than the machine can address.
    pub fn of(
        steps: Vec<Step>,
        channels: Vec<Option<Channels>>,
        extents: Vec<Extent>,
        outputs: &[usize],
    ) -> Result<Places, KernelError> {
        let (within, steps) = joined(steps, &channels, outputs);
        let block_len = |value: usize| {
            let pixels = extents[value].iter().try_fold(LANES, |product, side| product.checked_mul(*side));
            pixels.ok_or(KernelError::TooLarge)
        };
        let mut lives: Vec<Option<(usize, usize)>> = vec![None; channels.len()];
        for (time, step) in steps.iter().enumerate() {
            for value in step.reads.iter().chain([&step.writes]) {
                let life = lives[within[*value].root].get_or_insert((time, time));
                life.1 = time;
            }
        }
        for output in outputs {
            let life = lives[within[*output].root].get_or_insert((0, 0));
            life.1 = usize::MAX;
        }

        let mut roots: Vec<usize> = (0..lives.len()).filter(|value| lives[*value].is_some()).collect();
        roots.sort_by_key(|root| (lives[*root], *root));
        let mut starts = vec![0; channels.len()];
        let mut placed: Vec<(usize, Range<usize>)> = Vec::new();
        let mut memory = 0;
        for root in roots {
            let blocks = channels[root].as_ref().map_or(0, Channels::blocks);
            let len = block_len(root)?.checked_mul(blocks).ok_or(KernelError::TooLarge)?;
            let len = len.next_multiple_of(LINE);
            let meets = |other: usize| match (lives[root], lives[other]) {
                (Some((from, to)), Some((other_from, other_to))) => from <= other_to && other_from <= to,
                _ => false,
            };
            let mut taken: Vec<Range<usize>> =
                placed.iter().filter(|(other, _)| meets(*other)).map(|(_, range)| range.clone()).collect();
            taken.sort_by_key(|range| range.start);
            let mut start = 0_usize;
            for range in taken {
                if start + len <= range.start {
                    break;
                }
                start = start.max(range.end);
            }
            let end = start.checked_add(len).ok_or(KernelError::TooLarge)?;
            starts[root] = start;
            placed.push((root, start..end));
            memory = memory.max(end);
        }

        let mut all = Vec::with_capacity(channels.len());
        for (value, channels) in channels.into_iter().enumerate() {
            let place = match channels {
                Some(channels) => {
                    let Within { root, blocks } = within[value];
                    let start = starts[root] + blocks * block_len(value)?;
                    Some(Place { start, channels, extent: extents[value] })
                }
                None => None,
            };
            all.push(place);
        }
        Ok(Places { all, memory, steps })
    }
}

/// Which values lie within which, found from the end; the steps that still have something to do.
fn joined(steps: Vec<Step>, channels: &[Option<Channels>], outputs: &[usize]) -> (Vec<Within>, Vec<Step>) {
    let mut within: Vec<Within> = (0..channels.len()).map(|root| Within { root, blocks: 0 }).collect();
    let mut is_placed = vec![false; channels.len()];
    let mut readers = vec![0_usize; channels.len()];
    let mut can_be_changed = vec![false; channels.len()];
    for step in &steps {
        step.reads.iter().for_each(|value| readers[*value] += 1);
        can_be_changed[step.writes] = !matches!(step.work, Work::Concat | Work::Rename);
    }
    outputs.iter().for_each(|value| readers[*value] += 1);

    let mut kept: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps.into_iter().rev() {
        let writes = step.writes;
        match step.work {
            Work::Concat | Work::Rename => {
                let mut blocks = 0;
                for part in step.reads {
                    if is_placed[part] {
                        kept.push(Step { work: Work::Copy(blocks), reads: vec![part], writes });
                    } else {
                        is_placed[part] = true;
                        within[part] =
                            Within { root: within[writes].root, blocks: within[writes].blocks + blocks };
                    }
                    blocks += channels[part].as_ref().map_or(0, Channels::blocks);
                }
            }
            Work::Scale(_) | Work::Join(_) | Work::Normalize(_) => {
                let first = step.reads[0];
                if readers[first] == 1 && can_be_changed[first] && !is_placed[first] {
                    is_placed[first] = true;
                    within[first] = within[writes];
                }
                kept.push(step);
            }
            _ => kept.push(step),
        }
    }
    kept.reverse();
    (within, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(work: Work, reads: &[usize], writes: usize) -> Step {
        Step { work, reads: reads.to_vec(), writes }
    }

    fn places(steps: Vec<Step>, sizes: &[usize], outputs: &[usize]) -> Places {
        let channels = sizes.iter().map(|count| Some(Channels::dense(*count).unwrap())).collect();
        Places::of(steps, channels, vec![[1, 2, 2]; sizes.len()], outputs).unwrap()
    }

    #[test]
    fn parts_of_a_concatenation_lie_side_by_side_without_a_copy() {
        let steps =
            vec![step(Work::Block(0), &[], 0), step(Work::Block(1), &[], 1), step(Work::Concat, &[0, 1], 2)];
        let places = places(steps, &[16, 32, 48], &[2]);
        let starts: Vec<usize> = places.all.iter().map(|it| it.as_ref().unwrap().start).collect();
        assert_eq!((starts, places.steps.len(), places.memory), (vec![0, 64, 0], 2, 192));
    }

    #[test]
    fn a_part_of_two_concatenations_is_copied_once() {
        let steps = vec![
            step(Work::Block(0), &[], 0),
            step(Work::Concat, &[0, 0], 1),
            step(Work::PoolAll(kernels::Pooling::Max), &[1], 2),
        ];
        let places = places(steps, &[16, 32, 32], &[2]);
        assert!(matches!(places.steps[1].work, Work::Copy(1)), "{:?}", places.steps[1].work);
        assert_eq!(places.steps.len(), 3);
    }

    #[test]
    fn what_is_needed_no_more_gives_its_place_away() {
        let pool = || Work::PoolAll(kernels::Pooling::Max);
        let steps = vec![
            step(Work::Block(0), &[], 0),
            step(pool(), &[0], 1),
            step(pool(), &[1], 2),
            step(pool(), &[2], 3),
        ];
        let places = places(steps, &[16; 4], &[3]);
        assert_eq!(places.memory, 128, "two at a time");
    }
}
