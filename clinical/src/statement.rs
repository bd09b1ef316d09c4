//! What is stated about a patient: allergies, conditions, medication, vital signs.
//!
//! Source: HL7 FHIR R4, `AllergyIntolerance`, `Condition`, `MedicationStatement` and the vital-signs profile of
//! `Observation`; their codes are spelled as there.

mod allergy;
mod condition;
mod medication;
mod vital;

use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

pub use allergy::{
    Allergy, AllergyCategory, AllergyStatus, AllergyType, AllergyVerification, Criticality, Reaction,
    ReactionSeverity,
};
pub use condition::{Condition, ConditionSeverity, ConditionStatus, ConditionVerification};
pub use medication::{Dose, Medication, MedicationStatus};
pub use vital::{BLOOD_PRESSURE, Measurement, Vital};

use crate::coding::Coding;
use crate::id::{PatientId, StatementId};
use crate::invalid::{Invalid, invalid};
use crate::role::Resource;

/// Something that is stated about a patient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fact {
    /// An allergy or intolerance.
    Allergy(Allergy),
    /// A condition.
    Condition(Condition),
    /// A medicine that is, was or will be taken.
    Medication(Medication),
    /// A measured vital sign.
    Vital(Vital),
}

impl Fact {
    /// What it is, as rights name it.
    pub fn kind(&self) -> Resource {
        match self {
            Self::Allergy(_) => Allergy::KIND,
            Self::Condition(_) => Condition::KIND,
            Self::Medication(_) => Medication::KIND,
            Self::Vital(_) => Vital::KIND,
        }
    }

    /// What it is about: the substance, the condition, the medicine, what was measured.
    pub fn coding(&self) -> &Coding {
        match self {
            Self::Allergy(allergy) => &allergy.coding,
            Self::Condition(condition) => &condition.coding,
            Self::Medication(medication) => &medication.coding,
            Self::Vital(vital) => &vital.coding,
        }
    }
}

/// One kind of [`Fact`].
pub trait Stated: Sized {
    /// What it is, as rights name it.
    const KIND: Resource;

    /// Whether it can be stated at `now`.
    ///
    /// # Errors
    ///
    /// [`Invalid`], naming the first member that is not as it must be.
    fn check(&self, now: DateTime<Utc>) -> Result<(), Invalid>;

    /// It as one of all kinds.
    fn into_fact(self) -> Fact;

    /// It again; `None` when the fact is of another kind.
    fn of(fact: Fact) -> Option<Self>;
}

macro_rules! stated {
    ($($name:ident)*) => {$(
        impl Stated for $name {
            const KIND: Resource = Resource::$name;

            fn check(&self, now: DateTime<Utc>) -> Result<(), Invalid> {
                self.check_at(now)
            }

            fn into_fact(self) -> Fact {
                Fact::$name(self)
            }

            fn of(fact: Fact) -> Option<Self> {
                match fact {
                    Fact::$name(it) => Some(it),
                    _ => None,
                }
            }
        }
    )*};
}

stated! { Allergy Condition Medication Vital }

/// A fact with what is known of its stating.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Our identifier.
    pub statement_id: StatementId,
    /// Whom it is about.
    pub patient_id: PatientId,
    /// What is stated.
    pub fact: Fact,
    /// It was never true: somebody made a mistake.
    pub is_entered_in_error: bool,
    /// Who stated it: an identifier, never a name.
    pub recorded_by: String,
    /// When.
    pub recorded_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// Holds a day to the years from 1890 to `now`; a day begins earlier where the sun rises earlier.
fn past_day(member: &'static str, day: Option<NaiveDate>, now: DateTime<Utc>) -> Result<(), Invalid> {
    let Some(day) = day else { return Ok(()) };
    let first = NaiveDate::from_ymd_opt(1890, 1, 1);
    let tomorrow = now.date_naive().checked_add_days(Days::new(1));
    let is_possible = first.is_some_and(|first| day >= first) && tomorrow.is_some_and(|last| day <= last);
    if is_possible { Ok(()) } else { Err(invalid(member, "is a day of the past, not before 1890")) }
}

/// Holds two days to their order.
fn in_order(
    member: &'static str,
    first: Option<NaiveDate>,
    second: Option<NaiveDate>,
) -> Result<(), Invalid> {
    match first.zip(second) {
        Some((first, second)) if second < first => Err(invalid(member, "is not before the beginning")),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn now() -> DateTime<Utc> {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    pub(crate) fn day(text: &str) -> Option<NaiveDate> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_fact_reads_back_as_its_kind() {
        let vital = vital::tests::heart_rate(72.0);
        let fact = vital.clone().into_fact();
        assert_eq!(fact.kind(), Resource::Vital);
        let text = serde_json::to_value(&fact).unwrap();
        assert_eq!(text["kind"], "vital");
        let again: Fact = serde_json::from_value(text).unwrap();
        assert_eq!(again.coding(), &vital.coding);
        assert_eq!(Allergy::of(again.clone()), None);
        assert_eq!(Vital::of(again), Some(vital));
    }

    #[test]
    fn a_day_may_be_tomorrow_in_the_east_and_no_later() {
        assert_eq!(past_day("onsetOn", day("2026-11-22"), now()), Ok(()));
        assert!(past_day("onsetOn", day("2026-11-23"), now()).is_err());
        assert!(past_day("onsetOn", day("1889-12-31"), now()).is_err());
        assert!(in_order("endedOn", day("2026-01-02"), day("2026-01-01")).is_err());
    }
}
