//! Where a clinic wants its events sent; their ways there are in [`delivery`].

pub mod delivery;
pub mod target;

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::{ClinicId, WebhookId};

use self::target::WebhookUrl;
use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};
use crate::secret::Sealed;

/// For what a webhook's secret is sealed.
pub const SECRET_PURPOSE: &str = "webhook";
/// A clinic has so many webhooks at most.
pub const MOST_PER_CLINIC: i64 = 50;

const COLUMNS: &str =
    "webhook_id, clinic_id, url, description, events, secret, previous_secret, previous_until,
                       state, disabled_reason, failing_since, created_at";

/// Whether anything is sent there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookState {
    /// Events are sent.
    Active,
    /// Nothing is sent; what waits goes on waiting.
    Disabled,
}

impl WebhookState {
    /// Its stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }
}

impl FromStr for WebhookState {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "active" => Ok(Self::Active),
            "disabled" => Ok(Self::Disabled),
            _ => Err(DbError::Corrupt("webhooks.state".to_owned())),
        }
    }
}

/// A webhook of a clinic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its identifier.
    pub webhook_id: WebhookId,
    /// Whose events go there.
    pub clinic_id: ClinicId,
    /// Where they go.
    pub url: String,
    /// What it is for, in the clinic's words.
    pub description: String,
    /// The names of the events that go there; empty: every one.
    pub events: Vec<String>,
    /// What they are signed with.
    pub secret: Sealed,
    /// The secret before it, which signs too until then.
    pub previous: Option<(Sealed, DateTime<Utc>)>,
    /// Whether anything is sent.
    pub state: WebhookState,
    /// Why nothing is.
    pub disabled_reason: Option<String>,
    /// Since when nothing has arrived there.
    pub failing_since: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl FromRow for Webhook {
    fn from_row(row: &Row) -> Result<Self> {
        let events: serde_json::Value = row.get("events")?;
        let previous: Option<String> = row.get("previous_secret")?;
        let previous = previous.map(|text| text.parse()).transpose();
        let previous = previous.map_err(|_| DbError::Corrupt("webhooks.previous_secret".to_owned()))?;
        let previous_until: Option<DateTime<Utc>> = row.get("previous_until")?;
        Ok(Self {
            webhook_id: row.id("webhook_id")?,
            clinic_id: row.id("clinic_id")?,
            url: row.get("url")?,
            description: row.get("description")?,
            events: serde_json::from_value(events)
                .map_err(|_| DbError::Corrupt("webhooks.events".to_owned()))?,
            secret: row.parse("secret")?,
            previous: previous.zip(previous_until),
            state: row.parse("state")?,
            disabled_reason: row.get("disabled_reason")?,
            failing_since: row.get("failing_since")?,
            created_at: row.get("created_at")?,
        })
    }
}

/// What a clinic may change of a webhook; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct WebhookChange {
    /// Where the events go.
    pub url: Option<WebhookUrl>,
    /// What it is for.
    pub description: Option<String>,
    /// The names of the events.
    pub events: Option<Vec<String>>,
    /// Whether anything is sent.
    pub state: Option<WebhookState>,
}

impl Webhook {
    /// Makes one.
    pub async fn create(
        db: &mut Tx,
        clinic: ClinicId,
        url: &WebhookUrl,
        description: &str,
        events: &[String],
        secret: &Sealed,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        built_sql(format!(
            "INSERT INTO webhooks (webhook_id, clinic_id, url, description, events, secret, state, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, 'active', $7) RETURNING {COLUMNS}"
        ))
        .bind(WebhookId::new())
        .bind(clinic)
        .bind(url.as_str())
        .bind(description)
        .bind(serde_json::json!(events))
        .bind(secret)
        .bind(now)
        .fetch_one(db)
        .await
    }

