//! `/api/v1/billing/payments`: payments as they stand, and what can be done to one.

use axum::extract::State;
use clinical::id::{CustomerId, InvoiceId, PatientId, PaymentId, PaymentMethodId};
use clinical::invalid::invalid;
use clinical::money::Money;
use gate::{Caller, Cursor, Json, OrEmpty, Paged, Path, Problem, Query};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::db::Conn;
use utoipa::{IntoParams, ToSchema};

use crate::card_number::Body;
use crate::cashier::SettleError;
use crate::collect::Wanted;
use crate::input::{self, InvoiceRef, listed, refused, sees, sum};
use crate::intents::owns_method;
use crate::ledger;
use crate::payment::{Payment, PaymentFilter, PaymentStatus};
use crate::provider::{IdempotencyKey, ProviderName};
use crate::returned::{Dispute, Refund};
use crate::state::BillingState;
use crate::view::{PaymentView, RefundView};

/// Which of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(rename_all = "camelCase")]
pub(crate) struct Filter {
    /// Of this patient alone.
    patient_id: Option<PatientId>,
    /// Of this invoice alone.
    invoice_id: Option<InvoiceId>,
    /// In this state alone.
    status: Option<PaymentStatus>,
}

/// `GET /api/v1/billing/payments`
pub(crate) async fn list(
    State(state): State<BillingState>,
    caller: Caller,
    page: Cursor,
    Query(filter): Query<Filter>,
) -> Result<Paged<PaymentView>, Problem> {
    let filter =
        PaymentFilter { patient: filter.patient_id, invoice: filter.invoice_id, status: filter.status };
    Ok(page_of(&state, &caller, &page, filter).await?.map(PaymentView::from))
}

/// One page of the payments that are the caller's to see.
pub(crate) async fn page_of(
    state: &BillingState,
    caller: &Caller,
    page: &Cursor,
    filter: PaymentFilter,
) -> Result<Paged<Payment>, Problem> {
    let found = match listed(caller, filter.patient) {
        Some((patient, shown)) => {
            let mut rows = state.app.db.of(caller.clinic).read().await?;
            let filter = PaymentFilter { patient, ..filter };
            Payment::list(&mut rows, caller.clinic, filter, shown, page.after, page.rows()).await?
        }
        None => Vec::new(),
    };
    Ok(page.of_rows(found, |it| it.payment_id.0))
}

/// A payment that is to be begun.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PaymentRequest {
    /// The invoice, by its id or its number.
    invoice_id: Option<InvoiceRef>,
    /// In minor units; left out, all that the invoice still asks for.
    #[schema(minimum = 1)]
    amount: Option<i64>,
    /// Needed where there is no invoice.
    currency: Option<String>,
    patient_id: Option<PatientId>,
    customer_id: Option<CustomerId>,
    /// A stored method that is charged at once; left out, the payer acts.
    payment_method_id: Option<PaymentMethodId>,
    /// Left out, the clinic's rule says whom to ask.
    #[schema(value_type = Option<String>)]
    provider: Option<ProviderName>,
    /// Where the payer is (ISO 3166-1, two letters), for that rule.
    #[schema(pattern = "^[A-Z]{2}$")]
    country: Option<String>,
    #[schema(max_length = 500)]
    description: Option<String>,
    /// `automatic`, or `manual`: the money is only reserved until it is captured.
    #[serde(default)]
    capture: Capture,
    return_url: Option<String>,
}

/// When the money is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Capture {
    /// As soon as the payer agrees.
    #[default]
    Automatic,
    /// When it is captured.
    Manual,
}

