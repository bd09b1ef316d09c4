//! An instance: the row that names a blob, and the versions kept beside it.

mod version;

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, InstanceId, PatientId, SeriesId, StudyId};
use clinical::uid::{SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid};

use crate::db::{Conn, FromRow, Result, Row, Statement, Tx, built_sql, sql};
pub use version::Version;

/// Who made the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A modality, an archive or a person: worth an analysis.
    Sender,
    /// Ourselves: a report or a segmentation, never analysed again.
    OwnResult,
}

impl Origin {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::OwnResult => "result",
        }
    }
}

/// What is known of bytes that are stored as a blob already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceFacts {
    /// SOP Instance UID (0008,0018).
    pub sop_uid: SopInstanceUid,
    /// SOP Class UID (0008,0016).
    pub sop_class_uid: SopClassUid,
    /// Transfer Syntax UID (0002,0010).
    pub transfer_syntax_uid: TransferSyntaxUid,
    /// Instance Number (0020,0013).
    pub instance_number: Option<i64>,
    /// Rows (0028,0010).
    pub rows: Option<i64>,
    /// Columns (0028,0011).
    pub columns: Option<i64>,
    /// Bits Allocated (0028,0100).
    pub bits_allocated: Option<i64>,
    /// Number of Frames (0028,0008), 1 where absent; `None` where there are no pixels.
    pub frame_count: Option<i64>,
    /// Offset and length in bytes of uncompressed Pixel Data in the blob.
    pub pixels_at: Option<(i64, i64)>,
    /// SHA-256 of the bytes, in hexadecimal.
    pub sha256: String,
    /// How many bytes there are.
    pub size_bytes: i64,
    /// The blob that holds them.
    pub blob_key: String,
    /// The name under which a person uploaded the file.
    pub file_name: Option<String>,
    /// Who made the bytes.
    pub origin: Origin,
}

/// Where a new instance was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inserted {
    /// Our identifier.
    pub instance_id: InstanceId,
    /// The study.
    pub study_id: StudyId,
    /// Whose study it is.
    pub patient_id: PatientId,
}

impl FromRow for Inserted {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            instance_id: row.id("instance_id")?,
            study_id: row.id("study_id")?,
            patient_id: row.id("patient_id")?,
        })
    }
}

/// A stored instance with the UIDs of its study and series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Our identifier.
    pub instance_id: InstanceId,
    /// The study.
    pub study_id: StudyId,
    /// The series.
    pub series_id: SeriesId,
    /// Whose study it is.
    pub patient_id: PatientId,
    /// Study Instance UID (0020,000D).
    pub study_uid: StudyInstanceUid,
    /// Series Instance UID (0020,000E).
    pub series_uid: SeriesInstanceUid,
    /// Modality (0008,0060).
    pub modality: Option<String>,
    /// SOP Instance UID (0008,0018).
    pub sop_uid: SopInstanceUid,
    /// SOP Class UID (0008,0016).
    pub sop_class_uid: SopClassUid,
    /// Transfer Syntax UID (0002,0010).
    pub transfer_syntax_uid: TransferSyntaxUid,
    /// Rows (0028,0010).
    pub rows: Option<i64>,
    /// Columns (0028,0011).
    pub columns: Option<i64>,
    /// Bits Allocated (0028,0100).
    pub bits_allocated: Option<i64>,
    /// Number of Frames; `None` where there are no pixels.
    pub frame_count: Option<i64>,
    /// Offset and length in bytes of uncompressed Pixel Data in the blob.
    pub pixels_at: Option<(i64, i64)>,
    /// SHA-256 of the bytes, in hexadecimal.
    pub sha256: String,
    /// How many bytes there are.
    pub size_bytes: i64,
    /// The blob that holds them.
    pub blob_key: String,
    /// The name under which a person uploaded the file.
    pub file_name: Option<String>,
    /// When it was stored.
    pub stored_at: DateTime<Utc>,
}

