//! A patient of one clinic: registered by hand, or first heard of from an image.

mod access;
mod change;
mod erase;
mod imaging;
mod keys;
mod list;
mod merge;
#[cfg(test)]
mod tests;

use chrono::{DateTime, NaiveDate, Utc};
use clinical::fhir::PatientRecord;
use clinical::id::{ClinicId, PatientId};
use clinical::person::{Demographics, Identifier, PersonName, Sex};
use clinical::uid::StudyInstanceUid;
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use uuid::Uuid;

pub use self::access::{Access, Grant, Reader, Shown, Sight};
pub(crate) use self::erase::retention_years;
pub use self::erase::{EraseError, Erased};
pub use self::imaging::{studies_of, study};
pub(crate) use self::keys::fill_name_keys;
pub use self::list::PatientFilter;
pub use self::merge::{MergeError, Moved};
use super::clinic::{Clinic, global_settings};
use crate::db::{Conn, DbError, FromRow, Result, Row, Statement, Tx, built_sql, sql};

/// What an object says about its patient; texts decoded and trimmed, empty where absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatientFacts {
    /// Patient ID (0010,0020).
    pub mrn: String,
    /// Issuer of Patient ID (0010,0021).
    pub issuer: String,
    /// Patient's Name (0010,0010).
    pub name: String,
    /// Patient's Birth Date (0010,0030).
    pub birth_date: Option<String>,
    /// Patient's Sex (0010,0040).
    pub sex: Option<String>,
}

/// A stored patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patient {
    /// Our identifier.
    pub patient_id: PatientId,
    /// Who it is.
    pub demographics: Demographics,
    /// Seen by those who treat only after they have broken the glass.
    pub is_restricted: bool,
    /// The record that stands for this one.
    pub merged_into: Option<PatientId>,
    /// When its demographics were removed for good.
    pub erased_at: Option<DateTime<Utc>>,
    /// When it was first heard of.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
    /// Patient's Name (0010,0010) as it stands in the row, whose further component groups nobody may lose.
    name: String,
    /// Patient's Birth Date (0010,0030) as it stands in the row, which need not be a day.
    birth_date: Option<String>,
}

/// One patient with one of their identifiers: a patient of several has several lines.
struct Line {
    patient: Patient,
    identifier: Option<Identifier>,
    /// Whether it is the one that images carry.
    is_first: bool,
}

