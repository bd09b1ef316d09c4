//! A message on its way to one person by one channel.

use chrono::{DateTime, Utc};
use clinical::event::Event;
use clinical::id::{ClinicId, DeliveryId, NotificationId, PushTargetId, UserId};
use clinical::job::Job;
use storage::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};
use storage::outbox;
use uuid::Uuid;

use crate::channel::Channel;

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryState {
    /// It is yet to be brought.
    Waiting,
    /// It is gathered with others.
    Digest,
    /// A provider has it.
    Sent,
    /// It has reached the person.
    Delivered,
    /// Nothing is sent to that address, or the person wants it no more.
    Suppressed,
    /// It was refused, or tried too often.
    Failed,
}

impl DeliveryState {
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Digest, Self::Sent, Self::Delivered, Self::Suppressed, Self::Failed];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Digest => "digest",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Suppressed => "suppressed",
            Self::Failed => "failed",
        }
    }
}

/// A stored delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub delivery_id: DeliveryId,
    pub clinic_id: ClinicId,
    pub notification_id: NotificationId,
    pub user_id: UserId,
    pub channel: Channel,
    /// The device or browser, where the channel has several.
    pub target_id: Option<PushTargetId>,
    pub state: DeliveryState,
    pub tries: i64,
    /// Waiting or gathered: not before.
    pub next_at: DateTime<Utc>,
    pub provider: Option<String>,
    pub last_error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub sent_at: Option<DateTime<Utc>>,
    /// When it was known what became of it.
    pub settled_at: Option<DateTime<Utc>>,
}

const SELECT: &str =
    "SELECT delivery_id, clinic_id, message_id, user_id, channel, target_id, state, tries, next_at,
                             provider, last_error, created_at, sent_at, settled_at
                        FROM notification_deliveries ";

impl FromRow for Delivery {
    fn from_row(row: &Row) -> Result<Self> {
        let (channel, state): (String, String) = (row.get("channel")?, row.get("state")?);
        let corrupt = |column: &str| DbError::Corrupt(format!("notification_deliveries.{column}"));
        Ok(Self {
            delivery_id: row.id("delivery_id")?,
            clinic_id: row.id("clinic_id")?,
            notification_id: row.id("message_id")?,
            user_id: row.id("user_id")?,
            channel: Channel::named(&channel).ok_or_else(|| corrupt("channel"))?,
            target_id: row.get::<Option<Uuid>>("target_id")?.map(PushTargetId),
            state: DeliveryState::ALL
                .into_iter()
                .find(|known| known.as_str() == state)
                .ok_or_else(|| corrupt("state"))?,
            tries: row.get("tries")?,
            next_at: row.get("next_at")?,
            provider: row.get("provider")?,
            last_error: row.get("last_error")?,
            created_at: row.get("created_at")?,
            sent_at: row.get("sent_at")?,
            settled_at: row.get("settled_at")?,
        })
    }
}

