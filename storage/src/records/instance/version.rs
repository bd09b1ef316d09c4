//! The versions kept beside an instance.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, InstanceId, VersionId};

use super::InstanceFacts;
use crate::db::{Conn, FromRow, Result, Row, Tx, sql};

/// Other bytes under an instance's UID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Our identifier.
    pub version_id: VersionId,
    /// `aside`: it came later and was kept aside; `superseded`: a newcomer replaced it.
    pub state: String,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// How many bytes there are.
    pub size_bytes: i64,
    /// The blob that holds them.
    pub blob_key: String,
    /// When it came, or was superseded.
    pub received_at: DateTime<Utc>,
}

impl FromRow for Version {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            version_id: row.id("version_id")?,
            state: row.get("state")?,
            sha256: row.get("sha256")?,
            size_bytes: row.get("size_bytes")?,
            blob_key: row.get("blob_key")?,
            received_at: row.get("received_at")?,
        })
    }
}

impl Version {
    /// The versions kept beside an instance, oldest first.
    pub async fn of(db: &mut Conn, clinic: ClinicId, instance: InstanceId) -> Result<Vec<Self>> {
        sql("SELECT version_id, state, sha256, size_bytes, blob_key, received_at FROM instance_versions
              WHERE clinic_id = $1 AND instance_id = $2 ORDER BY received_at, version_id")
        .bind(clinic)
        .bind(instance)
        .fetch_all(db)
        .await
    }

    /// Keeps newly come bytes aside; `false` when the same bytes are kept already.
    pub async fn keep_aside(
        db: &mut Tx,
        clinic: ClinicId,
        instance: InstanceId,
        facts: &InstanceFacts,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let insert = "INSERT INTO instance_versions (version_id, clinic_id, instance_id, state,
                             transfer_syntax_uid, sha256, size_bytes, blob_key, received_at)
                      VALUES ($1, $2, $3, 'aside', $4, $5, $6, $7, $8)
                      ON CONFLICT (instance_id, sha256) DO NOTHING";
        let written = sql(insert)
            .bind(VersionId::new())
            .bind(clinic)
            .bind(instance)
            .bind(&facts.transfer_syntax_uid)
            .bind(&facts.sha256)
            .bind(facts.size_bytes)
            .bind(&facts.blob_key)
            .bind(now)
            .execute(db)
            .await?;
        Ok(written == 1)
    }

    /// Makes newly come bytes the current ones and keeps the former as superseded.
    ///
    /// The row is locked first, so that two newcomers follow one another and none is lost.
    pub async fn replace(
        db: &mut Tx,
        clinic: ClinicId,
        instance: InstanceId,
        facts: &InstanceFacts,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let lock = "UPDATE instances SET stored_at = stored_at WHERE clinic_id = $1 AND instance_id = $2";
        sql(lock).bind(clinic).bind(instance).execute(db).await?;
        let supersede = "INSERT INTO instance_versions (version_id, clinic_id, instance_id, state,
                                transfer_syntax_uid, sha256, size_bytes, blob_key, received_at)
                         SELECT $1, clinic_id, instance_id, 'superseded', transfer_syntax_uid, sha256,
                                size_bytes, blob_key, $2
                           FROM instances WHERE clinic_id = $3 AND instance_id = $4
                         ON CONFLICT (instance_id, sha256) DO NOTHING";
        sql(supersede).bind(VersionId::new()).bind(now).bind(clinic).bind(instance).execute(db).await?;
        // A version whose bytes come back as the current ones is no longer beside them.
        sql("DELETE FROM instance_versions WHERE clinic_id = $1 AND instance_id = $2 AND sha256 = $3")
            .bind(clinic)
            .bind(instance)
            .bind(&facts.sha256)
            .execute(db)
            .await?;
        let update = "UPDATE instances
                         SET sop_class_uid = $3, transfer_syntax_uid = $4, instance_number = $5, image_rows = $6,
                             image_columns = $7, bits_allocated = $8, frame_count = $9, pixel_offset = $10,
                             pixel_length = $11, sha256 = $12, size_bytes = $13, blob_key = $14, stored_at = $15
                       WHERE clinic_id = $1 AND instance_id = $2";
        sql(update)
            .bind(clinic)
            .bind(instance)
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
            .bind(now)
            .execute(db)
            .await?;
        Ok(())
    }
}