/// The patients whose rows the clause in the braces chooses come with their identifiers, the latest first.
const LINES: (&str, &str) = (
    "SELECT p.patient_id, p.mrn, p.issuer, p.name, p.birth_date, p.sex, p.phone, p.email, p.address,
            p.is_restricted, p.merged_into, p.erased_at, p.created_at,
            COALESCE(p.updated_at, p.created_at) AS updated_at, i.issuer AS id_issuer, i.value AS id_value
       FROM (SELECT * FROM patients ",
    ") AS p
       LEFT JOIN patient_identifiers AS i
         ON i.clinic_id = p.clinic_id AND i.patient_id = p.patient_id AND i.value IS NOT NULL
      ORDER BY p.patient_id DESC, i.created_at, i.patient_key",
);

impl FromRow for Line {
    fn from_row(row: &Row) -> Result<Self> {
        let (name, birth_date): (String, Option<String>) = (row.get("name")?, row.get("birth_date")?);
        let address: Option<Value> = row.get("address")?;
        let address = address.map(serde_json::from_value).transpose();
        let demographics = Demographics {
            name: PersonName::from_dicom(&name),
            birth_date: birth_date.as_deref().and_then(day_of),
            sex: Sex::from_dicom(row.get::<Option<String>>("sex")?.as_deref()),
            phone: row.get("phone")?,
            email: row.get("email")?,
            address: address.map_err(|_| DbError::Corrupt("patients.address".to_owned()))?,
            identifiers: Vec::new(),
        };
        let (issuer, value): (Option<String>, Option<String>) = (row.get("id_issuer")?, row.get("id_value")?);
        let identifier = value.map(|value| Identifier { issuer: issuer.unwrap_or_default(), value });
        let first = Identifier { issuer: row.get("issuer")?, value: row.get("mrn")? };
        Ok(Self {
            is_first: identifier.as_ref() == Some(&first),
            identifier,
            patient: Patient {
                patient_id: row.id("patient_id")?,
                demographics,
                is_restricted: row.get("is_restricted")?,
                merged_into: row.get::<Option<Uuid>>("merged_into")?.map(PatientId),
                erased_at: row.get("erased_at")?,
                created_at: row.get("created_at")?,
                updated_at: row.get("updated_at")?,
                name,
                birth_date,
            },
        })
    }
}

/// A person name as it is searched: case and the parting of components do not count (PS3.4, C.2.2.2.1).
pub fn name_key(name: &str) -> String {
    name.trim_end_matches(['^', '=', ' ']).to_lowercase()
}

/// A part of a name as it is searched by hand: neither case nor accents count (FHIR R4, section 3.1.1.4.8).
fn part_key(part: &str) -> String {
    part.nfkd().filter(|letter| !is_combining_mark(*letter)).collect::<String>().to_lowercase()
}

/// The words of a person name, all its components and groups, without case and accents.
pub(crate) fn name_words(name: &str) -> Vec<String> {
    let key = part_key(name);
    let parts = key.split([' ', '^', '=', ',', '*', '\\']).filter(|word| !word.is_empty());
    parts.map(str::to_owned).collect()
}

/// A DA value that is a day (PS3.5, table 6.2-1).
pub(crate) fn day_of(text: &str) -> Option<NaiveDate> {
    let is_whole = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_whole.then(|| NaiveDate::parse_from_str(text, "%Y%m%d").ok()).flatten()
}

/// What an identifier is found by.
fn identifier_key(issuer: &str, value: &str) -> String {
    format!("id:{}:{issuer}|{value}", issuer.len())
}

/// The whole number that the clinic has set under `name`, else the service, else `usual`; held to `least` and `most`.
async fn setting(
    db: &mut Conn,
    clinic: ClinicId,
    name: &str,
    usual: i64,
    (least, most): (i64, i64),
) -> Result<i64> {
    let own = Clinic::find(db, clinic).await?.settings;
    let value = match own.get(name).and_then(Value::as_i64) {
        Some(value) => Some(value),
        None => global_settings(db).await?.get(name).and_then(Value::as_i64),
    };
    Ok(value.unwrap_or(usual).clamp(least, most))
}

impl Patient {
    /// Whether anybody has a Patient ID that begins otherwise, or none.
    pub async fn any_beyond(db: &mut Conn, beginning: &str) -> Result<bool> {
        let find = "SELECT patient_id FROM patients WHERE mrn NOT LIKE $1 LIMIT 1";
        let found = sql(find).bind(format!("{beginning}%")).fetch_optional::<uuid::Uuid>(db).await?;
        Ok(found.is_some())
    }

    /// The patient that `facts` mean, made when unknown; a record that was merged leads to the one that stands for it.
    ///
    /// Without a Patient ID nobody can tell whether two studies show the same
    /// person, so each such study has a patient of its own.
    pub async fn ensure(
        db: &mut Tx,
        clinic: ClinicId,
        facts: &PatientFacts,
        study: &StudyInstanceUid,
        now: DateTime<Utc>,
    ) -> Result<PatientId> {
        let key = if facts.mrn.is_empty() {
            format!("study:{study}")
        } else {
            identifier_key(&facts.issuer, &facts.mrn)
        };
        if let Some(known) = Self::by_key(db, clinic, &key).await? {
            return Ok(known);
        }
        let (patient_id, name) = (PatientId::new(), PersonName::from_dicom(&facts.name));
        insert_row(patient_id, clinic, facts, &name, now).defer(db).await?;
        let identifier = (!facts.mrn.is_empty()).then_some((facts.issuer.as_str(), facts.mrn.as_str()));
        let insert =
            "INSERT INTO patient_identifiers (clinic_id, patient_key, patient_id, issuer, value, created_at)
                      VALUES ($1, $2, $3, $4, $5, $6)
                      ON CONFLICT (clinic_id, patient_key) DO NOTHING RETURNING patient_id";
        let made = sql(insert)
            .bind(clinic)
            .bind(&key)
            .bind(patient_id)
            .bind(identifier.map(|(issuer, _)| issuer))
            .bind(identifier.map(|(_, value)| value))
            .bind(now)
            .fetch_optional::<Uuid>(db)
            .await?;
        if made.is_some() {
            return Ok(patient_id);
        }
        // Another transaction has just made them.
        let delete = "DELETE FROM patients WHERE clinic_id = $1 AND patient_id = $2";
        sql(delete).bind(clinic).bind(patient_id).execute(db).await?;
        Self::by_key(db, clinic, &key).await?.ok_or(DbError::NotFound)
    }

    /// Whom a key means; they stay who they are until the transaction ends, so that no merge passes its study by.
    async fn by_key(db: &mut Tx, clinic: ClinicId, key: &str) -> Result<Option<PatientId>> {
        let lock = db.share_lock();
        built_sql(format!(
            "SELECT patient_id FROM patient_identifiers WHERE clinic_id = $1 AND patient_key = $2{lock}"
        ))
        .bind(clinic)
        .bind(key)
        .fetch_optional::<Uuid>(db)
        .await
        .map(|found| found.map(PatientId))
    }

    /// One patient of one clinic; a merged one is shown as it is.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: PatientId) -> Result<Self> {
        let statement = chosen("WHERE clinic_id = $1 AND patient_id = $2").bind(clinic).bind(id);
        Self::all(db, statement).await?.pop().ok_or(DbError::NotFound)
    }

    /// Those of the clinic's patients whose identifiers these are, a few hundred at most; merged ones as they are.
    pub async fn find_all(db: &mut Conn, clinic: ClinicId, ids: &[PatientId]) -> Result<Vec<Self>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<String> = (2..ids.len() + 2).map(|place| format!("${place}")).collect();
        let statement = chosen(&format!("WHERE clinic_id = $1 AND patient_id IN ({})", places.join(", ")));
        Self::all(db, ids.iter().fold(statement.bind(clinic), |statement, id| statement.bind(*id))).await
    }

    /// One patient of one clinic; in place of a merged one the record that stands for it.
    pub async fn survivor(db: &mut Conn, clinic: ClinicId, id: PatientId) -> Result<Self> {
        let found = Self::find(db, clinic, id).await?;
        match found.merged_into {
            None => Ok(found),
            Some(survivor) => Self::find(db, clinic, survivor).await,
        }
    }

    /// One patient, who is changed, merged or erased by no other transaction until this one ends.
    pub async fn hold(db: &mut Tx, clinic: ClinicId, id: PatientId) -> Result<Self> {
        let lock = db.change_lock();
        built_sql(format!("SELECT patient_id FROM patients WHERE clinic_id = $1 AND patient_id = $2{lock}"))
            .bind(clinic)
            .bind(id)
            .fetch_one::<Uuid>(db)
            .await?;
        Self::find(db, clinic, id).await
    }

    /// The rows of a statement that [`chosen`] began.
    async fn all(db: &mut Conn, statement: Statement) -> Result<Vec<Self>> {
        let mut patients: Vec<Self> = Vec::new();
        for line in statement.fetch_all::<Line>(db).await? {
            if patients.last().is_none_or(|last| last.patient_id != line.patient.patient_id) {
                patients.push(line.patient);
            }
            if let (Some(patient), Some(identifier)) = (patients.last_mut(), line.identifier) {
                let place = if line.is_first { 0 } else { patient.demographics.identifiers.len() };
                patient.demographics.identifiers.insert(place, identifier);
            }
        }
        Ok(patients)
    }
}

