//! What was asked of the engine and what it answered, both as they were, to the byte; and whose warnings were overridden.

use chrono::{DateTime, Utc};
use clinical::id::{AssessmentId, ClinicId, OverrideId, PatientId};
use uuid::Uuid;

use super::listing::Listing;
use super::patient::Shown;
use crate::db::{Conn, DbError, FromRow, Result, Row, Statement, Tx, built_sql, sql};

/// An assessment as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// Our identifier.
    pub assessment_id: AssessmentId,
    /// Whose symptoms; `None` where nobody of the clinic's patients was named.
    pub patient_id: Option<PatientId>,
    /// What was told, as JSON.
    pub presentation: String,
    /// What was answered, as JSON.
    pub answer: String,
    /// The level of urgency.
    pub urgency: String,
    /// SHA-256 of the knowledge that answered.
    pub knowledge_version: String,
    /// Who asked.
    pub made_by: String,
    /// When.
    pub made_at: DateTime<Utc>,
}

/// An assessment without what was asked and answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssessmentLine {
    /// Our identifier.
    pub assessment_id: AssessmentId,
    /// Whose symptoms.
    pub patient_id: Option<PatientId>,
    /// The level of urgency.
    pub urgency: String,
    /// SHA-256 of the knowledge that answered.
    pub knowledge_version: String,
    /// Who asked.
    pub made_by: String,
    /// When.
    pub made_at: DateTime<Utc>,
}

const SELECT_LINES: &str =
    "SELECT assessment_id, patient_id, urgency, knowledge_version, made_by, made_at FROM assessments ";

impl FromRow for AssessmentLine {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            assessment_id: row.id("assessment_id")?,
            patient_id: row.get::<Option<Uuid>>("patient_id")?.map(PatientId),
            urgency: row.get("urgency")?,
            knowledge_version: row.get("knowledge_version")?,
            made_by: row.get("made_by")?,
            made_at: row.get("made_at")?,
        })
    }
}

const SELECT: &str =
    "SELECT assessment_id, patient_id, presentation, answer, urgency, knowledge_version, made_by, made_at
                        FROM assessments ";

impl FromRow for Assessment {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            assessment_id: row.id("assessment_id")?,
            patient_id: row.get::<Option<Uuid>>("patient_id")?.map(PatientId),
            presentation: row.get("presentation")?,
            answer: row.get("answer")?,
            urgency: row.get("urgency")?,
            knowledge_version: row.get("knowledge_version")?,
            made_by: row.get("made_by")?,
            made_at: row.get("made_at")?,
        })
    }
}

/// Which assessments are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AssessmentFilter {
    /// Of one patient.
    pub patient: Option<PatientId>,
    /// Of one level of urgency.
    pub urgency: Option<&'static str>,
}

impl Assessment {
    /// Writes it down.
    pub async fn record(&self, db: &mut Tx, clinic: ClinicId) -> Result<()> {
        let insert =
            "INSERT INTO assessments (assessment_id, clinic_id, patient_id, presentation, answer, urgency,
                                               knowledge_version, made_by, made_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        sql(insert)
            .bind(self.assessment_id)
            .bind(clinic)
            .bind(self.patient_id)
            .bind(&self.presentation)
            .bind(&self.answer)
            .bind(&self.urgency)
            .bind(&self.knowledge_version)
            .bind(&self.made_by)
            .bind(self.made_at)
            .defer(db)
            .await
    }

