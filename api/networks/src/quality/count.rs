//! Statistics from samples: pure, and silent where a number would be about a person.

use std::collections::BTreeMap;

use models::{Card, stability_index};
use serde::Serialize;
use storage::records::network::quality::{Said, Sample};
use utoipa::ToSchema;

/// Outside a clinic, a count below it might be about somebody.
const SMALL: usize = 5;

/// How a network does where it runs, by its primary label.
///
/// Drift is that of scores, of the images' brightness and of abstentions by their reasons.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QualityView {
    /// The network's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The label that is looked at.
    pub label: String,
    /// Whether over all clinics; then counts below 5, and shares made of them, are null.
    pub everywhere: bool,
    /// How many images are what the network began with.
    pub first_images: usize,
    /// Over the newest images.
    pub overall: GroupView,
    /// By clinic.
    pub by_clinic: Vec<GroupView>,
    /// By manufacturer and model, else by modality.
    pub by_device: Vec<GroupView>,
    /// By the patient's age at the study.
    pub by_age: Vec<GroupView>,
    /// How many groups are left out because they are too small to be shown outside their clinic.
    pub hidden_groups: usize,
}

/// Some of a network's newest images; null is what is not known, or is too small to be shown.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupView {
    /// Which.
    pub group: String,
    /// How many, scored or not.
    pub images: usize,
    /// How often the network would not look, by reason.
    pub abstentions: Vec<AbstentionView>,
    /// Share of the images at which it would not look, 0.0 to 1.0.
    pub abstention_rate: Option<f64>,
    /// The same of the first images.
    pub first_abstention_rate: Option<f64>,
    /// Images that are called positive.
    pub positive: Option<usize>,
    /// Share of the scored images that are, 0.0 to 1.0.
    pub positive_rate: Option<f64>,
    /// Images whose label a physician has judged.
    pub reviewed: Option<usize>,
    /// Of those, images at which the physician agrees.
    pub agreed: Option<usize>,
    /// Share of the reviews that agree, 0.0 to 1.0.
    pub agreement: Option<f64>,
    /// The mean probability.
    pub mean_score: Option<f64>,
    /// That of the first images.
    pub first_mean_score: Option<f64>,
    /// Population stability index of the probabilities against those of the first images: below 0.1 nothing has
    /// changed, from 0.25 on somebody should look. Null below 50 scores on either side.
    pub score_drift: Option<f64>,
    /// The mean brightness of what the network was shown, 0.0 to 1.0.
    pub mean_brightness: Option<f64>,
    /// That of the first images.
    pub first_mean_brightness: Option<f64>,
    /// The same index of the images' brightness.
    pub brightness_drift: Option<f64>,
}

/// How often a network would not look, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AbstentionView {
    /// The stable code.
    pub code: String,
    /// How often.
    pub images: Option<usize>,
}

impl QualityView {
    /// The statistics of one version: `newest` images beside those that it read first.
    pub(crate) fn of(card: &Card, everywhere: bool, first: &[Sample], newest: &[Sample]) -> Self {
        let mut hidden_groups = 0;
        let mut by = |key: fn(&Sample) -> String| {
            let mut groups: BTreeMap<String, [Vec<&Sample>; 2]> = BTreeMap::new();
            for (side, samples) in [first, newest].into_iter().enumerate() {
                for sample in samples {
                    groups.entry(key(sample)).or_default()[side].push(sample);
                }
            }
            groups.retain(|_, [_, newest]| !newest.is_empty());
            let all = groups.len();
            if everywhere {
                groups.retain(|_, [_, newest]| newest.len() >= SMALL);
            }
            hidden_groups += all - groups.len();
            let view = |(group, [first, newest]): (String, [Vec<&Sample>; 2])| {
                GroupView::of(group, everywhere, &first, &newest)
            };
            groups.into_iter().map(view).collect()
        };
        let by_clinic = by(|sample| sample.clinic_id.to_string());
        let by_device = by(device);
        let by_age = by(|sample| age_band(sample).to_owned());
        let (every_first, every_newest): (Vec<&Sample>, Vec<&Sample>) =
            (first.iter().collect(), newest.iter().collect());
        Self {
            name: card.name.clone(),
            version: card.version.clone(),
            label: card.texts.label.clone(),
            everywhere,
            first_images: first.len(),
            overall: GroupView::of("all".to_owned(), everywhere, &every_first, &every_newest),
            by_clinic,
            by_device,
            by_age,
            hidden_groups,
        }
    }
}

