//! What is stated about a patient: four kinds of facts with the same five routes each.

use std::borrow::Cow;

use axum::extract::State;
use chrono::{DateTime, Utc};
use clinical::event::Event;
use clinical::id::{PatientId, StatementId};
use clinical::role::Action;
use clinical::statement::{Allergy, Condition, Medication, Stated, Statement, Vital};
use gate::{App, Caller, Cursor, Json, Paged, Path, Problem, Routes, Rule, delete, get, post};
use http::{HeaderName, StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use storage::outbox;
use storage::records::statement::{self, Mistakes};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::door::{hold, refused, survivor};
use crate::patch::{self, Patch};

/// A kind of fact with its place on the street.
pub(crate) trait Shown:
    Stated + Clone + Serialize + DeserializeOwned + ToSchema + Send + 'static
{
    /// The last part of the path.
    const PATH: &'static str;
    /// What each route says: create, list, show, change, retract.
    const SAYS: [&'static str; 5];
}

macro_rules! shown {
    ($($name:ident $path:literal $one:literal $many:literal)*) => {$(
        impl Shown for $name {
            const PATH: &'static str = $path;
            const SAYS: [&'static str; 5] = [
                concat!("States ", $one, " of a patient."),
                concat!("A patient's ", $many, ", newest first; what was entered in error is left out."),
                concat!("One of a patient's ", $many, "."),
                concat!("Changes ", $one, " (JSON Merge Patch, RFC 7396)."),
                concat!("Says that ", $one, " was entered in error; it stays readable."),
            ];
        }
    )*};
}

shown! {
    Allergy "allergies" "an allergy or intolerance" "allergies and intolerances"
    Condition "conditions" "a condition" "conditions"
    Medication "medications" "a medication" "medications"
    Vital "vitals" "a vital sign" "vital signs"
}

/// A statement with what is known of its stating.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatementView<T> {
    /// What is stated.
    #[serde(flatten)]
    pub fact: T,
    /// By whom and when.
    #[serde(flatten)]
    pub stating: Stating,
}

/// What is known of a statement beside what it states.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stating {
    /// Our identifier.
    pub id: StatementId,
    /// Whom it is about.
    pub patient_id: PatientId,
    /// It was never true: somebody made a mistake.
    pub is_entered_in_error: bool,
    /// Who stated it.
    pub recorded_by: String,
    /// When.
    pub recorded_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// One object with the members of both: joined by `allOf`, each half would refuse the other's.
impl<T: ToSchema> PartialSchema for StatementView<T> {
    fn schema() -> RefOr<Schema> {
        let (RefOr::T(Schema::Object(mut whole)), RefOr::T(Schema::Object(stating))) =
            (T::schema(), Stating::schema())
        else {
            unreachable!("{} is a plain object", T::name())
        };
        whole.properties.extend(stating.properties);
        whole.required.extend(stating.required);
        whole.additional_properties = None;
        whole.into()
    }
}

impl<T: ToSchema> ToSchema for StatementView<T> {
    fn name() -> Cow<'static, str> {
        format!("{}Statement", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(schemas);
        Stating::schemas(schemas);
    }
}

/// `None` when the statement is of another kind.
fn view<T: Shown>(statement: Statement) -> Option<StatementView<T>> {
    Some(StatementView {
        fact: T::of(statement.fact)?,
        stating: Stating {
            id: statement.statement_id,
            patient_id: statement.patient_id,
            is_entered_in_error: statement.is_entered_in_error,
            recorded_by: statement.recorded_by,
            recorded_at: statement.recorded_at,
            updated_at: statement.updated_at,
        },
    })
}

/// The five routes of one kind.
pub(crate) fn routes<T: Shown>(routes: Routes<App>) -> Routes<App> {
    let may = |action| Rule::may(action, T::KIND);
    let all = format!("/api/v1/patients/{{patientId}}/{}", T::PATH);
    let one = format!("{all}/{{statementId}}");
    let [creates, lists, shows, changes, retracts] = T::SAYS;
    let closed = "patient-merged; patient-erased";
    routes
        .add(
            post(all.clone(), may(Action::Create))
                .says(creates)
                .takes::<T>()
                .answers::<StatementView<T>>(201, "What is stated now.")
                .refuses(400, "invalid-value: a member is not as it must be")
                .refuses(403, crate::door::RESTRICTED)
                .refuses(409, closed),
            create::<T>,
        )
        .add(
            get(all, may(Action::List).own_by_path("patientId"))
                .says(lists)
                .paged::<StatementView<T>>("What is stated.")
                .refuses(403, crate::door::RESTRICTED),
            list::<T>,
        )
        .add(
            get(one.clone(), may(Action::Read).own_by_path("patientId"))
                .says(shows)
                .answers::<StatementView<T>>(200, "What is stated.")
                .refuses(403, crate::door::RESTRICTED),
            show::<T>,
        )
        .add(
            gate::patch(one.clone(), may(Action::Update))
                .says(changes)
                .takes_bytes("application/json", patch::schema::<T>())
                .answers::<StatementView<T>>(200, "What is stated now.")
                .refuses(400, "invalid-value: a member is not as it must be")
                .refuses(403, crate::door::RESTRICTED)
                .refuses(409, "entered-in-error: state it anew; patient-merged; patient-erased"),
            change::<T>,
        )
        .add(
            delete(one, may(Action::Delete))
                .says(retracts)
                .answers_nothing(204, "It is marked.")
                .refuses(403, crate::door::RESTRICTED)
                .refuses(409, closed),
            retract::<T>,
        )
}

/// `POST /api/v1/patients/{patientId}/…`
async fn create<T: Shown>(
    State(app): State<App>,
    caller: Caller,
    Path(patient_id): Path<PatientId>,
    Json(fact): Json<T>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<StatementView<T>>), Problem> {
    let now = app.clock.now();
    fact.check(now).map_err(refused)?;

    let mut tx = app.db.of(caller.clinic).begin().await?;
    hold(&mut tx, &caller, patient_id, now).await?;
    let stated =
        statement::record(&mut tx, caller.clinic, patient_id, fact.into_fact(), &caller.name, now).await?;
    let statement_id = stated.statement_id;
    let event = Event::StatementRecorded { patient_id, statement_id, kind: T::KIND };
    outbox::tell(&mut tx, caller.clinic, &event, now).await?;
    caller.about_record(statement_id);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    let shown = view(stated).ok_or_else(Problem::not_found)?;
    let place = format!("/api/v1/patients/{patient_id}/{}/{statement_id}", T::PATH);
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(shown)))
}

