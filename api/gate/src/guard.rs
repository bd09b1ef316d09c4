//! The check before every handler, and the row of the audit trail after it.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use axum::RequestExt;
use axum::extract::{RawPathParams, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use clinical::id::{ClinicId, PatientId};
use clinical::role::{Permission, Reach, Resource, Role};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use storage::audit::{Actor, Entry, Outcome};
use storage::records::clinic::Clinic;

use crate::address::{self, Peer};
use crate::authenticate::{Membership, Principal};
use crate::caller::{Asked, Note};
use crate::in_flight::within;
use crate::operation::Operation;
use crate::rule::Own;
use crate::{AddressClass, App, Caller, Problem, Quota, RequestId, Rule, idempotent};

/// The header by which a caller of several clinics chooses one.
pub(crate) const X_CLINIC_ID: HeaderName = HeaderName::from_static("x-clinic-id");

type Running = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Lets a request through to its handler when the route's rule and the limits allow it.
pub(crate) async fn pass(operation: Arc<Operation>, request: Request, next: Next) -> Response {
    let Some(app) = request.extensions().get::<App>().cloned() else {
        return Problem::failed("internal").into_response();
    };
    let passed = match operation.rule.permission() {
        None => open(&app, &operation, request, next).await,
        Some(permission) => guarded(&app, &operation, permission, request, next).await,
    };
    passed.unwrap_or_else(IntoResponse::into_response)
}

/// A route that is open to everybody.
async fn open(app: &App, operation: &Operation, request: Request, next: Next) -> Result<Response, Problem> {
    if operation.is_probe {
        return Ok(next.run(request).await);
    }
    let class = if operation.is_sign_in { AddressClass::SignIn } else { AddressClass::Stranger };
    let quota = knocks(app, &request, class)?;
    let mut answer = run(app, operation, next)?(request).await;
    if let Some(quota) = quota {
        quota.write(answer.headers_mut());
    }
    Ok(answer)
}

/// A route that asks who it is.
async fn guarded(
    app: &App,
    operation: &Operation,
    permission: Permission,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let path = request.extract_parts::<RawPathParams>().await.map_err(|_| Problem::not_found())?;
    let path = PathNames(path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
    let principal = match principal(app, request.headers()).await {
        Ok(principal) => principal,
        Err(refused) => {
            knocks(app, &request, AddressClass::Stranger)?;
            let entry = stranger(app, operation, permission, &request);
            return Err(turned_away(app, entry, refused).await);
        }
    };
    let choice = placed(app, operation.rule, permission, &principal, &path, request.headers()).await;
    let (place, refusal) = match choice {
        Ok(place) if operation.is_of_standard => (place, None),
        Ok(place) => (place, operation.reads_all_of(request.uri()).err()),
        Err(refused) => (Place::nowhere(&principal), Some(refused)),
    };
    let quota = app.rates.check_caller(principal.who, place.clinic)?;
    let asked = Asked {
        at: app.clock.now(),
        permission,
        route: format!("{} {}", operation.method, operation.path),
        address: address_of(app, &request).map(|address| address.to_string()),
        request_id: request.extensions().get::<RequestId>().map(ToString::to_string),
    };
    let note = Note { patient: path.patient(), record: path.record(), ..Note::default() };
    let caller = Caller {
        clinic: place.clinic,
        who: principal.who,
        name: principal.name.clone(),
        role: place.role,
        reach: place.reach,
        patient: place.patient,
        scopes: principal.scopes.clone(),
        request: Arc::new(asked),
        note: Arc::new(Mutex::new(note)),
    };
    let answer = match refusal {
        Some(problem) => problem.into_response(),
        None => {
            request.extensions_mut().insert(caller.clone());
            let run = run(app, operation, next)?;
            if operation.is_repeatable() {
                idempotent(app, &caller.name, caller.clinic, request, run).await
            } else {
                run(request).await
            }
        }
    };
    let mut answer = told(app, operation, &caller, answer).await;
    quota.write(answer.headers_mut());
    Ok(answer)
}

/// What runs the handler, within the limits of the process; it owns its place there.
fn run(
    app: &App,
    operation: &Operation,
    next: Next,
) -> Result<impl FnOnce(Request) -> Running + use<>, Problem> {
    let place = if operation.is_streamed { app.streams.enter()? } else { app.in_flight.enter()? };
    let time = operation.time_out(app.limits.request_time);
    Ok(move |request| -> Running {
        Box::pin(async move { place.hold(within(time, next.run(request)).await) })
    })
}

/// The trail's row of a token that nobody here has.
fn stranger(app: &App, operation: &Operation, permission: Permission, request: &Request) -> Entry {
    Entry {
        clinic_id: ClinicId::DEFAULT,
        at: app.clock.now(),
        actor: Actor::Unknown,
        role: None,
        session: None,
        action: permission.to_string(),
        record_id: None,
        patient_id: None,
        route: format!("{} {}", operation.method, operation.path),
        address: address_of(app, request).map(|address| address.to_string()),
        request_id: request.extensions().get::<RequestId>().map(ToString::to_string),
        outcome: Outcome::Denied,
        detail: None,
    }
}

/// The refusal, once the trail has its row: one an address, action and minute. Who shows no token has tried nothing.
async fn turned_away(app: &App, entry: Entry, refused: Problem) -> Problem {
    if refused.code() != "token-invalid" {
        return refused;
    }
    let key = entry.address.clone().unwrap_or_default();
    match app.trail.record_once(entry, key).await {
        Ok(()) => refused,
        Err(error) => Problem::internal("audit-failed", &error),
    }
}

/// Counts a request that nobody known has made; without an address there is nothing to count by.
fn knocks(app: &App, request: &Request, class: AddressClass) -> Result<Option<Quota>, Problem> {
    address_of(app, request).map(|address| app.rates.check_address(address, class)).transpose()
}

/// From where the caller may do what is asked: by membership, rule, and the state of the clinic.
async fn placed(
    app: &App,
    rule: Rule,
    permission: Permission,
    principal: &Principal,
    path: &PathNames,
    headers: &HeaderMap,
) -> Result<Place, Problem> {
    let place = choose(principal, permission, clinic_asked(path, headers)?)?;
    holds_own(rule, &place, path)?;
    is_open(app, permission, principal, &place).await?;
    Ok(place)
}

/// Passes where the clinic of the place is there and works.
pub(crate) async fn is_open(
    app: &App,
    permission: Permission,
    principal: &Principal,
    place: &Place,
) -> Result<(), Problem> {
    let is_member = principal.memberships.iter().any(|membership| membership.clinic_id == place.clinic);
    if place.reach == Reach::Every && !is_member {
        Clinic::find(&mut app.db.read().await?, place.clinic).await?;
    }
    // One's own sign-ins can be ended in any clinic.
    let is_bound = place.role != Some(Role::SuperAdmin) && permission.resource != Resource::Account;
    if is_bound && app.suspensions.contain(place.clinic).await? {
        let detail = "the clinic is suspended: its administrator knows why";
        return Err(Problem::new(StatusCode::FORBIDDEN, "clinic-suspended", detail));
    }
    Ok(())
}

/// The answer, once the trail has the request's row: what cannot be written down is not shown.
async fn told(app: &App, operation: &Operation, caller: &Caller, answer: Response) -> Response {
    if caller.note().is_written {
        return answer;
    }
    let outcome = match answer.status() {
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Outcome::Denied,
        status if status.is_client_error() => Outcome::Refused,
        status if status.is_server_error() => Outcome::Failed,
        _ => Outcome::Success,
    };
    let entry = caller.entry(outcome);
    let written = if operation.is_told_once_a_minute && outcome == Outcome::Success {
        // Where no record is named, the route says what was done.
        let record = entry.record_id.clone().unwrap_or_else(|| entry.route.clone());
        app.trail.record_once(entry, record).await
    } else {
        app.trail.record(entry).await
    };
    match written {
        Ok(()) => answer,
        Err(error) => Problem::internal("audit-failed", &error).into_response(),
    }
}

/// Where the caller stands in the clinic that the request is about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub clinic: ClinicId,
    pub role: Option<Role>,
    pub reach: Reach,
    pub patient: Option<PatientId>,
}

impl Place {
    /// For the trail alone: the refused caller's own clinic.
    fn nowhere(principal: &Principal) -> Self {
        let first = principal.memberships.first();
        Self {
            clinic: first.map_or(ClinicId::DEFAULT, |membership| membership.clinic_id),
            role: first.and_then(|membership| membership.role),
            reach: Reach::Own,
            patient: None,
        }
    }
}

pub(crate) async fn principal(app: &App, headers: &HeaderMap) -> Result<Arc<Principal>, Problem> {
    let Some(token) = bearer(headers) else {
        let detail = "this path needs the header Authorization: Bearer TOKEN";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "token-missing", detail)
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
    };
    app.authenticator.principal(token).await
}

