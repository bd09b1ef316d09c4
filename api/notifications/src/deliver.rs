//! Brings a message to one person by one channel.

mod digest;
mod mail;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clinical::clock::Clock;
use clinical::id::{DeliveryId, NotificationId};
use clinical::notice::NoticeUrgency;
use metrics::counter;
use storage::db::{Conn, Db, DbError, Tx};
use storage::live;
use storage::queue::{self, Claimed};
use storage::secret::{Keyring, SecretError};

pub use self::mail::MailedInvoice;
use crate::channel::switchboard::{Switchboard, Undelivered};
use crate::channel::{Address, Channel, Outgoing, Sent};
use crate::delivery::{Delivery, DeliveryState};
use crate::letter::{Letter, corrupt};
use crate::plan::Planner;
use crate::suppression::{Reason, is_suppressed, suppress};
use crate::targets::Target;

/// A delivery is tried so often: over about a day.
const TRIES: i64 = 8;
/// The wait after the first failure; each further one is three times as long.
const FIRST_WAIT: TimeDelta = TimeDelta::seconds(30);
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(12);
/// The longest reason that is kept, in characters.
const ERROR_CHARACTERS: usize = 200;

/// Why a delivery could not be worked on; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
    /// An address does not open.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// Brings messages to people; cheap to clone.
#[derive(Clone)]
pub struct Deliverer {
    db: Db,
    clock: Arc<dyn Clock>,
    keys: Keyring,
    switchboard: Switchboard,
    public_url: Arc<str>,
}

/// What came of looking at a delivery.
enum Prospect {
    /// It is to be sent.
    Send(Box<Outgoing>),
    /// Not before.
    Wait(DateTime<Utc>),
    /// It is over without being sent, for this reason.
    Over(DeliveryState, &'static str),
}

impl Deliverer {
    /// Works over the system's handle; `public_url` is where messages lead to.
    pub fn new(
        db: Db,
        clock: Arc<dyn Clock>,
        keys: Keyring,
        switchboard: Switchboard,
        public_url: &str,
    ) -> Self {
        Self { db, clock, keys, switchboard, public_url: public_url.trim_end_matches('/').into() }
    }

    /// Decides by which channels the people of a message hear of it.
    ///
    /// # Errors
    ///
    /// [`DeliverError`]: what was planned stays, the rest is planned by the next try.
    pub async fn plan(&self, claimed: &Claimed, id: NotificationId) -> Result<(), DeliverError> {
        let planner = Planner { db: self.db.clone(), clock: Arc::clone(&self.clock) };
        Ok(planner.run(claimed, id).await?)
    }

    /// Brings one delivery, and asks for the next try where it may still arrive.
    ///
    /// # Errors
    ///
    /// [`DeliverError`]: nothing of the try is written down.
    pub async fn deliver(&self, claimed: &Claimed, id: DeliveryId) -> Result<(), DeliverError> {
        let mut read = self.db.read().await?;
        let found = match Delivery::find(&mut read, claimed.clinic_id, id).await {
            Ok(delivery) if delivery.state == DeliveryState::Waiting => Some(delivery),
            Ok(_) | Err(DbError::NotFound) => None,
            Err(error) => return Err(error.into()),
        };
        let Some(delivery) = found else {
            drop(read);
            return self.end(claimed).await;
        };
        let letter = Letter::of(&mut read, &delivery, &self.public_url).await?;
        let prospect = self.look(&mut read, &delivery, letter.as_ref()).await?;
        drop(read);
        let (urgency, outgoing) = match (letter, prospect) {
            (Some(letter), Prospect::Send(outgoing)) => (letter.notice.urgency, outgoing),
            (_, Prospect::Wait(until)) => {
                let later = Delivery { next_at: until, ..delivery };
                return self.written(claimed, &later, None, Some(NoticeUrgency::Normal)).await;
            }
            (_, Prospect::Over(state, why)) => return self.over(claimed, delivery, state, why).await,
            (None, Prospect::Send(_)) => return self.end(claimed).await,
        };
        let sent = self.switchboard.send(claimed.clinic_id, &outgoing).await;
        self.came(claimed, delivery, &outgoing.to, urgency, sent).await
    }

    /// What is to be done with a delivery at this moment.
    async fn look(
        &self,
        read: &mut Conn,
        delivery: &Delivery,
        letter: Option<&Letter>,
    ) -> Result<Prospect, DeliverError> {
        let Some(letter) = letter else {
            return Ok(Prospect::Over(DeliveryState::Suppressed, "the message or its reader is gone"));
        };
        let (person, notice, now) = (&letter.person, &letter.notice, self.clock.now());
        let not_before = person.wishes.not_before(notice.urgency, now, person.zone);
        if not_before > now {
            return Ok(Prospect::Wait(not_before));
        }
        let phone = || person.wishes.phone.as_deref().and_then(|phone| phone.parse().ok());
        let address = match delivery.channel {
            Channel::InApp => None,
            Channel::Email => {
                Some(Address::Email(person.user.email.parse().map_err(|_| corrupt("users.email"))?))
            }
            Channel::Sms => phone().map(Address::Sms),
            Channel::Whatsapp => phone().map(Address::Whatsapp),
            Channel::Push => match delivery.target_id {
                Some(id) => match Target::find(read, delivery.clinic_id, id).await {
                    // A device that somebody else has now is told nothing of this person.
                    Ok(target) if target.user() == delivery.user_id => {
                        Some(target.address(&self.keys, delivery.clinic_id)?)
                    }
                    Ok(_) | Err(DbError::NotFound) => None,
                    Err(error) => return Err(error.into()),
                },
                None => None,
            },
        };
        let Some(address) = address else {
            return Ok(Prospect::Over(DeliveryState::Suppressed, "there is no address any more"));
        };
        if is_suppressed(read, delivery.clinic_id, delivery.channel, &address.key()).await? {
            return Ok(Prospect::Over(DeliveryState::Suppressed, "nothing is sent to this address"));
        }
        Ok(Prospect::Send(Box::new(letter.outgoing(delivery, address))))
    }