/// Every query of [`Instance`] begins so; [`JOINED`] or [`BY_STUDY`] follows.
const COLUMNS: &str =
    "SELECT instances.instance_id, instances.study_id, instances.series_id, studies.patient_id,
           studies.study_uid, series.series_uid, series.modality, instances.sop_uid, instances.sop_class_uid,
           instances.transfer_syntax_uid, instances.image_rows, instances.image_columns,
           instances.bits_allocated, instances.frame_count, instances.pixel_offset,
           instances.pixel_length, instances.sha256, instances.size_bytes, instances.blob_key,
           instances.file_name, instances.stored_at";
/// What is visible, looked up by the instance; further conditions follow.
const JOINED: &str = " FROM instances
      JOIN series ON series.series_id = instances.series_id
      JOIN studies ON studies.study_id = instances.study_id
     WHERE instances.hidden_at IS NULL AND instances.clinic_id = $1";
/// What is visible, looked up by the study: SQLite keeps this order of the tables, and has no numbers to choose by.
const BY_STUDY: &str = " FROM studies CROSS JOIN series CROSS JOIN instances
     WHERE series.study_id = studies.study_id AND instances.series_id = series.series_id
       AND instances.hidden_at IS NULL AND studies.clinic_id = $1";

impl FromRow for Instance {
    fn from_row(row: &Row) -> Result<Self> {
        let offset: Option<i64> = row.get("pixel_offset")?;
        Ok(Self {
            instance_id: row.id("instance_id")?,
            study_id: row.id("study_id")?,
            series_id: row.id("series_id")?,
            patient_id: row.id("patient_id")?,
            study_uid: row.parse("study_uid")?,
            series_uid: row.parse("series_uid")?,
            modality: row.get("modality")?,
            sop_uid: row.parse("sop_uid")?,
            sop_class_uid: row.parse("sop_class_uid")?,
            transfer_syntax_uid: row.parse("transfer_syntax_uid")?,
            rows: row.get("image_rows")?,
            columns: row.get("image_columns")?,
            bits_allocated: row.get("bits_allocated")?,
            frame_count: row.get("frame_count")?,
            pixels_at: offset.zip(row.get("pixel_length")?),
            sha256: row.get("sha256")?,
            size_bytes: row.get("size_bytes")?,
            blob_key: row.get("blob_key")?,
            file_name: row.get("file_name")?,
            stored_at: row.get("stored_at")?,
        })
    }
}

