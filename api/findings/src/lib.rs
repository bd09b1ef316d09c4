//! Findings, open until a physician has judged them.
//!
//! Tells `finding_reviewed`; hears nothing. The records themselves are
//! `storage`'s, because the worker writes them.

mod list;
mod map;
mod review;
mod view;

use clinical::role::{Action, Resource};
use gate::{App, Routes, Rule, get, post};

pub use view::FindingView;

/// The house, ready to be joined to others.
pub fn routes(app: App) -> Routes {
    let may = |action| Rule::may(action, Resource::Finding);
    Routes::new("findings")
        .add(
            get("/api/findings", may(Action::List))
                .says("What the networks saw, newest first.")
                .query::<list::Filter>()
                .paged::<FindingView>("The clinic's findings."),
            list::list,
        )
        .add(
            get("/api/findings/{id}", may(Action::Read))
                .says("One finding.")
                .answers::<FindingView>(200, "The finding."),
            list::show,
        )
        .add(
            get("/api/v1/findings/{findingId}/saliency", may(Action::Read))
                .says("What of the frame counted for a finding: a map over all of it, 0 nothing, 65,535 the most.")
                .answers_bytes(200, "image/png", "The map, grey, 16 bits."),
            map::saliency,
        )
        .add(
            get("/api/v1/findings/{findingId}/overlay", may(Action::Read))
                .says("The frame of a finding, tinted by what of it counted: blue little, red the most.")
                .answers_bytes(200, "image/png", "The picture, in colour."),
            map::overlay,
        )
        .add(
            post("/api/findings/{id}/review", may(Action::Review))
                .says("A physician's word on a finding; a later one stands in place of an earlier.")
                .takes::<review::ReviewRequest>()
                .answers::<FindingView>(200, "The reviewed finding.")
                .refuses(400, "comment-too-long, invalid-comment: at most 4,000 characters without NUL"),
            review::review,
        )
        .with_state(app)
}
