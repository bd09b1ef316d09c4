//! One instance of each study or series: for attributes that are no columns, and alike in all of them.

use std::collections::HashMap;

use clinical::id::{ClinicId, InstanceId};
use uuid::Uuid;

use super::{Level, these};
use crate::db::{Conn, FromRow, Result, Row};

struct Sample {
    owner: Uuid,
    instance_id: InstanceId,
    sha256: String,
}

impl FromRow for Sample {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            owner: row.get("owner_id")?,
            instance_id: row.id("instance_id")?,
            sha256: row.get("sha256")?,
        })
    }
}

/// Of each study or series an instance and the SHA-256 of its bytes; of instances nothing.
pub async fn samples(
    db: &mut Conn,
    clinic: ClinicId,
    level: Level,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, (InstanceId, String)>> {
    let select = match level {
        Level::Study => {
            "SELECT owner.study_id AS owner_id, sample.instance_id, sample.sha256
               FROM studies AS owner JOIN instances AS sample ON sample.instance_id =
                    (SELECT one.instance_id FROM instances AS one
                      WHERE one.study_id = owner.study_id AND one.hidden_at IS NULL LIMIT 1)
              WHERE owner.clinic_id = $1 AND owner.study_id IN ("
        }
        Level::Series => {
            "SELECT owner.series_id AS owner_id, sample.instance_id, sample.sha256
               FROM series AS owner JOIN instances AS sample ON sample.instance_id =
                    (SELECT one.instance_id FROM instances AS one
                      WHERE one.series_id = owner.series_id AND one.hidden_at IS NULL LIMIT 1)
              WHERE owner.clinic_id = $1 AND owner.series_id IN ("
        }
        Level::Instance => return Ok(HashMap::new()),
    };
    let rows: Vec<Sample> = these(select, clinic, ids).fetch_all(db).await?;
    Ok(rows.into_iter().map(|row| (row.owner, (row.instance_id, row.sha256))).collect())
}
