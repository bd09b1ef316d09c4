//! A tensor of one's own, and a look at somebody else's numbers as a tensor.

use std::ops::Range;

use super::{Buffer, Channels, Extent, volume};
use crate::error::{KernelError, product, same_length};
use crate::isa::lanes::LANES;

/// A look at numbers as blocks of channels.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    data: &'a [f32],
    blocks: usize,
    extent: Extent,
}

/// The same, to write.
#[derive(Debug)]
pub struct ViewMut<'a> {
    data: &'a mut [f32],
    blocks: usize,
    extent: Extent,
}

fn checked_len(blocks: usize, extent: Extent) -> Result<usize, KernelError> {
    if blocks == 0 {
        return Err(KernelError::Zero("the number of blocks"));
    }
    product(&[blocks, volume(extent)?, LANES])
}

impl<'a> View<'a> {
    /// `data` as so many blocks of so many pixels.
    ///
    /// # Errors
    ///
    /// [`KernelError::Length`] unless `data` is exactly as long; [`KernelError::Zero`], [`KernelError::TooLarge`].
    pub fn new(data: &'a [f32], blocks: usize, extent: Extent) -> Result<Self, KernelError> {
        same_length("a tensor", checked_len(blocks, extent)?, data.len())?;
        Ok(View { data, blocks, extent })
    }

    /// The numbers.
    pub fn data(&self) -> &'a [f32] {
        self.data
    }

    /// Blocks of sixteen channels.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Depth, height and width.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// Some of the blocks: a slice along the channels without a copy.
    ///
    /// # Errors
    ///
    /// [`KernelError::Mismatch`]: there are fewer blocks.
    pub fn part(&self, blocks: Range<usize>) -> Result<View<'a>, KernelError> {
        let block_len = self.data.len() / self.blocks;
        if blocks.is_empty() || blocks.end > self.blocks {
            return Err(KernelError::Mismatch("a part has blocks of the whole"));
        }
        let data = &self.data[blocks.start * block_len..blocks.end * block_len];
        Ok(View { data, blocks: blocks.len(), extent: self.extent })
    }

    /// Pixels of one block.
    pub(crate) fn pixels(&self) -> usize {
        self.data.len() / self.blocks / LANES
    }
}

impl<'a> ViewMut<'a> {
    /// `data` as so many blocks of so many pixels.
    ///
    /// # Errors
    ///
    /// [`KernelError::Length`] unless `data` is exactly as long; [`KernelError::Zero`], [`KernelError::TooLarge`].
    pub fn new(data: &'a mut [f32], blocks: usize, extent: Extent) -> Result<Self, KernelError> {
        same_length("a tensor", checked_len(blocks, extent)?, data.len())?;
        Ok(ViewMut { data, blocks, extent })
    }

    /// The numbers.
    pub fn data(&mut self) -> &mut [f32] {
        self.data
    }

    /// To read only.
    pub fn view(&self) -> View<'_> {
        View { data: self.data, blocks: self.blocks, extent: self.extent }
    }

    /// Blocks of sixteen channels.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Depth, height and width.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// Some of the blocks: where one part of a concatenation is written.
    ///
    /// # Errors
    ///
    /// [`KernelError::Mismatch`]: there are fewer blocks.
    pub fn part(&mut self, blocks: Range<usize>) -> Result<ViewMut<'_>, KernelError> {
        let block_len = self.data.len() / self.blocks;
        if blocks.is_empty() || blocks.end > self.blocks {
            return Err(KernelError::Mismatch("a part has blocks of the whole"));
        }
        let data = &mut self.data[blocks.start * block_len..blocks.end * block_len];
        Ok(ViewMut { data, blocks: blocks.len(), extent: self.extent })
    }

    /// The blocks before `at`, to read, and those from there on, to write: a dense block adds to what it reads.
    ///
    /// # Errors
    ///
    /// [`KernelError::Mismatch`]: one side would have no blocks.
    pub fn split(&mut self, at: usize) -> Result<(View<'_>, ViewMut<'_>), KernelError> {
        if at == 0 || at >= self.blocks {
            return Err(KernelError::Mismatch("both parts have blocks"));
        }
        let block_len = self.data.len() / self.blocks;
        let (before, after) = self.data.split_at_mut(at * block_len);
        let before = View { data: before, blocks: at, extent: self.extent };
        Ok((before, ViewMut { data: after, blocks: self.blocks - at, extent: self.extent }))
    }
}

/// A tensor of one's own: its numbers, its channels, its extent.
#[derive(Debug, Clone)]
pub struct Tensor {
    buffer: Buffer,
    channels: Channels,
    extent: Extent,
}

impl Tensor {
    /// A tensor of zeros.
    ///
    /// # Errors
    ///
    /// [`KernelError::Zero`], [`KernelError::TooLarge`].
    pub fn zeros(channels: Channels, extent: Extent) -> Result<Self, KernelError> {
        let buffer = Buffer::zeros(checked_len(channels.blocks(), extent)?);
        Ok(Tensor { buffer, channels, extent })
    }

