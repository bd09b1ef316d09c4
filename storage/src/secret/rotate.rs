//! Seals every kept secret anew under the current key, a page at a time.

use clinical::id::ClinicId;
use uuid::Uuid;

use super::{Keyring, SYSTEM, Sealed, SecretError};
use crate::db::{Db, DbError, FromRow, Row, built_sql};

/// So many rows are sealed anew in one transaction.
const PAGE: usize = 100;

/// A column that holds sealed secrets. All of it stands here as fixed text.
struct Column {
    table: &'static str,
    /// The UUID that the rows are known by.
    id: &'static str,
    /// The sealed text; NULL where there is none.
    sealed: &'static str,
    /// The column that names the clinic; `None` where the secret is the system's.
    clinic: Option<&'static str>,
    /// The purpose, as an SQL expression over the row.
    purpose: &'static str,
}

/// Every column that holds sealed secrets: whoever adds one, adds it here.
const COLUMNS: &[Column] = &[
    of_a_clinic("credentials", "credential_id", "sealed", "'credential:' || purpose"),
    of_a_clinic("data_keys", "data_key_id", "sealed", "'data_key'"),
    of_a_clinic("webhooks", "webhook_id", "secret", "'webhook'"),
    of_a_clinic("webhooks", "webhook_id", "previous_secret", "'webhook'"),
    of_a_clinic("push_targets", "target_id", "sealed", "'push_target'"),
    of_the_system("sessions", "session_id", "refresh_key", "'session'"),
    of_the_system("signing_keys", "signing_key_id", "private_key", "'signing_key'"),
    of_the_system("second_factors", "user_id", "secret", "'second_factor'"),
    of_the_system("single_use_tokens", "single_use_token_id", "sealed", "'single_use_token'"),
];

const fn of_a_clinic(
    table: &'static str,
    id: &'static str,
    sealed: &'static str,
    purpose: &'static str,
) -> Column {
    Column { table, id, sealed, clinic: Some("clinic_id"), purpose }
}

const fn of_the_system(
    table: &'static str,
    id: &'static str,
    sealed: &'static str,
    purpose: &'static str,
) -> Column {
    Column { table, id, sealed, clinic: None, purpose }
}

/// What a rotation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Secrets sealed anew.
    pub sealed: u64,
    /// Secrets that someone else changed meanwhile; they are under a current key already, or the next run's.
    pub passed: u64,
}

/// Why a rotation stopped. What was sealed anew stays so, and the next run goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
    /// A secret does not open.
    #[error("{table} {id}: {error}")]
    Secret {
        /// In which table.
        table: &'static str,
        /// Which row.
        id: Uuid,
        /// Why.
        error: SecretError,
    },
}

struct Kept {
    id: Uuid,
    clinic: ClinicId,
    purpose: String,
    sealed: String,
}

impl FromRow for Kept {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        Ok(Self {
            id: row.get("id")?,
            clinic: row.id("clinic")?,
            purpose: row.get("purpose")?,
            sealed: row.get("sealed")?,
        })
    }
}

/// Seals every secret anew that is not under the current key.
///
/// # Errors
///
/// [`RotateError`] names the row that does not open; what was done before stays done.
pub async fn rotate(db: &Db, keys: &Keyring) -> Result<Rotated, RotateError> {
    let mut rotated = Rotated::default();
    for column in COLUMNS {
        let mut after = Uuid::nil();
        while let Some(last) = rotate_page(db, keys, column, after, &mut rotated).await? {
            after = last;
        }
    }
    Ok(rotated)
}

/// One page behind `after`; the last identifier of it, or `None` when there is nothing left.
async fn rotate_page(
    db: &Db,
    keys: &Keyring,
    column: &Column,
    after: Uuid,
    rotated: &mut Rotated,
) -> Result<Option<Uuid>, RotateError> {
    let Column { table, id, sealed, clinic, purpose } = *column;
    let current = format!("{}.", keys.current_id());
    let mut read = db.read().await?;
    let owner = clinic.unwrap_or(id);
    let rows: Vec<Kept> = built_sql(format!(
        "SELECT {id} AS id, {owner} AS clinic, {purpose} AS purpose, {sealed} AS sealed FROM {table}
          WHERE {id} > $1 AND {sealed} IS NOT NULL AND substr({sealed}, 1, {}) <> $2
          ORDER BY {id} LIMIT {PAGE}",
        current.len()
    ))
    .bind(after)
    .bind(current)
    .fetch_all(&mut read)
    .await?;
    drop(read);
    let Some(last) = rows.last().map(|row| row.id) else { return Ok(None) };
    let mut anew = Vec::with_capacity(rows.len());
    for row in rows {
        let failed = |error| RotateError::Secret { table, id: row.id, error };
        let old: Sealed = row.sealed.parse().map_err(failed)?;
        let owner = if clinic.is_some() { row.clinic } else { SYSTEM };
        let plain = keys.open(owner, &row.purpose, &old).map_err(failed)?;
        anew.push((row.id, keys.seal(owner, &row.purpose, &plain).map_err(failed)?, row.sealed));
    }
    let mut tx = db.begin().await?;
    for (row, new, old) in anew {
        let changed =
            built_sql(format!("UPDATE {table} SET {sealed} = $1 WHERE {id} = $2 AND {sealed} = $3"))
                .bind(&new)
                .bind(row)
                .bind(old)
                .execute(&mut tx)
                .await?;
        rotated.sealed += changed;
        rotated.passed += 1 - changed.min(1);
    }
    tx.commit().await?;
    Ok(Some(last))
}
