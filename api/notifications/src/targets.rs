//! The devices and browsers that a person is reached at.

use axum::extract::State;
use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, PushTargetId, UserId};
use gate::{Caller, Json, Path, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use storage::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};
use storage::secret::{Keyring, Sealed, SecretError};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::channel::{Address, Subscription};
use crate::state::{NotificationsState, inbox_of};

/// What their addresses are sealed for.
const PURPOSE: &str = "push_target";
/// A person has at most so many; the one that was seen the longest ago makes way.
const MOST_PER_PERSON: i64 = 20;
/// The longest token of a device, in bytes.
const TOKEN_BYTES: usize = 4_096;
const NAME_CHARACTERS: usize = 100;

/// A device's token, as the mobile application registers it.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PushToken {
    /// Firebase's registration token, or the ARN of a platform endpoint of Amazon SNS.
    #[serde(alias = "pushToken", alias = "deviceToken")]
    #[schema(min_length = 1, max_length = 4096)]
    token: String,
    /// `ios`, `android` or `web`.
    platform: Platform,
    /// The device, as the application names it.
    #[schema(max_length = 100)]
    device_id: Option<String>,
}

/// What runs on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Platform {
    /// Apple's.
    Ios,
    /// Google's.
    Android,
    /// A browser's.
    Web,
}

impl Platform {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ios => "ios",
            Self::Android => "android",
            Self::Web => "web",
        }
    }
}

/// A browser's `PushSubscription`, as its `toJSON` writes it (W3C Push API, section 8).
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewSubscription {
    /// Where the browser's push service takes messages.
    #[schema(max_length = 2048)]
    endpoint: String,
    /// When the browser forgets it.
    #[serde(default)]
    #[expect(
        dead_code,
        reason = "browsers send it; whether it has passed the push service tells at the next push"
    )]
    expiration_time: Option<f64>,
    /// What messages are sealed with.
    keys: SubscriptionKeys,
}

/// The keys of a browser's subscription.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscriptionKeys {
    /// The browser's public key, as base64url.
    p256dh: String,
    /// The secret between the browser and us, as base64url.
    auth: String,
}

/// A device or a browser.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetView {
    /// Our identifier.
    pub id: PushTargetId,
    /// `fcm`, `sns` or `web_push`.
    pub kind: String,
    /// `ios`, `android` or `web`.
    pub platform: String,
    /// The device, as the application names it.
    pub device_id: Option<String>,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When it was registered the last time.
    pub seen_at: DateTime<Utc>,
}

/// A stored target.
pub(crate) struct Target {
    view: TargetView,
    user_id: UserId,
    sealed: String,
}

impl FromRow for Target {
    fn from_row(row: &Row) -> Result<Self> {
        let view = TargetView {
            id: row.id("target_id")?,
            kind: row.get("kind")?,
            platform: row.get("platform")?,
            device_id: row.get("device")?,
            created_at: row.get("created_at")?,
            seen_at: row.get("seen_at")?,
        };
        Ok(Self { view, user_id: row.id("user_id")?, sealed: row.get("sealed")? })
    }
}

const SELECT: &str = "SELECT target_id, user_id, kind, platform, device, sealed, created_at, seen_at
                        FROM push_targets WHERE clinic_id = $1 ";

impl Target {
    pub fn id(&self) -> PushTargetId {
        self.view.id
    }

    pub fn user(&self) -> UserId {
        self.user_id
    }

    /// Where it is reached.
    ///
    /// # Errors
    ///
    /// [`SecretError`] when it does not open.
    pub fn address(&self, keys: &Keyring, clinic: ClinicId) -> Result<Address, SecretError> {
        let sealed: Sealed = self.sealed.parse()?;
        let plain = keys.open(clinic, PURPOSE, &sealed)?;
        let text = String::from_utf8_lossy(&plain).into_owned();
        match self.view.kind.as_str() {
            "fcm" => Ok(Address::FcmToken(text)),
            "sns" => Ok(Address::SnsEndpoint(text)),
            _ => serde_json::from_str(&text).map(Address::Browser).map_err(|_| SecretError::Malformed),
        }
    }

    /// One target of a clinic.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: PushTargetId) -> Result<Self> {
        built_sql(format!("{SELECT} AND target_id = $2")).bind(clinic).bind(id).fetch_one(db).await
    }

    /// Those of these people.
    pub async fn of_all(db: &mut Conn, clinic: ClinicId, people: &[UserId]) -> Result<Vec<Self>> {
        if people.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<_> = (2..2 + people.len()).map(|number| format!("${number}")).collect();
        let text = format!("{SELECT} AND user_id IN ({}) ORDER BY target_id", places.join(", "));
        let statement = built_sql(text).bind(clinic);
        people.iter().fold(statement, |statement, user| statement.bind(*user)).fetch_all(db).await
    }

    /// Removes one that is reached no more.
    pub async fn remove(db: &mut Tx, clinic: ClinicId, id: PushTargetId) -> Result<u64> {
        let delete = "DELETE FROM push_targets WHERE clinic_id = $1 AND target_id = $2";
        sql(delete).bind(clinic).bind(id).execute(db).await
    }
}

fn digest(key: &str) -> String {
    Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A target to be written.
struct New<'n> {
    kind: &'static str,
    platform: &'static str,
    device: Option<&'n str>,
    /// By what it is compared.
    key: &'n str,
    /// What is sealed.
    secret: &'n str,
}

