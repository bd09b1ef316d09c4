//! What a clinic may set about de-identifying what comes in, in the words of the profile's options.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Options of the profile; none needs to be named twice.
const OPTIONS: usize = 8;

/// What is done to objects before they are stored.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(
    untagged,
    expecting = "\"off\", or an object of options, dates and burnedIn, in the words of /openapi.json"
)]
pub(crate) enum Deidentify {
    /// Nothing.
    Off(Off),
    /// The Basic Application Level Confidentiality Profile (PS3.15, annex E) with these options.
    Profile(DeidentifyProfile),
}

/// The word for nothing.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Off {
    /// Objects are stored as they come.
    Off,
}

/// The options of the profile; what is left out is as the Basic Profile has it.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DeidentifyProfile {
    /// What is kept or cleaned that the Basic Profile removes.
    #[serde(default)]
    #[schema(max_items = 8)]
    options: Vec<DeidentifyOption>,
    /// How the passing of time is told.
    #[serde(default)]
    dates: DeidentifyDates,
    /// What becomes of images that are said to show who the patient is.
    #[serde(default)]
    burned_in: DeidentifyBurnedIn,
}

/// An option of the profile (PS3.15, section E.3).
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DeidentifyOption {
    /// UIDs are not replaced.
    Uids,
    /// The device stays known.
    Device,
    /// The institution stays known.
    Institution,
    /// Sex, age, size and weight stay.
    PatientCharacteristics,
    /// Private attributes that are known as safe stay.
    SafePrivate,
    /// Of descriptors, words that name nobody stay.
    Descriptors,
    /// The tree of a report stays without its texts and names.
    StructuredContent,
    /// Graphic annotations stay without their texts.
    Graphics,
}

/// Dates in de-identified objects.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DeidentifyDates {
    /// None.
    #[default]
    Removed,
    /// All of a patient are moved by as many whole days.
    Modified,
    /// As they were.
    Full,
}

/// Images that are said to show who the patient is.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DeidentifyBurnedIn {
    /// They are refused.
    #[default]
    Refused,
    /// They pass.
    Flagged,
}

impl Deidentify {
    /// Whether some option is named more than once.
    pub(crate) fn has_too_many(&self) -> bool {
        matches!(self, Self::Profile(profile) if profile.options.len() > OPTIONS)
    }
}