impl Instance {
    /// Writes a new instance of a known series; `None` when there is no such series yet, when its SOP
    /// Instance UID is stored already, or when it, its series or its study was hidden or locked
    /// ([`super::rejection::standing`] tells).
    pub async fn insert(
        db: &mut Tx,
        clinic: ClinicId,
        study: &StudyInstanceUid,
        series: &SeriesInstanceUid,
        facts: &InstanceFacts,
        now: DateTime<Utc>,
    ) -> Result<Option<Inserted>> {
        let insert = "INSERT INTO instances (instance_id, clinic_id, study_id, series_id, sop_uid, sop_class_uid,
                             transfer_syntax_uid, instance_number, image_rows, image_columns, bits_allocated,
                             frame_count, pixel_offset, pixel_length, sha256, size_bytes, blob_key, file_name,
                             origin, stored_at)
                      SELECT $1, studies.clinic_id, studies.study_id, series.series_id, $2, $3, $4, $5, $6, $7, $8,
                             $9, $10, $11, $12, $13, $14, $15, $16, $17
                        FROM studies JOIN series ON series.study_id = studies.study_id
                       WHERE studies.clinic_id = $18 AND studies.study_uid = $19 AND series.series_uid = $20
                         AND studies.locked_at IS NULL AND studies.hidden_at IS NULL AND series.hidden_at IS NULL
                         AND NOT EXISTS (SELECT 1 FROM rejections
                                          WHERE rejections.clinic_id = $18 AND rejections.study_uid = $19
                                            AND rejections.sop_uid = $2)
                      ON CONFLICT (clinic_id, sop_uid) DO NOTHING
                      RETURNING instance_id, study_id, (SELECT patient_id FROM studies AS parent
                                                         WHERE parent.study_id = instances.study_id) AS patient_id";
        sql(insert)
            .bind(InstanceId::new())
            .bind(&facts.sop_uid)
            .bind(&facts.sop_class_uid)
            .bind(&facts.transfer_syntax_uid)
            .bind(facts.instance_number)
            .bind(facts.rows)
            .bind(facts.columns)
            .bind(facts.bits_allocated)
            .bind(facts.frame_count)
            .bind(facts.pixels_at.map(|(offset, _)| offset))
            .bind(facts.pixels_at.map(|(_, length)| length))
            .bind(&facts.sha256)
            .bind(facts.size_bytes)
            .bind(&facts.blob_key)
            .bind(facts.file_name.clone())
            .bind(facts.origin.as_str())
            .bind(now)
            .bind(clinic)
            .bind(study)
            .bind(series)
            .fetch_optional(db)
            .await
    }

    /// One instance of one clinic.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: InstanceId) -> Result<Self> {
        built_sql(format!("{COLUMNS}{JOINED} AND instances.instance_id = $2"))
            .bind(clinic)
            .bind(id)
            .fetch_one(db)
            .await
    }

    /// The instance under this UID, if the clinic has it.
    pub async fn by_uid(db: &mut Conn, clinic: ClinicId, uid: &SopInstanceUid) -> Result<Option<Self>> {
        built_sql(format!("{COLUMNS}{JOINED} AND instances.sop_uid = $2"))
            .bind(clinic)
            .bind(uid)
            .fetch_optional(db)
            .await
    }

    /// The instances of a study, or of one of its series, or one of them, in the order of their series and numbers.
    pub async fn of(
        db: &mut Conn,
        clinic: ClinicId,
        study: &StudyInstanceUid,
        series: Option<&SeriesInstanceUid>,
        instance: Option<&SopInstanceUid>,
    ) -> Result<Vec<Self>> {
        let from = if instance.is_some() { JOINED } else { BY_STUDY };
        let mut text = format!("{COLUMNS}{from} AND studies.study_uid = $2");
        if series.is_some() {
            text += " AND series.series_uid = $3";
        }
        if instance.is_some() {
            text +=
                if series.is_some() { " AND instances.sop_uid = $4" } else { " AND instances.sop_uid = $3" };
        }
        text += " ORDER BY series.series_number NULLS LAST, series.series_uid,
                       instances.instance_number NULLS LAST, instances.sop_uid";
        let mut statement = built_sql(text).bind(clinic).bind(study);
        if let Some(series) = series {
            statement = statement.bind(series);
        }
        if let Some(instance) = instance {
            statement = statement.bind(instance);
        }
        statement.fetch_all(db).await
    }

    /// The instances of a study that came from a sender: those worth an analysis.
    pub async fn to_analyze(db: &mut Conn, clinic: ClinicId, study: StudyId) -> Result<Vec<Self>> {
        built_sql(format!(
            "{COLUMNS}{BY_STUDY} AND studies.study_id = $2 AND instances.origin = 'sender'
              ORDER BY series.series_number NULLS LAST, series.series_uid,
                       instances.instance_number NULLS LAST, instances.sop_uid"
        ))
        .bind(clinic)
        .bind(study)
        .fetch_all(db)
        .await
    }

    /// The instances of one patient, newest first.
    pub async fn of_patient(
        db: &mut Conn,
        clinic: ClinicId,
        patient: PatientId,
        after: Option<InstanceId>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        let later = if after.is_some() { "AND instances.instance_id < $4" } else { "" };
        let statement = built_sql(format!(
            "{COLUMNS}{BY_STUDY} AND studies.patient_id = $2 {later}
              ORDER BY instances.instance_id DESC LIMIT $3"
        ))
        .bind(clinic)
        .bind(patient)
        .bind(limit);
        after.into_iter().fold(statement, Statement::bind).fetch_all(db).await
    }
}

