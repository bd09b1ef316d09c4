//! The table of the profile, and what it says of an attribute.
//!
//! Source: DICOM PS3.15, table E.1-1. How its file is made stands in `data/make_table.py`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use dicom_core::VR;
use dicom_core::header::Tag;
use dicom_dictionary_std::tags;
use part10::implied_vr;

use crate::{Dates, Profile, ProfileOption};

/// What becomes of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// It stays; the rules go on inside a sequence.
    Keep,
    /// It goes.
    Remove,
    /// It stays without a value.
    Empty,
    /// It gets a value that says nothing; where it came empty, it stays so.
    Dummy,
    /// Its UIDs are replaced; the rules go on inside a sequence.
    Uid,
    /// Its dates are moved, else as the second says.
    Shift(Otherwise),
    /// Of its text, words stay that name nobody; where none is left, as the second says.
    Words(Otherwise),
}

/// What becomes of an attribute that could not be cleaned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Otherwise {
    Remove,
    Empty,
    Dummy,
}

/// The action codes of the Basic Profile, and what each is taken for whichever type the attribute has.
fn basic(code: &str) -> Option<Action> {
    Some(match code {
        "X" => Action::Remove,
        "Z" | "X/Z" => Action::Empty,
        "D" | "Z/D" | "X/D" | "X/Z/D" => Action::Dummy,
        "U" | "X/Z/U*" => Action::Uid,
        _ => return None,
    })
}

/// A row of the table.
#[derive(Debug, Clone, Default)]
struct Row {
    basic: &'static str,
    options: Vec<&'static str>,
}

static TABLE: LazyLock<BTreeMap<Tag, Row>> = LazyLock::new(|| {
    let rows = include_str!("../data/table_e_1_1.txt").lines().filter(|line| !line.starts_with('#'));
    rows.filter_map(|row| {
        let mut columns = row.split(' ');
        let tag = u32::from_str_radix(columns.next()?, 16).ok()?;
        let basic = columns.next()?;
        Some((Tag((tag >> 16) as u16, tag as u16), Row { basic, options: columns.collect() }))
    })
    .collect()
});

/// What becomes of an attribute of the standard that came with the VR `claimed`.
///
/// The dictionary's VR decides; where it would let the value stay, the claimed one has its say too.
pub(crate) fn action(tag: Tag, claimed: VR, profile: &Profile) -> Action {
    let implied = implied_vr(tag);
    match TABLE.get(&tag).map_or_else(|| unlisted(tag, implied, profile), |row| row.action(profile)) {
        Action::Keep if !TABLE.contains_key(&tag) && claimed != VR::UN => unlisted(tag, claimed, profile),
        action => action,
    }
}

impl Row {
    fn has(&self, option: &str) -> bool {
        self.options.contains(&option)
    }

    fn basic(&self) -> Action {
        basic(self.basic).unwrap_or(Action::Remove)
    }

    fn otherwise(&self) -> Otherwise {
        match self.basic() {
            Action::Empty => Otherwise::Empty,
            Action::Dummy => Otherwise::Dummy,
            _ => Otherwise::Remove,
        }
    }

    /// An option's action goes before the profile's, and of two options the one that cleans.
    fn action(&self, profile: &Profile) -> Action {
        use ProfileOption as By;
        let is_date = self.has("dates");
        if is_date && profile.dates == Dates::Modified {
            return Action::Shift(self.otherwise());
        }
        let is_cleaned = (profile.has(By::PatientCharacteristics) && self.has("patient=C"))
            || (profile.has(By::Descriptors) && self.has("descriptors"));
        if is_cleaned {
            return Action::Words(self.otherwise());
        }
        if profile.has(By::Device) && self.has("device=C") {
            return Action::Dummy;
        }
        let is_kept = (is_date && profile.dates == Dates::Full)
            || (profile.has(By::Uids) && self.has("uids=K"))
            || (profile.has(By::Device) && self.has("device=K"))
            || (profile.has(By::Institution) && self.has("institution=K"))
            || (profile.has(By::PatientCharacteristics) && self.has("patient=K"))
            || (profile.has(By::StructuredContent) && self.has("structured"))
            || (profile.has(By::Graphics) && self.has("graphics"));
        if is_kept { Action::Keep } else { self.basic() }
    }
}

/// UIDs of kinds of things and of nothing that somebody made; those of the standard's own root stay wherever they are.
const OF_KINDS: [Tag; 12] = [
    tags::SOP_CLASS_UID,
    tags::RELATED_GENERAL_SOP_CLASS_UID,
    tags::ORIGINAL_SPECIALIZED_SOP_CLASS_UID,
    tags::SOP_CLASSES_IN_STUDY,
    tags::CODING_SCHEME_UID,
    tags::CONTEXT_GROUP_EXTENSION_CREATOR_UID,
    tags::CONTEXT_UID,
    tags::MAPPING_RESOURCE_UID,
    tags::REFERENCED_SOP_CLASS_UID,
    tags::SOP_CLASSES_SUPPORTED,
    tags::CREATOR_VERSION_UID,
    tags::SEGMENTATION_TEMPLATE_UID,
];

