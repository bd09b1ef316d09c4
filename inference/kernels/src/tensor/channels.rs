//! Which channel stands in which place of the blocks.

use std::sync::Arc;

use super::Buffer;
use crate::error::{KernelError, LARGEST};
use crate::isa::lanes::LANES;

/// A place without a channel: it holds some finite number that no operator looks at.
const NONE: u32 = u32::MAX;

/// Which channel stands in which place of the blocks.
///
/// A convolution writes its channels in order. Concatenation and permutation change this map alone, never the numbers:
/// whoever reads the tensor later is built for the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channels {
    count: usize,
    slots: Arc<[u32]>,
}

impl Channels {
    /// `count` channels in order; the last block is filled up.
    ///
    /// # Errors
    ///
    /// [`KernelError::Zero`] and [`KernelError::TooLarge`].
    pub fn dense(count: usize) -> Result<Self, KernelError> {
        if count == 0 {
            return Err(KernelError::Zero("the number of channels"));
        }
        if count > LARGEST {
            return Err(KernelError::TooLarge);
        }
        let slots = (0..count.next_multiple_of(LANES)).map(|it| if it < count { it as u32 } else { NONE });
        Ok(Channels { count, slots: slots.collect() })
    }

    /// The channels of several tensors whose blocks stand one after another: concatenation without a copy.
    ///
    /// # Errors
    ///
    /// [`KernelError::Zero`]: no parts. [`KernelError::TooLarge`].
    pub fn concat(parts: &[&Channels]) -> Result<Self, KernelError> {
        let count = parts.iter().try_fold(0_usize, |sum, part| sum.checked_add(part.count));
        let count = count.filter(|count| *count <= LARGEST).ok_or(KernelError::TooLarge)?;
        if count == 0 {
            return Err(KernelError::Zero("the number of channels"));
        }
        let mut slots = Vec::new();
        let mut first = 0;
        for part in parts {
            slots.extend(part.slots.iter().map(|slot| if *slot == NONE { NONE } else { slot + first }));
            first += part.count as u32;
        }
        Ok(Channels { count, slots: slots.into() })
    }

    /// The same places, where channel `order[i]` is now called `i`: a shuffle of channels without a copy.
    ///
    /// # Errors
    ///
    /// [`KernelError::Mismatch`]: `order` does not name each channel once.
    pub fn permuted(&self, order: &[usize]) -> Result<Self, KernelError> {
        let mut new_names = vec![NONE; self.count];
        for (new, old) in order.iter().enumerate() {
            match new_names.get_mut(*old) {
                Some(name) if *name == NONE && order.len() == self.count => *name = new as u32,
                _ => return Err(KernelError::Mismatch("the order names each channel once")),
            }
        }
        let slots =
            self.slots.iter().map(|slot| if *slot == NONE { NONE } else { new_names[*slot as usize] });
        Ok(Channels { count: self.count, slots: slots.collect() })
    }

    /// Channels, not places.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Blocks of sixteen places.
    pub fn blocks(&self) -> usize {
        self.slots.len() / LANES
    }

    /// Each place, in order, with the channel that stands there.
    pub fn slots(&self) -> impl ExactSizeIterator<Item = Option<usize>> + '_ {
        self.slots.iter().map(|slot| (*slot != NONE).then_some(*slot as usize))
    }

    /// Whether the channels stand in order with no gap before the last block's end.
    pub fn is_dense(&self) -> bool {
        self.slots.len() == self.count.next_multiple_of(LANES)
            && self.slots[..self.count].iter().enumerate().all(|(place, slot)| place == *slot as usize)
    }

    /// One value a channel, brought to the channel's place; places without a channel get a zero.
    ///
    /// # Errors
    ///
    /// [`KernelError::Length`]: not one value a channel.
    pub fn spread(&self, values: &[f32]) -> Result<Buffer, KernelError> {
        crate::error::same_length("the values of the channels", self.count, values.len())?;
        let mut spread = Buffer::zeros(self.slots.len());
        for (place, slot) in spread.iter_mut().zip(self.slots()) {
            *place = slot.map_or(0.0, |channel| values[channel]);
        }
        Ok(spread)
    }

    /// The map of some of the blocks, with the channels in them called as they stand.
    pub(crate) fn block(&self, block: usize) -> impl ExactSizeIterator<Item = Option<usize>> + '_ {
        self.slots[block * LANES..][..LANES].iter().map(|slot| (*slot != NONE).then_some(*slot as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_concatenation_leaves_the_gaps_where_they_are() {
        let (three, five) = (Channels::dense(3).unwrap(), Channels::dense(5).unwrap());
        let both = Channels::concat(&[&three, &five]).unwrap();
        assert_eq!((both.count(), both.blocks(), both.is_dense()), (8, 2, false));
        let slots: Vec<_> = both.slots().collect();
        assert_eq!(slots[..4], [Some(0), Some(1), Some(2), None]);
        assert_eq!(slots[16..22], [Some(3), Some(4), Some(5), Some(6), Some(7), None]);
    }

    #[test]
    fn a_permutation_names_each_channel_once() {
        let channels = Channels::dense(3).unwrap();
        let turned = channels.permuted(&[2, 0, 1]).unwrap();
        assert_eq!(turned.slots().take(3).collect::<Vec<_>>(), [Some(1), Some(2), Some(0)]);
        for wrong in [&[0, 0, 1][..], &[0, 1], &[0, 1, 3]] {
            assert!(channels.permuted(wrong).is_err());
        }
    }

    #[test]
    fn no_channels_and_too_many_are_refused() {
        assert_eq!(Channels::dense(0), Err(KernelError::Zero("the number of channels")));
        // 2^32 - 32 channels would be a map of 16 GiB before a single number was there
        for count in [LARGEST + 1, u32::MAX as usize - 31, usize::MAX] {
            assert_eq!(Channels::dense(count), Err(KernelError::TooLarge));
        }
        assert_eq!(Channels::concat(&[]), Err(KernelError::Zero("the number of channels")));
    }
}
