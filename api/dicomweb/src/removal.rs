//! `DELETE` of a study, a series or an instance, what stays known of it, and the lock of a study: beyond the standard.
//!
//! What the law still keeps is refused, or, by who may and says why, hidden until it may go; a tombstone stays.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, NaiveDate, Utc};
use clinical::event::Event;
use clinical::id::{StudyId, TombstoneId};
use clinical::invalid::line;
use clinical::role::{Action, Permission, Resource as Kind};
use clinical::uid::StudyInstanceUid;
use gate::{App, Caller, Cursor, Json, Paged, Problem, Query};
use serde::{Deserialize, Serialize};
use storage::archive::ArchiveError;
use storage::outbox;
use storage::records::rejection::{self, Code, Ground, Target, Tombstone};
use storage::records::study::Study;
use utoipa::{IntoParams, ToSchema};

use crate::resource::Resource;

/// Longest reason, in characters.
const REASON_CHARACTERS: usize = 500;

/// Why it is done, and whether the law is known to keep it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemovalQuery {
    /// In words, for tombstone and audit trail; needed where `override` is set.
    #[param(
        min_length = 1,
        max_length = 500,
        pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]([^\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]*[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069])?$"
    )]
    reason: Option<String>,
    /// Hides what must still be kept, until it may go.
    r#override: Option<bool>,
}

/// What a removal did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemovalView {
    /// What stays known of it.
    pub tombstone_id: TombstoneId,
    /// So many instances are found no more.
    pub instances: i64,
    /// Until then the bytes are kept, hidden; `null` where they are gone.
    pub kept_until: Option<NaiveDate>,
}

/// Of which study.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct TombstoneFilter {
    /// The removals from this study alone.
    #[param(value_type = Option<String>, max_length = 64, pattern = "^[0-9]+(\\.[0-9]+)*$")]
    study: Option<StudyInstanceUid>,
}

/// What was removed or rejected, by whom and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TombstoneView {
    id: TombstoneId,
    /// Our identifier of the study, whether anything of it is left or not.
    study_id: StudyId,
    study_instance_uid: String,
    /// Where no more than a series, or an instance, was meant; of a note none, for it names instances.
    series_instance_uid: Option<String>,
    sop_instance_uid: Option<String>,
    /// `deleted`, or the code of the rejection note's title in the scheme DCM: `113001`, `113037`, `113038`, `113039`.
    #[schema(value_type = String)]
    code: &'static str,
    reason: String,
    /// A name, or `note:` and the SOP Instance UID of the rejection note.
    removed_by: String,
    removed_at: DateTime<Utc>,
    /// So many instances it has hidden, those included that came later.
    instances: i64,
    /// Until then the bytes are kept, hidden.
    kept_until: NaiveDate,
    /// When they went; `null` where they are kept.
    purged_at: Option<DateTime<Utc>>,
}

impl From<Tombstone> for TombstoneView {
    fn from(tombstone: Tombstone) -> Self {
        Self {
            id: tombstone.tombstone_id,
            study_id: tombstone.study_id,
            study_instance_uid: tombstone.study_uid,
            series_instance_uid: tombstone.series_uid,
            sop_instance_uid: tombstone.sop_uid,
            code: tombstone.code.as_str(),
            reason: tombstone.reason,
            removed_by: tombstone.removed_by,
            removed_at: tombstone.removed_at,
            instances: tombstone.instance_count,
            kept_until: tombstone.kept_until,
            purged_at: tombstone.purged_at,
        }
    }
}

/// `GET /api/v1/removals?study=…`: newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
    Query(filter): Query<TombstoneFilter>,
) -> Result<Paged<TombstoneView>, Problem> {
    let (clinic, after) = (caller.clinic, page.after.map(TombstoneId));
    let mut rows = app.db.of(clinic).read().await?;
    let found = Tombstone::list(&mut rows, clinic, filter.study.as_ref(), after, page.rows()).await?;
    Ok(page.of_rows(found, |tombstone| tombstone.tombstone_id.0).map(TombstoneView::from))
}