pub(crate) fn address_of(app: &App, request: &Request) -> Option<std::net::IpAddr> {
    let Peer(peer) = *request.extensions().get::<Peer>()?;
    Some(address::client(peer, request.headers(), &app.limits.trusted_proxies))
}

/// The clinic that the path or the header names.
fn clinic_asked(path: &PathNames, headers: &HeaderMap) -> Result<Option<ClinicId>, Problem> {
    if let Some(text) = path.get("clinicId") {
        return text.parse().map(Some).map_err(|_| Problem::not_found());
    }
    let Some(value) = headers.get(X_CLINIC_ID) else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    let wrong = || Problem::bad_request("invalid-clinic", "X-Clinic-Id is the identifier of a clinic");
    id.map(Some).ok_or_else(wrong)
}

/// The place from which `principal` may do what is asked; a clinic that is not theirs does not exist for them.
pub(crate) fn choose(
    principal: &Principal,
    permission: Permission,
    asked: Option<ClinicId>,
) -> Result<Place, Problem> {
    let first = principal.memberships.first().map(|membership| membership.clinic_id);
    let clinic = asked.or(first);
    let reach = |membership: &Membership| match &principal.scopes {
        Some(scopes) => {
            (scopes.contains(&permission) && permission.suits_machines()).then_some(Reach::Clinic)
        }
        None => membership.role.and_then(|role| role.reach(permission)),
    };
    let place = |membership: &Membership, clinic, reach| Place {
        clinic,
        role: membership.role,
        reach,
        patient: membership.patient_id,
    };
    let here = principal.memberships.iter().find(|membership| Some(membership.clinic_id) == clinic);
    // What reaches every clinic counts first: a clinic that makes such a person its own member takes nothing away.
    let everywhere = principal.memberships.iter().find(|it| reach(it) == Some(Reach::Every));
    if let (Some(membership), Some(clinic)) = (everywhere, clinic) {
        return Ok(Place { patient: None, ..place(membership, clinic, Reach::Every) });
    }
    if let Some((membership, reach)) = here.and_then(|membership| Some((membership, reach(membership)?))) {
        return Ok(place(membership, membership.clinic_id, reach));
    }
    // Someone whose last clinic has gone still has an account to look at and to leave.
    if permission.resource == Resource::Account
        && principal.scopes.is_none()
        && here.is_none()
        && asked.is_none()
    {
        return Ok(Place { clinic: ClinicId::DEFAULT, role: None, reach: Reach::Own, patient: None });
    }
    match here {
        Some(_) => Err(not_allowed(permission)),
        None if asked.is_some() => Err(Problem::not_found()),
        None => Err(not_allowed(permission)),
    }
}

