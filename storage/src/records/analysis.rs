//! One network's run over one instance: its labels, or why it abstained.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use clinical::id::{AnalysisId, ClinicId, InstanceId, PatientId, StudyId};
use clinical::imaging::{Abstention, AbstentionCode, Outcome, ReviewState};
use clinical::uid::{SopInstanceUid, StudyInstanceUid};

use super::finding::{AT_A_TIME, Finding, Superseded, places};
use super::listing::Listing;
use super::patient::Shown;
use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};

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
    /// The mean brightness of what the network was shown, 0.0 to 1.0; absent where it was shown nothing, and for a series.
    pub brightness: Option<f64>,
    /// What was found, for people; absent when the network abstained.
    pub findings_text: Option<String>,
    /// What to do about it, for people; absent when the network abstained.
    pub recommendations: Option<String>,
    /// How sure the network is of its call, 0 to 100; absent when it abstained.
    pub confidence_percent: Option<f64>,
    /// How long decoding and the network took.
    pub duration_ms: f64,
    /// Whether nobody is shown it.
    pub is_shadow: bool,
    /// Whether it is of the instance's whole series: the instance then is the one that came last.
    pub is_of_series: bool,
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
    /// When a newer one of the same image took its place.
    pub superseded_at: Option<DateTime<Utc>>,
    /// The labels; none when the network abstained.
    pub findings: Vec<Finding>,
}

/// Which version of which network: two may share their weights, and one name and version is one network alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NetworkKey {
    /// The network's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its weights.
    pub sha256: String,
}

struct Done {
    instance_id: InstanceId,
    network: NetworkKey,
    is_out_of_sight: bool,
}

impl FromRow for Done {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            instance_id: row.id("instance_id")?,
            network: NetworkKey {
                name: row.get("network_name")?,
                version: row.get("network_version")?,
                sha256: row.get("network_sha256")?,
            },
            is_out_of_sight: row.get("is_out_of_sight")?,
        })
    }
}

const SELECT: &str =
    "SELECT analyses.analysis_id, analyses.study_id, analyses.instance_id, studies.patient_id,
           studies.study_uid, instances.sop_uid, instances.file_name, analyses.network_name, analyses.network_version, analyses.network_sha256,
           analyses.abstention_code, analyses.abstention_reason, analyses.findings_text,
           analyses.recommendations, analyses.confidence, analyses.duration_ms, analyses.analyzed_at,
           analyses.superseded_at
      FROM analyses
      JOIN instances ON instances.instance_id = analyses.instance_id AND instances.hidden_at IS NULL
       AND NOT analyses.is_shadow
      JOIN studies ON studies.study_id = analyses.study_id ";

/// Of the bytes that an instance has now, and the newest of its network.
pub(super) const NEWEST_OF_PRESENT_BYTES: &str =
    " AND analyses.instance_sha256 = instances.sha256 AND analyses.superseded_at IS NULL";

/// What nobody is shown before its network runs anew. That no network is meant for an image is not said again once one
/// was.
const OUT_OF_SIGHT: &str = "(analyses.is_shadow
      OR (analyses.superseded_at IS NOT NULL AND analyses.network_sha256 <> ''))";

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
            superseded_at: row.get("superseded_at")?,
            findings: Vec::new(),
        })
    }
}

