//! The Ed25519 keys that sign access tokens.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::{Conn, FromRow, Result, Row, Tx, built_sql, sql};
use crate::secret::Sealed;

/// The purpose under which private keys are sealed, as the system's.
pub const PRIVATE_KEY_PURPOSE: &str = "signing_key";

/// A stored key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Our identifier: the `kid` of its tokens.
    pub signing_key_id: Uuid,
    /// base64url of its 32 bytes (RFC 8037, section 2: `x`).
    pub public_key: String,
    /// PKCS #8, sealed.
    pub private_key: Sealed,
    /// From when on it signs, as long as no younger one does: others have heard of it by then.
    pub signs_from: DateTime<Utc>,
    /// When the last token that it signed has ended; `None` as long as no younger one stands in its place.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

const SELECT: &str =
    "SELECT signing_key_id, public_key, private_key, signs_from, expires_at, created_at FROM signing_keys ";

impl FromRow for SigningKey {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            signing_key_id: row.get("signing_key_id")?,
            public_key: row.get("public_key")?,
            private_key: row.parse("private_key")?,
            signs_from: row.get("signs_from")?,
            expires_at: row.get("expires_at")?,
            created_at: row.get("created_at")?,
        })
    }
}

impl SigningKey {
    /// The keys whose tokens may still count, youngest first.
    pub async fn list(db: &mut Conn, now: DateTime<Utc>) -> Result<Vec<Self>> {
        built_sql(format!(
            "{SELECT} WHERE expires_at IS NULL OR expires_at > $1 ORDER BY signing_key_id DESC LIMIT 100"
        ))
        .bind(now)
        .fetch_all(db)
        .await
    }

    /// Keeps a new key; every other one ends when `others_end`, if it does not earlier.
    pub async fn succeed(db: &mut Tx, key: &Self, others_end: DateTime<Utc>) -> Result<()> {
        sql("UPDATE signing_keys SET expires_at = $1 WHERE expires_at IS NULL")
            .bind(others_end)
            .execute(db)
            .await?;
        let insert =
            "INSERT INTO signing_keys (signing_key_id, public_key, private_key, signs_from, created_at)
                      VALUES ($1, $2, $3, $4, $5)";
        sql(insert)
            .bind(key.signing_key_id)
            .bind(&key.public_key)
            .bind(&key.private_key)
            .bind(key.signs_from)
            .bind(key.created_at)
            .execute(db)
            .await?;
        sql("DELETE FROM signing_keys WHERE expires_at < $1").bind(key.created_at).execute(db).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::testing::{now, on_both};

    fn key(at: DateTime<Utc>) -> SigningKey {
        SigningKey {
            signing_key_id: Uuid::now_v7(),
            public_key: "x".into(),
            private_key: "a.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==".parse().unwrap(),
            signs_from: at,
            expires_at: None,
            created_at: at,
        }
    }

    #[tokio::test]
    async fn an_old_key_is_listed_until_its_tokens_have_ended() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let hour = TimeDelta::hours(1);
            let first = key(now());
            SigningKey::succeed(&mut tx, &first, now() + hour).await.unwrap();
            assert_eq!(SigningKey::list(&mut tx, now()).await.unwrap(), std::slice::from_ref(&first));
            let second = key(now());
            SigningKey::succeed(&mut tx, &second, now() + hour).await.unwrap();
            let first = SigningKey { expires_at: Some(now() + hour), ..first };
            assert_eq!(SigningKey::list(&mut tx, now()).await.unwrap(), [second.clone(), first]);
            assert_eq!(SigningKey::list(&mut tx, now() + hour).await.unwrap(), [second]);
        })
        .await;
    }
}