    /// Writes down what came of a try.
    async fn came(
        &self,
        claimed: &Claimed,
        delivery: Delivery,
        to: &Address,
        urgency: NoticeUrgency,
        sent: Result<Sent, Undelivered>,
    ) -> Result<(), DeliverError> {
        let now = self.clock.now();
        let delivery = Delivery { tries: delivery.tries + 1, ..delivery };
        let error = match sent {
            Ok(sent) => {
                count(delivery.channel, DeliveryState::Sent.as_str());
                let done = sent_by(delivery, &sent, now);
                return self.written(claimed, &done, sent.provider_message_id.as_deref(), None).await;
            }
            Err(error) => error,
        };
        count(delivery.channel, code(&error));
        let last_error = Some(error.to_string().chars().take(ERROR_CHARACTERS).collect());
        if error.is_worth_another_try() && delivery.tries < TRIES {
            let next_at = now + wait(delivery.tries, error.retry_after());
            let later = Delivery { next_at, last_error, ..delivery };
            return self.written(claimed, &later, None, Some(urgency)).await;
        }
        let failed = Delivery { state: DeliveryState::Failed, last_error, settled_at: Some(now), ..delivery };
        let mut tx = self.db.begin().await?;
        failed.write(&mut tx, None).await?;
        if error.is_bad_address() {
            gives_up_address(&mut tx, &failed, to, now).await?;
        }
        queue::finish(&mut tx, claimed).await?;
        Ok(tx.commit().await?)
    }

    /// Writes the delivery and ends the job; where it still waits, the next one is asked for.
    async fn written(
        &self,
        claimed: &Claimed,
        delivery: &Delivery,
        reference: Option<&str>,
        again: Option<NoticeUrgency>,
    ) -> Result<(), DeliverError> {
        let mut tx = self.db.begin().await?;
        delivery.write(&mut tx, reference).await?;
        if let Some(urgency) = again {
            let (priority, now) = (live::priority(urgency), self.clock.now());
            queue::ask(&mut tx, delivery.clinic_id, &delivery.job(), priority, delivery.next_at, now).await?;
        }
        queue::finish(&mut tx, claimed).await?;
        Ok(tx.commit().await?)
    }

    async fn over(
        &self,
        claimed: &Claimed,
        delivery: Delivery,
        state: DeliveryState,
        why: &'static str,
    ) -> Result<(), DeliverError> {
        count(delivery.channel, state.as_str());
        let settled_at = Some(self.clock.now());
        let over = Delivery { state, last_error: Some(why.to_owned()), settled_at, ..delivery };
        self.written(claimed, &over, None, None).await
    }

    async fn end(&self, claimed: &Claimed) -> Result<(), DeliverError> {
        let mut tx = self.db.begin().await?;
        queue::finish(&mut tx, claimed).await?;
        Ok(tx.commit().await?)
    }
}

fn sent_by(delivery: Delivery, sent: &Sent, now: DateTime<Utc>) -> Delivery {
    Delivery {
        state: DeliveryState::Sent,
        provider: Some(sent.provider.name().to_owned()),
        last_error: None,
        sent_at: Some(now),
        ..delivery
    }
}

/// Counts what came of a try.
fn count(channel: Channel, outcome: &'static str) {
    counter!("notification_deliveries_total", "channel" => channel.name(), "outcome" => outcome).increment(1);
}

/// Sends nothing more to an address that takes nothing: a device is forgotten, any other address suppressed.
async fn gives_up_address(
    tx: &mut Tx,
    delivery: &Delivery,
    to: &Address,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    match delivery.target_id {
        Some(target) => Target::remove(tx, delivery.clinic_id, target).await.map(|_| ()),
        None => suppress(tx, delivery.clinic_id, delivery.channel, &to.key(), Reason::Bounce, now).await,
    }
}

fn code(error: &Undelivered) -> &'static str {
    match error {
        Undelivered::NoProvider => "no-provider",
        Undelivered::Refused(error) => error.code(),
        Undelivered::Database(_) => "database",
    }
}

/// How long to wait after so many tries: four fifths to six fifths of thirty seconds times a power of three, so that
/// those who failed together do not come back together; never less than the provider asks for.
fn wait(tries: i64, retry_after: Option<Duration>) -> TimeDelta {
    let power = u32::try_from(tries - 1).unwrap_or(0).min(12);
    let wait_ms = FIRST_WAIT.num_milliseconds().saturating_mul(3_i64.pow(power));
    let wait_ms = wait_ms.min(LONGEST_WAIT.num_milliseconds());
    let jitter = (uuid::Uuid::new_v4().as_u128() % 401) as i64;
    let jittered = TimeDelta::milliseconds(wait_ms / 1_000 * (800 + jitter));
    let asked = retry_after.and_then(|asked| TimeDelta::from_std(asked).ok()).unwrap_or_default();
    jittered.max(asked.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_grow_and_are_never_shorter_than_a_provider_asks() {
        for (tries, seconds) in [(1, 30), (2, 90), (3, 270), (40, 43_200)] {
            for _ in 0..50 {
                let waited = wait(tries, None).num_seconds();
                assert!(seconds * 4 / 5 <= waited && waited <= seconds * 6 / 5, "{tries}: {waited}");
            }
        }
        assert!(wait(1, Some(Duration::from_secs(600))) >= TimeDelta::seconds(600));
        assert!(wait(1, Some(Duration::MAX)) <= LONGEST_WAIT);
    }
}
