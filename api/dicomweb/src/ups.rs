//! `/workitems`: the worklist service UPS-RS (PS3.18, chapter 11), by which programs share the work on images.
//!
//! A scheduled step that names a study of ours, and is meant for nobody else, asks for its analysis and follows it.
//! Subscriptions over WebSocket are not served; the event `workitem_changed` tells webhooks instead.

mod data_set;
mod matching;
mod routes;
mod search;
mod state;

use axum::extract::State as Rooms;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use clinical::event::Event;
use clinical::id::{ClinicId, StudyId, WorkitemId};
use clinical::job::{Job, Priority};
use clinical::uid::SopInstanceUid;
use dicom_core::value::deserialize::parse_datetime_partial;
use dicom_core::value::{AsRange, PreciseDateTime};
use gate::{App, Bytes, Caller, Path, Problem};
use storage::db::Conn;
use storage::records::study::Study;
use storage::records::workitem::{State, Workitem};
use storage::{outbox, queue};
use uuid::Uuid;

pub(crate) use self::routes::routes;
use self::search::search;

use self::data_set::DataSet;
use crate::accept::{self, Accept};
use crate::base_url::BaseUrl;
use crate::dicom_json::DICOM_JSON;

/// Most bytes of a step's data set.
pub(crate) const BODY_BYTES: usize = 128 << 10;

/// `POST /dicom-web/workitems?{uid}`
pub(crate) async fn create(
    Rooms(app): Rooms<App>,
    caller: Caller,
    base: BaseUrl,
    uri: Uri,
    headers: HeaderMap,
    Bytes(body): Bytes,
) -> Result<Response, Problem> {
    let data_set = DataSet::read(&headers, &body)?;
    let uid: SopInstanceUid = match named(&uri, "workitem") {
        Some(uid) => uid.parse().map_err(|error| invalid_uid(&error))?,
        None => new_uid(),
    };
    let mut data_set = data_set.checked_new(&uid)?;
    let facts = data_set.facts()?;
    let (clinic, now) = (caller.clinic, app.clock.now());

    let mut tx = app.db.of(clinic).begin().await?;
    let mut study_id = None;
    for (place, study) in facts.study_uids.iter().enumerate() {
        let seen = seen_study(&mut tx, &caller, clinic, study).await?;
        study_id = if place == 0 { seen } else { study_id };
    }
    let is_ours = study_id.is_some() && data_set.is_meant_for_us();
    data_set.set_state(State::Scheduled);
    let step = Workitem {
        workitem_id: WorkitemId::new(),
        uid: uid.clone(),
        state: State::Scheduled,
        transaction_uid: None,
        study_id,
        is_ours,
        body: data_set.into_json(),
        updated_at: now,
    };
    if !Workitem::create(&mut tx, clinic, &step, &facts).await? {
        return Err(Problem::conflict("workitem-exists", "there is a workitem of this UID already"));
    }
    if let Some(study_id) = study_id.filter(|_| is_ours) {
        let priority = if facts.priority == "HIGH" { Priority::Stat } else { Priority::Urgent };
        let job = Job::AnalyzeStudy { study_id };
        queue::hurry(&mut tx, clinic, &job, priority, now).await?;
        if let Some(due_at) = facts.expected_at.as_deref().and_then(moment) {
            queue::wanted_by(&mut tx, clinic, &job, due_at).await?;
        }
    }
    told(&mut tx, &caller, &step).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    let url = format!("{}/workitems/{uid}", base.0);
    let mut response = StatusCode::CREATED.into_response();
    for name in [header::CONTENT_LOCATION, header::LOCATION] {
        if let Ok(url) = HeaderValue::from_str(&url) {
            response.headers_mut().insert(name, url);
        }
    }
    Ok(response)
}

/// The latest moment that a DT value (PS3.5, section 6.2) means; one without an offset is taken as UTC, for it only
/// orders a clinic's own work.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    match parse_datetime_partial(text.trim().as_bytes()).ok()?.latest().ok()? {
        PreciseDateTime::Naive(moment) => Some(moment.and_utc()),
        PreciseDateTime::TimeZone(moment) => Some(moment.to_utc()),
    }
}

