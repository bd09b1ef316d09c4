//! Steps of ours go where the analysis goes that they asked for.

use chrono::{DateTime, Utc};
use clinical::event::Event;
use clinical::id::{AnalysisId, ClinicId, StudyId};
use serde_json::{Value, json};

use super::{COLUMNS, State, Workitem};
use crate::db::{Result, Tx, built_sql, sql};
use crate::outbox;

/// Most steps that ask for one and the same analysis.
const STEPS: i64 = 100;

/// The analysis of `study` has begun: what was scheduled for it is in progress.
pub async fn started(tx: &mut Tx, clinic: ClinicId, study: StudyId, now: DateTime<Utc>) -> Result<()> {
    for mut step in ours(tx, clinic, study).await? {
        if step.state == State::Scheduled {
            step.body["00741002"] = progress("0", "networks read the images", None);
            step.body["00741216"] = json!({"vr": "SQ", "Value": [{
                "00404050": element("DT", json!(date_time(now))),
            }]});
            step.go(tx, clinic, State::InProgress, now).await?;
        }
    }
    Ok(())
}

/// The analysis of `study` is done: what waited for it is completed, and says where to look.
pub async fn completed(
    tx: &mut Tx,
    clinic: ClinicId,
    study: StudyId,
    analyses: &[AnalysisId],
    now: DateTime<Utc>,
) -> Result<()> {
    for mut step in ours(tx, clinic, study).await? {
        let url = format!("/api/findings?studyId={study}");
        let about = format!("{} analyses were written", analyses.len());
        step.body["00741002"] = progress("100", &about, Some(&url));
        let begun = step.body["00741216"]["Value"][0]["00404050"].clone();
        let begun = if begun.is_object() { begun } else { element("DT", json!(date_time(now))) };
        step.body["00741216"] = json!({"vr": "SQ", "Value": [{
            "00404050": begun,
            "00404051": element("DT", json!(date_time(now))),
            "00404033": {"vr": "SQ"},
        }]});
        step.go(tx, clinic, State::Completed, now).await?;
    }
    Ok(())
}

/// The analysis of `study` was given up: so is what waited for it.
pub async fn failed(tx: &mut Tx, clinic: ClinicId, study: StudyId, now: DateTime<Utc>) -> Result<()> {
    for mut step in ours(tx, clinic, study).await? {
        step.body["00741002"] = progress("0", "the analysis failed; it is listed among the dead jobs", None);
        step.go(tx, clinic, State::Canceled, now).await?;
    }
    Ok(())
}

/// Those that are not over.
async fn ours(tx: &mut Tx, clinic: ClinicId, study: StudyId) -> Result<Vec<Workitem>> {
    let lock = tx.change_lock();
    built_sql(format!(
        "SELECT {COLUMNS} FROM workitems
          WHERE clinic_id = $1 AND study_id = $2 AND is_ours AND state IN ('SCHEDULED', 'IN PROGRESS')
          ORDER BY workitem_id LIMIT $3{lock}"
    ))
    .bind(clinic)
    .bind(study)
    .bind(STEPS)
    .fetch_all(tx)
    .await
}

impl Workitem {
    async fn go(&mut self, tx: &mut Tx, clinic: ClinicId, state: State, now: DateTime<Utc>) -> Result<()> {
        let update = "UPDATE workitems SET state = $3, body = $4, updated_at = $5
                       WHERE clinic_id = $1 AND workitem_id = $2";
        sql(update)
            .bind(clinic)
            .bind(self.workitem_id)
            .bind(state.as_str())
            .bind(self.body.clone())
            .bind(now)
            .execute(tx)
            .await?;
        outbox::tell(tx, clinic, &Event::WorkitemChanged { workitem_id: self.workitem_id }, now).await
    }
}

/// Procedure Step Progress Information Sequence (0074,1002).
fn progress(percent: &str, about: &str, url: Option<&str>) -> Value {
    let mut item = json!({
        "00741004": element("DS", json!(percent.parse::<i64>().unwrap_or(0))),
        "00741006": element("ST", json!(about)),
    });
    if let Some(url) = url {
        let place =
            json!({"0074100A": element("UR", json!(url)), "0074100C": element("LO", json!("Findings"))});
        item["00741008"] = json!({"vr": "SQ", "Value": [place]});
    }
    json!({"vr": "SQ", "Value": [item]})
}

fn element(vr: &str, value: Value) -> Value {
    json!({"vr": vr, "Value": [value]})
}

/// As VR DT writes it (PS3.5, table 6.2-1).
fn date_time(at: DateTime<Utc>) -> String {
    at.format("%Y%m%d%H%M%S+0000").to_string()
}
