//! For this room's tests: a message to somebody, and a provider that answers as it was told to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use uuid::Uuid;

use super::{Address, Health, Notifier, Outgoing, Provider, PushUrgency, SendError, Sent};

/// A short message to `to`.
pub(crate) fn outgoing(to: Address) -> Outgoing {
    Outgoing {
        dedupe_id: Uuid::from_u128(7),
        to,
        subject: "A result is ready".to_owned(),
        text: "Sign in to read it.".to_owned(),
        html: None,
        enclosure: None,
        template: None,
        data: BTreeMap::from([("kind".to_owned(), "finding".to_owned())]),
        urgency: PushUrgency::High,
        ttl: Duration::from_secs(3_600),
    }
}

/// A provider that answers as it was told to.
pub(crate) struct Scripted {
    answer: Result<(), SendError>,
    asked: AtomicUsize,
}

impl Scripted {
    pub(crate) fn failing(error: SendError) -> Self {
        Self { answer: Err(error), asked: AtomicUsize::new(0) }
    }

    pub(crate) fn well() -> Self {
        Self { answer: Ok(()), asked: AtomicUsize::new(0) }
    }

    /// How often it was asked to send.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Notifier for Scripted {
    fn provider(&self) -> Provider {
        Provider::Smtp
    }

    fn takes(&self, _: &Address) -> bool {
        true
    }

    fn send<'a>(&'a self, _: &'a Outgoing) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(async {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let sent = Sent { provider: Provider::Smtp, provider_message_id: None };
            self.answer.clone().map(|()| sent)
        })
    }

    fn probe(&self) -> BoxFuture<'_, Health> {
        Box::pin(async { Health::Unknown })
    }
}
