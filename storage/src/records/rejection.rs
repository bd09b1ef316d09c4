//! What is removed: hidden at once, gone for good when the law no longer keeps it.
//!
//! A deletion, or a rejection note of IHE IOCM (RAD TF-1, chapter 38; codes of PS3.16, CID 7011), hides instances:
//! searches and retrievals pass them by, for `hidden_at` stands in their rows, and in those of the series and the
//! study when nothing visible is left there. A tombstone says who did it and why, and outlives the rows.

mod arrival;
mod purge;
mod target;
#[cfg(test)]
mod tests;
mod tombstone;
mod turn;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clinical::id::{ClinicId, StudyId, TombstoneId};
use clinical::uid::{SopInstanceUid, StudyInstanceUid};

pub use self::arrival::{Hidden, Standing, hidden, hide_again, restore, standing};
pub use self::purge::{Purged, purge_due};
pub(crate) use self::target::{Found, kept_until};
pub use self::target::{Standed, Target};
pub use self::tombstone::Tombstone;
pub use self::turn::{wait_to_remove, wait_to_store};
use crate::db::{Result, Tx, built_sql, sql};
use crate::records::patient::retention_years;
use crate::records::study::Study;

/// So many instances are written down in one statement.
const AT_A_TIME: usize = 500;

/// Why instances are hidden, and what becomes of them when they come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// (113001, DCM): Rejected for Quality Reasons.
    Quality,
    /// (113037, DCM): Rejected for Patient Safety Reasons.
    PatientSafety,
    /// (113038, DCM): Incorrect Modality Worklist Entry.
    WorklistEntry,
    /// (113039, DCM): Data Retention Policy Expired.
    RetentionExpired,
    /// Removed by a person or a program.
    Deleted,
}

/// What becomes of rejected instances that come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// They are refused.
    Refused,
    /// They are taken and stay hidden.
    Hidden,
    /// They are there again, as if they were new.
    Shown,
}

impl Code {
    const ALL: [Self; 5] =
        [Self::Quality, Self::PatientSafety, Self::WorklistEntry, Self::RetentionExpired, Self::Deleted];

    /// The code value, or `deleted`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quality => "113001",
            Self::PatientSafety => "113037",
            Self::WorklistEntry => "113038",
            Self::RetentionExpired => "113039",
            Self::Deleted => "deleted",
        }
    }

    /// What a note of that title in the scheme DCM means; `None` where it rejects nothing.
    pub fn of_note(code_value: &str) -> Option<Self> {
        Self::ALL[..4].iter().copied().find(|code| code.as_str() == code_value)
    }

    /// What becomes of such instances that come again (RAD TF-2, section 4.66.4.1.3).
    pub fn again(self) -> Again {
        match self {
            Self::PatientSafety | Self::WorklistEntry => Again::Refused,
            Self::Quality => Again::Hidden,
            Self::RetentionExpired | Self::Deleted => Again::Shown,
        }
    }
}

impl std::str::FromStr for Code {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        Self::ALL.into_iter().find(|code| code.as_str() == text).ok_or(())
    }
}

/// A rejection note: a Key Object Selection Document whose title rejects what it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its title.
    pub code: Code,
    /// What it refers to, each with the study that it is said to be of.
    pub instances: Vec<(StudyInstanceUid, SopInstanceUid)>,
}

/// Why, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// What it is called.
    pub code: Code,
    /// In words.
    pub reason: &'a str,
    /// Who: an actor of the audit trail, or the note.
    pub by: &'a str,
}

/// What a removal did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Its tombstone.
    pub tombstone_id: TombstoneId,
    /// So many instances are hidden or gone.
    pub instance_count: i64,
    /// Until then their bytes are kept; `None` where they are gone.
    pub kept_until: Option<NaiveDate>,
    /// Blobs that no row names any more.
    pub blob_keys: Vec<String>,
}

/// What a rejection note did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The tombstones, one a study.
    pub raised: Vec<(StudyId, TombstoneId)>,
    /// So many of the studies that it names are locked: there it is without effect.
    pub locked: usize,
    /// So many of them have not come yet: what it says of them is remembered.
    pub remembered: usize,
}

