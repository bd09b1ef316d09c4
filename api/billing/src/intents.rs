//! A payment is begun and confirmed on the first applications' paths; sums in minor units.

use axum::extract::State;
use clinical::id::{CustomerId, PatientId, PaymentId, PaymentMethodId};
use clinical::invalid::invalid;
use clinical::money::Currency;
use gate::{Caller, Json, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::db::Conn;
use utoipa::ToSchema;

use crate::card_number::Body;
use crate::collect::Wanted;
use crate::customer::{Customer, PaymentMethod};
use crate::input::{self, InvoiceRef, refused, sees, sum};
use crate::invoice::Invoice;
use crate::payment::{Payment, PaymentStatus};
use crate::provider::ProviderName;
use crate::seed::SeedInvoice;
use crate::state::BillingState;
use crate::view::parted;

/// A payment that is to be begun: of an invoice, or of a sum.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct IntentRequest {
    /// The invoice, by its id or its number.
    invoice_id: Option<InvoiceRef>,
    /// In minor units, with `currency`, where there is no invoice.
    #[schema(minimum = 1)]
    amount: Option<i64>,
    currency: Option<String>,
    #[schema(max_length = 500)]
    description: Option<String>,
    /// Left out, the clinic's rule says whom to ask.
    #[schema(value_type = Option<String>)]
    provider: Option<ProviderName>,
    patient_id: Option<PatientId>,
    customer_id: Option<CustomerId>,
    payment_method_id: Option<PaymentMethodId>,
    return_url: Option<String>,
    /// Taken and not kept: the invoice knows what it is about.
    #[serde(default)]
    #[schema(value_type = Object)]
    metadata: Option<serde_json::Map<String, serde_json::Value>>,
}

/// A payment that has begun.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IntentView {
    /// Ours.
    payment_id: PaymentId,
    /// For the provider's script in the browser.
    client_secret: Option<String>,
    /// The provider's name for it.
    payment_intent_id: Option<String>,
    /// In minor units.
    amount: i64,
    /// In small letters.
    currency: String,
    provider: &'static str,
    status: PaymentStatus,
    /// Where the payer goes instead.
    redirect_url: Option<String>,
}

/// `POST /api/payments/create-intent`, `POST /api/payments/intent`
pub(crate) async fn create_intent(
    State(state): State<BillingState>,
    caller: Caller,
    Body(request): Body<IntentRequest>,
) -> Result<(StatusCode, Json<IntentView>), Problem> {
    input::optional_words("description", request.description.as_ref())?;
    input::return_url(request.return_url.as_ref())?;
    let _ = request.metadata;
    let wanted = {
        let mut rows = state.app.db.of(caller.clinic).read().await?;
        let currency = request.currency.as_deref().map(input::currency).transpose()?;
        let (invoice, amount, patient) = match request.invoice_id {
            Some(named) => {
                let invoice = named.load(&mut rows, &caller).await?;
                let amount = match request.amount {
                    Some(minor) => {
                        let of = currency.unwrap_or(invoice.currency);
                        Some(sum("amount", minor, of).map_err(|fault| refused("invalid-amount", fault))?)
                    }
                    None => None,
                };
                (Some(invoice.invoice_id), amount, invoice.patient_id)
            }
            None => {
                let missing =
                    || refused("invalid-amount", invalid("invoiceId", "or amount and currency are there"));
                let (minor, of) = request.amount.zip(currency).ok_or_else(missing)?;
                let amount = sum("amount", minor, of).map_err(|fault| refused("invalid-amount", fault))?;
                (None, Some(amount), input::patient_for(&mut rows, &caller, request.patient_id).await?)
            }
        };
        if let Some(method) = request.payment_method_id {
            owns_method(&mut rows, &caller, method).await?;
        }
        if let Some(customer) = request.customer_id {
            let customer = Customer::find(&mut rows, caller.clinic, customer).await?;
            sees(&mut rows, &caller, customer.patient_id).await?;
        }
        Wanted {
            invoice,
            amount,
            customer: request.customer_id,
            patient,
            method: request.payment_method_id,
            provider: request.provider,
            country: None,
            description: request.description.unwrap_or_default(),
            captures_later: false,
            return_url: request.return_url,
            by: caller.name.clone(),
        }
    };
    let begun = state.cashier.collect(caller.clinic, &wanted, Some(&caller)).await?;
    let status = if begun.is_open() { StatusCode::ACCEPTED } else { StatusCode::OK };
    let (client_secret, redirect_url) = parted(begun.next);
    let payment = begun.payment;
    Ok((
        status,
        Json(IntentView {
            payment_id: payment.payment_id,
            client_secret,
            payment_intent_id: payment.provider_ref,
            amount: payment.amount_minor,
            currency: payment.currency.lower(),
            provider: payment.provider.as_str(),
            status: payment.status,
            redirect_url,
        }),
    ))
}

