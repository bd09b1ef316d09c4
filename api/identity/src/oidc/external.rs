//! Who a person is to a provider.

use chrono::{DateTime, Utc};
use clinical::id::UserId;
use storage::db::{Conn, DbError, Tx, sql};
use uuid::Uuid;

/// Whom the provider calls `subject`.
pub(super) async fn find(db: &mut Conn, provider: &str, subject: &str) -> Result<Option<UserId>, DbError> {
    let find = "SELECT user_id FROM external_identities WHERE provider = $1 AND subject = $2";
    let found = sql(find).bind(provider).bind(subject).fetch_optional::<Uuid>(db).await?;
    Ok(found.map(UserId))
}

/// Writes it down, once.
pub(super) async fn link(
    db: &mut Tx,
    provider: &str,
    subject: &str,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let insert = "INSERT INTO external_identities (provider, subject, user_id, created_at)
                  VALUES ($1, $2, $3, $4) ON CONFLICT (provider, subject) DO NOTHING";
    sql(insert).bind(provider).bind(subject).bind(user).bind(now).execute(db).await.map(|_| ())
}
