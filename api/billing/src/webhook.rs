//! What providers tell: kept once, answered at once, settled by asking them again.
//!
//! The signature alone says that a provider speaks. What the body says of sums and states is not believed; only of a
//! subscription that the provider keeps, and cannot be asked about, its own word is taken, the latest one.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use chrono::TimeDelta;
use clinical::audit::{Actor, Entry, Outcome};
use clinical::id::{ClinicId, PaymentId};
use clinical::job::{Job, Priority};
use gate::{Bytes, Path, Problem, Visitor};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use storage::db::DbError;
use storage::queue;
use storage::records::clinic::Clinic;
use tracing::{info, warn};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts::{Account, AccountError};
use crate::cashier::{Cashier, LAST_LOOK, SettleError};
use crate::inbox::{self, EventState, Received};
use crate::looking_after::pause;
use crate::payment::Payment;
use crate::progress::Progress;
use crate::provider::{
    Intent, PaymentProvider, ProviderError, ProviderEvent, ProviderName, Subject, WebhookError,
};
use crate::returned::Refund;
use crate::state::BillingState;
use crate::subscription::Subscription;
use crate::told_subscription;

/// The job that settles it all the same begins after so long.
const JOB_AFTER: TimeDelta = TimeDelta::seconds(5);
/// So long a webhook waits to be settled before it is answered; what takes longer is settled by its job.
const PATIENCE: Duration = Duration::from_secs(3);

/// That it was taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Taken {
    /// It is kept.
    received: bool,
}

/// Why a webhook is not taken.
#[derive(Debug, thiserror::Error)]
enum TakeError {
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    #[error("this event is about a payment of another clinic")]
    OtherClinic,
    #[error(transparent)]
    Settle(#[from] SettleError),
}

impl From<DbError> for TakeError {
    fn from(error: DbError) -> Self {
        Self::Settle(error.into())
    }
}

impl From<TakeError> for Problem {
    fn from(error: TakeError) -> Self {
        let detail = error.to_string();
        match error {
            TakeError::Webhook(WebhookError::Unchecked) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "signature-unchecked", detail)
            }
            TakeError::Webhook(WebhookError::NotSetUp) => Self::not_found(),
            TakeError::Webhook(WebhookError::Malformed) => Self::bad_request("webhook-malformed", detail),
            TakeError::Webhook(_) => Self::bad_request("webhook-signature", detail),
            TakeError::OtherClinic => Self::new(StatusCode::FORBIDDEN, "webhook-other-clinic", detail),
            TakeError::Settle(error) => error.into(),
        }
    }
}

/// `POST /api/payments/webhooks/{provider}`
pub(crate) async fn common(
    State(state): State<BillingState>,
    visitor: Visitor,
    Path(provider): Path<String>,
    headers: HeaderMap,
    Bytes(body): Bytes,
) -> Result<gate::Json<Taken>, Problem> {
    let taken = take(&state, &provider, None, &headers, &body).await;
    written_down(&state, &visitor, &provider, ClinicId::DEFAULT, taken).await
}

/// `POST /api/payments/webhooks/{provider}/{clinicId}`
pub(crate) async fn of_clinic(
    State(state): State<BillingState>,
    visitor: Visitor,
    Path((provider, clinic)): Path<(String, ClinicId)>,
    headers: HeaderMap,
    Bytes(body): Bytes,
) -> Result<gate::Json<Taken>, Problem> {
    let taken = take(&state, &provider, Some(clinic), &headers, &body).await;
    written_down(&state, &visitor, &provider, clinic, taken).await
}

/// What became of a webhook, once the trail has its row of one that is refused: one an address, code and minute.
async fn written_down(
    state: &BillingState,
    visitor: &Visitor,
    provider: &str,
    clinic: ClinicId,
    taken: Result<gate::Json<Taken>, Problem>,
) -> Result<gate::Json<Taken>, Problem> {
    let Err(refused) = &taken else { return taken };
    if !matches!(refused.status(), StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN) {
        return taken;
    }
    let entry = visitor.entry(clinic, Actor::Unknown, "payment:webhook", Outcome::Denied);
    let key = format!("{} {provider} {}", entry.address.as_deref().unwrap_or_default(), refused.code());
    let detail = serde_json::json!({ "reason": refused.code() });
    let entry = Entry { record_id: Some(provider.to_owned()), detail: Some(detail), ..entry };
    match state.app.trail.record_once(entry, key).await {
        Ok(()) => taken,
        Err(error) => Err(Problem::internal("audit-failed", &error)),
    }
}

