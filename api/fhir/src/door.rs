//! Who sees which record.

use clinical::id::PatientId;
use gate::{Caller, Problem};
use serde::Deserialize;
use storage::db::Conn;
use storage::records::patient::Patient;
use utoipa::IntoParams;

/// What a restricted record's refusal says in the document.
pub(crate) const RESTRICTED: &str = "record-restricted: break the glass first";

/// Whose resources are asked for.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct OfPatient {
    /// `Patient/{id}`, or the identifier alone.
    #[param(
        pattern = "^(Patient/)?[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
    )]
    patient: String,
}

impl OfPatient {
    /// The patient; in place of a merged one the one that replaced it.
    ///
    /// # Errors
    ///
    /// 400 `invalid-query`; 403 `record-restricted`; 404.
    pub(crate) async fn find(self, rows: &mut Conn, caller: &Caller) -> Result<PatientId, Problem> {
        let id = self.patient.strip_prefix("Patient/").unwrap_or(&self.patient).parse();
        let wrong = |_| Problem::bad_request("invalid-query", "patient is Patient/ and the id of a Patient");
        let patient = Patient::survivor(rows, caller.clinic, id.map_err(wrong)?).await?;
        caller.sees(rows, patient.patient_id).await?;
        Ok(patient.patient_id)
    }
}
