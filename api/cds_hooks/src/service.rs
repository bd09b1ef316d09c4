//! A hook is answered.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use clinical::audit::{Actor, Entry, Outcome};
use clinical::decision::{Drug, NotChecked, Screened};
use gate::{Json, Path, Problem, Visitor};
use http::{HeaderMap, StatusCode};
use storage::records::cds_client::CdsClient;

use crate::CdsHooksState;
use crate::card::{Order, Response as Cards, cards};
use crate::cors::open;
use crate::discovery::Hook;
use crate::medication::drug;
use crate::patient::{presentation, taken};
use crate::request::HookRequest;
use crate::trust::trusted;

/// What the trail calls it when a program asks.
const ASK: &str = "cds_client:ask";

/// `POST /cds-services/{serviceId}`
pub(crate) async fn ask(
    State(state): State<CdsHooksState>,
    visitor: Visitor,
    Path(service): Path<String>,
    headers: HeaderMap,
    body: Result<Json<HookRequest>, Problem>,
) -> Response {
    open(answer(&state, &visitor, &service, &headers, body).await.unwrap_or_else(IntoResponse::into_response))
}

async fn answer(
    state: &CdsHooksState,
    visitor: &Visitor,
    service: &str,
    headers: &HeaderMap,
    body: Result<Json<HookRequest>, Problem>,
) -> Result<Response, Problem> {
    let hook = Hook::of_service(service).ok_or_else(Problem::not_found)?;
    let Json(request) = body?;
    let client = trusted(state, visitor, headers, service, ASK).await?;
    let answer = screened(state, hook, &request);
    let outcome = if answer.is_ok() { Outcome::Success } else { Outcome::Refused };
    let written = state.app.trail.record(row(visitor, &client, ASK, service, outcome)).await;
    written.map_err(|error| Problem::internal("audit-failed", &error))?;
    Ok(Json(answer?).into_response())
}

/// The cards of a request whose sender is known.
fn screened(state: &CdsHooksState, hook: Hook, request: &HookRequest) -> Result<Cards, Problem> {
    request.check(hook)?;
    if request.prefetch.is_none() && hook == Hook::PatientView {
        let detail = "send prefetch as the discovery says: nothing is fetched from here";
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "prefetch-missing", detail));
    }
    let (mut presentation, mut not_checked) = presentation(request, state.app.clock.now());
    let (taken, missing) = taken(request);
    not_checked.extend(missing);
    let orders = request.orders(hook, &mut not_checked);
    let drafts: Vec<(String, Drug)> =
        orders.into_iter().filter_map(|(reference, it)| Some((reference, drug(it)?))).collect();
    presentation.medications = drafts.iter().map(|(_, drug)| drug.clone()).chain(taken).collect();
    if presentation.medications.is_empty() && hook != Hook::PatientView {
        return Ok(cards(request.hook_instance, &[], &not_checked, &[]));
    }
    presentation.check().map_err(|faults| Problem::invalid("invalid-request", faults.0))?;

    let Screened { detected_issues: mut issues, not_checked: unchecked, .. } =
        state.advisor.screen(&presentation);
    let orders: Vec<Order> = drafts
        .into_iter()
        .map(|(reference, drug)| {
            let name = drug.name().to_owned();
            Order { ingredients: state.advisor.ingredients(&name), reference, name }
        })
        .collect();
    if hook != Hook::PatientView {
        // What the patient takes anyway is the record's card, not this order's.
        let is_of_order = |drugs: &[String]| {
            orders.iter().any(|order| order.ingredients.iter().any(|it| drugs.contains(it)))
        };
        issues.retain(|issue| is_of_order(&issue.drugs));
    }
    add_once(&mut not_checked, unchecked);
    Ok(cards(request.hook_instance, &issues, &not_checked, &orders))
}

fn add_once(all: &mut Vec<NotChecked>, more: Vec<NotChecked>) {
    for one in more {
        if !all.contains(&one) {
            all.push(one);
        }
    }
}

/// The trail's row: which program did what with which service; it names no patient, for the client's are not ours.
pub(crate) fn row(
    visitor: &Visitor,
    client: &CdsClient,
    action: &str,
    service: &str,
    outcome: Outcome,
) -> Entry {
    let mut entry = visitor.entry(client.clinic_id, Actor::System, action, outcome);
    entry.record_id = Some(client.client_id.to_string());
    entry.detail = Some(serde_json::json!({ "reason": format!("cds-hooks: {service}") }));
    entry
}
