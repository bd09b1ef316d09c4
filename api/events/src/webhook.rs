//! Where a clinic wants its events sent.

use axum::Extension;
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use clinical::id::{ClinicId, WebhookId};
use gate::{App, Caller, Cursor, Json, Paged, Path, Problem, ShownOnce};
use http::StatusCode;
use serde::Deserialize;
use storage::records::webhook::delivery::Delivery;
use storage::records::webhook::target::{Targets, WebhookUrl};
use storage::records::webhook::{MOST_PER_CLINIC, SECRET_PURPOSE, Webhook, WebhookChange};
use storage::secret::{Plain, Sealed, SecretError};
use utoipa::ToSchema;

use crate::state::EventsState;
use crate::view::State as Sending;
use crate::{WebhookView, text};

/// Bytes of a secret: Standard Webhooks 1.0 asks for 24 to 64.
const SECRET_BYTES: usize = 32;
/// For so long the secret before the present one signs too.
const OVERLAP: TimeDelta = TimeDelta::hours(24);

/// A webhook to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewWebhook {
    /// Where the events go: `https://…` or `http://…`.
    url: String,
    /// What it is for.
    #[serde(default)]
    #[schema(max_length = 500, pattern = "^[^\\x00]*$")]
    description: String,
    /// The names of the events that go there; empty: every one.
    #[serde(default)]
    events: Vec<String>,
}

/// What changes of a webhook; what is missing stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WebhookPatch {
    /// Where the events go.
    url: Option<String>,
    /// What it is for.
    #[schema(max_length = 500, pattern = "^[^\\x00]*$")]
    description: Option<String>,
    /// The names of the events that go there; empty: every one.
    events: Option<Vec<String>>,
    /// Whether anything is sent.
    state: Option<Sending>,
}

impl WebhookPatch {
    fn check(self, targets: Targets) -> Result<WebhookChange, Problem> {
        Ok(WebhookChange {
            url: self.url.map(|url| checked_url(&url, targets)).transpose()?,
            description: self.description.map(|it| text::description(&it)).transpose()?,
            events: self.events.map(text::event_names).transpose()?,
            state: self.state.map(Into::into),
        })
    }
}

fn checked_url(text: &str, targets: Targets) -> Result<WebhookUrl, Problem> {
    WebhookUrl::check(text, targets).map_err(|error| Problem::bad_request("invalid-url", error.to_string()))
}

/// A new secret: as it is shown, and as it is kept.
fn new_secret(app: &App, clinic: ClinicId) -> Result<(String, Sealed), Problem> {
    let made = || {
        let plain = Plain::random(SECRET_BYTES)?;
        let sealed = app.authenticator.keyring().seal(clinic, SECRET_PURPOSE, &plain)?;
        Ok((format!("whsec_{}", STANDARD.encode(&*plain)), sealed))
    };
    made().map_err(|error: SecretError| Problem::internal("secret-failed", &error))
}

/// `POST /api/v1/webhooks`
pub(crate) async fn create(
    State(EventsState { app, targets }): State<EventsState>,
    caller: Caller,
    Json(request): Json<NewWebhook>,
) -> Result<(StatusCode, Extension<ShownOnce>, Json<WebhookView>), Problem> {
    let url = checked_url(&request.url, targets)?;
    let description = text::description(&request.description)?;
    let events = text::event_names(request.events)?;
    let (shown, sealed) = new_secret(&app, caller.clinic)?;

    let mut tx = app.db.of(caller.clinic).begin().await?;
    if Webhook::count(&mut tx, caller.clinic).await? >= MOST_PER_CLINIC {
        let detail = format!("a clinic has at most {MOST_PER_CLINIC} webhooks: remove one first");
        return Err(Problem::conflict("too-many-webhooks", detail));
    }
    let now = app.clock.now();
    let made = Webhook::create(&mut tx, caller.clinic, &url, &description, &events, &sealed, now).await?;
    caller.about_record(made.webhook_id);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    let view = WebhookView { secret: Some(shown), ..made.into() };
    Ok((StatusCode::CREATED, Extension(ShownOnce), Json(view)))
}

/// `GET /api/v1/webhooks`: newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
) -> Result<Paged<WebhookView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let found = Webhook::list(&mut rows, caller.clinic, page.after.map(WebhookId), page.rows()).await?;
    Ok(page.of_rows(found, |webhook| webhook.webhook_id.0).map(WebhookView::from))
}

/// `GET /api/v1/webhooks/{id}`
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<WebhookId>,
) -> Result<Json<WebhookView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    Ok(Json(Webhook::find(&mut rows, caller.clinic, id).await?.into()))
}

/// `PATCH /api/v1/webhooks/{id}`
pub(crate) async fn change(
    State(EventsState { app, targets }): State<EventsState>,
    caller: Caller,
    Path(id): Path<WebhookId>,
    Json(request): Json<WebhookPatch>,
) -> Result<Json<WebhookView>, Problem> {
    let is_switched_on = request.state == Some(Sending::Active);
    let change = request.check(targets)?;

    let mut tx = app.db.of(caller.clinic).begin().await?;
    let changed = Webhook::change(&mut tx, caller.clinic, id, &change).await?;
    if is_switched_on {
        Delivery::resume(&mut tx, caller.clinic, id, app.clock.now()).await?;
    }
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok(Json(changed.into()))
}

/// `DELETE /api/v1/webhooks/{id}`
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<WebhookId>,
) -> Result<StatusCode, Problem> {
    let mut tx = app.db.of(caller.clinic).begin().await?;
    Webhook::delete(&mut tx, caller.clinic, id).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v1/webhooks/{id}/rotate-secret`
pub(crate) async fn rotate_secret(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<WebhookId>,
) -> Result<(Extension<ShownOnce>, Json<WebhookView>), Problem> {
    let (shown, sealed) = new_secret(&app, caller.clinic)?;

    let mut tx = app.db.of(caller.clinic).begin().await?;
    let until = app.clock.now() + OVERLAP;
    let changed = Webhook::change_secret(&mut tx, caller.clinic, id, &sealed, until).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok((Extension(ShownOnce), Json(WebhookView { secret: Some(shown), ..changed.into() })))
}