async fn register(state: &NotificationsState, caller: &Caller, new: &New<'_>) -> Result<TargetView, Problem> {
    let user = inbox_of(caller);
    if user.0 == Uuid::nil() {
        let detail = "only people have devices; sign in as one";
        return Err(Problem::new(StatusCode::FORBIDDEN, "people-only", detail));
    }
    let keys = state.app.authenticator.keyring();
    let sealed = keys.seal(caller.clinic, PURPOSE, new.secret.as_bytes());
    let sealed = sealed.map_err(|error| Problem::internal("secret-failed", &error))?.to_string();
    let (now, digest) = (state.app.clock.now(), digest(new.key));

    // The system's handle: a device that somebody else had, in whichever clinic, is theirs no more. One's own stays
    // registered in one's other clinics.
    let mut tx = state.app.db.begin().await?;
    let take = "DELETE FROM push_targets WHERE digest = $1 AND user_id <> $2";
    sql(take).bind(&digest).bind(user).execute(&mut tx).await?;
    let upsert =
        "INSERT INTO push_targets (target_id, clinic_id, user_id, kind, platform, device, digest, sealed,
                                            created_at, seen_at)
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
                  ON CONFLICT (clinic_id, digest) DO UPDATE
                     SET platform = excluded.platform, device = excluded.device, sealed = excluded.sealed,
                         seen_at = excluded.seen_at
                  RETURNING target_id, user_id, kind, platform, device, sealed, created_at, seen_at";
    let kept: Target = sql(upsert)
        .bind(PushTargetId::new())
        .bind(caller.clinic)
        .bind(user)
        .bind(new.kind)
        .bind(new.platform)
        .bind(new.device)
        .bind(&digest)
        .bind(sealed)
        .bind(now)
        .fetch_one(&mut tx)
        .await?;
    let spare = "DELETE FROM push_targets WHERE target_id IN
                   (SELECT target_id FROM push_targets WHERE clinic_id = $1 AND user_id = $2
                     ORDER BY seen_at DESC, target_id DESC LIMIT 1000 OFFSET $3)";
    sql(spare).bind(caller.clinic).bind(user).bind(MOST_PER_PERSON).execute(&mut tx).await?;
    caller.about_record(kept.id());
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(kept.view)
}

fn invalid(code: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}

/// `POST /api/mobile/push-token`, `POST /api/v1/notifications/push-tokens`
pub(crate) async fn register_token(
    State(state): State<NotificationsState>,
    caller: Caller,
    Json(request): Json<PushToken>,
) -> Result<(StatusCode, Json<TargetView>), Problem> {
    let token = request.token.trim();
    if token.is_empty() || token.len() > TOKEN_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid("invalid-token", "token has 1 to 4,096 visible ASCII characters"));
    }
    let device = request.device_id.as_deref().map(str::trim).filter(|device| !device.is_empty());
    if device.is_some_and(|it| it.chars().count() > NAME_CHARACTERS || it.chars().any(char::is_control)) {
        return Err(invalid(
            "invalid-text",
            "deviceId has at most 100 characters, without control characters",
        ));
    }
    let is_arn = token.starts_with("arn:");
    let is_endpoint = is_arn && token.split(':').nth(2) == Some("sns") && token.contains(":endpoint/");
    if is_arn && !is_endpoint {
        return Err(invalid("invalid-token", "an ARN that is a token is one of a platform endpoint of SNS"));
    }
    let new = New {
        kind: if is_arn { "sns" } else { "fcm" },
        platform: request.platform.as_str(),
        device,
        key: token,
        secret: token,
    };
    Ok((StatusCode::CREATED, Json(register(&state, &caller, &new).await?)))
}

/// `POST /api/v1/notifications/push-subscriptions`
pub(crate) async fn register_browser(
    State(state): State<NotificationsState>,
    caller: Caller,
    Json(request): Json<NewSubscription>,
) -> Result<(StatusCode, Json<TargetView>), Problem> {
    let NewSubscription { endpoint, keys, .. } = request;
    let subscription = Subscription::check(&endpoint, &keys.p256dh, &keys.auth, state.switchboard.targets())
        .map_err(|error| invalid("invalid-subscription", error.to_string()))?;
    let secret = serde_json::json!(subscription).to_string();
    let new = New {
        kind: "web_push",
        platform: "web",
        device: None,
        key: subscription.endpoint(),
        secret: &secret,
    };
    Ok((StatusCode::CREATED, Json(register(&state, &caller, &new).await?)))
}

/// The key that pages subscribe with.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PushKeyView {
    /// `applicationServerKey`: an uncompressed point of P-256 as base64url (RFC 8292, section 3.2).
    public_key: String,
}

/// `GET /api/v1/notifications/push-key`
pub(crate) async fn push_key(
    State(state): State<NotificationsState>,
    _: Caller,
) -> Result<Json<PushKeyView>, Problem> {
    let key = state.switchboard.vapid_public_key().await;
    let public_key = key.map_err(|error| Problem::internal("secret-failed", &error))?;
    Ok(Json(PushKeyView { public_key }))
}

/// `GET /api/v1/notifications/push-targets`
pub(crate) async fn list(
    State(state): State<NotificationsState>,
    caller: Caller,
) -> Result<Json<Vec<TargetView>>, Problem> {
    let mut read = state.app.db.of(caller.clinic).read().await?;
    let found = Target::of_all(&mut read, caller.clinic, &[inbox_of(&caller)]).await?;
    Ok(Json(found.into_iter().map(|target| target.view).collect()))
}

/// `DELETE /api/v1/notifications/push-targets/{id}`
pub(crate) async fn remove(
    State(state): State<NotificationsState>,
    caller: Caller,
    Path(id): Path<PushTargetId>,
) -> Result<StatusCode, Problem> {
    let mut tx = state.app.db.of(caller.clinic).begin().await?;
    let target = Target::find(&mut tx, caller.clinic, id).await?;
    if target.user() != inbox_of(&caller) {
        return Err(DbError::NotFound.into());
    }
    Target::remove(&mut tx, caller.clinic, id).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
