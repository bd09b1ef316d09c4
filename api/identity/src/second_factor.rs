//! The second factor: a code from a device of one's own, and codes for the day it is lost.

use axum::Extension;
use axum::extract::State;
use chrono::{DateTime, Utc};
use clinical::id::UserId;
use gate::{Caller, Json, Problem, ShownOnce, token_sha256};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::db::{Conn, DbError, FromRow, Row, Tx, sql};
use storage::secret::{Plain, SYSTEM, Sealed};
use utoipa::ToSchema;

use crate::account::person;
use crate::attempts::Origin;
use crate::login::slow_down;
use crate::tokens::sealing_failed;
use crate::{Identity, totp};

/// The purpose under which secrets are sealed, as the system's.
const PURPOSE: &str = "second_factor";
/// Recovery codes of a person.
const RECOVERY_CODES: usize = 10;
/// Bytes of each: 80 bits, so that its digest alone gives nothing away.
const RECOVERY_BYTES: usize = 10;
/// No code is longer.
const CODE_BYTES: usize = 64;

/// A person's second factor.
pub(crate) struct SecondFactor {
    user_id: UserId,
    secret: Sealed,
    last_step: i64,
    confirmed_at: Option<DateTime<Utc>>,
}

impl FromRow for SecondFactor {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        Ok(Self {
            user_id: row.id("user_id")?,
            secret: row.parse("secret")?,
            last_step: row.get("last_step")?,
            confirmed_at: row.get("confirmed_at")?,
        })
    }
}

impl SecondFactor {
    /// The person's, if they have begun one.
    pub async fn of(db: &mut Conn, user: UserId) -> Result<Option<Self>, DbError> {
        sql("SELECT user_id, secret, last_step, confirmed_at FROM second_factors WHERE user_id = $1")
            .bind(user)
            .fetch_optional(db)
            .await
    }

    /// Whether a sign-in asks for it.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed_at.is_some()
    }

    /// Begins one, in the place of one that was begun and not confirmed.
    async fn begin(db: &mut Tx, user: UserId, secret: &Sealed, now: DateTime<Utc>) -> Result<bool, DbError> {
        let upsert =
            "INSERT INTO second_factors (user_id, secret, last_step, created_at) VALUES ($1, $2, 0, $3)
                      ON CONFLICT (user_id) DO UPDATE
                         SET secret = excluded.secret, created_at = excluded.created_at, last_step = 0
                       WHERE second_factors.confirmed_at IS NULL";
        Ok(sql(upsert).bind(user).bind(secret).bind(now).execute(db).await? == 1)
    }

    /// Writes that the code of a step was taken; false when that one or a later one was before.
    async fn take(db: &mut Tx, user: UserId, step: i64) -> Result<bool, DbError> {
        let update = "UPDATE second_factors SET last_step = $2 WHERE user_id = $1 AND last_step < $2";
        Ok(sql(update).bind(user).bind(step).execute(db).await? == 1)
    }

    async fn confirm(db: &mut Tx, user: UserId, now: DateTime<Utc>) -> Result<(), DbError> {
        let update = "UPDATE second_factors SET confirmed_at = $2 WHERE user_id = $1";
        sql(update).bind(user).bind(now).execute(db).await.map(|_| ())
    }

    async fn remove(db: &mut Tx, user: UserId) -> Result<(), DbError> {
        sql("DELETE FROM recovery_codes WHERE user_id = $1").bind(user).execute(db).await?;
        sql("DELETE FROM second_factors WHERE user_id = $1").bind(user).execute(db).await.map(|_| ())
    }
}

/// Whether the code is right and not used yet; it is used now, if `tx` is committed.
pub(crate) async fn takes(
    tx: &mut Tx,
    identity: &Identity,
    factor: &SecondFactor,
    code: &str,
    now: DateTime<Utc>,
) -> Result<bool, Problem> {
    if code.len() > CODE_BYTES {
        return Ok(false);
    }
    let secret = identity.app.authenticator.keyring().open(SYSTEM, PURPOSE, &factor.secret);
    let secret = secret.map_err(sealing_failed)?;
    if let Some(step) = totp::step_of(&secret, code, now, factor.last_step) {
        return Ok(SecondFactor::take(tx, factor.user_id, step).await?);
    }
    let delete = "DELETE FROM recovery_codes WHERE user_id = $1 AND code_sha256 = $2";
    let used = sql(delete).bind(factor.user_id).bind(recovery_sha256(code)).execute(tx).await?;
    Ok(used == 1)
}

