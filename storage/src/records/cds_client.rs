//! Programs of other houses that may ask through CDS Hooks: whose tokens are believed, and what came of their cards.

use chrono::{DateTime, Utc};
use clinical::id::{CdsClientId, CdsFeedbackId, ClinicId};
use uuid::Uuid;

use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};

/// A clinic has so many clients at most.
pub const MOST_PER_CLINIC: i64 = 50;
/// So many clients of one issuer and tenant are looked at, those of the longest standing.
const CANDIDATES: i64 = 10;

/// A program whose tokens a clinic believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CdsClient {
    /// Our identifier.
    pub client_id: CdsClientId,
    /// For which clinic it asks.
    pub clinic_id: ClinicId,
    /// The claim `iss` of its tokens.
    pub issuer: String,
    /// The claim `tenant` of its tokens; `None` where they have none.
    pub tenant: Option<String>,
    /// Its name, for people.
    pub name: String,
    /// Its public keys, as a JSON Web Key Set.
    pub keys: serde_json::Value,
    /// When it was named.
    pub created_at: DateTime<Utc>,
}

const SELECT: &str = "SELECT client_id, clinic_id, issuer, tenant, name, keys, created_at FROM cds_clients ";

impl FromRow for CdsClient {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            client_id: row.id("client_id")?,
            clinic_id: row.id("clinic_id")?,
            issuer: row.get("issuer")?,
            tenant: row.get("tenant")?,
            name: row.get("name")?,
            keys: row.get("keys")?,
            created_at: row.get("created_at")?,
        })
    }
}

/// Why a client was not named.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There are [`MOST_PER_CLINIC`] already.
    #[error("the clinic has as many clients as one may have")]
    TooMany,
    /// The database failed, or the clinic has a client of that issuer.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl CdsClient {
    /// Writes it down.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; [`DbError::Conflict`] in it where the clinic has one of that issuer.
    pub async fn record(&self, db: &mut Tx) -> Result<(), ClientError> {
        let count = "SELECT count(*) FROM cds_clients WHERE clinic_id = $1";
        let count: i64 = sql(count).bind(self.clinic_id).fetch_one(db).await?;
        if count >= MOST_PER_CLINIC {
            return Err(ClientError::TooMany);
        }
        let insert = "INSERT INTO cds_clients (client_id, clinic_id, issuer, tenant, name, keys, created_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7)";
        sql(insert)
            .bind(self.client_id)
            .bind(self.clinic_id)
            .bind(&self.issuer)
            .bind(self.tenant.clone())
            .bind(&self.name)
            .bind(self.keys.clone())
            .bind(self.created_at)
            .execute(db)
            .await?;
        Ok(())
    }

    /// One client of one clinic.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when the clinic has none of that identifier.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: CdsClientId) -> Result<Self> {
        let text = format!("{SELECT} WHERE clinic_id = $1 AND client_id = $2");
        built_sql(text).bind(clinic).bind(id).fetch_one(db).await
    }

    /// The clinic's, at most [`MOST_PER_CLINIC`], by issuer.
    pub async fn list(db: &mut Conn, clinic: ClinicId) -> Result<Vec<Self>> {
        let text = format!("{SELECT} WHERE clinic_id = $1 ORDER BY issuer LIMIT {MOST_PER_CLINIC}");
        built_sql(text).bind(clinic).fetch_all(db).await
    }

    /// The clients of an issuer and a tenant over all clinics, ten at most, the eldest first; for the system, which learns from
    /// the token's signature which of them is meant.
    pub async fn of_issuer(db: &mut Conn, issuer: &str, tenant: Option<&str>) -> Result<Vec<Self>> {
        let text = format!(
            "{SELECT} WHERE issuer = $1 AND coalesce(tenant, '') = $2 ORDER BY created_at, client_id LIMIT {CANDIDATES}"
        );
        built_sql(text).bind(issuer).bind(tenant.unwrap_or_default()).fetch_all(db).await
    }

    /// Whether one of its tokens is shown for the first time; those that have ended are forgotten.
    ///
    /// One statement decides, so that of two who show it at the same time one alone is the first.
    pub async fn is_first(
        &self,
        db: &mut Tx,
        token: &str,
        ends_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let forget = "DELETE FROM cds_tokens WHERE clinic_id = $1 AND ends_at < $2";
        sql(forget).bind(self.clinic_id).bind(now).execute(db).await?;
        let insert = "INSERT INTO cds_tokens (clinic_id, issuer, token, ends_at) VALUES ($1, $2, $3, $4)
                      ON CONFLICT DO NOTHING";
        let insert = sql(insert).bind(self.clinic_id).bind(&self.issuer).bind(token).bind(ends_at);
        Ok(insert.execute(db).await? == 1)
    }

    /// Believes its tokens no more.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when the clinic has none of that identifier.
    pub async fn remove(db: &mut Tx, clinic: ClinicId, id: CdsClientId) -> Result<()> {
        let delete = "DELETE FROM cds_clients WHERE clinic_id = $1 AND client_id = $2";
        match sql(delete).bind(clinic).bind(id).execute(db).await? {
            0 => Err(DbError::NotFound),
            _ => Ok(()),
        }
    }
}

