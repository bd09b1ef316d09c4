//! `Patient`: read and search.

use std::collections::HashSet;

use axum::extract::State;
use chrono::NaiveDate;
use clinical::fhir;
use clinical::id::PatientId;
use gate::{App, Caller, Path, Problem, Query};
use serde::Deserialize;
use storage::records::patient::{Grant, Patient, PatientFilter, Sight};
use utoipa::IntoParams;

use crate::Fhir;
use crate::asked::Asked;

/// Longest text that is looked for, in characters.
const TEXT_CHARACTERS: usize = 200;

/// Which patients are asked for; all that is given must fit.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct Search {
    /// `system|value`, or the value alone.
    #[param(min_length = 1, max_length = 200, pattern = "^[^\\x00]*[^\\s\\x00][^\\x00]*$")]
    identifier: Option<String>,
    /// What the family name or the given name begins with.
    #[param(min_length = 1, max_length = 200, pattern = "^[^\\x00]*[^\\s\\x00][^\\x00]*$")]
    name: Option<String>,
    /// A day; the prefix `eq` may stand before it.
    #[param(
        pattern = "^(eq)?([0-9]{4}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)$"
    )]
    birthdate: Option<String>,
}

impl Search {
    fn check(self) -> Result<PatientFilter, Problem> {
        let invalid = |detail| Problem::bad_request("invalid-query", detail);
        for text in [&self.name, &self.identifier].into_iter().flatten() {
            if text.trim().is_empty() || text.chars().count() > TEXT_CHARACTERS || text.contains('\0') {
                return Err(invalid("name and identifier have 1 to 200 characters"));
            }
        }
        let identifier = self.identifier.map(|text| match text.split_once('|') {
            Some((system, value)) => (Some(system.to_owned()), value.to_owned()),
            None => (None, text),
        });
        let day = |text: String| text.strip_prefix("eq").unwrap_or(&text).parse::<NaiveDate>();
        let birth_date = self.birthdate.map(day).transpose();
        let birth_date = birth_date.map_err(|_| invalid("birthdate is a day, as 1980-02-01"))?;
        Ok(PatientFilter { name: self.name, identifier, birth_date })
    }
}

/// `GET /fhir/R4/Patient?identifier=…&name=…&birthdate=…`
pub(crate) async fn search(
    State(app): State<App>,
    caller: Caller,
    asked: Asked,
    Query(search): Query<Search>,
) -> Result<Fhir, Problem> {
    let filter = search.check()?;
    let (reader, now) = (caller.reader(), app.clock.now());
    let mut rows = app.db.of(caller.clinic).read().await?;
    let after = asked.after.map(PatientId);
    let found = Patient::list(&mut rows, caller.clinic, &filter, reader.sight(), after, asked.rows()).await?;
    let open = match reader.user_id {
        Some(user_id) if found.iter().any(|patient| patient.is_restricted) => {
            Grant::open_to(&mut rows, caller.clinic, user_id, now).await?
        }
        _ => HashSet::new(),
    };
    let resources = found.iter().map(|patient| {
        let id = patient.patient_id;
        let is_shown = !patient.is_restricted || reader.sight() == Sight::Everything || open.contains(&id);
        let resource = if is_shown { fhir::patient(&patient.into()) } else { fhir::restricted_patient(id) };
        (id.0, resource)
    });
    Ok(asked.bundle(None, resources.collect()))
}

/// `GET /fhir/R4/Patient/{patientId}`
pub(crate) async fn read(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<PatientId>,
) -> Result<Fhir, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    caller.sees(&mut rows, id).await?;
    let patient = Patient::find(&mut rows, caller.clinic, id).await?;
    Ok(Fhir(fhir::patient(&(&patient).into())))
}
