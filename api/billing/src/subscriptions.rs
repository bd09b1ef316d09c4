//! `/api/v1/billing/subscriptions` and `/api/v1/billing/usage`.

use axum::extract::State;
use clinical::id::{ClinicId, CustomerId, PatientId, PaymentMethodId, PlanId, SubscriptionId};
use clinical::invalid::{invalid, line};
use gate::{App, Caller, Cursor, Json, OrEmpty, Paged, Path, Problem, Query};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::db::{Conn, DbError, Tx};
use storage::records::patient::Shown;
use utoipa::{IntoParams, ToSchema};

use crate::card_number::Body;
use crate::customer::Customer;
use crate::input::{self, listed, refused, sees};
use crate::intents::owns_method;
use crate::plan::Plan;
use crate::plans::feature;
use crate::state::BillingState;
use crate::subscribe::{Changed, NewSubscription, SubscribeError};
use crate::subscription::Subscription;
use crate::usage::{self, UsageError};
use crate::view::{SubscriptionView, UsageView};

/// A subscription that is to begin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SubscribeRequest {
    plan_id: PlanId,
    /// Whose it is; left out, the caller's own or the customer's.
    patient_id: Option<PatientId>,
    customer_id: Option<CustomerId>,
    /// What is charged for it; left out, its invoices wait for the payer.
    payment_method_id: Option<PaymentMethodId>,
    /// Days without cost, in place of the plan's; only whoever runs the clinic's money may say so.
    #[schema(minimum = 0, maximum = 730)]
    trial_days: Option<i64>,
}

fn shown(changed: Changed) -> SubscriptionView {
    let mut view = SubscriptionView::from(changed.subscription);
    view.invoice_id = changed.invoice;
    view
}

/// `POST /api/v1/billing/subscriptions`
pub(crate) async fn create(
    State(state): State<BillingState>,
    caller: Caller,
    Body(request): Body<SubscribeRequest>,
) -> Result<(StatusCode, Json<SubscriptionView>), Problem> {
    if request.trial_days.is_some_and(|days| !(0..=730).contains(&days)) {
        return Err(refused("invalid-subscription", invalid("trialDays", "is 0 to 730")));
    }
    let is_own = caller.reach == clinical::role::Reach::Own;
    if is_own && request.trial_days.is_some() {
        let detail = "the plan says for how long it costs nothing";
        return Err(Problem::new(StatusCode::FORBIDDEN, "not-allowed", detail));
    }
    let (clinic, now) = (caller.clinic, state.app.clock.now());
    let mut tx = state.app.db.of(clinic).begin().await?;
    let plan = Plan::find(&mut tx, clinic, request.plan_id).await?;
    let mut customer = request.customer_id;
    let mut of_customer = None;
    if let Some(method) = request.payment_method_id {
        let method = owns_method(&mut tx, &caller, method).await?;
        if customer.is_some_and(|named| named != method.customer_id) {
            let rule = "is one of the customer's";
            return Err(refused("invalid-subscription", invalid("paymentMethodId", rule)));
        }
        customer = Some(method.customer_id);
    }
    if let Some(id) = customer {
        of_customer = Customer::find(&mut tx, clinic, id).await?.patient_id;
        sees(&mut tx, &caller, of_customer).await?;
    }
    let patient = input::patient_for(&mut tx, &caller, request.patient_id.or(of_customer)).await?;
    let new = NewSubscription {
        customer,
        patient,
        method: request.payment_method_id,
        trial_days: request.trial_days,
    };
    let mut changed = Subscription::begin(&mut tx, clinic, &plan, &new, now).await?;
    caller.about_record(changed.subscription.subscription_id);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    charge(&state, &mut changed, clinic).await?;
    Ok((StatusCode::CREATED, Json(shown(changed))))
}

/// Charges what has just been billed, where there is something to charge; the subscription as it is then.
async fn charge(state: &BillingState, changed: &mut Changed, clinic: ClinicId) -> Result<(), Problem> {
    let Some(invoice) = changed.invoice else { return Ok(()) };
    state.cashier.charge_for(clinic, &changed.subscription, invoice).await?;
    let mut rows = state.app.db.of(clinic).read().await?;
    changed.subscription =
        Subscription::find(&mut rows, clinic, changed.subscription.subscription_id).await?;
    Ok(())
}

/// Which of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(rename_all = "camelCase")]
pub(crate) struct Filter {
    /// Of this patient alone.
    patient_id: Option<PatientId>,
}

