//! `/api/payments/customers` and `/api/payments/methods`: who pays, and with what.

use axum::extract::State;
use chrono::Datelike;
use clinical::id::{CustomerId, PatientId, PaymentMethodId};
use clinical::invalid::{invalid, line, optional_line};
use clinical::role::Reach;
use gate::{Caller, Cursor, Json, OrEmpty, Paged, Path, Problem, Query};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::db::Conn;
use storage::records::patient::Patient;
use storage::records::user::EmailAddress;
use tracing::info;
use utoipa::{IntoParams, ToSchema};

use crate::accounts::{Account, AccountError};
use crate::card_number::Body;
use crate::cashier::{Cashier, SettleError};
use crate::customer::{Customer, PaymentMethod};
use crate::input::{self, refused, sees};
use crate::intents::owns_method;
use crate::provider::{IdempotencyKey, NewCustomer, Operation, ProviderName};
use crate::seed::spoken;
use crate::settings::{BillingSettings, usual_currency};
use crate::state::BillingState;
use crate::view::{CustomerView, PaymentMethodView};

/// Somebody who is to be billed; of a patient, what is left out is as their record has it.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CustomerRequest {
    patient_id: Option<PatientId>,
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    #[schema(max_length = 254)]
    email: Option<String>,
    #[schema(max_length = 32)]
    phone: Option<String>,
    /// ISO 3166-1, two letters.
    #[schema(pattern = "^[A-Z]{2}$")]
    country: Option<String>,
}

/// `POST /api/payments/customers`
pub(crate) async fn create(
    State(state): State<BillingState>,
    caller: Caller,
    OrEmpty(Body(request)): OrEmpty<Body<CustomerRequest>>,
) -> Result<(StatusCode, Json<CustomerView>), Problem> {
    let fault = |fault| refused("invalid-text", fault);
    optional_line("name", request.name.as_ref(), 200).map_err(fault)?;
    optional_line("phone", request.phone.as_ref(), 32).map_err(fault)?;
    if let Some(email) = &request.email {
        line("email", email, 254).map_err(fault)?;
        if email.parse::<EmailAddress>().is_err() {
            return Err(fault(invalid("email", "is an address")));
        }
    }
    let is_country = |text: &String| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if request.country.as_ref().is_some_and(|text| !is_country(text)) {
        return Err(fault(invalid("country", "is two capital letters of ISO 3166-1")));
    }
    let (clinic, now) = (caller.clinic, state.app.clock.now());
    let mut tx = state.app.db.of(clinic).begin().await?;
    let patient_id = input::patient_for(&mut tx, &caller, request.patient_id).await?;
    let of_record = match patient_id {
        Some(patient) => Some(Patient::find(&mut tx, clinic, patient).await?.demographics),
        None => None,
    };
    let known = of_record.as_ref().map(|it| spoken(&it.name)).filter(|name| !name.is_empty());
    let name = request.name.or(known);
    let customer = Customer {
        customer_id: CustomerId::new(),
        patient_id,
        name: name.ok_or_else(|| fault(invalid("name", "is there")))?,
        email: request.email.or(of_record.as_ref().and_then(|it| it.email.clone())),
        phone: request.phone.or(of_record.and_then(|it| it.phone)),
        country: request.country,
        created_at: now,
    };
    customer.insert(&mut tx, clinic).await?;
    caller.about_record(customer.customer_id);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(customer.into())))
}

/// Which of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(rename_all = "camelCase")]
pub(crate) struct Filter {
    /// Of this patient alone.
    patient_id: Option<PatientId>,
}

/// `GET /api/payments/customers`
pub(crate) async fn list(
    State(state): State<BillingState>,
    caller: Caller,
    page: Cursor,
    Query(filter): Query<Filter>,
) -> Result<Paged<CustomerView>, Problem> {
    let Some((patient, shown)) = input::listed(&caller, filter.patient_id) else {
        return Ok(page.of_rows(Vec::new(), |it: &CustomerView| it.id.0));
    };
    let mut rows = state.app.db.of(caller.clinic).read().await?;
    let found = Customer::list(&mut rows, caller.clinic, patient, shown, page.after, page.rows()).await?;
    Ok(page.of_rows(found, |it| it.customer_id.0).map(CustomerView::from))
}

/// Whose methods.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(rename_all = "camelCase")]
pub(crate) struct Whose {
    /// Of this customer.
    customer_id: Option<CustomerId>,
    /// Of this patient.
    patient_id: Option<PatientId>,
}

