//! The audit trail, for those who keep watch: searched, shown and taken away, never changed.
//!
//! Tells and hears no event. The trail itself is `storage`'s, because every
//! room writes it; the gate writes down also who reads here.

mod export;
mod filter;
mod list;
mod view;

use clinical::role::{Action, Resource};
use gate::{App, Routes, Rule, get};

pub use view::AuditView;

/// The house, ready to be joined to others.
pub fn routes(app: App) -> Routes {
    let may = |action| Rule::may(action, Resource::Audit);
    const INVALID: &str = "invalid-query: a filter does not read";
    Routes::new("audit")
        .add(
            get("/api/v1/audit", may(Action::List))
                .says("Who did what in the clinic, newest first.")
                .query::<filter::Asked>()
                .paged::<AuditView>("Lines of the clinic's trail.")
                .refuses(400, INVALID),
            list::list,
        )
        .add(
            get("/api/v1/audit/export", may(Action::Export))
                .says("All lines of the clinic's trail that the filters let through, newest first, a line each.")
                .query::<filter::Asked>()
                .query::<export::Asked>()
                .answers_bytes(200, "application/x-ndjson", "JSON by lines, as the list shows them.")
                .answers_bytes(200, "application/fhir+ndjson", "FHIR R4 AuditEvent by lines.")
                .refuses(400, INVALID)
                .streamed(),
            export::export,
        )
        .add(
            get("/api/v1/audit/{auditId}", may(Action::Read))
                .says("One line of the clinic's trail.")
                .answers::<AuditView>(200, "The line."),
            list::show,
        )
        .with_state(app)
}
