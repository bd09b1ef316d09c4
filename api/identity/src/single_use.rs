//! Tokens that let somebody in once, for an hour or a day: a new password, or the first administrator.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use clinical::id::UserId;
use gate::{Problem, token_sha256};
use storage::db::{Conn, DbError, Tx, sql};
use storage::secret::{Keyring, Plain, SYSTEM};
use uuid::Uuid;

use crate::tokens::sealing_failed;

/// The purpose under which a token is sealed for whoever sends it, as the system's.
pub(crate) const SEAL_PURPOSE: &str = "single_use_token";
/// With what every one begins.
const PREFIX: &str = "mls_";
const BYTES: usize = 32;
/// No token is longer.
const TEXT_BYTES: usize = 64;
/// So many may wait for one person.
const MOST_WAITING: i64 = 3;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A new password.
    Reset,
    /// The first administrator.
    Setup,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Setup => "setup",
        }
    }
}

/// A new token: its row, and what is shown of it once.
pub(crate) struct Made {
    pub id: Uuid,
    pub text: String,
}

/// Keeps the digest of a new token, which comes back. With a `keyring` it is kept sealed too, for who sends it.
pub(crate) async fn make(
    tx: &mut Tx,
    purpose: Purpose,
    user: Option<UserId>,
    keyring: Option<&Keyring>,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<Made, Problem> {
    let bytes = Plain::random(BYTES).map_err(sealing_failed)?;
    let (id, text) = (Uuid::now_v7(), format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&*bytes)));
    let seal = |keyring: &Keyring| keyring.seal(SYSTEM, SEAL_PURPOSE, text.as_bytes());
    let sealed = keyring.map(seal).transpose().map_err(sealing_failed)?;
    sql("DELETE FROM single_use_tokens WHERE expires_at < $1").bind(now).execute(tx).await?;
    let insert = "INSERT INTO single_use_tokens (single_use_token_id, token_sha256, purpose, user_id, sealed,
                                                 created_at, expires_at)
                  VALUES ($1, $2, $3, $4, $5, $6, $7)";
    sql(insert)
        .bind(id)
        .bind(token_sha256(&text))
        .bind(purpose.as_str())
        .bind(user)
        .bind(sealed.map(|sealed| sealed.to_string()))
        .bind(now)
        .bind(expires_at)
        .execute(tx)
        .await?;
    Ok(Made { id, text })
}

/// Whether a person has as many tokens waiting as they may.
pub(crate) async fn has_enough(db: &mut Conn, user: UserId, now: DateTime<Utc>) -> Result<bool, DbError> {
    let count = "SELECT count(*) FROM single_use_tokens WHERE user_id = $1 AND expires_at > $2";
    Ok(sql(count).bind(user).bind(now).fetch_one::<i64>(db).await? >= MOST_WAITING)
}

/// A token that counts: its digest, and whom it is for.
pub(crate) struct Found {
    sha256: String,
    pub user: Option<UserId>,
}

struct UserOf(Option<Uuid>);

impl storage::db::FromRow for UserOf {
    fn from_row(row: &storage::db::Row) -> Result<Self, DbError> {
        row.get("user_id").map(Self)
    }
}

/// The token that was shown, if it counts.
pub(crate) async fn find(
    db: &mut Conn,
    purpose: Purpose,
    shown: &str,
    now: DateTime<Utc>,
) -> Result<Option<Found>, DbError> {
    if shown.len() > TEXT_BYTES {
        return Ok(None);
    }
    let sha256 = token_sha256(shown);
    let select = "SELECT user_id FROM single_use_tokens
                   WHERE token_sha256 = $1 AND purpose = $2 AND expires_at > $3";
    let statement = sql(select).bind(&sha256).bind(purpose.as_str()).bind(now);
    let found = statement.fetch_optional::<UserOf>(db).await?;
    Ok(found.map(|UserOf(user)| Found { sha256, user: user.map(UserId) }))
}

/// Uses it; false when another was faster.
pub(crate) async fn take(tx: &mut Tx, found: &Found) -> Result<bool, DbError> {
    let delete = "DELETE FROM single_use_tokens WHERE token_sha256 = $1";
    Ok(sql(delete).bind(&found.sha256).execute(tx).await? == 1)
}

/// A person's tokens count no more.
pub(crate) async fn forget(tx: &mut Tx, user: UserId) -> Result<(), DbError> {
    sql("DELETE FROM single_use_tokens WHERE user_id = $1").bind(user).execute(tx).await.map(|_| ())
}

/// Nobody makes a first administrator any more.
pub(crate) async fn forget_setup(tx: &mut Tx) -> Result<(), DbError> {
    sql("DELETE FROM single_use_tokens WHERE purpose = 'setup'").execute(tx).await.map(|_| ())
}