fn not_allowed(permission: Permission) -> Problem {
    let detail = format!("this needs the permission {permission}, which your role or key does not have here");
    Problem::new(StatusCode::FORBIDDEN, "not-allowed", detail)
}

/// Holds a right that reaches only the caller's own records, as far as the path tells.
fn holds_own(rule: Rule, place: &Place, path: &PathNames) -> Result<(), Problem> {
    if place.reach > Reach::Own {
        return Ok(());
    }
    match rule.own() {
        Own::Record | Own::Caller => Ok(()),
        Own::Path(parameter) => {
            let named = path.get(parameter).and_then(|text| text.parse::<PatientId>().ok());
            if named.is_some() && named == place.patient { Ok(()) } else { Err(Problem::not_found()) }
        }
        Own::Refused => Err(rule.permission().map_or_else(Problem::not_found, not_allowed)),
    }
}

/// The parameters of the path by their names.
struct PathNames(Vec<(String, String)>);

impl PathNames {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn patient(&self) -> Option<PatientId> {
        self.get("patientId")?.parse().ok()
    }

    /// The last parameter is the record itself.
    fn record(&self) -> Option<String> {
        self.0.last().map(|(_, value)| value.chars().take(128).collect())
    }
}

/// The token of `Authorization: Bearer TOKEN`; the scheme's case does not count (RFC 9110, section 11.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use clinical::id::{ApiKeyId, SessionId, UserId};

    use super::*;
    use crate::Who;

    fn may(text: &str) -> Permission {
        text.parse().unwrap()
    }

    fn member(clinic_id: ClinicId, role: Role) -> Membership {
        Membership { clinic_id, role: Some(role), specialty: None, patient_id: None }
    }

    fn person(memberships: Vec<Membership>) -> Principal {
        let who = Who::User { user_id: UserId::new(), session_id: SessionId::new() };
        Principal { who, name: "someone".to_owned(), memberships, scopes: None }
    }

    fn refusal(chosen: Result<Place, Problem>) -> u16 {
        chosen.unwrap_err().status().as_u16()
    }

    #[test]
    fn a_role_counts_in_its_own_clinic_alone() {
        let (one, two, three) = (ClinicId::new(), ClinicId::new(), ClinicId::new());
        let person = person(vec![member(one, Role::Doctor), member(two, Role::Receptionist)]);
        assert_eq!(choose(&person, may("finding:review"), None).unwrap().clinic, one);
        assert_eq!(refusal(choose(&person, may("finding:review"), Some(two))), 403);
        assert_eq!(refusal(choose(&person, may("finding:review"), Some(three))), 404);
    }

    #[test]
    fn a_right_that_reaches_every_clinic_needs_no_membership() {
        let person = person(vec![member(ClinicId::DEFAULT, Role::SystemAuditor)]);
        let elsewhere = ClinicId::new();
        assert_eq!(choose(&person, may("audit:list"), Some(elsewhere)).unwrap().reach, Reach::Every);
        assert_eq!(refusal(choose(&person, may("patient:read"), Some(elsewhere))), 404);
    }

    #[test]
    fn a_clinic_cannot_make_less_of_whoever_stands_above_it() {
        let clinic = ClinicId::new();
        let above =
            person(vec![member(ClinicId::DEFAULT, Role::SuperAdmin), member(clinic, Role::ClinicAdmin)]);
        let place = choose(&above, may("clinic:update"), Some(clinic)).unwrap();
        assert_eq!((place.reach, place.role), (Reach::Every, Some(Role::SuperAdmin)));
    }

    #[test]
    fn a_key_makes_no_people_and_no_keys() {
        let key = Principal {
            who: Who::Key { api_key_id: ApiKeyId::new() },
            name: "key".to_owned(),
            memberships: vec![Membership {
                clinic_id: ClinicId::DEFAULT,
                role: None,
                specialty: None,
                patient_id: None,
            }],
            scopes: Some(vec![may("member:create"), may("api_key:create")]),
        };
        for permission in ["member:create", "api_key:create"] {
            assert_eq!(refusal(choose(&key, may(permission), None)), 403, "{permission}");
        }
    }

    #[test]
    fn a_key_does_what_its_scopes_say_in_its_clinic() {
        let clinic = ClinicId::new();
        let key = Principal {
            who: Who::Key { api_key_id: ApiKeyId::new() },
            name: "key".to_owned(),
            memberships: vec![Membership {
                clinic_id: clinic,
                role: None,
                specialty: None,
                patient_id: None,
            }],
            scopes: Some(vec![may("study:create")]),
        };
        assert_eq!(choose(&key, may("study:create"), None).unwrap().reach, Reach::Clinic);
        assert_eq!(refusal(choose(&key, may("study:read"), None)), 403);
        assert_eq!(refusal(choose(&key, may("study:create"), Some(ClinicId::new()))), 404);
    }

    #[test]
    fn own_records_are_held_by_path_by_record_or_not_at_all() {
        let patient = PatientId::new();
        let place = Place {
            clinic: ClinicId::DEFAULT,
            role: Some(Role::Patient),
            reach: Reach::Own,
            patient: Some(patient),
        };
        let rule = Rule::may(clinical::role::Action::Read, Resource::Patient);
        let path = |id: PatientId| PathNames(vec![("patientId".to_owned(), id.to_string())]);
        let status = |rule, id| holds_own(rule, &place, &path(id)).err().map(|it| it.status().as_u16());
        assert_eq!(status(rule.own_by_path("patientId"), patient), None);
        assert_eq!(status(rule.own_by_path("patientId"), PatientId::new()), Some(404));
        assert_eq!(status(rule.own_by_record(), PatientId::new()), None);
        assert_eq!(status(rule, patient), Some(403));
    }

    #[test]
    fn without_a_clinic_only_the_account_is_left() {
        let person = person(Vec::new());
        assert_eq!(choose(&person, may("account:read"), None).unwrap().reach, Reach::Own);
        assert_eq!(refusal(choose(&person, may("patient:read"), None)), 403);
    }

    fn shown(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        bearer(&headers).map(str::to_owned)
    }

    #[test]
    fn the_scheme_is_read_without_regard_to_case() {
        assert_eq!(shown("Bearer secret").as_deref(), Some("secret"));
        assert_eq!(shown("bearer  secret").as_deref(), Some("secret"));
        assert_eq!(shown("BEARER secret").as_deref(), Some("secret"));
    }

    #[test]
    fn another_scheme_or_an_empty_token_is_no_token() {
        for value in ["Basic c2VjcmV0", "Bearer", "Bearer ", "secret"] {
            assert_eq!(shown(value), None, "{value}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
