//! CDS Hooks 2.0: other systems ask about a patient or an order, and get cards.
//!
//! Who may ask is each clinic's to say: it names a program by the issuer of its tokens, with its public keys, and the tokens
//! say for whom they are. What is known of the patient comes with the request (`prefetch`); this house fetches nothing and
//! keeps nothing of it. Tells nothing; hears nothing.
//!
//! Source: CDS Hooks 2.0 (HL7, 2022), <https://cds-hooks.hl7.org/2.0/>.

mod card;
mod clients;
mod cors;
mod discovery;
mod feedback;
mod medication;
mod patient;
mod request;
mod service;
mod trust;

use std::sync::Arc;

use axum::extract::FromRef;
use clinical::role::{Action, Resource};
use gate::{App, Operation, Routes, Rule, delete, get, options, post};
use triage::Advisor;
use url::Url;

/// What refuses a name that no service has.
const NO_SERVICE: &str = "not-found: there is no such service";
/// What refuses a program.
const UNTRUSTED: &str = "client-untrusted: the header Authorization has no token that a clinic believes";

/// The rooms behind this house; cheap to clone.
#[derive(Clone)]
pub struct CdsHooksState {
    app: App,
    advisor: Arc<Advisor>,
    /// Under which address other systems reach the services; without one no token is meant for here.
    public_url: Option<Arc<Url>>,
}

impl CdsHooksState {
    /// Joins the rooms; `public_url` is the address under which other systems reach this one, which their tokens must name.
    pub fn new(app: App, advisor: Arc<Advisor>, public_url: &str) -> Self {
        Self { app, advisor, public_url: Url::parse(public_url).ok().map(Arc::new) }
    }
}

impl FromRef<CdsHooksState> for App {
    fn from_ref(state: &CdsHooksState) -> Self {
        state.app.clone()
    }
}

/// The house, ready to be joined to others.
pub fn routes(state: CdsHooksState) -> Routes {
    let clients = |action| Rule::may(action, Resource::CdsClient);
    Routes::new("cds-hooks")
        .add(
            get("/cds-services", Rule::PUBLIC)
                .says("Which services there are (CDS Hooks 2.0, discovery).")
                .answers::<discovery::Discovery>(200, "The services."),
            discovery::discover,
        )
        .add(preflight("/cds-services"), cors::preflight)
        .add(
            post("/cds-services/{serviceId}", Rule::PUBLIC)
                .says("Asks a service: `Authorization: Bearer` and a token of a program that a clinic has named.")
                .takes::<request::HookRequest>()
                .answers::<card::Response>(200, "The cards.")
                .refuses(422, "invalid-request: a member of the request is missing or not what the hook has")
                .refuses(401, UNTRUSTED)
                .refuses(404, NO_SERVICE)
                .refuses(412, "prefetch-missing: nothing is known of the patient without it"),
            service::ask,
        )
        .add(preflight("/cds-services/{serviceId}").refuses(404, NO_SERVICE), cors::preflight_of_service)
        .add(
            post("/cds-services/{serviceId}/feedback", Rule::PUBLIC)
                .says("Tells what came of cards: accepted, or overridden and why.")
                .takes::<feedback::Feedback>()
                .answers_nothing(200, "It is kept.")
                .refuses(422, "invalid-request: a member of the request is missing or not what it should be")
                .refuses(401, UNTRUSTED)
                .refuses(404, NO_SERVICE),
            feedback::tell,
        )
        .add(
            preflight("/cds-services/{serviceId}/feedback").refuses(404, NO_SERVICE),
            cors::preflight_of_service,
        )
        .add(
            post("/api/v1/cds-clients", clients(Action::Create))
                .says("Name a program that may ask, by the issuer of its tokens and its public keys.")
                .takes::<clients::NewClient>()
                .answers::<clients::ClientView>(201, "The program.")
                .refuses(409, "cds-client-exists: the clinic has named the issuer already; cds-key-taken: another clinic has named it with one of these keys; too-many: it has 50")
                .refuses(422, "invalid-cds-client: errors names each member"),
            clients::create,
        )
        .add(
            get("/api/v1/cds-clients", clients(Action::List))
                .says("The programs that may ask.")
                .answers::<Vec<clients::ClientView>>(200, "The clinic's, by issuer."),
            clients::list,
        )
        .add(
            get("/api/v1/cds-clients/{clientId}", clients(Action::Read))
                .says("One of them.")
                .answers::<clients::ClientView>(200, "The program."),
            clients::show,
        )
        .add(
            delete("/api/v1/cds-clients/{clientId}", clients(Action::Delete))
                .says("Believe a program's tokens no more.")
                .answers_nothing(204, "They are believed no more."),
            clients::remove,
        )
        .add(
            get("/api/v1/cds-feedback", clients(Action::List))
                .says("What came of cards, newest first.")
                .paged::<feedback::FeedbackView>("The clinic's feedback."),
            feedback::list,
        )
        .with_state(state)
}

/// What a browser asks before it sends a request to another host.
fn preflight(path: &str) -> Operation {
    options(path, Rule::PUBLIC)
        .says("What a browser asks before it asks the service (CORS).")
        .answers_nothing(204, "The headers say what is allowed.")
}
