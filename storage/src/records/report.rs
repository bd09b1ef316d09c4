//! What is made of findings: which objects a clinic wants, and what says that they are no longer true.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use clinical::fhir::{DiagnosticReportRecord, FindingRecord, NetworkRecord};
use clinical::id::{AnalysisId, ClinicId, FindingId, PatientId, StudyId};
use clinical::imaging::ResultKind;
use uuid::Uuid;

use super::analysis::{Analysis, NEWEST_OF_PRESENT_BYTES};
use super::clinic::{Clinic, global_settings};
use crate::db::{Conn, DbError, FromRow, Result, Row, Value, built_sql};

/// The name of the setting.
const SETTING: &str = "resultObjects";

/// Which objects the clinic wants: its own setting, else the global one, else [`ResultKind::USUAL`].
pub async fn wanted(db: &mut Conn, clinic: ClinicId) -> Result<Vec<ResultKind>> {
    let own = Clinic::find(db, clinic).await?.settings;
    let global = global_settings(db).await?;
    let value = own.get(SETTING).or_else(|| global.get(SETTING)).filter(|value| !value.is_null());
    match value {
        Some(value) => {
            serde_json::from_value(value.clone()).map_err(|_| DbError::Corrupt("clinics.settings".to_owned()))
        }
        None => Ok(ResultKind::USUAL.to_vec()),
    }
}

/// A finding as FHIR's `Observation` tells of it.
struct Observed(FindingRecord);

impl FromRow for Observed {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self(FindingRecord {
            finding_id: row.id("finding_id")?,
            study_id: row.id("study_id")?,
            patient_id: row.id("patient_id")?,
            label: row.get("label")?,
            meaning: row.get("meaning")?,
            probability: row.get("probability")?,
            threshold: row.get("threshold")?,
            review_state: row.parse("review_state")?,
            reviewed_by: row.get("reviewed_by")?,
            reviewed_at: row.get("reviewed_at")?,
            comment: row.get("comment")?,
            network: NetworkRecord {
                name: row.get("network_name")?,
                version: row.get("network_version")?,
                sha256: row.get("network_sha256")?,
            },
            analyzed_at: row.get("analyzed_at")?,
        }))
    }
}

/// Of an instance that was not removed since, by a network that is shown; SQLite keeps this order of the tables.
const OBSERVED: &str =
    "SELECT findings.finding_id, findings.study_id, studies.patient_id, findings.label, findings.meaning,
            findings.probability, findings.threshold, findings.review_state, findings.reviewed_by,
            findings.reviewed_at, findings.comment, analyses.network_name, analyses.network_version,
            analyses.network_sha256, analyses.analyzed_at
       FROM studies CROSS JOIN findings
       JOIN analyses ON analyses.analysis_id = findings.analysis_id AND NOT analyses.is_shadow
       JOIN instances ON instances.instance_id = analyses.instance_id AND instances.hidden_at IS NULL
      WHERE findings.study_id = studies.study_id AND studies.clinic_id = $1";

/// The findings of a patient, newest first, from before `after` on: of present bytes, by analyses that no newer ones
/// stand in for.
pub async fn observed_of(
    db: &mut Conn,
    clinic: ClinicId,
    patient: PatientId,
    after: Option<FindingId>,
    limit: i64,
) -> Result<Vec<FindingRecord>> {
    let found: Vec<Observed> = built_sql(format!(
        "{OBSERVED}{NEWEST_OF_PRESENT_BYTES} AND studies.patient_id = $2 AND findings.finding_id < $3
          ORDER BY findings.finding_id DESC LIMIT $4"
    ))
    .bind(clinic)
    .bind(patient)
    .bind(after.unwrap_or(FindingId(Uuid::max())))
    .bind(limit)
    .fetch_all(db)
    .await?;
    Ok(found.into_iter().map(|observed| observed.0).collect())
}

/// One finding of one clinic, also where a newer analysis stands in for its own.
///
/// # Errors
///
/// [`DbError::NotFound`] when the clinic has none of that identifier.
pub async fn observed(db: &mut Conn, clinic: ClinicId, id: FindingId) -> Result<FindingRecord> {
    let found: Observed = built_sql(format!("{OBSERVED} AND findings.finding_id = $2"))
        .bind(clinic)
        .bind(id)
        .fetch_one(db)
        .await?;
    Ok(found.0)
}

/// Whose reports are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// All of a patient.
    Patient(PatientId),
    /// Those of one study.
    Study(StudyId),
}

