//! `/api/v1/billing/plans`.

use std::collections::BTreeMap;

use axum::extract::State;
use clinical::id::PlanId;
use clinical::invalid::{Invalid, invalid, line, note};
use clinical::money::Money;
use gate::{App, Caller, Cursor, Json, Paged, Path, Problem};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::card_number::Body;
use crate::input;
use crate::lines::{MOST_MINOR, WHOLE};
use crate::period::PeriodUnit;
use crate::plan::Plan;
use crate::settings::{BillingSettings, usual_currency};
use crate::view::PlanView;

/// A plan bounds so many features at most.
const MOST_LIMITS: usize = 50;

/// A plan that is to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PlanRequest {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    #[schema(max_length = 4_000)]
    description: Option<String>,
    /// What a period costs without tax, in minor units; zero costs nothing.
    #[schema(minimum = 0)]
    amount: i64,
    /// Left out, the clinic's own.
    currency: Option<String>,
    /// In hundredths of a per cent; left out, the clinic's own.
    #[schema(minimum = 0, maximum = 10_000)]
    tax_rate: Option<i64>,
    /// In what a period is counted.
    #[serde(default = "month")]
    interval: PeriodUnit,
    /// How many of them a period has.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 366)]
    interval_count: i64,
    /// So many days cost nothing at first.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 730)]
    trial_days: i64,
    /// So much of a feature may be used in a period, as `{"video_consultation": 4}`.
    #[serde(default)]
    limits: BTreeMap<String, i64>,
}

fn month() -> PeriodUnit {
    PeriodUnit::Month
}

fn one() -> i64 {
    1
}

impl PlanRequest {
    fn faults(&self) -> Vec<Invalid> {
        let mut faults = Vec::new();
        faults.extend(line("name", &self.name, 200).err());
        faults.extend(note("description", self.description.as_ref()).err());
        let bounds = [
            ("amount", self.amount, 0, MOST_MINOR, "is zero or above, and not too large"),
            ("intervalCount", self.interval_count, 1, 366, "is 1 to 366"),
            ("trialDays", self.trial_days, 0, 730, "is 0 to 730"),
            ("taxRate", self.tax_rate.unwrap_or(0), 0, WHOLE, "is 0 to 10,000 hundredths of a per cent"),
        ];
        for (member, value, least, most, rule) in bounds {
            if !(least..=most).contains(&value) {
                faults.push(invalid(member, rule));
            }
        }
        let are_limits = self.limits.iter().all(|(name, most)| feature(name).is_ok() && *most >= 0);
        if self.limits.len() > MOST_LIMITS || !are_limits {
            faults.push(invalid("limits", "are at most 50 names of features with numbers from zero on"));
        }
        faults
    }
}

/// Holds the name of a feature to 1 to 64 letters, digits, hyphens and underscores.
pub(crate) fn feature(name: &str) -> Result<(), Invalid> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=64).contains(&name.len()) && name.bytes().all(is_plain) {
        return Ok(());
    }
    Err(invalid("feature", "is 1 to 64 letters, digits, hyphens and underscores"))
}

/// `POST /api/v1/billing/plans`
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(request): Body<PlanRequest>,
) -> Result<(StatusCode, Json<PlanView>), Problem> {
    let faults = request.faults();
    if !faults.is_empty() {
        return Err(Problem::invalid("invalid-plan", faults));
    }
    let (clinic, now) = (caller.clinic, app.clock.now());
    let mut tx = app.db.of(clinic).begin().await?;
    let currency = match &request.currency {
        Some(code) => input::currency(code)?,
        None => usual_currency(&mut tx, clinic).await?,
    };
    let tax_rate = match request.tax_rate {
        Some(rate) => rate,
        None => BillingSettings::of(&mut tx, clinic).await?.tax_rate,
    };
    let plan = Plan {
        plan_id: PlanId::new(),
        name: request.name,
        description: request.description,
        price: Money::new(request.amount, currency),
        tax_rate,
        unit: request.interval,
        count: request.interval_count,
        trial_days: request.trial_days,
        limits: request.limits,
        is_active: true,
        created_at: now,
    };
    plan.put(&mut tx, clinic, now).await?;
    caller.about_record(plan.plan_id);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(plan.into())))
}

/// `GET /api/v1/billing/plans`
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
) -> Result<Paged<PlanView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let found = Plan::list(&mut rows, caller.clinic, page.after, page.rows()).await?;
    Ok(page.of_rows(found, |it| it.plan_id.0).map(PlanView::from))
}

/// `GET /api/v1/billing/plans/{planId}`
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<PlanId>,
) -> Result<Json<PlanView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    Ok(Json(Plan::find(&mut rows, caller.clinic, id).await?.into()))
}

/// What becomes different of a plan; its price never does, for who has subscribed has agreed to it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PlanChange {
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    #[schema(max_length = 4_000)]
    description: Option<String>,
    /// Whether somebody may still subscribe.
    is_active: Option<bool>,
}

/// `PATCH /api/v1/billing/plans/{planId}`
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<PlanId>,
    Body(change): Body<PlanChange>,
) -> Result<Json<PlanView>, Problem> {
    let mut faults = Vec::new();
    faults.extend(change.name.as_ref().and_then(|name| line("name", name, 200).err()));
    faults.extend(note("description", change.description.as_ref()).err());
    if !faults.is_empty() {
        return Err(Problem::invalid("invalid-plan", faults));
    }
    put(&app, &caller, id, |plan| {
        plan.name = change.name.unwrap_or(std::mem::take(&mut plan.name));
        plan.description = change.description.or(plan.description.take());
        plan.is_active = change.is_active.unwrap_or(plan.is_active);
    })
    .await
}

/// `DELETE /api/v1/billing/plans/{planId}`: nobody can subscribe any more; who has goes on.
pub(crate) async fn close(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<PlanId>,
) -> Result<Json<PlanView>, Problem> {
    put(&app, &caller, id, |plan| plan.is_active = false).await
}

async fn put(
    app: &App,
    caller: &Caller,
    id: PlanId,
    change: impl FnOnce(&mut Plan),
) -> Result<Json<PlanView>, Problem> {
    let mut tx = app.db.of(caller.clinic).begin().await?;
    let mut plan = Plan::find(&mut tx, caller.clinic, id).await?;
    change(&mut plan);
    plan.put(&mut tx, caller.clinic, app.clock.now()).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(Json(plan.into()))
}
