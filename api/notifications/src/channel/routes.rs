//! The routes of the channels: which providers, how they are, and what they report.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use clinical::id::ClinicId;
use clinical::role::{Action, Resource};
use futures::future::BoxFuture;
use gate::{App, Caller, Json, Path, Problem, Query, Routes, Rule, body_problem, get, post, put};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;
use storage::db::DbError;
use storage::secret::SYSTEM;
use utoipa::IntoParams;

use super::config::{self, CommunicationRequest, CommunicationView};
use super::switchboard::{ChannelHealth, Switchboard};
use super::webhook::{self, Call, WebhookError};
use super::{Provider, Report};

/// The longest report, in bytes.
const REPORT_BYTES: usize = 256 << 10;

/// What the routes of the channels need.
#[derive(Clone)]
pub struct ChannelState {
    /// The rooms.
    pub app: App,
    /// The providers.
    pub switchboard: Switchboard,
    /// Who is told what providers report.
    pub reports: Arc<dyn ReportListener>,
}

/// Whoever knows the deliveries, and is told what became of them.
pub trait ReportListener: Send + Sync {
    /// Takes reports whose signatures have been checked; one that comes twice changes nothing the second time.
    ///
    /// # Errors
    ///
    /// [`DbError`]: the provider reports again.
    fn take<'a>(&'a self, reports: &'a [Report]) -> BoxFuture<'a, Result<(), DbError>>;
}

/// The routes of the channels.
pub fn routes(state: ChannelState) -> Routes {
    let credential = |action| Rule::may(action, Resource::Credential);
    let service = |action| Rule::may(action, Resource::Service);
    let routes = Routes::new("notifications")
        .add(
            get("/api/v1/clinics/{clinicId}/communication/config", credential(Action::Read))
                .says("The providers that carry the clinic's messages, without their secrets.")
                .answers::<CommunicationView>(200, "The providers."),
            config::show,
        )
        .add(
            put("/api/v1/clinics/{clinicId}/communication/config", credential(Action::Update))
                .says("Set the clinic's providers; a channel that is left out falls back to the global ones.")
                .takes::<CommunicationRequest>()
                .answers::<CommunicationView>(200, "The providers, without their secrets.")
                .refuses(422, "unknown-provider, invalid-text, too-many-providers")
                .refuses(422, "invalid-host: a mail server that is none of the public Internet"),
            config::write,
        )
        .add(
            get("/api/v1/communication/config", service(Action::Read))
                .says("The providers that serve the clinics without their own.")
                .answers::<CommunicationView>(200, "The providers."),
            config::show_global,
        )
        .add(
            put("/api/v1/communication/config", service(Action::Update))
                .says("Set the providers that serve the clinics without their own.")
                .takes::<CommunicationRequest>()
                .answers::<CommunicationView>(200, "The providers, without their secrets.")
                .refuses(422, "unknown-provider, invalid-text, too-many-providers"),
            config::write_global,
        )
        .add(
            get("/api/v1/clinics/{clinicId}/communication/health", credential(Action::Read))
                .says("How the providers are that carry the clinic's messages, as this process knows it.")
                .answers::<Vec<ChannelHealth>>(200, "The channels, each with its providers in their order."),
            health,
        )
        .add(
            get("/api/v1/communication/health", service(Action::Read))
                .says("How the providers are that serve the clinics without their own.")
                .answers::<Vec<ChannelHealth>>(200, "The channels, each with its providers in their order."),
            global_health,
        );
    of_webhooks(routes).with_state(state)
}

