//! Events, webhooks, deliveries and jobs as clients read them.

use chrono::{DateTime, Utc};
use clinical::event::{Category, Priority};
use clinical::id::{ClinicId, DeliveryId, EventId, JobId, WebhookId};
use serde::{Deserialize, Serialize};
use storage::outbox::Told;
use storage::queue::Dead;
use storage::records::webhook::delivery::{Delivery, DeliveryState};
use storage::records::webhook::{Webhook, WebhookState};
use utoipa::ToSchema;
use uuid::Uuid;

/// Something that happened: the same members as in a webhook's message.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// Our identifier.
    pub id: EventId,
    /// Its stable name.
    #[serde(rename = "type")]
    pub name: String,
    /// When it was told.
    pub timestamp: DateTime<Utc>,
    /// The clinic.
    pub clinic_id: ClinicId,
    /// What part of the day of a clinic it belongs to.
    pub category: Category,
    /// How soon it should be heard.
    pub priority: Priority,
    /// The record that it is about; `null` for an event of a newer program.
    pub aggregate: Option<AggregateView>,
    /// What happened; its members depend on the name.
    #[schema(value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    pub data: serde_json::Value,
}

/// The record that an event is about.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AggregateView {
    /// What kind of record.
    pub kind: String,
    /// Which one.
    pub id: Uuid,
}

impl From<Told> for EventView {
    fn from(told: Told) -> Self {
        Self {
            id: told.event_id,
            timestamp: told.told_at,
            clinic_id: told.clinic_id,
            category: told.event.category(),
            priority: told.event.priority(),
            aggregate: told
                .event
                .aggregate()
                .map(|it| AggregateView { kind: it.kind.to_string(), id: it.id }),
            data: told.data(),
            name: told.name,
        }
    }
}

/// Whether anything is sent to a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Events are sent.
    Active,
    /// Nothing is sent.
    Disabled,
}

impl From<WebhookState> for State {
    fn from(state: WebhookState) -> Self {
        match state {
            WebhookState::Active => Self::Active,
            WebhookState::Disabled => Self::Disabled,
        }
    }
}

impl From<State> for WebhookState {
    fn from(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Disabled => Self::Disabled,
        }
    }
}

/// Where a clinic wants its events sent.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookView {
    /// Our identifier.
    pub id: WebhookId,
    /// Where the events go.
    pub url: String,
    /// What it is for.
    pub description: String,
    /// The names of the events that go there; empty: every one.
    pub events: Vec<String>,
    /// Whether anything is sent.
    pub state: State,
    /// Why nothing is.
    pub disabled_reason: Option<String>,
    /// Since when nothing has arrived there.
    pub failing_since: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// What the messages are signed with (Standard Webhooks 1.0): shown when it is made, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl From<Webhook> for WebhookView {
    fn from(webhook: Webhook) -> Self {
        Self {
            id: webhook.webhook_id,
            url: webhook.url,
            description: webhook.description,
            events: webhook.events,
            state: webhook.state.into(),
            disabled_reason: webhook.disabled_reason,
            failing_since: webhook.failing_since,
            created_at: webhook.created_at,
            secret: None,
        }
    }
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It has not arrived yet.
    Waiting,
    /// It has arrived.
    Delivered,
    /// It was tried too often.
    Dead,
}

impl From<DeliveryState> for Progress {
    fn from(state: DeliveryState) -> Self {
        match state {
            DeliveryState::Waiting => Self::Waiting,
            DeliveryState::Delivered => Self::Delivered,
            DeliveryState::Dead => Self::Dead,
        }
    }
}

impl From<Progress> for DeliveryState {
    fn from(progress: Progress) -> Self {
        match progress {
            Progress::Waiting => Self::Waiting,
            Progress::Delivered => Self::Delivered,
            Progress::Dead => Self::Dead,
        }
    }
}

/// One event on its way to one webhook.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryView {
    /// Our identifier.
    pub id: DeliveryId,
    /// The event; `webhook-id` of the message.
    pub event_id: EventId,
    /// The event's name.
    #[serde(rename = "type")]
    pub name: String,
    /// How far it is.
    pub state: Progress,
    /// How often it was tried, since it was told or replayed.
    pub tries: i64,
    /// When it is tried next, while it waits.
    pub next_at: Option<DateTime<Utc>>,
    /// The HTTP status that the last try was answered with.
    pub status: Option<i64>,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// When it was planned.
    pub created_at: DateTime<Utc>,
    /// When it arrived.
    pub delivered_at: Option<DateTime<Utc>>,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.delivery_id,
            event_id: delivery.event_id,
            name: delivery.event_name,
            state: delivery.state.into(),
            tries: delivery.tries,
            next_at: (delivery.state == DeliveryState::Waiting).then_some(delivery.next_at),
            status: delivery.status,
            last_error: delivery.last_error,
            created_at: delivery.created_at,
            delivered_at: delivery.delivered_at,
        }
    }
}

/// A job that was tried too often.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobView {
    /// Our identifier.
    pub id: JobId,
    /// The kind of work.
    pub kind: String,
    /// What it was about.
    pub key: String,
    /// How often it was tried.
    pub tries: i64,
    /// Why it failed the last time.
    pub last_error: String,
    /// When it was asked for.
    pub enqueued_at: DateTime<Utc>,
}

impl From<Dead> for JobView {
    fn from(dead: Dead) -> Self {
        Self {
            id: dead.job_id,
            kind: dead.kind,
            key: dead.key,
            tries: dead.tries,
            last_error: dead.last_error,
            enqueued_at: dead.enqueued_at,
        }
    }
}
