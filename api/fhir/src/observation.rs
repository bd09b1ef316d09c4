//! `Observation`: vital signs, and what networks saw; read, and searched by patient and category.

use axum::extract::State;
use clinical::fhir;
use clinical::id::{FindingId, StatementId};
use clinical::role::{Action, Permission, Resource};
use clinical::statement::{Stated, Vital};
use gate::{App, Caller, Path, Problem, Query};
use serde::Deserialize;
use serde_json::Value;
use storage::db::DbError;
use storage::records::report;
use storage::records::statement::{self, Mistakes};
use utoipa::IntoParams;
use uuid::Uuid;

use crate::Fhir;
use crate::asked::Asked;
use crate::door::OfPatient;

/// Which observations are asked for.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct OfCategory {
    /// `vital-signs` or `imaging`, its system may stand before it; without it both are found, as far as the caller
    /// may see findings.
    #[param(pattern = "^[^\\x00]{0,200}$")]
    category: Option<String>,
}

impl OfCategory {
    /// Whether observations of `code` are asked for.
    fn takes(&self, code: &str) -> bool {
        self.category.as_ref().is_none_or(|asked| asked.rsplit('|').next() == Some(code))
    }
}

/// Whether the caller may look at what networks saw.
fn may(caller: &Caller, action: Action) -> bool {
    caller.may(Permission { resource: Resource::Finding, action })
}

/// `GET /fhir/R4/Observation?patient=…&category=…`: newest first.
pub(crate) async fn search(
    State(app): State<App>,
    caller: Caller,
    asked: Asked,
    Query(of): Query<OfPatient>,
    Query(category): Query<OfCategory>,
) -> Result<Fhir, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let patient = of.find(&mut rows, &caller).await?;
    let limit = asked.rows();
    let mut found: Vec<(Uuid, Value)> = Vec::new();
    if category.takes("vital-signs") {
        let (kind, mistakes) = (Some(Vital::KIND), Mistakes::LeftOut);
        let after = asked.after.map(StatementId);
        let stated =
            statement::of_patient(&mut rows, caller.clinic, patient, kind, mistakes, after, limit).await?;
        found.extend(stated.iter().map(|it| (it.statement_id.0, fhir::statement(it))));
    }
    if category.takes("imaging") && may(&caller, Action::List) {
        let after = asked.after.map(FindingId);
        let seen = report::observed_of(&mut rows, caller.clinic, patient, after, limit).await?;
        found.extend(seen.iter().map(|it| (it.finding_id.0, fhir::finding_observation(it))));
    }
    found.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(asked.bundle(None, found))
}

/// `GET /fhir/R4/Observation/{id}`; what was entered in error says so.
pub(crate) async fn read(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<StatementId>,
) -> Result<Fhir, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    match statement::find(&mut rows, caller.clinic, Vital::KIND, id).await {
        Ok(stated) => {
            caller.sees(&mut rows, stated.patient_id).await?;
            Ok(Fhir(fhir::statement(&stated)))
        }
        Err(DbError::NotFound) if may(&caller, Action::Read) => {
            let seen = report::observed(&mut rows, caller.clinic, FindingId(id.0)).await?;
            caller.sees(&mut rows, seen.patient_id).await?;
            Ok(Fhir(fhir::finding_observation(&seen)))
        }
        Err(error) => Err(error.into()),
    }
}
