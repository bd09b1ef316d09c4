//! Counting everything anew, beside what is shown, without keeping others from the database for long.

use clinical::id::ClinicId;
use storage::db::{Conn, Db, FromRow, Result, Row, sql};

use crate::batch::Batch;
use crate::keep::{Generation, count_on};

/// So many rows are removed with one transaction, as its statements say themselves: PostgreSQL then looks each of them up.
const PIECE: u64 = 2_000;

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
/// Those of the database; [`DbError::NotFound`](storage::db::DbError::NotFound) where another recount has taken the place
/// of this one. What is shown stays until the end.
pub async fn rebuild(db: &Db) -> Result<Rebuilt> {
    let number = begin_anew(db).await?;
    let anew = Generation::Number(number);
    let mut events = count_on(db, anew, i64::MAX).await?;
    // A service beside may bring the one that is shown further before both are looked at.
    let compared = loop {
        let mut read = db.read().await?;
        let shown = Generation::Current.find(&mut read, "").await?;
        let furthest = shown.position.max(anew.find(&mut read, "").await?.position);
        drop(read);
        count_on(db, Generation::Current, furthest).await?;
        events += count_on(db, anew, furthest).await?;
        let compared = compare(&mut db.read().await?, shown.generation, number).await?;
        if compared.is_same_place {
            break compared;
        }
    };
    // Comparing takes its time: only what is told from here on is counted while others wait.
    events += count_on(db, anew, i64::MAX).await?;
    events += show(db, anew).await?;
    sweep(db).await?;
    look_over(db).await?;
    Ok(Rebuilt { events, lines: compared.lines, differing: compared.differing })
}

/// Has PostgreSQL look at how much there is now, not a minute later: what it believes to be small it reads whole.
async fn look_over(db: &Db) -> Result<()> {
    if db.engine() != "PostgreSQL" {
        return Ok(());
    }
    let mut tx = db.begin().await?;
    sql("ANALYZE analytics_counts").execute(&mut tx).await?;
    tx.commit().await
}

/// Shows a set of numbers in place of the one that is shown, once it is as far; how many events that took.
async fn show(db: &Db, anew: Generation) -> Result<u64> {
    let mut tx = db.begin().await?;
    let shown = Generation::Current.lock(&mut tx).await?;
    let mut place = anew.lock(&mut tx).await?;
    let mut events = 0;
    while place.position < shown.position {
        let batch = Batch::read(&mut tx, place, shown.position).await?;
        let Some(position) = batch.last else { break };
        batch.write(&mut tx, place.generation).await?;
        place.position = position;
        events += batch.events;
    }
    let swap = "UPDATE analytics_generations SET is_current = (generation = $1) WHERE generation IN ($1, $2)";
    sql(swap).bind(place.generation).bind(shown.generation).execute(&mut tx).await?;
    let remove = "DELETE FROM analytics_generations WHERE generation = $1";
    sql(remove).bind(shown.generation).execute(&mut tx).await?;
    tx.commit().await?;
    Ok(events)
}

/// A new set of numbers, empty; one that was begun before and never ended is removed.
async fn begin_anew(db: &Db) -> Result<i64> {
    let mut tx = db.begin().await?;
    sql("DELETE FROM analytics_generations WHERE NOT is_current").execute(&mut tx).await?;
    tx.commit().await?;
    // Whatever a recount has left that was killed would be added to.
    sweep(db).await?;
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

/// What a clinic has left in a set of numbers that is none any more.
struct Left {
    clinic: ClinicId,
    generation: i64,
}

impl FromRow for Left {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { clinic: row.id("clinic_id")?, generation: row.get("generation")? })
    }
}

/// Removes what belongs to no set of numbers, a piece at a time, so that nobody waits long for the writer.
async fn sweep(db: &Db) -> Result<()> {
    const LEFT: &str = "SELECT DISTINCT clinic_id, generation FROM analytics_counts
          WHERE generation NOT IN (SELECT generation FROM analytics_generations)
          UNION SELECT DISTINCT clinic_id, generation FROM analytics_records
          WHERE generation NOT IN (SELECT generation FROM analytics_generations)";
    // A set that is begun under the same number meanwhile is left alone.
    const PIECES: [&str; 2] = [
        "DELETE FROM analytics_counts WHERE clinic_id = $1 AND generation = $2
            AND NOT EXISTS (SELECT 1 FROM analytics_generations WHERE generation = $2)
            AND (metric, grain, bucket, dimension) IN
                (SELECT metric, grain, bucket, dimension FROM analytics_counts
                  WHERE clinic_id = $1 AND generation = $2
                  ORDER BY metric, grain, bucket, dimension LIMIT 2000)",
        "DELETE FROM analytics_records WHERE clinic_id = $1 AND generation = $2
            AND NOT EXISTS (SELECT 1 FROM analytics_generations WHERE generation = $2)
            AND record_id IN
                (SELECT record_id FROM analytics_records WHERE clinic_id = $1 AND generation = $2
                  ORDER BY record_id LIMIT 2000)",
    ];
    let left: Vec<Left> = sql(LEFT).fetch_all(&mut db.read().await?).await?;
    for Left { clinic, generation } in left {
        for piece in PIECES {
            loop {
                let mut tx = db.begin().await?;
                let removed = sql(piece).bind(clinic).bind(generation).execute(&mut tx).await?;
                tx.commit().await?;
                if removed < PIECE {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// What two sets of numbers are beside each other.
struct Compared {
    /// Whether both were as far: else nothing was compared.
    is_same_place: bool,
    lines: i64,
    differing: i64,
}

impl FromRow for Compared {
    fn from_row(row: &Row) -> Result<Self> {
        let places: i64 = row.get("places")?;
        Ok(Self { is_same_place: places == 1, lines: row.get("lines")?, differing: row.get("differing")? })
    }
}

/// Compares two sets of numbers, in one statement, which sees both at one moment.
async fn compare(db: &mut Conn, before: i64, anew: i64) -> Result<Compared> {
    sql("WITH places AS
           (SELECT generation FROM analytics_generations
             WHERE generation = $2
               AND position = (SELECT position FROM analytics_generations WHERE generation = $1))
         SELECT (SELECT count(*) FROM places) AS places,
                (SELECT count(*) FROM analytics_counts
                  WHERE generation = $2 AND amount <> 0 AND EXISTS (SELECT 1 FROM places)) AS lines,
                (SELECT count(*) FROM
                   (SELECT metric FROM analytics_counts
                     WHERE generation IN ($1, $2) AND EXISTS (SELECT 1 FROM places)
                     GROUP BY clinic_id, metric, grain, bucket, dimension
                    HAVING SUM(CASE WHEN generation = $1 THEN amount ELSE -amount END) <> 0) AS lines
                ) AS differing")
    .bind(before)
    .bind(anew)
    .fetch_one(db)
    .await
}
