//! Along which table and index the records of a search are read, and in which order they come.
//!
//! A page must cost the same of ten thousand instances and of a million. So each search begins at the table whose
//! index its most telling key names, and comes in the order of that index where matches may be many: nothing is
//! sorted that is not shown. SQLite follows the order in which `CROSS JOIN` names the tables; PostgreSQL has
//! numbers of its own and chooses by them.

use clinical::id::ClinicId;

use super::clauses::{Clauses, beginning, is_pattern};
use super::{COUNTED_MOST, Condition, Key, Level, Search};
use crate::db::{Statement, built_sql};

/// The newest study first; the index `studies_newest` is in this order.
const STUDY_ORDER: &str =
    "studies.study_date DESC NULLS LAST, studies.study_time DESC NULLS LAST, studies.study_uid";
/// The same of a few, which are sorted: SQLite must not read the whole index for the sake of its order.
const FEW_STUDIES_ORDER: &str =
    "COALESCE(studies.study_date, '') DESC, COALESCE(studies.study_time, '') DESC,
                                 studies.study_uid";
const SERIES_ORDER: &str = "series.series_number ASC NULLS LAST, series.series_uid";
const INSTANCE_ORDER: &str = "instances.instance_number ASC NULLS LAST, instances.sop_uid";
/// For so long a stretch of days, `YYYYMMDD` as numbers, series and instances are looked up by their studies.
const FEW_DAYS: i64 = 100;

/// Where the reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// At the patients of one identifier or birth date.
    Patients,
    /// At the patients whose name or identifier begins alike, in this order.
    Named(Key),
    /// At one or a few studies.
    Studies,
    /// At studies, from the newest on.
    NewestStudies,
    /// At the studies whose Accession Number begins alike, in its order.
    Accessions,
    /// At series or instances, from the last stored on.
    Newest,
    /// At the series of a UID.
    Series,
    /// At the instances of a UID.
    Instances,
}

impl Search {
    fn way(&self, level: Level) -> Way {
        let of = |key: Key| self.conditions.iter().find(|(it, _)| *it == key).map(|(_, condition)| condition);
        let is_given = |key: Key| matches!(of(key), Some(condition) if is_exact(condition));
        if level == Level::Instance && is_given(Key::SopInstanceUid) {
            return Way::Instances;
        }
        if self.study.is_some() || is_given(Key::StudyInstanceUid) {
            return Way::Studies;
        }
        if level > Level::Study && (self.series.is_some() || is_given(Key::SeriesInstanceUid)) {
            return Way::Series;
        }
        if is_given(Key::AccessionNumber) {
            return Way::Studies;
        }
        if is_given(Key::PatientId) || of(Key::PatientBirthDate).is_some_and(is_one_day) {
            return Way::Patients;
        }
        if is_given(Key::PatientName) || of(Key::PatientName).is_some_and(begins) {
            return Way::Named(Key::PatientName);
        }
        if of(Key::PatientId).is_some_and(begins) {
            return Way::Named(Key::PatientId);
        }
        if of(Key::AccessionNumber).is_some_and(begins) {
            return Way::Accessions;
        }
        let is_short = of(Key::StudyDate).is_some_and(|condition| match condition {
            Condition::Days { from: Some(from), to: Some(to) } => {
                let number = |day: &String| day.parse::<i64>().unwrap_or(0);
                number(to) - number(from) <= FEW_DAYS
            }
            _ => false,
        });
        if level == Level::Study || is_short { Way::NewestStudies } else { Way::Newest }
    }

