//! What is kept and what is cleaned: the profile's options.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An option of the Basic Profile (PS3.15, section E.3). Dates are [`Dates`], pixels are [`BurnedIn`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileOption {
    /// Retain UIDs (E.3.9): they are not replaced.
    Uids,
    /// Retain Device Identity (E.3.8).
    Device,
    /// Retain Institution Identity (E.3.11).
    Institution,
    /// Retain Patient Characteristics (E.3.7): sex, age, size, weight …
    PatientCharacteristics,
    /// Retain Safe Private (E.3.10): the private attributes of table E.3.10-1.
    SafePrivate,
    /// Clean Descriptors (E.3.5): words of a list that name nobody stay.
    Descriptors,
    /// Clean Structured Content (E.3.4): the content tree stays, its texts and names do not.
    StructuredContent,
    /// Clean Graphics (E.3.3): graphic annotations stay without their texts; overlays and curves do not stay.
    Graphics,
}

/// How the passing of time is told (PS3.15, section E.3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dates {
    /// Not at all.
    #[default]
    Removed,
    /// All dates of a patient are moved by as many whole days; times of day stay (Modified Dates).
    Modified,
    /// As it was (Full Dates).
    Full,
}

/// What becomes of an image that is said to show who the patient is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BurnedIn {
    /// It is refused.
    #[default]
    Refused,
    /// It passes, and the report names it.
    Flagged,
}

/// The Basic Profile with its options; the default has none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Profile {
    /// What is kept or cleaned that the Basic Profile removes.
    pub options: BTreeSet<ProfileOption>,
    /// What becomes of dates.
    pub dates: Dates,
    /// What becomes of images that show the patient's identity.
    pub burned_in: BurnedIn,
}

/// Why a word is no option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an option is uids, device, institution, patient-characteristics, safe-private, descriptors, \
     structured-content, graphics, full-dates or modified-dates"
)]
pub struct ProfileError;

const NAMES: [(&str, ProfileOption); 8] = [
    ("uids", ProfileOption::Uids),
    ("device", ProfileOption::Device),
    ("institution", ProfileOption::Institution),
    ("patient-characteristics", ProfileOption::PatientCharacteristics),
    ("safe-private", ProfileOption::SafePrivate),
    ("descriptors", ProfileOption::Descriptors),
    ("structured-content", ProfileOption::StructuredContent),
    ("graphics", ProfileOption::Graphics),
];

impl Profile {
    /// Whether the option is chosen.
    pub fn has(&self, option: ProfileOption) -> bool {
        self.options.contains(&option)
    }

    /// Chooses the option that `word` names; `full-dates` and `modified-dates` are options too.
    ///
    /// # Errors
    ///
    /// [`ProfileError`] where it names none.
    pub fn choose(&mut self, word: &str) -> Result<(), ProfileError> {
        match word {
            "full-dates" => self.dates = Dates::Full,
            "modified-dates" => self.dates = Dates::Modified,
            word => {
                self.options.insert(word.parse()?);
            }
        }
        Ok(())
    }

    /// The codes that say what was done (PS3.16, CID 7050), with their meanings; the scheme is DCM.
    ///
    /// Clean Pixel Data (113101) is never among them: pixels are looked at by no one here.
    pub fn codes(&self) -> Vec<(&'static str, &'static str)> {
        let mut codes = vec![("113100", "Basic Application Confidentiality Profile")];
        codes.extend(self.options.iter().map(|option| match option {
            ProfileOption::Graphics => ("113103", "Clean Graphics Option"),
            ProfileOption::StructuredContent => ("113104", "Clean Structured Content Option"),
            ProfileOption::Descriptors => ("113105", "Clean Descriptors Option"),
            ProfileOption::PatientCharacteristics => ("113108", "Retain Patient Characteristics Option"),
            ProfileOption::Device => ("113109", "Retain Device Identity Option"),
            ProfileOption::Uids => ("113110", "Retain UIDs Option"),
            ProfileOption::SafePrivate => ("113111", "Retain Safe Private Option"),
            ProfileOption::Institution => ("113112", "Retain Institution Identity Option"),
        }));
        match self.dates {
            Dates::Removed => {}
            Dates::Full => {
                codes.push(("113106", "Retain Longitudinal Temporal Information Full Dates Option"));
            }
            Dates::Modified => {
                codes.push(("113107", "Retain Longitudinal Temporal Information Modified Dates Option"));
            }
        }
        codes.sort_unstable();
        codes
    }
}

impl FromStr for ProfileOption {
    type Err = ProfileError;

    fn from_str(word: &str) -> Result<Self, ProfileError> {
        NAMES.iter().find(|(name, _)| *name == word).map(|(_, option)| *option).ok_or(ProfileError)
    }
}

impl fmt::Display for ProfileOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, option)| option == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_reads_as_it_is_written() {
        let mut profile = Profile::default();
        for (word, _) in NAMES {
            profile.choose(word).unwrap();
            assert_eq!(word.parse::<ProfileOption>().unwrap().to_string(), word);
        }
        profile.choose("modified-dates").unwrap();
        let text = serde_json::to_string(&profile).unwrap();
        assert_eq!(serde_json::from_str::<Profile>(&text).unwrap(), profile);
        assert_eq!(serde_json::from_str::<Profile>("{}").unwrap(), Profile::default());
        assert!(profile.choose("everything").is_err());
        assert!(serde_json::from_str::<Profile>(r#"{"retain":[]}"#).is_err());
    }

    /// PS3.16, CID 7050: 113100 for the profile, one of 113103 to 113112 for each option.
    #[test]
    fn every_option_has_its_code() {
        let all = Profile {
            options: NAMES.into_iter().map(|(_, option)| option).collect(),
            dates: Dates::Full,
            burned_in: BurnedIn::Refused,
        };
        let codes: Vec<_> = all.codes().into_iter().map(|(code, _)| code).collect();
        let expected = [
            "113100", "113103", "113104", "113105", "113106", "113108", "113109", "113110", "113111",
            "113112",
        ];
        assert_eq!(codes, expected);
        assert_eq!(Profile::default().codes().len(), 1);
    }
}
