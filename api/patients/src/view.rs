//! A patient as the client application reads and writes them.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, Utc};
use clinical::id::PatientId;
use clinical::person::{Address, Demographics, Identifier, PersonName, Sex};
use serde::{Deserialize, Serialize};
use storage::records::patient::{Patient, Sight};
use utoipa::ToSchema;

/// One patient, in JSON's own spelling.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PatientView {
    /// Our identifier.
    pub id: PatientId,
    /// What they are called.
    pub name: PersonName,
    /// The same as people read it.
    pub display_name: String,
    /// When they were born; `null` where that is unknown or no day.
    pub birth_date: Option<NaiveDate>,
    /// Administrative sex.
    pub sex: Sex,
    /// Telephone number.
    pub phone: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Where they live.
    pub address: Option<Address>,
    /// Every identifier that means them, the one that images carry first.
    pub identifiers: Vec<Identifier>,
    /// Seen by those who treat only after they have broken the glass.
    pub is_restricted: bool,
    /// The record is restricted and its content is not shown here.
    pub is_redacted: bool,
    /// The record that stands for this one.
    pub merged_into: Option<PatientId>,
    /// When its demographics were removed for good.
    pub erased_at: Option<DateTime<Utc>>,
    /// When it was first heard of.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

impl From<Patient> for PatientView {
    fn from(patient: Patient) -> Self {
        let person = patient.demographics;
        Self {
            id: patient.patient_id,
            display_name: person.name.to_text(),
            name: person.name,
            birth_date: person.birth_date,
            sex: person.sex,
            phone: person.phone,
            email: person.email,
            address: person.address,
            identifiers: person.identifiers,
            is_restricted: patient.is_restricted,
            is_redacted: false,
            merged_into: patient.merged_into,
            erased_at: patient.erased_at,
            created_at: patient.created_at,
            updated_at: patient.updated_at,
        }
    }
}

impl PatientView {
    /// The patient as one sees them who sees so much of restricted records, beside those that are `open` to them.
    pub(crate) fn seen(mut patient: Patient, sight: Sight, open: &HashSet<PatientId>) -> Self {
        let is_shown =
            !patient.is_restricted || sight == Sight::Everything || open.contains(&patient.patient_id);
        if !is_shown {
            patient.demographics = Demographics::default();
        }
        Self { is_redacted: !is_shown, ..patient.into() }
    }
}

/// What a client may set of a patient.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PatientRequest {
    /// What they are called: at least a family name or a given name.
    name: PersonName,
    /// When they were born.
    #[serde(default)]
    birth_date: Option<NaiveDate>,
    /// Administrative sex.
    #[serde(default)]
    sex: Sex,
    /// Telephone number.
    #[serde(default)]
    #[schema(
        min_length = 3,
        max_length = 32,
        pattern = "^(?:[+().\\/-][ +().\\/-]*)?[0-9](?:[ +().\\/-]*[0-9]){2,19}(?:[ +().\\/-]*[+().\\/-])?$"
    )]
    phone: Option<String>,
    /// E-mail address.
    #[serde(default)]
    #[schema(
        min_length = 3,
        max_length = 254,
        pattern = "^[^@\\s\\x00-\\x1f\\x7f-\\x9f<>(),;:\\\\\"]+@[^@\\s\\x00-\\x1f\\x7f-\\x9f<>(),;:\\\\\"]+$"
    )]
    email: Option<String>,
    /// Where they live.
    #[serde(default)]
    address: Option<Address>,
    /// Every identifier that means them, the one that images carry first.
    #[serde(default)]
    #[schema(max_items = 20)]
    identifiers: Vec<Identifier>,
    /// Seen by those who treat only after they have broken the glass; the clinic's administrators alone set it.
    #[serde(default)]
    pub(crate) is_restricted: bool,
}

impl PatientRequest {
    pub(crate) fn of(patient: &Patient) -> Self {
        let person = patient.demographics.clone();
        Self {
            name: person.name,
            birth_date: person.birth_date,
            sex: person.sex,
            phone: person.phone,
            email: person.email,
            address: person.address,
            identifiers: person.identifiers,
            is_restricted: patient.is_restricted,
        }
    }

    pub(crate) fn into_demographics(self) -> Demographics {
        Demographics {
            name: self.name,
            birth_date: self.birth_date,
            sex: self.sex,
            phone: self.phone,
            email: self.email,
            address: self.address,
            identifiers: self.identifiers,
        }
    }
}
