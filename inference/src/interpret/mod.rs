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
/// [`InferenceError::NotFinite`] for any output with NaN or an infinity, [`InferenceError::NotProbabilities`], and
/// [`InferenceError::OutputShape`] for boxes or masks of a shape that says nothing.
pub(crate) fn scores(
    card: &Card,
    outputs: &Outputs,
    frame: &Frame,
) -> Result<Vec<LabelScore>, InferenceError> {
    match card.task {
        Task::Classification | Task::MultiLabel => classification::labels(card, outputs, frame.index),
        Task::Detection => {
            all_finite(outputs)?;
            detection::findings(card, outputs, frame)
        }
        Task::Segmentation | Task::Segmentation3d => {
            all_finite(outputs)?;
            let masks = segmentation::masks(card, outputs, frame)?;
            Ok(masks.iter().map(|mask| mask.score(card)).collect())
        }
    }
}

/// What was said of one more frame, joined to what was said of those before it.
///
/// Each label keeps the frame with its highest probability, of equal ones the earlier; of a detection every box that
/// is called present stays, the most probable first and no more than [`detection::MAX_FINDINGS`].
pub(crate) fn join(card: &Card, best: Vec<LabelScore>, scores: Vec<LabelScore>) -> Vec<LabelScore> {
    if card.task == Task::Detection {
        return detection::join(card, best, scores);
    }
    let higher = |(best, score): (LabelScore, LabelScore)| {
        if score.probability > best.probability { score } else { best }
    };
    best.into_iter().zip(scores).map(higher).collect()
}

/// `Ok` where every output holds numbers alone.
pub(crate) fn all_finite(outputs: &Outputs) -> Result<(), InferenceError> {
    match outputs.iter().find(|(_, values)| !values.iter().all(|value| value.is_finite())) {
        Some((name, _)) => Err(InferenceError::NotFinite(name.clone())),
        None => Ok(()),
    }
}