/// The analyses of a patient or a study, newest first, from before `after` on: of present bytes, and with no newer ones
/// that stand in for them.
pub async fn reports_of(
    db: &mut Conn,
    clinic: ClinicId,
    whose: Whose,
    after: Option<AnalysisId>,
    limit: i64,
) -> Result<Vec<Analysis>> {
    let (condition, id) = match whose {
        Whose::Patient(patient) => ("studies.patient_id = $2", Value::from(patient)),
        Whose::Study(study) => ("studies.study_id = $2", Value::from(study)),
    };
    let ids: Vec<Uuid> = built_sql(format!(
        "SELECT analyses.analysis_id FROM studies CROSS JOIN analyses
           JOIN instances ON instances.instance_id = analyses.instance_id AND instances.hidden_at IS NULL
          WHERE analyses.study_id = studies.study_id AND studies.clinic_id = $1 AND {condition}
            AND NOT analyses.is_shadow{NEWEST_OF_PRESENT_BYTES} AND analyses.analysis_id < $3
          ORDER BY analyses.analysis_id DESC LIMIT $4"
    ))
    .bind(clinic)
    .bind(id)
    .bind(after.unwrap_or(AnalysisId(Uuid::max())))
    .bind(limit)
    .fetch_all(db)
    .await?;
    let ids: Vec<AnalysisId> = ids.into_iter().map(AnalysisId).collect();
    Analysis::of_ids(db, clinic, &ids).await
}

/// An analysis as FHIR's `DiagnosticReport` tells of it.
pub fn diagnostic_report_of(analysis: &Analysis) -> DiagnosticReportRecord {
    let findings = analysis.findings.iter();
    DiagnosticReportRecord {
        analysis_id: analysis.analysis_id,
        study_id: analysis.study_id,
        patient_id: analysis.patient_id,
        network: NetworkRecord {
            name: analysis.network_name.clone(),
            version: analysis.network_version.clone(),
            sha256: analysis.network_sha256.clone(),
        },
        abstention: analysis.abstention.clone(),
        conclusion: analysis.findings_text.clone(),
        analyzed_at: analysis.analyzed_at,
        said_at: said_at([analysis]).unwrap_or(analysis.analyzed_at),
        findings: findings.map(|it| (it.finding_id, it.review_state, it.reviewed_by.clone())).collect(),
        is_judged: analysis.is_judged(),
    }
}

/// A text that is another as soon as a physician has said something else of one of the analyses, or there is one more.
pub fn state_of<'a>(analyses: impl IntoIterator<Item = &'a Analysis>) -> String {
    let mut state = String::new();
    for analysis in analyses {
        let _ = write!(state, "{};", analysis.analysis_id);
        let mut reviews: Vec<_> = analysis
            .findings
            .iter()
            .filter_map(|it| Some((it.finding_id, it.review_state.as_str(), it.reviewed_at?)))
            .collect();
        reviews.sort_by_key(|(finding_id, ..)| *finding_id);
        for (finding_id, word, at) in reviews {
            let _ = write!(state, "{finding_id}:{word}:{};", at.timestamp_micros());
        }
    }
    state
}

