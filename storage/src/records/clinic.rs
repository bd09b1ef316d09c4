//! A clinic: the tenant that owns records, its state and its settings.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, UserId};
use uuid::Uuid;

use crate::db::{Conn, Db, DbError, FromRow, Result, Row, Tx, built_sql, sql};

/// Settings by their names; what is not there falls back.
pub type Settings = BTreeMap<String, serde_json::Value>;

/// Whether a clinic is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClinicState {
    /// Its people and machines work.
    Active,
    /// Everyone but the service's own administrators is refused.
    Suspended,
}

impl ClinicState {
    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }

    fn read(text: &str) -> Result<Self> {
        match text {
            "active" => Ok(Self::Active),
            "suspended" => Ok(Self::Suspended),
            _ => Err(DbError::Corrupt("clinics.state".to_owned())),
        }
    }
}

/// A stored clinic.
#[derive(Debug, Clone, PartialEq)]
pub struct Clinic {
    /// Our identifier.
    pub clinic_id: ClinicId,
    /// What people call it.
    pub name: String,
    /// Whether it is open.
    pub state: ClinicState,
    /// The name of its time zone (IANA).
    pub time_zone: String,
    /// What it has set of its own.
    pub settings: Settings,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// What becomes different; `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClinicChange {
    /// Another name.
    pub name: Option<String>,
    /// Another time zone.
    pub time_zone: Option<String>,
    /// Opened, or suspended.
    pub state: Option<ClinicState>,
}

const SELECT: &str =
    "SELECT c.clinic_id, c.name, c.state, c.time_zone, c.settings, c.created_at FROM clinics c ";

impl FromRow for Clinic {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            clinic_id: row.id("clinic_id")?,
            name: row.get("name")?,
            state: ClinicState::read(&row.get::<String>("state")?)?,
            time_zone: row.get("time_zone")?,
            settings: settings_of(row.get("settings")?, "clinics.settings")?,
            created_at: row.get("created_at")?,
        })
    }
}

fn settings_of(json: serde_json::Value, column: &str) -> Result<Settings> {
    serde_json::from_value(json).map_err(|_| DbError::Corrupt(column.to_owned()))
}

impl Clinic {
    /// A new clinic, open and with nothing set.
    pub async fn create(db: &mut Tx, name: &str, time_zone: &str, now: DateTime<Utc>) -> Result<Self> {
        let clinic = Self {
            clinic_id: ClinicId::new(),
            name: name.to_owned(),
            state: ClinicState::Active,
            time_zone: time_zone.to_owned(),
            settings: Settings::new(),
            created_at: now,
        };
        let insert = "INSERT INTO clinics (clinic_id, name, state, time_zone, settings, created_at)
                      VALUES ($1, $2, $3, $4, $5, $6)";
        sql(insert)
            .bind(clinic.clinic_id)
            .bind(name)
            .bind(clinic.state.as_str())
            .bind(time_zone)
            .bind(serde_json::json!({}))
            .bind(now)
            .execute(db)
            .await?;
        Ok(clinic)
    }

    /// One clinic.
    pub async fn find(db: &mut Conn, id: ClinicId) -> Result<Self> {
        built_sql(format!("{SELECT} WHERE c.clinic_id = $1")).bind(id).fetch_one(db).await
    }

    /// Every clinic, newest first, from before `after` on.
    pub async fn list(db: &mut Conn, after: Option<Uuid>, limit: i64) -> Result<Vec<Self>> {
        let from = if after.is_some() { "WHERE c.clinic_id < $2" } else { "" };
        let text = format!("{SELECT} {from} ORDER BY c.clinic_id DESC LIMIT $1");
        let statement = built_sql(text).bind(limit);
        match after {
            Some(after) => statement.bind(after).fetch_all(db).await,
            None => statement.fetch_all(db).await,
        }
    }

    /// The clinics that a person belongs to, newest first, from before `after` on.
    pub async fn list_of(db: &mut Conn, user: UserId, after: Option<Uuid>, limit: i64) -> Result<Vec<Self>> {
        let belongs = "JOIN memberships m ON m.clinic_id = c.clinic_id WHERE m.user_id = $1";
        let from = if after.is_some() { "AND c.clinic_id < $3" } else { "" };
        let text = format!("{SELECT} {belongs} {from} ORDER BY c.clinic_id DESC LIMIT $2");
        let statement = built_sql(text).bind(user).bind(limit);
        match after {
            Some(after) => statement.bind(after).fetch_all(db).await,
            None => statement.fetch_all(db).await,
        }
    }

    /// Makes a clinic different.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when there is none.
    pub async fn change(db: &mut Tx, id: ClinicId, change: &ClinicChange) -> Result<()> {
        let update = "UPDATE clinics SET name = COALESCE($2, name), time_zone = COALESCE($3, time_zone),
                                         state = COALESCE($4, state) WHERE clinic_id = $1";
        let changed = sql(update)
            .bind(id)
            .bind(change.name.clone())
            .bind(change.time_zone.clone())
            .bind(change.state.map(|state| state.as_str().to_owned()))
            .execute(db)
            .await?;
        if changed == 0 { Err(DbError::NotFound) } else { Ok(()) }
    }

    /// Writes what a clinic has set of its own, in place of what it had.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when there is none.
    pub async fn set(db: &mut Tx, id: ClinicId, settings: &Settings) -> Result<()> {
        let update = "UPDATE clinics SET settings = $2 WHERE clinic_id = $1";
        let changed = sql(update).bind(id).bind(serde_json::json!(settings)).execute(db).await?;
        if changed == 0 { Err(DbError::NotFound) } else { Ok(()) }
    }
}