/// `GET /dicom-web/workitems/{workitem}`
pub(crate) async fn retrieve(
    Rooms(app): Rooms<App>,
    caller: Caller,
    accept: Accept,
    Path(uid): Path<String>,
) -> Result<Response, Problem> {
    accept::json_or_problem(&accept)?;
    let uid = uid_of(&uid)?;
    let mut rows = app.db.of(caller.clinic).read().await?;
    let step = Workitem::find(&mut rows, caller.clinic, &uid).await?;
    seen(&mut rows, &caller, &step).await?;
    Ok(data_sets(&[shown(step)]))
}

/// `POST /dicom-web/workitems/{workitem}?{transaction-uid}`
pub(crate) async fn update(
    Rooms(app): Rooms<App>,
    caller: Caller,
    Path(uid): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    Bytes(body): Bytes,
) -> Result<StatusCode, Problem> {
    let (uid, change) = (uid_of(&uid)?, DataSet::read(&headers, &body)?);
    let transaction = named(&uri, "transaction-uid").or(change.transaction_uid());
    let (clinic, now) = (caller.clinic, app.clock.now());
    let mut tx = app.db.of(clinic).begin().await?;
    let mut step = Workitem::hold(&mut tx, clinic, &uid).await?;
    seen(&mut tx, &caller, &step).await?;
    state::may_update(&step, transaction.as_deref())?;
    let changed = DataSet::of(std::mem::take(&mut step.body)).changed_by(change)?;
    let facts = changed.facts()?;
    for study in &facts.study_uids {
        seen_study(&mut tx, &caller, clinic, study).await?;
    }
    step.body = changed.into_json();
    if step.body.to_string().len() > BODY_BYTES {
        return Err(Problem::too_large(BODY_BYTES as u64));
    }
    step.updated_at = now;
    step.write(&mut tx, clinic, &facts).await?;
    told(&mut tx, &caller, &step).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(StatusCode::OK)
}

/// `PUT /dicom-web/workitems/{workitem}/state`
pub(crate) async fn change_state(
    Rooms(app): Rooms<App>,
    caller: Caller,
    Path(uid): Path<String>,
    headers: HeaderMap,
    Bytes(body): Bytes,
) -> Result<Response, Problem> {
    let (uid, asked) = (uid_of(&uid)?, DataSet::read(&headers, &body)?);
    let wanted = asked.state()?;
    let transaction = asked.transaction_uid().ok_or_else(|| {
        Problem::bad_request("transaction-missing", "the body holds a Transaction UID (0008,1195)")
    })?;
    transaction.parse::<SopInstanceUid>().map_err(|error| invalid_uid(&error))?;
    let (clinic, now) = (caller.clinic, app.clock.now());
    let mut tx = app.db.of(clinic).begin().await?;
    let mut step = Workitem::hold(&mut tx, clinic, &uid).await?;
    seen(&mut tx, &caller, &step).await?;
    let mut data_set = DataSet::of(step.body.clone());
    match state::change(&step, wanted, &transaction, data_set.has_performed())? {
        state::Change::AlreadyThere => return Ok(state::already(wanted)),
        state::Change::To(state) => step.state = state,
    }
    step.transaction_uid = Some(transaction);
    step.updated_at = now;
    data_set.set_state(step.state);
    let facts = data_set.facts()?;
    step.body = data_set.into_json();
    step.write(&mut tx, clinic, &facts).await?;
    told(&mut tx, &caller, &step).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(StatusCode::OK.into_response())
}