/// `GET /api/payments/methods`
pub(crate) async fn methods(
    State(state): State<BillingState>,
    caller: Caller,
    Query(whose): Query<Whose>,
) -> Result<Json<Vec<PaymentMethodView>>, Problem> {
    let mut rows = state.app.db.of(caller.clinic).read().await?;
    let Some(customer) = customer_of(&mut rows, &caller, &whose).await? else { return Ok(Json(Vec::new())) };
    let found = PaymentMethod::of(&mut rows, caller.clinic, customer.customer_id).await?;
    Ok(Json(found.into_iter().map(PaymentMethodView::from).collect()))
}

async fn customer_of(rows: &mut Conn, caller: &Caller, whose: &Whose) -> Result<Option<Customer>, Problem> {
    if let Some(id) = whose.customer_id {
        let customer = Customer::find(rows, caller.clinic, id).await?;
        sees(rows, caller, customer.patient_id).await?;
        return Ok(Some(customer));
    }
    let patient = match (caller.reach, whose.patient_id) {
        (Reach::Own, None) => caller.patient,
        (_, named) => named,
    };
    let Some(patient) = patient else {
        if caller.reach == Reach::Own {
            return Ok(None);
        }
        return Err(Problem::bad_request("invalid-query", "customerId or patientId says whose"));
    };
    caller.sees(rows, patient).await?;
    Ok(Customer::of_patient(rows, caller.clinic, patient).await?)
}

/// A provider's token of a method that its form has made; never a card's number.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MethodRequest {
    /// Left out, the caller's own.
    customer_id: Option<CustomerId>,
    /// As `pm_…`.
    #[schema(min_length = 1, max_length = 255)]
    payment_method_id: String,
    /// Left out, the first that the clinic's rule names.
    #[schema(value_type = Option<String>)]
    provider: Option<ProviderName>,
    /// Whether it is the one that is charged where none is named.
    #[serde(default)]
    is_default: bool,
}

/// `POST /api/payments/methods`
pub(crate) async fn add(
    State(state): State<BillingState>,
    caller: Caller,
    Body(request): Body<MethodRequest>,
) -> Result<(StatusCode, Json<PaymentMethodView>), Problem> {
    line("paymentMethodId", &request.payment_method_id, 255)
        .map_err(|fault| refused("invalid-text", fault))?;
    let clinic = caller.clinic;
    let (customer, provider) = {
        let mut rows = state.app.db.of(clinic).read().await?;
        let whose = Whose { customer_id: request.customer_id, patient_id: None };
        let customer = customer_of(&mut rows, &caller, &whose).await?.ok_or_else(Problem::not_found)?;
        let currency = usual_currency(&mut rows, clinic).await?;
        let settings = BillingSettings::of(&mut rows, clinic).await?;
        (customer, settings.providers(currency, None))
    };
    let (served, _) = state.cashier.accounts.names(clinic).await?;
    let usual = provider.into_iter().find(|name| served.contains(name));
    let name = request.provider.or(usual);
    let name = name.ok_or_else(|| Problem::conflict("no-provider", "no provider is set up"))?;
    let at_provider = state.cashier.customer_at(&caller, &customer, name).await?;
    let account = state.cashier.accounts.of(clinic, name).await.map_err(SettleError::from)?;
    let told = account.attach_method(&at_provider, &request.payment_method_id).await;
    let told = told.map_err(SettleError::from)?;
    let mut tx = state.app.db.of(clinic).begin().await?;
    let present = PaymentMethod::of(&mut tx, clinic, customer.customer_id).await?;
    let method = PaymentMethod {
        method_id: PaymentMethodId::new(),
        customer_id: customer.customer_id,
        provider: name,
        provider_ref: told.provider_id.clone(),
        kind: told.kind,
        brand: told.brand,
        last4: told.last4,
        expires: told.expires.map(|(month, year)| (month.into(), year.into())),
        is_default: false,
        created_at: state.app.clock.now(),
    };
    method.insert(&mut tx, clinic).await?;
    let all = PaymentMethod::of(&mut tx, clinic, customer.customer_id).await?;
    let kept = all.into_iter().find(|it| it.provider == name && it.provider_ref == told.provider_id);
    let kept = kept.ok_or_else(|| Problem::conflict("method-taken", "another customer has this method"))?;
    let is_default = request.is_default || present.is_empty();
    if is_default {
        kept.prefer(&mut tx, clinic).await?;
    }
    caller.about_record(kept.method_id);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    let shown = PaymentMethod { is_default: is_default || kept.is_default, ..kept };
    Ok((StatusCode::CREATED, Json(shown.into())))
}

