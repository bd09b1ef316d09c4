//! For which images a network may be asked.
//!
//! What a card asks for is needed: an attribute that is missing is not assumed
//! to fit, so the network is not asked. An age alone may be left to the card's
//! out-of-distribution rule, where that was measured to tell ages apart.

use clinical::imaging::{ImageContext, PatientSex};
use serde::{Deserialize, Serialize};

use crate::Card;
use crate::check::{CardError, ensure};

/// Ages in years: `from <= age < below`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgeRange {
    /// The least age.
    pub from: f64,
    /// The first age that is too high.
    pub below: f64,
}

/// Millimetres from one pixel to the next: `from <= spacing <= to`, between rows and between columns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpacingRange {
    /// The finest.
    pub from: f64,
    /// The coarsest.
    pub to: f64,
}

/// A value of Patient's Sex (0010,0040).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sex {
    /// Female.
    F,
    /// Male.
    M,
    /// Other.
    O,
}

/// What a card asks of an image; what it leaves out may be anything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EligibilityRules {
    /// Modality (0008,0060).
    pub modality: Vec<String>,
    /// Body Part Examined (0018,0015).
    pub body_part: Option<Vec<String>>,
    /// View Position (0018,5101).
    pub view: Option<Vec<String>>,
    /// Patient's Age (0010,1010).
    pub age_years: Option<AgeRange>,
    /// Patient's Sex (0010,0040).
    pub sex: Option<Vec<Sex>>,
    /// Photometric Interpretation (0028,0004).
    pub photometric: Option<Vec<String>>,
    /// SOP Class UID (0008,0016).
    pub sop_class: Option<Vec<String>>,
    /// Manufacturer (0008,0070).
    pub manufacturer: Option<Vec<String>>,
    /// Pixel Spacing (0028,0030), else Imager Pixel Spacing (0018,1164).
    pub pixel_spacing_mm: Option<SpacingRange>,
}

impl EligibilityRules {
    /// Refuses rules that no image can meet, and words that are not written as DICOM writes them.
    pub(crate) fn check(&self) -> Result<(), CardError> {
        let lists = [
            ("modality", Some(&self.modality)),
            ("body_part", self.body_part.as_ref()),
            ("view", self.view.as_ref()),
            ("photometric", self.photometric.as_ref()),
            ("sop_class", self.sop_class.as_ref()),
            ("manufacturer", self.manufacturer.as_ref()),
        ];
        for (key, list) in lists {
            let Some(list) = list else { continue };
            let is_upper = |word: &String| !word.is_empty() && *word == word.trim().to_uppercase();
            ensure(
                !list.is_empty() && list.iter().all(is_upper),
                format!("eligibility.{key}"),
                "must be words in upper case, at least one",
            )?;
        }
        ensure(
            self.sex.as_ref().is_none_or(|sexes| !sexes.is_empty()),
            "eligibility.sex",
            "must name at least one; leave it out for any",
        )?;
        ensure(
            self.age_years.is_none_or(|age| age.from >= 0.0 && age.from < age.below && age.below.is_finite()),
            "eligibility.age_years",
            "must go from an age below the one it ends at",
        )?;
        ensure(
            self.pixel_spacing_mm
                .is_none_or(|range| range.from > 0.0 && range.from <= range.to && range.to.is_finite()),
            "eligibility.pixel_spacing_mm",
            "must go from a spacing above 0 to one that is no finer",
        )
    }
}

/// Whether a network may be asked about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Eligibility {
    /// It may.
    Eligible,
    /// It has nothing to do with images of this modality.
    NotForModality,
    /// The modality fits, something else does not or is missing; one sentence each.
    Ineligible {
        /// Name of the attribute, what it is, what the card asks for; never who the patient is.
        reasons: Vec<String>,
    },
}

impl Card {
    /// Whether the network may be asked about an image.
    ///
    /// An image without a modality is ineligible for every network. One without an age is ineligible where the
    /// card asks for one, unless the card's out-of-distribution rule stands in for it.
    pub fn eligibility(&self, image: &ImageContext) -> Eligibility {
        let rules = &self.eligibility;
        if image.modality.as_ref().is_some_and(|modality| !rules.modality.contains(modality)) {
            return Eligibility::NotForModality;
        }
        let distance_decides = self.out_of_distribution.as_ref().is_some_and(|rule| rule.stands_in_for_age);
        let reasons: Vec<String> = [
            word("Modality (0008,0060)", Some(&rules.modality), image.modality.as_ref()),
            word("SOP Class UID (0008,0016)", rules.sop_class.as_ref(), image.sop_class_uid.as_ref()),
            word("Body Part Examined (0018,0015)", rules.body_part.as_ref(), image.body_part.as_ref()),
            word("View Position (0018,5101)", rules.view.as_ref(), image.view_position.as_ref()),
            rules
                .age_years
                .filter(|_| image.age_years.is_some() || !distance_decides)
                .and_then(|range| age(range, image.age_years)),
            rules.sex.as_ref().and_then(|sexes| sex(sexes, image.sex)),
            word("Manufacturer (0008,0070)", rules.manufacturer.as_ref(), image.manufacturer.as_ref()),
            word(
                "Photometric Interpretation (0028,0004)",
                rules.photometric.as_ref(),
                image.photometric_interpretation.as_ref(),
            ),
            rules.pixel_spacing_mm.and_then(|range| spacing(range, image.pixel_spacing_mm)),
        ]
        .into_iter()
        .flatten()
        .collect();
        if reasons.is_empty() { Eligibility::Eligible } else { Eligibility::Ineligible { reasons } }
    }
}