/// `POST /dicom-web/workitems/{workitem}/cancelrequest`
///
/// A step that nobody performs is canceled; whoever performs one finds the request, and its reason, in its data set.
pub(crate) async fn request_cancel(
    Rooms(app): Rooms<App>,
    caller: Caller,
    Path(uid): Path<String>,
    headers: HeaderMap,
    Bytes(body): Bytes,
) -> Result<Response, Problem> {
    let uid = uid_of(&uid)?;
    let asked = if body.is_empty() { DataSet::default() } else { DataSet::read(&headers, &body)? };
    let (clinic, now) = (caller.clinic, app.clock.now());
    let mut tx = app.db.of(clinic).begin().await?;
    let mut step = Workitem::hold(&mut tx, clinic, &uid).await?;
    seen(&mut tx, &caller, &step).await?;
    match step.state {
        State::Canceled => return Ok(state::already(State::Canceled)),
        State::Completed => return Err(state::over()),
        State::Scheduled => step.state = State::Canceled,
        State::InProgress => {}
    }
    let mut data_set = DataSet::of(std::mem::take(&mut step.body));
    data_set.note_cancellation(&asked, &caller.name);
    data_set.set_state(step.state);
    let facts = data_set.facts()?;
    step.body = data_set.into_json();
    step.updated_at = now;
    step.write(&mut tx, clinic, &facts).await?;
    told(&mut tx, &caller, &step).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

async fn told(tx: &mut storage::db::Tx, caller: &Caller, step: &Workitem) -> Result<(), Problem> {
    caller.about_record(step.workitem_id);
    let event = Event::WorkitemChanged { workitem_id: step.workitem_id };
    Ok(outbox::tell(tx, caller.clinic, &event, step.updated_at).await?)
}

/// Passes where the caller sees the records of all whom the step is about; 404 where its imaging was removed.
async fn seen(rows: &mut Conn, caller: &Caller, step: &Workitem) -> Result<(), Problem> {
    caller.about_record(step.workitem_id);
    let patients = step.patients(rows, caller.clinic).await?;
    for patient in patients.ok_or_else(Problem::not_found)? {
        caller.sees(rows, patient).await?;
    }
    Ok(())
}

/// The study of that UID, where the archive has it and the caller sees it.
async fn seen_study(
    rows: &mut Conn,
    caller: &Caller,
    clinic: ClinicId,
    uid: &clinical::uid::StudyInstanceUid,
) -> Result<Option<StudyId>, Problem> {
    match Study::by_uid(rows, clinic, uid).await {
        Ok(study) => {
            caller.sees(rows, study.patient_id).await?;
            Ok(Some(study.study_id))
        }
        Err(storage::db::DbError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The data set as JSON, without the Transaction UID, which only the performer knows.
fn shown(step: Workitem) -> String {
    let mut data_set = DataSet::of(step.body);
    data_set.set_state(step.state);
    data_set.in_order().into_json().to_string()
}

/// The data sets as a JSON array.
fn data_sets(shown: &[String]) -> Response {
    let mut response = format!("[{}]", shown.join(",")).into_response();
    let json = HeaderValue::from_static(DICOM_JSON);
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The query's one value, which the standard writes alone; a later edition, and some clients, name it.
fn named(uri: &Uri, name: &str) -> Option<String> {
    let query = uri.query()?;
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or(("", pair)));
    let mut values = pairs.filter(|(key, value)| (key.is_empty() || *key == name) && !value.is_empty());
    values.next().map(|(_, value)| value.to_owned())
}

fn uid_of(text: &str) -> Result<SopInstanceUid, Problem> {
    text.parse().map_err(|error| invalid_uid(&error))
}

fn invalid_uid(error: &clinical::uid::UidError) -> Problem {
    Problem::bad_request("invalid-uid", format!("the UID of the workitem or transaction: {error}"))
}

/// PS3.5, section B.2.
fn new_uid() -> SopInstanceUid {
    let text = format!("2.25.{}", Uuid::new_v4().as_u128());
    text.parse().expect("2.25 and at most 39 digits are a UID")
}

#[cfg(test)]
mod tests {
    use super::moment;

    /// PS3.5, table 6.2-1, DT: what is left out is unknown, so that all of it may pass.
    #[test]
    fn an_expected_completion_is_its_latest_moment() {
        let told = |text: &str| moment(text).map(|moment| moment.to_rfc3339());
        assert_eq!(told("20261122093000+0200").as_deref(), Some("2026-11-22T07:30:00.999999+00:00"));
        assert_eq!(told("20261122 ").as_deref(), Some("2026-11-22T23:59:59.999999+00:00"));
        assert_eq!(told("tomorrow"), None);
    }
}
