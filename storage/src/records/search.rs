//! Searching the three levels of imaging by what QIDO-RS and C-FIND ask (PS3.18, section 10.6; PS3.4, annex C).
//!
//! A statement is put together from the fixed fragments of this folder; every value is bound. What is hidden
//! ([`crate::records::rejection`]) is found by nobody.

mod clauses;
mod combined;
mod found_instance;
mod found_patient;
mod found_series;
mod found_study;
mod held;
mod ids;
mod sample;
mod sop_classes;
#[cfg(test)]
mod tests;
mod way;

use clinical::id::ClinicId;
use clinical::uid::{SeriesInstanceUid, StudyInstanceUid};
use uuid::Uuid;

pub(crate) use self::clauses::like_pattern;
pub use self::combined::combine_date_and_time;
pub use self::found_instance::FoundInstance;
pub use self::found_patient::FoundPatient;
pub use self::found_series::FoundSeries;
pub use self::found_study::FoundStudy;
pub use self::held::HeldInstance;
pub use self::sample::samples;
use super::patient::Shown;
use crate::db::{Conn, Result, Statement, built_sql};

/// Matches are counted up to here; beyond, nobody waits for the number.
pub const COUNTED_MOST: i64 = 10_000;

/// What is searched, or where an attribute stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Studies, with what is known of their patients.
    Study,
    /// Series.
    Series,
    /// Instances.
    Instance,
}

/// An attribute by which can be searched; the keywords of PS3.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the standard's keywords")]
pub enum Key {
    StudyDate,
    StudyTime,
    AccessionNumber,
    ModalitiesInStudy,
    SopClassesInStudy,
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
    /// Of an item of Request Attributes Sequence (0040,0275).
    ScheduledProcedureStepId,
    /// Of an item of Request Attributes Sequence (0040,0275).
    RequestedProcedureId,
    SopClassUid,
    SopInstanceUid,
    InstanceNumber,
    NumberOfFrames,
    Rows,
    Columns,
    BitsAllocated,
    AvailableTransferSyntaxUid,
}

impl Key {
    fn column(self) -> &'static str {
        match self {
            Self::StudyDate => "studies.study_date",
            Self::StudyTime => "studies.study_time",
            Self::AccessionNumber => "studies.accession_number",
            Self::ModalitiesInStudy => "any_series.modality",
            Self::SopClassesInStudy => "any_instance.sop_class_uid",
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
            Self::ScheduledProcedureStepId => "series.step_ids",
            Self::RequestedProcedureId => "series.procedure_ids",
            Self::SopClassUid => "instances.sop_class_uid",
            Self::SopInstanceUid => "instances.sop_uid",
            Self::InstanceNumber => "instances.instance_number",
            Self::NumberOfFrames => "instances.frame_count",
            Self::Rows => "instances.image_rows",
            Self::Columns => "instances.image_columns",
            Self::BitsAllocated => "instances.bits_allocated",
            Self::AvailableTransferSyntaxUid => "instances.transfer_syntax_uid",
        }
    }

    /// The column of the time that stands beside a day.
    fn time_column(self) -> &'static str {
        match self {
            Self::PerformedProcedureStepStartDate => Self::PerformedProcedureStepStartTime.column(),
            _ => Self::StudyTime.column(),
        }
    }

    /// Attributes of the patient stand in a table of their own.
    fn is_of_patient(self) -> bool {
        self.column().starts_with("patients.")
    }

    /// Person names are kept beside themselves in the form in which they are compared.
    pub fn is_name(self) -> bool {
        matches!(self, Self::PatientName | Self::ReferringPhysicianName)
    }

    /// The column holds the values of several items, parted by backslashes.
    fn is_of_items(self) -> bool {
        matches!(self, Self::ScheduledProcedureStepId | Self::RequestedProcedureId)
    }
}

/// What the attribute must be (PS3.4, section C.2.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// One of these texts; `*` stands for any characters and `?` for one (C.2.2.2.4).
    Pattern(Vec<String>),
    /// One of these texts, letter by letter (C.2.2.2.1, C.2.2.2.2).
    OneOf(Vec<String>),
    /// A name in which each of these words begins a word, whatever case and accents (C.2.2.2.1.1, «fuzzy»).
    Words(Vec<String>),
    /// This number.
    Number(i64),
    /// One of these numbers.
    Numbers(Vec<i64>),
    /// A day `YYYYMMDD` within these bounds, both included (C.2.2.2.5).
    Days {
        /// Not before.
        from: Option<String>,
        /// Not after.
        to: Option<String>,
    },
    /// A day and the time beside it, `YYYYMMDDHHMMSS`, within these bounds, both included (C.2.2.2.5.3); of a day.
    Moments {
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

impl Search {
    /// How many records of `level` match in all; `None` where they are more than [`COUNTED_MOST`].
    pub async fn count(&self, db: &mut Conn, clinic: ClinicId, level: Level) -> Result<Option<i64>> {
        let count = self.counting(clinic, level).fetch_one::<i64>(db).await?;
        Ok((count <= COUNTED_MOST).then_some(count))
    }
}

/// The rows of `select` under these identifiers; none for none.
fn these<T: Copy + Into<Uuid>>(select: &str, clinic: ClinicId, ids: &[T]) -> Statement {
    let places: Vec<String> = (0..ids.len()).map(|index| format!("${}", index + 2)).collect();
    let text = format!("{select}{})", if ids.is_empty() { "NULL".to_owned() } else { places.join(", ") });
    ids.iter().fold(built_sql(text).bind(clinic), |statement, id| statement.bind((*id).into()))
}

/// The rows in the order of the page that they are of.
fn in_order<T>(page: &[Uuid], rows: Vec<T>, id: impl Fn(&T) -> Uuid) -> Vec<T> {
    let mut rows: std::collections::HashMap<Uuid, T> = rows.into_iter().map(|row| (id(&row), row)).collect();
    page.iter().filter_map(|id| rows.remove(id)).collect()
}