impl GroupView {
    fn of(group: String, everywhere: bool, first: &[&Sample], newest: &[&Sample]) -> Self {
        let is_shown = |count: usize| !everywhere || count == 0 || count >= SMALL;
        let shown = |count: usize| is_shown(count).then_some(count);
        // A share with a small rest tells the rest.
        let share = |part: usize, whole: usize| {
            (whole > 0 && is_shown(part) && is_shown(whole - part)).then(|| part as f64 / whole as f64)
        };
        let (said, said_first) = (said(newest), said(first));
        let positive = said.iter().filter(|said| said.is_positive()).count();
        let judged: Vec<(bool, bool)> =
            said.iter().filter_map(|said| Some((said.is_positive(), said.is_present()?))).collect();
        let agreed = judged.iter().filter(|(called, is_so)| called == is_so).count();
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for code in newest.iter().filter_map(|sample| sample.abstention_code.as_deref()) {
            *reasons.entry(code).or_default() += 1;
        }
        let (scores, scores_first) = (scores(&said), scores(&said_first));
        let (bright, bright_first) = (brightness(newest), brightness(first));
        let mean = |scores: &[f64]| {
            let sum: f64 = scores.iter().sum();
            (!scores.is_empty() && is_shown(scores.len())).then(|| sum / scores.len() as f64)
        };
        Self {
            group,
            images: newest.len(),
            abstention_rate: share(abstained(newest), newest.len()),
            first_abstention_rate: share(abstained(first), first.len()),
            abstentions: reasons
                .into_iter()
                .map(|(code, images)| AbstentionView { code: code.to_owned(), images: shown(images) })
                .collect(),
            positive: shown(positive),
            positive_rate: share(positive, said.len()),
            reviewed: shown(judged.len()),
            agreed: shown(agreed).filter(|_| is_shown(judged.len() - agreed)),
            agreement: share(agreed, judged.len()),
            mean_score: mean(&scores),
            first_mean_score: mean(&scores_first),
            score_drift: stability_index(&scores_first, &scores),
            mean_brightness: mean(&bright),
            first_mean_brightness: mean(&bright_first),
            brightness_drift: stability_index(&bright_first, &bright),
        }
    }
}

fn said(samples: &[&Sample]) -> Vec<Said> {
    samples.iter().filter_map(|sample| sample.said).collect()
}

fn scores(said: &[Said]) -> Vec<f64> {
    said.iter().map(|said| said.probability).collect()
}

fn brightness(samples: &[&Sample]) -> Vec<f64> {
    samples.iter().filter_map(|sample| sample.brightness).collect()
}

fn abstained(samples: &[&Sample]) -> usize {
    samples.iter().filter(|sample| sample.abstention_code.is_some()).count()
}

/// What made the image, as well as it is known.
fn device(sample: &Sample) -> String {
    let known: Vec<&str> =
        [&sample.manufacturer, &sample.model].into_iter().flatten().map(String::as_str).collect();
    match (known.is_empty(), &sample.modality) {
        (false, _) => known.join(" "),
        (true, Some(modality)) => modality.clone(),
        (true, None) => "unknown".to_owned(),
    }
}

/// How old the patient was, in bands of which none is one person.
fn age_band(sample: &Sample) -> &'static str {
    let day = |text: &Option<String>| -> Option<u32> {
        let digits: String = text.as_ref()?.chars().filter(char::is_ascii_digit).take(8).collect();
        (digits.len() == 8).then(|| digits.parse().ok())?
    };
    let (Some(born), Some(studied)) = (day(&sample.birth_date), day(&sample.study_date)) else {
        return "unknown";
    };
    // As yyyymmdd the difference of two days has the whole years before its last four digits.
    match studied.checked_sub(born).map(|difference| difference / 10_000) {
        None => "unknown",
        Some(0..=4) => "0-4",
        Some(5..=17) => "5-17",
        Some(18..=39) => "18-39",
        Some(40..=64) => "40-64",
        Some(_) => "65+",
    }
}

#[cfg(test)]
mod tests {
    use clinical::id::{ClinicId, PatientId};
    use clinical::imaging::ReviewState::{self, Accepted, Open, Rejected};
    use models::Registry;

    use super::*;