/// Hides what is visible of `target`, and removes it for good where the law no longer keeps it.
///
/// The caller has [waited](wait_to_remove) for the study, and deletes [`Removed::blob_keys`] once the transaction is committed.
pub async fn remove(
    tx: &mut Tx,
    clinic: ClinicId,
    target: &Target<'_>,
    standed: &Standed,
    ground: &Ground<'_>,
    now: DateTime<Utc>,
) -> Result<Removed> {
    let tombstone_id = TombstoneId::new();
    raise(tx, clinic, (tombstone_id, standed.study_id), target, standed.kept_until, ground, now).await?;
    let listed = target.visible("SELECT instances.sop_uid", clinic, "").fetch_all::<String>(tx).await?;
    reject(tx, clinic, target.study, listed, ground.code, tombstone_id).await?;
    let instance_count = hide(tx, clinic, standed.study_id, tombstone_id, None, now).await?;
    add_to_count(tx, clinic, tombstone_id, instance_count).await?;
    let is_free = standed.kept_until <= now.date_naive();
    let blob_keys = if is_free {
        purge::purge(tx, clinic, tombstone_id, standed.study_id, now).await?
    } else {
        Vec::new()
    };
    let kept_until = (!is_free).then_some(standed.kept_until);
    Ok(Removed { tombstone_id, instance_count, kept_until, blob_keys })
}

/// Hides what a rejection note refers to, and remembers it for what has not come yet, be it a whole study.
///
/// The caller has [waited](wait_to_remove) for the studies.
pub async fn apply(
    tx: &mut Tx,
    clinic: ClinicId,
    note: &Note,
    by: &SopInstanceUid,
    now: DateTime<Utc>,
) -> Result<Applied> {
    let mut studies: BTreeMap<&StudyInstanceUid, Vec<String>> = BTreeMap::new();
    for (study, sop_uid) in &note.instances {
        studies.entry(study).or_default().push(sop_uid.to_string());
    }
    let by = format!("note:{by}");
    let ground = Ground { code: note.code, reason: note.code.as_str(), by: &by };
    let mut applied = Applied::default();
    for (study, listed) in studies {
        if Study::is_locked(tx, clinic, study).await? {
            applied.locked += 1;
            continue;
        }
        let find = "SELECT study_id, patient_id, study_date, stored_at FROM studies
                     WHERE clinic_id = $1 AND study_uid = $2";
        let found = sql(find).bind(clinic).bind(study).fetch_optional::<Found>(tx).await?;
        let standed = match found {
            Some(found) => Some(found.kept(tx, clinic).await?),
            None => None,
        };
        if standed.is_none() && note.code.again() == Again::Shown {
            // What comes later is shown whatever was said before.
            continue;
        }
        // A study that has not come yet has no identifier: `hide_again` writes it down when it comes.
        let study_id = standed.as_ref().map_or_else(StudyId::new, |standed| standed.study_id);
        let kept_until = match &standed {
            Some(standed) => standed.kept_until,
            None => kept_until(now.date_naive(), retention_years(tx, clinic).await?),
        };
        let tombstone_id = TombstoneId::new();
        let target = Target { study, series: None, instance: None };
        raise(tx, clinic, (tombstone_id, study_id), &target, kept_until, &ground, now).await?;
        reject(tx, clinic, study, listed, note.code, tombstone_id).await?;
        if standed.is_some() {
            let hidden = hide(tx, clinic, study_id, tombstone_id, None, now).await?;
            add_to_count(tx, clinic, tombstone_id, hidden).await?;
            applied.raised.push((study_id, tombstone_id));
        } else {
            applied.remembered += 1;
        }
    }
    Ok(applied)
}

