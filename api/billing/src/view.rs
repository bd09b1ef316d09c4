//! What clients see. On our own paths sums are whole minor units with the currency beside them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clinical::id::{
    CustomerId, DisputeId, InvoiceId, PatientId, PaymentId, PaymentMethodId, PlanId, RefundId, SubscriptionId,
};
use clinical::money::Currency;
use serde::Serialize;
use utoipa::ToSchema;

use crate::customer::{Customer, PaymentMethod};
use crate::invoice::{Invoice, InvoiceStatus};
use crate::lines::Line;
use crate::payment::{Payment, PaymentStatus};
use crate::period::PeriodUnit;
use crate::plan::Plan;
use crate::provider::NextStep;
use crate::returned::{Dispute, DisputeStatus, Refund, RefundStatus};
use crate::subscription::{Subscription, SubscriptionState};
use crate::usage::Used;

/// An invoice.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvoiceView {
    pub(crate) id: InvoiceId,
    /// Its number in the clinic; null for a draft.
    number: Option<i64>,
    /// Its number as people read it.
    number_text: Option<String>,
    status: InvoiceStatus,
    patient_id: Option<PatientId>,
    customer_id: Option<CustomerId>,
    subscription_id: Option<SubscriptionId>,
    description: String,
    currency: Currency,
    net_amount: i64,
    discount_amount: i64,
    tax_amount: i64,
    /// With tax.
    amount: i64,
    amount_paid: i64,
    amount_refunded: i64,
    amount_due: i64,
    issued_at: Option<DateTime<Utc>>,
    due_at: Option<DateTime<Utc>>,
    paid_at: Option<DateTime<Utc>>,
    /// How often somebody was reminded.
    reminders: i64,
    created_at: DateTime<Utc>,
    /// Left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<Vec<LineView>>,
}

/// A line of an invoice.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LineView {
    description: String,
    quantity: i64,
    unit_amount: i64,
    discount_amount: i64,
    /// In hundredths of a per cent.
    tax_rate: i64,
    tax_amount: i64,
    /// With tax.
    amount: i64,
}

impl InvoiceView {
    pub(crate) fn of(invoice: Invoice, prefix: &str, lines: Option<Vec<Line>>) -> Self {
        Self {
            id: invoice.invoice_id,
            number: invoice.number,
            number_text: invoice.number_text(prefix),
            status: invoice.status,
            patient_id: invoice.patient_id,
            customer_id: invoice.customer_id,
            subscription_id: invoice.subscription_id,
            currency: invoice.currency,
            net_amount: invoice.net_minor,
            discount_amount: invoice.discount_minor,
            tax_amount: invoice.tax_minor,
            amount: invoice.total_minor,
            amount_paid: invoice.paid_minor,
            amount_refunded: invoice.refunded_minor,
            amount_due: invoice.outstanding().minor,
            issued_at: invoice.issued_at,
            due_at: invoice.due_at,
            paid_at: invoice.paid_at,
            reminders: invoice.reminders,
            created_at: invoice.created_at,
            description: invoice.description,
            lines: lines.map(|lines| lines.into_iter().map(LineView::from).collect()),
        }
    }
}

impl From<Line> for LineView {
    fn from(line: Line) -> Self {
        Self {
            description: line.description,
            quantity: line.quantity,
            unit_amount: line.unit_minor,
            discount_amount: line.discount_minor,
            tax_rate: line.tax_rate,
            tax_amount: line.tax_minor,
            amount: line.total_minor,
        }
    }
}

/// A payment.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentView {
    pub(crate) id: PaymentId,
    invoice_id: Option<InvoiceId>,
    customer_id: Option<CustomerId>,
    patient_id: Option<PatientId>,
    payment_method_id: Option<PaymentMethodId>,
    /// Who moves the money.
    provider: &'static str,
    /// Under which name the provider knows it.
    provider_id: Option<String>,
    status: PaymentStatus,
    currency: Currency,
    amount: i64,
    amount_captured: i64,
    amount_refunded: i64,
    /// What the payer's bank holds.
    amount_disputed: i64,
    /// What was lost in disputes.
    amount_lost: i64,
    description: String,
    /// The provider's word for why it failed.
    failure: Option<String>,
    created_at: DateTime<Utc>,
    settled_at: Option<DateTime<Utc>>,
    /// What the provider's script in the browser needs; where it is begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    /// Where the payer goes; where it is begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect_url: Option<String>,
    /// Left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    refunds: Option<Vec<RefundView>>,
    /// Left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    disputes: Option<Vec<DisputeView>>,
}

