//! Keeping the counts: events go in once each, in their order, whoever brings them and however often.
//!
//! The position of the last event that is in the numbers is a row, which changes in the transaction that writes the
//! numbers. What is counted anew has a row of its own, and takes the place of the other once both are as far.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chrono::{Datelike, NaiveDate};
use clinical::id::{ClinicId, PatientId};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use storage::db::{Conn, Db, DbError, FromRow, Result, Row, Tx, built_sql, sql};
use storage::outbox::{self, HearError, Listener, Told};
use storage::records::patient::Patient;
use uuid::Uuid;

use crate::fold::{Facts, Key, Ledger, Person, counts, patients_of, records_of};
use crate::tally::Line;

/// So many events go in with one transaction.
const BATCH: i64 = 500;
/// So many rows stand in one statement.
const ROWS: usize = 400;
/// A listener that has more to catch up with than fits this time is told the rest again.
const PATIENCE: Duration = Duration::from_secs(10);
/// The days from the beginning of the common era to 1970.
const DAYS_TO_1970: i64 = 719_163;

/// The listener that counts.
pub struct Counter {
    db: Db,
}

impl Counter {
    /// Counts in `db`, every clinic.
    pub fn new(db: Db) -> Self {
        Self { db }
    }
}

impl Listener for Counter {
    fn name(&self) -> &'static str {
        "analytics"
    }

    fn hears(&self, told: &Told) -> bool {
        counts(&told.event)
    }

    fn hear<'a>(&'a self, told: &'a [Told]) -> BoxFuture<'a, std::result::Result<(), HearError>> {
        Box::pin(async move {
            let Some(until) = told.last().and_then(|told| told.position) else { return Ok(()) };
            let started = Instant::now();
            while step(&self.db, Generation::Current, until).await.map_err(HearError::new)? > 0 {
                if started.elapsed() > PATIENCE {
                    return Err(HearError::new("there is more to count than fits one hearing"));
                }
            }
            Ok(())
        })
    }
}

/// Counts what was told and is not counted yet; how many events that were.
///
/// # Errors
///
/// Those of the database; what is counted stays so.
pub async fn catch_up(db: &Db) -> Result<u64> {
    let mut counted = 0;
    loop {
        match step(db, Generation::Current, i64::MAX).await? {
            0 => return Ok(counted),
            some => counted += some,
        }
    }
}

/// What a recount has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    /// So many events were counted anew.
    pub events: u64,
    /// So many lines there are.
    pub lines: i64,
    /// So many of them, or of those before, were not the same in both.
    pub differing: i64,
}

/// Counts everything anew from the events, beside what is shown, and shows it when it is whole. What is told meanwhile
/// is in both.
///
/// # Errors
///
/// Those of the database; [`DbError::NotFound`] where another recount has taken the place of this one. What is shown
/// stays until the end.
pub async fn rebuild(db: &Db) -> Result<Rebuilt> {
    let number = begin_anew(db).await?;
    let mut events = 0;
    loop {
        match step(db, Generation::Number(number), i64::MAX).await? {
            0 => break,
            some => events += some,
        }
    }
    let mut tx = db.begin().await?;
    let current = Generation::Current.lock(&mut tx).await?;
    let anew = Generation::Number(number).lock(&mut tx).await?;
    let furthest = current.position.max(anew.position);
    for behind in [&current, &anew] {
        let mut place = *behind;
        loop {
            let batch = Batch::read(&mut tx, place, furthest).await?;
            let Some(position) = batch.last else { break };
            events += if place.generation == number { batch.events } else { 0 };
            batch.write(&mut tx, place.generation).await?;
            place.position = position;
        }
    }
    let rebuilt = compare(&mut tx, current.generation, number, events).await?;
    let swap = "UPDATE analytics_generations SET is_current = (generation = $1) WHERE generation IN ($1, $2)";
    sql(swap).bind(number).bind(current.generation).execute(&mut tx).await?;
    tx.commit().await?;
    remove(db, current.generation).await?;
    Ok(rebuilt)
}

/// Takes in the next events up to `until`; how many that were.
async fn step(db: &Db, which: Generation, until: i64) -> Result<u64> {
    // Whatever is read here was true of this position; a transaction that finds another begins again.
    loop {
        let mut read = db.read().await?;
        let place = which.find(&mut read, "").await?;
        let batch = Batch::read(&mut read, place, until).await?;
        drop(read);
        if batch.last.is_none() {
            return Ok(0);
        }
        let mut tx = db.begin().await?;
        if which.lock(&mut tx).await? != place {
            continue;
        }
        batch.write(&mut tx, place.generation).await?;
        tx.commit().await?;
        return Ok(batch.events);
    }
}

/// Which set of numbers.
#[derive(Debug, Clone, Copy)]
enum Generation {
    /// The one that is shown.
    Current,
    /// One that is being made.
    Number(i64),
}

/// How far a set of numbers is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    generation: i64,
    position: i64,
}