/// `DELETE /dicom-web/studies/{study}`, `…/series/{series}` and `…/instances/{instance}`
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    resource: Resource,
    Query(query): Query<RemovalQuery>,
) -> Result<Json<RemovalView>, Problem> {
    let reason = query.reason.as_deref().unwrap_or_default();
    if query.reason.is_some() {
        line("reason", reason, REASON_CHARACTERS)
            .map_err(|error| Problem::bad_request("invalid-query", error.to_string()))?;
    }
    let is_override = query.r#override == Some(true);
    if is_override {
        may_override(&caller)?;
        if reason.is_empty() {
            return Err(Problem::bad_request("reason-missing", "whoever overrides the retention says why"));
        }
    }
    let Some(study) = &resource.study else { return Err(Problem::not_found()) };
    let target = Target { study, series: resource.series.as_ref(), instance: resource.instance.as_ref() };
    let (clinic, now) = (caller.clinic, app.clock.now());

    let mut tx = app.db.of(clinic).begin().await?;
    rejection::wait_to_remove(&mut tx, clinic, [study]).await?;
    let Some(standed) = target.look(&mut tx, clinic).await? else { return Err(Problem::not_found()) };
    caller.sees(&mut tx, standed.patient_id).await?;
    caller.about_record(standed.study_id);
    if Study::is_locked(&mut tx, clinic, study).await? {
        return Err(Problem::conflict(
            "study-locked",
            "nothing is stored into or removed from a locked study",
        ));
    }
    if standed.kept_until > now.date_naive() && !is_override {
        let detail = format!(
            "medical records are kept for {} years: until {}; who may erase studies can hide it with \
             override=true and a reason",
            standed.retention_years, standed.kept_until
        );
        return Err(Problem::conflict("retention", detail));
    }
    let ground = Ground { code: Code::Deleted, reason, by: &caller.name };
    let removed = rejection::remove(&mut tx, clinic, &target, &standed, &ground, now).await?;
    let event = Event::InstancesRemoved { study_id: standed.study_id, tombstone_id: removed.tombstone_id };
    outbox::tell(&mut tx, clinic, &event, now).await?;
    if !reason.is_empty() {
        caller.because(reason);
    }
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    for key in &removed.blob_keys {
        match app.archive.delete(key).await {
            Ok(()) | Err(ArchiveError::NotFound) => {}
            // No row names it any more: the sweep takes it.
            Err(error) => tracing::warn!(%error, "the bytes of a removed instance are left to the sweep"),
        }
    }
    Ok(Json(RemovalView {
        tombstone_id: removed.tombstone_id,
        instances: removed.instance_count,
        kept_until: removed.kept_until,
    }))
}

/// Passes whoever may erase studies; a machine may not.
fn may_override(caller: &Caller) -> Result<(), Problem> {
    let erase = Permission { resource: Kind::Study, action: Action::Erase };
    if caller.role.is_some_and(|role| role.reach(erase).is_some()) {
        return Ok(());
    }
    let detail = "to override the retention takes the right study:erase";
    Err(Problem::new(StatusCode::FORBIDDEN, "not-allowed", detail))
}

/// `PUT /dicom-web/studies/{study}/lock`
pub(crate) async fn lock(
    State(app): State<App>,
    caller: Caller,
    resource: Resource,
) -> Result<StatusCode, Problem> {
    set_lock(&app, &caller, &resource, Lock::Closed).await
}

/// `DELETE /dicom-web/studies/{study}/lock`
pub(crate) async fn unlock(
    State(app): State<App>,
    caller: Caller,
    resource: Resource,
) -> Result<StatusCode, Problem> {
    set_lock(&app, &caller, &resource, Lock::Open).await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lock {
    Closed,
    Open,
}

async fn set_lock(
    app: &App,
    caller: &Caller,
    resource: &Resource,
    lock: Lock,
) -> Result<StatusCode, Problem> {
    let Some(uid) = &resource.study else { return Err(Problem::not_found()) };
    let (clinic, now) = (caller.clinic, app.clock.now());
    let mut tx = app.db.of(clinic).begin().await?;
    rejection::wait_to_remove(&mut tx, clinic, [uid]).await?;
    let study = Study::by_uid(&mut tx, clinic, uid).await?;
    caller.sees(&mut tx, study.patient_id).await?;
    caller.about_record(study.study_id);
    let since = (lock == Lock::Closed).then_some(now);
    if Study::lock(&mut tx, clinic, uid, since).await? {
        let study_id = study.study_id;
        let event = match lock {
            Lock::Closed => Event::StudyLocked { study_id },
            Lock::Open => Event::StudyUnlocked { study_id },
        };
        outbox::tell(&mut tx, clinic, &event, now).await?;
    }
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