impl From<Payment> for PaymentView {
    fn from(payment: Payment) -> Self {
        Self {
            id: payment.payment_id,
            invoice_id: payment.invoice_id,
            customer_id: payment.customer_id,
            patient_id: payment.patient_id,
            payment_method_id: payment.method_id,
            provider: payment.provider.as_str(),
            provider_id: payment.provider_ref,
            status: payment.status,
            currency: payment.currency,
            amount: payment.amount_minor,
            amount_captured: payment.captured_minor,
            amount_refunded: payment.refunded_minor,
            amount_disputed: payment.disputed_minor,
            amount_lost: payment.lost_minor,
            description: payment.description,
            failure: payment.failure,
            created_at: payment.created_at,
            settled_at: payment.settled_at,
            client_secret: None,
            redirect_url: None,
            refunds: None,
            disputes: None,
        }
    }
}

impl PaymentView {
    pub(crate) fn with_next(self, next: Option<NextStep>) -> Self {
        let (client_secret, redirect_url) = parted(next);
        Self { client_secret, redirect_url, ..self }
    }

    pub(crate) fn with_history(self, refunds: Vec<Refund>, disputes: Vec<Dispute>) -> Self {
        let refunds = refunds.into_iter().map(RefundView::from).collect();
        let disputes = disputes.into_iter().map(DisputeView::from).collect();
        Self { refunds: Some(refunds), disputes: Some(disputes), ..self }
    }
}

/// What the payer's side needs, as secret or as address.
pub(crate) fn parted(next: Option<NextStep>) -> (Option<String>, Option<String>) {
    match next {
        Some(NextStep::ClientSecret(secret)) => (Some(secret), None),
        Some(NextStep::Redirect(url)) => (None, Some(url)),
        None => (None, None),
    }
}

/// Money that is given back.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefundView {
    pub(crate) id: RefundId,
    payment_id: PaymentId,
    provider_id: Option<String>,
    status: RefundStatus,
    currency: Currency,
    amount: i64,
    reason: Option<String>,
    created_at: DateTime<Utc>,
}

impl From<Refund> for RefundView {
    fn from(refund: Refund) -> Self {
        Self {
            id: refund.refund_id,
            payment_id: refund.payment_id,
            provider_id: refund.provider_ref,
            status: refund.status,
            currency: refund.currency,
            amount: refund.amount_minor,
            reason: refund.reason,
            created_at: refund.created_at,
        }
    }
}

/// A payment that the payer's bank disputes.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DisputeView {
    id: DisputeId,
    provider_id: String,
    status: DisputeStatus,
    amount: i64,
    reason: Option<String>,
    opened_at: DateTime<Utc>,
    closed_at: Option<DateTime<Utc>>,
}

impl From<Dispute> for DisputeView {
    fn from(dispute: Dispute) -> Self {
        Self {
            id: dispute.dispute_id,
            provider_id: dispute.provider_ref,
            status: dispute.status,
            amount: dispute.amount_minor,
            reason: dispute.reason,
            opened_at: dispute.opened_at,
            closed_at: dispute.closed_at,
        }
    }
}

/// Who is billed.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomerView {
    pub(crate) id: CustomerId,
    patient_id: Option<PatientId>,
    name: String,
    email: Option<String>,
    phone: Option<String>,
    country: Option<String>,
    created_at: DateTime<Utc>,
}

impl From<Customer> for CustomerView {
    fn from(customer: Customer) -> Self {
        Self {
            id: customer.customer_id,
            patient_id: customer.patient_id,
            name: customer.name,
            email: customer.email,
            phone: customer.phone,
            country: customer.country,
            created_at: customer.created_at,
        }
    }
}