    /// One of the clinic.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] where the clinic has none of that identifier.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: WebhookId) -> Result<Self> {
        built_sql(format!("SELECT {COLUMNS} FROM webhooks WHERE clinic_id = $1 AND webhook_id = $2"))
            .bind(clinic)
            .bind(id)
            .fetch_one(db)
            .await
    }

    /// The clinic's webhooks before `before`, the latest first.
    pub async fn list(
        db: &mut Conn,
        clinic: ClinicId,
        before: Option<WebhookId>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        built_sql(format!(
            "SELECT {COLUMNS} FROM webhooks WHERE clinic_id = $1 AND webhook_id < $2
              ORDER BY webhook_id DESC LIMIT $3"
        ))
        .bind(clinic)
        .bind(before.unwrap_or(WebhookId(uuid::Uuid::max())))
        .bind(limit)
        .fetch_all(db)
        .await
    }

    /// Those of the clinic to which something is sent.
    pub async fn active(db: &mut Conn, clinic: ClinicId) -> Result<Vec<Self>> {
        built_sql(format!(
            "SELECT {COLUMNS} FROM webhooks WHERE clinic_id = $1 AND state = 'active'
              ORDER BY webhook_id LIMIT $2"
        ))
        .bind(clinic)
        .bind(MOST_PER_CLINIC)
        .fetch_all(db)
        .await
    }

    /// How many the clinic has.
    pub async fn count(db: &mut Conn, clinic: ClinicId) -> Result<i64> {
        sql("SELECT count(*) FROM webhooks WHERE clinic_id = $1").bind(clinic).fetch_one(db).await
    }

    /// Changes it; made active, it counts as never having failed.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] where the clinic has none of that identifier.
    pub async fn change(
        db: &mut Tx,
        clinic: ClinicId,
        id: WebhookId,
        change: &WebhookChange,
    ) -> Result<Self> {
        built_sql(format!(
            "UPDATE webhooks
                SET url = COALESCE($1, url), description = COALESCE($2, description),
                    events = COALESCE($3, events), state = COALESCE($4, state),
                    disabled_reason = CASE WHEN $4 = 'active' THEN NULL
                                           WHEN $4 = 'disabled' AND state = 'active' THEN 'by the clinic'
                                           ELSE disabled_reason END,
                    failing_since = CASE WHEN $4 = 'active' THEN NULL ELSE failing_since END
              WHERE clinic_id = $5 AND webhook_id = $6 RETURNING {COLUMNS}"
        ))
        .bind(change.url.as_ref().map(|url| url.as_str().to_owned()))
        .bind(change.description.clone())
        .bind(change.events.as_ref().map(|events| serde_json::json!(events)))
        .bind(change.state.map(|state| state.as_str().to_owned()))
        .bind(clinic)
        .bind(id)
        .fetch_one(db)
        .await
    }

    /// Gives it a new secret; the one until now signs too until `previous_until`.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] where the clinic has none of that identifier.
    pub async fn change_secret(
        db: &mut Tx,
        clinic: ClinicId,
        id: WebhookId,
        secret: &Sealed,
        previous_until: DateTime<Utc>,
    ) -> Result<Self> {
        built_sql(format!(
            "UPDATE webhooks SET previous_secret = secret, previous_until = $1, secret = $2
              WHERE clinic_id = $3 AND webhook_id = $4 RETURNING {COLUMNS}"
        ))
        .bind(previous_until)
        .bind(secret)
        .bind(clinic)
        .bind(id)
        .fetch_one(db)
        .await
    }

    /// Removes it with all its deliveries.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] where the clinic has none of that identifier.
    pub async fn delete(db: &mut Tx, clinic: ClinicId, id: WebhookId) -> Result<()> {
        let gone = sql("DELETE FROM webhooks WHERE clinic_id = $1 AND webhook_id = $2");
        match gone.bind(clinic).bind(id).execute(db).await? {
            0 => Err(DbError::NotFound),
            _ => Ok(()),
        }
    }

    /// Something has arrived there.
    pub async fn has_answered(db: &mut Tx, clinic: ClinicId, id: WebhookId) -> Result<()> {
        sql("UPDATE webhooks SET failing_since = NULL
              WHERE clinic_id = $1 AND webhook_id = $2 AND failing_since IS NOT NULL")
        .bind(clinic)
        .bind(id)
        .execute(db)
        .await
        .map(|_| ())
    }

    /// Nothing has arrived there; where that has been so for `patience`, it is disabled: `true`.
    pub async fn has_failed(
        db: &mut Tx,
        clinic: ClinicId,
        id: WebhookId,
        patience: TimeDelta,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        sql("UPDATE webhooks SET failing_since = $1
              WHERE clinic_id = $2 AND webhook_id = $3 AND failing_since IS NULL")
        .bind(now)
        .bind(clinic)
        .bind(id)
        .execute(db)
        .await?;
        let disabled = "UPDATE webhooks SET state = 'disabled', disabled_reason = 'nothing has arrived for days'
                         WHERE clinic_id = $1 AND webhook_id = $2 AND state = 'active' AND failing_since <= $3";
        Ok(sql(disabled).bind(clinic).bind(id).bind(now - patience).execute(db).await? == 1)
    }

    /// Its owner has said that it is gone for good; `true` when it was active.
    pub async fn is_gone(db: &mut Tx, clinic: ClinicId, id: WebhookId) -> Result<bool> {
        let disabled = "UPDATE webhooks SET state = 'disabled', disabled_reason = 'it answered 410 Gone'
                         WHERE clinic_id = $1 AND webhook_id = $2 AND state = 'active'";
        Ok(sql(disabled).bind(clinic).bind(id).execute(db).await? == 1)
    }

    /// Whether it wants events of this name.
    pub fn wants(&self, name: &str) -> bool {
        self.events.is_empty() || self.events.iter().any(|wanted| wanted == name)
    }
}

#[cfg(test)]
mod tests {
    use super::target::Targets;
    use super::*;
    use crate::secret::Keyring;
    use crate::testing::{now, on_both};

    const CLINIC: ClinicId = ClinicId::DEFAULT;

    fn sealed() -> Sealed {
        let keys = Keyring::from_text("k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
        keys.seal(CLINIC, SECRET_PURPOSE, b"not shown").unwrap()
    }

    async fn made(db: &crate::db::Db) -> Webhook {
        let url = WebhookUrl::check("https://example.org/hook", Targets::PublicOnly).unwrap();
        let mut tx = db.begin().await.unwrap();
        let events = ["findings_ready".to_owned()];
        let made = Webhook::create(&mut tx, CLINIC, &url, "the archive", &events, &sealed(), now()).await;
        tx.commit().await.unwrap();
        made.unwrap()
    }

    #[tokio::test]
    async fn a_webhook_reads_back_for_its_clinic_alone() {
        on_both(async |db| {
            let made = made(&db).await;
            assert!(made.wants("findings_ready") && !made.wants("instance_stored"));
            let mut read = db.read().await.unwrap();
            assert_eq!(Webhook::find(&mut read, CLINIC, made.webhook_id).await.unwrap(), made);
            assert_eq!(
                Webhook::list(&mut read, CLINIC, None, 10).await.unwrap(),
                std::slice::from_ref(&made)
            );
            assert_eq!(Webhook::active(&mut read, CLINIC).await.unwrap(), std::slice::from_ref(&made));
            assert_eq!(Webhook::count(&mut read, CLINIC).await.unwrap(), 1);
            let theirs = ClinicId::new();
            assert!(matches!(
                Webhook::find(&mut read, theirs, made.webhook_id).await,
                Err(DbError::NotFound)
            ));
            assert!(Webhook::active(&mut read, theirs).await.unwrap().is_empty());
        })
        .await;
    }

    #[tokio::test]
    async fn only_what_is_named_changes_and_the_old_secret_signs_for_a_while() {
        on_both(async |db| {
            let made = made(&db).await;
            let mut tx = db.begin().await.unwrap();
            let change = WebhookChange { state: Some(WebhookState::Disabled), ..WebhookChange::default() };
            let off = Webhook::change(&mut tx, CLINIC, made.webhook_id, &change).await.unwrap();
            assert_eq!(
                (off.state, off.disabled_reason.as_deref()),
                (WebhookState::Disabled, Some("by the clinic"))
            );
            assert_eq!((&off.url, &off.events), (&made.url, &made.events));
            let change = WebhookChange {
                state: Some(WebhookState::Active),
                events: Some(Vec::new()),
                ..WebhookChange::default()
            };
            let on = Webhook::change(&mut tx, CLINIC, made.webhook_id, &change).await.unwrap();
            assert_eq!((on.state, on.disabled_reason.as_deref()), (WebhookState::Active, None));
            assert!(on.wants("anything"));
            let (secret, until) = (sealed(), now() + TimeDelta::days(1));
            let anew =
                Webhook::change_secret(&mut tx, CLINIC, made.webhook_id, &secret, until).await.unwrap();
            assert_eq!((anew.secret, anew.previous), (secret, Some((made.secret, until))));
            let nobody = Webhook::change(&mut tx, ClinicId::new(), made.webhook_id, &change).await;
            assert!(matches!(nobody, Err(DbError::NotFound)));
            Webhook::delete(&mut tx, CLINIC, made.webhook_id).await.unwrap();
            let again = Webhook::delete(&mut tx, CLINIC, made.webhook_id).await;
            assert!(matches!(again, Err(DbError::NotFound)));
        })
        .await;
    }

    #[tokio::test]
    async fn a_webhook_that_fails_for_days_is_disabled_and_one_success_forgives_all() {
        on_both(async |db| {
            let (id, patience) = (made(&db).await.webhook_id, TimeDelta::days(5));
            let mut tx = db.begin().await.unwrap();
            let day = |days| now() + TimeDelta::days(days);
            assert!(!Webhook::has_failed(&mut tx, CLINIC, id, patience, day(0)).await.unwrap());
            assert!(!Webhook::has_failed(&mut tx, CLINIC, id, patience, day(4)).await.unwrap());
            Webhook::has_answered(&mut tx, CLINIC, id).await.unwrap();
            assert!(!Webhook::has_failed(&mut tx, CLINIC, id, patience, day(5)).await.unwrap());
            assert!(Webhook::has_failed(&mut tx, CLINIC, id, patience, day(10)).await.unwrap());
            let off = Webhook::find(&mut tx, CLINIC, id).await.unwrap();
            assert_eq!(off.state, WebhookState::Disabled);
            assert!(!Webhook::is_gone(&mut tx, CLINIC, id).await.unwrap(), "it was off already");
        })
        .await;
    }
}
