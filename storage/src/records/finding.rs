//! A finding: one label of one analysis, open until a physician has judged it.

use chrono::{DateTime, Utc};
use clinical::id::{AnalysisId, ClinicId, FindingId, StudyId};
use clinical::imaging::{LabelScore, Region, ReviewState};

use super::listing::Listing;
use super::patient::Shown;
use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};

/// A stored finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Our identifier.
    pub finding_id: FindingId,
    /// The study.
    pub study_id: StudyId,
    /// The analysis that made it.
    pub analysis_id: AnalysisId,
    /// The label's stable code.
    pub label: String,
    /// What it means, for people.
    pub meaning: String,
    /// Calibrated probability, 0.0 to 1.0.
    pub probability: f64,
    /// At or above it the label counts as present.
    pub threshold: Option<f64>,
    /// The frame that gave the probability, counted from 0.
    pub frame: i64,
    /// Where it was seen.
    pub region: Option<Region>,
    /// Where it stands with the physicians.
    pub review_state: ReviewState,
    /// Who judged it.
    pub reviewed_by: Option<String>,
    /// When.
    pub reviewed_at: Option<DateTime<Utc>>,
    /// What they wrote.
    pub comment: Option<String>,
    /// The blob with the map of what counted for it; absent until it is made.
    pub saliency_key: Option<String>,
    /// The blob with the frame tinted by that map.
    pub overlay_key: Option<String>,
    /// When a newer analysis of the same image took its place.
    pub superseded_at: Option<DateTime<Utc>>,
}

/// What becomes of analyses, and their findings, that newer ones of the same images stand in for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Superseded {
    /// They are left out.
    #[default]
    LeftOut,
    /// They are listed too.
    Listed,
}

/// Which findings are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FindingFilter {
    /// Of this state alone.
    pub state: Option<ReviewState>,
    /// Of this study alone.
    pub study: Option<StudyId>,
    /// Whether those are listed that newer ones stand in for.
    pub superseded: Superseded,
}

/// How many findings wait for a physician.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// All.
    pub count: i64,
    /// Those that count as present.
    pub present_count: i64,
}

impl FromRow for Waiting {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { count: row.get("all_count")?, present_count: row.get("present_count")? })
    }
}

/// Of an instance that was not removed since, by a network that is shown.
const VISIBLE: &str = " AND NOT EXISTS (SELECT 1 FROM analyses
      JOIN instances ON instances.instance_id = analyses.instance_id
     WHERE analyses.analysis_id = findings.analysis_id
       AND (instances.hidden_at IS NOT NULL OR analyses.is_shadow))";
/// Of an analysis that no newer one stands in for.
const NEWEST: &str = " AND NOT EXISTS (SELECT 1 FROM analyses
     WHERE analyses.analysis_id = findings.analysis_id AND analyses.superseded_at IS NOT NULL)";
/// Whose finding it is.
const PATIENT: &str = "(SELECT studies.patient_id FROM studies WHERE studies.study_id = findings.study_id)";
const SELECT: &str =
    "SELECT finding_id, study_id, analysis_id, label, meaning, probability, threshold, frame,
           region, review_state, reviewed_by, reviewed_at, comment, saliency_key, overlay_key,
           (SELECT analyses.superseded_at FROM analyses
             WHERE analyses.analysis_id = findings.analysis_id) AS superseded_at FROM findings ";

impl FromRow for Finding {
    fn from_row(row: &Row) -> Result<Self> {
        let region: Option<serde_json::Value> = row.get("region")?;
        Ok(Self {
            finding_id: row.id("finding_id")?,
            study_id: row.id("study_id")?,
            analysis_id: row.id("analysis_id")?,
            label: row.get("label")?,
            meaning: row.get("meaning")?,
            probability: row.get("probability")?,
            threshold: row.get("threshold")?,
            frame: row.get("frame")?,
            region: region
                .map(serde_json::from_value)
                .transpose()
                .map_err(|_| DbError::Corrupt("region".to_owned()))?,
            review_state: row.parse("review_state")?,
            reviewed_by: row.get("reviewed_by")?,
            reviewed_at: row.get("reviewed_at")?,
            comment: row.get("comment")?,
            saliency_key: row.get("saliency_key")?,
            overlay_key: row.get("overlay_key")?,
            superseded_at: row.get("superseded_at")?,
        })
    }
}

/// So many analyses are asked for in one statement.
pub(super) const AT_A_TIME: usize = 500;

/// `count` arguments from `$first` on, as SQL lists them.
pub(super) fn places(first: usize, count: usize) -> String {
    let places: Vec<_> = (first..first + count).map(|number| format!("${number}")).collect();
    places.join(", ")
}