/// What a customer pays with.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentMethodView {
    pub(crate) id: PaymentMethodId,
    customer_id: CustomerId,
    provider: &'static str,
    provider_id: String,
    #[serde(rename = "type")]
    kind: String,
    brand: Option<String>,
    last4: Option<String>,
    exp_month: Option<i64>,
    exp_year: Option<i64>,
    is_default: bool,
}

impl From<PaymentMethod> for PaymentMethodView {
    fn from(method: PaymentMethod) -> Self {
        Self {
            id: method.method_id,
            customer_id: method.customer_id,
            provider: method.provider.as_str(),
            provider_id: method.provider_ref,
            kind: method.kind,
            brand: method.brand,
            last4: method.last4,
            exp_month: method.expires.map(|(month, _)| month),
            exp_year: method.expires.map(|(_, year)| year),
            is_default: method.is_default,
        }
    }
}

/// A plan.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanView {
    pub(crate) id: PlanId,
    name: String,
    description: Option<String>,
    /// What a period costs without tax, in minor units.
    amount: i64,
    currency: Currency,
    /// In hundredths of a per cent.
    tax_rate: i64,
    interval: PeriodUnit,
    interval_count: i64,
    trial_days: i64,
    limits: BTreeMap<String, i64>,
    is_active: bool,
    created_at: DateTime<Utc>,
}

impl From<Plan> for PlanView {
    fn from(plan: Plan) -> Self {
        Self {
            id: plan.plan_id,
            name: plan.name,
            description: plan.description,
            amount: plan.price.minor,
            currency: plan.price.currency,
            tax_rate: plan.tax_rate,
            interval: plan.unit,
            interval_count: plan.count,
            trial_days: plan.trial_days,
            limits: plan.limits,
            is_active: plan.is_active,
            created_at: plan.created_at,
        }
    }
}

/// A subscription.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionView {
    pub(crate) id: SubscriptionId,
    status: SubscriptionState,
    plan_id: Option<PlanId>,
    customer_id: Option<CustomerId>,
    patient_id: Option<PatientId>,
    payment_method_id: Option<PaymentMethodId>,
    /// Who keeps it; null for ours.
    provider: Option<&'static str>,
    /// Under which name.
    provider_id: Option<String>,
    trial_ends_at: Option<DateTime<Utc>>,
    current_period_start: DateTime<Utc>,
    current_period_end: DateTime<Utc>,
    cancel_at_period_end: bool,
    paused_at: Option<DateTime<Utc>>,
    /// What the next invoice is less by, in minor units.
    credit_amount: i64,
    canceled_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    reason: Option<String>,
    created_at: DateTime<Utc>,
    /// The invoice that came of the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) invoice_id: Option<InvoiceId>,
}

impl From<Subscription> for SubscriptionView {
    fn from(it: Subscription) -> Self {
        Self {
            id: it.subscription_id,
            status: it.status,
            plan_id: it.plan_id,
            customer_id: it.customer_id,
            patient_id: it.patient_id,
            payment_method_id: it.method_id,
            provider: it.provider.map(|name| name.as_str()),
            provider_id: it.provider_ref,
            trial_ends_at: it.trial_ends_at,
            current_period_start: it.period_start,
            current_period_end: it.period_end,
            cancel_at_period_end: it.ends_with_period,
            paused_at: it.paused_at,
            credit_amount: it.carried_minor,
            canceled_at: it.canceled_at,
            ended_at: it.ended_at,
            reason: it.reason,
            created_at: it.created_at,
            invoice_id: None,
        }
    }
}

/// What was used of a feature in a period.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageView {
    feature: String,
    used: i64,
    /// How much may be; null: without bound.
    limit: Option<i64>,
    /// What is left of it.
    remaining: Option<i64>,
}

impl From<Used> for UsageView {
    fn from(used: Used) -> Self {
        let remaining = used.limit.map(|limit| (limit - used.used).max(0));
        Self { feature: used.feature, used: used.used, limit: used.limit, remaining }
    }
}