async fn take(
    state: &BillingState,
    provider: &str,
    clinic: Option<ClinicId>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<gate::Json<Taken>, Problem> {
    let provider: ProviderName = provider.parse().map_err(|_| Problem::not_found())?;
    let account = match clinic {
        Some(clinic) => {
            Clinic::find(&mut state.app.db.read().await?, clinic).await?;
            state.cashier.accounts.of(clinic, provider).await
        }
        None => state.cashier.accounts.common(provider).await,
    };
    let account = match account {
        Ok(account) => account,
        Err(AccountError::NotSetUp(_)) => return Err(Problem::not_found()),
        Err(error) => return Err(SettleError::from(error).into()),
    };
    let event = account.verify_webhook(headers, body, state.app.clock.now()).await;
    let event = event.map_err(TakeError::from).inspect_err(|error| {
        warn!(%provider, %error, "a webhook is refused");
    })?;
    state.cashier.keep(clinic, &account, event, body).await?;
    Ok(gate::Json(Taken { received: true }))
}

impl Cashier {
    /// Keeps an event whose signature held, and settles it if that does not take long. One that came before is
    /// answered without another look.
    async fn keep(
        &self,
        named: Option<ClinicId>,
        account: &Account,
        event: ProviderEvent,
        body: &[u8],
    ) -> Result<(), TakeError> {
        let provider = account.name();
        let known = self.clinic_of(provider, &event.subject).await?;
        let clinic = match (named, known) {
            (Some(named), Some(known)) if named != known => return Err(TakeError::OtherClinic),
            (named, known) => named.or(known).unwrap_or(ClinicId::DEFAULT),
        };
        let hint = told_subscription::hint(provider, &event, body);
        let now = self.clock.now();
        let received = Received::new(provider, event, hint, named.is_some(), now);
        let mut tx = self.db.of(clinic).begin().await?;
        if !received.keep(&mut tx, clinic).await? {
            return Ok(());
        }
        // Should this process end before it is settled below.
        let job = Job::SettleProviderEvent { provider_event_id: received.provider_event_id };
        queue::ask(&mut tx, clinic, &job, Priority::Urgent, now + JOB_AFTER, now).await?;
        tx.commit().await?;
        let (cashier, account) = (self.clone(), Arc::clone(account));
        let settling = tokio::spawn(async move { cashier.settle_event(clinic, &*account, &received).await });
        match tokio::time::timeout(PATIENCE, settling).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => warn!(%provider, %error, "an event is settled later"),
            Ok(Err(error)) => warn!(%provider, %error, "an event is settled later"),
            Err(_) => info!(%provider, "an event takes longer to settle"),
        }
        Ok(())
    }

    /// In which clinic is what an event is about, as far as that can be told without asking the provider.
    async fn clinic_of(&self, provider: ProviderName, about: &Subject) -> Result<Option<ClinicId>, DbError> {
        let mut rows = self.db.read().await?;
        Ok(match about {
            Subject::Payment(name) => {
                Payment::clinic_of(&mut rows, provider, Some(name), None).await?.map(|(clinic, _)| clinic)
            }
            Subject::Refund(refund) => Refund::clinic_of(&mut rows, *refund).await?.map(|(clinic, _)| clinic),
            Subject::Subscription(name) => Subscription::clinic_of(&mut rows, provider, name).await?,
            Subject::Charge(_) | Subject::Dispute(_) | Subject::Nothing => None,
        })
    }

    /// `SettleProviderEvent`: reads again what an event is about, unless that was done; ends the job. A provider that
    /// cannot be reached is asked again later.
    ///
    /// # Errors
    ///
    /// [`SettleError`]: the job is tried again.
    pub async fn settle_later(&self, claimed: &queue::Claimed, event: Uuid) -> Result<(), SettleError> {
        let clinic = claimed.clinic_id;
        let mut look_again = None;
        let found = Received::find(&mut self.db.of(clinic).read().await?, clinic, event).await;
        match found {
            Ok(received) if received.state == EventState::Waiting => {
                let account = match received.is_own {
                    true => self.accounts.of(clinic, received.provider).await?,
                    false => self.accounts.common(received.provider).await?,
                };
                match self.settle_event(clinic, &*account, &received).await {
                    Err(error) if error.is_passing() => {
                        info!(provider = %received.provider, %error, "an event is settled later");
                        look_again = Some(received.received_at);
                        // What nobody answers for so long is for people to look at: the job fails.
                        if self.clock.now() - received.received_at > LAST_LOOK {
                            return Err(error);
                        }
                    }
                    settled => settled?,
                }
            }
            Ok(_) | Err(DbError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        let now = self.clock.now();
        let mut tx = self.db.of(clinic).begin().await?;
        if let Some(since) = look_again {
            let job = Job::SettleProviderEvent { provider_event_id: event };
            let at = now + pause(now - since, JOB_AFTER);
            queue::ask(&mut tx, clinic, &job, Priority::Urgent, at, now).await?;
        }
        queue::finish(&mut tx, claimed).await?;
        Ok(tx.commit().await?)
    }

    async fn settle_event(
        &self,
        clinic: ClinicId,
        account: &dyn PaymentProvider,
        received: &Received,
    ) -> Result<(), SettleError> {
        let is_kept_here = self.settle_subject(clinic, account, received).await?;
        let state = if is_kept_here { EventState::Settled } else { EventState::Ignored };
        let mut tx = self.db.of(clinic).begin().await?;
        inbox::end(&mut tx, clinic, received.provider_event_id, state, self.clock.now()).await?;
        Ok(tx.commit().await?)
    }

    /// Reads again what an event is about; whether it is something that is kept here.
    async fn settle_subject(
        &self,
        clinic: ClinicId,
        account: &dyn PaymentProvider,
        received: &Received,
    ) -> Result<bool, SettleError> {
        match &received.subject {
            Subject::Refund(refund) => {
                let found = Refund::clinic_of(&mut self.db.read().await?, *refund).await?;
                let Some((clinic, payment)) = ours(found, clinic, received) else { return Ok(false) };
                self.settle(clinic, payment).await.map(|_| true)
            }
            about @ (Subject::Payment(_) | Subject::Charge(_)) => {
                let told = account.read_about(about).await;
                let Some(intent) = known(told)? else { return Ok(false) };
                let Some((clinic, payment)) = self.payment_of(clinic, received, &intent).await? else {
                    return Ok(false);
                };
                let known = self.take_in(clinic, payment, |known, now| known.join(&intent, now)).await?;
                self.finish_alone(clinic, &known.payment).await?;
                Ok(true)
            }
            Subject::Dispute(name) => {
                let Some(dispute) = known(account.read_dispute(name).await)? else { return Ok(false) };
                let Some(intent) = known(account.read(&dispute.payment_id).await)? else { return Ok(false) };
                let Some((clinic, payment)) = self.payment_of(clinic, received, &intent).await? else {
                    return Ok(false);
                };
                let told = |known: &mut Progress, now| {
                    known.join(&intent, now)?;
                    known.join_dispute(&dispute, now)
                };
                self.take_in(clinic, payment, told).await?;
                Ok(true)
            }
            Subject::Subscription(name) => {
                self.told_of_subscription(clinic, account, name, received).await?;
                Ok(true)
            }
            Subject::Nothing => Ok(false),
        }
    }

    /// The payment here that an intent is, where the account that spoke of it may speak of it.
    async fn payment_of(
        &self,
        clinic: ClinicId,
        received: &Received,
        intent: &Intent,
    ) -> Result<Option<(ClinicId, PaymentId)>, DbError> {
        let mut rows = self.db.read().await?;
        let name = Some(intent.provider_id.as_str());
        let found = Payment::clinic_of(&mut rows, received.provider, name, intent.reference).await?;
        Ok(ours(found, clinic, received))
    }
}

/// What was found, unless a clinic's own account speaks of what belongs to another clinic.
fn ours(
    found: Option<(ClinicId, PaymentId)>,
    clinic: ClinicId,
    received: &Received,
) -> Option<(ClinicId, PaymentId)> {
    found.filter(|(of, _)| {
        let is_theirs = !received.is_own || *of == clinic;
        if !is_theirs {
            warn!(provider = %received.provider, "an event speaks of a payment of another clinic");
        }
        is_theirs
    })
}

/// What the provider answered; `None` where it does not know what its own event was about.
fn known<T>(answer: Result<T, ProviderError>) -> Result<Option<T>, ProviderError> {
    match answer {
        Ok(known) => Ok(Some(known)),
        Err(ProviderError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
