//! The counts as Prometheus reads them: the same rows that the answers are made of.

use metrics::{describe_gauge, gauge};
use storage::db::{Db, Result};

use crate::counts::{everywhere, position};

/// Metrics whose kinds are few and known: currencies, levels of urgency, words of physicians.
const BY_KIND: [&str; 9] = [
    "received_minor",
    "refunded_minor",
    "disputed_minor",
    "issued_minor",
    "paid_minor",
    "closed_minor",
    "payments",
    "assessments",
    "reviews",
];

/// Brings the gauges up to date, before each `/metrics`: what was ever counted in all clinics together.
///
/// # Errors
///
/// Those of the database.
pub async fn measure(db: &Db) -> Result<()> {
    describe_gauge!("medilink_analytics", "What analytics has counted since ever, in all clinics");
    describe_gauge!(
        "medilink_analytics_position",
        "The position of the last event that analytics has counted"
    );
    let mut rows = db.read().await?;
    for sum in everywhere(&mut rows, &BY_KIND).await? {
        gauge!("medilink_analytics", "metric" => sum.metric, "kind" => sum.dimension).set(sum.amount as f64);
    }
    gauge!("medilink_analytics_position").set(position(&mut rows).await? as f64);
    Ok(())
}