fn of_webhooks(routes: Routes<ChannelState>) -> Routes<ChannelState> {
    let path = "/api/v1/communication/webhooks/{provider}";
    let own = "/api/v1/communication/webhooks/{provider}/{clinicId}";
    let named = || json!({"type": "string", "enum": ["zeptomail", "aws_ses", "meta_business"]});
    let taking = |path: &str| {
        post(path, Rule::PUBLIC)
            .path_value("provider", named())
            .takes_bytes("application/json", json!({"type": "string", "format": "binary"}))
            .body_limit(REPORT_BYTES)
            .answers_nothing(204, "It was taken.")
            .refuses(400, "invalid-report")
            .refuses(401, "invalid-signature: it is not from them, or nobody has set what they sign with")
            .refuses(404, "not-found: such a provider reports nothing")
            .refuses(503, "certificate-unavailable: try again")
    };
    let challenged = |path: &str| {
        get(path, Rule::PUBLIC)
            .path_value("provider", named())
            .query::<Challenge>()
            .answers_bytes(200, "text/plain", "The challenge.")
            .refuses(401, "invalid-signature: the token is another")
            .refuses(404, "not-found: such a provider asks nothing")
    };
    routes
        .add(
            taking(path)
                .says("What a provider reports of messages that went through the global credentials."),
            take,
        )
        .add(
            taking(own)
                .says("What a provider reports of messages that went through the clinic's credentials."),
            take_own,
        )
        .add(challenged(path).says("WhatsApp asks whether its webhook is wanted."), challenge)
        .add(challenged(own).says("WhatsApp asks whether the clinic's webhook is wanted."), challenge_own)
}

/// `GET /api/v1/clinics/{clinicId}/communication/health`
async fn health(
    State(state): State<ChannelState>,
    caller: Caller,
) -> Result<Json<Vec<ChannelHealth>>, Problem> {
    Ok(Json(state.switchboard.health(caller.clinic).await?))
}

/// `GET /api/v1/communication/health`
async fn global_health(
    State(state): State<ChannelState>,
    _: Caller,
) -> Result<Json<Vec<ChannelHealth>>, Problem> {
    Ok(Json(state.switchboard.health(SYSTEM).await?))
}

/// What the webhooks report goes to whoever knows the deliveries.
async fn taken(
    state: &ChannelState,
    provider: &str,
    clinic: Option<ClinicId>,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let provider = Provider::named(provider).ok_or(WebhookError::Unknown)?;
    let body = body.map_err(|rejection| body_problem(&rejection))?;
    let now = state.app.clock.now();
    let call = Call { provider, clinic, headers, body: &body, now };
    let reports: Vec<Report> = webhook::read(&state.switchboard, &call).await?;
    if !reports.is_empty() {
        state.reports.take(&reports).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v1/communication/webhooks/{provider}`
async fn take(
    State(state): State<ChannelState>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    taken(&state, &provider, None, &headers, body).await
}

/// `POST /api/v1/communication/webhooks/{provider}/{clinicId}`
async fn take_own(
    State(state): State<ChannelState>,
    Path((provider, clinic)): Path<(String, ClinicId)>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    taken(&state, &provider, Some(clinic), &headers, body).await
}

/// What WhatsApp asks when a webhook is set up.
#[derive(Deserialize, IntoParams)]
pub(super) struct Challenge {
    /// `subscribe`.
    #[serde(rename = "hub.mode")]
    mode: String,
    /// The token that was agreed on.
    #[serde(rename = "hub.verify_token")]
    verify_token: String,
    /// What to answer: letters and digits.
    #[serde(rename = "hub.challenge")]
    #[param(pattern = "^[A-Za-z0-9]{1,256}$")]
    challenge: String,
}

async fn challenged(
    state: &ChannelState,
    provider: &str,
    clinic: Option<ClinicId>,
    asked: &Challenge,
) -> Result<String, Problem> {
    if Provider::named(provider) != Some(Provider::MetaBusiness) {
        return Err(WebhookError::Unknown.into());
    }
    let known = state.switchboard.parts_of(clinic, Provider::MetaBusiness).await?;
    let answer = webhook::challenge(&known, &asked.verify_token, &asked.challenge);
    let answer = answer.filter(|_| asked.mode == "subscribe").ok_or(WebhookError::Signature)?;
    Ok(answer.to_owned())
}

/// `GET /api/v1/communication/webhooks/{provider}`
async fn challenge(
    State(state): State<ChannelState>,
    Path(provider): Path<String>,
    Query(asked): Query<Challenge>,
) -> Result<String, Problem> {
    challenged(&state, &provider, None, &asked).await
}

/// `GET /api/v1/communication/webhooks/{provider}/{clinicId}`
async fn challenge_own(
    State(state): State<ChannelState>,
    Path((provider, clinic)): Path<(String, ClinicId)>,
    Query(asked): Query<Challenge>,
) -> Result<String, Problem> {
    challenged(&state, &provider, Some(clinic), &asked).await
}
