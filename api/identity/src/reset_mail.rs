//! What is mailed to somebody who has forgotten their password: the job that mails it asks here for the token.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, UserId};
use storage::db::{Conn, DbError, FromRow, Row, Tx, sql};
use storage::records::member::Member;
use storage::records::user::User;
use storage::secret::{Keyring, SYSTEM, Sealed, SecretError};
use uuid::Uuid;

use crate::single_use::SEAL_PURPOSE;
use crate::users::reaches_every_clinic;

/// Why a mail cannot be made now.
#[derive(Debug, thiserror::Error)]
pub enum ResetMailError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The token does not open.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// A token that waits to be mailed.
pub struct ResetMail {
    /// Who has forgotten.
    pub user_id: UserId,
    /// Whose mail providers carry it. A clinic's only where its administrators have power over the account anyway:
    /// whoever sets a clinic's mail server can read what it carries.
    pub carried_by: ClinicId,
    /// What lets them set a new password.
    pub token: String,
}

struct Waiting {
    user_id: UserId,
    sealed: String,
}

impl FromRow for Waiting {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        Ok(Self { user_id: row.id("user_id")?, sealed: row.get("sealed")? })
    }
}

impl ResetMail {
    /// The token of this row; `None` where it was mailed, used, or is too old, or its person may not sign in.
    ///
    /// # Errors
    ///
    /// [`ResetMailError`].
    pub async fn waiting(
        read: &mut Conn,
        keys: &Keyring,
        id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<Option<Self>, ResetMailError> {
        let find = "SELECT user_id, sealed FROM single_use_tokens
                     WHERE single_use_token_id = $1 AND expires_at > $2
                       AND user_id IS NOT NULL AND sealed IS NOT NULL";
        let Some(Waiting { user_id, sealed }) = sql(find).bind(id).bind(now).fetch_optional(read).await?
        else {
            return Ok(None);
        };
        if !User::find(read, user_id).await?.is_active {
            return Ok(None);
        }
        let carried_by = match Member::of_user(read, user_id).await?.as_slice() {
            [only] if !reaches_every_clinic(only.position.role) => only.clinic_id,
            _ => SYSTEM,
        };
        let sealed: Sealed = sealed.parse()?;
        let plain = keys.open(SYSTEM, SEAL_PURPOSE, &sealed)?;
        let token = String::from_utf8(plain.to_vec()).map_err(|_| SecretError::Malformed)?;
        Ok(Some(Self { user_id, carried_by, token }))
    }

    /// Keeps no more of the token than its digest, now that nobody mails it any more.
    ///
    /// # Errors
    ///
    /// [`DbError`].
    pub async fn is_over(tx: &mut Tx, id: Uuid) -> Result<(), DbError> {
        let clear = "UPDATE single_use_tokens SET sealed = NULL WHERE single_use_token_id = $1";
        sql(clear).bind(id).execute(tx).await.map(|_| ())
    }
}