async fn raise(
    tx: &mut Tx,
    clinic: ClinicId,
    (tombstone_id, study_id): (TombstoneId, StudyId),
    target: &Target<'_>,
    kept_until: NaiveDate,
    ground: &Ground<'_>,
    now: DateTime<Utc>,
) -> Result<()> {
    sql("INSERT INTO tombstones (tombstone_id, clinic_id, study_id, study_uid, series_uid, sop_uid, code, reason,
                                 removed_by, removed_at, instance_count, kept_until)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, $11)")
    .bind(tombstone_id)
    .bind(clinic)
    .bind(study_id)
    .bind(target.study)
    .bind(target.series.map(ToString::to_string))
    .bind(target.instance.map(ToString::to_string))
    .bind(ground.code.as_str())
    .bind(ground.reason)
    .bind(ground.by)
    .bind(now)
    .bind(kept_until.and_time(NaiveTime::MIN).and_utc())
    .execute(tx)
    .await
    .map(|_| ())
}

/// A later word on instances of a study stands in place of an earlier one. Many go into one statement, for others wait
/// for their turn at writing.
async fn reject(
    tx: &mut Tx,
    clinic: ClinicId,
    study: &StudyInstanceUid,
    mut sop_uids: Vec<String>,
    code: Code,
    tombstone_id: TombstoneId,
) -> Result<()> {
    sop_uids.sort_unstable();
    // One statement changes no row twice.
    sop_uids.dedup();
    for piece in sop_uids.chunks(AT_A_TIME) {
        let rows: Vec<_> = (5..5 + piece.len()).map(|place| format!("($1, ${place}, $2, $3, $4)")).collect();
        let insert = built_sql(format!(
            "INSERT INTO rejections (clinic_id, sop_uid, study_uid, code, tombstone_id) VALUES {}
             ON CONFLICT (clinic_id, study_uid, sop_uid)
                DO UPDATE SET code = excluded.code, tombstone_id = excluded.tombstone_id",
            rows.join(", ")
        ));
        let insert = insert.bind(clinic).bind(study).bind(code.as_str()).bind(tombstone_id);
        piece.iter().fold(insert, |insert, sop_uid| insert.bind(sop_uid.as_str())).execute(tx).await?;
    }
    Ok(())
}

/// Hides the instances of a study that `tombstone` lists, or only the one that has come, and what is left empty; how many
/// were hidden.
async fn hide(
    tx: &mut Tx,
    clinic: ClinicId,
    study: StudyId,
    tombstone: TombstoneId,
    only: Option<&SopInstanceUid>,
    now: DateTime<Utc>,
) -> Result<i64> {
    let only_it = if only.is_some() { " AND sop_uid = $5" } else { "" };
    let update = built_sql(format!(
        "UPDATE instances SET hidden_at = $4
          WHERE clinic_id = $1 AND study_id = $2 AND hidden_at IS NULL{only_it} AND sop_uid IN
                (SELECT sop_uid FROM rejections WHERE clinic_id = $1 AND tombstone_id = $3)"
    ));
    let update = update.bind(clinic).bind(study).bind(tombstone).bind(now);
    let update = match only {
        Some(sop_uid) => update.bind(sop_uid),
        None => update,
    };
    let hidden = update.execute(tx).await?;
    sql("UPDATE series SET hidden_at = $3 WHERE clinic_id = $1 AND study_id = $2 AND hidden_at IS NULL
            AND NOT EXISTS (SELECT 1 FROM instances WHERE instances.series_id = series.series_id
                                                      AND instances.hidden_at IS NULL)")
    .bind(clinic)
    .bind(study)
    .bind(now)
    .execute(tx)
    .await?;
    sql("UPDATE studies SET hidden_at = $3 WHERE clinic_id = $1 AND study_id = $2 AND hidden_at IS NULL
            AND NOT EXISTS (SELECT 1 FROM series WHERE series.study_id = studies.study_id
                                                   AND series.hidden_at IS NULL)")
    .bind(clinic)
    .bind(study)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(i64::try_from(hidden).unwrap_or(i64::MAX))
}

/// Writes down that a tombstone hides so many more.
async fn add_to_count(tx: &mut Tx, clinic: ClinicId, tombstone: TombstoneId, hidden: i64) -> Result<()> {
    sql("UPDATE tombstones SET instance_count = instance_count + $3 WHERE clinic_id = $1 AND tombstone_id = $2")
        .bind(clinic)
        .bind(tombstone)
        .bind(hidden)
        .execute(tx)
        .await
        .map(|_| ())
}
