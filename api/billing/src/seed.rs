//! `/api/payments`: the paths and shapes of the applications that were there first.
//!
//! Sums on `/invoices`, `/generate-bill` and `/history` are in major units (150.00), on `/create-intent`, `/intent`,
//! `/confirm` and `/refund` in minor ones (15000), each as the first application had it. Where two of them name a path,
//! one handler serves both: `create-intent` and `intent` take an invoice, or a sum with its currency.

use std::str::FromStr;

use axum::extract::State;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use clinical::event::Event;
use clinical::id::{InvoiceId, PatientId, PaymentId};
use clinical::invalid::invalid;
use clinical::money::{Currency, Decimal, Money};
use clinical::person::PersonName;
use gate::{Caller, Cursor, Json, Paged, Problem, Query};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::db::{Conn, DbError};
use storage::records::clinic::Clinic;
use storage::records::patient::Patient;
use utoipa::{IntoParams, ToSchema};

use crate::card_number::Body;
use crate::input::{self, refused, sum};
use crate::invoice::{Invoice, InvoiceFilter, InvoiceStatus, NewInvoice};
use crate::invoices;
use crate::lines::{Line, totals};
use crate::payment::{Payment, PaymentFilter, PaymentStatus};
use crate::payments;
use crate::settings::{BillingSettings, usual_currency};
use crate::state::BillingState;
use crate::view::RefundView;

/// An invoice as the first application showed it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SeedInvoice {
    id: InvoiceId,
    /// Its number in the clinic; null for a draft.
    number: Option<i64>,
    /// The day on which it was issued, in the clinic's time zone.
    date: NaiveDate,
    /// In major units, with tax.
    amount: Decimal,
    currency: Currency,
    /// `unpaid` while it is open.
    status: &'static str,
    description: String,
    due_date: Option<DateTime<Utc>>,
    patient_id: Option<PatientId>,
    patient_name: Option<String>,
}

impl SeedInvoice {
    pub(crate) async fn of(rows: &mut Conn, caller: &Caller, invoice: Invoice) -> Result<Self, DbError> {
        let zone = Clinic::find(rows, caller.clinic).await?.time_zone;
        let patient_name = name_of(rows, caller, invoice.patient_id).await?;
        Ok(Self::shown(invoice, &zone, patient_name))
    }

    fn shown(invoice: Invoice, zone: &str, patient_name: Option<String>) -> Self {
        let zone = Tz::from_str(zone).unwrap_or(Tz::UTC);
        let at = invoice.issued_at.unwrap_or(invoice.created_at);
        Self {
            id: invoice.invoice_id,
            number: invoice.number,
            date: at.with_timezone(&zone).date_naive(),
            amount: Money::new(invoice.total_minor, invoice.currency).decimal(),
            currency: invoice.currency,
            status: match invoice.status {
                InvoiceStatus::Open => "unpaid",
                status => status.as_str(),
            },
            description: invoice.description,
            due_date: invoice.due_at,
            patient_id: invoice.patient_id,
            patient_name,
        }
    }
}

async fn name_of(
    rows: &mut Conn,
    caller: &Caller,
    patient: Option<PatientId>,
) -> Result<Option<String>, DbError> {
    let Some(patient) = patient else { return Ok(None) };
    let demographics = Patient::find(rows, caller.clinic, patient).await?.demographics;
    Ok(Some(spoken(&demographics.name)).filter(|name| !name.is_empty()))
}

/// A name as people say it.
pub(crate) fn spoken(name: &PersonName) -> String {
    let parts = [&name.given, &name.family].into_iter().flatten();
    parts.map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Which of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(rename_all = "camelCase")]
pub(crate) struct Filter {
    /// Of this patient alone.
    patient_id: Option<PatientId>,
}

/// `GET /api/payments/invoices`
pub(crate) async fn invoices(
    State(state): State<BillingState>,
    caller: Caller,
    page: Cursor,
    Query(filter): Query<Filter>,
) -> Result<Paged<SeedInvoice>, Problem> {
    let filter = InvoiceFilter { patient: filter.patient_id, ..InvoiceFilter::default() };
    let mut rows = state.app.db.of(caller.clinic).read().await?;
    let found = invoices::page_of(&mut rows, &caller, &page, filter).await?;
    let zone = Clinic::find(&mut rows, caller.clinic).await?.time_zone;
    let mut names = Vec::with_capacity(found.items.len());
    for invoice in &found.items {
        names.push(name_of(&mut rows, &caller, invoice.patient_id).await?);
    }
    let mut names = names.into_iter();
    Ok(found.map(|invoice| SeedInvoice::shown(invoice, &zone, names.next().flatten())))
}

/// A bill as the first application asked for it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BillRequest {
    patient_id: PatientId,
    /// In major units, with tax: `150.00`.
    amount: Decimal,
    /// Left out, the clinic's own.
    currency: Option<String>,
    /// What for.
    #[schema(min_length = 1, max_length = 500)]
    description: String,
    /// Until when it is to be paid; left out, as the clinic's terms say.
    due_date: Option<DateTime<Utc>>,
}

