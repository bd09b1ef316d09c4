//! From a network's tensors to what they say.

pub(crate) mod classification;
pub(crate) mod detection;
pub(crate) mod segmentation;

use clinical::imaging::{Frame, LabelScore};
use models::{Card, Task};

use crate::{InferenceError, Outputs};

/// What a network says of one frame: at least one score a label, in the card's order.
///
/// # Errors
///
/// [`InferenceError::NotProbabilities`], and [`InferenceError::OutputShape`] for boxes or masks of a shape that says
/// nothing.
pub(crate) fn scores(
    card: &Card,
    outputs: &Outputs,
    frame: &Frame,
) -> Result<Vec<LabelScore>, InferenceError> {
    match card.task {
        Task::Classification | Task::MultiLabel => classification::labels(card, outputs, frame.index),
        Task::Detection => detection::findings(card, outputs, frame),
        // A mask is as large as the frame: none outlives its score.
        Task::Segmentation | Task::Segmentation3d => {
            Ok(segmentation::masks(card, &card.labels, outputs, frame)?
                .map(|mask| mask.score(card))
                .collect())
        }
    }
}

/// What was said of one more frame, joined to what was said of those before it.
///
/// Each label keeps the frame with its highest probability, of equal ones the earlier; of a detection every box that
/// is called present stays, of each label the most probable first, and no more than [`detection::MAX_FINDINGS`] in all.
pub(crate) fn join(card: &Card, best: Vec<LabelScore>, scores: Vec<LabelScore>) -> Vec<LabelScore> {
    if card.task == Task::Detection {
        return detection::join(card, best, scores);
    }
    let higher = |(best, score): (LabelScore, LabelScore)| {
        if score.probability > best.probability { score } else { best }
    };
    best.into_iter().zip(scores).map(higher).collect()
}
