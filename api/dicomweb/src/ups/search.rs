//! `GET /workitems`: which steps there are (PS3.18, section 11.9).

use axum::extract::State as Rooms;
use axum::http::{HeaderValue, Uri, header};
use axum::response::Response;
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use gate::{App, Caller, Problem};
use storage::records::workitem::{Asked, Column, Workitem, WorkitemSearch};

use super::matching::InDataSet;
use super::{data_sets, shown};
use crate::accept::{self, Accept};
use crate::search::path_of;

/// Most results of one answer, also where no `limit` is given.
const RESULTS_MAX: u32 = 1_000;
/// So many are read at once.
const PAGE: u32 = 100;
/// Most steps whose data sets are looked into for one answer.
const EXAMINED_MAX: usize = 10_000;
/// Most bytes of one answer.
const ANSWER_BYTES: usize = 16 << 20;
/// Most parameters of one query, and most values of a list.
const PARAMETERS_MAX: usize = 100;
/// Most bytes of one value.
const VALUE_BYTES: usize = 1_024;

/// By what can be searched in the rows; a study is named directly or in the input of the step.
const COLUMNS: [(&[Tag], Column); 13] = [
    (&[tags::SOP_INSTANCE_UID], Column::SopInstanceUid),
    (&[tags::AFFECTED_SOP_INSTANCE_UID], Column::SopInstanceUid),
    (&[tags::PROCEDURE_STEP_STATE], Column::ProcedureStepState),
    (&[tags::SCHEDULED_PROCEDURE_STEP_PRIORITY], Column::ScheduledProcedureStepPriority),
    (&[tags::PROCEDURE_STEP_LABEL], Column::ProcedureStepLabel),
    (&[tags::WORKLIST_LABEL], Column::WorklistLabel),
    (&[tags::PATIENT_NAME], Column::PatientName),
    (&[tags::PATIENT_ID], Column::PatientId),
    (&[tags::STUDY_INSTANCE_UID], Column::StudyInstanceUid),
    (&[tags::INPUT_INFORMATION_SEQUENCE, tags::STUDY_INSTANCE_UID], Column::StudyInstanceUid),
    (&[tags::REFERENCED_REQUEST_SEQUENCE, tags::STUDY_INSTANCE_UID], Column::StudyInstanceUid),
    (&[tags::SCHEDULED_PROCEDURE_STEP_START_DATE_TIME], Column::ScheduledProcedureStepStartDateTime),
    (&[tags::EXPECTED_COMPLETION_DATE_TIME], Column::ExpectedCompletionDateTime),
];

/// The columns of which a range may be asked.
const TIMES: [Column; 2] = [Column::ScheduledProcedureStepStartDateTime, Column::ExpectedCompletionDateTime];

/// `GET /dicom-web/workitems`
pub(crate) async fn search(
    Rooms(app): Rooms<App>,
    caller: Caller,
    accept: Accept,
    uri: Uri,
) -> Result<Response, Problem> {
    accept::json_or_problem(&accept)?;
    let (mut search, in_data_set) = read(&uri)?;
    search.shown = caller.shown();
    let (limit, begin) = (search.limit as usize, search.offset);
    // the rows leave out what comes before the page, unless data sets decide what that is
    let mut left_out = if in_data_set.is_empty() { 0 } else { begin };
    let first = begin - left_out;
    search.limit = PAGE;
    let (mut found, mut bytes, mut examined) = (Vec::new(), 0, 0);
    let mut rows = app.db.of(caller.clinic).read().await?;
    let is_cut = 'pages: loop {
        search.offset = first.saturating_add(examined as u32);
        let page = Workitem::search(&mut rows, caller.clinic, &search).await?;
        let is_last = page.len() < PAGE as usize;
        examined += page.len();
        for step in page {
            if !in_data_set.iter().all(|key| key.matches(&step.body)) {
                continue;
            }
            if left_out > 0 {
                left_out -= 1;
                continue;
            }
            let step = shown(step);
            bytes += step.len();
            if found.len() == limit || bytes > ANSWER_BYTES {
                break 'pages true;
            }
            found.push(step);
        }
        if is_last {
            break false;
        }
        if examined >= EXAMINED_MAX && !in_data_set.is_empty() {
            break true;
        }
    };
    let was_asked_for = found.len() == limit && limit < RESULTS_MAX as usize;
    let mut response = data_sets(&found);
    if is_cut && !was_asked_for {
        let warning = "299 medilink \"There are additional results that can be requested\"";
        response.headers_mut().append(header::WARNING, HeaderValue::from_static(warning));
    }
    Ok(response)
}

