//! Looking patients up.

use std::collections::HashSet;

use axum::extract::State;
use chrono::NaiveDate;
use clinical::id::PatientId;
use gate::{App, Caller, Cursor, Json, Paged, Path, Problem, Query};
use serde::Deserialize;
use storage::records::patient::{Grant, Patient, PatientFilter};
use utoipa::IntoParams;

use crate::PatientView;
use crate::door::see;

/// Longest text that is looked for, in characters.
const TEXT_CHARACTERS: usize = 200;

/// Which patients are asked for; all that is given must fit.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Filter {
    /// What the family name or the given name begins with; neither case nor accents count.
    #[param(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// An identifier's value, or its issuer, a vertical bar and its value.
    #[param(min_length = 1, max_length = 200)]
    identifier: Option<String>,
    /// When they were born.
    birth_date: Option<NaiveDate>,
}

impl Filter {
    fn check(self) -> Result<PatientFilter, Problem> {
        for text in [&self.name, &self.identifier].into_iter().flatten() {
            if text.trim().is_empty() || text.chars().count() > TEXT_CHARACTERS || text.contains('\0') {
                return Err(Problem::bad_request(
                    "invalid-query",
                    "name and identifier have 1 to 200 characters",
                ));
            }
        }
        let identifier = self.identifier.map(|text| match text.split_once('|') {
            Some((issuer, value)) => (Some(issuer.to_owned()), value.to_owned()),
            None => (None, text),
        });
        Ok(PatientFilter { name: self.name, identifier, birth_date: self.birth_date })
    }
}

/// `GET /api/v1/patients?name=…&identifier=ISSUER|VALUE&birthDate=…`: newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
    Query(filter): Query<Filter>,
) -> Result<Paged<PatientView>, Problem> {
    let filter = filter.check()?;
    let (reader, now) = (caller.reader(), app.clock.now());
    let mut rows = app.db.of(caller.clinic).read().await?;
    let (after, limit) = (page.after.map(PatientId), page.rows());
    let found = Patient::list(&mut rows, caller.clinic, &filter, reader.sight(), after, limit).await?;
    let open = match reader.user_id {
        Some(user_id) if found.iter().any(|patient| patient.is_restricted) => {
            Grant::open_to(&mut rows, caller.clinic, user_id, now).await?
        }
        _ => HashSet::new(),
    };
    let paged = page.of_rows(found, |patient| patient.patient_id.0);
    Ok(paged.map(|patient| PatientView::seen(patient, reader.sight(), &open)))
}

/// `GET /api/v1/patients/{patientId}`
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<PatientId>,
) -> Result<Json<PatientView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    Ok(Json(see(&mut rows, &caller, id, app.clock.now()).await?.into()))
}
