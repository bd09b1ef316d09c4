//! Calibration anew, from what physicians said of a network's findings.
//!
//! A quarter of the patients is held out, always the same: the new curve counts only where it is nearer to the
//! physicians' word on images that it was not fitted on.

use sha2::{Digest, Sha256};

use crate::output::{Calibration, Platt};
use crate::{Card, Label, Quality, State, Task};

/// The nearest to 0 and to 1 at which a probability still has log-odds; as for images.
const EDGE: f64 = 1e-7;
/// Newton's steps; a handful is enough for two numbers.
const STEPS: usize = 100;
/// Bins of the expected calibration error (Guo et al., 2017, have 15; reviews are fewer than their images).
const BINS: usize = 10;
/// The fewest images of each kind, fitted on and held out: below it neither says anything.
const LEAST_OF_A_KIND: usize = 5;

/// An image whose primary label a physician has judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Whose image it is, as bytes that stay the same.
    pub patient: Vec<u8>,
    /// What the card as it is said, 0.0 to 1.0.
    pub probability: f64,
    /// Whether the physician says that the label is there.
    pub is_present: bool,
}

/// How near probabilities are to what is so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearness {
    /// The mean of `-ln` of the probability that was given to what is so; 0 is best.
    pub log_loss: f64,
    /// Expected calibration error over ten bins of one width, 0.0 to 1.0; 0 is best.
    pub ece: f64,
}

/// A calibration that is nearer to the physicians' word than that of the card.
#[derive(Debug, Clone, PartialEq)]
pub struct Refit {
    /// The new numbers.
    pub calibration: Calibration,
    /// Images that it was fitted on.
    pub fitted_on: usize,
    /// Images that it was tried on.
    pub held_out: usize,
    /// The card's own numbers on those.
    pub before: Nearness,
    /// The new ones on the same.
    pub after: Nearness,
}

/// Why a card keeps its calibration.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CalibrateError {
    /// The network gives no probability for an image as a whole.
    #[error("a {0} network has no probability of the whole image to set right")]
    Task(&'static str),
    /// One label's probability does not tell the raw answers of more than two classes.
    #[error("a temperature over {0} classes cannot be found from reviews of one label")]
    ManyClasses(usize),
    /// Fewer images were judged than are asked for.
    #[error("{found} images were reviewed, at least {least} are needed")]
    TooFew {
        /// So many were.
        found: usize,
        /// So many are asked for.
        least: usize,
    },
    /// Hardly any image has the label, or hardly any has not.
    #[error(
        "of the reviewed images too few {}: {least} are needed to fit on, and {least} of other patients to check",
        if *is_present { "have the label" } else { "are without the label" }
    )]
    OneSided {
        /// Whether those with the label are missing.
        is_present: bool,
        /// So many are needed on each side.
        least: usize,
    },
    /// By the reviews a higher probability means fewer images with the label.
    #[error("by the reviews the label is rarer the surer the network is: no calibration mends that")]
    Backwards,
    /// The new numbers are not nearer on the images that were held out.
    #[error(
        "on {held_out} held-out images the new calibration is not better: log loss {:.4} before, {:.4} after, \
         calibration error {:.4} before, {:.4} after",
        before.log_loss, after.log_loss, before.ece, after.ece
    )]
    NoBetter {
        /// So many were held out.
        held_out: usize,
        /// The card's own numbers.
        before: Nearness,
        /// The new ones.
        after: Nearness,
    },
}

impl CalibrateError {
    /// The stable code of the problem.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Task(_) | Self::ManyClasses(_) => "calibration-unfit",
            Self::TooFew { .. } | Self::OneSided { .. } => "too-few-reviews",
            Self::Backwards => "calibration-backwards",
            Self::NoBetter { .. } => "calibration-no-better",
        }
    }
}