/// The same for every plan of the same message to the same person by the same way: planned twice, it is one delivery.
///
/// The time of the message stands in front, so that lists are in the order of the messages (RFC 9562, version 8).
fn id_of(
    notification: NotificationId,
    user: UserId,
    channel: Channel,
    target: Option<PushTargetId>,
) -> DeliveryId {
    let name = format!("{user}/{}/{}", channel.name(), target.unwrap_or(PushTargetId(Uuid::nil())));
    let hashed = Uuid::new_v5(&notification.0, name.as_bytes()).into_bytes();
    let mut bytes = hashed;
    bytes[..6].copy_from_slice(&notification.0.as_bytes()[..6]);
    DeliveryId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// What is told of a failure that no provider has taken: it is none of the messages that were sent.
const UNSENT: &str = "unsent";

impl Delivery {
    /// A delivery that is yet to be brought.
    pub fn new(
        clinic_id: ClinicId,
        notification_id: NotificationId,
        user_id: UserId,
        channel: Channel,
        target_id: Option<PushTargetId>,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            delivery_id: id_of(notification_id, user_id, channel, target_id),
            clinic_id,
            notification_id,
            user_id,
            channel,
            target_id,
            state: DeliveryState::Waiting,
            tries: 0,
            next_at: now,
            provider: None,
            last_error: None,
            created_at: now,
            sent_at: None,
            settled_at: None,
        }
    }

    /// The work that brings it.
    pub fn job(&self) -> Job {
        let delivery_id = self.delivery_id;
        match self.channel {
            Channel::Email => Job::MailNotice { delivery_id },
            _ => Job::DeliverNotice { delivery_id },
        }
    }

    /// Writes it; `false` where it was planned already.
    pub async fn plan(&self, db: &mut Tx) -> Result<bool> {
        let insert =
            "INSERT INTO notification_deliveries (delivery_id, clinic_id, message_id, user_id, channel,
                                                           target_id, state, tries, next_at, created_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9) ON CONFLICT (delivery_id) DO NOTHING";
        let written = sql(insert)
            .bind(self.delivery_id)
            .bind(self.clinic_id)
            .bind(self.notification_id)
            .bind(self.user_id)
            .bind(self.channel.name())
            .bind(self.target_id)
            .bind(self.state.as_str())
            .bind(self.next_at)
            .bind(self.created_at)
            .execute(db)
            .await?;
        Ok(written == 1)
    }

    /// One delivery of a clinic.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: DeliveryId) -> Result<Self> {
        let text = format!("{SELECT} WHERE delivery_id = $2 AND clinic_id = $1");
        built_sql(text).bind(clinic).bind(id).fetch_one(db).await
    }

    /// The clinic's, newest first, from before `before` on; of one message where it is named.
    pub async fn list(
        db: &mut Conn,
        clinic: ClinicId,
        of: Option<NotificationId>,
        before: Option<DeliveryId>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        let message = if of.is_some() { "AND message_id = $4" } else { "" };
        let text = format!(
            "{SELECT} WHERE clinic_id = $1 AND delivery_id < $2 {message} ORDER BY delivery_id DESC LIMIT $3"
        );
        let before = before.unwrap_or(DeliveryId(Uuid::max()));
        let statement = built_sql(text).bind(clinic).bind(before).bind(limit);
        match of {
            Some(of) => statement.bind(of).fetch_all(db).await,
            None => statement.fetch_all(db).await,
        }
    }

    /// What is gathered for a person, the oldest first.
    pub async fn gathered(db: &mut Conn, clinic: ClinicId, user: UserId, limit: i64) -> Result<Vec<Self>> {
        let text = format!(
            "{SELECT} WHERE clinic_id = $1 AND user_id = $2 AND channel = 'email' AND state = 'digest'
              ORDER BY delivery_id LIMIT $3"
        );
        built_sql(text).bind(clinic).bind(user).bind(limit).fetch_all(db).await
    }

    /// Writes what came of a try, where it is still as it was read; whether it was.
    pub async fn write(&self, db: &mut Tx, reference: Option<&str>) -> Result<bool> {
        let update = "UPDATE notification_deliveries
                         SET state = $3, tries = $4, next_at = $5, provider = COALESCE($6, provider),
                             reference = COALESCE($7, reference), last_error = $8, sent_at = $9, settled_at = $10
                       WHERE delivery_id = $2 AND clinic_id = $1 AND state IN ('waiting', 'digest')";
        let changed = sql(update)
            .bind(self.clinic_id)
            .bind(self.delivery_id)
            .bind(self.state.as_str())
            .bind(self.tries)
            .bind(self.next_at)
            .bind(self.provider.clone())
            .bind(reference)
            .bind(self.last_error.clone())
            .bind(self.sent_at)
            .bind(self.settled_at)
            .execute(db)
            .await?;
        if let (1, Some(at)) = (changed, self.settled_at.or(self.sent_at)) {
            self.tell(db, self.state, at).await?;
        }
        Ok(changed == 1)
    }

    /// Tells what became of it, for those who count.
    async fn tell(&self, db: &mut Tx, state: DeliveryState, at: DateTime<Utc>) -> Result<()> {
        let state = match (state, self.sent_at) {
            (DeliveryState::Failed, None) => UNSENT,
            _ => state.as_str(),
        };
        let (channel, state) = (self.channel.name().to_owned(), state.to_owned());
        let settled = Event::NotificationSettled { notification_id: self.notification_id, channel, state };
        outbox::tell(db, self.clinic_id, &settled, at).await
    }

    /// The deliveries that a provider calls so, whichever clinic's where none is named.
    pub async fn called(db: &mut Conn, clinic: Option<ClinicId>, reference: &str) -> Result<Vec<Self>> {
        let text = format!("{SELECT} WHERE reference = $1 LIMIT 200");
        let found: Vec<Self> = built_sql(text).bind(reference).fetch_all(db).await?;
        Ok(found.into_iter().filter(|it| clinic.is_none_or(|clinic| clinic == it.clinic_id)).collect())
    }

    /// Writes what a provider reports of a message that it has; one that comes late takes nothing back.
    pub async fn settle(
        &self,
        db: &mut Tx,
        state: DeliveryState,
        error: Option<&str>,
        at: DateTime<Utc>,
    ) -> Result<()> {
        // A report of delivery may come behind one of reading; a bounce counts whatever came before.
        let from = match state {
            DeliveryState::Delivered => "state = 'sent'",
            _ => "state IN ('sent', 'delivered')",
        };
        let text = format!(
            "UPDATE notification_deliveries SET state = $3, last_error = $4, settled_at = $5
              WHERE delivery_id = $2 AND clinic_id = $1 AND {from}"
        );
        let statement = built_sql(text).bind(self.clinic_id).bind(self.delivery_id).bind(state.as_str());
        if statement.bind(error).bind(at).execute(db).await? == 1 {
            self.tell(db, state, at).await?;
        }
        Ok(())
    }

    /// Removes what was planned before `before`: up to `limit`; how many went.
    pub async fn forget(db: &mut Tx, before: DateTime<Utc>, limit: i64) -> Result<u64> {
        // The identifiers begin with the time of their messages.
        let ms = u128::try_from(before.timestamp_millis()).unwrap_or(0);
        sql("DELETE FROM notification_deliveries WHERE delivery_id IN
                (SELECT delivery_id FROM notification_deliveries WHERE delivery_id < $1 ORDER BY delivery_id LIMIT $2)")
        .bind(DeliveryId(Uuid::from_u128(ms << 80)))
        .bind(limit)
        .execute(db)
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planned_twice_it_is_one_delivery_and_each_device_has_its_own() {
        let (message, user) = (NotificationId::new(), UserId::new());
        let target = Some(PushTargetId::new());
        let id = |channel, target| id_of(message, user, channel, target);
        assert_eq!(id(Channel::Push, target), id(Channel::Push, target));
        assert_ne!(id(Channel::Push, target), id(Channel::Push, Some(PushTargetId::new())));
        assert_ne!(id(Channel::Email, None), id(Channel::Sms, None));
        let later = NotificationId(Uuid::from_u128(message.0.as_u128() + (1 << 80)));
        assert!(
            id(Channel::Push, None) < id_of(later, user, Channel::Push, None),
            "in the order of the messages"
        );
    }
}