/// What came of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CdsFeedback {
    /// Our identifier.
    pub feedback_id: CdsFeedbackId,
    /// Who tells of it.
    pub client_id: CdsClientId,
    /// The service that gave the card.
    pub service: String,
    /// The card.
    pub card: String,
    /// `accepted` or `overridden`.
    pub outcome: String,
    /// The code of the reason.
    pub reason: Option<String>,
    /// More in words.
    pub comment: Option<String>,
    /// When it happened, as the client says.
    pub happened_at: DateTime<Utc>,
    /// When we heard of it.
    pub received_at: DateTime<Utc>,
}

impl FromRow for CdsFeedback {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            feedback_id: row.id("feedback_id")?,
            client_id: row.id("client_id")?,
            service: row.get("service")?,
            card: row.get("card")?,
            outcome: row.get("outcome")?,
            reason: row.get("reason")?,
            comment: row.get("comment")?,
            happened_at: row.get("happened_at")?,
            received_at: row.get("received_at")?,
        })
    }
}

impl CdsFeedback {
    /// Writes it down.
    pub async fn record(&self, db: &mut Tx, clinic: ClinicId) -> Result<()> {
        let insert = "INSERT INTO cds_feedback (feedback_id, clinic_id, client_id, service, card, outcome, reason, comment,
                                                happened_at, received_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        sql(insert)
            .bind(self.feedback_id)
            .bind(clinic)
            .bind(self.client_id)
            .bind(&self.service)
            .bind(&self.card)
            .bind(&self.outcome)
            .bind(self.reason.clone())
            .bind(self.comment.clone())
            .bind(self.happened_at)
            .bind(self.received_at)
            .execute(db)
            .await?;
        Ok(())
    }

