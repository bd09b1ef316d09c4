//! Work that is asked for now and done later.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::{
    CommitmentId, DeliveryId, InvoiceId, NetworkId, NotificationId, PaymentId, PeerId, StudyId,
    SubscriptionId, UserId, WebhookId,
};
use crate::uid::TransactionUid;

/// A line of work with a concurrency of its own, so that a slow one holds up no other.
///
/// Source: the queues of the clinic application that was there first, and imaging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Queue {
    /// Medical records.
    Ehr,
    /// E-mail.
    Email,
    /// Word to people and to other programs.
    Notification,
    /// Money.
    Billing,
    /// Reports.
    Report,
    /// Networks over images.
    Imaging,
    /// Calls to other application entities: one that does not answer holds up nothing but its like.
    Dicom,
}

impl Queue {
    /// Every one.
    pub const ALL: &[Self] = &[
        Self::Ehr,
        Self::Email,
        Self::Notification,
        Self::Billing,
        Self::Report,
        Self::Imaging,
        Self::Dicom,
    ];

    /// Its name, as settings and numbers say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ehr => "ehr",
            Self::Email => "email",
            Self::Notification => "notification",
            Self::Billing => "billing",
            Self::Report => "report",
            Self::Imaging => "imaging",
            Self::Dicom => "dicom",
        }
    }

    /// The kinds of work that wait in it.
    pub fn kinds(self) -> impl Iterator<Item = &'static str> {
        Job::KINDS.iter().filter(move |(_, queue)| *queue == self).map(|(kind, _)| *kind)
    }
}

/// One kind of work with what it needs to know. It names records, never people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Job {
    /// Run every eligible network over a study.
    AnalyzeStudy {
        /// The study.
        study_id: StudyId,
    },
    /// Make maps of what counted for the findings of a study.
    ExplainFindings {
        /// The study.
        study_id: StudyId,
    },
    /// Make objects of where a study's findings lie, as networks outlined them, and store them in it.
    SegmentFindings {
        /// The study.
        study_id: StudyId,
    },
    /// Make objects of what was found in a study, and store them in it.
    ReportFindings {
        /// The study.
        study_id: StudyId,
    },
    /// Bring what waits of one record's events to a webhook, in order.
    DeliverEvent {
        /// The webhook.
        webhook_id: WebhookId,
        /// The record, as [`crate::event::Aggregate`] writes itself.
        aggregate: String,
    },
    /// Send what waits of a study to a peer.
    ForwardInstances {
        /// The study.
        study_id: StudyId,
        /// Where to.
        peer_id: PeerId,
    },
    /// Tell a peer what of its request for storage commitment is held.
    ReportCommitment {
        /// The request.
        commitment_id: CommitmentId,
    },
    /// Run a network that was added over its reference images.
    ProveNetwork {
        /// The network.
        network_id: NetworkId,
    },
    /// Ask a provider what became of a payment, and book it.
    SettlePayment {
        /// The payment.
        payment_id: PaymentId,
    },
    /// Read again what a provider's event is about, and write it down.
    SettleProviderEvent {
        /// The event, in the inbox.
        provider_event_id: Uuid,
    },
    /// Bill the period of a subscription that begins, or end it.
    RenewSubscription {
        /// The subscription.
        subscription_id: SubscriptionId,
    },
    /// Remind of an invoice that is past its day, and try to collect it.
    DunInvoice {
        /// The invoice.
        invoice_id: InvoiceId,
    },
    /// Decide by which channels the people of a message hear of it.
    PlanNotice {
        /// The message.
        notification_id: NotificationId,
    },
    /// Bring a message to one person by one channel.
    DeliverNotice {
        /// The delivery.
        delivery_id: DeliveryId,
    },
    /// Bring a message to one person by e-mail, which is slower than the rest.
    MailNotice {
        /// The delivery.
        delivery_id: DeliveryId,
    },
    /// Mail somebody who has forgotten their password the link with which they set a new one.
    MailPasswordReset {
        /// The token of the link, by its row.
        single_use_token_id: Uuid,
    },
    /// Mail an invoice to a payer who has no account to read it by.
    MailInvoice {
        /// The invoice.
        invoice_id: InvoiceId,
        /// When it was asked for.
        since: DateTime<Utc>,
    },
    /// Gather what a person wants to hear of together, and bring it.
    SendDigest {
        /// The person.
        user_id: UserId,
    },
    /// Ask a peer again that has not reported on storage commitment yet.
    AwaitCommitment {
        /// Who was asked.
        peer_id: PeerId,
        /// Under which transaction.
        transaction_uid: TransactionUid,
        /// When it was asked first.
        since: DateTime<Utc>,
    },
}

impl Job {
    /// The kinds that this program can do, each with its queue; a newer program beside it may enqueue others.
    pub const KINDS: &[(&str, Queue)] = &[
        ("analyze_study", Queue::Imaging),
        ("explain_findings", Queue::Imaging),
        ("segment_findings", Queue::Imaging),
        ("report_findings", Queue::Report),
        ("deliver_event", Queue::Notification),
        ("forward_instances", Queue::Dicom),
        ("report_commitment", Queue::Dicom),
        ("await_commitment", Queue::Dicom),
        ("prove_network", Queue::Imaging),
        ("settle_payment", Queue::Billing),
        ("settle_provider_event", Queue::Billing),
        ("renew_subscription", Queue::Billing),
        ("dun_invoice", Queue::Billing),
        ("plan_notice", Queue::Notification),
        ("deliver_notice", Queue::Notification),
        ("mail_notice", Queue::Email),
        ("mail_password_reset", Queue::Email),
        ("mail_invoice", Queue::Email),
        ("send_digest", Queue::Email),
    ];