/// A query of [`Patient::all`] for the rows of `patients` that `clause` chooses.
fn chosen(clause: &str) -> Statement {
    built_sql(format!("{}{clause}{}", LINES.0, LINES.1))
}

fn insert_row(
    patient_id: PatientId,
    clinic: ClinicId,
    facts: &PatientFacts,
    name: &PersonName,
    now: DateTime<Utc>,
) -> Statement {
    let insert =
        "INSERT INTO patients (patient_id, clinic_id, patient_key, mrn, issuer, name, name_key, birth_date,
                                        sex, created_at, updated_at, family_key, given_key)
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, $12)";
    sql(insert)
        .bind(patient_id)
        .bind(clinic)
        .bind(format!("patient:{patient_id}"))
        .bind(&facts.mrn)
        .bind(&facts.issuer)
        .bind(&facts.name)
        .bind(name_key(&facts.name))
        .bind(facts.birth_date.clone())
        .bind(facts.sex.clone())
        .bind(now)
        .bind(part_key(name.family.as_deref().unwrap_or_default()))
        .bind(part_key(name.given.as_deref().unwrap_or_default()))
}

impl<'a> From<&'a Patient> for PatientRecord<'a> {
    fn from(patient: &'a Patient) -> Self {
        Self {
            patient_id: patient.patient_id,
            demographics: &patient.demographics,
            is_restricted: patient.is_restricted,
            merged_into: patient.merged_into,
            is_erased: patient.erased_at.is_some(),
            updated_at: patient.updated_at,
        }
    }
}