/// Attributes that the table does not name: dates by their VR (its note 4), names, UIDs, texts of content items; what
/// nobody knows goes.
fn unlisted(tag: Tag, vr: VR, profile: &Profile) -> Action {
    match (tag, vr) {
        // commands, File Meta Information and directories have no place in a data set; curves and overlays
        (Tag(0x0000 | 0x0002 | 0x0004, _), _) => Action::Remove,
        (Tag(0x5000..=0x50FF | 0x6000..=0x60FF, _), _) => Action::Remove,
        // what signatures were made with; they are gone
        (tags::MAC_PARAMETERS_SEQUENCE, _) => Action::Remove,
        // texts of content items stay only inside content that is kept
        (tags::TEXT_VALUE, _) => Action::Words(Otherwise::Dummy),
        (_, VR::DA | VR::DT | VR::TM) => match profile.dates {
            Dates::Removed => Action::Dummy,
            Dates::Modified => Action::Shift(Otherwise::Dummy),
            Dates::Full => Action::Keep,
        },
        (_, VR::PN) => Action::Dummy,
        (tag, VR::UI) if !profile.has(ProfileOption::Uids) && !OF_KINDS.contains(&tag) => Action::Uid,
        (_, VR::UN) => Action::Remove,
        _ => Action::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Edition 2026c has 655 rows: 652 attributes, curves, overlay data, overlay comments; those of private
    /// attributes are no row of the file.
    #[test]
    fn the_whole_table_is_read_and_every_code_is_known() {
        assert_eq!(TABLE.len(), 652);
        assert!(TABLE.values().all(|row| basic(row.basic).is_some()));
        let known = [
            "uids=K",
            "device=K",
            "device=C",
            "institution=K",
            "patient=K",
            "patient=C",
            "dates",
            "descriptors",
            "structured",
            "graphics",
        ];
        assert!(TABLE.values().flat_map(|row| &row.options).all(|option| known.contains(option)));
    }

    /// Each option changes its own rows alone. The counts are those of the columns of table E.1-1 (2026a); dates and
    /// UIDs have one row less or more where edition 2026c has.
    #[test]
    fn an_option_changes_the_rows_of_its_column() {
        let changed = |words: &[&str]| {
            let mut profile = Profile::default();
            words.iter().for_each(|word| profile.choose(word).unwrap());
            let base = Profile::default();
            TABLE.values().filter(|row| row.action(&profile) != row.action(&base)).count()
        };
        let with = |option: &str| TABLE.values().filter(|row| row.has(option)).count();
        assert_eq!(changed(&["institution"]), 10);
        assert_eq!(changed(&["structured-content"]), 4);
        assert_eq!(changed(&["graphics"]), 1);
        assert_eq!(changed(&["full-dates"]), with("dates"));
        assert_eq!(changed(&["modified-dates"]), with("dates"));
        assert_eq!(changed(&["uids"]), with("uids=K"));
        assert_eq!(changed(&["descriptors"]), with("descriptors"));
        assert_eq!(changed(&["safe-private"]), 0, "private attributes are no rows");
        assert_eq!(with("patient=K") + with("patient=C"), 19);
        // Selector AE Value and Destination AE have a dummy either way
        assert_eq!(changed(&["device"]), with("device=K") + with("device=C") - 2);
    }

    #[test]
    fn of_two_options_the_one_that_cleans_goes_before() {
        let mut profile = Profile::default();
        profile.choose("device").unwrap();
        let calibrated = tags::DATE_OF_LAST_CALIBRATION;
        assert_eq!(action(calibrated, VR::DA, &profile), Action::Keep);
        profile.choose("modified-dates").unwrap();
        assert_eq!(action(calibrated, VR::DA, &profile), Action::Shift(Otherwise::Remove));
    }

    #[test]
    fn what_the_table_does_not_name_is_judged_by_its_vr_in_the_dictionary() {
        let profile = Profile::default();
        assert_eq!(action(tags::ROWS, VR::US, &profile), Action::Keep);
        assert_eq!(action(Tag(0x0008, 0xEEEE), VR::UN, &profile), Action::Remove);
        assert_eq!(action(Tag(0x5002, 0x2500), VR::LO, &profile), Action::Remove);
        assert_eq!(action(Tag(0x6004, 0x3000), VR::OW, &profile), Action::Remove);
        for unknown in [VR::PN, VR::LO, VR::OB, VR::US, VR::SQ] {
            assert_eq!(action(Tag(0x0008, 0xEEEE), unknown, &profile), Action::Remove);
        }
        for claimed in [VR::DA, VR::LO, VR::SH, VR::UN] {
            assert_eq!(action(tags::EXPIRY_DATE, claimed, &profile), Action::Dummy);
        }
        assert_eq!(action(tags::SOP_CLASS_UID, VR::UI, &profile), Action::Keep);
        for claimed in [VR::UI, VR::LO, VR::SH] {
            assert_eq!(action(tags::TARGET_FRAME_OF_REFERENCE_UID, claimed, &profile), Action::Uid);
        }
        assert_eq!(action(tags::MODALITY, VR::PN, &profile), Action::Dummy, "the claimed VR has its say");
    }
}
