//! Which clinic an association is for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clinical::id::ClinicId;
use storage::db::{Db, DbError};
use storage::records::ae_title::{ClinicTitle, Meant};
use storage::records::clinic::Suspensions;

use crate::scp::{AeTitle, KnownTitles};

/// So long an answer may lag behind the database.
const LAG: Duration = Duration::from_secs(5);
/// So many pairs of titles are remembered.
const PAIRS: usize = 4096;

/// Why an association is for no clinic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoClinic {
    /// Its clinic is suspended.
    #[error("clinic-suspended: the clinic takes nothing for now")]
    Suspended,
    /// The two titles mean different clinics: one clinic's device must not store into another.
    #[error("ae-titles-disagree: calling and called AE mean two clinics")]
    Divided,
    /// The database does not answer.
    #[error("database-failed: try again")]
    Unknown,
}

/// Knows the clinics by their titles, and asks for each pair every five seconds at most.
pub(super) struct Clinics {
    db: Db,
    suspensions: Suspensions,
    seen: Mutex<HashMap<(AeTitle, AeTitle), (Instant, Meant)>>,
}

impl Clinics {
    pub(super) fn new(db: Db) -> Self {
        Self { suspensions: Suspensions::new(db.clone()), db, seen: Mutex::default() }
    }

    /// Which of the two titles mean a clinic; where they mean two, the calling one counts as unknown.
    pub(super) async fn known(&self, called: &AeTitle, calling: &AeTitle) -> KnownTitles {
        let meant = self.meant(called, calling).await.unwrap_or_else(|error| {
            tracing::error!(%error, "the titles of an association were not looked up");
            // What was known last counts on, so that whoever sends is told to try again and not that it may not.
            self.seen(called, calling).map(|(_, meant)| meant).unwrap_or_default()
        });
        let is_divided = is_divided(meant);
        KnownTitles { called: meant.by_called.is_some(), calling: meant.by_calling.is_some() && !is_divided }
    }

    /// The clinic that the called title means, else the calling one, else the default clinic.
    pub(super) async fn of(&self, called: &AeTitle, calling: &AeTitle) -> Result<ClinicId, NoClinic> {
        let unknown = |error: DbError| {
            tracing::error!(%error, "the clinic of an association was not looked up");
            NoClinic::Unknown
        };
        let meant = self.meant(called, calling).await.map_err(unknown)?;
        if is_divided(meant) {
            return Err(NoClinic::Divided);
        }
        let clinic = meant.by_called.or(meant.by_calling).unwrap_or(ClinicId::DEFAULT);
        if self.suspensions.contain(clinic).await.map_err(unknown)? {
            return Err(NoClinic::Suspended);
        }
        Ok(clinic)
    }

    fn seen(&self, called: &AeTitle, calling: &AeTitle) -> Option<(Instant, Meant)> {
        let pair = (called.clone(), calling.clone());
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&pair).copied()
    }

    async fn meant(&self, called: &AeTitle, calling: &AeTitle) -> Result<Meant, DbError> {
        if let Some((at, meant)) = self.seen(called, calling)
            && at.elapsed() < LAG
        {
            return Ok(meant);
        }
        let at = Instant::now();
        let meant = ClinicTitle::meant(&mut self.db.read().await?, called, calling).await?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= PAIRS {
            seen.clear();
        }
        seen.insert((called.clone(), calling.clone()), (at, meant));
        Ok(meant)
    }
}

fn is_divided(meant: Meant) -> bool {
    matches!((meant.by_called, meant.by_calling), (Some(called), Some(calling)) if called != calling)
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::records::ae_title::Side;
    use storage::records::clinic::{Clinic, ClinicChange, ClinicState};
    use storage::testing::{now, on_both};

    fn title(text: &str) -> AeTitle {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn the_called_title_counts_before_the_calling_one_and_without_both_it_is_the_default_clinic() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let north = Clinic::create(&mut tx, "North", "UTC", now()).await.unwrap().clinic_id;
            let south = Clinic::create(&mut tx, "South", "UTC", now()).await.unwrap().clinic_id;
            for (clinic, text, side) in [
                (north, "NORTH", Side::Called),
                (north, "CT-N", Side::Calling),
                (south, "CT-S", Side::Calling),
            ] {
                ClinicTitle::name(&mut tx, clinic, &title(text), side, now()).await.unwrap();
            }
            tx.commit().await.unwrap();
            let clinics = Clinics::new(db.clone());
            let of = async |called, calling| clinics.of(&title(called), &title(calling)).await;
            assert_eq!(of("NORTH", "ANY").await, Ok(north));
            assert_eq!(of("NORTH", "CT-N").await, Ok(north));
            assert_eq!(of("MEDILINK", "CT-S").await, Ok(south));
            assert_eq!(of("MEDILINK", "ANY").await, Ok(ClinicId::DEFAULT));
            assert_eq!(of("NORTH", "CT-S").await, Err(NoClinic::Divided));
            assert_eq!(of("CT-N", "NORTH").await, Ok(ClinicId::DEFAULT), "a title counts on its side alone");

            let known = async |called, calling| clinics.known(&title(called), &title(calling)).await;
            assert_eq!(known("NORTH", "ANY").await, KnownTitles { called: true, calling: false });
            assert_eq!(known("MEDILINK", "CT-S").await, KnownTitles { called: false, calling: true });
            assert_eq!(known("NORTH", "CT-S").await, KnownTitles { called: true, calling: false });

            let mut tx = db.begin().await.unwrap();
            let change = ClinicChange { state: Some(ClinicState::Suspended), ..ClinicChange::default() };
            Clinic::change(&mut tx, north, &change).await.unwrap();
            tx.commit().await.unwrap();
            clinics.suspensions.forget();
            assert_eq!(of("NORTH", "ANY").await, Err(NoClinic::Suspended));
            assert_eq!(of("MEDILINK", "CT-S").await, Ok(south));
        })
        .await;
    }
}
