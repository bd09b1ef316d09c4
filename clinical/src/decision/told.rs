//! How a symptom or a drug is read: a word, or an object of which nothing is lost.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::presentation::{Drug, FindingState, Severity, Symptom};

/// Members by which others say whether a symptom is there, and which value of theirs says that it is.
const PRESENCE: [(&str, bool); 8] = [
    ("present", true),
    ("isPresent", true),
    ("is_present", true),
    ("absent", false),
    ("isAbsent", false),
    ("is_absent", false),
    ("denied", false),
    ("negated", false),
];

#[derive(Deserialize)]
struct WrittenSymptom {
    #[serde(alias = "finding", alias = "id", alias = "symptom")]
    name: String,
    #[serde(default, deserialize_with = "asked")]
    state: Option<Option<FindingState>>,
    severity: Option<Severity>,
    #[serde(alias = "durationDays", alias = "duration")]
    duration_days: Option<f32>,
    #[serde(flatten)]
    ignored: BTreeMap<String, Value>,
}

/// A state that stands there, and be it null.
fn asked<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<FindingState>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl WrittenSymptom {
    /// Where all that says whether it is there is null, it was asked for, and nobody knows.
    ///
    /// # Errors
    ///
    /// Where two members contradict each other, or one that says whether it is there has no truth value.
    fn read(mut self) -> Result<Symptom, String> {
        let mut state = self.state.flatten();
        let mut is_null = self.state == Some(None);
        for (member, present) in PRESENCE {
            let Some(value) = self.ignored.remove(member) else { continue };
            let told = match value {
                Value::Bool(is) if is == present => FindingState::Present,
                Value::Bool(_) => FindingState::Absent,
                Value::Null => {
                    is_null = true;
                    continue;
                }
                _ => return Err(format!("`{member}` of a symptom is true, false or null")),
            };
            if state.is_some_and(|state| state != told) {
                return Err(format!("`{member}` of a symptom contradicts another of its members"));
            }
            state = Some(told);
        }
        Ok(Symptom::Told {
            name: self.name,
            state: state.unwrap_or(if is_null { FindingState::Unknown } else { FindingState::Present }),
            severity: self.severity,
            duration_days: self.duration_days,
            ignored: self.ignored,
        })
    }
}

#[derive(Deserialize)]
struct WrittenDrug {
    #[serde(alias = "ingredient", alias = "drug")]
    name: String,
    #[serde(alias = "doseMg")]
    dose_mg: Option<f32>,
    #[serde(alias = "timesADay")]
    times_a_day: Option<f32>,
    route: Option<String>,
    #[serde(flatten)]
    ignored: BTreeMap<String, Value>,
}

impl<'de> Deserialize<'de> for Symptom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfSymptom;
        impl<'de> Visitor<'de> for OfSymptom {
            type Value = Symptom;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a symptom: a text, or an object with `name`")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Symptom, E> {
                Ok(Symptom::Word(word.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Symptom, A::Error> {
                WrittenSymptom::deserialize(MapAccessDeserializer::new(map))?.read().map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(OfSymptom)
    }
}

impl<'de> Deserialize<'de> for Drug {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfDrug;
        impl<'de> Visitor<'de> for OfDrug {
            type Value = Drug;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a drug: a text, or an object with `name`")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Drug, E> {
                Ok(Drug::Word(word.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Drug, A::Error> {
                let drug = WrittenDrug::deserialize(MapAccessDeserializer::new(map))?;
                let WrittenDrug { name, dose_mg, times_a_day, route, ignored } = drug;
                Ok(Drug::Told { name, dose_mg, times_a_day, route, ignored })
            }
        }
        deserializer.deserialize_any(OfDrug)
    }
}
