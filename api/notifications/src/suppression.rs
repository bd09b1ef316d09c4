//! Addresses to which nothing is sent any more: they do not exist, or whoever is behind them has said so.

use axum::extract::State;
use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, SuppressionId};
use gate::{Caller, Cursor, Json, Paged, Path, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use storage::db::{Conn, DbError, FromRow, Result, Row, Tx, sql};
use storage::records::user::EmailAddress;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::channel::{Channel, PhoneNumber};
use crate::state::NotificationsState;

/// Why nothing is sent to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SuppressionReason)]
pub enum Reason {
    /// It takes no messages.
    Bounce,
    /// Whoever is behind it called a message unwanted.
    Complaint,
    /// Somebody of the clinic said so.
    Manual,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Bounce => "bounce",
            Self::Complaint => "complaint",
            Self::Manual => "manual",
        }
    }
}

/// An address to which nothing is sent any more.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuppressionView {
    /// Our identifier.
    pub id: SuppressionId,
    /// By which channel.
    pub channel: Channel,
    /// Enough of the address to know it again.
    pub address: String,
    /// Why.
    pub reason: Reason,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

impl FromRow for SuppressionView {
    fn from_row(row: &Row) -> Result<Self> {
        let (channel, reason): (String, String) = (row.get("channel")?, row.get("reason")?);
        let corrupt = |column: &str| DbError::Corrupt(format!("notification_suppressions.{column}"));
        let reasons = [Reason::Bounce, Reason::Complaint, Reason::Manual];
        Ok(Self {
            id: row.id("suppression_id")?,
            channel: Channel::named(&channel).ok_or_else(|| corrupt("channel"))?,
            address: row.get("shown")?,
            reason: reasons.into_iter().find(|it| it.as_str() == reason).ok_or_else(|| corrupt("reason"))?,
            created_at: row.get("created_at")?,
        })
    }
}

/// What is kept of an address; `key` is how it is compared.
fn digest(key: &str) -> String {
    Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Enough of an address to know it again, too little to write to it.
fn shown(channel: Channel, key: &str) -> String {
    let ends = |text: &str, last: usize| {
        let first: String = text.chars().take(1).collect();
        let skipped = text.chars().count().saturating_sub(last);
        format!("{first}…{}", text.chars().skip(skipped.max(1)).collect::<String>())
    };
    match (channel, key.rsplit_once('@')) {
        (Channel::Email, Some((name, host))) => format!("{}@{host}", ends(name, 0)),
        _ => ends(key, 3),
    }
}

/// Sends nothing more to an address; what was said of it first stays.
pub(crate) async fn suppress(
    db: &mut Tx,
    clinic: ClinicId,
    channel: Channel,
    key: &str,
    reason: Reason,
    now: DateTime<Utc>,
) -> Result<()> {
    let insert =
        "INSERT INTO notification_suppressions (suppression_id, clinic_id, channel, digest, shown, reason,
                                                         created_at)
                  VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (clinic_id, channel, digest) DO NOTHING";
    sql(insert)
        .bind(SuppressionId::new())
        .bind(clinic)
        .bind(channel.name())
        .bind(digest(key))
        .bind(shown(channel, key))
        .bind(reason.as_str())
        .bind(now)
        .execute(db)
        .await
        .map(|_| ())
}

/// Whether nothing is sent to an address.
pub(crate) async fn is_suppressed(
    db: &mut Conn,
    clinic: ClinicId,
    channel: Channel,
    key: &str,
) -> Result<bool> {
    let find = "SELECT suppression_id FROM notification_suppressions
                 WHERE clinic_id = $1 AND channel = $2 AND digest = $3";
    let found: Option<Uuid> =
        sql(find).bind(clinic).bind(channel.name()).bind(digest(key)).fetch_optional(db).await?;
    Ok(found.is_some())
}

/// An address to which nothing is to be sent.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewSuppression {
    /// `email`, `sms` or `whatsapp`.
    channel: Channel,
    /// The address, or the telephone number as `+254201234567`.
    #[schema(max_length = 320)]
    address: String,
}

impl NewSuppression {
    /// The address as it is compared.
    fn key(&self) -> Result<String, Problem> {
        let invalid =
            |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-address", detail);
        match self.channel {
            Channel::Email => {
                let address: EmailAddress =
                    self.address.parse().map_err(|error| invalid(format!("{error}")))?;
                Ok(address.key())
            }
            Channel::Sms | Channel::Whatsapp => {
                let number: PhoneNumber =
                    self.address.parse().map_err(|error| invalid(format!("{error}")))?;
                Ok(number.as_str().to_owned())
            }
            Channel::InApp | Channel::Push => Err(invalid("channel is email, sms or whatsapp".to_owned())),
        }
    }
}

/// `GET /api/v1/notifications/suppressions`: newest first.
pub(crate) async fn list(
    State(state): State<NotificationsState>,
    caller: Caller,
    page: Cursor,
) -> Result<Paged<SuppressionView>, Problem> {
    let mut read = state.app.db.of(caller.clinic).read().await?;
    let before = page.after.unwrap_or(Uuid::max());
    let find = "SELECT suppression_id, channel, shown, reason, created_at FROM notification_suppressions
                 WHERE clinic_id = $1 AND suppression_id < $2 ORDER BY suppression_id DESC LIMIT $3";
    let found: Vec<SuppressionView> =
        sql(find).bind(caller.clinic).bind(before).bind(page.rows()).fetch_all(&mut read).await?;
    Ok(page.of_rows(found, |it| it.id.0))
}

/// `POST /api/v1/notifications/suppressions`
pub(crate) async fn create(
    State(state): State<NotificationsState>,
    caller: Caller,
    Json(request): Json<NewSuppression>,
) -> Result<StatusCode, Problem> {
    let key = request.key()?;
    let mut tx = state.app.db.of(caller.clinic).begin().await?;
    suppress(&mut tx, caller.clinic, request.channel, &key, Reason::Manual, state.app.clock.now()).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/v1/notifications/suppressions/{id}`: it is written to again.
pub(crate) async fn remove(
    State(state): State<NotificationsState>,
    caller: Caller,
    Path(id): Path<SuppressionId>,
) -> Result<StatusCode, Problem> {
    let mut tx = state.app.db.of(caller.clinic).begin().await?;
    let delete = "DELETE FROM notification_suppressions WHERE clinic_id = $1 AND suppression_id = $2";
    if sql(delete).bind(caller.clinic).bind(id).execute(&mut tx).await? == 0 {
        return Err(Problem::not_found());
    }
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_so_that_nobody_can_write_to_it() {
        assert_eq!(shown(Channel::Email, "ada.lovelace@example.org"), "a…@example.org");
        assert_eq!(shown(Channel::Sms, "+254201234567"), "+…567");
        assert_eq!(shown(Channel::Push, "x"), "x…");
    }
}
