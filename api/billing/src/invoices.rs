//! `/api/v1/billing/invoices`: drafts, lines, issue, and how an invoice is closed.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use clinical::id::{CustomerId, InvoiceId, PatientId, SubscriptionId};
use clinical::invalid::invalid;
use gate::{Caller, Cursor, Json, Paged, Path, Problem, Query};
use http::{StatusCode, header};
use serde::Deserialize;
use storage::db::Conn;
use tracing::warn;
use utoipa::{IntoParams, ToSchema};

use crate::card_number::Body;
use crate::customer::Customer;
use crate::input::{self, listed, refused, sees};
use crate::invoice::pdf::{self, Letterhead};
use crate::invoice::{Invoice, InvoiceFilter, InvoiceStatus, NewInvoice};
use crate::lines::{MOST_LINES, NewLine, totals};
use crate::settings::{BillingSettings, usual_currency};
use crate::state::BillingState;
use crate::view::InvoiceView;

/// Which of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(rename_all = "camelCase")]
pub(crate) struct Filter {
    /// Of this patient alone.
    patient_id: Option<PatientId>,
    /// Of this subscription alone.
    subscription_id: Option<SubscriptionId>,
    /// In this state alone.
    status: Option<InvoiceStatus>,
}

/// `GET /api/v1/billing/invoices`
pub(crate) async fn list(
    State(state): State<BillingState>,
    caller: Caller,
    page: Cursor,
    Query(filter): Query<Filter>,
) -> Result<Paged<InvoiceView>, Problem> {
    let mut rows = state.app.db.of(caller.clinic).read().await?;
    let prefix = BillingSettings::of(&mut rows, caller.clinic).await?.invoice_prefix;
    let (status, patient, subscription) = (filter.status, filter.patient_id, filter.subscription_id);
    let found = page_of(&mut rows, &caller, &page, InvoiceFilter { status, patient, subscription }).await?;
    Ok(found.map(|invoice| InvoiceView::of(invoice, &prefix, None)))
}

/// One page of the invoices that are the caller's to see.
pub(crate) async fn page_of(
    rows: &mut Conn,
    caller: &Caller,
    page: &Cursor,
    filter: InvoiceFilter,
) -> Result<Paged<Invoice>, Problem> {
    let found = match listed(caller, filter.patient) {
        Some((patient, shown)) => {
            let filter = InvoiceFilter { patient, ..filter };
            Invoice::list(rows, caller.clinic, filter, shown, page.after, page.rows()).await?
        }
        None => Vec::new(),
    };
    Ok(page.of_rows(found, |it| it.invoice_id.0))
}

/// An invoice that is to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct InvoiceRequest {
    patient_id: Option<PatientId>,
    customer_id: Option<CustomerId>,
    /// Left out, the clinic's own.
    currency: Option<String>,
    /// What for, in a line.
    #[schema(min_length = 1, max_length = 500)]
    description: String,
    #[schema(min_items = 1, max_items = 100)]
    lines: Vec<NewLine>,
    /// Until when it is to be paid; left out, as the clinic's terms say.
    due_at: Option<DateTime<Utc>>,
    /// Whether it is issued at once; else it stays a draft.
    #[serde(default)]
    issue: bool,
}

/// `POST /api/v1/billing/invoices`
pub(crate) async fn create(
    State(state): State<BillingState>,
    caller: Caller,
    Body(request): Body<InvoiceRequest>,
) -> Result<(StatusCode, Json<InvoiceView>), Problem> {
    input::words("description", &request.description)?;
    if !(1..=MOST_LINES).contains(&request.lines.len()) {
        return Err(refused("invalid-invoice", invalid("lines", "are 1 to 100")));
    }
    let (clinic, now) = (caller.clinic, state.app.clock.now());
    let mut tx = state.app.db.of(clinic).begin().await?;
    let patient = input::patient_for(&mut tx, &caller, request.patient_id).await?;
    if let Some(customer) = request.customer_id {
        let customer = Customer::find(&mut tx, clinic, customer).await?;
        sees(&mut tx, &caller, customer.patient_id).await?;
    }
    let currency = match &request.currency {
        Some(code) => input::currency(code)?,
        None => usual_currency(&mut tx, clinic).await?,
    };
    let settings = BillingSettings::of(&mut tx, clinic).await?;
    let lines = request.lines.iter().map(|line| line.check(currency, settings.tax_rate));
    let lines: Vec<_> = lines.collect::<Result<_, _>>().map_err(|fault| refused("invalid-amount", fault))?;
    let totals = totals(&lines).filter(|totals| totals.total > 0);
    let totals = totals.ok_or_else(|| {
        refused("invalid-amount", invalid("lines", "cost more than zero together and not too much"))
    })?;
    let new = NewInvoice {
        patient_id: patient,
        customer_id: request.customer_id,
        subscription_id: None,
        currency,
        description: &request.description,
        lines: &lines,
        totals,
        due_at: input::due_day("dueAt", request.due_at, now)?,
        created_by: &caller.name,
    };
    let mut invoice = Invoice::draft(&mut tx, clinic, &new, now).await?;
    if request.issue {
        invoice.issue(&mut tx, clinic, settings.terms(), now).await?;
    }
    caller.about_record(invoice.invoice_id);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    let view = InvoiceView::of(invoice, &settings.invoice_prefix, Some(lines));
    Ok((StatusCode::CREATED, Json(view)))
}