/// What holds where a clinic has set nothing of its own.
pub async fn global_settings(db: &mut Conn) -> Result<Settings> {
    let found: Option<Held> =
        sql("SELECT settings FROM global_settings WHERE place = 1").fetch_optional(db).await?;
    Ok(found.map(|held| held.0).unwrap_or_default())
}

/// Writes what holds where a clinic has set nothing of its own, in place of what there was.
pub async fn set_globally(db: &mut Tx, settings: &Settings) -> Result<()> {
    let upsert = "INSERT INTO global_settings (place, settings) VALUES (1, $1)
                  ON CONFLICT (place) DO UPDATE SET settings = excluded.settings";
    sql(upsert).bind(serde_json::json!(settings)).execute(db).await.map(|_| ())
}

struct Held(Settings);

impl FromRow for Held {
    fn from_row(row: &Row) -> Result<Self> {
        settings_of(row.get("settings")?, "global_settings.settings").map(Self)
    }
}

/// So long an answer of [`Suspensions`] may lag behind the database.
const SUSPENSIONS_LAG: Duration = Duration::from_secs(2);
/// So many suspended clinics are known at most.
const SUSPENSIONS: usize = 100_000;

/// Which clinics are suspended, asked for every two seconds at most; cheap to clone.
#[derive(Clone)]
pub struct Suspensions {
    db: Db,
    known: Arc<Mutex<Option<Suspended>>>,
}

/// Them, and when they were asked for.
type Suspended = (Instant, Arc<std::collections::HashSet<ClinicId>>);

impl Suspensions {
    /// Asks `db`, as the system.
    pub fn new(db: Db) -> Self {
        Self { db, known: Arc::default() }
    }

    /// Whether a clinic is suspended; known after two seconds at the latest.
    ///
    /// # Errors
    ///
    /// [`DbError`] when the database does not answer.
    pub async fn contain(&self, clinic: ClinicId) -> Result<bool> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, suspended)) = known
            && at.elapsed() < SUSPENSIONS_LAG
        {
            return Ok(suspended.contains(&clinic));
        }
        let at = Instant::now();
        let suspended: Vec<Uuid> =
            built_sql(format!("SELECT clinic_id FROM clinics WHERE state = 'suspended' LIMIT {SUSPENSIONS}"))
                .fetch_all(&mut self.db.read().await?)
                .await?;
        let suspended =
            Arc::new(suspended.into_iter().map(ClinicId).collect::<std::collections::HashSet<_>>());
        let is_suspended = suspended.contains(&clinic);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, suspended));
        Ok(is_suspended)
    }

    /// Asks anew at the next question: this process has just changed it.
    pub fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{now, on_both};

    #[tokio::test]
    async fn a_clinic_is_made_changed_and_listed() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let made = Clinic::create(&mut tx, "North", "Africa/Nairobi", now()).await.unwrap();
            assert_eq!(Clinic::find(&mut tx, made.clinic_id).await.unwrap(), made);
            let change = ClinicChange { name: Some("South".into()), ..ClinicChange::default() };
            Clinic::change(&mut tx, made.clinic_id, &change).await.unwrap();
            let changed = Clinic::find(&mut tx, made.clinic_id).await.unwrap();
            assert_eq!((changed.name.as_str(), changed.time_zone.as_str()), ("South", "Africa/Nairobi"));
            let nowhere = Clinic::change(&mut tx, ClinicId::new(), &change).await;
            assert!(matches!(nowhere, Err(DbError::NotFound)));

            let all = Clinic::list(&mut tx, None, 10).await.unwrap();
            assert_eq!(
                all.iter().map(|it| it.clinic_id).collect::<Vec<_>>(),
                [made.clinic_id, ClinicId::DEFAULT]
            );
            let rest = Clinic::list(&mut tx, Some(made.clinic_id.0), 10).await.unwrap();
            assert_eq!(rest.len(), 1);
            assert_eq!(Clinic::list_of(&mut tx, UserId::new(), None, 10).await.unwrap(), []);
        })
        .await;
    }

    #[tokio::test]
    async fn what_is_set_reads_back_and_replaces_what_was_there() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            assert_eq!(global_settings(&mut tx).await.unwrap(), Settings::new());
            for currency in ["KES", "TZS"] {
                let settings = Settings::from([("currency".to_owned(), currency.into())]);
                set_globally(&mut tx, &settings).await.unwrap();
                assert_eq!(global_settings(&mut tx).await.unwrap(), settings);
                Clinic::set(&mut tx, ClinicId::DEFAULT, &settings).await.unwrap();
                assert_eq!(Clinic::find(&mut tx, ClinicId::DEFAULT).await.unwrap().settings, settings);
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_suspension_is_known_at_once_where_it_was_made_and_soon_elsewhere() {
        on_both(async |db| {
            let (here, elsewhere) = (Suspensions::new(db.clone()), Suspensions::new(db.clone()));
            assert!(!here.contain(ClinicId::DEFAULT).await.unwrap());
            assert!(!elsewhere.contain(ClinicId::DEFAULT).await.unwrap());
            let mut tx = db.begin().await.unwrap();
            let change = ClinicChange { state: Some(ClinicState::Suspended), ..ClinicChange::default() };
            Clinic::change(&mut tx, ClinicId::DEFAULT, &change).await.unwrap();
            tx.commit().await.unwrap();
            here.forget();
            assert!(here.contain(ClinicId::DEFAULT).await.unwrap());
            assert!(!here.contain(ClinicId::new()).await.unwrap());
            tokio::time::sleep(SUSPENSIONS_LAG).await;
            assert!(elsewhere.contain(ClinicId::DEFAULT).await.unwrap());
        })
        .await;
    }
}
