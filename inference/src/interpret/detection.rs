//! Boxes with scores become findings: those that are called present, each once.

use clinical::imaging::{Frame, LabelScore, Region};
use models::{Card, Label};
use ndarray::{ArrayView1, ArrayView2, Axis, Ix2};

use crate::prepare::region_on_frame;
use crate::{InferenceError, Outputs};

/// The most boxes of one instance, of all labels together; the least probable are left out.
pub(crate) const MAX_FINDINGS: usize = 64;
/// So many boxes of a label are looked at, the most probable first.
const MAX_CANDIDATES: usize = 1_000;
/// Two boxes of a label that share more than this part of what they cover together are the same finding.
const SAME: f32 = 0.5;
/// From here on a box of a label without a threshold is shown.
const SHOWN: f32 = 0.5;
/// How far probabilities may be from 0 and 1, for rounding.
const TOLERANCE: f32 = 1e-3;

/// A box over the frame, and how surely it holds a label.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Candidate {
    score: f32,
    region: Region,
}

/// The findings of one frame, by label in the card's order, of each label the most probable first: boxes at or above
/// its threshold, of several over the same place the most probable. A label without such a box has one score, that of
/// its best box, and no region. Of more than [`MAX_FINDINGS`] boxes the least probable are left out, but none that is
/// its label's best.
///
/// # Errors
///
/// [`InferenceError::OutputShape`] where boxes are not `[1, boxes, 4]` and scores not `[1, boxes, classes]`;
/// [`InferenceError::NotProbabilities`].
pub(crate) fn findings(
    card: &Card,
    outputs: &Outputs,
    frame: &Frame,
) -> Result<Vec<LabelScore>, InferenceError> {
    let classes = card.outputs.classes.len();
    let scores = matrix(outputs, card.outputs.scores.as_deref(), classes, None)?;
    let boxes = matrix(outputs, card.outputs.boxes.as_deref(), 4, Some(scores.nrows()))?;
    let is_one = |value: &f32| (-TOLERANCE..=1.0 + TOLERANCE).contains(value);
    if !scores.iter().all(is_one) {
        let name = card.outputs.scores.clone().unwrap_or_default();
        return Err(InferenceError::NotProbabilities(name));
    }
    let size = (frame.index, frame.rows.max(1) as usize, frame.columns.max(1) as usize);
    let region = |corners: ArrayView1<'_, f32>| {
        region_on_frame(&card.input, size, [corners[0], corners[1], corners[2], corners[3]])
    };
    let regions: Vec<Option<Region>> = boxes.rows().into_iter().map(region).collect();
    let mut found = Vec::new();
    for label in &card.labels {
        found.extend(of_label(card, label, scores, &regions, frame.index));
    }
    Ok(most_probable(found))
}

/// The findings with the most probable boxes, in their order, and the first of each label in any case.
fn most_probable(found: Vec<LabelScore>) -> Vec<LabelScore> {
    let mut boxes: Vec<usize> = (0..found.len()).filter(|at| found[*at].region.is_some()).collect();
    if boxes.len() <= MAX_FINDINGS {
        return found;
    }
    boxes.sort_by(|one, other| found[*other].probability.total_cmp(&found[*one].probability));
    let mut stays: Vec<bool> = found.iter().map(|it| it.region.is_none()).collect();
    boxes.iter().take(MAX_FINDINGS).for_each(|at| stays[*at] = true);
    for at in 0..found.len() {
        stays[at] |= at == 0 || found[at - 1].label != found[at].label;
    }
    found.into_iter().zip(stays).filter_map(|(it, stays)| stays.then_some(it)).collect()
}

/// The output as a matrix with so many columns, and rows where they are known.
fn matrix<'a>(
    outputs: &'a Outputs,
    name: Option<&str>,
    columns: usize,
    rows: Option<usize>,
) -> Result<ArrayView2<'a, f32>, InferenceError> {
    let name = name.unwrap_or_default();
    let values = outputs.get(name);
    let fits = |shape: &[usize]| matches!(shape, [1, found, last] if *last == columns && rows.is_none_or(|rows| rows == *found));
    let matrix = values
        .filter(|values| fits(values.shape()))
        .and_then(|values| values.index_axis(Axis(0), 0).into_dimensionality::<Ix2>().ok());
    matrix.ok_or_else(|| InferenceError::OutputShape {
        output: name.to_owned(),
        expected: format!("[1, {}, {columns}]", rows.map_or("boxes".to_owned(), |rows| rows.to_string())),
        found: values.map(|values| values.shape().to_vec()).unwrap_or_default(),
    })
}

