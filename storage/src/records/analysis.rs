//! One network's run over one instance: its labels, or why it abstained.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use clinical::id::{AnalysisId, ClinicId, InstanceId, PatientId, StudyId};
use clinical::imaging::{Abstention, AbstentionCode, Outcome, ReviewState};
use clinical::uid::{SopInstanceUid, StudyInstanceUid};

use super::finding::Finding;
use super::patient::Shown;
use crate::db::{Conn, DbError, FromRow, Result, Row, Statement, Tx, Value, built_sql, sql};

/// What a run gave, before it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAnalysis {
    /// The study.
    pub study_id: StudyId,
    /// The instance.
    pub instance_id: InstanceId,
    /// SHA-256 of the instance's bytes.
    pub instance_sha256: String,
    /// The network's name.
    pub network_name: String,
    /// The network's version.
    pub network_version: String,
    /// SHA-256 of the network's weights.
    pub network_sha256: String,
    /// Labels, or the abstention.
    pub outcome: Outcome,
    /// What was found, for people; absent when the network abstained.
    pub findings_text: Option<String>,
    /// What to do about it, for people; absent when the network abstained.
    pub recommendations: Option<String>,
    /// How sure the network is of its call, 0 to 100; absent when it abstained.
    pub confidence_percent: Option<f64>,
    /// How long decoding and the network took.
    pub duration_ms: f64,
}

/// A stored analysis, with what a reader wants beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// Our identifier.
    pub analysis_id: AnalysisId,
    /// The study.
    pub study_id: StudyId,
    /// The instance.
    pub instance_id: InstanceId,
    /// Whose study it is.
    pub patient_id: PatientId,
    /// Study Instance UID (0020,000D).
    pub study_uid: StudyInstanceUid,
    /// SOP Instance UID (0008,0018).
    pub sop_uid: SopInstanceUid,
    /// The name under which a person uploaded the file.
    pub file_name: Option<String>,
    /// The network's name.
    pub network_name: String,
    /// The network's version.
    pub network_version: String,
    /// SHA-256 of the network's weights.
    pub network_sha256: String,
    /// Why the network would not look.
    pub abstention: Option<Abstention>,
    /// What was found, for people.
    pub findings_text: Option<String>,
    /// What to do about it, for people.
    pub recommendations: Option<String>,
    /// How sure the network is of its call, 0 to 100.
    pub confidence_percent: Option<f64>,
    /// How long decoding and the network took.
    pub duration_ms: f64,
    /// When it was written.
    pub analyzed_at: DateTime<Utc>,
    /// The labels; none when the network abstained.
    pub findings: Vec<Finding>,
}

struct Done {
    instance_id: InstanceId,
    network_sha256: String,
}

impl FromRow for Done {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { instance_id: row.id("instance_id")?, network_sha256: row.get("network_sha256")? })
    }
}

const SELECT: &str =
    "SELECT analyses.analysis_id, analyses.study_id, analyses.instance_id, studies.patient_id,
           studies.study_uid, instances.sop_uid, instances.file_name, analyses.network_name, analyses.network_version, analyses.network_sha256,
           analyses.abstention_code, analyses.abstention_reason, analyses.findings_text,
           analyses.recommendations, analyses.confidence, analyses.duration_ms, analyses.analyzed_at
      FROM analyses
      JOIN instances ON instances.instance_id = analyses.instance_id AND instances.hidden_at IS NULL
      JOIN studies ON studies.study_id = analyses.study_id ";

fn abstention_code(text: &str) -> Result<AbstentionCode> {
    let quoted = serde_json::Value::String(text.to_owned());
    serde_json::from_value(quoted).map_err(|_| DbError::Corrupt("abstention_code".to_owned()))
}

