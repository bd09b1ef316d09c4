//! Where in an image something was seen.

use serde::{Deserialize, Serialize};

/// A box over one frame, as parts of its width and height (0.0 to 1.0), so that
/// it holds at whatever size the image is shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Region {
    /// The frame, counted from 0.
    pub frame: u32,
    /// Left edge.
    pub left: f32,
    /// Upper edge.
    pub top: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}
