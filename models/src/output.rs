//! What a network gives back, and how it is set right.

use serde::{Deserialize, Serialize};

/// What makes probabilities of a network's raw answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// Over all classes: together 1.
    Softmax,
    /// Of each class alone.
    Sigmoid,
}

/// The tensors a network gives back, by their names in the ONNX graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outputs {
    /// Probabilities, `[1, classes]`; either these or `logits`.
    pub probabilities: Option<String>,
    /// Raw answers, `[1, classes]`, that `activation` makes probabilities of.
    pub logits: Option<String>,
    /// What makes probabilities of `logits`, or of a `mask` that holds raw answers.
    pub activation: Option<Activation>,
    /// What each probability stands for, in order.
    pub classes: Vec<String>,
    /// Class activation maps, `[1, classes, rows, columns]`.
    pub cam: Option<String>,
    /// The image as the network sees it, `[1, length]`; told, and not read.
    pub embedding: Option<String>,
    /// The last maps before the answer, `[1, channels, rows, columns]`; told, and not read.
    pub features: Option<String>,
    /// One probability a class and pixel, `[1, classes, rows, columns]` or `[1, classes, slices, rows, columns]`.
    pub mask: Option<String>,
    /// Boxes, `[1, boxes, 4]`: left, top, right, bottom in pixels of the input.
    pub boxes: Option<String>,
    /// A probability a box and class, `[1, boxes, classes]`.
    pub scores: Option<String>,
}

impl Outputs {
    /// The tensor with the answer itself: probabilities, logits, mask, or the boxes' scores.
    ///
    /// Empty only for outputs that [`crate::Card::parse`] would have refused.
    pub fn answer(&self) -> &str {
        [&self.probabilities, &self.logits, &self.mask, &self.scores]
            .into_iter()
            .find_map(Option::as_deref)
            .unwrap_or_default()
    }

    /// Every tensor that the card names, the answer first, each once.
    pub fn named(&self) -> Vec<&str> {
        let mut names = self.read();
        let told = [&self.embedding, &self.features].into_iter().filter_map(Option::as_deref);
        for name in told {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Those that something is made of: all but `embedding` and `features`, which are told and not read.
    pub fn read(&self) -> Vec<&str> {
        let mut names = vec![self.answer()];
        let others = [&self.probabilities, &self.logits, &self.mask, &self.scores, &self.boxes, &self.cam];
        for name in others.into_iter().filter_map(Option::as_deref) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// How probabilities are set right, so that of the images at 70 % seven in ten have the label.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Calibration {
    /// Raw answers are divided by it before the activation (Guo et al., 2017); above 0.
    Temperature(f32),
    /// The primary label's log-odds `f` become `1 / (1 + exp(a f + b))` (Platt, 1999): the label of the card's texts,
    /// which is the one that physicians judge. Other labels stay as they are.
    Platt(Platt),
}

/// The two numbers of Platt's curve; `a` is below 0, for the order stays.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platt {
    /// The slope, below 0; -1 changes nothing.
    pub a: f32,
    /// The offset; 0 changes nothing.
    pub b: f32,
}
