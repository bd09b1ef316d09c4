//! The listener behind the clinics' webhooks: it plans a delivery for each one that wants an event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clinical::clock::Clock;
use clinical::event;
use clinical::id::{ClinicId, WebhookId};
use clinical::job::{Job, Priority};
use futures::future::BoxFuture;
use storage::db::{Db, DbError};
use storage::outbox::{HearError, Listener, Told};
use storage::queue;
use storage::records::webhook::Webhook;
use storage::records::webhook::delivery::Delivery;

/// So many events are planned in one transaction, so that none holds the writer long.
const PER_TRANSACTION: usize = 50;

/// Plans what goes to the webhooks; [`crate::courier`] brings it there.
pub struct Webhooks {
    db: Db,
    clock: Arc<dyn Clock>,
}

impl Webhooks {
    /// For the webhooks of every clinic.
    pub fn new(db: Db, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock }
    }

    /// Planned twice, it is there once.
    async fn plan(&self, told: &[Told]) -> Result<(), DbError> {
        let mut webhooks: BTreeMap<ClinicId, Vec<Webhook>> = BTreeMap::new();
        let mut read = self.db.read().await?;
        for clinic in told.iter().map(|told| told.clinic_id).collect::<BTreeSet<_>>() {
            webhooks.insert(clinic, Webhook::active(&mut read, clinic).await?);
        }
        drop(read);
        for some in told.chunks(PER_TRANSACTION) {
            self.plan_some(some, &webhooks).await?;
        }
        Ok(())
    }

    async fn plan_some(
        &self,
        told: &[Told],
        webhooks: &BTreeMap<ClinicId, Vec<Webhook>>,
    ) -> Result<(), DbError> {
        let mut planned: Vec<(WebhookId, &Told)> = Vec::new();
        for told in told {
            let ours = webhooks.get(&told.clinic_id).into_iter().flatten();
            // What was told before a webhook was made is not for it.
            let wanting = ours.filter(|it| it.wants(&told.name) && it.created_at <= told.told_at);
            planned.extend(wanting.map(|webhook| (webhook.webhook_id, told)));
        }
        if planned.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        // In one order everywhere, so that no two transactions wait for one another.
        let mut jobs: BTreeMap<(ClinicId, WebhookId, String), Priority> = BTreeMap::new();
        for (webhook, told) in planned {
            Delivery::plan(&mut tx, webhook, told, now).await?;
            let priority =
                jobs.entry((told.clinic_id, webhook, told.aggregate())).or_insert(Priority::Routine);
            *priority = (*priority).max(priority_of(told));
        }
        for ((clinic, webhook_id, aggregate), priority) in jobs {
            let job = Job::DeliverEvent { webhook_id, aggregate };
            queue::ask(&mut tx, clinic, &job, priority, now, now).await?;
        }
        tx.commit().await
    }
}

fn priority_of(told: &Told) -> Priority {
    match told.event.priority() {
        event::Priority::Low | event::Priority::Normal => Priority::Routine,
        event::Priority::High | event::Priority::Critical => Priority::Urgent,
    }
}

impl Listener for Webhooks {
    fn name(&self) -> &'static str {
        "webhooks"
    }

    fn hears(&self, _: &Told) -> bool {
        true
    }

    fn hear<'a>(&'a self, told: &'a [Told]) -> BoxFuture<'a, Result<(), HearError>> {
        Box::pin(async move { self.plan(told).await.map_err(HearError::new) })
    }
}