/// Passes where a stored method is of a customer whose records are the caller's to see.
pub(crate) async fn owns_method(
    rows: &mut Conn,
    caller: &Caller,
    method: PaymentMethodId,
) -> Result<PaymentMethod, Problem> {
    let method = PaymentMethod::find(rows, caller.clinic, method).await?;
    let customer = Customer::find(rows, caller.clinic, method.customer_id).await?;
    sees(rows, caller, customer.patient_id).await?;
    Ok(method)
}

/// What the payer's side says of a payment; what it says of state and sum is not believed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ConfirmRequest {
    /// The provider's name for the payment, or ours.
    payment_intent_id: String,
    /// Not believed: the provider is asked.
    status: Option<String>,
    /// Not believed; in minor units.
    amount: Option<i64>,
}

/// A payment that the provider has been asked about.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Confirmed {
    payment_id: PaymentId,
    payment_intent_id: Option<String>,
    /// What the provider says.
    status: PaymentStatus,
    /// What has come in, in minor units.
    amount: i64,
    currency: String,
    /// The invoice as it is now.
    invoice: Option<SeedInvoice>,
}

/// `POST /api/payments/confirm`
pub(crate) async fn confirm(
    State(state): State<BillingState>,
    caller: Caller,
    Body(request): Body<ConfirmRequest>,
) -> Result<(StatusCode, Json<Confirmed>), Problem> {
    let _ = request.status;
    if let Some(minor) = request.amount {
        let any = Currency::all().next();
        any.map(|any| sum("amount", minor, any))
            .transpose()
            .map_err(|fault| refused("invalid-amount", fault))?;
    }
    let clinic = caller.clinic;
    let payment = {
        let mut rows = state.app.db.of(clinic).read().await?;
        input::payment(&mut rows, &caller, &request.payment_intent_id).await?
    };
    if payment.confirmed_at.is_some() {
        return Err(Problem::conflict("already-confirmed", "this payment was confirmed before"));
    }
    let mut payment = match payment.status {
        PaymentStatus::Succeeded => payment,
        _ => state.cashier.settle(clinic, payment.payment_id).await?,
    };
    if payment.status == PaymentStatus::RequiresConfirmation {
        payment = match state.cashier.finish(clinic, &payment).await {
            // The job that looks after it asks again.
            Err(error) if error.is_passing() => Payment { status: PaymentStatus::Processing, ..payment },
            finished => finished?,
        };
    }
    let status = match payment.status {
        PaymentStatus::Succeeded => StatusCode::OK,
        PaymentStatus::Processing | PaymentStatus::Asked | PaymentStatus::Authorized => StatusCode::ACCEPTED,
        PaymentStatus::Failed => {
            let code = payment.failure.unwrap_or_default();
            let detail = format!("the payment was declined: {code}");
            return Err(Problem::new(StatusCode::PAYMENT_REQUIRED, "payment-declined", detail));
        }
        PaymentStatus::RequiresAction | PaymentStatus::RequiresConfirmation | PaymentStatus::Canceled => {
            return Err(Problem::conflict("not-paid", "the provider says that this is not paid"));
        }
    };
    let mut tx = state.app.db.of(clinic).begin().await?;
    if status == StatusCode::OK {
        let mut held = Payment::hold(&mut tx, clinic, payment.payment_id).await?;
        if held.confirmed_at.is_some() {
            return Err(Problem::conflict("already-confirmed", "this payment was confirmed before"));
        }
        held.confirmed_at = Some(state.app.clock.now());
        held.save(&mut tx, clinic).await?;
    }
    let invoice = match payment.invoice_id {
        Some(id) => {
            let invoice = Invoice::find(&mut tx, clinic, id).await?;
            Some(SeedInvoice::of(&mut tx, &caller, invoice).await?)
        }
        None => None,
    };
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok((
        status,
        Json(Confirmed {
            payment_id: payment.payment_id,
            payment_intent_id: payment.provider_ref,
            status: payment.status,
            amount: payment.captured_minor,
            currency: payment.currency.lower(),
            invoice,
        }),
    ))
}