/// `GET /api/v1/billing/subscriptions`
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
    Query(filter): Query<Filter>,
) -> Result<Paged<SubscriptionView>, Problem> {
    let Some((patient, shown)) = listed(&caller, filter.patient_id) else {
        return Ok(page.of_rows(Vec::new(), |it: &SubscriptionView| it.id.0));
    };
    let mut rows = app.db.of(caller.clinic).read().await?;
    let found = Subscription::list(&mut rows, caller.clinic, patient, shown, page.after, page.rows()).await?;
    Ok(page.of_rows(found, |it| it.subscription_id.0).map(SubscriptionView::from))
}

/// A subscription by our identifier or by the provider's name, where it is the caller's to see.
async fn named(rows: &mut Conn, caller: &Caller, name: &str) -> Result<Subscription, Problem> {
    let found = match name.parse::<SubscriptionId>() {
        Ok(id) => Subscription::find(rows, caller.clinic, id).await?,
        Err(_) => Subscription::by_ref(rows, caller.clinic, None, name).await?.ok_or(DbError::NotFound)?,
    };
    sees(rows, caller, found.patient_id).await?;
    caller.about_record(found.subscription_id);
    Ok(found)
}

/// `GET /api/v1/billing/subscriptions/{id}`: by our identifier or by the provider's (`sub_…`).
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<SubscriptionView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    Ok(Json(named(&mut rows, &caller, &name).await?.into()))
}

/// The subscription, held until the transaction ends, where it is the caller's to change.
async fn held(tx: &mut Tx, caller: &Caller, name: &str) -> Result<Subscription, Problem> {
    let found = named(tx, caller, name).await?;
    Ok(Subscription::hold(tx, caller.clinic, found.subscription_id).await?)
}

/// What becomes different of a subscription.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SubscriptionChange {
    /// Another plan, from today on: the difference for the days that are left is billed or taken off the next invoice.
    plan_id: Option<PlanId>,
    /// What is charged from now on.
    payment_method_id: Option<PaymentMethodId>,
}

/// `PATCH /api/v1/billing/subscriptions/{id}`
pub(crate) async fn change(
    State(state): State<BillingState>,
    caller: Caller,
    Path(name): Path<String>,
    Body(request): Body<SubscriptionChange>,
) -> Result<Json<SubscriptionView>, Problem> {
    let (clinic, now) = (caller.clinic, state.app.clock.now());
    let mut tx = state.app.db.of(clinic).begin().await?;
    let mut subscription = held(&mut tx, &caller, &name).await?;
    if let Some(method) = request.payment_method_id {
        if subscription.provider.is_some() {
            return Err(SubscribeError::KeptElsewhere.into());
        }
        let method = owns_method(&mut tx, &caller, method).await?;
        subscription.method_id = Some(method.method_id);
        subscription.customer_id = Some(method.customer_id);
        subscription.changed_at = now;
        subscription.put(&mut tx, clinic).await?;
    }
    let mut changed = match request.plan_id {
        Some(plan) => {
            let plan = Plan::find(&mut tx, clinic, plan).await?;
            subscription.change_plan(&mut tx, clinic, &plan, now).await?
        }
        None => Changed { subscription, invoice: None },
    };
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    charge(&state, &mut changed, clinic).await?;
    Ok(Json(shown(changed)))
}

