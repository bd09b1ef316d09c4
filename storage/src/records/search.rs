//! Searching the three levels of imaging by what QIDO-RS asks (PS3.18, section 10.6).
//!
//! A statement is put together from the fixed fragments of this file; every value is bound.

mod found;
#[cfg(test)]
mod tests;

use clinical::id::ClinicId;
use clinical::uid::{SeriesInstanceUid, StudyInstanceUid};

pub use self::found::{FoundInstance, FoundSeries, FoundStudy};
use super::patient::{Shown, name_key};
use crate::db::{Statement, Value, built_sql};

/// An attribute by which can be searched; the keywords of PS3.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the standard's keywords")]
pub enum Key {
    StudyDate,
    StudyTime,
    AccessionNumber,
    ModalitiesInStudy,
    ReferringPhysicianName,
    PatientName,
    PatientId,
    IssuerOfPatientId,
    PatientBirthDate,
    PatientSex,
    StudyInstanceUid,
    StudyId,
    StudyDescription,
    Modality,
    SeriesInstanceUid,
    SeriesNumber,
    SeriesDescription,
    BodyPartExamined,
    PerformedProcedureStepStartDate,
    PerformedProcedureStepStartTime,
    SopClassUid,
    SopInstanceUid,
    InstanceNumber,
}

impl Key {
    fn column(self) -> &'static str {
        match self {
            Self::StudyDate => "studies.study_date",
            Self::StudyTime => "studies.study_time",
            Self::AccessionNumber => "studies.accession_number",
            Self::ModalitiesInStudy => "any_series.modality",
            Self::ReferringPhysicianName => "studies.referring_key",
            Self::PatientName => "patients.name_key",
            Self::PatientId => "patients.mrn",
            Self::IssuerOfPatientId => "patients.issuer",
            Self::PatientBirthDate => "patients.birth_date",
            Self::PatientSex => "patients.sex",
            Self::StudyInstanceUid => "studies.study_uid",
            Self::StudyId => "studies.study_number",
            Self::StudyDescription => "studies.description",
            Self::Modality => "series.modality",
            Self::SeriesInstanceUid => "series.series_uid",
            Self::SeriesNumber => "series.series_number",
            Self::SeriesDescription => "series.description",
            Self::BodyPartExamined => "series.body_part",
            Self::PerformedProcedureStepStartDate => "series.started_date",
            Self::PerformedProcedureStepStartTime => "series.started_time",
            Self::SopClassUid => "instances.sop_class_uid",
            Self::SopInstanceUid => "instances.sop_uid",
            Self::InstanceNumber => "instances.instance_number",
        }
    }

    /// Attributes of the patient stand in a table of their own.
    fn is_of_patient(self) -> bool {
        self.column().starts_with("patients.")
    }

    /// Person names are kept beside themselves in the form in which they are compared.
    fn is_name(self) -> bool {
        matches!(self, Self::PatientName | Self::ReferringPhysicianName)
    }
}

/// What the attribute must be (PS3.4, section C.2.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// One of these texts; `*` stands for any characters and `?` for one (C.2.2.2.4).
    Pattern(Vec<String>),
    /// One of these texts, letter by letter (C.2.2.2.1, C.2.2.2.2).
    OneOf(Vec<String>),
    /// This number.
    Number(i64),
    /// A day `YYYYMMDD` within these bounds, both included (C.2.2.2.5).
    Days {
        /// Not before.
        from: Option<String>,
        /// Not after.
        to: Option<String>,
    },
    /// A time `HHMMSS` within these bounds, both included, fractions of a second left out (C.2.2.2.5).
    Times {
        /// Not before.
        from: Option<String>,
        /// Not after.
        to: Option<String>,
    },
}

/// One search over the records of a clinic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// Within this study alone.
    pub study: Option<StudyInstanceUid>,
    /// Within this series alone.
    pub series: Option<SeriesInstanceUid>,
    /// All of these must hold; each key must belong to the level searched or one above it.
    pub conditions: Vec<(Key, Condition)>,
    /// Whose studies.
    pub shown: Shown,
    /// At most so many results.
    pub limit: u32,
    /// So many results are left out first.
    pub offset: u32,
}