/// A physician's word on a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// Accepted or rejected.
    pub decision: ReviewState,
    /// Who says so.
    pub reviewer: String,
    /// What they write.
    pub comment: Option<String>,
}

impl Finding {
    pub(super) async fn record(
        db: &mut Tx,
        clinic: ClinicId,
        study: StudyId,
        analysis: AnalysisId,
        label: &LabelScore,
    ) -> Result<()> {
        let region = label.region.map(|region| serde_json::json!(region));
        let insert = "INSERT INTO findings (finding_id, clinic_id, study_id, analysis_id, label, meaning,
                             probability, threshold, frame, region, review_state)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'open')";
        sql(insert)
            .bind(FindingId::new())
            .bind(clinic)
            .bind(study)
            .bind(analysis)
            .bind(&label.label)
            .bind(&label.meaning)
            .bind(label.probability)
            .bind(label.threshold)
            .bind(label.frame)
            .bind(region)
            .execute(db)
            .await?;
        Ok(())
    }

    /// The findings of one analysis, the most probable first.
    pub async fn of_analysis(db: &mut Conn, clinic: ClinicId, analysis: AnalysisId) -> Result<Vec<Self>> {
        Self::of_analyses(db, clinic, &[analysis]).await
    }

    /// The findings of these analyses, those of one analysis the most probable first.
    pub(super) async fn of_analyses(
        db: &mut Conn,
        clinic: ClinicId,
        analyses: &[AnalysisId],
    ) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for piece in analyses.chunks(AT_A_TIME) {
            let select = built_sql(format!(
                "{SELECT} WHERE clinic_id = $1 AND analysis_id IN ({}) ORDER BY probability DESC, label",
                places(2, piece.len())
            ));
            let select = piece.iter().fold(select.bind(clinic), |select, id| select.bind(*id));
            found.extend(select.fetch_all::<Self>(db).await?);
        }
        Ok(found)
    }

    /// The findings of a study, those of one analysis the most probable first.
    pub async fn of_study(db: &mut Conn, clinic: ClinicId, study: StudyId) -> Result<Vec<Self>> {
        built_sql(format!(
            "{SELECT} WHERE clinic_id = $1 AND study_id = $2{VISIBLE} ORDER BY probability DESC, label"
        ))
        .bind(clinic)
        .bind(study)
        .fetch_all(db)
        .await
    }

    /// How many of a study's findings wait for a physician; of analyses that newer ones stand in for, none does.
    pub async fn waiting(db: &mut Conn, clinic: ClinicId, study: StudyId) -> Result<Waiting> {
        built_sql(format!(
            "SELECT count(*) AS all_count, count(CASE WHEN probability >= threshold THEN 1 END) AS present_count
               FROM findings WHERE clinic_id = $1 AND study_id = $2 AND review_state = 'open'{VISIBLE}{NEWEST}"
        ))
        .bind(clinic)
        .bind(study)
        .fetch_one(db)
        .await
    }

    /// One finding of one clinic.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: FindingId) -> Result<Self> {
        built_sql(format!("{SELECT} WHERE clinic_id = $1 AND finding_id = $2{VISIBLE}"))
            .bind(clinic)
            .bind(id)
            .fetch_one(db)
            .await
    }

    /// The findings that `filter` asks for, of those whom `shown` names, after `after`, newest first.
    pub async fn list(
        db: &mut Conn,
        clinic: ClinicId,
        filter: FindingFilter,
        shown: Shown,
        after: Option<FindingId>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        let newest = if filter.superseded == Superseded::LeftOut { NEWEST } else { "" };
        Listing::of(format!("{SELECT} WHERE clinic_id = $1{VISIBLE}{newest}"))
            .by("review_state =", filter.state.map(ReviewState::as_str))
            .by("study_id =", filter.study)
            .shown(PATIENT, shown)
            .newest("finding_id", after, clinic, limit)
            .fetch_all(db)
            .await
    }

    /// Names the blobs with the map of what counted for it, and the frame tinted by it; `false`, and nothing is
    /// written, where the clinic has no such finding or it has its map already.
    pub async fn explain(
        db: &mut Tx,
        clinic: ClinicId,
        id: FindingId,
        saliency_key: &str,
        overlay_key: &str,
    ) -> Result<bool> {
        let update = "UPDATE findings SET saliency_key = $3, overlay_key = $4
                       WHERE clinic_id = $1 AND finding_id = $2 AND saliency_key IS NULL";
        let changed =
            sql(update).bind(clinic).bind(id).bind(saliency_key).bind(overlay_key).execute(db).await?;
        Ok(changed == 1)
    }

    /// Writes a physician's word; a later one stands in place of an earlier.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when the clinic has no such finding.
    pub async fn review(
        db: &mut Tx,
        clinic: ClinicId,
        id: FindingId,
        review: &Review,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let update = "UPDATE findings SET review_state = $3, reviewed_by = $4, reviewed_at = $5, comment = $6
                       WHERE clinic_id = $1 AND finding_id = $2";
        let changed = sql(update)
            .bind(clinic)
            .bind(id)
            .bind(review.decision.as_str())
            .bind(&review.reviewer)
            .bind(now)
            .bind(review.comment.clone())
            .execute(db)
            .await?;
        if changed == 0 { Err(DbError::NotFound) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use clinical::imaging::Outcome;

    use super::*;
    use crate::records::analysis::Analysis;
    use crate::records::instance::named_among;
    use crate::testing::{now, on_both, scored, stored_image};

    #[tokio::test]
    async fn a_finding_is_open_until_it_is_reviewed() {
        on_both(async |db| {
            let clinic = ClinicId::DEFAULT;
            let mut tx = db.begin().await.unwrap();
            let (study, instance) = stored_image(&mut tx).await;
            Analysis::record(&mut tx, clinic, &scored(study, instance, "aa", 0.9), now()).await.unwrap();
            let only_open = FindingFilter { state: Some(ReviewState::Open), ..FindingFilter::default() };
            let open = Finding::list(&mut tx, clinic, only_open, Shown::Everybody, None, 10).await.unwrap();
            assert_eq!(open.len(), 1);

            let review = Review {
                decision: ReviewState::Rejected,
                reviewer: "dr-test".into(),
                comment: Some("rotated".into()),
            };
            Finding::review(&mut tx, clinic, open[0].finding_id, &review, now()).await.unwrap();
            let found = Finding::find(&mut tx, clinic, open[0].finding_id).await.unwrap();
            assert_eq!(found.review_state, ReviewState::Rejected);
            assert_eq!(found.reviewed_at, Some(now()));
            let of_study = FindingFilter { study: Some(study), ..only_open };
            let still = Finding::list(&mut tx, clinic, of_study, Shown::Everybody, None, 10).await;
            assert_eq!(still.unwrap(), []);
            let elsewhere = Finding::review(&mut tx, ClinicId::new(), found.finding_id, &review, now()).await;
            assert!(matches!(elsewhere, Err(DbError::NotFound)));
        })
        .await;
    }

    #[tokio::test]
    async fn a_finding_is_explained_once_and_its_blobs_are_named() {
        on_both(async |db| {
            let clinic = ClinicId::DEFAULT;
            let mut tx = db.begin().await.unwrap();
            let (study, instance) = stored_image(&mut tx).await;
            let run = scored(study, instance, "aa", 0.9);
            let analysis = Analysis::record(&mut tx, clinic, &run, now()).await.unwrap();
            let id = Finding::of_analysis(&mut tx, clinic, analysis).await.unwrap()[0].finding_id;
            assert!(!Finding::explain(&mut tx, ClinicId::new(), id, "x", "y").await.unwrap());
            assert!(Finding::explain(&mut tx, clinic, id, "map", "tinted").await.unwrap());
            assert!(
                !Finding::explain(&mut tx, clinic, id, "other", "other").await.unwrap(),
                "it has its map"
            );
            let found = Finding::find(&mut tx, clinic, id).await.unwrap();
            assert_eq!(found.saliency_key.as_deref(), Some("map"));
            assert_eq!(found.overlay_key.as_deref(), Some("tinted"));
            let asked = ["map", "other", "tinted"].map(str::to_owned);
            let named = named_among(&mut tx, &asked).await.unwrap();
            assert_eq!(named, ["map", "tinted"].map(str::to_owned).into());
        })
        .await;
    }

    #[tokio::test]
    async fn two_boxes_of_one_label_are_two_findings() {
        on_both(async |db| {
            let clinic = ClinicId::DEFAULT;
            let mut tx = db.begin().await.unwrap();
            let (study, instance) = stored_image(&mut tx).await;
            let mut run = scored(study, instance, "aa", 0.9);
            let Outcome::Scored(scores) = &mut run.outcome else { panic!("it is scored") };
            let region = Region { frame: 0, left: 0.5, top: 0.25, width: 0.125, height: 0.25 };
            scores.push(LabelScore { probability: 0.75, region: Some(region), ..scores[0].clone() });
            let id = Analysis::record(&mut tx, clinic, &run, now()).await.unwrap();
            let found = Finding::of_analysis(&mut tx, clinic, id).await.unwrap();
            assert_eq!((found.len(), found[1].region), (2, Some(region)));
        })
        .await;
    }
}