/// `POST /api/v1/billing/payments`
pub(crate) async fn create(
    State(state): State<BillingState>,
    caller: Caller,
    Body(request): Body<PaymentRequest>,
) -> Result<(StatusCode, Json<PaymentView>), Problem> {
    input::optional_words("description", request.description.as_ref())?;
    input::return_url(request.return_url.as_ref())?;
    let wanted = wanted(&mut state.app.db.of(caller.clinic).read().await?, &caller, request).await?;
    let begun = state.cashier.collect(caller.clinic, &wanted, Some(&caller)).await?;
    let status = if begun.is_open() { StatusCode::ACCEPTED } else { StatusCode::CREATED };
    Ok((status, Json(PaymentView::from(begun.payment).with_next(begun.next))))
}

async fn wanted(rows: &mut Conn, caller: &Caller, request: PaymentRequest) -> Result<Wanted, Problem> {
    let currency = request.currency.as_deref().map(input::currency).transpose()?;
    let invoice = match request.invoice_id {
        Some(named) => Some(named.load(rows, caller).await?),
        None => None,
    };
    let of = currency.or(invoice.as_ref().map(|it| it.currency));
    let amount = match (request.amount, of) {
        (None, _) => None,
        (Some(minor), Some(of)) => {
            Some(sum("amount", minor, of).map_err(|fault| refused("invalid-amount", fault))?)
        }
        (Some(_), None) => {
            return Err(refused(
                "invalid-currency",
                invalid("currency", "is there where there is no invoice"),
            ));
        }
    };
    if invoice.is_none() && amount.is_none() {
        return Err(refused("invalid-amount", invalid("amount", "is there where there is no invoice")));
    }
    let patient = match &invoice {
        Some(invoice) => invoice.patient_id,
        None => input::patient_for(rows, caller, request.patient_id).await?,
    };
    if let Some(method) = request.payment_method_id {
        owns_method(rows, caller, method).await?;
    }
    if let Some(customer) = request.customer_id {
        let customer = crate::customer::Customer::find(rows, caller.clinic, customer).await?;
        sees(rows, caller, customer.patient_id).await?;
    }
    Ok(Wanted {
        invoice: invoice.map(|it| it.invoice_id),
        amount,
        customer: request.customer_id,
        patient,
        method: request.payment_method_id,
        provider: request.provider,
        country: request.country,
        description: request.description.unwrap_or_default(),
        captures_later: request.capture == Capture::Manual,
        return_url: request.return_url,
        by: caller.name.clone(),
    })
}

/// `GET /api/v1/billing/payments/{paymentId}`
pub(crate) async fn show(
    State(state): State<BillingState>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<PaymentView>, Problem> {
    let mut rows = state.app.db.of(caller.clinic).read().await?;
    let payment = input::payment(&mut rows, &caller, &name).await?;
    let refunds = Refund::of(&mut rows, caller.clinic, payment.payment_id).await?;
    let disputes = Dispute::of(&mut rows, caller.clinic, payment.payment_id).await?;
    Ok(Json(PaymentView::from(payment).with_history(refunds, disputes)))
}

/// The payment that a path names, where it is the caller's to see.
async fn named(state: &BillingState, caller: &Caller, id: PaymentId) -> Result<Payment, Problem> {
    let mut rows = state.app.db.of(caller.clinic).read().await?;
    input::payment(&mut rows, caller, &id.to_string()).await
}

/// How much is taken of what is reserved.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CaptureRequest {
    /// In minor units; left out, all of it.
    #[schema(minimum = 1)]
    amount: Option<i64>,
}

