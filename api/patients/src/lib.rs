//! Patients: who they are, what is stated about them, and what becomes of their records.
//!
//! Tells `patient_registered`, `patient_changed`, `patient_merged`, `patient_erased`, `glass_broken`,
//! `statement_recorded`, `statement_changed` and `statement_retracted`; hears nothing. The records themselves are
//! `storage`'s, because images make patients too.
//!
//! A merged record is read as it is, with `mergedInto`; what is listed under it is what is held of the record that
//! stands for it, so that nobody reads an empty list of allergies; it takes no changes (409 `patient-merged`).

mod change;
mod door;
mod erase;
mod export;
mod glass;
mod list;
mod merge;
mod patch;
mod register;
mod statements;
mod view;

use clinical::role::{Action, Resource};
use clinical::statement::{Allergy, Condition, Medication, Vital};
use gate::{App, Routes, Rule, get, patch as patching, post};

pub use erase::{ErasureView, KeptView, RemovedView};
pub use glass::GrantView;
pub use merge::MergeView;
pub use statements::StatementView;
pub use view::PatientView;

/// The house, ready to be joined to others.
pub fn routes(app: App) -> Routes {
    let routes = statements::routes::<Allergy>(people());
    let routes = statements::routes::<Condition>(routes);
    let routes = statements::routes::<Medication>(routes);
    statements::routes::<Vital>(routes).with_state(app)
}

/// The records of people.
fn people() -> Routes<App> {
    let may = |action| Rule::may(action, Resource::Patient);
    let breaking = |action| Rule::may(action, Resource::BreakGlass);
    Routes::new("patients")
        .add(
            post("/api/v1/patients", may(Action::Create))
                .says("Registers a patient; images that carry one of the identifiers are theirs.")
                .takes::<view::PatientRequest>()
                .answers::<PatientView>(201, "The patient.")
                .refuses(400, "invalid-value: a member is not as it must be")
                .refuses(409, "identifier-taken: an identifier means another patient"),
            register::register,
        )
        .add(
            get("/api/v1/patients", may(Action::List))
                .says("The clinic's patients, newest first; merged and erased records are left out.")
                .query::<list::Filter>()
                .paged::<PatientView>("The patients; of a restricted one only that it is there."),
            list::list,
        )
        .add(
            get("/api/v1/patients/{patientId}", may(Action::Read).own_by_path("patientId"))
                .says("One patient; a merged record names the one that stands for it.")
                .answers::<PatientView>(200, "The patient.")
                .refuses(403, door::RESTRICTED),
            list::show,
        )
        .add(
            patching("/api/v1/patients/{patientId}", may(Action::Update))
                .says("Changes what is known of a patient (JSON Merge Patch, RFC 7396).")
                .takes_bytes("application/json", patch::schema::<view::PatientRequest>())
                .answers::<PatientView>(200, "The patient as they are now.")
                .refuses(400, "invalid-value: a member is not as it must be")
                .refuses(403, door::RESTRICTED)
                .refuses(409, "identifier-taken: an identifier means another patient; patient-merged; patient-erased"),
            change::change,
        )
        .add(
            post("/api/v1/patients/{patientId}/merge", may(Action::Merge))
                .says("Makes this record stand for another one of the same person; all of that one moves here.")
                .takes::<merge::MergeRequest>()
                .answers::<MergeView>(200, "What has moved.")
                .refuses(403, door::RESTRICTED)
                .refuses(409, "same-patient, patient-merged, patient-erased: these two cannot be joined"),
            merge::merge,
        )
        .add(
            get("/api/v1/patients/{patientId}/export", may(Action::Export).own_by_path("patientId"))
                .says("All that is held of a patient: a FHIR R4 Bundle, or a ZIP with it, the images and what networks saw.")
                .query::<export::Asked>()
                .answers_bytes(200, "application/fhir+json", "The Bundle, of type collection.")
                .answers_bytes(200, "application/zip", "The ZIP.")
                .refuses(403, door::RESTRICTED)
                .streamed(),
            export::export,
        )
        .add(
            post("/api/v1/patients/{patientId}/erase", may(Action::Erase))
                .says("Removes who a patient is, and of their record what no law demands to keep.")
                .takes::<erase::EraseRequest>()
                .answers::<ErasureView>(200, "What was removed, what was kept, and why.")
                .refuses(400, "invalid-value: the reason")
                .refuses(409, "patient-merged: erase the record that stands for it"),
            erase::erase,
        )
        .add(
            post("/api/v1/patients/{patientId}/break-glass", breaking(Action::Create))
                .says("Opens a restricted record to the caller for a while, for a reason that is written down.")
                .takes::<glass::GlassRequest>()
                .answers::<GrantView>(201, "The access.")
                .refuses(400, "invalid-value: the reason")
                .refuses(403, "person-required: a machine cannot break the glass")
                .refuses(409, "not-restricted: the record is open already; patient-merged"),
            glass::break_glass,
        )
        .add(
            get("/api/v1/break-glass", breaking(Action::List))
                .says("Who has broken the glass, newest first.")
                .paged::<GrantView>("The accesses, those that have ended among them."),
            glass::list,
        )
}
