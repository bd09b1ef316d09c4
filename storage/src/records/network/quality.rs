//! How a network does where it runs: the images that statistics are made of.

use clinical::id::{ClinicId, PatientId};
use clinical::imaging::ReviewState;

use crate::db::{Conn, FromRow, Result, Row, built_sql};

/// One shown analysis, with what was said of one label.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Whose clinic's it is.
    pub clinic_id: ClinicId,
    /// Whose image it is.
    pub patient_id: PatientId,
    /// Patient's Birth Date (0010,0030), as stored.
    pub birth_date: Option<String>,
    /// Study Date (0008,0020), as stored.
    pub study_date: Option<String>,
    /// Modality (0008,0060).
    pub modality: Option<String>,
    /// Manufacturer (0008,0070).
    pub manufacturer: Option<String>,
    /// Manufacturer's Model Name (0008,1090).
    pub model: Option<String>,
    /// The mean brightness of what the network was shown, 0.0 to 1.0; absent where that was not kept.
    pub brightness: Option<f64>,
    /// The code of the abstention, where the network would not look.
    pub abstention_code: Option<String>,
    /// What was said of the label; absent where the network would not look.
    pub said: Option<Said>,
}

/// What was said of a label, by the network and then by a physician.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Said {
    /// Calibrated probability, 0.0 to 1.0.
    pub probability: f64,
    /// At or above it the label counts as present.
    pub threshold: Option<f64>,
    /// Whether a physician has agreed.
    pub review_state: ReviewState,
}

impl Said {
    /// Whether the network calls the label present.
    pub fn is_positive(&self) -> bool {
        self.threshold.is_some_and(|threshold| self.probability >= threshold)
    }

    /// Whether the label is there by the physician's word, who accepts or rejects what the network calls it; `None` until
    /// there is one, and for a label that is only shown.
    pub fn is_present(&self) -> Option<bool> {
        self.threshold?;
        match self.review_state {
            ReviewState::Open => None,
            ReviewState::Accepted => Some(self.is_positive()),
            ReviewState::Rejected => Some(!self.is_positive()),
        }
    }
}

/// Which images are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that the network read first.
    First,
    /// Those that it read last.
    Newest,
    /// Those that it read last, of which a physician has judged the label.
    NewestReviewed,
}

impl FromRow for Sample {
    fn from_row(row: &Row) -> Result<Self> {
        let probability: Option<f64> = row.get("probability")?;
        let said = match probability {
            Some(probability) => Some(Said {
                probability,
                threshold: row.get("threshold")?,
                review_state: row.parse("review_state")?,
            }),
            None => None,
        };
        Ok(Self {
            clinic_id: row.id("clinic_id")?,
            patient_id: row.id("patient_id")?,
            birth_date: row.get("birth_date")?,
            study_date: row.get("study_date")?,
            modality: row.get("modality")?,
            manufacturer: row.get("manufacturer")?,
            model: row.get("model")?,
            brightness: row.get("brightness")?,
            abstention_code: row.get("abstention_code")?,
            said,
        })
    }
}