/// `POST /api/payments/generate-bill`
pub(crate) async fn generate_bill(
    State(state): State<BillingState>,
    caller: Caller,
    Body(request): Body<BillRequest>,
) -> Result<(StatusCode, Json<SeedInvoice>), Problem> {
    input::words("description", &request.description)?;
    let now = state.app.clock.now();
    let mut tx = state.app.db.of(caller.clinic).begin().await?;
    let patient = input::patient_for(&mut tx, &caller, Some(request.patient_id)).await?;
    let currency = match &request.currency {
        Some(code) => input::currency(code)?,
        None => usual_currency(&mut tx, caller.clinic).await?,
    };
    let amount = request.amount.of(currency).map_err(|error| input::fault("amount", error));
    let amount = amount
        .and_then(|amount| sum("amount", amount.minor, currency))
        .map_err(|fault| refused("invalid-amount", fault))?;
    let settings = BillingSettings::of(&mut tx, caller.clinic).await?;
    // The sum is what the patient pays: the tax is in it.
    let line = Line::with_tax_in(&request.description, amount.minor, settings.tax_rate, currency)
        .ok_or_else(|| refused("invalid-amount", invalid("amount", "is too large")))?;
    let lines = [line];
    let new = NewInvoice {
        patient_id: patient,
        customer_id: None,
        subscription_id: None,
        currency,
        description: &request.description,
        lines: &lines,
        totals: totals(&lines).ok_or_else(|| refused("invalid-amount", invalid("amount", "is too large")))?,
        due_at: input::due_day("dueDate", request.due_date, now)?,
        created_by: &caller.name,
    };
    let mut invoice = Invoice::draft(&mut tx, caller.clinic, &new, now).await?;
    invoice.issue(&mut tx, caller.clinic, settings.terms(), now).await?;
    caller.about_record(invoice.invoice_id);
    let view = SeedInvoice::of(&mut tx, &caller, invoice).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// A payment as the first application showed it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SeedPayment {
    id: PaymentId,
    invoice_id: Option<InvoiceId>,
    patient_id: Option<PatientId>,
    /// The provider's name for it.
    payment_intent_id: Option<String>,
    provider: &'static str,
    /// In major units.
    amount: Decimal,
    /// What of it was given back, in major units.
    amount_refunded: Decimal,
    currency: Currency,
    status: PaymentStatus,
    description: String,
    created_at: DateTime<Utc>,
    processed_at: Option<DateTime<Utc>>,
}

impl From<Payment> for SeedPayment {
    fn from(payment: Payment) -> Self {
        let refunded = Money::new(payment.refunded_minor, payment.currency);
        Self {
            id: payment.payment_id,
            invoice_id: payment.invoice_id,
            patient_id: payment.patient_id,
            payment_intent_id: payment.provider_ref.clone(),
            provider: payment.provider.as_str(),
            amount: payment.amount().decimal(),
            amount_refunded: refunded.decimal(),
            currency: payment.currency,
            status: payment.status,
            description: payment.description,
            created_at: payment.created_at,
            processed_at: payment.settled_at,
        }
    }
}

/// `GET /api/payments/history`
pub(crate) async fn history(
    State(state): State<BillingState>,
    caller: Caller,
    page: Cursor,
    Query(filter): Query<Filter>,
) -> Result<Paged<SeedPayment>, Problem> {
    let filter = PaymentFilter { patient: filter.patient_id, ..PaymentFilter::default() };
    Ok(payments::page_of(&state, &caller, &page, filter).await?.map(SeedPayment::from))
}

/// Money that is to be given back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RefundRequest {
    /// The payment, by our id …
    payment_id: Option<String>,
    /// … or by the provider's name.
    payment_intent_id: Option<String>,
    /// In minor units; left out, all that is left.
    #[schema(minimum = 1)]
    amount: Option<i64>,
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// `POST /api/payments/refund`
pub(crate) async fn refund(
    State(state): State<BillingState>,
    caller: Caller,
    Body(request): Body<RefundRequest>,
) -> Result<(StatusCode, Json<RefundView>), Problem> {
    input::optional_words("reason", request.reason.as_ref())?;
    let Some(name) = request.payment_id.or(request.payment_intent_id) else {
        return Err(refused("payment-missing", invalid("paymentId", "or paymentIntentId is there")));
    };
    let payment = {
        let mut rows = state.app.db.of(caller.clinic).read().await?;
        input::payment(&mut rows, &caller, &name).await?
    };
    if let Some(minor) = request.amount {
        sum("amount", minor, payment.currency).map_err(|fault| refused("invalid-amount", fault))?;
    }
    let refund = state
        .cashier
        .give_back(caller.clinic, payment.payment_id, request.amount, request.reason, &caller)
        .await?;
    Ok((StatusCode::CREATED, Json(refund.into())))
}

/// What changes of a clinic are told as.
pub(crate) fn clinic_changed(caller: &Caller) -> Event {
    Event::ClinicChanged { clinic_id: caller.clinic }
}