fn of_label(
    card: &Card,
    label: &Label,
    scores: ArrayView2<'_, f32>,
    regions: &[Option<Region>],
    frame: u32,
) -> Vec<LabelScore> {
    let own: Vec<usize> = (0..card.outputs.classes.len())
        .filter(|class| label.sum_of.contains(&card.outputs.classes[*class]))
        .collect();
    let mut best = 0.0_f32;
    let mut candidates = Vec::new();
    for (scores, region) in scores.rows().into_iter().zip(regions) {
        let Some(region) = *region else { continue };
        let score = own.iter().map(|class| scores[*class]).fold(0.0, f32::max).clamp(0.0, 1.0);
        best = best.max(score);
        if score >= label.threshold.unwrap_or(SHOWN) {
            candidates.push(Candidate { score, region });
        }
    }
    let said = |probability: f32, region: Option<Region>| LabelScore {
        label: label.code.clone(),
        meaning: label.meaning.clone(),
        probability,
        threshold: label.threshold,
        frame,
        region,
    };
    if candidates.is_empty() {
        return vec![said(best, None)];
    }
    each_once(candidates).into_iter().map(|it| said(it.score, Some(it.region))).collect()
}

/// The most probable of those that lie over each other (non-maximum suppression), the most probable first.
fn each_once(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort_by(|one, other| other.score.total_cmp(&one.score));
    candidates.truncate(MAX_CANDIDATES);
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if kept.len() == MAX_FINDINGS {
            break;
        }
        if kept.iter().all(|it| shared(&it.region, &candidate.region) <= SAME) {
            kept.push(candidate);
        }
    }
    kept
}

/// What two boxes share, as a part of what they cover together.
fn shared(one: &Region, other: &Region) -> f32 {
    let along = |start: f32, length: f32, other_start: f32, other_length: f32| {
        ((start + length).min(other_start + other_length) - start.max(other_start)).max(0.0)
    };
    let both = along(one.left, one.width, other.left, other.width)
        * along(one.top, one.height, other.top, other.height);
    let together = one.width * one.height + other.width * other.height - both;
    if together > 0.0 { both / together } else { 0.0 }
}

/// The findings of several frames together: see [`super::join`].
pub(super) fn join(card: &Card, mut best: Vec<LabelScore>, scores: Vec<LabelScore>) -> Vec<LabelScore> {
    best.extend(scores);
    let mut joined = Vec::new();
    for label in &card.labels {
        let mut own: Vec<LabelScore> = best.iter().filter(|it| it.label == label.code).cloned().collect();
        own.sort_by(|one, other| other.probability.total_cmp(&one.probability));
        if own.iter().any(|it| it.region.is_some()) {
            own.retain(|it| it.region.is_some());
        } else {
            own.truncate(1);
        }
        joined.extend(own);
    }
    most_probable(joined)
}

#[cfg(test)]
mod tests {
    use clinical::imaging::{Photometric, Samples};
    use models::{Crop, Registry, Task};
    use ndarray::{ArrayD, IxDyn};

    use super::*;

    fn card() -> Card {
        let mut card = Registry::built_in().get("pneumonia28").unwrap().clone();
        card.task = Task::Detection;
        card.input.shape = vec![1, 1, 100, 100];
        card.input.crop = Crop::None;
        card.outputs.probabilities = None;
        (card.outputs.boxes, card.outputs.scores) = (Some("boxes".to_owned()), Some("scores".to_owned()));
        card.outputs.classes = ["nodule", "fracture"].map(str::to_owned).to_vec();
        let label = |code: &str| Label {
            code: code.to_owned(),
            meaning: code.to_owned(),
            sum_of: vec![code.to_owned()],
            threshold: Some(0.5),
            chosen_for: None,
            coding: None,
        };
        card.labels = vec![label("nodule"), label("fracture")];
        card
    }

    fn frame(index: u32) -> Frame {
        Frame {
            index,
            rows: 200,
            columns: 400,
            samples_per_pixel: 1,
            bits_stored: 8,
            samples: Samples::U8(Vec::new()),
            photometric: Photometric::Monochrome2,
            modality_lut: None,
            voi_lut: None,
            padding: None,
        }
    }

    fn outputs(found: &[([f32; 4], [f32; 2])]) -> Outputs {
        let boxes = found.iter().flat_map(|(corners, _)| *corners).collect();
        let scores = found.iter().flat_map(|(_, scores)| *scores).collect();
        Outputs::from([
            ("boxes".to_owned(), ArrayD::from_shape_vec(IxDyn(&[1, found.len(), 4]), boxes).unwrap()),
            ("scores".to_owned(), ArrayD::from_shape_vec(IxDyn(&[1, found.len(), 2]), scores).unwrap()),
        ])
    }

