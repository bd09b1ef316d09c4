//! A place of a clinic.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, LocationId};
use uuid::Uuid;

use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};

/// What a clinic says of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocationFacts {
    /// What people call it; no two places of a clinic share a name.
    pub name: String,
    /// Where it is.
    pub address: Option<String>,
    /// How to reach it.
    pub phone: Option<String>,
    /// Whether patients are seen there.
    pub is_open: bool,
}

/// A stored place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Our identifier.
    pub location_id: LocationId,
    /// What the clinic says of it.
    pub facts: LocationFacts,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

const SELECT: &str = "SELECT location_id, name, address, phone, is_open, created_at FROM locations ";

impl FromRow for Location {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            location_id: row.id("location_id")?,
            facts: LocationFacts {
                name: row.get("name")?,
                address: row.get("address")?,
                phone: row.get("phone")?,
                is_open: row.get("is_open")?,
            },
            created_at: row.get("created_at")?,
        })
    }
}

impl Location {
    /// A new place.
    ///
    /// # Errors
    ///
    /// [`DbError::Conflict`] when the clinic has one of that name.
    pub async fn create(
        db: &mut Tx,
        clinic: ClinicId,
        facts: LocationFacts,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let insert =
            "INSERT INTO locations (location_id, clinic_id, name, address, phone, is_open, created_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (clinic_id, name) DO NOTHING";
        let location = Self { location_id: LocationId::new(), facts, created_at: now };
        let made = sql(insert)
            .bind(location.location_id)
            .bind(clinic)
            .bind(&location.facts.name)
            .bind(location.facts.address.clone())
            .bind(location.facts.phone.clone())
            .bind(location.facts.is_open)
            .bind(now)
            .execute(db)
            .await?;
        if made == 0 { Err(DbError::Conflict) } else { Ok(location) }
    }

    /// One place of one clinic.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: LocationId) -> Result<Self> {
        built_sql(format!("{SELECT} WHERE clinic_id = $1 AND location_id = $2"))
            .bind(clinic)
            .bind(id)
            .fetch_one(db)
            .await
    }

    /// The clinic's places, newest first, from before `after` on.
    pub async fn list(db: &mut Conn, clinic: ClinicId, after: Option<Uuid>, limit: i64) -> Result<Vec<Self>> {
        let from = if after.is_some() { "AND location_id < $3" } else { "" };
        let text = format!("{SELECT} WHERE clinic_id = $1 {from} ORDER BY location_id DESC LIMIT $2");
        let statement = built_sql(text).bind(clinic).bind(limit);
        match after {
            Some(after) => statement.bind(after).fetch_all(db).await,
            None => statement.fetch_all(db).await,
        }
    }

    /// Writes what the clinic says of a place now.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when it has no such place, [`DbError::Conflict`] when another has the name.
    pub async fn change(db: &mut Tx, clinic: ClinicId, id: LocationId, facts: &LocationFacts) -> Result<()> {
        let taken =
            "SELECT location_id FROM locations WHERE clinic_id = $1 AND name = $2 AND location_id <> $3";
        let taken = sql(taken).bind(clinic).bind(&facts.name).bind(id).fetch_optional::<Uuid>(db).await?;
        if taken.is_some() {
            return Err(DbError::Conflict);
        }
        let update = "UPDATE locations SET name = $3, address = $4, phone = $5, is_open = $6
                       WHERE clinic_id = $1 AND location_id = $2";
        let changed = sql(update)
            .bind(clinic)
            .bind(id)
            .bind(&facts.name)
            .bind(facts.address.clone())
            .bind(facts.phone.clone())
            .bind(facts.is_open)
            .execute(db)
            .await?;
        if changed == 0 { Err(DbError::NotFound) } else { Ok(()) }
    }

    /// Removes a place where nobody works.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when the clinic has no such place, [`DbError::Conflict`] when a member works there.
    pub async fn remove(db: &mut Tx, clinic: ClinicId, id: LocationId) -> Result<()> {
        let works = "SELECT membership_id FROM memberships WHERE clinic_id = $1 AND location_id = $2 LIMIT 1";
        if sql(works).bind(clinic).bind(id).fetch_optional::<Uuid>(db).await?.is_some() {
            return Err(DbError::Conflict);
        }
        let delete =
            sql("DELETE FROM locations WHERE clinic_id = $1 AND location_id = $2").bind(clinic).bind(id);
        if delete.execute(db).await? == 0 { Err(DbError::NotFound) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{now, on_both};

    const CLINIC: ClinicId = ClinicId::DEFAULT;

    fn facts(name: &str) -> LocationFacts {
        LocationFacts { name: name.into(), address: None, phone: None, is_open: true }
    }

    #[tokio::test]
    async fn a_place_belongs_to_its_clinic_and_has_a_name_of_its_own() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let east = Location::create(&mut tx, CLINIC, facts("East"), now()).await.unwrap();
            let west = Location::create(&mut tx, CLINIC, facts("West"), now()).await.unwrap();
            let again = Location::create(&mut tx, CLINIC, facts("East"), now()).await;
            assert!(matches!(again, Err(DbError::Conflict)));
            let renamed = Location::change(&mut tx, CLINIC, west.location_id, &facts("East")).await;
            assert!(matches!(renamed, Err(DbError::Conflict)));
            let closed = LocationFacts { is_open: false, phone: Some("1".into()), ..facts("West") };
            Location::change(&mut tx, CLINIC, west.location_id, &closed).await.unwrap();
            let all = Location::list(&mut tx, CLINIC, None, 10).await.unwrap();
            assert_eq!(all, [Location { facts: closed, ..west.clone() }, east.clone()]);
            assert_eq!(Location::list(&mut tx, CLINIC, Some(west.location_id.0), 10).await.unwrap(), [east]);
            let elsewhere = Location::find(&mut tx, ClinicId::new(), west.location_id).await;
            assert!(matches!(elsewhere, Err(DbError::NotFound)));
            Location::remove(&mut tx, CLINIC, west.location_id).await.unwrap();
            let gone = Location::remove(&mut tx, CLINIC, west.location_id).await;
            assert!(matches!(gone, Err(DbError::NotFound)));
        })
        .await;
    }
}