/// `GET /api/v1/patients/{patientId}/…`: newest first.
async fn list<T: Shown>(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
    Path(id): Path<PatientId>,
) -> Result<Paged<StatementView<T>>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let patient = survivor(&mut rows, &caller, id, app.clock.now()).await?.patient_id;
    let (after, limit) = (page.after.map(StatementId), page.rows());
    let stated = statement::of_patient(
        &mut rows,
        caller.clinic,
        patient,
        Some(T::KIND),
        Mistakes::LeftOut,
        after,
        limit,
    )
    .await?;
    let views = stated.into_iter().filter_map(view).collect();
    Ok(page.of_rows(views, |view: &StatementView<T>| view.stating.id.0))
}

/// Both parameters of the path.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    patient_id: PatientId,
    statement_id: StatementId,
}

/// `GET /api/v1/patients/{patientId}/…/{statementId}`
async fn show<T: Shown>(
    State(app): State<App>,
    caller: Caller,
    Path(place): Path<Place>,
) -> Result<Json<StatementView<T>>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let patient = survivor(&mut rows, &caller, place.patient_id, app.clock.now()).await?;
    let stated = statement::find(&mut rows, caller.clinic, T::KIND, place.statement_id).await?;
    if stated.patient_id != patient.patient_id {
        return Err(Problem::not_found());
    }
    view(stated).map(Json).ok_or_else(Problem::not_found)
}

/// `PATCH /api/v1/patients/{patientId}/…/{statementId}`
async fn change<T: Shown>(
    State(app): State<App>,
    caller: Caller,
    Path(Place { patient_id, statement_id }): Path<Place>,
    Json(patch): Json<Patch>,
) -> Result<Json<StatementView<T>>, Problem> {
    let now = app.clock.now();
    let mut tx = app.db.of(caller.clinic).begin().await?;
    hold(&mut tx, &caller, patient_id, now).await?;
    let before = statement::find(&mut tx, caller.clinic, T::KIND, statement_id).await?;
    if before.patient_id != patient_id {
        return Err(Problem::not_found());
    }
    if before.is_entered_in_error {
        return Err(Problem::conflict(
            "entered-in-error",
            "what was never true is not changed: state it anew",
        ));
    }
    let before = T::of(before.fact).ok_or_else(Problem::not_found)?;
    let fact = patch.over(&before)?;
    fact.check(now).map_err(refused)?;
    statement::change(&mut tx, caller.clinic, statement_id, &fact.into_fact(), now).await?;
    let event = Event::StatementChanged { patient_id, statement_id, kind: T::KIND };
    outbox::tell(&mut tx, caller.clinic, &event, now).await?;
    let after = statement::find(&mut tx, caller.clinic, T::KIND, statement_id).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    view(after).map(Json).ok_or_else(Problem::not_found)
}

/// `DELETE /api/v1/patients/{patientId}/…/{statementId}`
async fn retract<T: Shown>(
    State(app): State<App>,
    caller: Caller,
    Path(Place { patient_id, statement_id }): Path<Place>,
) -> Result<StatusCode, Problem> {
    let now = app.clock.now();
    let mut tx = app.db.of(caller.clinic).begin().await?;
    hold(&mut tx, &caller, patient_id, now).await?;
    let stated = statement::find(&mut tx, caller.clinic, T::KIND, statement_id).await?;
    if stated.patient_id != patient_id {
        return Err(Problem::not_found());
    }
    if statement::retract(&mut tx, caller.clinic, statement_id, now).await? {
        let event = Event::StatementRetracted { patient_id, statement_id, kind: T::KIND };
        outbox::tell(&mut tx, caller.clinic, &event, now).await?;
    }
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
