//! What a clinic forwards to which of its peers.

use axum::extract::State;
use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, ForwardRuleId, PeerId};
use gate::{App, Caller, Cursor, Json, Paged, Path, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::db::DbError;
use storage::records::forward::{ForwardRule, RuleFacts};
use utoipa::ToSchema;

use crate::dicom_peer::checked_title;
use crate::text;

/// Modality and Body Part Examined have the VR CS: 16 characters (PS3.5, section 6.2).
const CODE_CHARACTERS: usize = 16;

/// A rule as clients see it. What is `null` may be anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForwardRuleView {
    /// Our identifier.
    pub id: ForwardRuleId,
    /// The peer to which it sends.
    pub peer_id: PeerId,
    /// Modality (0008,0060) of what it sends.
    pub modality: Option<String>,
    /// The AE title from which that came.
    pub calling_ae: Option<String>,
    /// Body Part Examined (0018,0015) of what it sends.
    pub body_part: Option<String>,
    /// Whether the peer is asked for storage commitment afterwards.
    pub wants_commitment: bool,
    /// Whether it counts.
    pub is_enabled: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl From<ForwardRule> for ForwardRuleView {
    fn from(rule: ForwardRule) -> Self {
        Self {
            id: rule.rule_id,
            peer_id: rule.facts.peer_id,
            modality: rule.facts.modality,
            calling_ae: rule.facts.calling_ae.map(String::from),
            body_part: rule.facts.body_part,
            wants_commitment: rule.facts.wants_commitment,
            is_enabled: rule.facts.is_enabled,
            created_at: rule.created_at,
        }
    }
}

/// How a rule begins. What is left out may be anything.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewForwardRule {
    /// The peer to which it sends.
    peer_id: PeerId,
    /// Modality (0008,0060), such as `CT`.
    #[schema(
        min_length = 1,
        max_length = 16,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    modality: Option<String>,
    /// The AE title of the sender.
    #[schema(min_length = 1, max_length = 16, pattern = "^ *[!-\\[\\]-~]([ -\\[\\]-~]*[!-\\[\\]-~])? *$")]
    calling_ae: Option<String>,
    /// Body Part Examined (0018,0015), such as `CHEST`.
    #[schema(
        min_length = 1,
        max_length = 16,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    body_part: Option<String>,
    /// Whether the peer is asked for storage commitment; it is not when this is left out.
    wants_commitment: Option<bool>,
    /// Whether it counts; it does when this is left out.
    is_enabled: Option<bool>,
}

/// What becomes different; what is left out stays, and `null` lets it be anything.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ForwardRulePatch {
    peer_id: Option<PeerId>,
    #[serde(default, deserialize_with = "text::present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 16, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$")]
    modality: Option<Option<String>>,
    #[serde(default, deserialize_with = "text::present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 16, pattern = "^ *[!-\\[\\]-~]([ -\\[\\]-~]*[!-\\[\\]-~])? *$")]
    calling_ae: Option<Option<String>>,
    #[serde(default, deserialize_with = "text::present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 16, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$")]
    body_part: Option<Option<String>>,
    wants_commitment: Option<bool>,
    is_enabled: Option<bool>,
}

impl ForwardRulePatch {
    fn apply(self, facts: &mut RuleFacts) -> Result<(), Problem> {
        facts.peer_id = self.peer_id.unwrap_or(facts.peer_id);
        if let Some(modality) = self.modality {
            facts.modality = text::optional("modality", modality, CODE_CHARACTERS)?;
        }
        if let Some(title) = self.calling_ae {
            facts.calling_ae = title.as_deref().map(checked_title).transpose()?;
        }
        if let Some(body_part) = self.body_part {
            facts.body_part = text::optional("bodyPart", body_part, CODE_CHARACTERS)?;
        }
        facts.wants_commitment = self.wants_commitment.unwrap_or(facts.wants_commitment);
        facts.is_enabled = self.is_enabled.unwrap_or(facts.is_enabled);
        Ok(())
    }
}

fn no_peer(error: DbError) -> Problem {
    match error {
        DbError::NotFound => Problem::bad_request("unknown-dicom-peer", "the clinic has no such peer"),
        DbError::Conflict => Problem::conflict("too-many-forward-rules", "remove some rules first"),
        error => error.into(),
    }
}

/// `POST /api/v1/clinics/{clinicId}/forward-rules`: counts after five seconds at the latest.
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<NewForwardRule>,
) -> Result<(StatusCode, Json<ForwardRuleView>), Problem> {
    let facts = RuleFacts {
        peer_id: request.peer_id,
        modality: text::optional("modality", request.modality, CODE_CHARACTERS)?,
        calling_ae: request.calling_ae.as_deref().map(checked_title).transpose()?,
        body_part: text::optional("bodyPart", request.body_part, CODE_CHARACTERS)?,
        wants_commitment: request.wants_commitment.unwrap_or(false),
        is_enabled: request.is_enabled.unwrap_or(true),
    };

    let mut tx = app.db.of(caller.clinic).begin().await?;
    let rule = ForwardRule::create(&mut tx, caller.clinic, facts, app.clock.now()).await.map_err(no_peer)?;
    caller.about_record(rule.rule_id);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok((StatusCode::CREATED, Json(rule.into())))
}

/// `GET /api/v1/clinics/{clinicId}/forward-rules`
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
) -> Result<Paged<ForwardRuleView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let found = ForwardRule::list(&mut rows, caller.clinic, page.after, page.rows()).await?;
    Ok(page.of_rows(found, |rule| rule.rule_id.0).map(ForwardRuleView::from))
}

/// `GET /api/v1/clinics/{clinicId}/forward-rules/{ruleId}`
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path((_, id)): Path<(ClinicId, ForwardRuleId)>,
) -> Result<Json<ForwardRuleView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    Ok(Json(ForwardRule::find(&mut rows, caller.clinic, id).await?.into()))
}

/// `PATCH /api/v1/clinics/{clinicId}/forward-rules/{ruleId}`
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    Path((_, id)): Path<(ClinicId, ForwardRuleId)>,
    Json(request): Json<ForwardRulePatch>,
) -> Result<Json<ForwardRuleView>, Problem> {
    let mut tx = app.db.of(caller.clinic).begin().await?;
    let mut rule = ForwardRule::find(&mut tx, caller.clinic, id).await?;
    request.apply(&mut rule.facts)?;
    ForwardRule::change(&mut tx, caller.clinic, id, &rule.facts).await.map_err(no_peer)?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok(Json(rule.into()))
}

/// `DELETE /api/v1/clinics/{clinicId}/forward-rules/{ruleId}`: what waits by it is sent all the same.
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path((_, id)): Path<(ClinicId, ForwardRuleId)>,
) -> Result<StatusCode, Problem> {
    let mut tx = app.db.of(caller.clinic).begin().await?;
    ForwardRule::remove(&mut tx, caller.clinic, id).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok(StatusCode::NO_CONTENT)
}
