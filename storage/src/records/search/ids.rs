//! The identifiers alone of what matches: long lists of matches are cheap to hold, and told page by page.

use clinical::id::ClinicId;
use uuid::Uuid;

use super::{FoundInstance, FoundSeries, FoundStudy, Level, Search, in_order};
use crate::db::{Conn, Result};

impl Search {
    /// Our identifiers of the studies, series or instances that match, in the order of their search.
    pub async fn ids(&self, db: &mut Conn, clinic: ClinicId, level: Level) -> Result<Vec<Uuid>> {
        let select = match level {
            Level::Study => "SELECT studies.study_id",
            Level::Series => "SELECT series.series_id",
            Level::Instance => "SELECT instances.instance_id",
        };
        self.page(clinic, level, select).fetch_all(db).await
    }

    /// Our identifiers of the patients that match and have studies: in the order of the name or identifier whose
    /// beginning is asked for, else the last heard of first. Conditions on what stands below a patient are passed over.
    pub async fn patient_ids(&self, db: &mut Conn, clinic: ClinicId) -> Result<Vec<Uuid>> {
        self.patients(clinic).fetch_all(db).await
    }
}

impl FoundStudy {
    /// These studies, in this order, as far as the clinic has them.
    pub async fn in_order(db: &mut Conn, clinic: ClinicId, ids: &[Uuid]) -> Result<Vec<Self>> {
        let typed: Vec<_> = ids.iter().map(|id| (*id).into()).collect();
        Ok(in_order(ids, Self::of(db, clinic, &typed).await?, |study| study.study_id.0))
    }
}

impl FoundSeries {
    /// These series, in this order, as far as the clinic has them.
    pub async fn in_order(db: &mut Conn, clinic: ClinicId, ids: &[Uuid]) -> Result<Vec<Self>> {
        let typed: Vec<_> = ids.iter().map(|id| (*id).into()).collect();
        Ok(in_order(ids, Self::of(db, clinic, &typed).await?, |series| series.series_id.0))
    }
}

impl FoundInstance {
    /// These instances, in this order, as far as the clinic has them.
    pub async fn in_order(db: &mut Conn, clinic: ClinicId, ids: &[Uuid]) -> Result<Vec<Self>> {
        Ok(in_order(ids, Self::of(db, clinic, ids).await?, |instance| instance.instance_id.0))
    }
}
