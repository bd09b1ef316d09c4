//! The DIMSE titles that mean a clinic.

use chrono::{DateTime, Utc};
use clinical::ae_title::AeTitle;
use clinical::id::ClinicId;

use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, sql};

/// On which side of an association a title stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The sender calls this title.
    Called,
    /// The sender has this title.
    Calling,
}

impl Side {
    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Called => "called",
            Self::Calling => "calling",
        }
    }
}

/// A title that means a clinic; it means no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClinicTitle {
    /// The title.
    pub ae_title: AeTitle,
    /// The clinic.
    pub clinic_id: ClinicId,
    /// On which side it counts.
    pub side: Side,
    /// When it was named.
    pub created_at: DateTime<Utc>,
}

impl FromRow for ClinicTitle {
    fn from_row(row: &Row) -> Result<Self> {
        let side: String = row.get("side")?;
        Ok(Self {
            ae_title: row.parse("ae_title")?,
            clinic_id: row.id("clinic_id")?,
            side: match side.as_str() {
                "called" => Side::Called,
                "calling" => Side::Calling,
                _ => return Err(DbError::Corrupt("ae_titles.side".to_owned())),
            },
            created_at: row.get("created_at")?,
        })
    }
}

/// Whose an association is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meant {
    /// The clinic that the called title means.
    pub by_called: Option<ClinicId>,
    /// The clinic that the calling title means.
    pub by_calling: Option<ClinicId>,
}

impl ClinicTitle {
    /// Lets a title mean the clinic.
    ///
    /// # Errors
    ///
    /// [`DbError::Conflict`] when it means a clinic already, this one or another.
    pub async fn name(
        db: &mut Tx,
        clinic: ClinicId,
        title: &AeTitle,
        side: Side,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let insert = "INSERT INTO ae_titles (ae_title, clinic_id, side, created_at) VALUES ($1, $2, $3, $4)
                      ON CONFLICT (ae_title) DO NOTHING";
        let made =
            sql(insert).bind(title.as_str()).bind(clinic).bind(side.as_str()).bind(now).execute(db).await?;
        if made == 0 {
            return Err(DbError::Conflict);
        }
        Ok(Self { ae_title: title.clone(), clinic_id: clinic, side, created_at: now })
    }

    /// The clinic's titles, by name; a clinic has few.
    pub async fn of(db: &mut Conn, clinic: ClinicId, limit: i64) -> Result<Vec<Self>> {
        sql("SELECT ae_title, clinic_id, side, created_at FROM ae_titles
              WHERE clinic_id = $1 ORDER BY ae_title LIMIT $2")
        .bind(clinic)
        .bind(limit)
        .fetch_all(db)
        .await
    }

    /// The title means no clinic any more.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when it did not mean this one.
    pub async fn remove(db: &mut Tx, clinic: ClinicId, title: &AeTitle) -> Result<()> {
        let delete = "DELETE FROM ae_titles WHERE clinic_id = $1 AND ae_title = $2";
        let removed = sql(delete).bind(clinic).bind(title.as_str()).execute(db).await?;
        if removed == 0 { Err(DbError::NotFound) } else { Ok(()) }
    }

    /// Which clinics the two titles of an association mean. Over all clinics: it is asked before one is known.
    pub async fn meant(db: &mut Conn, called: &AeTitle, calling: &AeTitle) -> Result<Meant> {
        let find = "SELECT ae_title, clinic_id, side, created_at FROM ae_titles
                     WHERE (ae_title = $1 AND side = 'called') OR (ae_title = $2 AND side = 'calling')";
        let found: Vec<Self> = sql(find).bind(called.as_str()).bind(calling.as_str()).fetch_all(db).await?;
        let of = |side| found.iter().find(|it| it.side == side).map(|it| it.clinic_id);
        Ok(Meant { by_called: of(Side::Called), by_calling: of(Side::Calling) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::clinic::Clinic;
    use crate::testing::{now, on_both};

    fn title(text: &str) -> AeTitle {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_title_means_one_clinic_on_one_side() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let ours = ClinicId::DEFAULT;
            let theirs = Clinic::create(&mut tx, "Theirs", "UTC", now()).await.unwrap().clinic_id;
            let named = ClinicTitle::name(&mut tx, ours, &title("NORTH"), Side::Called, now()).await.unwrap();
            ClinicTitle::name(&mut tx, theirs, &title("CT1"), Side::Calling, now()).await.unwrap();
            for clinic in [ours, theirs] {
                let again = ClinicTitle::name(&mut tx, clinic, &title("NORTH"), Side::Calling, now()).await;
                assert!(matches!(again, Err(DbError::Conflict)));
            }
            let meant = ClinicTitle::meant(&mut tx, &title("NORTH"), &title("CT1")).await.unwrap();
            assert_eq!(meant, Meant { by_called: Some(ours), by_calling: Some(theirs) });
            let swapped = ClinicTitle::meant(&mut tx, &title("CT1"), &title("NORTH")).await.unwrap();
            assert_eq!(swapped, Meant::default());
            assert_eq!(ClinicTitle::of(&mut tx, ours, 10).await.unwrap(), [named]);
            let not_theirs = ClinicTitle::remove(&mut tx, theirs, &title("NORTH")).await;
            assert!(matches!(not_theirs, Err(DbError::NotFound)));
            ClinicTitle::remove(&mut tx, ours, &title("NORTH")).await.unwrap();
            assert_eq!(ClinicTitle::of(&mut tx, ours, 10).await.unwrap(), []);
        })
        .await;
    }
}
