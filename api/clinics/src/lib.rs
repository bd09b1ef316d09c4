//! Clinics: their places, their people, the titles that mean them, the peers to which they forward, and what they
//! have set.
//!
//! Tells `clinic_created`, `clinic_changed`, `member_joined`, `member_changed` and `member_left`; hears nothing.
//! The records themselves are `storage`'s, because the gate and the doors ask for them too.

mod ae_title;
mod clinic;
mod deidentify;
mod dicom_peer;
mod forward_rule;
mod location;
mod member;
mod sending;
mod settings;
mod text;

use clinical::role::{Action, Resource};
use gate::{App, Routes, Rule, delete, get, patch, post, put};

pub use ae_title::AeTitleView;
pub use clinic::ClinicView;
pub use dicom_peer::DicomPeerView;
pub use forward_rule::ForwardRuleView;
pub use location::LocationView;
pub use member::MemberView;

/// The house, ready to be joined to others.
pub fn routes(app: App) -> Routes {
    let routes = Routes::new("clinics");
    let routes = of_clinics(routes);
    let routes = of_places_and_titles(routes);
    let routes = sending::of_peers(routes);
    let routes = of_members(routes);
    of_settings(routes).with_state(app)
}

fn of_clinics(routes: Routes<App>) -> Routes<App> {
    let may = |action| Rule::may(action, Resource::Clinic);
    routes
        .add(
            post("/api/v1/clinics", may(Action::Create))
                .says("Make a clinic.")
                .takes::<clinic::NewClinic>()
                .answers::<ClinicView>(201, "The new clinic.")
                .refuses(400, "invalid-text, invalid-time-zone"),
            clinic::create,
        )
        .add(
            get("/api/v1/clinics", may(Action::List).own_by_caller())
                .says("The clinics that the caller belongs to, newest first; a super-administrator sees all.")
                .paged::<ClinicView>("Clinics."),
            clinic::list,
        )
        .add(
            get("/api/v1/clinics/{clinicId}", may(Action::Read))
                .says("One clinic.")
                .answers::<ClinicView>(200, "The clinic."),
            clinic::show,
        )
        .add(
            patch("/api/v1/clinics/{clinicId}", may(Action::Update))
                .says("Rename a clinic, or, as a super-administrator, suspend or open it.")
                .takes::<clinic::ClinicPatch>()
                .answers::<ClinicView>(200, "The changed clinic.")
                .refuses(400, "invalid-text, invalid-time-zone"),
            clinic::change,
        )
}

fn of_places_and_titles(routes: Routes<App>) -> Routes<App> {
    let place = |action| Rule::may(action, Resource::Location);
    let title = |action| Rule::may(action, Resource::AeTitle);
    routes
        .add(
            post("/api/v1/clinics/{clinicId}/locations", place(Action::Create))
                .says("Add a place.")
                .takes::<location::NewLocation>()
                .answers::<LocationView>(201, "The new place.")
                .refuses(400, "invalid-text")
                .refuses(409, "location-exists: the clinic has a place of that name"),
            location::create,
        )
        .add(
            get("/api/v1/clinics/{clinicId}/locations", place(Action::List))
                .says("The clinic's places, newest first.")
                .paged::<LocationView>("Places."),
            location::list,
        )
        .add(
            get("/api/v1/clinics/{clinicId}/locations/{locationId}", place(Action::Read))
                .says("One place.")
                .answers::<LocationView>(200, "The place."),
            location::show,
        )
        .add(
            patch("/api/v1/clinics/{clinicId}/locations/{locationId}", place(Action::Update))
                .says("Change what is said of a place.")
                .takes::<location::LocationPatch>()
                .answers::<LocationView>(200, "The changed place.")
                .refuses(400, "invalid-text")
                .refuses(409, "location-exists: the clinic has a place of that name"),
            location::change,
        )
        .add(
            delete("/api/v1/clinics/{clinicId}/locations/{locationId}", place(Action::Delete))
                .says("Remove a place where nobody works.")
                .answers_nothing(204, "It is gone.")
                .refuses(409, "location-in-use: a member works there"),
            location::remove,
        )
        .add(
            post("/api/v1/clinics/{clinicId}/ae-titles", title(Action::Create))
                .says("Let a DIMSE title mean the clinic.")
                .takes::<ae_title::NewAeTitle>()
                .answers::<AeTitleView>(201, "The title.")
                .refuses(400, "invalid-ae-title")
                .refuses(409, "ae-title-taken: it means a clinic already"),
            ae_title::create,
        )
        .add(
            get("/api/v1/clinics/{clinicId}/ae-titles", title(Action::List))
                .says("The DIMSE titles that mean the clinic.")
                .answers::<Vec<AeTitleView>>(200, "The titles, by name."),
            ae_title::list,
        )
        .add(
            delete("/api/v1/clinics/{clinicId}/ae-titles/{aeTitle}", title(Action::Delete))
                .says("Let a DIMSE title mean no clinic any more.")
                .answers_nothing(204, "It means none."),
            ae_title::remove,
        )
}

