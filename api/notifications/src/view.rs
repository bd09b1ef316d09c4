//! Notifications and deliveries as clients read them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clinical::id::{DeliveryId, NotificationId, UserId};
use clinical::notice::{Notice, NoticeCategory, NoticeUrgency};
use serde::Serialize;
use storage::live::inbox::Listed;
use utoipa::ToSchema;

use crate::channel::Channel;
use crate::delivery::Delivery;

/// A notification in a person's list.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationView {
    /// Our identifier.
    pub id: NotificationId,
    /// The type of the message, as the socket says it.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about.
    pub category: NoticeCategory,
    /// How soon it should be heard.
    pub urgency: NoticeUrgency,
    /// Its title.
    pub title: String,
    /// What it says.
    pub body: String,
    /// What programs need beside it.
    pub data: BTreeMap<String, String>,
    /// Where it leads to, within the application.
    pub link: Option<String>,
    /// Whether it was read.
    pub is_read: bool,
    /// When.
    pub read_at: Option<DateTime<Utc>>,
    /// When it was told.
    pub created_at: DateTime<Utc>,
}

impl From<Listed> for NotificationView {
    fn from(listed: Listed) -> Self {
        // A message of a newer program, whose members this one does not know, is shown by its type alone.
        let unknown = |_| Notice::new(NoticeCategory::System, NoticeUrgency::Normal, &listed.kind, "");
        let notice = serde_json::from_value(listed.body.clone()).unwrap_or_else(unknown);
        Self {
            id: listed.notification_id,
            kind: listed.kind,
            category: notice.category,
            urgency: notice.urgency,
            title: notice.title,
            body: notice.body,
            data: notice.data,
            link: notice.link,
            is_read: listed.read_at.is_some(),
            read_at: listed.read_at,
            created_at: listed.told_at,
        }
    }
}

/// A notification on its way to one person by one channel.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NotificationDelivery)]
pub struct DeliveryView {
    /// Our identifier.
    pub id: DeliveryId,
    /// The notification.
    pub notification_id: NotificationId,
    /// The person.
    pub user_id: UserId,
    /// The channel.
    pub channel: Channel,
    /// `waiting`, `digest`, `sent`, `delivered`, `suppressed` or `failed`.
    pub state: String,
    /// How often it was tried.
    pub tries: i64,
    /// When it is tried next, while it waits.
    pub next_at: Option<DateTime<Utc>>,
    /// Who has it.
    pub provider: Option<String>,
    /// Why it has not arrived.
    pub last_error: Option<String>,
    /// When it was planned.
    pub created_at: DateTime<Utc>,
    /// When a provider took it.
    pub sent_at: Option<DateTime<Utc>>,
    /// When it was known what became of it.
    pub settled_at: Option<DateTime<Utc>>,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        let waits = matches!(delivery.state.as_str(), "waiting" | "digest");
        Self {
            id: delivery.delivery_id,
            notification_id: delivery.notification_id,
            user_id: delivery.user_id,
            channel: delivery.channel,
            state: delivery.state.as_str().to_owned(),
            tries: delivery.tries,
            next_at: waits.then_some(delivery.next_at),
            provider: delivery.provider,
            last_error: delivery.last_error,
            created_at: delivery.created_at,
            sent_at: delivery.sent_at,
            settled_at: delivery.settled_at,
        }
    }
}