/// At most `limit` images that one version of a network read and that are shown, in one clinic or in all, with what was
/// said of `label`, where it was found more than once of the most probable one: the first in the order in which they were
/// read, the newest the other way round.
pub async fn samples(
    db: &mut Conn,
    clinic: Option<ClinicId>,
    (name, version): (&str, &str),
    label: &str,
    which: Which,
    limit: i64,
) -> Result<Vec<Sample>> {
    let of_clinic = if clinic.is_some() { " AND analyses.clinic_id = $5" } else { "" };
    let order = if which == Which::First { "" } else { " DESC" };
    let of_label = |table: &str| {
        let reviewed = match which {
            Which::First | Which::Newest => String::new(),
            Which::NewestReviewed => format!(" AND {table}.review_state <> 'open'"),
        };
        format!("{table}.analysis_id = analyses.analysis_id AND {table}.label = $3{reviewed}")
    };
    let (own, others) = (of_label("findings"), of_label("others"));
    let surest = |column: &str| {
        format!(
            "(SELECT findings.{column} FROM findings
               WHERE {own} AND NOT EXISTS
                     (SELECT 1 FROM findings AS others
                       WHERE {others} AND (others.probability > findings.probability
                             OR (others.probability = findings.probability
                                 AND others.finding_id < findings.finding_id)))) AS {column}"
        )
    };
    let wanted = match which {
        Which::First | Which::Newest => String::new(),
        Which::NewestReviewed => format!(" AND EXISTS (SELECT 1 FROM findings WHERE {own})"),
    };
    let statement = built_sql(format!(
        "SELECT analyses.clinic_id, studies.patient_id, patients.birth_date, studies.study_date,
                series.modality, series.manufacturer, series.model, analyses.brightness, analyses.abstention_code,
                {}, {}, {}
           FROM analyses
           JOIN instances ON instances.instance_id = analyses.instance_id AND instances.hidden_at IS NULL
           JOIN series ON series.series_id = instances.series_id
           JOIN studies ON studies.study_id = analyses.study_id
           JOIN patients ON patients.patient_id = studies.patient_id
          WHERE analyses.network_name = $1 AND analyses.network_version = $2
            AND analyses.is_shadow = FALSE{of_clinic}{wanted}
          ORDER BY analyses.analysis_id{order} LIMIT $4",
        surest("probability"),
        surest("threshold"),
        surest("review_state"),
    ))
    .bind(name)
    .bind(version)
    .bind(label)
    .bind(limit);
    match clinic {
        Some(clinic) => statement.bind(clinic),
        None => statement,
    }
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use clinical::imaging::{Abstention, AbstentionCode, Outcome};

    use super::*;
    use crate::db::Tx;
    use crate::plan::assert_reads_along;
    use crate::records::analysis::{Analysis, NewAnalysis};
    use crate::records::finding::{Finding, Review};
    use crate::testing::{instance_facts, now, on_both, place_of, scored, scored_twice, stored_image};

    const OURS: Option<ClinicId> = Some(ClinicId::DEFAULT);
    const EXAMPLE: (&str, &str) = ("example", "1");

    /// A physician who rejects a negative call says that the label is there.
    #[tokio::test]
    async fn samples_tell_what_network_and_physician_said_of_each_shown_image() {
        on_both(async |db| {
            let clinic = ClinicId::DEFAULT;
            let mut tx = db.begin().await.unwrap();
            let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
            for (number, probability) in [(1, Some(0.75)), (2, Some(0.25)), (3, None), (4, Some(0.5))] {
                let facts = instance_facts(&format!("1.2.3.1.{number}"), "aa");
                let instance = place.insert(&mut tx, &facts, now()).await.unwrap();
                let run = scored(place.study_id, instance, "aa", probability.unwrap_or_default());
                let why = Abstention { code: AbstentionCode::PoorQuality, reason: "empty".into() };
                let outcome =
                    if probability.is_some() { run.outcome.clone() } else { Outcome::Abstained(why) };
                let run = NewAnalysis { outcome, is_shadow: number == 4, ..run };
                let id = Analysis::record(&mut tx, clinic, &run, now()).await.unwrap();
                if probability == Some(0.25) {
                    let finding = &Finding::of_analysis(&mut tx, clinic, id).await.unwrap()[0];
                    let decision = ReviewState::Rejected;
                    let review = Review { decision, reviewer: "dr-test".into(), comment: None };
                    Finding::review(&mut tx, clinic, finding.finding_id, &review, now()).await.unwrap();
                }
            }
            for clinic in [OURS, None] {
                let read = samples(&mut tx, clinic, EXAMPLE, "pneumonia", Which::First, 9).await.unwrap();
                let [positive, rejected, abstained] = read.as_slice() else { panic!("{read:?}") };
                assert!(positive.said.is_some_and(|said| said.is_positive() && said.is_present().is_none()));
                assert_eq!(rejected.said.and_then(|said| said.is_present()), Some(true));
                assert_eq!(
                    (abstained.said, abstained.abstention_code.as_deref()),
                    (None, Some("poor-quality"))
                );
                let newest = samples(&mut tx, clinic, EXAMPLE, "pneumonia", Which::Newest, 1).await.unwrap();
                assert_eq!(newest, read[2..]);
                let reviewed = samples(&mut tx, clinic, EXAMPLE, "pneumonia", Which::NewestReviewed, 9).await;
                assert_eq!(reviewed.unwrap(), read[1..2]);
            }
            let theirs = Some(ClinicId::new());
            assert_eq!(samples(&mut tx, theirs, EXAMPLE, "pneumonia", Which::First, 9).await.unwrap(), []);
            let other = ("example", "2");
            assert_eq!(samples(&mut tx, OURS, other, "pneumonia", Which::First, 9).await.unwrap(), []);
        })
        .await;
    }

    /// Of the boxes of an image the surest one speaks for it, or of those that were judged.
    #[tokio::test]
    async fn an_image_with_two_boxes_of_a_label_is_one_sample() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let (study, instance) = stored_image(&mut tx).await;
            let run = scored_twice(study, instance, [0.25, 0.75]);
            let id = Analysis::record(&mut tx, ClinicId::DEFAULT, &run, now()).await.unwrap();
            let probabilities = async |tx: &mut Tx, which| {
                let read = samples(tx, OURS, EXAMPLE, "pneumonia", which, 9).await.unwrap();
                read.iter().map(|it| it.said.unwrap().probability).collect::<Vec<_>>()
            };
            for which in [Which::First, Which::Newest] {
                assert_eq!(probabilities(&mut tx, which).await, [0.75], "{which:?}");
            }
            assert_eq!(probabilities(&mut tx, Which::NewestReviewed).await, [0.0; 0]);
            let lesser = Finding::of_analysis(&mut tx, ClinicId::DEFAULT, id).await.unwrap()[1].finding_id;
            let decision = ReviewState::Accepted;
            let review = Review { decision, reviewer: "dr-test".into(), comment: None };
            Finding::review(&mut tx, ClinicId::DEFAULT, lesser, &review, now()).await.unwrap();
            assert_eq!(probabilities(&mut tx, Which::NewestReviewed).await, [0.25]);
        })
        .await;
    }

    #[tokio::test]
    async fn a_million_images_are_no_dearer_than_those_asked_for() {
        on_both(async |db| {
            // Of empty tables PostgreSQL takes either index of a clinic; both end in the order of the page.
            let of_clinic = ["clinics_analyses_of_version", "analyses_newest"].as_slice();
            for (clinic, indexes) in [(OURS, of_clinic), (None, &["analyses_of_version"])] {
                for which in [Which::First, Which::Newest] {
                    assert_reads_along(&db, indexes, async |conn: &mut Conn| {
                        samples(conn, clinic, EXAMPLE, "pneumonia", which, 9).await.unwrap();
                    })
                    .await;
                }
            }
        })
        .await;
    }
}
