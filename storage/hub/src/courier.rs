//! Brings events to a clinic's webhook: the job `DeliverEvent`.
//!
//! One job is one record's events at one webhook. The first that waits is sent;
//! when it has arrived, the next. One that fails is tried again after a growing
//! wait, and those behind it wait with it; after the last try it is dead and makes
//! way. A webhook where nothing arrives for days is disabled.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clinical::clock::Clock;
use clinical::event::Event;
use clinical::id::WebhookId;
use clinical::job::Priority;
use metrics::counter;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use storage::db::{Db, DbError, Tx};
use storage::outbox;
use storage::queue::{self, Claimed};
use storage::records::webhook::delivery::Delivery;
use storage::records::webhook::target::{Targets, WebhookUrl};
use storage::records::webhook::{SECRET_PURPOSE, Webhook, WebhookState};
use storage::secret::{Keyring, SecretError};
use tracing::warn;

use crate::Chain;
use crate::client::{client, drain};
use crate::sign::signature;

/// So many deliveries of one record follow one another before others have their turn.
const IN_A_ROW: usize = 20;
/// No wait is longer, whatever the receiver asks for.
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(24);
/// A stored error is cut off here, in characters.
const ERROR_CHARACTERS: usize = 300;

/// How patiently events are brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CourierSettings {
    /// Which machines may be reached.
    pub targets: Targets,
    /// After so many failed tries a delivery is dead.
    pub tries: i64,
    /// The wait after the first failure, give or take a fifth; each further one is four times as long, up to a day.
    pub first_wait: TimeDelta,
    /// A webhook where nothing has arrived for so long is disabled.
    pub disable_after: TimeDelta,
    /// The longest that a request may take.
    pub longest: Duration,
}

impl Default for CourierSettings {
    /// Ten tries within two to three days; disabled after five.
    fn default() -> Self {
        Self {
            targets: Targets::PublicOnly,
            tries: 10,
            first_wait: TimeDelta::seconds(5),
            disable_after: TimeDelta::days(5),
            longest: Duration::from_secs(15),
        }
    }
}

