//! The providers that carry a clinic's messages, channel by channel: its own, else those of the service.

mod provider;

use axum::extract::State;
use clinical::event::Event;
use clinical::id::ClinicId;
use gate::{Caller, Json, Problem};
use serde::{Deserialize, Serialize};
use storage::db::{Conn, DbError, Tx};
use storage::outbox;
use storage::records::credential::{Credential, CredentialError, NewCredential};
use storage::records::webhook::target::Targets;
use storage::secret::SYSTEM;
use utoipa::ToSchema;

use self::provider::{ProviderRequest, ProviderView, unfit};
use super::ChannelState;

/// So many providers stand in for the first of a channel at most.
const FALLBACKS: usize = 4;

/// Each channel with its providers, and the purpose that its credentials are kept for.
const CHANNELS: [(&str, &[&str]); 4] = [
    ("email", &["zeptomail", "aws_ses", "smtp"]),
    ("whatsapp", &["meta_business"]),
    ("sms", &["twilio", "aws_sns"]),
    ("push", &["firebase_fcm", "aws_sns"]),
];

/// The channels; one that is left out or `null` has no providers of its own.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CommunicationRequest {
    email: Option<ChannelRequest>,
    whatsapp: Option<ChannelRequest>,
    sms: Option<ChannelRequest>,
    push: Option<ChannelRequest>,
}

/// A channel's providers.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ChannelRequest {
    /// Tried first.
    primary: ProviderRequest,
    /// Tried in their order when the first fails: at most 4.
    #[serde(default)]
    #[schema(max_items = 4)]
    fallback: Vec<ProviderRequest>,
}

impl ChannelRequest {
    fn check(self, known: &[&str], targets: Targets) -> Result<Vec<NewCredential>, Problem> {
        if self.fallback.len() > FALLBACKS {
            return Err(unfit("too-many-providers", format!("a channel has at most {FALLBACKS} fallbacks")));
        }
        let all = std::iter::once(self.primary).chain(self.fallback);
        all.map(|provider| provider.check(known, targets)).collect()
    }
}

/// The channels as they serve the clinic; `null` where nobody has set one.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommunicationView {
    email: Option<ChannelView>,
    whatsapp: Option<ChannelView>,
    sms: Option<ChannelView>,
    push: Option<ChannelView>,
}

/// Who has set a channel's providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ProviderSource)]
pub(crate) enum Source {
    /// The clinic.
    Clinic,
    /// The service's operator, for every clinic without its own.
    Global,
}

/// A channel's providers, without their secrets.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ChannelView {
    from: Source,
    primary: ProviderView,
    fallback: Vec<ProviderView>,
}

impl ChannelView {
    fn of(serving: &[Credential]) -> Option<Self> {
        let (first, rest) = serving.split_first()?;
        Some(Self {
            from: if first.clinic_id == SYSTEM { Source::Global } else { Source::Clinic },
            primary: first.into(),
            fallback: rest.iter().map(ProviderView::from).collect(),
        })
    }
}

async fn view(db: &mut Conn, clinic: ClinicId) -> Result<CommunicationView, DbError> {
    let mut channels = Vec::with_capacity(CHANNELS.len());
    for (purpose, _) in CHANNELS {
        channels.push(ChannelView::of(&Credential::serving(db, clinic, purpose).await?));
    }
    let mut channels = channels.into_iter();
    let mut next = || channels.next().flatten();
    Ok(CommunicationView { email: next(), whatsapp: next(), sms: next(), push: next() })
}

fn refused(error: CredentialError) -> Problem {
    match error {
        CredentialError::Database(error) => error.into(),
        CredentialError::Secret(error) => Problem::internal("secret-failed", &error),
    }
}

async fn store(
    state: &ChannelState,
    tx: &mut Tx,
    clinic: ClinicId,
    request: CommunicationRequest,
) -> Result<(), Problem> {
    let CommunicationRequest { email, whatsapp, sms, push } = request;
    let now = state.app.clock.now();
    // What serves every clinic is the operator's, who may have a mail server inside.
    let targets = if clinic == SYSTEM { Targets::PrivateToo } else { state.switchboard.targets() };
    for ((purpose, known), channel) in CHANNELS.into_iter().zip([email, whatsapp, sms, push]) {
        let providers = channel.map(|channel| channel.check(known, targets)).transpose()?.unwrap_or_default();
        let keys = state.app.authenticator.keyring();
        Credential::replace(tx, keys, clinic, purpose, providers, now).await.map_err(refused)?;
    }
    Ok(())
}

/// `GET /api/v1/clinics/{clinicId}/communication/config`
pub(crate) async fn show(
    State(state): State<ChannelState>,
    caller: Caller,
) -> Result<Json<CommunicationView>, Problem> {
    // The system's handle: a clinic's does not see what serves every clinic.
    Ok(Json(view(&mut state.app.db.read().await?, caller.clinic).await?))
}

/// `PUT /api/v1/clinics/{clinicId}/communication/config`
pub(crate) async fn write(
    State(state): State<ChannelState>,
    caller: Caller,
    Json(request): Json<CommunicationRequest>,
) -> Result<Json<CommunicationView>, Problem> {
    let clinic_id = caller.clinic;
    let mut tx = state.app.db.of(clinic_id).begin().await?;
    store(&state, &mut tx, clinic_id, request).await?;
    outbox::tell(&mut tx, clinic_id, &Event::ClinicChanged { clinic_id }, state.app.clock.now()).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    state.switchboard.forget(Some(clinic_id));
    show(State(state), caller).await
}

/// `GET /api/v1/communication/config`
pub(crate) async fn show_global(
    State(state): State<ChannelState>,
    _: Caller,
) -> Result<Json<CommunicationView>, Problem> {
    Ok(Json(view(&mut state.app.db.read().await?, SYSTEM).await?))
}

/// `PUT /api/v1/communication/config`
pub(crate) async fn write_global(
    State(state): State<ChannelState>,
    caller: Caller,
    Json(request): Json<CommunicationRequest>,
) -> Result<Json<CommunicationView>, Problem> {
    let mut tx = state.app.db.begin().await?;
    store(&state, &mut tx, SYSTEM, request).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    state.switchboard.forget(None);
    show_global(State(state), caller).await
}
