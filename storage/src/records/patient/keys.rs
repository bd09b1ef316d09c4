//! The keys by which names are searched, for rows that were written without them.

use clinical::id::PatientId;
use clinical::person::PersonName;

use super::part_key;
use crate::db::{Db, FromRow, Result, Row, sql};

/// So many patients get theirs in one transaction.
const PAGE: i64 = 500;

struct Named {
    patient_id: PatientId,
    name: String,
}

impl FromRow for Named {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { patient_id: row.id("patient_id")?, name: row.get("name")? })
    }
}

/// Gives their search keys to patients who have a name and none: SQL knows no Unicode decomposition, so that
/// `0007_patients` leaves them empty, as does a program from before it. Done twice, it changes nothing.
pub(crate) async fn fill_name_keys(db: &Db) -> Result<()> {
    let mut last = PatientId(uuid::Uuid::nil());
    loop {
        let find = "SELECT patient_id, name FROM patients
                     WHERE family_key = '' AND given_key = '' AND name <> '' AND patient_id > $1
                     ORDER BY patient_id LIMIT $2";
        let page: Vec<Named> = sql(find).bind(last).bind(PAGE).fetch_all(&mut db.read().await?).await?;
        let Some(newest) = page.last() else { return Ok(()) };
        last = newest.patient_id;
        let mut tx = db.begin().await?;
        for Named { patient_id, name } in page {
            let parts = PersonName::from_dicom(&name);
            // A name that was changed meanwhile has its keys.
            let update =
                "UPDATE patients SET family_key = $1, given_key = $2 WHERE patient_id = $3 AND name = $4";
            sql(update)
                .bind(part_key(parts.family.as_deref().unwrap_or_default()))
                .bind(part_key(parts.given.as_deref().unwrap_or_default()))
                .bind(patient_id)
                .bind(&name)
                .execute(&mut tx)
                .await?;
        }
        tx.commit().await?;
    }
}
