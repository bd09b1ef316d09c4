//! What the law lets be removed is removed; the answer says what was kept, and why.

use axum::extract::State;
use chrono::{DateTime, NaiveDate, Utc};
use clinical::event::Event;
use clinical::id::PatientId;
use clinical::invalid::line;
use gate::{App, Caller, Json, Path, Problem};
use serde::{Deserialize, Serialize};
use storage::archive::ArchiveError;
use storage::outbox;
use storage::records::patient::{EraseError, Erased, Patient};
use utoipa::ToSchema;

use crate::door::{merged, refused, see};

/// Longest reason, in characters.
const REASON_CHARACTERS: usize = 500;

/// Why it is done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EraseRequest {
    /// In words, for the audit trail.
    #[schema(
        min_length = 1,
        max_length = 500,
        pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]([^\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]*[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069])?$"
    )]
    reason: String,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErasureView {
    /// The patient.
    pub id: PatientId,
    /// When.
    pub erased_at: DateTime<Utc>,
    /// What is gone; name, birth date, sex and contacts always are.
    pub removed: RemovedView,
    /// What is left, and why.
    pub kept: Vec<KeptView>,
    /// On this day the last of it may go; `null` where only the audit trail is left.
    pub kept_until: Option<NaiveDate>,
}

/// What an erasure has removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemovedView {
    /// Name, birth date, sex, telephone number, e-mail and postal address.
    pub demographics: bool,
    /// So many identifiers.
    pub identifiers: u64,
    /// So many studies, with their images and what networks saw in them.
    pub studies: u64,
    /// So many allergies, conditions, medication and vital signs.
    pub statements: u64,
}

/// What an erasure has kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeptView {
    /// `studies`, `statements`, `bills` or `audit-trail`.
    pub what: String,
    /// How many; `null` where nobody counts.
    pub count: Option<u64>,
    /// Why.
    pub because: String,
}

impl ErasureView {
    fn of(id: PatientId, erased_at: DateTime<Utc>, erased: &Erased) -> Self {
        let kept = |what: &str, count, because: String| KeptView { what: what.to_owned(), count, because };
        let years = erased.retention_years;
        let mut all = Vec::new();
        if erased.kept_studies > 0 {
            let because = format!(
                "medical records are kept for {years} years, locked ones for longer (GDPR, article 17 (3) (b) and \
                 (c)); the files are as they were received, with the name in them; the record is restricted from now on"
            );
            all.push(kept("studies", Some(erased.kept_studies), because));
        }
        if erased.kept_statements > 0 {
            let because =
                format!("medical records are kept for {years} years (GDPR, article 17 (3) (b) and (c))");
            all.push(kept("statements", Some(erased.kept_statements), because));
        }
        if erased.kept_payers > 0 {
            let because = "books are kept of what was billed and paid, with the name of who pays and without their \
                           contacts (GDPR, article 17 (3) (b))";
            all.push(kept("bills", Some(erased.kept_payers), because.to_owned()));
        }
        let because = "who saw and did what must stay provable; the trail names no person, only identifiers";
        all.push(kept("audit-trail", None, because.to_owned()));
        Self {
            id,
            erased_at,
            removed: RemovedView {
                demographics: true,
                identifiers: erased.identifiers,
                studies: erased.studies,
                statements: erased.statements,
            },
            kept: all,
            kept_until: erased.kept_until,
        }
    }
}

/// `POST /api/v1/patients/{patientId}/erase`; done again later, it removes what has grown old since.
pub(crate) async fn erase(
    State(app): State<App>,
    caller: Caller,
    Path(patient_id): Path<PatientId>,
    Json(EraseRequest { reason }): Json<EraseRequest>,
) -> Result<Json<ErasureView>, Problem> {
    line("reason", &reason, REASON_CHARACTERS).map_err(refused)?;

    let (clinic, now) = (caller.clinic, app.clock.now());
    let mut tx = app.db.of(clinic).begin().await?;
    if see(&mut tx, &caller, patient_id, now).await?.merged_into.is_some() {
        return Err(merged());
    }
    let erased = Patient::erase(&mut tx, clinic, patient_id, now).await.map_err(|error| match error {
        EraseError::Merged => merged(),
        EraseError::Database(error) => error.into(),
    })?;
    outbox::tell(&mut tx, clinic, &Event::PatientErased { patient_id }, now).await?;
    caller.because(&reason);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    for key in &erased.blob_keys {
        match app.archive.delete(key).await {
            Ok(()) | Err(ArchiveError::NotFound) => {}
            // No row names it any more: the sweep takes it.
            Err(error) => tracing::warn!(%error, "the bytes of an erased instance are left to the sweep"),
        }
    }
    Ok(Json(ErasureView::of(patient_id, now, &erased)))
}