    /// The stable name of the kind of work.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AnalyzeStudy { .. } => "analyze_study",
            Self::ExplainFindings { .. } => "explain_findings",
            Self::SegmentFindings { .. } => "segment_findings",
            Self::ReportFindings { .. } => "report_findings",
            Self::DeliverEvent { .. } => "deliver_event",
            Self::ForwardInstances { .. } => "forward_instances",
            Self::ReportCommitment { .. } => "report_commitment",
            Self::AwaitCommitment { .. } => "await_commitment",
            Self::ProveNetwork { .. } => "prove_network",
            Self::SettlePayment { .. } => "settle_payment",
            Self::SettleProviderEvent { .. } => "settle_provider_event",
            Self::RenewSubscription { .. } => "renew_subscription",
            Self::DunInvoice { .. } => "dun_invoice",
            Self::PlanNotice { .. } => "plan_notice",
            Self::DeliverNotice { .. } => "deliver_notice",
            Self::MailNotice { .. } => "mail_notice",
            Self::MailPasswordReset { .. } => "mail_password_reset",
            Self::MailInvoice { .. } => "mail_invoice",
            Self::SendDigest { .. } => "send_digest",
        }
    }

    /// What makes two waiting jobs of a kind the same job.
    pub fn key(&self) -> String {
        match self {
            Self::AnalyzeStudy { study_id }
            | Self::ExplainFindings { study_id }
            | Self::SegmentFindings { study_id }
            | Self::ReportFindings { study_id } => study_id.to_string(),
            Self::DeliverEvent { webhook_id, aggregate } => format!("{webhook_id}/{aggregate}"),
            Self::ForwardInstances { study_id, peer_id } => format!("{study_id}/{peer_id}"),
            Self::ReportCommitment { commitment_id } => commitment_id.to_string(),
            Self::ProveNetwork { network_id } => network_id.to_string(),
            Self::SettlePayment { payment_id } => payment_id.to_string(),
            Self::SettleProviderEvent { provider_event_id } => provider_event_id.to_string(),
            Self::RenewSubscription { subscription_id } => subscription_id.to_string(),
            Self::DunInvoice { invoice_id } | Self::MailInvoice { invoice_id, .. } => invoice_id.to_string(),
            Self::PlanNotice { notification_id } => notification_id.to_string(),
            Self::DeliverNotice { delivery_id } | Self::MailNotice { delivery_id } => delivery_id.to_string(),
            Self::MailPasswordReset { single_use_token_id } => single_use_token_id.to_string(),
            Self::SendDigest { user_id } => user_id.to_string(),
            Self::AwaitCommitment { peer_id, transaction_uid, .. } => format!("{peer_id}/{transaction_uid}"),
        }
    }
}

/// How soon a job is wanted; higher runs first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Work that nothing hangs on; it is done when there is no other.
    Spare = -10,
    /// Work that follows from storing: nobody waits at a screen.
    Routine = 0,
    /// A person asked and waits.
    Urgent = 10,
    /// A life may hang on it: ordered STAT, or found urgent.
    Stat = 20,
}

impl Priority {
    /// Every one.
    pub const ALL: &[Self] = &[Self::Spare, Self::Routine, Self::Urgent, Self::Stat];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_work_has_its_queue() {
        let jobs = [
            Job::AnalyzeStudy { study_id: StudyId::new() },
            Job::ExplainFindings { study_id: StudyId::new() },
            Job::SegmentFindings { study_id: StudyId::new() },
            Job::ReportFindings { study_id: StudyId::new() },
            Job::DeliverEvent { webhook_id: WebhookId::new(), aggregate: "study:1".to_owned() },
            Job::ForwardInstances { study_id: StudyId::new(), peer_id: PeerId::new() },
            Job::ReportCommitment { commitment_id: CommitmentId::new() },
            Job::ProveNetwork { network_id: NetworkId::new() },
            Job::SettlePayment { payment_id: PaymentId::new() },
            Job::SettleProviderEvent { provider_event_id: Uuid::nil() },
            Job::RenewSubscription { subscription_id: SubscriptionId::new() },
            Job::DunInvoice { invoice_id: InvoiceId::new() },
            Job::PlanNotice { notification_id: NotificationId::new() },
            Job::DeliverNotice { delivery_id: DeliveryId::new() },
            Job::MailNotice { delivery_id: DeliveryId::new() },
            Job::MailPasswordReset { single_use_token_id: Uuid::nil() },
            Job::MailInvoice { invoice_id: InvoiceId::new(), since: DateTime::UNIX_EPOCH },
            Job::SendDigest { user_id: UserId::new() },
            Job::AwaitCommitment {
                peer_id: PeerId::new(),
                transaction_uid: "2.25.1".parse().unwrap(),
                since: DateTime::UNIX_EPOCH,
            },
        ];
        assert_eq!(jobs.len(), Job::KINDS.len());
        for job in jobs {
            assert!(Job::KINDS.iter().any(|(kind, _)| *kind == job.kind()), "{}", job.kind());
            assert_eq!(serde_json::json!(job)["type"], job.kind());
        }
        assert_eq!(
            Queue::Imaging.kinds().collect::<Vec<_>>(),
            ["analyze_study", "explain_findings", "segment_findings", "prove_network"]
        );
        assert_eq!(serde_json::json!(Queue::Ehr), Queue::Ehr.as_str());
    }
}