    fn sample(probability: f64, review_state: ReviewState) -> Sample {
        Sample {
            clinic_id: ClinicId::DEFAULT,
            patient_id: PatientId::new(),
            birth_date: Some("20200115".into()),
            study_date: Some("20260114".into()),
            modality: Some("CR".into()),
            manufacturer: Some("Maker".into()),
            model: Some("One".into()),
            brightness: Some(0.5),
            abstention_code: None,
            said: Some(Said { probability, threshold: Some(0.5), review_state }),
        }
    }

    fn view(everywhere: bool, first: &[Sample], newest: &[Sample]) -> QualityView {
        QualityView::of(Registry::built_in().get("pneumonia28").unwrap(), everywhere, first, newest)
    }

    /// By hand: two of four called positive, two of three reviews agree, one of five abstained.
    #[test]
    fn shares_are_those_of_reviews_scores_and_images() {
        let refused =
            Sample { said: None, abstention_code: Some("poor-quality".into()), ..sample(0.0, Open) };
        let newest = [
            sample(0.875, Accepted),
            sample(0.75, Rejected),
            sample(0.125, Accepted),
            sample(0.25, Open),
            refused,
        ];
        let all = view(false, &[], &newest).overall;
        assert_eq!((all.images, all.positive, all.positive_rate), (5, Some(2), Some(0.5)));
        assert_eq!((all.reviewed, all.agreed, all.agreement), (Some(3), Some(2), Some(2.0 / 3.0)));
        assert_eq!((all.abstention_rate, all.abstentions[0].images), (Some(0.2), Some(1)));
        assert_eq!((all.mean_score, all.score_drift), (Some(0.5), None));
    }

    #[test]
    fn outside_the_clinic_small_counts_and_what_tells_them_are_hidden() {
        let mut newest: Vec<Sample> = (0..20).map(|_| sample(0.9, Accepted)).collect();
        newest.extend((0..4).map(|_| sample(0.1, Rejected)));
        newest.push(Sample { manufacturer: Some("Rare".into()), ..sample(0.9, Open) });
        let outside = view(true, &[], &newest);
        assert_eq!((outside.hidden_groups, outside.by_device.len()), (1, 1));
        let all = &outside.overall;
        assert_eq!((all.reviewed, all.agreed, all.agreement), (Some(24), None, None), "four disagree");
        assert_eq!(all.positive_rate, None, "four are negative");
        let inside = view(false, &[], &newest);
        assert_eq!((inside.hidden_groups, inside.by_device.len()), (0, 2));
        assert_eq!(inside.overall.agreed, Some(20));
    }

    #[test]
    fn groups_are_clinics_devices_and_ages() {
        let born = |birth: &str| Sample { birth_date: Some(birth.into()), ..sample(0.5, Open) };
        let nameless = Sample { manufacturer: None, model: None, ..sample(0.5, Open) };
        // Born on the 15th of January, studied on the 14th: five years old, not six.
        let newest = [sample(0.5, Open), born("20210115"), born("1950-01-01"), born("?"), nameless];
        let found = view(false, &[], &newest);
        let names = |groups: &[GroupView]| groups.iter().map(|it| it.group.clone()).collect::<Vec<_>>();
        assert_eq!(names(&found.by_age), ["0-4", "5-17", "65+", "unknown"]);
        assert_eq!(names(&found.by_device), ["CR", "Maker One"]);
        assert_eq!(names(&found.by_clinic), [ClinicId::DEFAULT.to_string()]);
    }

    #[test]
    fn scores_that_have_moved_are_told_by_their_index() {
        let first: Vec<Sample> = (0..60).map(|_| sample(0.15, Open)).collect();
        let newest: Vec<Sample> = (0..60).map(|_| sample(0.85, Open)).collect();
        assert!(view(true, &first, &newest).overall.score_drift.is_some_and(|index| index > 0.25));
        assert_eq!(view(true, &first, &first).overall.score_drift, Some(0.0));
    }

    #[test]
    fn images_that_have_become_darker_are_told_by_their_index_though_the_scores_stay() {
        let first: Vec<Sample> = (0..60).map(|_| sample(0.15, Open)).collect();
        let darker = |sample: &Sample| Sample { brightness: Some(0.25), ..sample.clone() };
        let mut newest: Vec<Sample> = first.iter().map(darker).collect();
        newest.push(Sample { brightness: None, ..sample(0.15, Open) });
        let all = view(true, &first, &newest).overall;
        assert!(all.brightness_drift.is_some_and(|index| index > 0.25));
        assert_eq!((all.mean_brightness, all.first_mean_brightness), (Some(0.25), Some(0.5)));
        assert!(all.score_drift.is_some_and(|index| index < 0.01));
    }
}
