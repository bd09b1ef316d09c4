//! A network's card: one TOML file that says all that is known about it.

use serde::{Deserialize, Serialize};

use crate::EligibilityRules;

/// Whether a network is asked, and who sees its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Runs only when it is asked for by name.
    Draft,
    /// Runs on what it is eligible for; nobody is shown its findings.
    Shadow,
    /// Runs on what it is eligible for, and its findings are shown.
    Active,
    /// Runs no more; kept for the findings it has made.
    Retired,
}

impl State {
    /// The state as it is written and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Shadow => "shadow",
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }
}

/// What kind of answer a network gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// One probability a class, together 1.
    Classification,
}

/// Which colours a network takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channels {
    /// One channel; colour images become their luma.
    Grey,
}

/// What is cut away before the image is resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crop {
    /// All but the square in the middle, as large as the shorter side.
    CentreSquare,
}

/// How the image is brought to the network's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// The mean over the area that each pixel of the input covers.
    Area,
}

/// How finely shades are told apart before the image is resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quantise {
    /// In 256 shades, as in the images the network learned from.
    #[serde(rename = "8-bit")]
    EightBit,
}

/// What a network takes, and how an image becomes that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The tensor's name in the ONNX graph.
    pub name: String,
    /// Images at once, channels, rows, columns.
    pub shape: [usize; 4],
    /// Which colours.
    pub channels: Channels,
    /// How many shades before resizing.
    pub quantise: Quantise,
    /// What is cut away.
    pub crop: Crop,
    /// How it is resized.
    pub resize: Resize,
    /// What black and white become.
    pub value_range: [f32; 2],
    /// Of a multi-frame instance at most so many frames are looked at, spread evenly.
    pub frames_at_most: u32,
}

impl Input {
    /// Rows of the network's input.
    pub fn rows(&self) -> usize {
        self.shape[2]
    }

    /// Columns of the network's input.
    pub fn columns(&self) -> usize {
        self.shape[3]
    }
}

/// The tensors a network gives back, by their names in the ONNX graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outputs {
    /// Calibrated probabilities, `[1, classes]`.
    pub probabilities: String,
    /// What each probability stands for, in order.
    pub classes: Vec<String>,
    /// Class activation maps, `[1, classes, rows, columns]`.
    pub cam: Option<String>,
    /// The image as the network sees it, `[1, length]`.
    pub embedding: Option<String>,
}

/// A code of a published terminology.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coding {
    /// The terminology, `RadLex` or `ICD-10-CM`.
    pub system: String,
    /// Its code.
    pub code: String,
    /// What the terminology calls it.
    pub meaning: String,
}

/// Something the network may see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Stable code, our own.
    pub code: String,
    /// What it means, for people.
    pub meaning: String,
    /// The classes whose probabilities together are the label's.
    pub sum_of: Vec<String>,
    /// At or above it the label counts as present; absent for one that is only shown.
    pub threshold: Option<f32>,
    /// The label in a published terminology, where one has it.
    pub coding: Option<Coding>,
}

/// Sentences for people; `{percent}` stands for the label's probability.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// What was seen.
    pub findings: String,
    /// What to do next.
    pub recommendations: String,
}

/// What is said when the network has looked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// Code of the label that the sentences are about; it has a threshold.
    pub label: String,
    /// When that label is present.
    pub positive: Text,
    /// When it is not.
    pub negative: Text,
}

/// What the network learned from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// The data, in words.
    pub data: String,
    /// Where they were published; this is their credit.
    pub citations: Vec<String>,
    /// Their licence.
    pub licence: String,
}

/// How well the network did on some data; what was not measured is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// The data, in words.
    pub data: String,
    /// How many images.
    pub images: u32,
    /// Code of the label that was measured.
    pub label: String,
    /// The threshold of accuracy, sensitivity and specificity.
    pub threshold: Option<f32>,
    /// Area under the receiver operating characteristic.
    pub auc: Option<f32>,
    /// Its 95 % confidence interval.
    pub auc_ci95: Option<[f32; 2]>,
    /// Share of images called rightly.
    pub accuracy: Option<f32>,
    /// Share of the images with the label that were called so.
    pub sensitivity: Option<f32>,
    /// Share of the images without the label that were called so.
    pub specificity: Option<f32>,
    /// Brier score.
    pub brier: Option<f32>,
    /// Expected calibration error.
    pub ece: Option<f32>,
}

/// All that is known about a network; [`Card::parse`] reads it and sees that its parts fit each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// The form of the card itself; 1.
    pub schema: u32,
    /// Lower-case letters, digits and hyphens.
    pub name: String,
    /// The network's version.
    pub version: String,
    /// SHA-256 of the weights, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Whether it is asked.
    pub state: State,
    /// What kind of answer it gives.
    pub task: Task,
    /// Licence of the weights.
    pub licence: String,
    /// What it is for.
    pub intended_use: String,
    /// What it cannot do.
    pub limits: Vec<String>,
    /// What it takes.
    pub input: Input,
    /// What it gives back.
    pub outputs: Outputs,
    /// What it may see.
    pub labels: Vec<Label>,
    /// What is said about it.
    pub texts: Texts,
    /// For which images it may be asked.
    pub eligibility: EligibilityRules,
    /// What it learned from.
    pub training: Training,
    /// How well it does.
    pub quality: Vec<Quality>,
}

impl Card {
    /// The label that the card's sentences are about; [`Card::parse`] has seen that it is there.
    pub fn primary_label(&self) -> Option<&Label> {
        self.label(&self.texts.label)
    }

    /// The label with this code.
    pub fn label(&self, code: &str) -> Option<&Label> {
        self.labels.iter().find(|label| label.code == code)
    }

    /// Name and version, as people write them: `pneumonia224 1.0.0`.
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}