fn of_members(routes: Routes<App>) -> Routes<App> {
    let may = |action| Rule::may(action, Resource::Member);
    routes
        .add(
            post("/api/v1/clinics/{clinicId}/members", may(Action::Create))
                .says("Add a person by e-mail address; who is not known yet sets a password by its reset.")
                .takes::<member::NewMember>()
                .answers::<MemberView>(201, "The new member.")
                .refuses(400, "invalid-email, invalid-text")
                .refuses(403, "role-not-grantable: only a super-administrator grants roles over every clinic")
                .refuses(409, "member-exists: they belong to the clinic already"),
            member::create,
        )
        .add(
            get("/api/v1/clinics/{clinicId}/members", may(Action::List))
                .says("The clinic's members, newest first.")
                .paged::<MemberView>("Members."),
            member::list,
        )
        .add(
            get("/api/v1/clinics/{clinicId}/members/{membershipId}", may(Action::Read))
                .says("One member.")
                .answers::<MemberView>(200, "The member."),
            member::show,
        )
        .add(
            patch("/api/v1/clinics/{clinicId}/members/{membershipId}", may(Action::Update))
                .says("Give a member another role, specialty, place or record.")
                .takes::<member::MemberPatch>()
                .answers::<MemberView>(200, "The changed member.")
                .refuses(400, "invalid-text")
                .refuses(
                    403,
                    "role-not-grantable: only a super-administrator grants roles over every clinic",
                ),
            member::change,
        )
        .add(
            delete("/api/v1/clinics/{clinicId}/members/{membershipId}", may(Action::Delete))
                .says("End a membership; the person stays.")
                .answers_nothing(204, "They belong to the clinic no more.")
                .refuses(403, "role-not-grantable: only a super-administrator takes roles over every clinic"),
            member::remove,
        )
}

fn of_settings(routes: Routes<App>) -> Routes<App> {
    let setting = |action| Rule::may(action, Resource::Setting);
    let service = |action| Rule::may(action, Resource::Service);
    routes
        .add(
            get("/api/v1/clinics/{clinicId}/settings", setting(Action::Read))
                .says("What holds in the clinic, and where each value comes from.")
                .answers::<settings::SettingsView>(200, "The settings."),
            settings::show,
        )
        .add(
            put("/api/v1/clinics/{clinicId}/settings", setting(Action::Update))
                .says("Set what holds in the clinic; what is left out falls back to the global settings.")
                .takes::<settings::SettingsRequest>()
                .answers::<settings::SettingsView>(200, "The settings.")
                .refuses(400, "invalid-setting"),
            settings::write,
        )
        .add(
            get("/api/v1/settings", service(Action::Read))
                .says("What holds in every clinic that has set nothing of its own.")
                .answers::<settings::SettingsView>(200, "The settings."),
            settings::show_global,
        )
        .add(
            put("/api/v1/settings", service(Action::Update))
                .says("Set what holds in every clinic that has set nothing of its own.")
                .takes::<settings::SettingsRequest>()
                .answers::<settings::SettingsView>(200, "The settings.")
                .refuses(400, "invalid-setting"),
            settings::write_global,
        )
}
