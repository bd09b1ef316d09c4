//! The listener that publishes events to NATS JetStream.
//!
//! The subject is `medilink.{clinic}.{event name}`, the message the event's
//! envelope, its `Nats-Msg-Id` the event's identifier: what is published again
//! within the stream's duplicate window is kept once. Events of one record are
//! published one after the other, each when the one before is acknowledged. One
//! that is longer than the server takes is passed by, and counted.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::jetstream::context::{Context, CreateStreamError, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, stream};
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use metrics::counter;
use storage::outbox::{HearError, Listener, Told};
use tokio::sync::Mutex;
use tracing::warn;

/// The stream that is made where there is none: an operator may make it otherwise before.
pub const STREAM: &str = "MEDILINK";
/// What it takes in.
pub const SUBJECTS: &str = "medilink.>";
/// For so long the server knows what it has seen.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(10 * 60);
/// For so long it keeps messages.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// So many records' events are published at a time.
const AT_A_TIME: usize = 32;
/// The longest wait for an acknowledgement.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why an event was not published.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// The address does not read.
    #[error("the address of NATS does not read")]
    Address(#[from] async_nats::ConnectError),
    /// The stream could not be made.
    #[error("the stream of NATS cannot be had")]
    Stream(#[from] CreateStreamError),
    /// A message was not acknowledged.
    #[error("NATS did not take an event")]
    Publish(#[from] PublishError),
}

/// Publishes events.
pub struct Nats {
    context: Context,
    /// Whether the stream is known to be there.
    has_stream: Mutex<bool>,
}

impl Nats {
    /// For the server at `nats://…` or `tls://…`; where it does not answer yet, it is tried until it does.
    ///
    /// # Errors
    ///
    /// [`NatsError::Address`].
    pub async fn connect(url: &str) -> Result<Self, NatsError> {
        let client = ConnectOptions::new().name("medilink").retry_on_initial_connect().connect(url).await?;
        let context = jetstream::ContextBuilder::new().timeout(PATIENCE).ack_timeout(PATIENCE).build(client);
        Ok(Self { context, has_stream: Mutex::new(false) })
    }

    async fn publish(&self, told: &[Told]) -> Result<(), NatsError> {
        self.ensure_stream().await?;
        let mut records: BTreeMap<String, Vec<&Told>> = BTreeMap::new();
        for told in told {
            records.entry(told.aggregate()).or_default().push(told);
        }
        let records: Vec<_> = records.into_values().map(|events| self.publish_in_order(events)).collect();
        let published =
            futures::stream::iter(records).buffer_unordered(AT_A_TIME).try_collect::<Vec<()>>().await;
        if published.is_err() {
            // It may have been removed; the next try makes it anew.
            *self.has_stream.lock().await = false;
        }
        published.map(|_| ())
    }

    async fn publish_in_order(&self, events: Vec<&Told>) -> Result<(), NatsError> {
        for told in events {
            let subject = format!("medilink.{}.{}", told.clinic_id, told.name);
            let message = PublishMessage::build()
                .payload(told.envelope().to_string().into())
                .message_id(told.event_id.to_string());
            match self.context.send_publish(subject, message).await {
                Ok(acknowledged) => {
                    acknowledged.await?;
                }
                // It would be so at every try, and stop those behind it.
                Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                    counter!("event_messages_too_long_total").increment(1);
                    warn!(event.id = %told.event_id, event.name = told.name, "an event is longer than NATS takes");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn ensure_stream(&self) -> Result<(), NatsError> {
        let mut has_stream = self.has_stream.lock().await;
        if !*has_stream {
            let wanted = stream::Config {
                name: STREAM.to_owned(),
                subjects: vec![SUBJECTS.to_owned()],
                duplicate_window: DUPLICATE_WINDOW,
                max_age: KEPT,
                ..stream::Config::default()
            };
            self.context.get_or_create_stream(wanted).await?;
            *has_stream = true;
        }
        Ok(())
    }
}

impl Listener for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn hears(&self, _: &Told) -> bool {
        true
    }

    fn hear<'a>(&'a self, told: &'a [Told]) -> BoxFuture<'a, Result<(), HearError>> {
        Box::pin(async move { self.publish(told).await.map_err(HearError::new) })
    }
}
