//! What this service can do.

use clinical::fhir::capability_statement;

use crate::Fhir;
use crate::asked::BaseUrl;

/// When what this house can do was changed last.
const CHANGED_ON: &str = "2026-11-22";

/// `GET /fhir/R4/metadata`
pub(crate) async fn metadata(BaseUrl(base): BaseUrl) -> Fhir {
    Fhir(capability_statement(env!("CARGO_PKG_VERSION"), &base, CHANGED_ON))
}
