//! What a search returns of a patient: of those alone of whom there are images.

use clinical::id::{ClinicId, PatientId};
use uuid::Uuid;

use super::clauses::{Clauses, beginning};
use super::{Condition, Key, Search, in_order, these};
use crate::db::{Conn, FromRow, Result, Row, Statement, built_sql};

/// A patient with what a search returns of them; texts absent in the objects are `None` or empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPatient {
    /// Our identifier.
    pub patient_id: PatientId,
    /// Patient's Name (0010,0010).
    pub patient_name: String,
    /// Patient ID (0010,0020).
    pub mrn: String,
    /// Issuer of Patient ID (0010,0021).
    pub issuer: String,
    /// Patient's Birth Date (0010,0030).
    pub birth_date: Option<String>,
    /// Patient's Sex (0010,0040).
    pub sex: Option<String>,
    /// Number of Patient Related Studies (0020,1200).
    pub study_count: i64,
    /// Number of Patient Related Series (0020,1202).
    pub series_count: i64,
    /// Number of Patient Related Instances (0020,1204).
    pub instance_count: i64,
}

/// The rows of one page: what is counted is counted for it alone; `$1` is the clinic.
const SELECT: &str = "SELECT patients.patient_id, patients.name, patients.mrn, patients.issuer,
           patients.birth_date, patients.sex,
           (SELECT count(*) FROM studies WHERE studies.clinic_id = patients.clinic_id
              AND studies.patient_id = patients.patient_id AND studies.hidden_at IS NULL) AS study_count,
           (SELECT count(*) FROM studies JOIN series ON series.study_id = studies.study_id
             WHERE studies.clinic_id = patients.clinic_id AND studies.patient_id = patients.patient_id
               AND series.hidden_at IS NULL) AS series_count,
           (SELECT count(*) FROM studies JOIN instances ON instances.study_id = studies.study_id
             WHERE studies.clinic_id = patients.clinic_id AND studies.patient_id = patients.patient_id
               AND instances.hidden_at IS NULL) AS instance_count
      FROM patients WHERE patients.clinic_id = $1 AND patients.patient_id IN (";

impl FromRow for FoundPatient {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            patient_id: row.id("patient_id")?,
            patient_name: row.get("name")?,
            mrn: row.get("mrn")?,
            issuer: row.get("issuer")?,
            birth_date: row.get("birth_date")?,
            sex: row.get("sex")?,
            study_count: row.get("study_count")?,
            series_count: row.get("series_count")?,
            instance_count: row.get("instance_count")?,
        })
    }
}

impl FoundPatient {
    /// These patients, in this order, as far as the clinic has them.
    pub async fn of(db: &mut Conn, clinic: ClinicId, ids: &[Uuid]) -> Result<Vec<Self>> {
        let rows = these(SELECT, clinic, ids).fetch_all(db).await?;
        Ok(in_order(ids, rows, |patient: &Self| patient.patient_id.0))
    }
}

impl Search {
    /// The patients that match and have studies: in the order of the name or identifier whose beginning is asked for,
    /// else the last heard of first. Conditions on what stands below a patient are passed over.
    pub(super) fn patients(&self, clinic: ClinicId) -> Statement {
        let text = "SELECT patients.patient_id FROM patients WHERE patients.clinic_id = $1
                       AND EXISTS (SELECT 1 FROM studies WHERE studies.clinic_id = $1
                                      AND studies.patient_id = patients.patient_id
                                      AND studies.hidden_at IS NULL)";
        let mut clauses = Clauses { text: text.to_owned(), values: Vec::new() };
        for (key, condition) in self.conditions.iter().filter(|(key, _)| key.is_of_patient()) {
            clauses.add(*key, condition);
        }
        let veil = self.shown.condition("patients.patient_id", |value| clauses.bind(value));
        clauses.text += &veil;
        let (limit, offset) = (clauses.bind(self.limit), clauses.bind(self.offset));
        let order = match () {
            () if self.has_beginning(Key::PatientName) => "patients.name_key, patients.patient_id",
            () if self.has_beginning(Key::PatientId) => "patients.mrn, patients.patient_id",
            () => "patients.patient_id DESC",
        };
        clauses.text += &format!(" ORDER BY {order} LIMIT {limit} OFFSET {offset}");
        let Clauses { text, values } = clauses;
        values.into_iter().fold(built_sql(text).bind(clinic), Statement::bind)
    }

    /// Whether `key` bounds a stretch of its index.
    fn has_beginning(&self, key: Key) -> bool {
        self.conditions.iter().any(|(it, condition)| {
            *it == key
                && match condition {
                    Condition::Pattern(texts) => texts.len() == 1 && !beginning(&texts[0]).is_empty(),
                    Condition::OneOf(_) => true,
                    _ => false,
                }
        })
    }
}