impl FromRow for Analysis {
    fn from_row(row: &Row) -> Result<Self> {
        let code: Option<String> = row.get("abstention_code")?;
        let abstention = match code {
            Some(code) => Some(Abstention {
                code: abstention_code(&code)?,
                reason: row.get::<Option<String>>("abstention_reason")?.unwrap_or_default(),
            }),
            None => None,
        };
        Ok(Self {
            analysis_id: row.id("analysis_id")?,
            study_id: row.id("study_id")?,
            instance_id: row.id("instance_id")?,
            patient_id: row.id("patient_id")?,
            study_uid: row.parse("study_uid")?,
            sop_uid: row.parse("sop_uid")?,
            file_name: row.get("file_name")?,
            network_name: row.get("network_name")?,
            network_version: row.get("network_version")?,
            network_sha256: row.get("network_sha256")?,
            abstention,
            findings_text: row.get("findings_text")?,
            recommendations: row.get("recommendations")?,
            confidence_percent: row.get("confidence")?,
            duration_ms: row.get("duration_ms")?,
            analyzed_at: row.get("analyzed_at")?,
            findings: Vec::new(),
        })
    }
}

impl Analysis {
    /// Writes a run with its findings, all open; a run that is written already is left as it is,
    /// reviews and all.
    pub async fn record(
        db: &mut Tx,
        clinic: ClinicId,
        new: &NewAnalysis,
        now: DateTime<Utc>,
    ) -> Result<AnalysisId> {
        let abstention = match &new.outcome {
            Outcome::Scored(_) => None,
            Outcome::Abstained(abstention) => Some(abstention),
        };
        let id = AnalysisId::new();
        let insert = "INSERT INTO analyses (analysis_id, clinic_id, study_id, instance_id, instance_sha256,
                             network_name, network_version, network_sha256, abstention_code, abstention_reason,
                             findings_text, recommendations, confidence, duration_ms, analyzed_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
                      ON CONFLICT (instance_id, instance_sha256, network_sha256) DO NOTHING";
        let written = sql(insert)
            .bind(id)
            .bind(clinic)
            .bind(new.study_id)
            .bind(new.instance_id)
            .bind(&new.instance_sha256)
            .bind(&new.network_name)
            .bind(&new.network_version)
            .bind(&new.network_sha256)
            .bind(abstention.map(|abstention| abstention.code.as_str()))
            .bind(abstention.map(|abstention| abstention.reason.as_str()))
            .bind(new.findings_text.clone())
            .bind(new.recommendations.clone())
            .bind(new.confidence_percent)
            .bind(new.duration_ms)
            .bind(now)
            .execute(db)
            .await?;
        if written == 0 {
            let find = "SELECT analysis_id FROM analyses
                         WHERE clinic_id = $1 AND instance_id = $2 AND instance_sha256 = $3 AND network_sha256 = $4";
            return sql(find)
                .bind(clinic)
                .bind(new.instance_id)
                .bind(&new.instance_sha256)
                .bind(&new.network_sha256)
                .fetch_one::<uuid::Uuid>(db)
                .await
                .map(AnalysisId::from);
        }
        if let Outcome::Scored(labels) = &new.outcome {
            for label in labels {
                Finding::record(db, clinic, new.study_id, id, label).await?;
            }
        }
        Ok(id)
    }