impl FromRow for Place {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { generation: row.get("generation")?, position: row.get("position")? })
    }
}

impl Generation {
    async fn find(self, db: &mut Conn, lock: &str) -> Result<Place> {
        let (clause, number) = match self {
            Self::Current => ("is_current AND generation >= $1", 0),
            Self::Number(number) => ("NOT is_current AND generation = $1", number),
        };
        built_sql(format!("SELECT generation, position FROM analytics_generations WHERE {clause}{lock}"))
            .bind(number)
            .fetch_one(db)
            .await
    }

    /// Nobody else adds to it until the transaction ends.
    async fn lock(self, tx: &mut Tx) -> Result<Place> {
        let lock = tx.change_lock();
        self.find(tx, lock).await
    }
}

/// Some events, added up.
struct Batch {
    ledger: Ledger,
    events: u64,
    /// The position of the last of them; `None` where there are none.
    last: Option<i64>,
}

impl Batch {
    async fn read(db: &mut Conn, place: Place, until: i64) -> Result<Self> {
        let told = outbox::after(db, place.position, BATCH).await?;
        let told: Vec<Told> =
            told.into_iter().filter(|told| told.position.is_some_and(|position| position <= until)).collect();
        let mut ledger = Ledger::default();
        let (mut records, mut patients) = (BTreeMap::<ClinicId, BTreeSet<Uuid>>::new(), BTreeSet::new());
        for told in &told {
            records.entry(told.clinic_id).or_default().extend(records_of(&told.event));
            patients.extend(patients_of(&told.event).into_iter().map(|patient| (told.clinic_id, patient)));
        }
        for (clinic, ids) in records {
            let ids: Vec<Uuid> = ids.into_iter().collect();
            for some in ids.chunks(ROWS) {
                ledger.facts.extend(facts(db, place.generation, clinic, some).await?);
            }
        }
        for (clinic, patient) in patients {
            ledger.people.insert((clinic, patient), person(db, clinic, patient).await?);
        }
        told.iter().for_each(|told| ledger.fold(told));
        Ok(Self { ledger, events: told.len() as u64, last: told.last().and_then(|told| told.position) })
    }

    /// Writes it; the caller holds the generation's row, which is where the events were read from.
    async fn write(&self, tx: &mut Tx, generation: i64) -> Result<()> {
        let lines: Vec<(&Line, i64)> = self.ledger.tally.lines().collect();
        for some in lines.chunks(ROWS) {
            add(tx, generation, some).await?;
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

/// Who a patient is now; of one who is not there any more nothing is known.
async fn person(db: &mut Conn, clinic: ClinicId, patient: PatientId) -> Result<Person> {
    match Patient::find(db, clinic, patient).await {
        Ok(found) => {
            let born = found.demographics.birth_date.map(day_number);
            Ok(Person { sex: found.demographics.sex, born })
        }
        Err(DbError::NotFound) => Ok(Person::default()),
        Err(error) => Err(error),
    }
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

/// A new set of numbers, empty; one that was begun before and never ended is removed.
async fn begin_anew(db: &Db) -> Result<i64> {
    let begun = "SELECT generation, position FROM analytics_generations WHERE NOT is_current";
    let begun: Vec<Place> = sql(begun).fetch_all(&mut db.read().await?).await?;
    for place in begun {
        remove(db, place.generation).await?;
    }
    let mut tx = db.begin().await?;
    let number = Generation::Current.lock(&mut tx).await?.generation + 1;
    sql("INSERT INTO analytics_generations (generation, position, is_current) VALUES ($1, 0, $2)")
        .bind(number)
        .bind(false)
        .execute(&mut tx)
        .await?;
    tx.commit().await?;
    Ok(number)
}

/// Removes a set of numbers that is not shown: first the row by which it could be added to.
async fn remove(db: &Db, generation: i64) -> Result<()> {
    for delete in [
        "DELETE FROM analytics_generations WHERE generation = $1 AND NOT is_current",
        "DELETE FROM analytics_counts WHERE generation = $1",
        "DELETE FROM analytics_records WHERE generation = $1",
    ] {
        let mut tx = db.begin().await?;
        sql(delete).bind(generation).execute(&mut tx).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn compare(tx: &mut Tx, before: i64, anew: i64, events: u64) -> Result<Rebuilt> {
    let differing = "SELECT count(*) FROM
         (SELECT metric FROM analytics_counts WHERE generation IN ($1, $2)
           GROUP BY clinic_id, metric, grain, bucket, dimension
          HAVING SUM(CASE WHEN generation = $1 THEN amount ELSE -amount END) <> 0) AS differing";
    let lines = "SELECT count(*) FROM analytics_counts WHERE generation = $1 AND amount <> 0";
    Ok(Rebuilt {
        events,
        lines: sql(lines).bind(anew).fetch_one(tx).await?,
        differing: sql(differing).bind(before).bind(anew).fetch_one(tx).await?,
    })
}