/// What the rows are asked, and what their data sets are.
fn read(uri: &Uri) -> Result<(WorkitemSearch, Vec<InDataSet>), Problem> {
    let axum::extract::Query(pairs) = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)?;
    if pairs.len() > PARAMETERS_MAX {
        return Err(Problem::bad_request("invalid-query", "a query has at most 100 parameters"));
    }
    let mut in_data_set = Vec::new();
    let mut search = WorkitemSearch { limit: RESULTS_MAX, ..WorkitemSearch::default() };
    let number = |name: &str, value: &str| {
        let wrong = |_| Problem::bad_request("invalid-page", format!("{name} is a whole number from 0"));
        value.parse::<u32>().map_err(wrong)
    };
    for (name, value) in &pairs {
        match name.as_str() {
            "limit" => search.limit = number(name, value)?.min(RESULTS_MAX),
            "offset" => search.offset = number(name, value)?,
            // every attribute is part of each result
            "includefield" | "fuzzymatching" | "accept" | "charset" => {}
            name => {
                let path = path_of(name).unwrap_or_default();
                if let Some((_, column)) = COLUMNS.iter().find(|(it, _)| *it == path) {
                    let is_time = TIMES.contains(column);
                    search.conditions.extend(asked(value, is_time)?.map(|asked| (*column, asked)));
                    continue;
                }
                let texts = match asked(value, false)? {
                    Some(Asked::OneOf(texts)) => texts,
                    _ => Vec::new(),
                };
                in_data_set.push(InDataSet::of(&path, texts).ok_or_else(|| {
                    let detail = "a parameter is no attribute by which workitems can be searched";
                    Problem::bad_request("unknown-key", detail)
                })?);
            }
        }
    }
    Ok((search, in_data_set))
}

/// What a value asks; `None` where anything matches.
fn asked(value: &str, is_time: bool) -> Result<Option<Asked>, Problem> {
    let invalid = || {
        let detail = "a value is a text of at most 1024 bytes, or a range of dates and times";
        Problem::bad_request("invalid-value", detail)
    };
    let value = value.trim();
    if value.len() > VALUE_BYTES || value.chars().any(char::is_control) {
        return Err(invalid());
    }
    if value.bytes().all(|byte| byte == b'*') {
        return Ok(None);
    }
    if !is_time {
        let texts: Vec<String> = value.split('\\').map(str::to_owned).take(PARAMETERS_MAX).collect();
        return Ok(Some(Asked::OneOf(texts)));
    }
    let (from, to) = value.split_once('-').unwrap_or((value, value));
    let bound = |text: &str| match text {
        "" => Ok(None),
        text if (4..=21).contains(&text.len())
            && text.bytes().all(|it| it.is_ascii_digit() || it == b'.') =>
        {
            Ok(Some(text.to_owned()))
        }
        _ => Err(invalid()),
    };
    Ok(Some(Asked::Between(bound(from)?, bound(to)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(query: &str) -> &'static str {
        read(&format!("/workitems?{query}").parse().unwrap()).unwrap_err().code()
    }

    #[test]
    fn a_worklist_is_searched_by_keywords_tags_and_paths() {
        let query = "00741000=SCHEDULED&InputInformationSequence.StudyInstanceUID=1.2.3&limit=5&PatientID=*\
                     &ScheduledProcedureStepStartDateTime=2026-20260102&InputReadinessState=READY";
        let (search, in_data_set) = read(&format!("/workitems?{query}").parse().unwrap()).unwrap();
        assert_eq!(
            in_data_set,
            [InDataSet::of(&[tags::INPUT_READINESS_STATE], vec!["READY".to_owned()]).unwrap()]
        );
        let one = |text: &str| Asked::OneOf(vec![text.to_owned()]);
        assert_eq!(
            search.conditions,
            [
                (Column::ProcedureStepState, one("SCHEDULED")),
                (Column::StudyInstanceUid, one("1.2.3")),
                (
                    Column::ScheduledProcedureStepStartDateTime,
                    Asked::Between(Some("2026".to_owned()), Some("20260102".to_owned()))
                ),
            ]
        );
        assert_eq!(search.limit, 5);
        assert_eq!(code("Modality=CT"), "unknown-key");
        assert_eq!(code("limit=x"), "invalid-page");
        assert_eq!(code("ExpectedCompletionDateTime=today"), "invalid-value");
    }
}