impl Refit {
    /// Fits the card's temperature, or Platt's curve where it has none, to what physicians said of its primary label.
    ///
    /// # Errors
    ///
    /// [`CalibrateError`], where the card keeps what it has.
    pub fn of(card: &Card, judged: &[Judged], least: usize) -> Result<Self, CalibrateError> {
        if !card.task.is_of_whole_images() {
            return Err(CalibrateError::Task(card.task.as_str()));
        }
        let classes = card.outputs.classes.len();
        let has_temperature = matches!(card.calibration, Some(Calibration::Temperature(_)));
        if has_temperature && card.task != Task::MultiLabel && classes > 2 {
            return Err(CalibrateError::ManyClasses(classes));
        }
        if judged.len() < least {
            return Err(CalibrateError::TooFew { found: judged.len(), least });
        }
        let (held_out, fitted_on): (Vec<&Judged>, Vec<&Judged>) =
            judged.iter().partition(|judged| is_held_out(&judged.patient));
        for part in [&held_out, &fitted_on] {
            for is_present in [true, false] {
                if part.iter().filter(|judged| judged.is_present == is_present).count() < LEAST_OF_A_KIND {
                    return Err(CalibrateError::OneSided { is_present, least: LEAST_OF_A_KIND });
                }
            }
        }
        let raw = |judged: &&Judged| (raw(card.calibration, judged.probability), judged.is_present);
        let points: Vec<(f64, bool)> = fitted_on.iter().map(raw).collect();
        let calibration = if has_temperature { temperature(&points) } else { platt(&points) }?;
        let is_so = |judged: &&Judged, probability: f64| (probability, judged.is_present);
        let nearness = |by: &dyn Fn(&Judged) -> f64| {
            nearness(&held_out.iter().map(|judged| is_so(judged, by(judged))).collect::<Vec<_>>())
        };
        let before = nearness(&|judged| judged.probability);
        let after = nearness(&|judged| moved(card.calibration, calibration, judged.probability));
        let (fitted_on, held_out) = (fitted_on.len(), held_out.len());
        if after.log_loss >= before.log_loss || after.ece >= before.ece {
            return Err(CalibrateError::NoBetter { held_out, before, after });
        }
        Ok(Self { calibration, fitted_on, held_out, before, after })
    }

    /// The card with the new numbers, as a draft under another version.
    ///
    /// The thresholds of the labels whose probabilities change move along, so that the same images are called positive
    /// as before, and what was measured at them still holds; calibration errors of other numbers are left out.
    pub fn card(&self, card: &Card, version: &str) -> Card {
        let to = |threshold: f32| moved(card.calibration, self.calibration, f64::from(threshold)) as f32;
        let changes = |code: &String| match self.calibration {
            Calibration::Temperature(_) => true,
            Calibration::Platt(_) => *code == card.texts.label,
        };
        let label = |label: &Label| match changes(&label.code) {
            true => Label { threshold: label.threshold.map(to), ..label.clone() },
            false => label.clone(),
        };
        let measured = |quality: &Quality| match changes(&quality.label) {
            true => {
                Quality { threshold: quality.threshold.map(to), brier: None, ece: None, ..quality.clone() }
            }
            false => quality.clone(),
        };
        let mut quality: Vec<Quality> = card.quality.iter().map(measured).collect();
        quality.push(Quality {
            data:
                "images reviewed where the network runs, of patients that the calibration was not fitted on"
                    .into(),
            images: u32::try_from(self.held_out).unwrap_or(u32::MAX),
            label: card.texts.label.clone(),
            threshold: None,
            auc: None,
            auc_ci95: None,
            accuracy: None,
            sensitivity: None,
            specificity: None,
            brier: None,
            ece: Some(self.after.ece as f32),
        });
        Card {
            version: version.to_owned(),
            state: State::Draft,
            calibration: Some(self.calibration),
            labels: card.labels.iter().map(label).collect(),
            quality,
            ..card.clone()
        }
    }
}

/// The version that a card with another calibration gets, counted from 1.
pub fn calibrated_version(version: &str, number: usize) -> String {
    let base = version.split("-calibrated.").next().unwrap_or(version);
    format!("{base}-calibrated.{number}")
}

/// A quarter of the patients, whoever asks and whenever.
fn is_held_out(patient: &[u8]) -> bool {
    Sha256::digest(patient).first().is_some_and(|byte| byte % 4 == 0)
}

/// A probability as another calibration would have given it.
fn moved(from: Option<Calibration>, to: Calibration, probability: f64) -> f64 {
    let raw = raw(from, probability);
    match to {
        Calibration::Temperature(by) => sigmoid(raw / f64::from(by)),
        Calibration::Platt(Platt { a, b }) => sigmoid(-(f64::from(a) * raw + f64::from(b))),
    }
}

/// The log-odds from which a calibration made a probability.
fn raw(by: Option<Calibration>, probability: f64) -> f64 {
    let log_odds = log_odds(probability);
    match by {
        None => log_odds,
        Some(Calibration::Temperature(by)) => log_odds * f64::from(by),
        Some(Calibration::Platt(Platt { a, b })) => -(log_odds + f64::from(b)) / f64::from(a),
    }
}