/// When the last of it was said, by a network or by a physician; `None` of nothing.
pub fn said_at<'a>(analyses: impl IntoIterator<Item = &'a Analysis>) -> Option<DateTime<Utc>> {
    let times = |analysis: &'a Analysis| {
        let reviews = analysis.findings.iter().filter_map(|finding| finding.reviewed_at);
        reviews.chain([analysis.analyzed_at]).max()
    };
    analyses.into_iter().filter_map(times).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::sql;
    use crate::records::analysis::NewAnalysis;
    use crate::records::clinic::{Settings, set_globally};
    use crate::records::finding::{Finding, Review};
    use crate::testing::{instance_facts, now, on_both, place_of, scored};
    use chrono::TimeDelta;
    use clinical::imaging::ReviewState;

    #[tokio::test]
    async fn the_clinics_own_choice_stands_before_the_global_one_and_ours() {
        on_both(async |db| {
            let clinic = ClinicId::DEFAULT;
            let mut tx = db.begin().await.unwrap();
            assert_eq!(wanted(&mut tx, clinic).await.unwrap(), ResultKind::USUAL);
            let set = |kinds: serde_json::Value| Settings::from([(SETTING.to_owned(), kinds)]);
            set_globally(&mut tx, &set(serde_json::json!(["abstention-report"]))).await.unwrap();
            assert_eq!(wanted(&mut tx, clinic).await.unwrap(), [ResultKind::AbstentionReport]);
            Clinic::set(&mut tx, clinic, &set(serde_json::json!([]))).await.unwrap();
            assert_eq!(wanted(&mut tx, clinic).await.unwrap(), []);
            Clinic::set(&mut tx, clinic, &set(serde_json::json!(["poem"]))).await.unwrap();
            assert!(matches!(wanted(&mut tx, clinic).await, Err(DbError::Corrupt(_))));
        })
        .await;
    }

    #[tokio::test]
    async fn what_a_newer_analysis_or_newer_bytes_stand_in_for_is_told_no_more() {
        on_both(async |db| {
            let clinic = ClinicId::DEFAULT;
            let mut tx = db.begin().await.unwrap();
            let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
            let instance = place.insert(&mut tx, &instance_facts("1.2.3.1.1", "aa"), now()).await.unwrap();
            let first = scored(place.study_id, instance, "aa", 0.9);
            let newer = NewAnalysis {
                network_version: "2".into(),
                network_sha256: "dd".into(),
                ..scored(place.study_id, instance, "aa", 0.25)
            };
            let mut ids = Vec::new();
            for run in [&first, &newer] {
                ids.push(Analysis::record(&mut tx, clinic, run, now()).await.unwrap());
            }
            let reports = reports_of(&mut tx, clinic, Whose::Study(place.study_id), None, 9).await.unwrap();
            assert_eq!(reports.iter().map(|it| it.analysis_id).collect::<Vec<_>>(), ids[1..]);
            let patient = reports[0].patient_id;
            let seen = observed_of(&mut tx, clinic, patient, None, 9).await.unwrap();
            assert_eq!(seen.iter().map(|it| it.probability).collect::<Vec<_>>(), [0.25]);
            let former = Finding::of_analysis(&mut tx, clinic, ids[0]).await.unwrap();
            assert!(
                observed(&mut tx, clinic, former[0].finding_id).await.is_ok(),
                "who knows it still finds it"
            );

            sql("UPDATE instances SET sha256 = 'bb'").execute(&mut tx).await.unwrap();
            assert_eq!(observed_of(&mut tx, clinic, patient, None, 9).await.unwrap(), []);
            let whose = Whose::Patient(patient);
            assert_eq!(reports_of(&mut tx, clinic, whose, None, 9).await.unwrap(), []);
        })
        .await;
    }

    #[tokio::test]
    async fn a_review_makes_another_state_and_another_time() {
        on_both(async |db| {
            let clinic = ClinicId::DEFAULT;
            let mut tx = db.begin().await.unwrap();
            let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
            let instance = place.insert(&mut tx, &instance_facts("1.2.3.1.1", "aa"), now()).await.unwrap();
            let run = scored(place.study_id, instance, "aa", 0.9);
            Analysis::record(&mut tx, clinic, &run, now()).await.unwrap();
            let listed = reports_of(&mut tx, clinic, Whose::Study(place.study_id), None, 9).await.unwrap();
            let patient = listed[0].patient_id;
            assert_eq!(reports_of(&mut tx, clinic, Whose::Patient(patient), None, 9).await.unwrap(), listed);
            let seen = observed_of(&mut tx, clinic, patient, None, 9).await.unwrap();
            assert_eq!((seen.len(), seen[0].network.name.as_str()), (1, "example"));
            assert_eq!(observed(&mut tx, clinic, seen[0].finding_id).await.unwrap(), seen[0]);
            assert_eq!(observed_of(&mut tx, clinic, patient, Some(seen[0].finding_id), 9).await.unwrap(), []);
            assert!(matches!(
                observed(&mut tx, ClinicId::new(), seen[0].finding_id).await,
                Err(DbError::NotFound)
            ));
            let before = Analysis::of_study(&mut tx, clinic, place.study_id).await.unwrap();
            let again = Analysis::of_study(&mut tx, clinic, place.study_id).await.unwrap();
            assert_eq!(state_of(&before), state_of(&again));
            assert_eq!((said_at(&before), before[0].is_judged()), (Some(now()), false));

            let review =
                Review { decision: ReviewState::Accepted, reviewer: "dr-test".into(), comment: None };
            let later = now() + TimeDelta::minutes(5);
            let finding = before[0].findings[0].finding_id;
            Finding::review(&mut tx, clinic, finding, &review, later).await.unwrap();
            let after = Analysis::of_study(&mut tx, clinic, place.study_id).await.unwrap();
            assert_ne!(state_of(&before), state_of(&after));
            assert_eq!((said_at(&after), after[0].is_judged()), (Some(later), true));
            assert_eq!(said_at(&[]), None);
        })
        .await;
    }
}