/// Those of `blob_keys` that a row of any clinic names; asked by the sweep before it removes the others.
pub async fn named_among(db: &mut Conn, blob_keys: &[String]) -> Result<HashSet<String>> {
    if blob_keys.is_empty() {
        return Ok(HashSet::new());
    }
    let places = (1..=blob_keys.len()).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
    let mut statement = built_sql(format!(
        "SELECT blob_key FROM instances WHERE blob_key IN ({places})
         UNION ALL SELECT blob_key FROM instance_versions WHERE blob_key IN ({places})
         UNION ALL SELECT blob_key FROM quarantine WHERE blob_key IN ({places})
         UNION ALL SELECT blob_key FROM networks WHERE blob_key IN ({places})
         UNION ALL SELECT saliency_key FROM findings WHERE saliency_key IN ({places})
         UNION ALL SELECT overlay_key FROM findings WHERE overlay_key IN ({places})"
    ));
    for key in blob_keys {
        statement = statement.bind(key);
    }
    Ok(statement.fetch_all::<String>(db).await?.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{instance_facts, now, on_both, place_of};

    #[tokio::test]
    async fn an_instance_reads_back_as_it_was_written() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
            let facts = instance_facts("1.2.3.1.1", "aa");
            let id = place.insert(&mut tx, &facts, now()).await.unwrap();
            assert_eq!(place.insert(&mut tx, &facts, now()).await, None);
            tx.commit().await.unwrap();

            let mut read = db.read().await.unwrap();
            let found = Instance::find(&mut read, ClinicId::DEFAULT, id).await.unwrap();
            assert_eq!(found.sop_uid, facts.sop_uid);
            assert_eq!(found.pixels_at, facts.pixels_at);
            assert_eq!(found.stored_at, now());
            let study = "1.2.3".parse().unwrap();
            for (series, instance) in [
                (None, None),
                (Some("1.2.3.1".parse().unwrap()), None),
                (Some("1.2.3.1".parse().unwrap()), Some("1.2.3.1.1".parse().unwrap())),
                (None, Some("1.2.3.1.1".parse().unwrap())),
            ] {
                let rows =
                    Instance::of(&mut read, ClinicId::DEFAULT, &study, series.as_ref(), instance.as_ref())
                        .await;
                assert_eq!(rows.unwrap(), std::slice::from_ref(&found));
            }
            assert_eq!(
                Instance::to_analyze(&mut read, ClinicId::DEFAULT, place.study_id).await.unwrap().len(),
                1
            );
            let of_patient =
                Instance::of_patient(&mut read, ClinicId::DEFAULT, found.patient_id, None, 10).await;
            assert_eq!(of_patient.unwrap(), std::slice::from_ref(&found));
            assert!(
                Instance::find(&mut read, ClinicId::new(), id).await.is_err(),
                "another clinic sees nothing"
            );
            let keys = [found.blob_key.clone(), "elsewhere".to_owned()];
            assert_eq!(named_among(&mut read, &keys).await.unwrap(), HashSet::from([found.blob_key.clone()]));
        })
        .await;
    }

    #[tokio::test]
    async fn replacing_keeps_the_former_bytes_as_a_version() {
        on_both(async |db| {
            let clinic = ClinicId::DEFAULT;
            let mut tx = db.begin().await.unwrap();
            let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
            let (old, new) = (instance_facts("1.2.3.1.1", "aa"), instance_facts("1.2.3.1.1", "bb"));
            let id = place.insert(&mut tx, &old, now()).await.unwrap();
            assert!(Version::keep_aside(&mut tx, clinic, id, &new, now()).await.unwrap());
            assert!(!Version::keep_aside(&mut tx, clinic, id, &new, now()).await.unwrap(), "kept once");
            Version::replace(&mut tx, clinic, id, &new, now()).await.unwrap();
            tx.commit().await.unwrap();

            let mut read = db.read().await.unwrap();
            assert_eq!(Instance::find(&mut read, clinic, id).await.unwrap().sha256, "bb");
            let versions = Version::of(&mut read, clinic, id).await.unwrap();
            assert_eq!(versions.len(), 1);
            assert_eq!((versions[0].sha256.as_str(), versions[0].state.as_str()), ("aa", "superseded"));
            let keys = [old.blob_key.clone(), new.blob_key.clone()];
            assert_eq!(
                named_among(&mut read, &keys).await.unwrap().len(),
                2,
                "the former bytes are still named"
            );
        })
        .await;
    }
}
