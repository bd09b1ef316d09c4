//! A network's card: one TOML file that says all that is known about it.

use clinical::imaging::NetworkState as State;
use serde::{Deserialize, Serialize};

use crate::{Calibration, EligibilityRules, Input, OutOfDistributionRule, Outputs, Run};

/// What kind of answer a network gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// One probability a class, together 1.
    Classification,
    /// One probability a class, each for itself.
    MultiLabel,
    /// Boxes, each with a probability a class.
    Detection,
    /// One probability a class and pixel.
    Segmentation,
    /// One probability a class and voxel of a series.
    #[serde(rename = "segmentation-3d")]
    Segmentation3d,
}

impl Task {
    /// The task as it is written and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::MultiLabel => "multi-label",
            Self::Detection => "detection",
            Self::Segmentation => "segmentation",
            Self::Segmentation3d => "segmentation-3d",
        }
    }

    /// Whether it gives one probability a class for the whole image, and nothing else has to be made of it.
    pub fn is_of_whole_images(self) -> bool {
        matches!(self, Self::Classification | Self::MultiLabel)
    }
}

/// A code of a published terminology.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coding {
    /// The terminology: `RadLex`, `ICD-10-CM` or `local`.
    pub system: String,
    /// Its code.
    pub code: String,
    /// What the terminology calls it; for `local`, what we mean by it.
    pub meaning: String,
}

/// What a threshold was chosen for, and on which data it was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChosenFor {
    /// Share of the images with the label that are called so at the threshold, 0.0 to 1.0.
    pub sensitivity: f32,
    /// Share of the images without the label that are not called so, 0.0 to 1.0.
    pub specificity: f32,
    /// The data, in words.
    pub data: String,
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
    /// Why the threshold is where it is.
    pub chosen_for: Option<ChosenFor>,
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
    /// The form of the card itself; 2.
    pub schema: u32,
    /// Lower-case letters, digits and hyphens.
    pub name: String,
    /// The network's version.
    pub version: String,
    /// SHA-256 of the weights, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Whether it is asked as long as nobody says otherwise; `draft` where absent.
    #[serde(default)]
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
    /// How it may be run.
    #[serde(default)]
    pub run: Run,
    /// What it gives back.
    pub outputs: Outputs,
    /// How its probabilities are set right; absent where they are right as they come.
    pub calibration: Option<Calibration>,
    /// What it may see.
    pub labels: Vec<Label>,
    /// What is said about it.
    pub texts: Texts,
    /// For which images it may be asked.
    pub eligibility: EligibilityRules,
    /// When an image is too unlike those it learned from; absent where nothing of the kind is known.
    pub out_of_distribution: Option<OutOfDistributionRule>,
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

    /// Every tensor that a network is run for, the answer first, each once.
    pub fn tensors(&self) -> Vec<&str> {
        let mut names = self.outputs.read();
        let distance = self.out_of_distribution.as_ref().map(|rule| rule.output.as_str());
        if let Some(distance) = distance.filter(|name| !names.contains(name)) {
            names.push(distance);
        }
        names
    }

    /// Name and version, as people write them: `pneumonia224 1.0.0`.
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}
