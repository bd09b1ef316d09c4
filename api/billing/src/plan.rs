//! A plan: what a subscription costs, how often, and what may be used for it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, PlanId};
use clinical::money::{Currency, Money};
use storage::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};
use uuid::Uuid;

use crate::period::{Period, PeriodUnit};

/// A stored plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Our identifier.
    pub plan_id: PlanId,
    /// What people call it.
    pub name: String,
    /// More in words.
    pub description: Option<String>,
    /// What a period costs without tax.
    pub price: Money,
    /// In hundredths of a per cent.
    pub tax_rate: i64,
    /// In what its periods are counted.
    pub unit: PeriodUnit,
    /// How many of them a period has.
    pub count: i64,
    /// So many days cost nothing at first.
    pub trial_days: i64,
    /// So much of a feature may be used in a period; one that is not there, without bound.
    pub limits: BTreeMap<String, i64>,
    /// Whether somebody may still subscribe.
    pub is_active: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

const COLUMNS: &str =
    "plan_id, name, description, currency, amount_minor, tax_rate, period_unit, period_count, trial_days,
    limits, is_active, created_at";

impl FromRow for Plan {
    fn from_row(row: &Row) -> Result<Self> {
        let currency: Currency = row.parse("currency")?;
        let limits = serde_json::from_value(row.get("limits")?);
        Ok(Self {
            plan_id: row.id("plan_id")?,
            name: row.get("name")?,
            description: row.get("description")?,
            price: Money::new(row.get("amount_minor")?, currency),
            tax_rate: row.get("tax_rate")?,
            unit: row.parse("period_unit")?,
            count: row.get("period_count")?,
            trial_days: row.get("trial_days")?,
            limits: limits.map_err(|_| DbError::Corrupt("plans.limits".to_owned()))?,
            is_active: row.get("is_active")?,
            created_at: row.get("created_at")?,
        })
    }
}

impl Plan {
    /// How long a period is.
    pub fn period(&self) -> Period {
        Period { unit: self.unit, count: u32::try_from(self.count).unwrap_or(1).max(1) }
    }

    /// Writes it, or what may change of it: its words and whether somebody may still subscribe.
    pub(crate) async fn put(&self, db: &mut Tx, clinic: ClinicId, now: DateTime<Utc>) -> Result<()> {
        let upsert = "INSERT INTO plans (clinic_id, plan_id, name, description, currency, amount_minor, tax_rate,
                             period_unit, period_count, trial_days, limits, is_active, created_at, changed_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
                      ON CONFLICT (plan_id) DO UPDATE SET name = excluded.name, description = excluded.description,
                             is_active = excluded.is_active, changed_at = excluded.changed_at";
        sql(upsert)
            .bind(clinic)
            .bind(self.plan_id)
            .bind(&self.name)
            .bind(self.description.clone())
            .bind(self.price.currency.code())
            .bind(self.price.minor)
            .bind(self.tax_rate)
            .bind(self.unit.as_str())
            .bind(self.count)
            .bind(self.trial_days)
            .bind(serde_json::json!(self.limits))
            .bind(self.is_active)
            .bind(self.created_at)
            .bind(now)
            .execute(db)
            .await
            .map(|_| ())
    }

    /// One plan of one clinic.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when the clinic has none of that identifier.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: PlanId) -> Result<Self> {
        let text = format!("SELECT {COLUMNS} FROM plans WHERE clinic_id = $1 AND plan_id = $2");
        built_sql(text).bind(clinic).bind(id).fetch_one(db).await
    }

    /// The clinic's, newest first, from before `after` on.
    pub(crate) async fn list(
        db: &mut Conn,
        clinic: ClinicId,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        let text = format!(
            "SELECT {COLUMNS} FROM plans WHERE clinic_id = $1 AND plan_id < $3 ORDER BY plan_id DESC LIMIT $2"
        );
        built_sql(text).bind(clinic).bind(limit).bind(after.unwrap_or(Uuid::max())).fetch_all(db).await
    }
}
