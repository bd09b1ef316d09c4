//! Some events on their way into the numbers: read with what is kept of their records, added up, written.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, NaiveDate};
use clinical::id::{ClinicId, PatientId};
use serde_json::{Value, json};
use storage::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};
use storage::outbox;
use storage::records::patient::Patient;
use uuid::Uuid;

use crate::bucket::BIRTH;
use crate::fold::{Facts, Key, Ledger, Person, records_of};
use crate::keep::Place;
use crate::tally::Line;

/// So many events go in with one transaction.
const EVENTS: i64 = 500;
/// So many rows stand in one statement.
const ROWS: usize = 400;
/// The days from the beginning of the common era to 1970.
const DAYS_TO_1970: i64 = 719_163;

/// Some events, added up.
pub(crate) struct Batch {
    ledger: Ledger,
    /// So many events.
    pub events: u64,
    /// The position of the last of them; `None` where there are none.
    pub last: Option<i64>,
    /// Whether there were no more when they were read.
    pub is_all: bool,
}

impl Batch {
    /// The events behind `place` and not behind `until`, as many as go in at once.
    pub async fn read(db: &mut Conn, place: Place, until: i64) -> Result<Self> {
        let told = outbox::up_to(db, place.position, until, EVENTS).await?;
        let mut ledger = Ledger::default();
        let mut records = BTreeMap::<ClinicId, BTreeSet<Uuid>>::new();
        for told in &told {
            records.entry(told.clinic_id).or_default().extend(records_of(&told.event));
        }
        for (clinic, ids) in records {
            let ids: Vec<Uuid> = ids.into_iter().collect();
            for some in ids.chunks(ROWS) {
                ledger.facts.extend(facts(db, place.generation, clinic, some).await?);
            }
        }
        let mut patients = BTreeMap::<ClinicId, BTreeSet<PatientId>>::new();
        for told in &told {
            patients.entry(told.clinic_id).or_default().extend(ledger.asks_for(told));
        }
        for (clinic, ids) in patients {
            let ids: Vec<PatientId> = ids.into_iter().collect();
            for some in ids.chunks(ROWS) {
                let found = Patient::find_all(db, clinic, some).await?;
                ledger.people.extend(found.iter().map(|found| ((clinic, found.patient_id), person(found))));
            }
        }
        told.iter().for_each(|told| ledger.fold(told));
        let last = told.last().and_then(|told| told.position);
        let is_all = (told.len() as i64) < EVENTS || last == Some(until);
        Ok(Self { ledger, events: told.len() as u64, last, is_all })
    }

    /// Writes it; the caller holds the generation's row, which is where the events were read from.
    pub async fn write(&self, tx: &mut Tx, generation: i64) -> Result<()> {
        let lines: Vec<(&Line, i64)> = self.ledger.tally.lines().collect();
        for some in lines.chunks(ROWS) {
            add(tx, generation, some).await?;
        }
        for (line, _) in lines.iter().filter(|(line, amount)| line.grain == BIRTH && *amount < 0) {
            forget_birth(tx, generation, line).await?;
        }
        let changed: Vec<(&Key, &Facts)> =
            self.ledger.changed.iter().filter_map(|key| Some((key, self.ledger.facts.get(key)?))).collect();
        for some in changed.chunks(ROWS) {
            keep(tx, generation, some).await?;
        }
        let update = "UPDATE analytics_generations SET position = $2 WHERE generation = $1";
        sql(update).bind(generation).bind(self.last).execute(tx).await.map(|_| ())
    }
}

struct Kept(ClinicId, Uuid, Facts);

impl FromRow for Kept {
    fn from_row(row: &Row) -> Result<Self> {
        let facts: Value = row.get("facts")?;
        let facts = serde_json::from_value(facts)
            .map_err(|_| DbError::Corrupt("analytics_records.facts".to_owned()))?;
        Ok(Self(row.id("clinic_id")?, row.get("record_id")?, facts))
    }
}

/// `rows` rows of `columns` arguments each, as SQL lists them behind VALUES.
fn places(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let places: Vec<String> =
            (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", places.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

async fn facts(db: &mut Conn, generation: i64, clinic: ClinicId, ids: &[Uuid]) -> Result<Vec<(Key, Facts)>> {
    let places: Vec<String> = (3..ids.len() + 3).map(|place| format!("${place}")).collect();
    let select = built_sql(format!(
        "SELECT clinic_id, record_id, facts FROM analytics_records
          WHERE clinic_id = $1 AND generation = $2 AND record_id IN ({})",
        places.join(", ")
    ));
    let select = ids.iter().fold(select.bind(clinic).bind(generation), |select, id| select.bind(*id));
    let kept: Vec<Kept> = select.fetch_all(db).await?;
    Ok(kept.into_iter().map(|Kept(clinic, id, facts)| ((clinic, id), facts)).collect())
}

/// Who a patient is now.
fn person(patient: &Patient) -> Person {
    Person { sex: patient.demographics.sex, born: patient.demographics.birth_date.map(day_number) }
}

/// A day, counted from 1970.
pub(crate) fn day_number(day: NaiveDate) -> i64 {
    i64::from(day.num_days_from_ce()) - DAYS_TO_1970
}

async fn add(tx: &mut Tx, generation: i64, lines: &[(&Line, i64)]) -> Result<()> {
    let insert = built_sql(format!(
        "INSERT INTO analytics_counts (clinic_id, generation, metric, grain, bucket, dimension, amount) VALUES {}
         ON CONFLICT (clinic_id, generation, metric, grain, bucket, dimension)
         DO UPDATE SET amount = analytics_counts.amount + excluded.amount",
        places(lines.len(), 7)
    ));
    let insert = lines.iter().fold(insert, |insert, (line, amount)| {
        let insert = insert.bind(line.clinic).bind(generation).bind(line.metric).bind(line.grain);
        insert.bind(line.bucket).bind(&line.dimension).bind(*amount)
    });
    insert.execute(tx).await.map(|_| ())
}

/// Of a birthday that nobody has any more no line stays, not even an empty one: it was an erased patient's.
async fn forget_birth(tx: &mut Tx, generation: i64, line: &Line) -> Result<()> {
    let delete = "DELETE FROM analytics_counts
                   WHERE clinic_id = $1 AND generation = $2 AND metric = $3 AND grain = $4 AND bucket = $5
                     AND dimension = $6 AND amount = 0";
    let delete = sql(delete).bind(line.clinic).bind(generation).bind(line.metric).bind(line.grain);
    delete.bind(line.bucket).bind(&line.dimension).execute(tx).await.map(|_| ())
}

async fn keep(tx: &mut Tx, generation: i64, changed: &[(&Key, &Facts)]) -> Result<()> {
    let insert = built_sql(format!(
        "INSERT INTO analytics_records (clinic_id, generation, record_id, facts) VALUES {}
         ON CONFLICT (clinic_id, generation, record_id) DO UPDATE SET facts = excluded.facts",
        places(changed.len(), 4)
    ));
    let insert = changed.iter().fold(insert, |insert, ((clinic, id), facts)| {
        insert.bind(*clinic).bind(generation).bind(*id).bind(json!(facts))
    });
    insert.execute(tx).await.map(|_| ())
}