/// What keeps a text from fitting, or `None` if it fits.
fn word(attribute: &str, wanted: Option<&Vec<String>>, found: Option<&String>) -> Option<String> {
    let wanted = wanted?;
    let found = match found {
        Some(found) if wanted.contains(found) => return None,
        Some(found) => format!("is {}", shown(found)),
        None => "is missing".to_owned(),
    };
    Some(format!("{attribute} {found}; the network asks for {}", wanted.join(" or ")))
}

/// The same for an age. From 90 on the age is not told: it would say too much about the patient.
fn age(wanted: AgeRange, found: Option<f64>) -> Option<String> {
    let found = match found {
        Some(years) if years >= wanted.from && years < wanted.below => return None,
        Some(years) if years >= 90.0 => "is 90 years or more".to_owned(),
        Some(years) if years < 2.0 => format!("is {:.0} months", (years * 12.0).floor()),
        Some(years) => format!("is {:.0} years", years.floor()),
        None => "is missing".to_owned(),
    };
    let AgeRange { from, below } = wanted;
    Some(format!("Patient's Age (0010,1010) {found}; the network asks for {from} to under {below} years"))
}

/// The same for the spacing of pixels.
fn spacing(wanted: SpacingRange, found: Option<(f64, f64)>) -> Option<String> {
    let SpacingRange { from, to } = wanted;
    let fits = |spacing: f64| (from..=to).contains(&spacing);
    let found = match found {
        Some((rows, columns)) if fits(rows) && fits(columns) => return None,
        Some((rows, columns)) => format!("is {rows} by {columns} mm"),
        None => "is missing".to_owned(),
    };
    Some(format!("Pixel Spacing (0028,0030) {found}; the network asks for {from} to {to} mm"))
}

/// The same for the sex.
fn sex(wanted: &[Sex], found: Option<PatientSex>) -> Option<String> {
    let found = found.map(|sex| match sex {
        PatientSex::Female => Sex::F,
        PatientSex::Male => Sex::M,
        PatientSex::Other => Sex::O,
    });
    let found = match found {
        Some(sex) if wanted.contains(&sex) => return None,
        Some(sex) => format!("is {sex:?}"),
        None => "is missing".to_owned(),
    };
    let wanted: Vec<String> = wanted.iter().map(|sex| format!("{sex:?}")).collect();
    Some(format!("Patient's Sex (0010,0040) {found}; the network asks for {}", wanted.join(" or ")))
}