/// `POST /api/v1/billing/subscriptions/{id}/pause`
pub(crate) async fn pause(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<SubscriptionView>, Problem> {
    let mut tx = app.db.of(caller.clinic).begin().await?;
    let mut subscription = held(&mut tx, &caller, &name).await?;
    subscription.pause(&mut tx, caller.clinic, app.clock.now()).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(Json(subscription.into()))
}

/// `POST /api/v1/billing/subscriptions/{id}/resume`
pub(crate) async fn resume(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<SubscriptionView>, Problem> {
    let mut tx = app.db.of(caller.clinic).begin().await?;
    let mut subscription = held(&mut tx, &caller, &name).await?;
    subscription.resume(&mut tx, caller.clinic, app.clock.now()).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(Json(subscription.into()))
}

/// When a subscription ends, and why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CancelRequest {
    /// With the period that is paid; else at once.
    #[serde(default)]
    at_period_end: bool,
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// `POST /api/v1/billing/subscriptions/{id}/cancel`
pub(crate) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    OrEmpty(Body(request)): OrEmpty<Body<CancelRequest>>,
) -> Result<Json<SubscriptionView>, Problem> {
    input::optional_words("reason", request.reason.as_ref())?;
    let mut tx = app.db.of(caller.clinic).begin().await?;
    let mut subscription = held(&mut tx, &caller, &name).await?;
    let now = app.clock.now();
    subscription.cancel(&mut tx, caller.clinic, request.at_period_end, request.reason, now).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(Json(subscription.into()))
}

/// `POST /api/v1/billing/subscriptions/{id}/reactivate`
pub(crate) async fn reactivate(
    State(state): State<BillingState>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<SubscriptionView>, Problem> {
    let clinic = caller.clinic;
    let mut tx = state.app.db.of(clinic).begin().await?;
    let mut subscription = held(&mut tx, &caller, &name).await?;
    let mut changed = subscription.reactivate(&mut tx, clinic, state.app.clock.now()).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    charge(&state, &mut changed, clinic).await?;
    Ok(Json(shown(changed)))
}

/// Something that was used.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UsageRequest {
    /// Of which subscription, by our id or the provider's.
    subscription_id: String,
    /// As `in_person_appointment`.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    feature: String,
    /// How much.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    quantity: i64,
    /// The caller's name for it, as `appointment:…`: told twice, it counts once.
    #[schema(min_length = 1, max_length = 255)]
    key: String,
}

fn one() -> i64 {
    1
}

impl From<UsageError> for Problem {
    fn from(error: UsageError) -> Self {
        let detail = error.to_string();
        match error {
            UsageError::Database(error) => error.into(),
            UsageError::NotRunning => Self::conflict("subscription-not-running", detail),
            UsageError::AboveLimit { .. } => Self::conflict("usage-limit", detail),
        }
    }
}

/// `POST /api/v1/billing/usage`
pub(crate) async fn use_it(
    State(app): State<App>,
    caller: Caller,
    Body(request): Body<UsageRequest>,
) -> Result<(StatusCode, Json<UsageView>), Problem> {
    feature(&request.feature).map_err(|fault| refused("invalid-usage", fault))?;
    line("key", &request.key, 255).map_err(|fault| refused("invalid-usage", fault))?;
    if !(1..=1_000_000).contains(&request.quantity) {
        return Err(refused("invalid-usage", invalid("quantity", "is 1 to 1,000,000")));
    }
    let clinic = caller.clinic;
    let mut tx = app.db.of(clinic).begin().await?;
    let subscription = held(&mut tx, &caller, &request.subscription_id).await?;
    let now = app.clock.now();
    let used =
        usage::count(&mut tx, clinic, &subscription, &request.feature, request.quantity, &request.key, now)
            .await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(used.into())))
}

/// Of which subscription.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(rename_all = "camelCase")]
pub(crate) struct OfSubscription {
    /// By our id or the provider's.
    subscription_id: String,
}

/// `GET /api/v1/billing/usage`: of the period that runs.
pub(crate) async fn used(
    State(app): State<App>,
    caller: Caller,
    Query(of): Query<OfSubscription>,
) -> Result<Json<Vec<UsageView>>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let subscription = named(&mut rows, &caller, &of.subscription_id).await?;
    let found = usage::of_period(&mut rows, caller.clinic, &subscription).await?;
    Ok(Json(found.into_iter().map(UsageView::from).collect()))
}

/// What is asked to be covered.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(rename_all = "camelCase")]
pub(crate) struct Asked {
    /// For this patient.
    patient_id: PatientId,
    /// As `in_person_appointment`.
    feature: String,
}

/// Whether a subscription of the patient covers one more of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Coverage {
    /// Whether one does.
    is_covered: bool,
    /// Which one.
    subscription_id: Option<SubscriptionId>,
    /// What is left of it in the period; null: without bound, or nothing covers it.
    remaining: Option<i64>,
}

/// `GET /api/v1/billing/coverage`: what whoever books an appointment asks first.
pub(crate) async fn coverage(
    State(app): State<App>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<Coverage>, Problem> {
    feature(&asked.feature).map_err(|fault| refused("invalid-usage", fault))?;
    let clinic = caller.clinic;
    let mut rows = app.db.of(clinic).read().await?;
    caller.sees(&mut rows, asked.patient_id).await?;
    let all =
        Subscription::list(&mut rows, clinic, Some(asked.patient_id), Shown::Everybody, None, 100).await?;
    for subscription in all.into_iter().filter(|it| it.status.covers()) {
        let Some(plan) = subscription.plan_id else { continue };
        if !Plan::find(&mut rows, clinic, plan).await?.limits.contains_key(&asked.feature) {
            continue;
        }
        let used = usage::of_feature(&mut rows, clinic, &subscription, &asked.feature).await?;
        let remaining = used.limit.map(|limit| limit - used.used);
        if remaining.is_none_or(|left| left > 0) {
            let subscription_id = Some(subscription.subscription_id);
            return Ok(Json(Coverage { is_covered: true, subscription_id, remaining }));
        }
    }
    Ok(Json(Coverage { is_covered: false, subscription_id: None, remaining: None }))
}