/// `POST /api/v1/billing/payments/{paymentId}/capture`
pub(crate) async fn capture(
    State(state): State<BillingState>,
    caller: Caller,
    Path(id): Path<PaymentId>,
    OrEmpty(Body(request)): OrEmpty<Body<CaptureRequest>>,
) -> Result<Json<PaymentView>, Problem> {
    let clinic = caller.clinic;
    let payment = named(&state, &caller, id).await?;
    let name = match (&payment.provider_ref, payment.status) {
        (Some(name), PaymentStatus::Authorized) => name,
        _ => return Err(Problem::conflict("wrong-state", "nothing is reserved that could be captured")),
    };
    let amount = match request.amount {
        None => None,
        Some(minor) if minor > payment.amount_minor => {
            return Err(refused("invalid-amount", invalid("amount", "is at most what is reserved")));
        }
        Some(minor) => {
            Some(sum("amount", minor, payment.currency).map_err(|fault| refused("invalid-amount", fault))?)
        }
    };
    let account = state.cashier.accounts.of(clinic, payment.provider).await.map_err(SettleError::from)?;
    let key = IdempotencyKey::of(id.0, "capture");
    let whole = |it: &Money| it.minor == payment.amount_minor;
    let part = amount.filter(|it| !whole(it));
    let told = account.capture(name, part, &key).await.map_err(SettleError::from)?;
    told_of(&state, &caller, id, &told).await
}

/// `POST /api/v1/billing/payments/{paymentId}/cancel`
pub(crate) async fn cancel(
    State(state): State<BillingState>,
    caller: Caller,
    Path(id): Path<PaymentId>,
) -> Result<Json<PaymentView>, Problem> {
    let clinic = caller.clinic;
    let payment = named(&state, &caller, id).await?;
    if !payment.status.is_under_way() {
        return Err(Problem::conflict("wrong-state", "this payment is over"));
    }
    let Some(name) = &payment.provider_ref else {
        return Err(Problem::conflict("payment-under-way", "the provider has not answered yet"));
    };
    let account = state.cashier.accounts.of(clinic, payment.provider).await.map_err(SettleError::from)?;
    let key = IdempotencyKey::of(id.0, "cancel");
    let told = account.cancel(name, &key).await.map_err(SettleError::from)?;
    told_of(&state, &caller, id, &told).await
}

/// Writes down what the provider answered, and who asked.
async fn told_of(
    state: &BillingState,
    caller: &Caller,
    id: PaymentId,
    told: &crate::provider::Intent,
) -> Result<Json<PaymentView>, Problem> {
    let mut tx = state.app.db.of(caller.clinic).begin().await?;
    let known =
        state.cashier.take_in_with(&mut tx, caller.clinic, id, |known, now| known.join(told, now)).await?;
    caller.about_record(id);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(Json(known.payment.into()))
}

/// Money that is to be given back; `{}` for all of it must be said, since money leaves.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PartRequest {
    /// In minor units; left out, all that is left.
    #[schema(minimum = 1)]
    amount: Option<i64>,
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// `POST /api/v1/billing/payments/{paymentId}/refunds`
pub(crate) async fn refund(
    State(state): State<BillingState>,
    caller: Caller,
    Path(id): Path<PaymentId>,
    Body(request): Body<PartRequest>,
) -> Result<(StatusCode, Json<RefundView>), Problem> {
    input::optional_words("reason", request.reason.as_ref())?;
    let payment = named(&state, &caller, id).await?;
    if let Some(minor) = request.amount {
        sum("amount", minor, payment.currency).map_err(|fault| refused("invalid-amount", fault))?;
    }
    let refund = state.cashier.give_back(caller.clinic, id, request.amount, request.reason, &caller).await?;
    Ok((StatusCode::CREATED, Json(refund.into())))
}

/// The balance of an account of the ledger.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BalanceView {
    /// As `receivable`, `revenue`, `clearing:stripe`.
    account: String,
    currency: clinical::money::Currency,
    /// In minor units: debit above zero, credit below. Those of a currency sum to zero.
    amount: i64,
}

/// `GET /api/v1/billing/balances`
pub(crate) async fn balances(
    State(state): State<BillingState>,
    caller: Caller,
) -> Result<Json<Vec<BalanceView>>, Problem> {
    let mut rows = state.app.db.of(caller.clinic).read().await?;
    let found = ledger::balances(&mut rows, caller.clinic).await?;
    let shown =
        found.into_iter().map(|it| BalanceView { account: it.code, currency: it.currency, amount: it.minor });
    Ok(Json(shown.collect()))
}