    /// One analysis of one clinic.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: AnalysisId) -> Result<Self> {
        let found: Self =
            built_sql(format!("{SELECT} WHERE analyses.clinic_id = $1 AND analyses.analysis_id = $2"))
                .bind(clinic)
                .bind(id)
                .fetch_one(db)
                .await?;
        found.with_findings(db, clinic).await
    }

    /// The analyses of an instance's present bytes, those with labels first.
    pub async fn of_instance(db: &mut Conn, clinic: ClinicId, instance: InstanceId) -> Result<Vec<Self>> {
        let rows = built_sql(format!(
            "{SELECT} WHERE analyses.clinic_id = $1 AND analyses.instance_id = $2
                AND analyses.instance_sha256 = instances.sha256
              ORDER BY analyses.abstention_code IS NOT NULL, analyses.abstention_code = 'no-network',
                       analyses.analyzed_at, analyses.network_name"
        ))
        .bind(clinic)
        .bind(instance)
        .fetch_all(db)
        .await?;
        Self::all_with_findings(rows, db, clinic).await
    }

    /// Which networks, by their hash, have read the present bytes of each instance of a study.
    pub async fn done_of_study(
        db: &mut Conn,
        clinic: ClinicId,
        study: StudyId,
    ) -> Result<HashSet<(InstanceId, String)>> {
        let rows: Vec<Done> = sql("SELECT analyses.instance_id, analyses.network_sha256 FROM analyses
               JOIN instances ON instances.instance_id = analyses.instance_id
              WHERE analyses.clinic_id = $1 AND analyses.study_id = $2
                AND analyses.instance_sha256 = instances.sha256")
        .bind(clinic)
        .bind(study)
        .fetch_all(db)
        .await?;
        Ok(rows.into_iter().map(|done| (done.instance_id, done.network_sha256)).collect())
    }

    /// The analyses of those whom `shown` names, after `after`, newest first.
    pub async fn list(
        db: &mut Conn,
        clinic: ClinicId,
        shown: Shown,
        after: Option<AnalysisId>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        let mut values: Vec<Value> = after.into_iter().map(Value::from).collect();
        let later = if after.is_some() { " AND analyses.analysis_id < $3" } else { "" };
        let veil = shown.condition("studies.patient_id", |value| {
            values.push(value);
            format!("${}", values.len() + 2)
        });
        let statement = built_sql(format!(
            "{SELECT} WHERE analyses.clinic_id = $1{later}{veil} ORDER BY analyses.analysis_id DESC LIMIT $2"
        ))
        .bind(clinic)
        .bind(limit);
        let rows = values.into_iter().fold(statement, Statement::bind).fetch_all(db).await?;
        Self::all_with_findings(rows, db, clinic).await
    }

    async fn with_findings(mut self, db: &mut Conn, clinic: ClinicId) -> Result<Self> {
        self.findings = Finding::of_analysis(db, clinic, self.analysis_id).await?;
        Ok(self)
    }

    async fn all_with_findings(rows: Vec<Self>, db: &mut Conn, clinic: ClinicId) -> Result<Vec<Self>> {
        let mut analyses = Vec::with_capacity(rows.len());
        for row in rows {
            analyses.push(row.with_findings(db, clinic).await?);
        }
        Ok(analyses)
    }

    /// Whether a physician has judged any of its findings.
    pub fn is_reviewed(&self) -> bool {
        self.findings.iter().any(|finding| finding.review_state != ReviewState::Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{instance_facts, now, on_both, place_of, scored};

    #[tokio::test]
    async fn a_run_written_twice_is_one_row() {
        on_both(async |db| {
            let clinic = ClinicId::DEFAULT;
            let mut tx = db.begin().await.unwrap();
            let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
            let facts = instance_facts("1.2.3.1.1", "aa");
            let instance = place.insert(&mut tx, &facts, now()).await.unwrap();
            let run = scored(place.study_id, instance, "aa", 0.75);
            let first = Analysis::record(&mut tx, clinic, &run, now()).await.unwrap();
            let again = Analysis::record(&mut tx, clinic, &run, now()).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(first, again);

            let mut read = db.read().await.unwrap();
            let listed = Analysis::list(&mut read, clinic, Shown::Everybody, None, 10).await.unwrap();
            assert_eq!(listed.len(), 1);
            assert_eq!(listed[0].findings.len(), 1);
            assert_eq!(listed[0].findings[0].probability, 0.75);
            let done = Analysis::done_of_study(&mut read, clinic, place.study_id).await.unwrap();
            assert_eq!(done, HashSet::from([(instance, "cc".to_owned())]));
            assert_eq!(Analysis::of_instance(&mut read, clinic, instance).await.unwrap(), listed);
            assert_eq!(Analysis::find(&mut read, clinic, first).await.unwrap(), listed[0]);
        })
        .await;
    }

    #[tokio::test]
    async fn an_abstention_keeps_its_code_and_reason() {
        on_both(async |db| {
            let clinic = ClinicId::DEFAULT;
            let mut tx = db.begin().await.unwrap();
            let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
            let facts = instance_facts("1.2.3.1.1", "aa");
            let instance = place.insert(&mut tx, &facts, now()).await.unwrap();
            let why = Abstention { code: AbstentionCode::NotEligible, reason: "age is 40 years".into() };
            let run = NewAnalysis {
                outcome: Outcome::Abstained(why.clone()),
                confidence_percent: None,
                ..scored(place.study_id, instance, "aa", 0.5)
            };
            let id = Analysis::record(&mut tx, clinic, &run, now()).await.unwrap();
            let found = Analysis::find(&mut tx, clinic, id).await.unwrap();
            assert_eq!(found.abstention, Some(why));
            assert_eq!((found.confidence_percent, found.findings.len()), (None, 0));
        })
        .await;
    }
}