    /// By hand: 10 by 10 pixels of the input are a tenth of the frame each way; boxes one pixel apart share 81 of 119.
    #[test]
    fn boxes_over_each_other_are_one_finding_and_others_are_their_own() {
        let found = findings(
            &card(),
            &outputs(&[
                ([11.0, 21.0, 21.0, 31.0], [0.7, 0.1]),
                ([10.0, 20.0, 20.0, 30.0], [0.9, 0.2]),
                ([60.0, 60.0, 70.0, 90.0], [0.6, 0.3]),
            ]),
            &frame(4),
        )
        .unwrap();
        let boxes: Vec<_> = found.iter().map(|it| (it.label.as_str(), it.probability, it.region)).collect();
        let region = |left, top, width, height| Some(Region { frame: 4, left, top, width, height });
        assert_eq!(boxes.len(), 3, "{boxes:?}");
        assert_eq!((boxes[0].0, boxes[0].1), ("nodule", 0.9));
        let near = |one: Option<Region>, other: Option<Region>| {
            let (one, other) = (one.unwrap(), other.unwrap());
            (one.left - other.left).abs() < 1e-6
                && (one.top - other.top).abs() < 1e-6
                && (one.width - other.width).abs() < 1e-6
                && (one.height - other.height).abs() < 1e-6
        };
        assert!(near(boxes[0].2, region(0.1, 0.2, 0.1, 0.1)), "{boxes:?}");
        assert!(near(boxes[1].2, region(0.6, 0.6, 0.1, 0.3)), "{boxes:?}");
        assert_eq!(boxes[2], ("fracture", 0.3, None), "what no box holds is said too");
    }

    #[test]
    fn an_image_without_boxes_has_a_score_of_nothing_for_each_label() {
        let found = findings(&card(), &outputs(&[]), &frame(0)).unwrap();
        assert_eq!(found.iter().map(|it| it.probability).collect::<Vec<_>>(), [0.0, 0.0]);
    }

    #[test]
    fn of_several_frames_every_box_stays_and_the_most_probable_come_first() {
        let one = findings(&card(), &outputs(&[([0.0, 0.0, 9.0, 9.0], [0.6, 0.1])]), &frame(0)).unwrap();
        let other = findings(&card(), &outputs(&[([0.0, 0.0, 9.0, 9.0], [0.8, 0.3])]), &frame(1)).unwrap();
        let joined = super::super::join(&card(), one, other);
        let found: Vec<_> = joined.iter().map(|it| (it.label.as_str(), it.frame, it.probability)).collect();
        assert_eq!(found, [("nodule", 1, 0.8), ("nodule", 0, 0.6), ("fracture", 1, 0.3)]);
    }

    #[test]
    fn a_flood_of_boxes_is_bounded() {
        let many: Vec<_> = (0..5_000)
            .map(|at| {
                let (left, top) = ((at % 100) as f32, (at / 100) as f32 * 2.0);
                ([left, top, left + 1.0, top + 2.0], [0.9, 0.9])
            })
            .collect();
        let one = findings(&card(), &outputs(&many), &frame(0)).unwrap();
        // All are as probable as each other: the nodules come first, and one fracture is told of in any case.
        assert_eq!(one.len(), MAX_FINDINGS + 1);
        assert_eq!(one.last().map(|it| it.label.as_str()), Some("fracture"));
        let other = findings(&card(), &outputs(&many), &frame(1)).unwrap();
        assert_eq!(super::super::join(&card(), one, other).len(), MAX_FINDINGS + 1);
    }

    #[test]
    fn of_too_many_boxes_the_most_probable_of_all_labels_stay() {
        let corners = |at: usize| {
            let (left, top) = ((at % 10 * 10) as f32, (at / 10 * 10) as f32);
            [left, top, left + 9.0, top + 9.0]
        };
        let many: Vec<_> = (0..60)
            .map(|at| (corners(at), if at < 30 { [0.6 + at as f32 * 1e-3, 0.9] } else { [0.6, 0.8] }))
            .collect();
        let found = findings(&card(), &outputs(&many), &frame(0)).unwrap();
        let count = |label: &str| found.iter().filter(|it| it.label == label).count();
        assert_eq!((count("nodule"), count("fracture")), (4, 60), "the fractures are likelier");
        assert_eq!(found[0].probability, 0.629);
    }

    #[test]
    fn what_are_no_boxes_is_refused() {
        let good = outputs(&[([0.0, 0.0, 9.0, 9.0], [0.6, 0.1])]);
        for (name, shape) in
            [("boxes", &[1, 2, 4][..]), ("boxes", &[1, 1, 5]), ("scores", &[1, 1, 3]), ("scores", &[1, 2])]
        {
            let mut bad = good.clone();
            bad.insert(name.to_owned(), ArrayD::zeros(IxDyn(shape)));
            let refused = findings(&card(), &bad, &frame(0));
            assert!(matches!(refused, Err(InferenceError::OutputShape { .. })), "{name} {shape:?}");
        }
        let mut certain = good;
        certain.insert("scores".to_owned(), ArrayD::from_elem(IxDyn(&[1, 1, 2]), 1.5));
        let refused = findings(&card(), &certain, &frame(0));
        assert_eq!(refused, Err(InferenceError::NotProbabilities("scores".to_owned())));
    }
}