    /// One assessment of one clinic.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when the clinic has none of that identifier.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: AssessmentId) -> Result<Self> {
        let text = format!("{SELECT} WHERE clinic_id = $1 AND assessment_id = $2");
        built_sql(text).bind(clinic).bind(id).fetch_one(db).await
    }

    /// Those that `filter` asks for, of patients whom `shown` names or of nobody in particular, newest first, from
    /// before `after` on.
    pub async fn list(
        db: &mut Conn,
        clinic: ClinicId,
        filter: &AssessmentFilter,
        shown: Shown,
        after: Option<AssessmentId>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        Self::listed(SELECT, clinic, filter, shown, after, limit).fetch_all(db).await
    }

    /// As [`Self::list`], without what was asked and answered.
    pub async fn lines(
        db: &mut Conn,
        clinic: ClinicId,
        filter: &AssessmentFilter,
        shown: Shown,
        after: Option<AssessmentId>,
        limit: i64,
    ) -> Result<Vec<AssessmentLine>> {
        Self::listed(SELECT_LINES, clinic, filter, shown, after, limit).fetch_all(db).await
    }

    fn listed(
        select: &str,
        clinic: ClinicId,
        filter: &AssessmentFilter,
        shown: Shown,
        after: Option<AssessmentId>,
        limit: i64,
    ) -> Statement {
        Listing::of(format!("{select} WHERE clinic_id = $1"))
            .by("patient_id =", filter.patient)
            .by("urgency =", filter.urgency)
            .shown("assessments.patient_id", shown)
            .newest("assessment_id", after, clinic, limit)
    }
}

/// An issue with drugs that somebody overrode, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueOverride {
    /// Our identifier.
    pub override_id: OverrideId,
    /// The assessment that told of it, where one did.
    pub assessment_id: Option<AssessmentId>,
    /// Whose drugs.
    pub patient_id: Option<PatientId>,
    /// What sort of issue.
    pub kind: String,
    /// The drugs, by the ids of their ingredients.
    pub drugs: Vec<String>,
    /// The allergy, condition or circumstance.
    pub with: Option<String>,
    /// The code of the reason.
    pub reason: String,
    /// More in words.
    pub comment: Option<String>,
    /// Who.
    pub overridden_by: String,
    /// When.
    pub overridden_at: DateTime<Utc>,
}

const SELECT_OVERRIDES: &str =
    "SELECT override_id, assessment_id, patient_id, kind, drugs, with_what, reason, comment,
                                       overridden_by, overridden_at FROM issue_overrides ";

impl FromRow for IssueOverride {
    fn from_row(row: &Row) -> Result<Self> {
        let drugs: serde_json::Value = row.get("drugs")?;
        Ok(Self {
            override_id: row.id("override_id")?,
            assessment_id: row.get::<Option<Uuid>>("assessment_id")?.map(AssessmentId),
            patient_id: row.get::<Option<Uuid>>("patient_id")?.map(PatientId),
            kind: row.get("kind")?,
            drugs: serde_json::from_value(drugs)
                .map_err(|_| DbError::Corrupt("issue_overrides.drugs".to_owned()))?,
            with: row.get("with_what")?,
            reason: row.get("reason")?,
            comment: row.get("comment")?,
            overridden_by: row.get("overridden_by")?,
            overridden_at: row.get("overridden_at")?,
        })
    }
}

impl IssueOverride {
    /// Writes it down.
    pub async fn record(&self, db: &mut Tx, clinic: ClinicId) -> Result<()> {
        let insert =
            "INSERT INTO issue_overrides (override_id, clinic_id, assessment_id, patient_id, kind, drugs,
                                                   with_what, reason, comment, overridden_by, overridden_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        sql(insert)
            .bind(self.override_id)
            .bind(clinic)
            .bind(self.assessment_id)
            .bind(self.patient_id)
            .bind(&self.kind)
            .bind(serde_json::json!(self.drugs))
            .bind(self.with.clone())
            .bind(&self.reason)
            .bind(self.comment.clone())
            .bind(&self.overridden_by)
            .bind(self.overridden_at)
            .execute(db)
            .await?;
        Ok(())
    }

    /// The clinic's, of patients whom `shown` names or of nobody in particular, newest first, from before `after` on.
    pub async fn list(
        db: &mut Conn,
        clinic: ClinicId,
        shown: Shown,
        after: Option<OverrideId>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        Listing::of(format!("{SELECT_OVERRIDES} WHERE clinic_id = $1"))
            .shown("issue_overrides.patient_id", shown)
            .newest("override_id", after, clinic, limit)
            .fetch_all(db)
            .await
    }

