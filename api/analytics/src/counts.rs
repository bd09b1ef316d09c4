//! Reading what was counted.
//!
//! What was read is kept until the next event is counted, in bounded memory: a dashboard asks the same again and again.

use std::sync::Arc;

use clinical::id::ClinicId;
use clinical::person::Sex;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use storage::db::{Conn, FromRow, Result, Row, Statement, built_sql, sql};

use crate::bucket::{ALL_TIME, BIRTH, Buckets, DAY, Pieces, QUARTER, UNKNOWN_BIRTH};
use crate::keep::Place;
use crate::period::Span;

/// So many sums, spans and metrics are kept, up to about 150 bytes each.
const KEPT: u64 = 100_000;

/// The set of numbers that is shown.
const CURRENT: &str = "(SELECT generation FROM analytics_generations WHERE is_current)";

/// How much of a metric, of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sum {
    pub metric: String,
    pub dimension: String,
    pub amount: i64,
}

impl FromRow for Sum {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { metric: row.get("metric")?, dimension: row.get("dimension")?, amount: row.get("amount")? })
    }
}

/// What was counted of some metrics, by metric and kind; nothing that is zero.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sums(Vec<Sum>);

impl Sums {
    /// All of a metric.
    pub fn of(&self, metric: &str) -> i64 {
        self.kinds(metric).map(|(_, amount)| amount).sum()
    }

    /// What of a metric is of one kind.
    pub fn of_kind(&self, metric: &str, dimension: &str) -> i64 {
        self.kinds(metric).find(|(kind, _)| *kind == dimension).map_or(0, |(_, amount)| amount)
    }

    /// The kinds of a metric, in the order of their names.
    pub fn kinds<'s>(&'s self, metric: &str) -> impl Iterator<Item = (&'s str, i64)> {
        let of_metric = self.0.iter().filter(move |sum| sum.metric == metric);
        of_metric.map(|sum| (sum.dimension.as_str(), sum.amount))
    }
}

/// So many spans are read with one statement.
const SPANS: usize = 48;

/// What was asked for, and how far the numbers were then.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Question {
    place: Place,
    clinic: ClinicId,
    metrics: Vec<&'static str>,
    spans: Vec<Span>,
}

#[derive(Clone)]
struct Rows;

impl Weighter<Question, Arc<Vec<Sums>>> for Rows {
    fn weight(&self, question: &Question, each: &Arc<Vec<Sums>>) -> u64 {
        let sums: usize = each.iter().map(|Sums(sums)| sums.len()).sum();
        (1 + question.metrics.len() + question.spans.len() + sums) as u64
    }
}

/// What was counted, as it was read last.
#[derive(Clone)]
pub(crate) struct Counts(Arc<Cache<Question, Arc<Vec<Sums>>, Rows>>);

impl Default for Counts {
    fn default() -> Self {
        Self(Arc::new(Cache::with_weighter(1_000, KEPT, Rows)))
    }
}

impl Counts {
    /// What was counted of `metrics`, which are words of ours, within each of `spans`, in their order. `place` was read
    /// before: what is counted meanwhile may be in the sums, but all that is in the numbers there is.
    pub async fn within_each(
        &self,
        db: &mut Conn,
        place: Place,
        clinic: ClinicId,
        metrics: &[&'static str],
        spans: &[Span],
    ) -> Result<Arc<Vec<Sums>>> {
        let question = Question { place, clinic, metrics: metrics.to_vec(), spans: spans.to_vec() };
        if let Some(kept) = self.0.get(&question) {
            return Ok(kept);
        }
        let read = Arc::new(within_each(db, clinic, metrics, spans).await?);
        self.0.insert(question, Arc::clone(&read));
        Ok(read)
    }
}

/// What was counted within one of some spans.
struct Within {
    span: i64,
    sum: Sum,
}

impl FromRow for Within {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { span: row.get("span")?, sum: Sum::from_row(row)? })
    }
}

