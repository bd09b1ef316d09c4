//! What a network that nobody is shown would have said, beside what was said.

use clinical::id::ClinicId;

use crate::db::{Conn, FromRow, Result, Row, Statement, built_sql};

/// How often a network ran in the shadow, and how often it would not look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShadowRuns {
    /// Analyses that nobody was shown.
    pub analyses: i64,
    /// Those of them that are abstentions.
    pub abstentions: i64,
}

impl FromRow for ShadowRuns {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { analyses: row.get("analyses")?, abstentions: row.get("abstentions")? })
    }
}

/// One label of a network in the shadow beside the same label of one that was shown, over the images of both.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Name of the network in the shadow's rival.
    pub against_name: String,
    /// Its version.
    pub against_version: String,
    /// The label that both know.
    pub label: String,
    /// Images for which both gave a probability.
    pub images: i64,
    /// Images that both call positive.
    pub both_positive: i64,
    /// Images that neither does.
    pub both_negative: i64,
    /// Images that only the network in the shadow calls positive.
    pub shadow_only: i64,
    /// Images that only the shown one does.
    pub shown_only: i64,
    /// The mean of shadow minus shown, in probability.
    pub mean_difference: f64,
    /// The mean size of that difference.
    pub mean_absolute_difference: f64,
    /// Its largest size.
    pub largest_difference: f64,
}

impl Comparison {
    /// Share of the images on which both agree, 0.0 to 1.0.
    pub fn agreement(&self) -> f64 {
        (self.both_positive + self.both_negative) as f64 / self.images.max(1) as f64
    }
}

impl FromRow for Comparison {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            against_name: row.get("network_name")?,
            against_version: row.get("network_version")?,
            label: row.get("label")?,
            images: row.get("images")?,
            both_positive: row.get("both_positive")?,
            both_negative: row.get("both_negative")?,
            shadow_only: row.get("shadow_only")?,
            shown_only: row.get("shown_only")?,
            mean_difference: row.get("mean_difference")?,
            mean_absolute_difference: row.get("mean_absolute_difference")?,
            largest_difference: row.get("largest_difference")?,
        })
    }
}

/// How often one version of a network ran in the shadow, in one clinic or in all.
pub async fn shadow_runs(
    db: &mut Conn,
    clinic: Option<ClinicId>,
    name: &str,
    version: &str,
) -> Result<ShadowRuns> {
    let text = format!(
        "SELECT COUNT(*) AS analyses, COUNT(abstention_code) AS abstentions FROM analyses AS shadow
          WHERE network_name = $1 AND network_version = $2 AND is_shadow{}",
        of_clinic(clinic)
    );
    bound(text, clinic, name, version).fetch_one(db).await
}

/// One version of a network in the shadow beside every network that was shown, label by label, in one clinic or in all.
///
/// Only images whose bytes both have read count, each once: of a label that was found more than once in it, the most
/// probable one. Labels with a threshold on both cards say who calls what positive.
pub async fn compare(
    db: &mut Conn,
    clinic: Option<ClinicId>,
    name: &str,
    version: &str,
) -> Result<Vec<Comparison>> {
    const BY_SHADOW: &str = "our_threshold IS NOT NULL AND ours >= our_threshold";
    const BY_SHOWN: &str = "their_threshold IS NOT NULL AND theirs >= their_threshold";
    let count = |shadow: &str, shown: &str| {
        format!("COUNT(CASE WHEN {shadow} ({BY_SHADOW}) AND {shown} ({BY_SHOWN}) THEN 1 END)")
    };
    let text = format!(
        "SELECT network_name, network_version, label, COUNT(*) AS images,
                {both} AS both_positive, {neither} AS both_negative, {only} AS shadow_only, {other} AS shown_only,
                AVG(ours - theirs) AS mean_difference, AVG(ABS(ours - theirs)) AS mean_absolute_difference,
                MAX(ABS(ours - theirs)) AS largest_difference
           FROM (SELECT shown.network_name, shown.network_version, our_findings.label,
                        MAX(our_findings.probability) AS ours, MAX(our_findings.threshold) AS our_threshold,
                        MAX(their_findings.probability) AS theirs,
                        MAX(their_findings.threshold) AS their_threshold
                   FROM analyses AS shadow
                   JOIN analyses AS shown ON shown.instance_id = shadow.instance_id
                    AND shown.instance_sha256 = shadow.instance_sha256 AND NOT shown.is_shadow
                   JOIN findings AS our_findings ON our_findings.analysis_id = shadow.analysis_id
                   JOIN findings AS their_findings ON their_findings.analysis_id = shown.analysis_id
                    AND their_findings.label = our_findings.label
                  WHERE shadow.network_name = $1 AND shadow.network_version = $2 AND shadow.is_shadow{clinics}
                  GROUP BY shadow.analysis_id, shown.analysis_id, shown.network_name, shown.network_version,
                        our_findings.label) AS images
          GROUP BY network_name, network_version, label
          ORDER BY network_name, network_version, label",
        both = count("", ""),
        neither = count("NOT", "NOT"),
        only = count("", "NOT"),
        other = count("NOT", ""),
        clinics = of_clinic(clinic),
    );
    bound(text, clinic, name, version).fetch_all(db).await
}

