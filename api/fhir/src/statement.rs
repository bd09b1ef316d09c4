//! `AllergyIntolerance`, `Condition`, `MedicationStatement`, `Observation`: read, and search by patient.

use axum::extract::State;
use clinical::fhir;
use clinical::id::StatementId;
use clinical::statement::Stated;
use gate::{App, Caller, Path, Problem, Query};
use storage::records::statement::{self, Mistakes};

use crate::Fhir;
use crate::asked::Asked;
use crate::door::OfPatient;

/// `GET /fhir/R4/Condition?patient=…` and its kin: newest first.
pub(crate) async fn search<T: Stated>(
    State(app): State<App>,
    caller: Caller,
    asked: Asked,
    Query(of): Query<OfPatient>,
) -> Result<Fhir, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let patient = of.find(&mut rows, &caller).await?;
    let (after, limit) = (asked.after.map(StatementId), asked.rows());
    let (kind, mistakes) = (Some(T::KIND), Mistakes::LeftOut);
    let found =
        statement::of_patient(&mut rows, caller.clinic, patient, kind, mistakes, after, limit).await?;
    let resources = found.iter().map(|stated| (stated.statement_id.0, fhir::statement(stated)));
    Ok(asked.bundle(None, resources.collect()))
}

/// `GET /fhir/R4/Condition/{id}` and its kin; what was entered in error says so.
pub(crate) async fn read<T: Stated>(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<StatementId>,
) -> Result<Fhir, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let stated = statement::find(&mut rows, caller.clinic, T::KIND, id).await?;
    caller.sees(&mut rows, stated.patient_id).await?;
    Ok(Fhir(fhir::statement(&stated)))
}