impl Analysis {
    /// Writes a run with its findings, all open; a run that is written already is left as it is, reviews and all, but
    /// one that nobody was shown, or that others stand in for, is shown from now on where the new one would be.
    ///
    /// What is shown anew stands in for what other versions of its network said of the image, and for what the network
    /// said of other bytes of it; those stay, with their reviews, as superseded.
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
                             findings_text, recommendations, confidence, duration_ms, analyzed_at,
                             is_shadow, brightness)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
                      ON CONFLICT (instance_id, instance_sha256, network_sha256, network_name, network_version)
                      DO NOTHING";
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
            .bind(new.is_shadow)
            .bind(new.brightness)
            .execute(db)
            .await?;
        if written == 0 {
            let is_new_to_see = !new.is_shadow && Self::bring_to_light(db, clinic, new).await?;
            let find = "SELECT analysis_id FROM analyses
                         WHERE clinic_id = $1 AND instance_id = $2 AND instance_sha256 = $3 AND network_sha256 = $4
                           AND network_name = $5 AND network_version = $6";
            let id = sql(find)
                .bind(clinic)
                .bind(new.instance_id)
                .bind(&new.instance_sha256)
                .bind(&new.network_sha256)
                .bind(&new.network_name)
                .bind(&new.network_version)
                .fetch_one::<uuid::Uuid>(db)
                .await
                .map(AnalysisId::from)?;
            if is_new_to_see {
                Self::supersede_others(db, clinic, id, new, now).await?;
            }
            return Ok(id);
        }
        if let Outcome::Scored(labels) = &new.outcome {
            for label in labels {
                Finding::record(db, clinic, new.study_id, id, label).await?;
            }
        }
        if !new.is_shadow {
            Self::supersede_others(db, clinic, id, new, now).await?;
        }
        Ok(id)
    }

    /// Marks what `id` stands in for: of the same image what its network said before, and that no network was meant
    /// for it.
    async fn supersede_others(
        db: &mut Tx,
        clinic: ClinicId,
        id: AnalysisId,
        new: &NewAnalysis,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let before = if new.is_of_series {
            "instance_id IN (SELECT others.instance_id FROM instances AS own
                               JOIN instances AS others ON others.series_id = own.series_id
                              WHERE own.instance_id = $3) AND network_name = $5"
        } else {
            "instance_id = $3 AND (network_name = $5 OR network_sha256 = '')"
        };
        built_sql(format!(
            "UPDATE analyses SET superseded_at = $1
              WHERE clinic_id = $2 AND analysis_id <> $4 AND NOT is_shadow AND superseded_at IS NULL AND {before}"
        ))
            .bind(now)
            .bind(clinic)
            .bind(new.instance_id)
            .bind(id)
            .bind(&new.network_name)
            .execute(db)
            .await?;
        Ok(())
    }

    /// Whether it was in the shadow, or superseded.
    async fn bring_to_light(db: &mut Tx, clinic: ClinicId, new: &NewAnalysis) -> Result<bool> {
        let update = format!(
            "UPDATE analyses SET is_shadow = FALSE, superseded_at = NULL
                       WHERE clinic_id = $1 AND instance_id = $2 AND instance_sha256 = $3 AND network_sha256 = $4
                         AND network_name = $5 AND network_version = $6
                         AND {OUT_OF_SIGHT}"
        );
        built_sql(update)
            .bind(clinic)
            .bind(new.instance_id)
            .bind(&new.instance_sha256)
            .bind(&new.network_sha256)
            .bind(&new.network_name)
            .bind(&new.network_version)
            .execute(db)
            .await
            .map(|changed| changed > 0)
    }

    /// One analysis of one clinic.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: AnalysisId) -> Result<Self> {
        let found: Self =
            built_sql(format!("{SELECT} WHERE analyses.clinic_id = $1 AND analyses.analysis_id = $2"))
                .bind(clinic)
                .bind(id)
                .fetch_one(db)
                .await?;
        let findings = Finding::of_analysis(db, clinic, id).await?;
        Ok(Self { findings, ..found })
    }

    /// The analyses of an instance's present bytes, those with labels first; with those that newer ones stand in for,
    /// also those of its former bytes.
    pub async fn of_instance(
        db: &mut Conn,
        clinic: ClinicId,
        instance: InstanceId,
        superseded: Superseded,
    ) -> Result<Vec<Self>> {
        let newest = match superseded {
            Superseded::LeftOut => NEWEST_OF_PRESENT_BYTES,
            Superseded::Listed => "",
        };
        let rows = built_sql(format!(
            "{SELECT} WHERE analyses.clinic_id = $1 AND analyses.instance_id = $2{newest}
              ORDER BY analyses.abstention_code IS NOT NULL, analyses.abstention_code = 'no-network',
                       analyses.analyzed_at, analyses.network_name"
        ))
        .bind(clinic)
        .bind(instance)
        .fetch_all(db)
        .await?;
        Self::all_with_findings(rows, db, clinic).await
    }

    /// The analyses of a study's present bytes that no newer ones stand in for, in the order in which they were made.
    pub async fn of_study(db: &mut Conn, clinic: ClinicId, study: StudyId) -> Result<Vec<Self>> {
        let rows: Vec<Self> = built_sql(format!(
            "{SELECT} WHERE analyses.clinic_id = $1 AND analyses.study_id = $2{NEWEST_OF_PRESENT_BYTES}
              ORDER BY analyses.analysis_id"
        ))
        .bind(clinic)
        .bind(study)
        .fetch_all(db)
        .await?;
        let findings = Finding::of_study(db, clinic, study).await?;
        Ok(Self::joined(rows, findings))
    }

    /// Which networks have read the present bytes of each instance of a study, and whether what they said is out of
    /// sight: in the shadow, or superseded.
    pub async fn done_of_study(
        db: &mut Conn,
        clinic: ClinicId,
        study: StudyId,
    ) -> Result<HashMap<(InstanceId, NetworkKey), bool>> {
        let rows: Vec<Done> = built_sql(format!(
            "SELECT analyses.instance_id, analyses.network_name, analyses.network_version,
                        analyses.network_sha256, {OUT_OF_SIGHT} AS is_out_of_sight
                   FROM analyses JOIN instances ON instances.instance_id = analyses.instance_id
                  WHERE analyses.clinic_id = $1 AND analyses.study_id = $2
                    AND analyses.instance_sha256 = instances.sha256"
        ))
        .bind(clinic)
        .bind(study)
        .fetch_all(db)
        .await?;
        Ok(rows.into_iter().map(|done| ((done.instance_id, done.network), done.is_out_of_sight)).collect())
    }

    /// These analyses of a clinic, newest first; what is not there, or not shown, is left out.
    pub(super) async fn of_ids(db: &mut Conn, clinic: ClinicId, ids: &[AnalysisId]) -> Result<Vec<Self>> {
        let mut rows: Vec<Self> = Vec::with_capacity(ids.len());
        for piece in ids.chunks(AT_A_TIME) {
            let select = built_sql(format!(
                "{SELECT} WHERE analyses.clinic_id = $1 AND analyses.analysis_id IN ({})",
                places(2, piece.len())
            ));
            let select = piece.iter().fold(select.bind(clinic), |select, id| select.bind(*id));
            rows.extend(select.fetch_all::<Self>(db).await?);
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.analysis_id));
        Self::all_with_findings(rows, db, clinic).await
    }

    /// The analyses of those whom `shown` names, after `after`, newest first.
    pub async fn list(
        db: &mut Conn,
        clinic: ClinicId,
        superseded: Superseded,
        shown: Shown,
        after: Option<AnalysisId>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        let newest = match superseded {
            Superseded::LeftOut => " AND analyses.superseded_at IS NULL",
            Superseded::Listed => "",
        };
        let rows = Listing::of(format!("{SELECT} WHERE analyses.clinic_id = $1{newest}"))
            .shown("studies.patient_id", shown)
            .newest("analyses.analysis_id", after, clinic, limit)
            .fetch_all(db)
            .await?;
        Self::all_with_findings(rows, db, clinic).await
    }

    /// These analyses of a clinic, with their findings.
    async fn all_with_findings(rows: Vec<Self>, db: &mut Conn, clinic: ClinicId) -> Result<Vec<Self>> {
        let ids: Vec<AnalysisId> = rows.iter().map(|row| row.analysis_id).collect();
        let findings = Finding::of_analyses(db, clinic, &ids).await?;
        Ok(Self::joined(rows, findings))
    }

    /// Each analysis with those of the findings that are its own, in their order.
    fn joined(rows: Vec<Self>, all: Vec<Finding>) -> Vec<Self> {
        let mut findings: HashMap<AnalysisId, Vec<Finding>> = HashMap::new();
        for finding in all {
            findings.entry(finding.analysis_id).or_default().push(finding);
        }
        let with_findings = |row: Self| {
            let findings = findings.remove(&row.analysis_id).unwrap_or_default();
            Self { findings, ..row }
        };
        rows.into_iter().map(with_findings).collect()
    }

    /// The findings that physicians judge: those with a threshold, else all.
    pub fn to_judge(&self) -> impl Iterator<Item = &Finding> {
        let has_threshold = self.findings.iter().any(|finding| finding.threshold.is_some());
        self.findings.iter().filter(move |finding| finding.threshold.is_some() || !has_threshold)
    }

    /// Whether physicians have judged all that they judge of it.
    pub fn is_judged(&self) -> bool {
        let mut findings = self.to_judge().peekable();
        findings.peek().is_some() && findings.all(|finding| finding.review_state != ReviewState::Open)
    }
}

#[cfg(test)]
mod tests;
