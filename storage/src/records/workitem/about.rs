//! Whose imaging a step is about: by every study that it names, and by its Patient ID.
//!
//! A step may be scheduled before its images come, so this is looked up again whenever it is read.

use clinical::id::{ClinicId, PatientId};
use clinical::uid::StudyInstanceUid;
use uuid::Uuid;

use super::{Workitem, WorkitemFacts};
use crate::db::{Conn, Result, Tx, built_sql, sql};

/// The patients of a row of `workitems`. An identifier without issuer, on either side, counts as the same.
pub(super) const PATIENTS: &str = "
    SELECT COALESCE(known.merged_into, known.patient_id) FROM patients AS known
     WHERE known.clinic_id = workitems.clinic_id AND known.patient_id = workitems.patient_id
     UNION ALL
    SELECT named.patient_id FROM patient_identifiers AS named
     WHERE named.clinic_id = workitems.clinic_id AND named.value = workitems.mrn
       AND (workitems.issuer IS NULL OR named.issuer = '' OR named.issuer = workitems.issuer)
     UNION ALL
    SELECT theirs.patient_id FROM workitem_inputs AS named
      JOIN studies AS theirs ON theirs.clinic_id = named.clinic_id AND theirs.study_uid = named.study_uid
     WHERE named.workitem_id = workitems.workitem_id";

/// No study that a row of `workitems` names was there once and is removed.
pub(super) const ALL_THERE: &str = "
    NOT EXISTS (SELECT 1 FROM workitem_inputs AS named
                  LEFT JOIN studies AS theirs
                    ON theirs.clinic_id = named.clinic_id AND theirs.study_uid = named.study_uid
                 WHERE named.workitem_id = workitems.workitem_id
                   AND (theirs.hidden_at IS NOT NULL OR named.was_known AND theirs.study_id IS NULL))";

impl Workitem {
    /// Whose records the step is about, as far as the archive knows them; `None` where a study that it names was
    /// there once and is removed.
    pub async fn patients(&self, db: &mut Conn, clinic: ClinicId) -> Result<Option<Vec<PatientId>>> {
        let there = built_sql(format!(
            "SELECT count(*) FROM workitems WHERE clinic_id = $1 AND workitem_id = $2 AND {ALL_THERE}"
        ));
        let there: i64 = there.bind(clinic).bind(self.workitem_id).fetch_one(db).await?;
        if there == 0 {
            return Ok(None);
        }
        let find = built_sql(format!(
            "SELECT DISTINCT patient_id FROM patients WHERE clinic_id = $1 AND patient_id IN
                    (SELECT about.patient_id FROM workitems
                       JOIN patients AS about ON about.clinic_id = workitems.clinic_id
                                             AND about.patient_id IN ({PATIENTS})
                      WHERE workitems.clinic_id = $1 AND workitems.workitem_id = $2)"
        ));
        let patients: Vec<Uuid> = find.bind(clinic).bind(self.workitem_id).fetch_all(db).await?;
        Ok(Some(patients.into_iter().map(PatientId).collect()))
    }

    /// Keeps which studies the step names.
    pub(super) async fn write_inputs(
        &self,
        db: &mut Tx,
        clinic: ClinicId,
        studies: &[StudyInstanceUid],
    ) -> Result<()> {
        let delete = "DELETE FROM workitem_inputs WHERE clinic_id = $1 AND workitem_id = $2";
        sql(delete).bind(clinic).bind(self.workitem_id).execute(db).await?;
        for study in studies {
            let insert = "INSERT INTO workitem_inputs (clinic_id, workitem_id, study_uid, was_known)
                          VALUES ($1, $2, $3, EXISTS (SELECT 1 FROM studies
                                                       WHERE clinic_id = $1 AND study_uid = $3))
                          ON CONFLICT (workitem_id, study_uid) DO NOTHING";
            sql(insert).bind(clinic).bind(self.workitem_id).bind(study).execute(db).await?;
        }
        Ok(())
    }
}

/// Whom the Patient ID of a step means, where the archive knows them.
pub(super) async fn patient_of(
    db: &mut Conn,
    clinic: ClinicId,
    facts: &WorkitemFacts,
) -> Result<Option<PatientId>> {
    let Some(mrn) = &facts.mrn else { return Ok(None) };
    let find =
        "SELECT patient_id FROM patient_identifiers WHERE clinic_id = $1 AND value = $2 AND issuer = $3";
    let issuer = facts.issuer.clone().unwrap_or_default();
    let found = sql(find).bind(clinic).bind(mrn).bind(issuer).fetch_optional::<Uuid>(db).await?;
    Ok(found.map(PatientId))
}

/// Removes every step about `patient`, who is erased: it says who they are.
pub(crate) async fn forget_patient(db: &mut Tx, clinic: ClinicId, patient: PatientId) -> Result<()> {
    let delete = "
        DELETE FROM workitems WHERE clinic_id = $1
           AND (patient_id IN (SELECT patient_id FROM patients
                                WHERE clinic_id = $1 AND (patient_id = $2 OR merged_into = $2))
                OR EXISTS (SELECT 1 FROM patient_identifiers AS named
                            WHERE named.clinic_id = $1 AND named.patient_id = $2
                              AND named.value = workitems.mrn
                              AND named.issuer = COALESCE(workitems.issuer, ''))
                OR workitem_id IN (SELECT named.workitem_id FROM workitem_inputs AS named
                                     JOIN studies ON studies.clinic_id = named.clinic_id
                                                 AND studies.study_uid = named.study_uid
                                    WHERE studies.clinic_id = $1 AND studies.patient_id = $2))";
    sql(delete).bind(clinic).bind(patient).execute(db).await.map(|_| ())
}

/// Removes every step that names a study whose last series is gone; `$1` is the clinic, `$2` the study.
pub(crate) const FORGET_EMPTY_STUDY: &str = "
    DELETE FROM workitems WHERE clinic_id = $1 AND workitem_id IN
           (SELECT named.workitem_id FROM workitem_inputs AS named
              JOIN studies ON studies.clinic_id = named.clinic_id AND studies.study_uid = named.study_uid
             WHERE studies.clinic_id = $1 AND studies.study_id = $2
               AND NOT EXISTS (SELECT 1 FROM series WHERE series.study_id = studies.study_id))";
