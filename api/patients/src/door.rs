//! Who sees which record, and which records take changes.

use chrono::{DateTime, Utc};
use clinical::id::PatientId;
use clinical::invalid::Invalid;
use gate::{Caller, Problem};
use storage::db::{Conn, Tx};
use storage::records::patient::{Access, Patient};

/// What [`restricted`] says in the document.
pub(crate) const RESTRICTED: &str = "record-restricted: break the glass first";

/// The record as it is.
///
/// # Errors
///
/// 403 `record-restricted`; 404 where it is not there, or the caller may not know that it is.
pub(crate) async fn see(
    rows: &mut Conn,
    caller: &Caller,
    id: PatientId,
    now: DateTime<Utc>,
) -> Result<Patient, Problem> {
    let patient = Patient::find(rows, caller.clinic, id).await?;
    caller.enters(Access::of(rows, caller.clinic, &caller.reader(), &patient, now).await?)?;
    Ok(patient)
}

/// The record; in place of a merged one that which stands for it.
///
/// # Errors
///
/// As [`see`].
pub(crate) async fn survivor(
    rows: &mut Conn,
    caller: &Caller,
    id: PatientId,
    now: DateTime<Utc>,
) -> Result<Patient, Problem> {
    let found = see(rows, caller, id, now).await?;
    match found.merged_into {
        None => Ok(found),
        Some(survivor) => Ok(Patient::find(rows, caller.clinic, survivor).await?),
    }
}

/// The record, which takes changes and stays what it is until the transaction ends.
///
/// # Errors
///
/// As [`see`]; 409 `patient-merged` and `patient-erased`.
pub(crate) async fn hold(
    tx: &mut Tx,
    caller: &Caller,
    id: PatientId,
    now: DateTime<Utc>,
) -> Result<Patient, Problem> {
    let patient = Patient::hold(tx, caller.clinic, id).await?;
    caller.enters(Access::of(tx, caller.clinic, &caller.reader(), &patient, now).await?)?;
    if patient.merged_into.is_some() {
        return Err(merged());
    }
    if patient.erased_at.is_some() {
        return Err(Problem::conflict("patient-erased", "who this was is erased: register the person anew"));
    }
    Ok(patient)
}

pub(crate) fn merged() -> Problem {
    Problem::conflict("patient-merged", "another record stands for this one: read it to see which")
}

/// 400 `invalid-value`: what is wrong, in words that do not repeat it.
pub(crate) fn refused(invalid: Invalid) -> Problem {
    Problem::bad_request("invalid-value", invalid.to_string())
}
