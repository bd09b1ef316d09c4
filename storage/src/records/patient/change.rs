//! Registering a patient by hand, and changing what is known of them.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, PatientId};
use clinical::person::{Demographics, Identifier};
use serde_json::json;

use super::{Patient, PatientFacts, identifier_key, insert_row, name_key, part_key};
use crate::db::{DbError, Result, Tx, sql};

impl Patient {
    /// A new patient; images that carry one of their identifiers are theirs.
    ///
    /// # Errors
    ///
    /// [`DbError::Conflict`] when an identifier means another patient already.
    pub async fn register(
        db: &mut Tx,
        clinic: ClinicId,
        demographics: &Demographics,
        is_restricted: bool,
        now: DateTime<Utc>,
    ) -> Result<PatientId> {
        let patient_id = PatientId::new();
        let row = insert_row(patient_id, clinic, &PatientFacts::default(), &demographics.name, now);
        row.execute(db).await?;
        let before = Self::find(db, clinic, patient_id).await?;
        Self::change(db, clinic, &before, demographics, is_restricted, now).await?;
        Ok(patient_id)
    }

    /// Makes `before` somebody else; the caller holds the row ([`Patient::hold`]).
    ///
    /// # Errors
    ///
    /// [`DbError::Conflict`] when an identifier means another patient already.
    pub async fn change(
        db: &mut Tx,
        clinic: ClinicId,
        before: &Self,
        demographics: &Demographics,
        is_restricted: bool,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let (old, new) = (&before.demographics, demographics);
        for gone in old.identifiers.iter().filter(|it| !new.identifiers.contains(it)) {
            let delete = "DELETE FROM patient_identifiers
                           WHERE clinic_id = $1 AND patient_key = $2 AND patient_id = $3";
            let key = identifier_key(&gone.issuer, &gone.value);
            sql(delete).bind(clinic).bind(key).bind(before.patient_id).execute(db).await?;
        }
        for identifier in new.identifiers.iter().filter(|it| !old.identifiers.contains(it)) {
            add_identifier(db, clinic, before.patient_id, identifier, now).await?;
        }
        let name = if new.name == old.name { before.name.clone() } else { demographics.name.to_dicom() };
        let birth_date = if new.birth_date == old.birth_date {
            before.birth_date.clone()
        } else {
            new.birth_date.map(|day| day.format("%Y%m%d").to_string())
        };
        let first = new.identifiers.first();
        let update = "UPDATE patients
                         SET mrn = $3, issuer = $4, name = $5, name_key = $6, family_key = $7, given_key = $8,
                             birth_date = $9, sex = $10, phone = $11, email = $12, address = $13,
                             is_restricted = $14, updated_at = $15
                       WHERE clinic_id = $1 AND patient_id = $2";
        sql(update)
            .bind(clinic)
            .bind(before.patient_id)
            .bind(first.map(|it| it.value.as_str()).unwrap_or_default())
            .bind(first.map(|it| it.issuer.as_str()).unwrap_or_default())
            .bind(&name)
            .bind(name_key(&name))
            .bind(part_key(new.name.family.as_deref().unwrap_or_default()))
            .bind(part_key(new.name.given.as_deref().unwrap_or_default()))
            .bind(birth_date)
            .bind(new.sex.to_dicom())
            .bind(new.phone.clone())
            .bind(new.email.clone())
            .bind(new.address.as_ref().map(|address| json!(address)))
            .bind(is_restricted)
            .bind(now)
            .execute(db)
            .await?;
        Ok(())
    }
}

async fn add_identifier(
    db: &mut Tx,
    clinic: ClinicId,
    patient: PatientId,
    identifier: &Identifier,
    now: DateTime<Utc>,
) -> Result<()> {
    let insert =
        "INSERT INTO patient_identifiers (clinic_id, patient_key, patient_id, issuer, value, created_at)
                  VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (clinic_id, patient_key) DO NOTHING";
    let made = sql(insert)
        .bind(clinic)
        .bind(identifier_key(&identifier.issuer, &identifier.value))
        .bind(patient)
        .bind(&identifier.issuer)
        .bind(&identifier.value)
        .bind(now)
        .execute(db)
        .await?;
    if made == 0 { Err(DbError::Conflict) } else { Ok(()) }
}