/// Why the job failed; a receiver that does not answer is no reason, but a delivery that is tried again.
#[derive(Debug, thiserror::Error)]
pub enum CourierError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The webhook's secret does not open.
    #[error("the webhook's secret does not open")]
    Secret(#[from] SecretError),
    /// The client for webhooks cannot be made.
    #[error("there is no client for webhooks")]
    Client(#[source] reqwest::Error),
}

/// What became of a try.
enum Outcome {
    Arrived(StatusCode),
    /// Its owner has said that the address is gone for good.
    Gone,
    Failed {
        status: Option<StatusCode>,
        error: String,
        retry_after: Option<TimeDelta>,
    },
}

/// Brings events to webhooks; cheap to clone.
#[derive(Clone)]
pub struct Courier {
    db: Db,
    clock: Arc<dyn Clock>,
    keys: Keyring,
    settings: CourierSettings,
    client: reqwest::Client,
}

impl Courier {
    /// Needs a process-wide crypto provider of `rustls`.
    ///
    /// # Errors
    ///
    /// [`CourierError::Client`] when the machine's roots of trust cannot be read.
    pub fn new(
        db: Db,
        clock: Arc<dyn Clock>,
        keys: Keyring,
        settings: CourierSettings,
    ) -> Result<Self, CourierError> {
        let client = client(settings.targets, settings.longest).map_err(CourierError::Client)?;
        Ok(Self { db, clock, keys, settings, client })
    }

    /// Sends what waits of one record's events, in order; ends the job.
    ///
    /// # Errors
    ///
    /// [`CourierError`]: the job is tried again.
    pub async fn run(
        &self,
        claimed: &Claimed,
        webhook_id: WebhookId,
        aggregate: &str,
    ) -> Result<(), CourierError> {
        let clinic = claimed.clinic_id;
        for _ in 0..IN_A_ROW {
            let mut read = self.db.read().await?;
            let next = Delivery::next(&mut read, clinic, webhook_id, aggregate).await?;
            let webhook = Webhook::find(&mut read, clinic, webhook_id).await;
            drop(read);
            let webhook = match webhook {
                Ok(webhook) if webhook.state == WebhookState::Active => webhook,
                // Removed, or disabled: what waits goes on waiting until it is active again.
                Ok(_) | Err(DbError::NotFound) => return self.finish(claimed, None).await,
                Err(error) => return Err(error.into()),
            };
            let Some(delivery) = next else { return self.finish(claimed, None).await };
            if delivery.next_at > self.clock.now() {
                return self.finish(claimed, Some(delivery.next_at)).await;
            }
            if !self.deliver(claimed, &webhook, &delivery).await? {
                return Ok(());
            }
        }
        self.finish(claimed, Some(self.clock.now())).await
    }

    /// Ends the job; it comes again at `again`.
    async fn finish(&self, claimed: &Claimed, again: Option<DateTime<Utc>>) -> Result<(), CourierError> {
        let mut tx = self.db.begin().await?;
        self.finish_in(&mut tx, claimed, again).await?;
        Ok(tx.commit().await?)
    }

    async fn finish_in(
        &self,
        tx: &mut Tx,
        claimed: &Claimed,
        again: Option<DateTime<Utc>>,
    ) -> Result<(), DbError> {
        if let Some(again) = again {
            let now = self.clock.now();
            queue::ask(tx, claimed.clinic_id, &claimed.job, Priority::Routine, again, now).await?;
        }
        queue::finish(tx, claimed).await
    }

    /// One try; `true` when the next delivery of the record may follow, else the job is ended.
    async fn deliver(
        &self,
        claimed: &Claimed,
        webhook: &Webhook,
        delivery: &Delivery,
    ) -> Result<bool, CourierError> {
        let outcome = self.attempt(webhook, delivery).await?;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let goes_on = match outcome {
            Outcome::Arrived(status) => {
                counter!("webhook_deliveries_total", "outcome" => "arrived").increment(1);
                delivery.has_arrived(&mut tx, status.as_u16().into(), now).await?;
                Webhook::has_answered(&mut tx, webhook.clinic_id, webhook.webhook_id).await?;
                true
            }
            Outcome::Gone => {
                counter!("webhook_deliveries_total", "outcome" => "gone").increment(1);
                let gone = Some(StatusCode::GONE.as_u16().into());
                delivery.has_failed(&mut tx, gone, "it answered 410 Gone", None).await?;
                if Webhook::is_gone(&mut tx, webhook.clinic_id, webhook.webhook_id).await? {
                    self.tell_disabled(&mut tx, webhook).await?;
                }
                self.finish_in(&mut tx, claimed, None).await?;
                false
            }
            Outcome::Failed { status, error, retry_after } => {
                counter!("webhook_deliveries_total", "outcome" => "failed").increment(1);
                warn!(webhook.id = %webhook.webhook_id, delivery.id = %delivery.delivery_id, error, "not delivered");
                let tries = delivery.tries + 1;
                let wait = self.wait(tries).max(retry_after.unwrap_or_default()).min(LONGEST_WAIT);
                let again = (tries < self.settings.tries).then_some(now + wait);
                let status = status.map(|status| status.as_u16().into());
                delivery.has_failed(&mut tx, status, &error, again).await?;
                let (clinic, id) = (webhook.clinic_id, webhook.webhook_id);
                let disabled =
                    Webhook::has_failed(&mut tx, clinic, id, self.settings.disable_after, now).await?;
                if disabled {
                    self.tell_disabled(&mut tx, webhook).await?;
                }
                match again {
                    Some(again) => {
                        self.finish_in(&mut tx, claimed, (!disabled).then_some(again)).await?;
                        false
                    }
                    // The dead make way.
                    None => true,
                }
            }
        };
        tx.commit().await?;
        Ok(goes_on)
    }

    async fn tell_disabled(&self, tx: &mut Tx, webhook: &Webhook) -> Result<(), DbError> {
        warn!(webhook.id = %webhook.webhook_id, "the webhook is disabled");
        let event = Event::WebhookDisabled { webhook_id: webhook.webhook_id };
        outbox::tell(tx, webhook.clinic_id, &event, self.clock.now()).await
    }

    /// How long to wait after so many failed tries.
    fn wait(&self, tries: i64) -> TimeDelta {
        let fours = u32::try_from(tries - 1).unwrap_or(0).min(12);
        let wait_ms = self.settings.first_wait.num_milliseconds().saturating_mul(4_i64.pow(fours));
        let wait_ms = wait_ms.min(LONGEST_WAIT.num_milliseconds());
        // Four fifths to six fifths of it, so that those who failed together do not come back together.
        let jitter = (uuid::Uuid::new_v4().as_u128() % 401) as i64;
        TimeDelta::milliseconds(wait_ms / 1_000 * (800 + jitter) + wait_ms % 1_000 * (800 + jitter) / 1_000)
    }

    async fn attempt(&self, webhook: &Webhook, delivery: &Delivery) -> Result<Outcome, CourierError> {
        let failed = |error: String| Ok(Outcome::Failed { status: None, error, retry_after: None });
        let url = match WebhookUrl::check(&webhook.url, self.settings.targets) {
            Ok(url) => url,
            Err(error) => return failed(error.to_string()),
        };
        let mut read = self.db.read().await?;
        let told = match outbox::find(&mut read, delivery.clinic_id, delivery.event_id).await {
            Ok(told) => told,
            Err(DbError::NotFound) => return failed("the event is no longer kept".to_owned()),
            Err(error) => return Err(error.into()),
        };
        drop(read);
        let body = told.envelope().to_string();
        let now = self.clock.now();
        let id = told.event_id.to_string();
        let signed = self.sign(webhook, &id, now, body.as_bytes())?;
        let request = self
            .client
            .post(url.as_str())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", now.timestamp())
            .header("webhook-signature", signed)
            .body(body);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if error.is_timeout() => return failed("no answer in time".to_owned()),
            // Without the address, which may hold a key in its query.
            Err(error) => {
                let words = Chain(&error.without_url()).to_string();
                return failed(words.chars().take(ERROR_CHARACTERS).collect());
            }
        };
        let status = answer.status();
        let retry_after = retry_after(answer.headers(), now);
        drain(answer).await;
        Ok(match status {
            status if status.is_success() => Outcome::Arrived(status),
            StatusCode::GONE => Outcome::Gone,
            status => Outcome::Failed {
                status: Some(status),
                error: format!("it answered {}", status.as_u16()),
                retry_after,
            },
        })
    }

    /// The signature by the current secret, and for a while by the one before it.
    fn sign(
        &self,
        webhook: &Webhook,
        id: &str,
        now: DateTime<Utc>,
        body: &[u8],
    ) -> Result<String, SecretError> {
        let mut secrets = vec![self.keys.open(webhook.clinic_id, SECRET_PURPOSE, &webhook.secret)?];
        if let Some((previous, until)) = &webhook.previous
            && now < *until
        {
            secrets.push(self.keys.open(webhook.clinic_id, SECRET_PURPOSE, previous)?);
        }
        Ok(signature(secrets.iter().map(|secret| &**secret), id, now.timestamp(), body))
    }
}

/// How long the receiver asks to be left alone: seconds or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<TimeDelta> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u32>() {
        Ok(seconds) => TimeDelta::seconds(seconds.into()),
        Err(_) => DateTime::parse_from_rfc2822(text).ok()?.with_timezone(&Utc) - now,
    };
    Some(wait.clamp(TimeDelta::zero(), LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: &str) -> Option<i64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        let now = "1994-11-06T08:49:07Z".parse().unwrap();
        retry_after(&headers, now).map(|wait| wait.num_seconds())
    }

    /// The date is the example of RFC 9110, section 5.6.7.
    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(asked("120"), Some(120));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), Some(30));
        assert_eq!(asked("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(asked("999999999"), Some(86_400), "a day at most");
        assert_eq!(asked("soon"), None);
    }
}