/// As it is compared: hyphens, spaces and case do not count.
fn recovery_sha256(code: &str) -> String {
    let plain: String = code.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    token_sha256(&format!("recovery {}", plain.to_ascii_uppercase()))
}

/// One's present password.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PasswordOnly {
    current_password: String,
}

/// A code of the device.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CodeOnly {
    code: String,
}

/// Both.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Disable {
    current_password: String,
    /// A code of the device, or a recovery code.
    code: String,
}

/// What the device needs.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Enrolment {
    /// Base32, to type.
    secret: String,
    /// To show as a QR code.
    otpauth_uri: String,
}

/// Each lets its owner in once, in place of a code.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecoveryCodes {
    recovery_codes: Vec<String>,
}

/// `POST /api/v1/me/second-factor`
pub(crate) async fn enrol(
    State(identity): State<Identity>,
    caller: Caller,
    Json(request): Json<PasswordOnly>,
) -> Result<(StatusCode, Extension<ShownOnce>, Json<Enrolment>), Problem> {
    let user = identity.shown_again(&caller, &request.current_password).await?;
    let secret = Plain::random(totp::SECRET_BYTES).map_err(sealing_failed)?;
    let sealed =
        identity.app.authenticator.keyring().seal(SYSTEM, PURPOSE, &secret).map_err(sealing_failed)?;

    let mut tx = identity.app.db.begin().await?;
    if !SecondFactor::begin(&mut tx, user.user_id, &sealed, identity.app.clock.now()).await? {
        let detail = "there is a second factor already: take it away first";
        return Err(Problem::conflict("second-factor-set", detail));
    }
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    let enrolment = Enrolment { secret: totp::base32(&secret), otpauth_uri: totp::uri(&secret, &user.email) };
    Ok((StatusCode::CREATED, Extension(ShownOnce), Json(enrolment)))
}

/// `POST /api/v1/me/second-factor/confirm`
pub(crate) async fn confirm(
    State(identity): State<Identity>,
    caller: Caller,
    Json(request): Json<CodeOnly>,
) -> Result<(Extension<ShownOnce>, Json<RecoveryCodes>), Problem> {
    let (user_id, _) = person(&caller)?;
    let now = identity.app.clock.now();
    let codes = recovery_codes()?;

    let mut tx = identity.app.db.begin().await?;
    let factor = SecondFactor::of(&mut tx, user_id).await?.filter(|factor| !factor.is_confirmed());
    let Some(factor) = factor else {
        return Err(Problem::conflict("no-second-factor-begun", "begin a second factor first"));
    };
    if !takes(&mut tx, &identity, &factor, &request.code, now).await? {
        return Err(wrong());
    }
    SecondFactor::confirm(&mut tx, user_id, now).await?;
    for code in &codes {
        let insert = "INSERT INTO recovery_codes (code_sha256, user_id) VALUES ($1, $2)";
        sql(insert).bind(recovery_sha256(code)).bind(user_id).execute(&mut tx).await?;
    }
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok((Extension(ShownOnce), Json(RecoveryCodes { recovery_codes: codes })))
}

/// `POST /api/v1/me/second-factor/disable`
pub(crate) async fn disable(
    State(identity): State<Identity>,
    caller: Caller,
    Json(request): Json<Disable>,
) -> Result<StatusCode, Problem> {
    let user = identity.shown_again(&caller, &request.current_password).await?;

    let mut tx = identity.app.db.begin().await?;
    let factor = SecondFactor::of(&mut tx, user.user_id).await?.ok_or_else(Problem::not_found)?;
    let now = identity.app.clock.now();
    if factor.is_confirmed() {
        let (account, origin) = (format!("factor:{}", user.user_id), Origin::Device(person(&caller)?.1));
        identity.attempts.begin(&account, origin, now).map_err(slow_down)?;
        if !takes(&mut tx, &identity, &factor, &request.code, now).await? {
            return Err(wrong());
        }
        identity.attempts.succeeded(&account, origin);
    }
    SecondFactor::remove(&mut tx, user.user_id).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok(StatusCode::NO_CONTENT)
}

fn wrong() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "second-factor-wrong", "the code is wrong, or was used before")
}

fn recovery_codes() -> Result<Vec<String>, Problem> {
    (0..RECOVERY_CODES)
        .map(|_| {
            let code = totp::base32(&Plain::random(RECOVERY_BYTES).map_err(sealing_failed)?);
            let groups: Vec<&str> =
                code.as_bytes().chunks(4).filter_map(|four| std::str::from_utf8(four).ok()).collect();
            Ok(groups.join("-"))
        })
        .collect()
}
