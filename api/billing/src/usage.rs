//! What is used of a subscription, feature by feature, within what its plan allows in a period.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, SubscriptionId};
use storage::db::{Conn, DbError, FromRow, Result, Row, Tx, sql};
use uuid::Uuid;

use crate::plan::Plan;
use crate::subscription::Subscription;

/// Why something used was not counted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsageError {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error("the subscription does not run")]
    NotRunning,
    #[error("{used} of {limit} are used in this period")]
    AboveLimit { used: i64, limit: i64 },
}

/// What was used of a feature in a period, and how much may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// The feature.
    pub feature: String,
    /// How much was used.
    pub used: i64,
    /// How much may be; `None`: without bound.
    pub limit: Option<i64>,
}

impl FromRow for Used {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { feature: row.get("feature")?, used: row.get("used")?, limit: None })
    }
}

/// Counts `quantity` of `feature`; under a `key` that was told before nothing is counted again. The caller holds the
/// subscription's row.
pub(crate) async fn count(
    db: &mut Tx,
    clinic: ClinicId,
    held: &Subscription,
    feature: &str,
    quantity: i64,
    key: &str,
    now: DateTime<Utc>,
) -> std::result::Result<Used, UsageError> {
    let before = of_feature(db, clinic, held, feature).await?;
    let known =
        "SELECT count(*) FROM usage_records WHERE subscription_id = $2 AND usage_key = $3 AND clinic_id = $1";
    let known: i64 = sql(known).bind(clinic).bind(held.subscription_id).bind(key).fetch_one(db).await?;
    if known > 0 {
        return Ok(before);
    }
    if !held.status.covers() {
        return Err(UsageError::NotRunning);
    }
    let used = before.used.saturating_add(quantity);
    if let Some(limit) = before.limit.filter(|limit| used > *limit) {
        return Err(UsageError::AboveLimit { used: before.used, limit });
    }
    sql("INSERT INTO usage_records (usage_id, clinic_id, subscription_id, feature, quantity, usage_key, used_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)")
        .bind(Uuid::now_v7())
        .bind(clinic)
        .bind(held.subscription_id)
        .bind(feature)
        .bind(quantity)
        .bind(key)
        .bind(now)
        .execute(db)
        .await?;
    Ok(Used { used, ..before })
}

/// What was used of one feature in the subscription's period.
pub(crate) async fn of_feature(
    db: &mut Conn,
    clinic: ClinicId,
    subscription: &Subscription,
    feature: &str,
) -> Result<Used> {
    let sum = "SELECT CAST(COALESCE(SUM(quantity), 0) AS BIGINT) FROM usage_records
                WHERE subscription_id = $2 AND feature = $3 AND used_at >= $4 AND used_at < $5 AND clinic_id = $1";
    let used: i64 = sql(sum)
        .bind(clinic)
        .bind(subscription.subscription_id)
        .bind(feature)
        .bind(subscription.period_start)
        .bind(subscription.period_end)
        .fetch_one(db)
        .await?;
    let limit = match subscription.plan_id {
        Some(plan) => Plan::find(db, clinic, plan).await?.limits.get(feature).copied(),
        None => None,
    };
    Ok(Used { feature: feature.to_owned(), used, limit })
}

/// What was used of every feature in the subscription's period, those that the plan bounds and nobody used included.
pub(crate) async fn of_period(
    db: &mut Conn,
    clinic: ClinicId,
    subscription: &Subscription,
) -> Result<Vec<Used>> {
    let sums = "SELECT feature, CAST(SUM(quantity) AS BIGINT) AS used FROM usage_records
                 WHERE subscription_id = $2 AND used_at >= $3 AND used_at < $4 AND clinic_id = $1
                 GROUP BY feature ORDER BY feature LIMIT 1000";
    let id: SubscriptionId = subscription.subscription_id;
    let mut found: Vec<Used> = sql(sums)
        .bind(clinic)
        .bind(id)
        .bind(subscription.period_start)
        .bind(subscription.period_end)
        .fetch_all(db)
        .await?;
    let Some(plan) = subscription.plan_id else { return Ok(found) };
    for (feature, limit) in Plan::find(db, clinic, plan).await?.limits {
        match found.iter_mut().find(|it| it.feature == feature) {
            Some(used) => used.limit = Some(limit),
            None => found.push(Used { feature, used: 0, limit: Some(limit) }),
        }
    }
    Ok(found)
}
