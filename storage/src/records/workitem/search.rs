//! Looking steps up, the latest first (PS3.18, section 11.9).

use clinical::id::ClinicId;

use super::about::{ALL_THERE, PATIENTS};
use super::{COLUMNS, Workitem};
use crate::db::{Conn, Result, Statement, Value, built_sql};
use crate::records::patient::{Shown, name_key};
use crate::records::search::like_pattern;

/// By what can be searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the standard's keywords")]
pub enum Column {
    SopInstanceUid,
    ProcedureStepState,
    ScheduledProcedureStepPriority,
    ProcedureStepLabel,
    WorklistLabel,
    PatientName,
    PatientId,
    StudyInstanceUid,
    ScheduledProcedureStepStartDateTime,
    ExpectedCompletionDateTime,
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::SopInstanceUid => "workitem_uid",
            Self::ProcedureStepState => "state",
            Self::ScheduledProcedureStepPriority => "priority",
            Self::ProcedureStepLabel => "label",
            Self::WorklistLabel => "worklist",
            Self::PatientName => "patient_key",
            Self::PatientId => "mrn",
            Self::StudyInstanceUid => "study_uid",
            Self::ScheduledProcedureStepStartDateTime => "scheduled_at",
            Self::ExpectedCompletionDateTime => "expected_at",
        }
    }
}

/// What a column must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// One of these texts; `*` stands for any characters and `?` for one.
    OneOf(Vec<String>),
    /// A date and time within these bounds, both included.
    Between(Option<String>, Option<String>),
}

/// One search over the steps of a clinic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkitemSearch {
    /// All of these must hold.
    pub conditions: Vec<(Column, Asked)>,
    /// Whose studies.
    pub shown: Shown,
    /// At most so many results.
    pub limit: u32,
    /// So many results are left out first.
    pub offset: u32,
}

impl Workitem {
    /// The steps that match, the latest first.
    pub async fn search(db: &mut Conn, clinic: ClinicId, search: &WorkitemSearch) -> Result<Vec<Self>> {
        let mut values: Vec<Value> = Vec::new();
        let mut bind = |value: Value| {
            values.push(value);
            format!("${}", values.len() + 1)
        };
        let mut text = format!("SELECT {COLUMNS} FROM workitems WHERE clinic_id = $1");
        for (column, asked) in &search.conditions {
            let name = column.name();
            match asked {
                Asked::OneOf(texts) => {
                    let tests = texts.iter().map(|text| {
                        let text = if *column == Column::PatientName { name_key(text) } else { text.clone() };
                        if text.contains(['*', '?']) {
                            format!("{name} LIKE {} ESCAPE '!'", bind(like_pattern(&text).into()))
                        } else {
                            format!("{name} = {}", bind(text.into()))
                        }
                    });
                    let tests: Vec<String> = tests.collect();
                    text += &format!(" AND ({})", tests.join(" OR "));
                }
                Asked::Between(from, to) => {
                    if let Some(from) = from {
                        text += &format!(" AND {name} >= {}", bind(from.into()));
                    }
                    if let Some(to) = to {
                        // a bound without minutes means the whole hour
                        let length = to.len();
                        text += &format!(" AND substr({name}, 1, {length}) <= {}", bind(to.into()));
                    }
                }
            }
        }
        text += &format!(" AND {ALL_THERE}");
        text += &search.shown.condition_among(PATIENTS, &mut bind);
        let (limit, offset) = (bind(search.limit.into()), bind(search.offset.into()));
        text += &format!(" ORDER BY workitem_id DESC LIMIT {limit} OFFSET {offset}");
        values.into_iter().fold(built_sql(text).bind(clinic), Statement::bind).fetch_all(db).await
    }
}
