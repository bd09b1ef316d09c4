//! SOP Classes in Study (0008,0062), looked up where it is asked for alone: it costs a look at each instance.

use std::collections::BTreeMap;

use clinical::id::{ClinicId, StudyId};
use clinical::uid::SopClassUid;

use super::{FoundStudy, these};
use crate::db::{Conn, FromRow, Result, Row};

struct ClassOfStudy {
    study_id: StudyId,
    sop_class_uid: SopClassUid,
}

impl FromRow for ClassOfStudy {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { study_id: row.id("study_id")?, sop_class_uid: row.parse("sop_class_uid")? })
    }
}

const SELECT: &str = "SELECT DISTINCT instances.study_id, instances.sop_class_uid FROM instances
     WHERE instances.clinic_id = $1 AND instances.hidden_at IS NULL AND instances.study_id IN (";

impl FoundStudy {
    /// Fills in the SOP classes of these studies, each in alphabetical order.
    pub async fn add_sop_classes(db: &mut Conn, clinic: ClinicId, studies: &mut [Self]) -> Result<()> {
        let ids: Vec<StudyId> = studies.iter().map(|study| study.study_id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let mut classes: BTreeMap<StudyId, Vec<SopClassUid>> = BTreeMap::new();
        for row in these(SELECT, clinic, &ids).fetch_all::<ClassOfStudy>(db).await? {
            classes.entry(row.study_id).or_default().push(row.sop_class_uid);
        }
        for study in studies {
            let mut found = classes.remove(&study.study_id).unwrap_or_default();
            found.sort_unstable();
            study.sop_classes = found;
        }
        Ok(())
    }
}