    /// The clinic's, newest first, from before `after` on.
    pub async fn list(
        db: &mut Conn,
        clinic: ClinicId,
        after: Option<CdsFeedbackId>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        sql("SELECT feedback_id, client_id, service, card, outcome, reason, comment, happened_at, received_at
               FROM cds_feedback WHERE clinic_id = $1 AND feedback_id < $2 ORDER BY feedback_id DESC LIMIT $3")
        .bind(clinic)
        .bind(after.unwrap_or(CdsFeedbackId(Uuid::max())))
        .bind(limit)
        .fetch_all(db)
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::clinic::Clinic;
    use crate::testing::{now, on_both};
    use chrono::TimeDelta;
    use serde_json::json;

    fn client(issuer: &str, tenant: Option<&str>) -> CdsClient {
        CdsClient {
            client_id: CdsClientId::new(),
            clinic_id: ClinicId::DEFAULT,
            issuer: issuer.into(),
            tenant: tenant.map(Into::into),
            name: "The other system".into(),
            keys: json!({"keys": []}),
            created_at: now(),
        }
    }

    #[tokio::test]
    async fn an_issuer_and_a_tenant_name_one_client_of_each_clinic() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let second = Clinic::create(&mut tx, "Second", "UTC", now()).await.unwrap().clinic_id;
            let one = client("https://ehr.example.org", None);
            let other = CdsClient { clinic_id: second, ..client("https://ehr.example.org", Some("north")) };
            one.record(&mut tx).await.unwrap();
            other.record(&mut tx).await.unwrap();
            for (tenant, expected) in
                [(None, Some(&one)), (Some("north"), Some(&other)), (Some("south"), None)]
            {
                let found = CdsClient::of_issuer(&mut tx, &one.issuer, tenant).await.unwrap();
                assert_eq!(found.first(), expected, "{tenant:?}");
            }
            // What one clinic has named, another may name too.
            let third = Clinic::create(&mut tx, "Third", "UTC", now()).await.unwrap().clinic_id;
            let later = CdsClient {
                clinic_id: third,
                created_at: now() + TimeDelta::seconds(1),
                ..client("https://ehr.example.org", Some("north"))
            };
            later.record(&mut tx).await.unwrap();
            let found = CdsClient::of_issuer(&mut tx, &one.issuer, Some("north")).await.unwrap();
            assert_eq!(found, [other, later]);
            tx.commit().await.unwrap();
            let mut tx = db.begin().await.unwrap();
            let again = CdsClient { clinic_id: third, ..client("https://ehr.example.org", Some("north")) };
            let taken = again.record(&mut tx).await;
            assert!(matches!(taken, Err(ClientError::Database(DbError::Conflict))), "{taken:?}");
        })
        .await;
    }

    #[tokio::test]
    async fn a_token_is_shown_for_the_first_time_once_until_it_has_ended() {
        on_both(async |db| {
            let client = client("https://ehr.example.org", None);
            let ends = now() + TimeDelta::minutes(5);
            let mut tx = db.begin().await.unwrap();
            assert!(client.is_first(&mut tx, "1", ends, now()).await.unwrap());
            assert!(!client.is_first(&mut tx, "1", ends, now()).await.unwrap());
            assert!(client.is_first(&mut tx, "2", ends, now()).await.unwrap());
            tx.commit().await.unwrap();
            let mut tx = db.begin().await.unwrap();
            assert!(!client.is_first(&mut tx, "1", ends, now()).await.unwrap());
            let later = ends + TimeDelta::seconds(1);
            assert!(client.is_first(&mut tx, "3", later + TimeDelta::minutes(5), later).await.unwrap());
            let left: i64 = sql("SELECT count(*) FROM cds_tokens").fetch_one(&mut tx).await.unwrap();
            assert_eq!(left, 1, "those that have ended are forgotten");
        })
        .await;
    }

    #[tokio::test]
    async fn a_client_is_found_by_its_issuer_until_it_is_removed() {
        on_both(async |db| {
            let clinic = ClinicId::DEFAULT;
            let client = client("https://ehr.example.org", None);
            let mut tx = db.begin().await.unwrap();
            client.record(&mut tx).await.unwrap();
            let found = CdsClient::of_issuer(&mut tx, &client.issuer, None).await.unwrap();
            assert_eq!(found, std::slice::from_ref(&client));
            assert_eq!(CdsClient::list(&mut tx, clinic).await.unwrap(), std::slice::from_ref(&client));
            assert_eq!(CdsClient::list(&mut tx, ClinicId::new()).await.unwrap(), []);
            let elsewhere = CdsClient::remove(&mut tx, ClinicId::new(), client.client_id).await;
            assert!(matches!(elsewhere, Err(DbError::NotFound)));
            CdsClient::remove(&mut tx, clinic, client.client_id).await.unwrap();
            assert_eq!(CdsClient::of_issuer(&mut tx, &client.issuer, None).await.unwrap(), []);
        })
        .await;
    }

    #[tokio::test]
    async fn feedback_is_listed_newest_first() {
        on_both(async |db| {
            let feedback = |outcome: &str| CdsFeedback {
                feedback_id: CdsFeedbackId::new(),
                client_id: CdsClientId::new(),
                service: "medilink-order-sign".into(),
                card: "c".into(),
                outcome: outcome.into(),
                reason: None,
                comment: None,
                happened_at: now(),
                received_at: now(),
            };
            let (one, two) = (feedback("accepted"), feedback("overridden"));
            let mut tx = db.begin().await.unwrap();
            one.record(&mut tx, ClinicId::DEFAULT).await.unwrap();
            two.record(&mut tx, ClinicId::DEFAULT).await.unwrap();
            let list = CdsFeedback::list(&mut tx, ClinicId::DEFAULT, None, 9).await.unwrap();
            assert_eq!(list, [two.clone(), one]);
        })
        .await;
    }
}
