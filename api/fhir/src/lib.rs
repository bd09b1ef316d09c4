//! Records as HL7 FHIR R4 resources, to be read and searched under `/fhir/R4`.
//!
//! Tells nothing, hears nothing. A refusal is a problem document like everywhere; whoever asks for
//! `application/fhir+json` gets it as an `OperationOutcome` ([`as_outcome`]).

mod asked;
mod assessment;
mod audit_event;
mod diagnostic_report;
mod door;
mod everything;
mod imaging_study;
mod metadata;
mod observation;
mod outcome;
mod patient;
mod statement;

use axum::response::{IntoResponse, Response};
use clinical::role::{Action, Resource};
use clinical::statement::{Allergy, Condition, Medication, Stated, Vital};
use gate::{App, Operation, Routes, Rule, get};
use http::header;
use serde_json::Value;

pub use outcome::as_outcome;

/// The media type of a resource.
const MEDIA_TYPE: &str = "application/fhir+json";
/// Where the house stands.
const BASE: &str = "/fhir/R4";

/// A resource as an answer.
#[derive(Debug, Clone, PartialEq)]
struct Fhir(Value);

impl IntoResponse for Fhir {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, MEDIA_TYPE)], self.0.to_string()).into_response()
    }
}

/// The house, ready to be joined to others.
pub fn routes(app: App) -> Routes {
    let may = |action| Rule::may(action, Resource::Patient);
    let routes = Routes::of_standard("fhir")
        .add(
            resource("/metadata", Rule::PUBLIC).says("What can be asked: the CapabilityStatement."),
            metadata::metadata,
        )
        .add(
            search("/Patient", may(Action::List))
                .says("Searches patients; merged and erased records are left out.")
                .query::<patient::Search>(),
            patient::search,
        )
        .add(
            guarded("/Patient/{patientId}", may(Action::Read).own_by_path("patientId"))
                .says("One Patient; a merged one is inactive and links to the one that replaced it."),
            patient::read,
        )
        .add(
            search("/Patient/{patientId}/$everything", may(Action::Export).own_by_path("patientId"))
                .says("The Patient, what is stated about them, and their studies, a page at a time.")
                .refuses(403, door::RESTRICTED),
            everything::everything,
        );
    let routes = stated::<Allergy>(routes, "AllergyIntolerance");
    let routes = stated::<Condition>(routes, "Condition");
    let routes = stated::<Medication>(routes, "MedicationStatement");
    let vitals = |action| Rule::may(action, Vital::KIND).own_by_record();
    let reports = |action| Rule::may(action, Resource::Analysis);
    let assessed = |action| Rule::may(action, Resource::Assessment).own_by_record();
    let studies = Rule::may(Action::Read, Resource::Study).own_by_record();
    routes
        .add(
            search("/Observation", vitals(Action::List))
                .says("Vital signs of one patient, and what networks saw; what was entered in error is left out.")
                .query::<door::OfPatient>()
                .query::<observation::OfCategory>()
                .refuses(403, door::RESTRICTED),
            observation::search,
        )
        .add(
            guarded("/Observation/{id}", vitals(Action::Read)).says("One vital sign, or one finding."),
            observation::read,
        )
        .add(
            search("/DiagnosticReport", reports(Action::List))
                .says("What networks said of one patient's images, or of one study's.")
                .query::<door::OfPatient>()
                .query::<diagnostic_report::OfStudy>()
                .refuses(403, door::RESTRICTED),
            diagnostic_report::search,
        )
        .add(
            guarded("/DiagnosticReport/{id}", reports(Action::Read))
                .says("What a network said of one image: preliminary until physicians have judged it."),
            diagnostic_report::read,
        )
        .add(
            search("/RiskAssessment", assessed(Action::List))
                .says("What one patient's symptoms may be, by assessment.")
                .query::<door::OfPatient>()
                .refuses(403, door::RESTRICTED),
            assessment::search_risks,
        )
        .add(
            guarded("/RiskAssessment/{id}", assessed(Action::Read))
                .says("What a patient's symptoms may be, and how probable each condition is."),
            assessment::read_risk,
        )
        .add(
            search("/ClinicalImpression", assessed(Action::List))
                .says("How soon one patient was to be seen, by assessment.")
                .query::<door::OfPatient>()
                .refuses(403, door::RESTRICTED),
            assessment::search_impressions,
        )
        .add(
            guarded("/ClinicalImpression/{id}", assessed(Action::Read))
                .says("How soon a patient should be seen, and why."),
            assessment::read_impression,
        )
        .add(
            search("/ImagingStudy", studies)
                .says("The studies of one patient.")
                .query::<door::OfPatient>()
                .refuses(403, door::RESTRICTED),
            imaging_study::search,
        )
        .add(
            guarded("/ImagingStudy/{id}", studies).says("One study, down to its instances."),
            imaging_study::read,
        )
        .add(
            search("/AuditEvent", Rule::may(Action::List, Resource::Audit))
                .says("The audit trail of the clinic that X-Clinic-Id names, newest first.")
                .query::<audit_event::Search>(),
            audit_event::search,
        )
        .with_state(app)
}

/// A route that answers one resource.
fn resource(path: &str, rule: Rule) -> Operation {
    get(format!("{BASE}{path}"), rule).answers_bytes(200, MEDIA_TYPE, "The resource.")
}

fn guarded(path: &str, rule: Rule) -> Operation {
    resource(path, rule).refuses(403, door::RESTRICTED)
}

/// A route that answers a Bundle, page by page.
fn search(path: &str, rule: Rule) -> Operation {
    get(format!("{BASE}{path}"), rule).query::<asked::Paging>().answers_bytes(
        200,
        MEDIA_TYPE,
        "The Bundle, of type searchset; its link `next` leads on.",
    )
}

/// The two routes of what is stated about a patient.
fn stated<T: Stated + 'static>(routes: Routes<App>, resource_type: &'static str) -> Routes<App> {
    let may = |action| Rule::may(action, T::KIND).own_by_record();
    routes
        .add(
            search(&format!("/{resource_type}"), may(Action::List))
                .says("What is stated about one patient; what was entered in error is left out.")
                .query::<door::OfPatient>()
                .refuses(403, door::RESTRICTED),
            statement::search::<T>,
        )
        .add(
            guarded(&format!("/{resource_type}/{{id}}"), may(Action::Read)).says("One statement."),
            statement::read::<T>,
        )
}