    /// What is selected `FROM` and `WHERE`, without an order.
    fn matching(&self, level: Level, select: &str) -> (Way, Clauses) {
        let way = self.way(level);
        let needs_patients = self.conditions.iter().any(|(key, _)| key.is_of_patient());
        let below: &[&str] = match level {
            Level::Study => &[],
            Level::Series => &["series"],
            Level::Instance => &["series", "instances"],
        };
        let mut tables: Vec<&str> = match way {
            Way::Patients | Way::Named(_) => [&["patients", "studies"], below].concat(),
            Way::Studies | Way::NewestStudies | Way::Accessions => [&["studies"], below].concat(),
            Way::Series => [&["series", "studies"], &below[1..]].concat(),
            Way::Newest if level == Level::Series => vec!["series", "studies"],
            Way::Newest | Way::Instances => vec!["instances", "series", "studies"],
        };
        if needs_patients && !tables.contains(&"patients") {
            tables.push("patients");
        }
        let first = tables[0];
        let mut text = format!("{select} FROM {} WHERE {first}.clinic_id = $1", tables.join(" CROSS JOIN "));
        if first == "patients" {
            text += " AND studies.clinic_id = $1";
        }
        for table in &tables {
            text += match *table {
                "patients" => " AND studies.patient_id = patients.patient_id",
                "series" => " AND series.study_id = studies.study_id",
                "instances" => " AND instances.series_id = series.series_id",
                _ => "",
            };
        }
        text += match level {
            Level::Study => " AND studies.hidden_at IS NULL",
            Level::Series => " AND series.hidden_at IS NULL",
            Level::Instance => " AND instances.hidden_at IS NULL",
        };
        let mut clauses = Clauses { text, values: Vec::new() };
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
        (way, clauses)
    }

    /// One page of what `select` gives of the matches.
    pub(super) fn page(&self, clinic: ClinicId, level: Level, select: &str) -> Statement {
        let (way, mut clauses) = self.matching(level, select);
        let order = match (way, level) {
            (Way::Newest, Level::Series) => "series.series_id DESC".to_owned(),
            (Way::Newest, _) => "instances.instance_id DESC".to_owned(),
            (Way::Named(Key::PatientId), Level::Study) => {
                "patients.mrn, patients.patient_id, studies.study_id".to_owned()
            }
            (Way::Named(_), Level::Study) => {
                "patients.name_key, patients.patient_id, studies.study_id".to_owned()
            }
            (Way::Accessions, Level::Study) => "studies.accession_number, studies.study_id".to_owned(),
            (Way::NewestStudies, Level::Study) => STUDY_ORDER.to_owned(),
            (_, Level::Study) => FEW_STUDIES_ORDER.to_owned(),
            (_, Level::Series) => format!("{FEW_STUDIES_ORDER}, {SERIES_ORDER}"),
            (_, Level::Instance) => format!("{FEW_STUDIES_ORDER}, {SERIES_ORDER}, {INSTANCE_ORDER}"),
        };
        let (limit, offset) = (clauses.bind(self.limit), clauses.bind(self.offset));
        clauses.text += &format!(" ORDER BY {order} LIMIT {limit} OFFSET {offset}");
        whole(clinic, clauses)
    }

    /// How many there are, counted up to one more than [`COUNTED_MOST`].
    pub(super) fn counting(&self, clinic: ClinicId, level: Level) -> Statement {
        let (_, mut clauses) = self.matching(level, "SELECT count(*) FROM (SELECT 1 AS one");
        let most = clauses.bind(COUNTED_MOST + 1);
        clauses.text += &format!(" LIMIT {most}) AS counted");
        whole(clinic, clauses)
    }
}

fn whole(clinic: ClinicId, clauses: Clauses) -> Statement {
    let Clauses { text, values } = clauses;
    values.into_iter().fold(built_sql(text).bind(clinic), Statement::bind)
}

/// Whole values, looked up one by one.
fn is_exact(condition: &Condition) -> bool {
    match condition {
        Condition::Pattern(texts) => !texts.iter().any(|text| is_pattern(text)),
        Condition::OneOf(_) => true,
        _ => false,
    }
}

/// One pattern that bounds a stretch of an index.
fn begins(condition: &Condition) -> bool {
    matches!(condition, Condition::Pattern(texts) if texts.len() == 1 && !beginning(&texts[0]).is_empty())
}

fn is_one_day(condition: &Condition) -> bool {
    matches!(condition, Condition::Days { from: Some(from), to: Some(to) } if from == to)
}
