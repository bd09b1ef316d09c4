//! A patient is registered by hand.

use axum::extract::State;
use clinical::event::Event;
use gate::{App, Caller, Json, Problem};
use http::{HeaderName, StatusCode, header};
use storage::db::DbError;
use storage::outbox;
use storage::records::patient::{Patient, Sight};

use crate::PatientView;
use crate::door::refused;
use crate::view::PatientRequest;

/// `POST /api/v1/patients`
pub(crate) async fn register(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<PatientRequest>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<PatientView>), Problem> {
    let now = app.clock.now();
    let is_restricted = request.is_restricted;
    if is_restricted {
        may_restrict(&caller)?;
    }
    let demographics = request.into_demographics();
    demographics.check(now.date_naive()).map_err(refused)?;

    let mut tx = app.db.of(caller.clinic).begin().await?;
    let patient_id = Patient::register(&mut tx, caller.clinic, &demographics, is_restricted, now)
        .await
        .map_err(identifier_taken)?;
    outbox::tell(&mut tx, caller.clinic, &Event::PatientRegistered { patient_id }, now).await?;
    let patient = Patient::find(&mut tx, caller.clinic, patient_id).await?;
    caller.about(patient_id);
    caller.about_record(patient_id);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    let location = [(header::LOCATION, format!("/api/v1/patients/{patient_id}"))];
    Ok((StatusCode::CREATED, location, Json(patient.into())))
}

/// Those who see every restricted record decide which ones are.
pub(crate) fn may_restrict(caller: &Caller) -> Result<(), Problem> {
    if caller.reader().sight() == Sight::Everything {
        return Ok(());
    }
    let detail = "only the clinic's administrators restrict a record or open it again";
    Err(Problem::new(StatusCode::FORBIDDEN, "not-allowed", detail))
}

pub(crate) fn identifier_taken(error: DbError) -> Problem {
    match error {
        DbError::Conflict => {
            let detail = "an identifier means another patient of this clinic: is it the same person?";
            Problem::conflict("identifier-taken", detail)
        }
        error => error.into(),
    }
}