    /// A tensor of numbers in the order `[channels, depth, height, width]`.
    ///
    /// # Errors
    ///
    /// [`KernelError::Length`]: other than one number a channel and pixel; [`KernelError::Zero`],
    /// [`KernelError::TooLarge`].
    pub fn from_plain(plain: &[f32], channels: Channels, extent: Extent) -> Result<Self, KernelError> {
        let mut tensor = Tensor::zeros(channels, extent)?;
        block(
            plain,
            &tensor.channels,
            &mut ViewMut { data: &mut tensor.buffer, blocks: tensor.channels.blocks(), extent },
        )?;
        Ok(tensor)
    }

    /// Its numbers in the order `[channels, depth, height, width]`.
    pub fn to_plain(&self) -> Vec<f32> {
        let pixels = self.view().pixels();
        let mut plain = vec![0.0; self.channels.count() * pixels];
        unblock_checked(&self.view(), &self.channels, &mut plain);
        plain
    }

    /// To read.
    pub fn view(&self) -> View<'_> {
        View { data: &self.buffer, blocks: self.channels.blocks(), extent: self.extent }
    }

    /// To write.
    pub fn view_mut(&mut self) -> ViewMut<'_> {
        ViewMut { data: &mut self.buffer, blocks: self.channels.blocks(), extent: self.extent }
    }

    /// Which channel stands where.
    pub fn channels(&self) -> &Channels {
        &self.channels
    }
}

/// Brings numbers in the order `[channels, depth, height, width]` into blocks; places without a channel become zero.
///
/// # Errors
///
/// [`KernelError::Length`] and [`KernelError::Mismatch`] where the three do not belong together.
pub fn block(plain: &[f32], channels: &Channels, to: &mut ViewMut<'_>) -> Result<(), KernelError> {
    if channels.blocks() != to.blocks {
        return Err(KernelError::Mismatch("the tensor has the blocks of its channels"));
    }
    let pixels = volume(to.extent)?;
    same_length("the plain numbers", product(&[channels.count(), pixels])?, plain.len())?;
    for (index, block) in to.data.chunks_exact_mut(pixels * LANES).enumerate() {
        for (lane, channel) in channels.block(index).enumerate() {
            let places = block[lane..].iter_mut().step_by(LANES);
            match channel {
                Some(channel) => {
                    places.zip(&plain[channel * pixels..]).for_each(|(place, number)| *place = *number);
                }
                None => places.for_each(|place| *place = 0.0),
            }
        }
    }
    Ok(())
}

/// Brings a tensor into the order `[channels, depth, height, width]`.
///
/// # Errors
///
/// [`KernelError::Length`] and [`KernelError::Mismatch`] where the three do not belong together.
pub fn unblock(from: &View<'_>, channels: &Channels, plain: &mut [f32]) -> Result<(), KernelError> {
    if channels.blocks() != from.blocks {
        return Err(KernelError::Mismatch("the tensor has the blocks of its channels"));
    }
    same_length("the plain numbers", product(&[channels.count(), from.pixels()])?, plain.len())?;
    unblock_checked(from, channels, plain);
    Ok(())
}

fn unblock_checked(from: &View<'_>, channels: &Channels, plain: &mut [f32]) {
    let pixels = from.pixels();
    for (index, block) in from.data.chunks_exact(pixels * LANES).enumerate() {
        for (lane, channel) in channels.block(index).enumerate() {
            if let Some(channel) = channel {
                let numbers = block[lane..].iter().step_by(LANES);
                plain[channel * pixels..]
                    .iter_mut()
                    .zip(numbers)
                    .for_each(|(place, number)| *place = *number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_numbers_come_back_as_they_were() {
        let plain: Vec<f32> = (0..5 * 2 * 3).map(|it| it as f32).collect();
        let tensor = Tensor::from_plain(&plain, Channels::dense(5).unwrap(), [1, 2, 3]).unwrap();
        assert_eq!(tensor.view().data()[..6], [0.0, 6.0, 12.0, 18.0, 24.0, 0.0]);
        assert_eq!(tensor.to_plain(), plain);
    }

    #[test]
    fn a_view_is_exactly_as_long_as_its_shape() {
        let data = vec![0.0; 96];
        assert!(View::new(&data, 1, [1, 2, 3]).is_ok());
        assert!(View::new(&data, 1, [1, 2, 2]).is_err());
        assert!(View::new(&data, 0, [1, 2, 3]).is_err());
        assert_eq!(View::new(&data, usize::MAX, [1, 2, 3]).unwrap_err(), KernelError::TooLarge);
    }

    #[test]
    fn parts_are_blocks_of_the_whole() {
        let mut tensor = Tensor::zeros(Channels::dense(48).unwrap(), [1, 1, 2]).unwrap();
        tensor.view_mut().part(1..2).unwrap().data().fill(7.0);
        assert_eq!(tensor.view().part(1..2).unwrap().data(), [7.0; 32]);
        assert_eq!(tensor.view().part(2..3).unwrap().data(), [0.0; 32]);
        assert!(tensor.view().part(2..4).is_err());
        let mut whole = tensor.view_mut();
        let (before, after) = whole.split(2).unwrap();
        assert_eq!((before.blocks(), after.blocks()), (2, 1));
    }
}