/// Text and arguments while they grow.
struct Clauses {
    text: String,
    values: Vec<Value>,
}

impl Clauses {
    /// The place of a new argument; `$1` is the clinic.
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len() + 1)
    }

    fn between(&mut self, measured: &str, from: Option<&String>, to: Option<&String>) {
        for (sign, bound) in [(">=", from), ("<=", to)] {
            if let Some(bound) = bound {
                let place = self.bind(bound);
                self.text += &format!(" AND {measured} {sign} {place}");
            }
        }
    }

    fn one_of(&mut self, key: Key, texts: &[String], has_wildcards: bool) {
        let tests: Vec<String> = texts.iter().map(|text| self.test(key, text, has_wildcards)).collect();
        let any = tests.join(" OR ");
        if key == Key::ModalitiesInStudy {
            self.text += &format!(
                " AND EXISTS (SELECT 1 FROM series AS any_series
                               WHERE any_series.study_id = studies.study_id AND ({any}))"
            );
        } else {
            self.text += &format!(" AND ({any})");
        }
    }

    fn test(&mut self, key: Key, text: &str, has_wildcards: bool) -> String {
        let text = if key.is_name() { name_key(text) } else { text.to_owned() };
        let column = key.column();
        if has_wildcards && text.contains(['*', '?']) {
            let place = self.bind(like_pattern(&text));
            format!("{column} LIKE {place} ESCAPE '!'")
        } else {
            let place = self.bind(text);
            format!("{column} = {place}")
        }
    }

    fn add(&mut self, key: Key, condition: &Condition) {
        match condition {
            Condition::Pattern(texts) => self.one_of(key, texts, true),
            Condition::OneOf(texts) => self.one_of(key, texts, false),
            Condition::Number(number) => {
                let place = self.bind(*number);
                self.text += &format!(" AND {} = {place}", key.column());
            }
            Condition::Days { from, to } => self.between(key.column(), from.as_ref(), to.as_ref()),
            Condition::Times { from, to } => {
                let second = format!("substr({} || '0000', 1, 6)", key.column());
                self.between(&second, from.as_ref(), to.as_ref());
            }
        }
    }
}

/// `*` and `?` as LIKE writes them; what LIKE would take for its own is escaped by `!`.
fn like_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 4);
    for letter in text.chars() {
        match letter {
            '*' => pattern.push('%'),
            '?' => pattern.push('_'),
            '%' | '_' | '!' => pattern.extend(['!', letter]),
            letter => pattern.push(letter),
        }
    }
    pattern
}

impl Search {
    /// `select` over the identifiers of one page, so that counts are made for that page alone.
    ///
    /// `from` names the tables of the page, `level` the one searched; patients are joined only where they are asked for.
    fn statement(&self, clinic: ClinicId, select: &str, from: &str, level: &str, order: &str) -> Statement {
        let mut clauses = Clauses { text: format!("{select}{from}"), values: Vec::new() };
        if self.conditions.iter().any(|(key, _)| key.is_of_patient()) {
            clauses.text += " JOIN patients ON patients.patient_id = studies.patient_id";
        }
        clauses.text += &format!(" WHERE {level}.clinic_id = $1");
        if let Some(study) = &self.study {
            clauses.one_of(Key::StudyInstanceUid, &[study.to_string()], false);
        }
        if let Some(series) = &self.series {
            clauses.one_of(Key::SeriesInstanceUid, &[series.to_string()], false);
        }
        for (key, condition) in &self.conditions {
            clauses.add(*key, condition);
        }
        let veil = self.shown.condition("studies.patient_id", |value| clauses.bind(value));
        clauses.text += &veil;
        let (limit, offset) = (clauses.bind(self.limit), clauses.bind(self.offset));
        clauses.text += &format!("{order} LIMIT {limit} OFFSET {offset}){order}");
        let Clauses { text, values } = clauses;
        values.into_iter().fold(built_sql(text).bind(clinic), Statement::bind)
    }
}