/// Platt's curve by Newton's method, towards his own targets, which never are 0 or 1 (Platt, 1999, section 2.2).
fn platt(points: &[(f64, bool)]) -> Result<Calibration, CalibrateError> {
    let present = points.iter().filter(|(_, is_present)| *is_present).count() as f64;
    let absent = points.len() as f64 - present;
    let (high, low) = ((present + 1.0) / (present + 2.0), 1.0 / (absent + 2.0));
    let target = |is_present: bool| if is_present { high } else { low };
    let loss = |a: f64, b: f64| -> f64 {
        points.iter().map(|&(raw, is_present)| cross_entropy(-(a * raw + b), target(is_present))).sum()
    };
    let (mut a, mut b) = (0.0, ((absent + 1.0) / (present + 1.0)).ln());
    for _ in 0..STEPS {
        let (mut by_a, mut by_b, mut aa, mut ab, mut bb) = (0.0, 0.0, 1e-12, 0.0, 1e-12);
        for &(raw, is_present) in points {
            let found = sigmoid(-(a * raw + b));
            let (off, weight) = (target(is_present) - found, found * (1.0 - found));
            by_a += off * raw;
            by_b += off;
            aa += weight * raw * raw;
            ab += weight * raw;
            bb += weight;
        }
        let determinant: f64 = aa * bb - ab * ab;
        if determinant <= 0.0 || by_a.abs().max(by_b.abs()) < 1e-9 {
            break;
        }
        let (step_a, step_b) = ((bb * by_a - ab * by_b) / determinant, (aa * by_b - ab * by_a) / determinant);
        let Some(size) = halved(loss(a, b), |size| loss(a - size * step_a, b - size * step_b)) else { break };
        (a, b) = (a - size * step_a, b - size * step_b);
    }
    let (a, b) = (a as f32, b as f32);
    if a.is_finite() && b.is_finite() && a < 0.0 {
        return Ok(Calibration::Platt(Platt { a, b }));
    }
    Err(CalibrateError::Backwards)
}

/// The temperature of the least log loss, by Newton's method on its inverse.
fn temperature(points: &[(f64, bool)]) -> Result<Calibration, CalibrateError> {
    let target = |is_present: bool| f64::from(u8::from(is_present));
    let loss = |inverse: f64| -> f64 {
        points.iter().map(|&(raw, is_present)| cross_entropy(inverse * raw, target(is_present))).sum()
    };
    let mut inverse = 1.0;
    for _ in 0..STEPS {
        let (mut slope, mut bend) = (0.0, 1e-12);
        for &(raw, is_present) in points {
            let found = sigmoid(inverse * raw);
            slope += (found - target(is_present)) * raw;
            bend += found * (1.0 - found) * raw * raw;
        }
        if slope.abs() < 1e-9 {
            break;
        }
        let step = slope / bend;
        let Some(size) = halved(loss(inverse), |size| loss(inverse - size * step)) else { break };
        inverse -= size * step;
    }
    let temperature = (1.0 / inverse) as f32;
    if temperature.is_finite() && temperature > 0.0 {
        return Ok(Calibration::Temperature(temperature));
    }
    Err(CalibrateError::Backwards)
}

/// The first of 1, 1/2, 1/4 … of a step that lowers the loss; `None` where none does.
fn halved(now: f64, then: impl Fn(f64) -> f64) -> Option<f64> {
    (0..40).map(|halving| 0.5_f64.powi(halving)).find(|size| then(*size) < now)
}

/// `-t ln p - (1 - t) ln (1 - p)` of a probability given by its log-odds, without overflow.
fn cross_entropy(log_odds: f64, target: f64) -> f64 {
    log_odds.max(0.0) - target * log_odds + (-log_odds.abs()).exp().ln_1p()
}

fn nearness(given: &[(f64, bool)]) -> Nearness {
    let mut bins = [(0.0, 0.0); BINS];
    let mut log_loss = 0.0;
    for &(probability, is_present) in given {
        let truth = f64::from(u8::from(is_present));
        log_loss += cross_entropy(log_odds(probability), truth);
        let bin = ((probability * BINS as f64) as usize).min(BINS - 1);
        bins[bin].0 += probability;
        bins[bin].1 += truth;
    }
    let count = given.len().max(1) as f64;
    let apart: f64 = bins.iter().map(|(said, so)| (said - so).abs()).sum();
    Nearness { log_loss: log_loss / count, ece: apart / count }
}

