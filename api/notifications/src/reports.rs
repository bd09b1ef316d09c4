//! What providers report of messages that they have taken.

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use gate::App;
use metrics::counter;
use storage::db::{DbError, Tx};

use crate::channel::{Fate, Report, ReportListener};
use crate::delivery::{Delivery, DeliveryState};
use crate::suppression::{Reason, suppress};

/// Writes reports down: deliveries are settled, addresses that take nothing are suppressed.
pub(crate) struct Reports(pub App);

impl ReportListener for Reports {
    fn take<'a>(&'a self, reports: &'a [Report]) -> BoxFuture<'a, Result<(), DbError>> {
        Box::pin(async move {
            // The system's handle: a report to the webhook of all clinics may be about any of them.
            let mut tx = self.0.db.begin().await?;
            for report in reports {
                counter!(
                    "notification_reports_total",
                    "provider" => report.provider.name(), "fate" => report.fate.name()
                )
                .increment(1);
                take(&mut tx, report, self.0.clock.now()).await?;
            }
            tx.commit().await
        })
    }
}

async fn take(tx: &mut Tx, report: &Report, now: DateTime<Utc>) -> Result<(), DbError> {
    // Only a message of ours says whose address it is: a report about none of them suppresses nothing.
    let Some(reference) = &report.provider_message_id else { return Ok(()) };
    for delivery in Delivery::called(tx, report.clinic_id, reference).await? {
        let state = match report.fate {
            Fate::Delivered | Fate::Read => DeliveryState::Delivered,
            Fate::Failed | Fate::Bounced | Fate::Complained => DeliveryState::Failed,
        };
        let reason = report.reason.as_deref().filter(|_| state == DeliveryState::Failed);
        delivery
            .settle(tx, state, reason.or((state == DeliveryState::Failed).then(|| report.fate.name())), now)
            .await?;
        let reason = match report.fate {
            Fate::Bounced => Reason::Bounce,
            Fate::Complained => Reason::Complaint,
            Fate::Delivered | Fate::Read | Fate::Failed => continue,
        };
        if let Some(address) = &report.address {
            suppress(tx, delivery.clinic_id, report.channel, address, reason, now).await?;
        }
    }
    Ok(())
}