async fn within_each(
    db: &mut Conn,
    clinic: ClinicId,
    metrics: &[&'static str],
    spans: &[Span],
) -> Result<Vec<Sums>> {
    let mut all = Vec::with_capacity(spans.len());
    for some in spans.chunks(SPANS) {
        let mut sums: Vec<Sums> = some.iter().map(|_| Sums::default()).collect();
        let statement =
            some.iter().fold(built_sql(text_of(metrics, some.len())).bind(clinic), |statement, span| {
                let Pieces { days, before, after } = Pieces::of(*span);
                let bound =
                    |statement: Statement, Buckets { first, end }: Buckets| statement.bind(first).bind(end);
                [days, before, after].into_iter().fold(statement, bound)
            });
        let found: Vec<Within> = statement.fetch_all(db).await?;
        for Within { span, sum } in found {
            if let Some(Sums(sums)) = usize::try_from(span).ok().and_then(|span| sums.get_mut(span)) {
                sums.push(sum);
            }
        }
        all.append(&mut sums);
    }
    Ok(all)
}

/// The statement for so many spans: the clinic, and of each span the bounds of its days and of the quarters before and
/// after them.
fn text_of(metrics: &[&'static str], spans: usize) -> String {
    let part = |number: usize| {
        let (span, grain) = (number / 3, if number.is_multiple_of(3) { DAY } else { QUARTER });
        let first = 2 + 2 * number;
        format!(
            "SELECT CAST({span} AS BIGINT) AS span, metric, dimension, amount FROM analytics_counts
              WHERE clinic_id = $1 AND generation = {CURRENT} AND metric IN ('{}')
                AND grain = {grain} AND bucket >= ${first} AND bucket < ${}",
            metrics.join("', '"),
            first + 1
        )
    };
    let parts: Vec<String> = (0..3 * spans).map(part).collect();
    format!(
        "SELECT span, metric, dimension, CAST(SUM(amount) AS BIGINT) AS amount
           FROM ({}) AS parts
          GROUP BY span, metric, dimension HAVING SUM(amount) <> 0 ORDER BY span, metric, dimension",
        parts.join(" UNION ALL ")
    )
}

/// What was ever counted of `metrics`, which are words of ours.
pub(crate) async fn ever(db: &mut Conn, clinic: ClinicId, metrics: &[&'static str]) -> Result<Sums> {
    built_sql(format!(
        "SELECT metric, dimension, amount FROM analytics_counts
          WHERE clinic_id = $1 AND generation = {CURRENT} AND metric IN ('{}')
            AND grain = {ALL_TIME} AND bucket = 0 AND amount <> 0 ORDER BY metric, dimension",
        metrics.join("', '")
    ))
    .bind(clinic)
    .fetch_all(db)
    .await
    .map(Sums)
}

/// So many persons of a sex within a group of ages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct People {
    pub sex: Sex,
    /// The place of the group among those asked for; `None` where the day of birth is unknown.
    pub group: Option<usize>,
    pub count: i64,
}

struct PeopleRow {
    sex: String,
    group: i64,
    count: i64,
}

impl FromRow for PeopleRow {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { sex: row.get("sex")?, group: row.get("age_group")?, count: row.get("people")? })
    }
}

/// The clinic's patients by sex and age: the first group are those born on `youngest[0]` or later, the next those born
/// on `youngest[1]` or later of the others, and so on; the last are all who are older. Days count from 1970.
pub(crate) async fn people(db: &mut Conn, clinic: ClinicId, youngest: [i64; 4]) -> Result<Vec<People>> {
    let text = format!(
        "SELECT dimension AS sex, CAST(SUM(amount) AS BIGINT) AS people,
                CAST(CASE WHEN bucket = {UNKNOWN_BIRTH} THEN -1 WHEN bucket >= $2 THEN 0 WHEN bucket >= $3 THEN 1
                          WHEN bucket >= $4 THEN 2 WHEN bucket >= $5 THEN 3 ELSE 4 END AS BIGINT) AS age_group
           FROM analytics_counts
          WHERE clinic_id = $1 AND generation = {CURRENT} AND metric = 'born' AND grain = {BIRTH}
          GROUP BY 1, 3 HAVING SUM(amount) <> 0 ORDER BY 1, 3"
    );
    let bound = |statement: Statement, day: i64| statement.bind(day);
    let statement = youngest.into_iter().fold(built_sql(text).bind(clinic), bound);
    let rows: Vec<PeopleRow> = statement.fetch_all(db).await?;
    let person = |row: PeopleRow| People {
        sex: [Sex::Male, Sex::Female, Sex::Other]
            .into_iter()
            .find(|sex| sex.as_str() == row.sex)
            .unwrap_or(Sex::Unknown),
        group: usize::try_from(row.group).ok(),
        count: row.count,
    };
    Ok(rows.into_iter().map(person).collect())
}

/// What was ever counted in all clinics together, for Prometheus; kinds are summed up but those of `by_kind`.
pub(crate) async fn everywhere(db: &mut Conn, by_kind: &[&'static str]) -> Result<Vec<Sum>> {
    built_sql(format!(
        "SELECT metric, dimension, CAST(SUM(amount) AS BIGINT) AS amount
           FROM (SELECT metric, CASE WHEN metric IN ('{}') THEN dimension ELSE '' END AS dimension, amount
                   FROM analytics_counts
                  WHERE generation = {CURRENT} AND grain = {ALL_TIME} AND metric NOT IN ('physicians', 'events')) AS all_time
          GROUP BY metric, dimension ORDER BY metric, dimension",
        by_kind.join("', '")
    ))
    .fetch_all(db)
    .await
}

/// How many events are in the numbers that are shown: the position of the last.
pub(crate) async fn position(db: &mut Conn) -> Result<i64> {
    sql("SELECT position FROM analytics_generations WHERE is_current").fetch_one(db).await
}