/// A text from outside, fit to stand in a sentence: printable, at most 64 characters (the longest LO).
fn shown(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> Card {
        Card::parse(include_str!("../cards/pneumonia224.toml")).unwrap()
    }

    /// A frontal chest radiograph of a three-year-old, as the card's training data had them.
    fn child() -> ImageContext {
        ImageContext {
            modality: Some("CR".to_owned()),
            body_part: Some("CHEST".to_owned()),
            view_position: Some("AP".to_owned()),
            age_years: Some(3.0),
            photometric_interpretation: Some("MONOCHROME2".to_owned()),
            ..ImageContext::default()
        }
    }

    fn reasons(image: &ImageContext) -> Vec<String> {
        match card().eligibility(image) {
            Eligibility::Ineligible { reasons } => reasons,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_child_of_the_training_ages_is_eligible() {
        for age_years in [1.0, 5.99] {
            let image = ImageContext { age_years: Some(age_years), ..child() };
            assert_eq!(card().eligibility(&image), Eligibility::Eligible, "{age_years}");
        }
    }

    #[test]
    fn an_adult_is_told_which_ages_the_network_knows() {
        assert_eq!(
            reasons(&ImageContext { age_years: Some(43.7), ..child() }),
            ["Patient's Age (0010,1010) is 43 years; the network asks for 1 to under 6 years"]
        );
        assert_eq!(reasons(&ImageContext { age_years: Some(6.0), ..child() }).len(), 1, "six is too old");
        assert!(reasons(&ImageContext { age_years: Some(0.99), ..child() })[0].contains("11 months"));
        assert!(reasons(&ImageContext { age_years: Some(97.0), ..child() })[0].contains("90 years or more"));
        assert_eq!(reasons(&ImageContext { age_years: Some(f64::NAN), ..child() }).len(), 1);
    }

    #[test]
    fn a_missing_attribute_is_not_assumed_to_fit() {
        let only_modality = ImageContext { modality: Some("DX".to_owned()), ..ImageContext::default() };
        let reasons = reasons(&only_modality);
        assert_eq!(reasons.len(), 3, "body part, view and photometric interpretation: {reasons:?}");
        assert!(reasons.iter().all(|reason| reason.contains("is missing; the network asks for")));
    }

    #[test]
    fn an_age_that_is_not_told_is_left_to_the_distance_where_the_card_says_so() {
        let ageless = ImageContext { age_years: None, ..child() };
        assert_eq!(card().eligibility(&ageless), Eligibility::Eligible);
        let mut strict = card();
        strict.out_of_distribution.as_mut().unwrap().stands_in_for_age = false;
        let without_rule = Card { out_of_distribution: None, ..card() };
        for card in [strict, without_rule] {
            let Eligibility::Ineligible { reasons } = card.eligibility(&ageless) else {
                panic!("nothing else tells the age")
            };
            assert_eq!(
                reasons,
                ["Patient's Age (0010,1010) is missing; the network asks for 1 to under 6 years"]
            );
        }
    }

    #[test]
    fn another_modality_is_none_of_its_business() {
        let image = ImageContext { modality: Some("MR".to_owned()), ..child() };
        assert_eq!(card().eligibility(&image), Eligibility::NotForModality);
        let none = ImageContext { modality: None, ..child() };
        assert_eq!(reasons(&none), ["Modality (0008,0060) is missing; the network asks for CR or DX"]);
    }

    #[test]
    fn every_reason_is_told_at_once() {
        let image = ImageContext {
            body_part: Some("HAND\u{7}".to_owned()),
            view_position: Some("LL".to_owned()),
            photometric_interpretation: Some("RGB".to_owned()),
            ..child()
        };
        assert_eq!(
            reasons(&image),
            [
                "Body Part Examined (0018,0015) is HAND; the network asks for CHEST",
                "View Position (0018,5101) is LL; the network asks for AP or PA",
                "Photometric Interpretation (0028,0004) is RGB; the network asks for MONOCHROME1 or MONOCHROME2",
            ]
        );
    }

    #[test]
    fn a_card_may_ask_for_manufacturer_spacing_and_sop_class() {
        let mut card = card();
        card.eligibility.manufacturer = Some(vec!["ACME".to_owned()]);
        card.eligibility.sop_class = Some(vec!["1.2.840.10008.5.1.4.1.1.1".to_owned()]);
        card.eligibility.pixel_spacing_mm = Some(SpacingRange { from: 0.1, to: 0.2 });
        let fitting = ImageContext {
            manufacturer: Some("ACME".to_owned()),
            sop_class_uid: Some("1.2.840.10008.5.1.4.1.1.1".to_owned()),
            pixel_spacing_mm: Some((0.1, 0.2)),
            ..child()
        };
        assert_eq!(card.eligibility(&fitting), Eligibility::Eligible);
        let coarse = ImageContext { pixel_spacing_mm: Some((0.1, 0.3)), ..fitting };
        let Eligibility::Ineligible { reasons } = card.eligibility(&coarse) else { panic!("too coarse") };
        assert_eq!(
            reasons,
            ["Pixel Spacing (0028,0030) is 0.1 by 0.3 mm; the network asks for 0.1 to 0.2 mm"]
        );
        let Eligibility::Ineligible { reasons } = card.eligibility(&child()) else { panic!("unknown") };
        assert_eq!(reasons.len(), 3, "{reasons:?}");
    }

    #[test]
    fn a_card_may_ask_for_the_sex() {
        let breast = Card::parse(include_str!("../cards/breast28.toml")).unwrap();
        let woman = ImageContext {
            modality: Some("US".to_owned()),
            body_part: Some("BREAST".to_owned()),
            age_years: Some(50.0),
            sex: Some(PatientSex::Female),
            photometric_interpretation: Some("RGB".to_owned()),
            ..ImageContext::default()
        };
        assert_eq!(breast.eligibility(&woman), Eligibility::Eligible);
        let man = ImageContext { sex: Some(PatientSex::Male), ..woman };
        let Eligibility::Ineligible { reasons } = breast.eligibility(&man) else {
            panic!("a man is not eligible")
        };
        assert_eq!(reasons, ["Patient's Sex (0010,0040) is M; the network asks for F"]);
    }
}
