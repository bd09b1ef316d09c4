//! Whose key a peer shows.

use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::ClinicId;
use sha2::{Digest, Sha256};
use storage::db::{Db, DbError};
use storage::records::api_key::{ApiKey, PREFIX};

use crate::scp::{Identified, Judged};

/// That a key was seen is written down when the last note is older.
const SEEN_AGAIN: TimeDelta = TimeDelta::minutes(10);
/// No key of ours is longer.
const KEY_BYTES: usize = 256;

/// What `text` is to an association for this clinic.
pub(super) async fn judge(db: &Db, clinic: ClinicId, text: &str, now: DateTime<Utc>) -> Judged {
    if !text.starts_with(PREFIX) {
        return Judged::Foreign;
    }
    if text.len() > KEY_BYTES {
        return Judged::Wrong;
    }
    match key(db, clinic, text, now).await {
        Ok(Some(key)) => Judged::Known(Identified { api_key_id: key.api_key_id, scopes: key.scopes }),
        Ok(None) => Judged::Wrong,
        Err(error) => {
            tracing::error!(%error, "the key of an association was not looked up");
            Judged::Unanswered
        }
    }
}

/// What the key of an association that lasts is by now.
pub(super) async fn judge_again(
    db: &Db,
    clinic: ClinicId,
    identified: &Identified,
    now: DateTime<Utc>,
) -> Judged {
    let found = async { ApiKey::find(&mut db.read().await?, clinic, identified.api_key_id).await };
    match found.await {
        Ok(key) if key.revoked_at.is_none() && key.expires_at.is_none_or(|end| end > now) => {
            Judged::Known(Identified { api_key_id: key.api_key_id, scopes: key.scopes })
        }
        Ok(_) | Err(DbError::NotFound) => Judged::Wrong,
        Err(error) => {
            tracing::error!(%error, "the key of an association was not looked up again");
            Judged::Unanswered
        }
    }
}

async fn key(db: &Db, clinic: ClinicId, text: &str, now: DateTime<Utc>) -> Result<Option<ApiKey>, DbError> {
    let digest: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let key = ApiKey::with_digest(&mut db.read().await?, &digest, now).await?;
    let Some(key) = key.filter(|key| key.clinic_id == clinic) else { return Ok(None) };
    if key.used_at.is_none_or(|used_at| now - used_at > SEEN_AGAIN) {
        let mut tx = db.begin().await?;
        ApiKey::seen(&mut tx, clinic, key.api_key_id, now).await?;
        tx.commit().await?;
    }
    Ok(Some(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::records::api_key::NewApiKey;
    use storage::testing::{now, on_both};

    /// `printf mlk_gateway | sha256sum`
    const DIGEST: &str = "f4aaca0797f585b36a8cf1faf81fc234419a1ad0c85f50fc57802b432cff0e6e";

    #[tokio::test]
    async fn a_key_opens_associations_of_its_own_clinic_until_it_is_revoked() {
        on_both(async |db| {
            let clinic = ClinicId::DEFAULT;
            let new = NewApiKey {
                name: "gateway".into(),
                sha256: DIGEST.into(),
                scopes: vec!["study:create".parse().unwrap()],
                created_by: "administrator".into(),
                expires_at: None,
            };
            let mut tx = db.begin().await.unwrap();
            let key = ApiKey::create(&mut tx, clinic, &new, now()).await.unwrap();
            tx.commit().await.unwrap();
            let identified = Identified { api_key_id: key.api_key_id, scopes: new.scopes };
            assert_eq!(judge(&db, clinic, "mlk_gateway", now()).await, Judged::Known(identified.clone()));
            let seen = ApiKey::find(&mut db.read().await.unwrap(), clinic, key.api_key_id).await.unwrap();
            assert_eq!(seen.used_at, Some(now()));
            assert_eq!(judge(&db, ClinicId::new(), "mlk_gateway", now()).await, Judged::Wrong);
            assert_eq!(judge(&db, clinic, "mlk_another", now()).await, Judged::Wrong);
            assert_eq!(judge(&db, clinic, "operator", now()).await, Judged::Foreign);
            let again = async |clinic| judge_again(&db, clinic, &identified, now()).await;
            assert_eq!(again(clinic).await, Judged::Known(identified.clone()));
            assert_eq!(again(ClinicId::new()).await, Judged::Wrong);

            let mut tx = db.begin().await.unwrap();
            ApiKey::revoke(&mut tx, clinic, key.api_key_id, now()).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(judge(&db, clinic, "mlk_gateway", now()).await, Judged::Wrong);
            assert_eq!(again(clinic).await, Judged::Wrong);
        })
        .await;
    }
}