fn sigmoid(value: f64) -> f64 {
    1.0 / (1.0 + (-value).exp())
}

fn log_odds(probability: f64) -> f64 {
    let probability = probability.clamp(EDGE, 1.0 - EDGE);
    (probability / (1.0 - probability)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Registry;

    /// Forty raw answers, of which twenty have the label: the surer, the likelier, with exceptions.
    fn points() -> Vec<(f64, bool)> {
        (0..40).map(|i| ((f64::from(i) - 20.0) / 5.0, f64::from((i * 7) % 20) < f64::from(i) / 2.0)).collect()
    }

    /// A network that is three times as sure as it may be, over so many patients.
    fn oversure(count: u32) -> Vec<Judged> {
        let judged = |i: u32| {
            let raw = (f64::from(i % 41) - 20.0) / 5.0;
            let chance = (f64::from(i) * 0.618_033_988_75).fract();
            Judged {
                patient: i.to_le_bytes().to_vec(),
                probability: sigmoid(3.0 * raw),
                is_present: chance < sigmoid(raw),
            }
        };
        (0..count).map(judged).collect()
    }

    fn card(calibration: Option<Calibration>) -> Card {
        Card { calibration, ..Registry::built_in().get("pneumonia28").unwrap().clone() }
    }

    fn multi_label(calibration: Option<Calibration>) -> Card {
        Card { task: Task::MultiLabel, ..card(calibration) }
    }

    /// scikit-learn, `calibration._sigmoid_calibration(raw, present)`: (-0.31602490584825055, -0.03160249130033956).
    #[test]
    fn platts_curve_is_that_of_scikit_learn() {
        let Ok(Calibration::Platt(Platt { a, b })) = platt(&points()) else { panic!("a curve") };
        assert!((a - -0.316_024_9).abs() < 1e-4 && (b - -0.031_602_49).abs() < 1e-4, "{a} {b}");
    }

    /// scipy, `minimize_scalar(lambda t: log_loss(present, expit(raw / t)))`: 2.832602940022062.
    #[test]
    fn the_temperature_is_that_of_the_least_log_loss() {
        let Ok(Calibration::Temperature(found)) = temperature(&points()) else { panic!("a temperature") };
        assert!((found - 2.832_603).abs() < 1e-4, "{found}");
    }

    /// scikit-learn, `metrics.log_loss`: 0.7714603337244293; numpy, over ten bins: 0.21506783247614347.
    #[test]
    fn nearness_is_log_loss_and_calibration_error() {
        let given: Vec<(f64, bool)> =
            points().into_iter().map(|(raw, is_present)| (sigmoid(raw), is_present)).collect();
        let found = nearness(&given);
        assert!((found.log_loss - 0.771_460_333_724_429_3).abs() < 1e-9, "{found:?}");
        assert!((found.ece - 0.215_067_832_476_143_47).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn a_network_that_is_too_sure_is_set_right_on_patients_it_was_not_fitted_on() {
        let refit = Refit::of(&card(None), &oversure(400), 200).unwrap();
        let Calibration::Platt(Platt { a, b }) = refit.calibration else { panic!("{refit:?}") };
        assert!((a - -1.0 / 3.0).abs() < 0.05 && b.abs() < 0.3, "{a} {b}");
        assert!(refit.after.log_loss < refit.before.log_loss && refit.after.ece < refit.before.ece);
        assert_eq!(refit.fitted_on + refit.held_out, 400);
        assert_eq!(
            Refit::of(&card(None), &oversure(400), 200),
            Ok(refit.clone()),
            "nothing is left to chance"
        );
        let by_temperature = multi_label(Some(Calibration::Temperature(1.0)));
        let refit = Refit::of(&by_temperature, &oversure(400), 200).unwrap();
        let Calibration::Temperature(found) = refit.calibration else { panic!("{refit:?}") };
        assert!((found - 3.0).abs() < 0.5, "{found}");
    }

    #[test]
    fn a_second_fit_of_what_is_right_changes_nothing() {
        let first = Refit::of(&card(None), &oversure(400), 200).unwrap();
        let right: Vec<Judged> = oversure(400)
            .into_iter()
            .map(|judged| Judged {
                probability: moved(None, first.calibration, judged.probability),
                ..judged
            })
            .collect();
        let again = Refit::of(&card(Some(first.calibration)), &right, 200);
        assert!(matches!(again, Err(CalibrateError::NoBetter { .. })), "{again:?}");
    }

    #[test]
    fn too_few_one_sided_and_contrary_reviews_change_nothing() {
        let few = Refit::of(&card(None), &oversure(199), 200);
        assert_eq!(few, Err(CalibrateError::TooFew { found: 199, least: 200 }));
        let all_present =
            oversure(400).into_iter().map(|judged| Judged { is_present: true, ..judged }).collect();
        let one_sided = |judged: Vec<Judged>| Refit::of(&card(None), &judged, 200).unwrap_err().code();
        assert_eq!(one_sided(all_present), "too-few-reviews");
        let contrary: Vec<Judged> = oversure(400)
            .into_iter()
            .map(|judged| Judged { probability: 1.0 - judged.probability, ..judged })
            .collect();
        assert_eq!(Refit::of(&card(None), &contrary, 200), Err(CalibrateError::Backwards));
        let many = Card { task: Task::Classification, ..card(Some(Calibration::Temperature(2.0))) };
        let of_three = Refit::of(&many, &oversure(400), 200);
        let classes = many.outputs.classes.len();
        assert_eq!(of_three.is_err(), classes > 2, "{of_three:?}");
        let mask = Card { task: Task::Segmentation, ..card(None) };
        assert_eq!(Refit::of(&mask, &oversure(400), 200), Err(CalibrateError::Task("segmentation")));
    }

    /// By hand: Platt's curve with a = -1/2, b = 0 makes log-odds of ln 9 into ln 3: 0.9 becomes 0.75.
    #[test]
    fn thresholds_move_with_the_probabilities_and_the_card_reads_back_as_a_draft() {
        let old = card(None);
        let calibration = Calibration::Platt(Platt { a: -0.5, b: 0.0 });
        assert!((moved(None, calibration, 0.9) - 0.75).abs() < 1e-6);
        assert!((raw(Some(calibration), 0.75) - 9.0_f64.ln()).abs() < 1e-6);
        let nearness = Nearness { log_loss: 0.5, ece: 0.125 };
        let refit = Refit { calibration, fitted_on: 300, held_out: 100, before: nearness, after: nearness };
        let mut skewed = old.clone();
        skewed.labels[0].threshold = Some(0.9);
        let new = refit.card(&skewed, &calibrated_version(&old.version, 1));
        assert!((new.labels[0].threshold.unwrap() - 0.75).abs() < 1e-6);
        assert_eq!((new.sha256.as_str(), new.state), (old.sha256.as_str(), State::Draft));
        assert_eq!(new.version, "1.0.0-calibrated.1");
        assert_eq!(calibrated_version(&new.version, 2), "1.0.0-calibrated.2");
        assert_eq!(new.quality.last().and_then(|quality| quality.ece), Some(0.125));
        let text = toml::to_string_pretty(&new).unwrap();
        assert_eq!(Card::parse(&text).unwrap(), new);
    }

    /// Physicians judge the primary label: what they say of it says nothing of the others.
    #[test]
    fn platts_curve_moves_the_primary_labels_thresholds_and_no_others() {
        let mut old = multi_label(None);
        let other = Label { code: "other".to_owned(), threshold: Some(0.3), ..old.labels[0].clone() };
        old.labels[0].threshold = Some(0.9);
        old.labels.push(other.clone());
        let measured = |label: &str| Quality {
            label: label.to_owned(),
            threshold: Some(0.9),
            ece: Some(0.25),
            ..old.quality[0].clone()
        };
        old.quality = vec![measured("pneumonia"), measured("other")];
        let nearness = Nearness { log_loss: 0.5, ece: 0.125 };
        let refit = |calibration| {
            let refit =
                Refit { calibration, fitted_on: 300, held_out: 100, before: nearness, after: nearness };
            refit.card(&old, "2")
        };
        let by_platt = refit(Calibration::Platt(Platt { a: -0.5, b: 0.0 }));
        assert!((by_platt.labels[0].threshold.unwrap() - 0.75).abs() < 1e-6);
        assert_eq!((&by_platt.labels[1], &by_platt.quality[1]), (&other, &old.quality[1]));
        assert_eq!(by_platt.quality[0].ece, None);
        let by_temperature = refit(Calibration::Temperature(2.0));
        assert!(by_temperature.labels[1].threshold.unwrap() > 0.35, "it is of all classes");
    }
}
