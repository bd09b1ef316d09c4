//! A key for a machine: a gateway, a dashboard.

use chrono::{DateTime, Utc};
use clinical::id::{ApiKeyId, ClinicId};
use clinical::role::Permission;
use uuid::Uuid;

use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};

/// With what a machine's key begins.
pub const PREFIX: &str = "mlk_";

/// A stored key, which only its bearer knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Our identifier.
    pub api_key_id: ApiKeyId,
    /// The clinic in which it counts.
    pub clinic_id: ClinicId,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Permission>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was ended before its time.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last seen, to some minutes.
    pub used_at: Option<DateTime<Utc>>,
}

/// How a key begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiKey {
    /// What people call it.
    pub name: String,
    /// SHA-256 of the key, in hexadecimal digits.
    pub sha256: String,
    /// What it may do.
    pub scopes: Vec<Permission>,
    /// Who makes it.
    pub created_by: String,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
}

const SELECT: &str =
    "SELECT api_key_id, clinic_id, name, scopes, created_by, created_at, expires_at, revoked_at,
                             used_at FROM api_keys ";

impl FromRow for ApiKey {
    fn from_row(row: &Row) -> Result<Self> {
        let corrupt = || DbError::Corrupt("api_keys.scopes".to_owned());
        let scopes: serde_json::Value = row.get("scopes")?;
        let scopes: Vec<String> = serde_json::from_value(scopes).map_err(|_| corrupt())?;
        Ok(Self {
            api_key_id: row.id("api_key_id")?,
            clinic_id: row.id("clinic_id")?,
            name: row.get("name")?,
            // A scope that this version no longer knows opens nothing.
            scopes: scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
            created_by: row.get("created_by")?,
            created_at: row.get("created_at")?,
            expires_at: row.get("expires_at")?,
            revoked_at: row.get("revoked_at")?,
            used_at: row.get("used_at")?,
        })
    }
}

impl ApiKey {
    /// Keeps a new key of the clinic.
    pub async fn create(db: &mut Tx, clinic: ClinicId, new: &NewApiKey, now: DateTime<Utc>) -> Result<Self> {
        let key = Self {
            api_key_id: ApiKeyId::new(),
            clinic_id: clinic,
            name: new.name.clone(),
            scopes: new.scopes.clone(),
            created_by: new.created_by.clone(),
            created_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
            used_at: None,
        };
        let scopes: Vec<String> = new.scopes.iter().map(ToString::to_string).collect();
        let insert = "INSERT INTO api_keys (api_key_id, clinic_id, name, key_sha256, scopes, created_by,
                                            created_at, expires_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        sql(insert)
            .bind(key.api_key_id)
            .bind(clinic)
            .bind(&new.name)
            .bind(&new.sha256)
            .bind(serde_json::json!(scopes))
            .bind(&new.created_by)
            .bind(now)
            .bind(new.expires_at)
            .execute(db)
            .await?;
        Ok(key)
    }

