//! What a clinic allows to be told where others may read it, and in which language it speaks.

use axum::extract::State;
use clinical::id::ClinicId;
use gate::{Caller, Json, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::db::{Conn, FromRow, Result, Row, sql};
use utoipa::ToSchema;

use crate::preferences::is_locale;
use crate::state::NotificationsState;

/// What a clinic has set for its messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// Whether pushes, short messages and the subjects of e-mails may tell what a message about somebody's health says.
    pub shows_details: bool,
    /// The language of who has named none, as `en` or `fr-CH`.
    #[schema(max_length = 35)]
    pub locale: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { shows_details: false, locale: "en".to_owned() }
    }
}

impl FromRow for Settings {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { shows_details: row.get("shows_details")?, locale: row.get("locale")? })
    }
}

/// What a clinic has set.
pub(crate) async fn of(db: &mut Conn, clinic: ClinicId) -> Result<Settings> {
    let find =
        sql("SELECT shows_details, locale FROM notification_settings WHERE clinic_id = $1").bind(clinic);
    Ok(find.fetch_optional(db).await?.unwrap_or_default())
}

/// `GET /api/v1/notifications/settings`
pub(crate) async fn show(
    State(state): State<NotificationsState>,
    caller: Caller,
) -> Result<Json<Settings>, Problem> {
    Ok(Json(of(&mut state.app.db.of(caller.clinic).read().await?, caller.clinic).await?))
}

/// `PUT /api/v1/notifications/settings`
pub(crate) async fn write(
    State(state): State<NotificationsState>,
    caller: Caller,
    Json(request): Json<Settings>,
) -> Result<Json<Settings>, Problem> {
    if !is_locale(&request.locale) {
        let detail = "locale is a language, as de or fr-CH (BCP 47)";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-settings", detail));
    }
    let mut tx = state.app.db.of(caller.clinic).begin().await?;
    let upsert = "INSERT INTO notification_settings (clinic_id, shows_details, locale, changed_at)
                  VALUES ($1, $2, $3, $4)
                  ON CONFLICT (clinic_id) DO UPDATE
                     SET shows_details = excluded.shows_details, locale = excluded.locale,
                         changed_at = excluded.changed_at";
    sql(upsert)
        .bind(caller.clinic)
        .bind(request.shows_details)
        .bind(&request.locale)
        .bind(state.app.clock.now())
        .execute(&mut tx)
        .await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(Json(request))
}