fn of_clinic(clinic: Option<ClinicId>) -> &'static str {
    if clinic.is_some() { " AND shadow.clinic_id = $3" } else { "" }
}

fn bound(text: String, clinic: Option<ClinicId>, name: &str, version: &str) -> Statement {
    let statement = built_sql(text).bind(name).bind(version);
    match clinic {
        Some(clinic) => statement.bind(clinic),
        None => statement,
    }
}

#[cfg(test)]
mod tests {
    use clinical::imaging::{Abstention, AbstentionCode, Outcome};

    use super::*;
    use crate::records::analysis::{Analysis, NewAnalysis};
    use crate::testing::{instance_facts, now, on_both, place_of, scored, scored_twice, stored_image};

    /// By hand: of 0.9 and 0.2 shown and 0.7 and 0.6 in the shadow, the differences are -0.2 and 0.4.
    #[tokio::test]
    async fn agreement_and_differences_are_counted_over_the_images_of_both() {
        on_both(async |db| {
            let clinic = ClinicId::DEFAULT;
            let mut tx = db.begin().await.unwrap();
            let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
            for (number, shown, shadow) in
                [(1, Some(0.9), Some(0.7)), (2, Some(0.2), Some(0.6)), (3, Some(0.9), None)]
            {
                let facts = instance_facts(&format!("1.2.3.1.{number}"), "aa");
                let instance = place.insert(&mut tx, &facts, now()).await.unwrap();
                for (probability, is_shadow) in [(shown, false), (shadow, true)] {
                    let why = Abstention { code: AbstentionCode::PoorQuality, reason: "empty".into() };
                    let run = scored(place.study_id, instance, "aa", probability.unwrap_or(0.0));
                    let run = NewAnalysis {
                        is_shadow,
                        network_version: if is_shadow { "2" } else { "1" }.to_owned(),
                        network_sha256: format!("{is_shadow}"),
                        outcome: if probability.is_some() { run.outcome } else { Outcome::Abstained(why) },
                        ..scored(place.study_id, instance, "aa", 0.0)
                    };
                    Analysis::record(&mut tx, clinic, &run, now()).await.unwrap();
                }
            }
            tx.commit().await.unwrap();
            let name = scored(place.study_id, clinical::id::InstanceId::new(), "aa", 0.0).network_name;
            let mut read = db.read().await.unwrap();
            for clinic in [Some(clinic), None] {
                let runs = shadow_runs(&mut read, clinic, &name, "2").await.unwrap();
                assert_eq!(runs, ShadowRuns { analyses: 3, abstentions: 1 });
                let found = compare(&mut read, clinic, &name, "2").await.unwrap();
                let [one] = found.as_slice() else { panic!("{found:?}") };
                assert_eq!((one.images, one.both_positive, one.both_negative), (2, 1, 0));
                assert_eq!((one.shadow_only, one.shown_only), (1, 0));
                assert_eq!(one.agreement(), 0.5);
                assert!((one.mean_difference - 0.1).abs() < 1e-6, "{one:?}");
                assert!((one.mean_absolute_difference - 0.3).abs() < 1e-6, "{one:?}");
                assert!((one.largest_difference - 0.4).abs() < 1e-6, "{one:?}");
            }
            let other = Some(ClinicId::new());
            assert_eq!(compare(&mut read, other, &name, "2").await.unwrap(), []);
        })
        .await;
    }

    #[tokio::test]
    async fn an_image_with_many_boxes_of_a_label_counts_once() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let (study, instance) = stored_image(&mut tx).await;
            let shown = scored_twice(study, instance, [0.25, 0.75]);
            let shadow = NewAnalysis {
                is_shadow: true,
                network_version: "2".to_owned(),
                network_sha256: "dd".to_owned(),
                ..scored_twice(study, instance, [0.125, 0.5])
            };
            for run in [&shown, &shadow] {
                Analysis::record(&mut tx, ClinicId::DEFAULT, run, now()).await.unwrap();
            }
            let found = compare(&mut tx, None, &shown.network_name, "2").await.unwrap();
            let [one] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!((one.images, one.both_positive), (1, 1));
            assert_eq!((one.mean_difference, one.largest_difference), (-0.25, 0.25));
        })
        .await;
    }
}