/// `POST /api/payments/methods/{methodId}/default`
pub(crate) async fn prefer(
    State(state): State<BillingState>,
    caller: Caller,
    Path(id): Path<PaymentMethodId>,
) -> Result<Json<PaymentMethodView>, Problem> {
    let mut tx = state.app.db.of(caller.clinic).begin().await?;
    let method = owns_method(&mut tx, &caller, id).await?;
    method.prefer(&mut tx, caller.clinic).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(Json(PaymentMethod { is_default: true, ..method }.into()))
}

/// `DELETE /api/payments/methods/{methodId}`
pub(crate) async fn forget(
    State(state): State<BillingState>,
    caller: Caller,
    Path(id): Path<PaymentMethodId>,
) -> Result<StatusCode, Problem> {
    let clinic = caller.clinic;
    let (method, known) = {
        let mut rows = state.app.db.of(clinic).read().await?;
        let method = owns_method(&mut rows, &caller, id).await?;
        let name = Customer::name_at(&mut rows, clinic, method.customer_id, method.provider).await?;
        (method, name)
    };
    if let Ok(account) = state.cashier.accounts.of(clinic, method.provider).await
        && let Some(customer) = called(known, &method, &account)
        && let Err(error) = account.detach_method(&customer, &method.provider_ref).await
    {
        info!(%error, "a provider keeps a method that is forgotten here");
    }
    let mut tx = state.app.db.of(clinic).begin().await?;
    method.forget(&mut tx, clinic).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a method can be charged.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MethodCheck {
    id: PaymentMethodId,
    /// As its provider says now.
    is_valid: bool,
    /// Why not: `unknown-to-provider`, `expired`.
    reason: Option<&'static str>,
}

/// `POST /api/payments/methods/{methodId}/validate`
pub(crate) async fn validate(
    State(state): State<BillingState>,
    caller: Caller,
    Path(id): Path<PaymentMethodId>,
) -> Result<Json<MethodCheck>, Problem> {
    let clinic = caller.clinic;
    let (method, known) = {
        let mut rows = state.app.db.of(clinic).read().await?;
        let method = owns_method(&mut rows, &caller, id).await?;
        let known = Customer::name_at(&mut rows, clinic, method.customer_id, method.provider).await?;
        (method, known)
    };
    caller.about_record(id);
    let account = state.cashier.accounts.of(clinic, method.provider).await.map_err(SettleError::from)?;
    let kept = match called(known, &method, &account) {
        Some(customer) => account.methods(&customer).await.map_err(SettleError::from)?,
        None => Vec::new(),
    };
    let now = state.app.clock.now();
    let reason = match kept.into_iter().find(|it| it.provider_id == method.provider_ref) {
        None => Some("unknown-to-provider"),
        // A card can be charged until the end of its month.
        Some(told) => told
            .expires
            .filter(|(month, year)| (i32::from(*year), u32::from(*month)) < (now.year(), now.month()))
            .map(|_| "expired"),
    };
    Ok(Json(MethodCheck { id, is_valid: reason.is_none(), reason }))
}

/// Under which name the provider knows whose method it is: one that knows no customers goes by our own.
fn called(known: Option<String>, method: &PaymentMethod, account: &Account) -> Option<String> {
    let is_ours = !account.supports(Operation::CreateCustomer);
    known.or_else(|| is_ours.then(|| method.customer_id.to_string()))
}

impl Cashier {
    /// Under which name a provider knows a customer, who is made known there where they are not.
    async fn customer_at(
        &self,
        caller: &Caller,
        customer: &Customer,
        provider: ProviderName,
    ) -> Result<String, Problem> {
        let (clinic, id) = (caller.clinic, customer.customer_id);
        let known = Customer::name_at(&mut self.db.of(clinic).read().await?, clinic, id, provider).await?;
        if let Some(known) = known {
            return Ok(known);
        }
        let account = match self.accounts.of(clinic, provider).await {
            Err(AccountError::NotSetUp(name)) => {
                return Err(Problem::conflict("no-provider", format!("{name} is not set up")));
            }
            account => account.map_err(SettleError::from)?,
        };
        if !account.supports(Operation::CreateCustomer) {
            return Ok(id.to_string());
        }
        let ask = NewCustomer {
            reference: id.0,
            name: Some(customer.name.clone()),
            email: customer.email.clone(),
            key: IdempotencyKey::of(id.0, "customer"),
        };
        let made = account.create_customer(&ask).await.map_err(SettleError::from)?;
        let mut tx = self.db.of(clinic).begin().await?;
        Customer::named(&mut tx, clinic, id, provider, &made.provider_id).await?;
        tx.commit().await?;
        Ok(made.provider_id)
    }
}