    /// Those of one assessment, the oldest first, at most a hundred.
    pub async fn of_assessment(db: &mut Conn, clinic: ClinicId, id: AssessmentId) -> Result<Vec<Self>> {
        let text = format!(
            "{SELECT_OVERRIDES} WHERE assessment_id = $2 AND clinic_id = $1 ORDER BY override_id LIMIT 100"
        );
        built_sql(text).bind(clinic).bind(id).fetch_all(db).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::patient::{Patient, PatientFacts};
    use crate::testing::{now, on_both};

    const CLINIC: ClinicId = ClinicId::DEFAULT;

    fn made(patient_id: Option<PatientId>, answer: &str) -> Assessment {
        Assessment {
            assessment_id: AssessmentId::new(),
            patient_id,
            presentation: "{\"symptoms\":[\"cough\"]}".into(),
            answer: answer.into(),
            urgency: "consultation".into(),
            knowledge_version: "aa".into(),
            made_by: "administrator".into(),
            made_at: now(),
        }
    }

    /// JSONB would order the members anew: the answer is kept as text.
    #[tokio::test]
    async fn an_answer_is_kept_to_the_byte_and_a_clinic_sees_its_own() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let facts = PatientFacts { mrn: "1".into(), ..PatientFacts::default() };
            let uid = "1.2.3".parse().unwrap();
            let patient = Patient::ensure(&mut tx, CLINIC, &facts, &uid, now()).await.unwrap();
            let (first, second) = (made(Some(patient), "{\"b\": 1,  \"a\":2}"), made(None, "{}"));
            for assessment in [&first, &second] {
                assessment.record(&mut tx, CLINIC).await.unwrap();
            }
            assert_eq!(Assessment::find(&mut tx, CLINIC, first.assessment_id).await.unwrap(), first);
            let elsewhere = Assessment::find(&mut tx, ClinicId::new(), first.assessment_id).await;
            assert!(matches!(elsewhere, Err(DbError::NotFound)));
            let any = AssessmentFilter::default();
            let list = Assessment::list(&mut tx, CLINIC, &any, Shown::Unrestricted, None, 9).await.unwrap();
            assert_eq!(list, [second.clone(), first.clone()]);
            let lines = Assessment::lines(&mut tx, CLINIC, &any, Shown::Unrestricted, None, 9).await.unwrap();
            assert_eq!(
                lines.iter().map(|line| line.assessment_id).collect::<Vec<_>>(),
                [second.assessment_id, first.assessment_id]
            );
            let of = AssessmentFilter { patient: Some(patient), urgency: Some("consultation") };
            let list = Assessment::list(&mut tx, CLINIC, &of, Shown::Everybody, None, 9).await.unwrap();
            assert_eq!(list, std::slice::from_ref(&first));
            let after = Some(second.assessment_id);
            let list = Assessment::list(&mut tx, CLINIC, &any, Shown::Everybody, after, 9).await.unwrap();
            assert_eq!(list, [first]);
        })
        .await;
    }

    #[tokio::test]
    async fn an_override_is_found_with_its_assessment() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let assessment = made(None, "{}");
            assessment.record(&mut tx, CLINIC).await.unwrap();
            let overridden = IssueOverride {
                override_id: OverrideId::new(),
                assessment_id: Some(assessment.assessment_id),
                patient_id: None,
                kind: "interaction".into(),
                drugs: vec!["warfarin".into(), "ibuprofen".into()],
                with: None,
                reason: "monitoring".into(),
                comment: None,
                overridden_by: "dr-test".into(),
                overridden_at: now(),
            };
            overridden.record(&mut tx, CLINIC).await.unwrap();
            let of = IssueOverride::of_assessment(&mut tx, CLINIC, assessment.assessment_id).await.unwrap();
            assert_eq!(of, std::slice::from_ref(&overridden));
            let list = IssueOverride::list(&mut tx, CLINIC, Shown::Unrestricted, None, 9).await.unwrap();
            assert_eq!(list, std::slice::from_ref(&overridden));
            let after = Some(overridden.override_id);
            assert_eq!(IssueOverride::list(&mut tx, CLINIC, Shown::Everybody, after, 9).await.unwrap(), []);
        })
        .await;
    }
}