    /// The key with this digest, if it counts: not revoked and not ended.
    pub async fn with_digest(db: &mut Conn, sha256: &str, now: DateTime<Utc>) -> Result<Option<Self>> {
        let counts = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)";
        built_sql(format!("{SELECT} WHERE key_sha256 = $1 AND {counts}"))
            .bind(sha256)
            .bind(now)
            .fetch_optional(db)
            .await
    }

    /// One key of the clinic.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: ApiKeyId) -> Result<Self> {
        built_sql(format!("{SELECT} WHERE clinic_id = $1 AND api_key_id = $2"))
            .bind(clinic)
            .bind(id)
            .fetch_one(db)
            .await
    }

    /// The clinic's keys, revoked ones too, newest first, from before `after` on.
    pub async fn list(db: &mut Conn, clinic: ClinicId, after: Option<Uuid>, limit: i64) -> Result<Vec<Self>> {
        let from = if after.is_some() { "AND api_key_id < $3" } else { "" };
        let text = format!("{SELECT} WHERE clinic_id = $1 {from} ORDER BY api_key_id DESC LIMIT $2");
        let statement = built_sql(text).bind(clinic).bind(limit);
        match after {
            Some(after) => statement.bind(after).fetch_all(db).await,
            None => statement.fetch_all(db).await,
        }
    }

    /// Ends a key.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when the clinic has no such key that was not ended before.
    pub async fn revoke(db: &mut Tx, clinic: ClinicId, id: ApiKeyId, now: DateTime<Utc>) -> Result<()> {
        let update = "UPDATE api_keys SET revoked_at = $3
                       WHERE clinic_id = $1 AND api_key_id = $2 AND revoked_at IS NULL";
        match sql(update).bind(clinic).bind(id).bind(now).execute(db).await? {
            0 => Err(DbError::NotFound),
            _ => Ok(()),
        }
    }

    /// Writes down that the key was seen.
    pub async fn seen(db: &mut Tx, clinic: ClinicId, id: ApiKeyId, now: DateTime<Utc>) -> Result<()> {
        let update = "UPDATE api_keys SET used_at = $3 WHERE clinic_id = $1 AND api_key_id = $2";
        sql(update).bind(clinic).bind(id).bind(now).execute(db).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::testing::{now, on_both};

    const CLINIC: ClinicId = ClinicId::DEFAULT;

    fn new(sha256: &str) -> NewApiKey {
        NewApiKey {
            name: "gateway".into(),
            sha256: sha256.into(),
            scopes: vec!["study:create".parse().unwrap()],
            created_by: "administrator".into(),
            expires_at: Some(now() + TimeDelta::days(1)),
        }
    }

    #[tokio::test]
    async fn a_key_counts_until_it_ends_or_is_revoked() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let key = ApiKey::create(&mut tx, CLINIC, &new("aa"), now()).await.unwrap();
            assert_eq!(ApiKey::with_digest(&mut tx, "aa", now()).await.unwrap(), Some(key.clone()));
            assert_eq!(ApiKey::with_digest(&mut tx, "ab", now()).await.unwrap(), None);
            let later = now() + TimeDelta::days(1);
            assert_eq!(ApiKey::with_digest(&mut tx, "aa", later).await.unwrap(), None);

            ApiKey::seen(&mut tx, CLINIC, key.api_key_id, now()).await.unwrap();
            let seen = ApiKey::find(&mut tx, CLINIC, key.api_key_id).await.unwrap();
            assert_eq!(seen, ApiKey { used_at: Some(now()), ..key.clone() });
            let stranger = ApiKey::revoke(&mut tx, ClinicId::new(), key.api_key_id, now()).await;
            assert!(matches!(stranger, Err(DbError::NotFound)));
            ApiKey::revoke(&mut tx, CLINIC, key.api_key_id, now()).await.unwrap();
            assert_eq!(ApiKey::with_digest(&mut tx, "aa", now()).await.unwrap(), None);
            let again = ApiKey::revoke(&mut tx, CLINIC, key.api_key_id, now()).await;
            assert!(matches!(again, Err(DbError::NotFound)));
        })
        .await;
    }

    #[tokio::test]
    async fn keys_come_newest_first_a_page_at_a_time() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let mut all = Vec::new();
            for sha256 in ["a", "b", "c"] {
                all.push(ApiKey::create(&mut tx, CLINIC, &new(sha256), now()).await.unwrap());
            }
            all.reverse();
            assert_eq!(ApiKey::list(&mut tx, CLINIC, None, 2).await.unwrap(), all[..2]);
            let rest = ApiKey::list(&mut tx, CLINIC, Some(all[1].api_key_id.0), 2).await.unwrap();
            assert_eq!(rest, all[2..]);
            assert_eq!(ApiKey::list(&mut tx, ClinicId::new(), None, 2).await.unwrap(), []);
        })
        .await;
    }
}
