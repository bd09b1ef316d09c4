//! What an engine wants decoded, told by the network's card to `ingest::pixels`.

/// Which frames of an instance are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameSelection {
    /// Every frame.
    All,
    /// These frames, counted from 0.
    These(Vec<u32>),
    /// At most so many, spread evenly over the instance.
    Spread(u32),
}

impl FrameSelection {
    /// The frames meant, counted from 0, out of an instance with `frame_count`; absent frames are left out.
    pub fn of(&self, frame_count: u32) -> Vec<u32> {
        match self {
            Self::All => (0..frame_count).collect(),
            Self::These(frames) => frames.iter().copied().filter(|frame| *frame < frame_count).collect(),
            Self::Spread(most) if *most >= frame_count => (0..frame_count).collect(),
            Self::Spread(most) => (0..*most)
                .map(|index| (u64::from(index) * u64::from(frame_count) / u64::from(*most)) as u32)
                .collect(),
        }
    }
}

/// Frames, and the least size at which they are still useful: a decoder that can
/// leave out resolution levels may do so down to that size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeRequest {
    /// Which frames.
    pub frames: FrameSelection,
    /// The least rows and columns that serve; `None` asks for full size.
    pub least_size: Option<(u32, u32)>,
}

impl DecodeRequest {
    /// Every frame at full size.
    pub fn everything() -> Self {
        Self { frames: FrameSelection::All, least_size: None }
    }

    /// One frame at full size, counted from 0.
    pub fn frame(index: u32) -> Self {
        Self { frames: FrameSelection::These(vec![index]), least_size: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_takes_frames_from_the_whole_instance() {
        assert_eq!(FrameSelection::Spread(4).of(100), [0, 25, 50, 75]);
        assert_eq!(FrameSelection::Spread(4).of(2), [0, 1]);
    }

    #[test]
    fn an_absent_frame_is_left_out() {
        assert_eq!(FrameSelection::These(vec![0, 7]).of(3), [0]);
    }
}
