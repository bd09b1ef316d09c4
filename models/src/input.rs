//! What a network takes, and how an image becomes that.

use serde::{Deserialize, Serialize};

/// Which colours a network takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channels {
    /// One channel; colour images become their luma.
    Grey,
    /// Three channels; grey images give each the same.
    Rgb,
}

impl Channels {
    /// How many there are.
    pub fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

/// What is cut away before the image is resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crop {
    /// All but the square in the middle, as large as the shorter side.
    CentreSquare,
    /// Nothing; without `pad` the image is stretched to the network's shape.
    None,
}

/// How the image is brought to the network's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// The mean over the area that each pixel of the input covers.
    Area,
    /// Between the four nearest pixels, pixel centres at half (ONNX Resize `half_pixel`, OpenCV `INTER_LINEAR`).
    Linear,
    /// The pixel that holds the centre of the new one.
    Nearest,
}

/// How finely shades are told apart before the image is resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quantise {
    /// In 256 shades, as in the images the network learned from.
    #[serde(rename = "8-bit")]
    EightBit,
    /// As finely as the image has them.
    #[serde(rename = "none")]
    None,
}

/// How far an image's own look-up tables are followed (PS3.3, C.11.1 and C.11.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Luts {
    /// Modality LUT, then the image's VOI LUT: what a person would see.
    #[default]
    Voi,
    /// Modality LUT only, for CT Hounsfield units.
    Modality,
    /// None: stored values.
    Stored,
}

/// A window of the card's own, in modality units or, with `luts = "stored"`, in stored values.
///
/// Source: PS3.3, C.11.2.1.3.2 (LINEAR_EXACT): black at `center - width / 2`, white at `center + width / 2`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardWindow {
    /// The value that becomes mid-grey.
    pub center: f64,
    /// From black to white; above 0.
    pub width: f64,
}

/// What a network takes, and how an image becomes that.
///
/// In this order: look-up tables, window, shades, crop, resize, value range, mean and standard deviation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The tensor's name in the ONNX graph.
    pub name: String,
    /// Images at once (1), channels, rows, columns; for volumes images, channels, slices, rows, columns.
    pub shape: Vec<usize>,
    /// Which colours.
    pub channels: Channels,
    /// How many shades before resizing.
    pub quantise: Quantise,
    /// Whose look-up tables.
    #[serde(default)]
    pub luts: Luts,
    /// The card's window in place of the image's.
    pub window: Option<CardWindow>,
    /// What is cut away.
    pub crop: Crop,
    /// Whether the image keeps its aspect, in the middle, and black fills the rest.
    #[serde(default)]
    pub pad: bool,
    /// How it is resized.
    pub resize: Resize,
    /// What black and white become; where values are taken as they are, what they are held to.
    pub value_range: [f32; 2],
    /// Taken away from each channel's values, in their units.
    pub mean: Option<Vec<f32>>,
    /// What each channel's values are then divided by.
    pub std: Option<Vec<f32>>,
    /// Of a multi-frame instance at most so many frames are looked at, spread evenly.
    pub frames_at_most: u32,
    /// For volumes: spacing of slices, rows and columns that the network learned from, in millimetres.
    pub spacing_mm: Option<[f32; 3]>,
    /// Whether a decoder may leave out resolution that the network does not see; `resize` is area then, and it was
    /// measured that the same findings come out.
    #[serde(default)]
    pub reduced_decoding: bool,
}

impl Input {
    /// Rows of the network's input.
    pub fn rows(&self) -> usize {
        self.side_from_end(1)
    }

    /// Columns of the network's input.
    pub fn columns(&self) -> usize {
        self.side_from_end(0)
    }

    /// Slices of the network's input; `None` where it takes single images.
    pub fn slices(&self) -> Option<usize> {
        (self.shape.len() == 5).then(|| self.side_from_end(2))
    }

    /// Whether values reach the network in units of the image and not as shades from black to white.
    pub fn is_in_units(&self) -> bool {
        self.luts != Luts::Voi && self.window.is_none()
    }

    /// Mean and standard deviation of a channel; 0 and 1 where the card has none.
    pub fn normalisation(&self, channel: usize) -> (f32, f32) {
        let of = |list: &Option<Vec<f32>>| list.as_ref().and_then(|values| values.get(channel)).copied();
        (of(&self.mean).unwrap_or(0.0), of(&self.std).unwrap_or(1.0))
    }

    fn side_from_end(&self, places: usize) -> usize {
        self.shape.iter().rev().nth(places).copied().unwrap_or(0)
    }
}