/// `GET /api/v1/billing/invoices/{invoiceId}`
pub(crate) async fn show(
    State(state): State<BillingState>,
    caller: Caller,
    Path(id): Path<InvoiceId>,
) -> Result<Json<InvoiceView>, Problem> {
    let mut rows = state.app.db.of(caller.clinic).read().await?;
    let invoice = Invoice::find(&mut rows, caller.clinic, id).await?;
    sees(&mut rows, &caller, invoice.patient_id).await?;
    let lines = invoice.lines(&mut rows, caller.clinic).await?;
    let prefix = BillingSettings::of(&mut rows, caller.clinic).await?.invoice_prefix;
    Ok(Json(InvoiceView::of(invoice, &prefix, Some(lines))))
}

/// `GET /api/v1/billing/invoices/{invoiceId}/pdf`
pub(crate) async fn pdf(
    State(state): State<BillingState>,
    caller: Caller,
    Path(id): Path<InvoiceId>,
) -> Result<Response, Problem> {
    let clinic = caller.clinic;
    let (invoice, lines, head) = {
        let mut rows = state.app.db.of(clinic).read().await?;
        let invoice = Invoice::find(&mut rows, clinic, id).await?;
        sees(&mut rows, &caller, invoice.patient_id).await?;
        caller.about_record(id);
        let lines = invoice.lines(&mut rows, clinic).await?;
        let Some(head) = Letterhead::of(&mut rows, clinic, &invoice).await? else {
            return Err(Problem::conflict("wrong-state", "a draft has no number yet"));
        };
        (invoice, lines, head)
    };
    let file_name = format!("inline; filename=\"{}\"", invoice.file_name());
    let made = tokio::task::spawn_blocking(move || pdf::pdf(&invoice, &lines, &head)).await;
    const FAILED: &str = "invoice-not-written";
    let file = made.map_err(|error| Problem::internal(FAILED, &error))?;
    let file = file.map_err(|error| Problem::internal(FAILED, &error))?;
    let headers =
        [(header::CONTENT_TYPE, "application/pdf".to_owned()), (header::CONTENT_DISPOSITION, file_name)];
    Ok((headers, file).into_response())
}

/// `POST /api/v1/billing/invoices/{invoiceId}/send`
pub(crate) async fn send(
    State(state): State<BillingState>,
    caller: Caller,
    Path(id): Path<InvoiceId>,
) -> Result<Json<InvoiceView>, Problem> {
    change(&state, &caller, id, Change::Send).await
}

/// `POST /api/v1/billing/invoices/{invoiceId}/issue`
pub(crate) async fn issue(
    State(state): State<BillingState>,
    caller: Caller,
    Path(id): Path<InvoiceId>,
) -> Result<Json<InvoiceView>, Problem> {
    change(&state, &caller, id, Change::Issue).await
}

/// `POST /api/v1/billing/invoices/{invoiceId}/void`
pub(crate) async fn void(
    State(state): State<BillingState>,
    caller: Caller,
    Path(id): Path<InvoiceId>,
) -> Result<Json<InvoiceView>, Problem> {
    change(&state, &caller, id, Change::Void).await
}

/// `POST /api/v1/billing/invoices/{invoiceId}/uncollectible`
pub(crate) async fn give_up(
    State(state): State<BillingState>,
    caller: Caller,
    Path(id): Path<InvoiceId>,
) -> Result<Json<InvoiceView>, Problem> {
    change(&state, &caller, id, Change::GiveUp).await
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Send,
    Issue,
    Void,
    GiveUp,
}

async fn change(
    state: &BillingState,
    caller: &Caller,
    id: InvoiceId,
    change: Change,
) -> Result<Json<InvoiceView>, Problem> {
    let (clinic, now) = (caller.clinic, state.app.clock.now());
    let mut tx = state.app.db.of(clinic).begin().await?;
    let mut invoice = Invoice::hold(&mut tx, clinic, id).await?;
    sees(&mut tx, caller, invoice.patient_id).await?;
    let settings = BillingSettings::of(&mut tx, clinic).await?;
    match (change, invoice.status) {
        (Change::Send, status) if !matches!(status, InvoiceStatus::Draft | InvoiceStatus::Void) => {
            if invoice.patient_id.is_none() && invoice.mailbox(&mut tx, clinic).await?.is_none() {
                let detail = "the invoice is of no patient, and its payer has no e-mail address";
                return Err(Problem::conflict("nobody-to-send", detail));
            }
            invoice.send(&mut tx, clinic, now).await?;
        }
        (Change::Issue, InvoiceStatus::Draft) => {
            invoice.issue(&mut tx, clinic, settings.terms(), now).await?;
        }
        (Change::Void, InvoiceStatus::Draft | InvoiceStatus::Open | InvoiceStatus::Uncollectible)
            if invoice.paid_minor == 0 =>
        {
            invoice.close(&mut tx, clinic, InvoiceStatus::Void, now).await?;
        }
        (Change::GiveUp, InvoiceStatus::Open) => {
            invoice.close(&mut tx, clinic, InvoiceStatus::Uncollectible, now).await?;
        }
        (_, status) => {
            let detail = format!("an invoice that is {} cannot be changed so", status.as_str());
            return Err(Problem::conflict("wrong-state", detail));
        }
    }
    let lines = invoice.lines(&mut tx, clinic).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    if invoice.status == InvoiceStatus::Void
        && let Err(error) = state.cashier.abandon_payments_of(clinic, id).await
    {
        warn!(invoice.id = %id, %error, "a payment of a void invoice is still open at its provider");
    }
    Ok(Json(InvoiceView::of(invoice, &settings.invoice_prefix, Some(lines))))
}
