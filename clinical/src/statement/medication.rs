//! A medicine that somebody takes, took or will take.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::{in_order, past_day};
use crate::coding::Coding;
use crate::invalid::{Invalid, invalid, line, note, optional_line};

/// That a medicine is, was or will be taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Medication {
    /// The medicine.
    pub coding: Coding,
    /// Whether it is taken.
    #[serde(default)]
    pub status: MedicationStatus,
    /// How it is taken, in words.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(max_length = 500))]
    pub dosage: Option<String>,
    /// How much at a time.
    #[serde(default)]
    pub dose: Option<Dose>,
    /// By which way it enters the body.
    #[serde(default)]
    pub route: Option<Coding>,
    /// What it is taken for.
    #[serde(default)]
    pub reason: Option<Coding>,
    /// Since when.
    #[serde(default)]
    pub started_on: Option<NaiveDate>,
    /// Until when; it may lie ahead.
    #[serde(default)]
    pub ended_on: Option<NaiveDate>,
    /// What else is to be said.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(max_length = 4000))]
    pub note: Option<String>,
}

impl Medication {
    pub(super) fn check_at(&self, now: DateTime<Utc>) -> Result<(), Invalid> {
        self.coding.check()?;
        optional_line("dosage", self.dosage.as_ref(), 500)?;
        if let Some(dose) = &self.dose {
            dose.check()?;
        }
        for coding in [&self.route, &self.reason].into_iter().flatten() {
            coding.check()?;
        }
        if self.status != MedicationStatus::Intended {
            past_day("startedOn", self.started_on, now)?;
        }
        in_order("endedOn", self.started_on, self.ended_on)?;
        let is_over = matches!(self.status, MedicationStatus::Completed | MedicationStatus::Stopped);
        if is_over {
            past_day("endedOn", self.ended_on, now)?;
        }
        note("note", self.note.as_ref())
    }
}

/// How much of a medicine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dose {
    /// The amount, above 0.
    pub value: f64,
    /// The unit, as UCUM writes it.
    pub unit: String,
}

impl Dose {
    fn check(&self) -> Result<(), Invalid> {
        if !(self.value > 0.0 && self.value <= 1e6) {
            return Err(invalid("dose.value", "is above 0 and at most 1,000,000"));
        }
        line("dose.unit", &self.unit, 32)?;
        let is_ucum = self.unit.bytes().all(|byte| byte.is_ascii_graphic());
        if is_ucum { Ok(()) } else { Err(invalid("dose.unit", "is a unit as UCUM writes it")) }
    }
}

/// FHIR's `MedicationStatement.status`, but for what was entered in error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are FHIR's codes")]
pub enum MedicationStatus {
    #[default]
    Active,
    Completed,
    Intended,
    Stopped,
    OnHold,
    Unknown,
    NotTaken,
}

#[cfg(test)]
mod tests {
    use super::super::tests::{day, now};
    use super::*;

    fn taken() -> Medication {
        let text = r#"{"coding": {"system": "http://www.whocc.no/atc", "code": "J01CA04", "display": "amoxicillin"},
                       "dose": {"value": 500, "unit": "mg"}}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn only_what_is_intended_begins_in_the_future() {
        let later = Medication { started_on: day("2027-01-01"), ..taken() };
        assert_eq!(later.check_at(now()).unwrap_err().member, "startedOn");
        let intended = Medication { status: MedicationStatus::Intended, ..later };
        assert_eq!(intended.check_at(now()), Ok(()));
        let stopped =
            Medication { status: MedicationStatus::Stopped, ended_on: day("2027-01-01"), ..taken() };
        assert_eq!(stopped.check_at(now()).unwrap_err().member, "endedOn");
    }

    #[test]
    fn a_dose_is_an_amount_with_its_unit() {
        assert_eq!(taken().check_at(now()), Ok(()));
        for (value, unit) in
            [(0.0, "mg"), (-1.0, "mg"), (f64::NAN, "mg"), (1e7, "mg"), (1.0, ""), (1.0, "m g")]
        {
            let dose = Some(Dose { value, unit: unit.to_owned() });
            assert!(Medication { dose, ..taken() }.check_at(now()).is_err(), "{value} {unit}");
        }
    }
}
