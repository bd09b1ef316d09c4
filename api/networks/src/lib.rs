//! Networks: which there are, who sees what of each, and how one comes in.
//!
//! Rows and jobs only: this room runs no network. Whoever adds one sends the card, which is checked at the door,
//! then the weights, which are hashed as they come; a worker runs the network over its reference images
//! (`ProveNetwork`), and only then may anybody have it run. Tells nothing; hears nothing.

mod add;
mod compare;
mod known;
mod list;
mod quality;
mod state;
mod view;
mod weights;

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::FromRef;
use clinical::role::{Action, Resource};
use gate::{App, Routes, Rule, get, post, put};
use models::Registry;
use serde_json::json;

pub use quality::{AbstentionView, GroupView, QualityView, measure};
pub use view::{ChangeView, ComparisonView, NetworkDetail, NetworkView};

/// The largest weights that are taken in: an ONNX file cannot be larger (protobuf).
const WEIGHTS_BYTES: usize = 2 << 30;
/// The largest card with its reference images.
const CARD_BYTES: usize = 64 << 20;

/// The rooms behind this house; cheap to clone.
#[derive(Clone)]
pub struct NetworksState {
    app: App,
    registry: Arc<Registry>,
    spool_folder: PathBuf,
}

impl NetworksState {
    /// Joins the rooms: `registry` holds the networks that are always there, `spool_folder` weights on their way.
    pub fn new(app: App, registry: Arc<Registry>, spool_folder: PathBuf) -> Self {
        Self { app, registry, spool_folder }
    }
}

impl FromRef<NetworksState> for App {
    fn from_ref(state: &NetworksState) -> Self {
        state.app.clone()
    }
}

/// The house, ready to be joined to others.
pub fn routes(state: NetworksState) -> Routes {
    let may = |action| Rule::may(action, Resource::Network);
    let bytes = json!({"type": "string", "format": "binary"});
    Routes::new("networks")
        .add(
            get("/api/models", may(Action::List))
                .says("Every network, with its state in the caller's clinic.")
                .answers::<Vec<NetworkView>>(200, "The networks: those of the box first, then as they were added."),
            list::list,
        )
        .add(
            get("/api/models/{name}", may(Action::Read))
                .says("One network: its versions with their cards, and what was changed of it.")
                .answers::<NetworkDetail>(200, "The network."),
            list::show,
        )
        .add(
            post("/api/models", may(Action::Create))
                .says("Add a network's card, and reference images where there are some; its weights follow.")
                .takes::<add::NewCard>()
                .answers::<NetworkView>(201, "The network, which waits for its weights.")
                .body_limit(CARD_BYTES)
                .refuses(409, "network-exists: give the new one another version")
                .refuses(
                    422,
                    "card-unreadable, card-schema, card-invalid, reference-misfit: the detail says what to mend",
                ),
            add::add,
        )
        .add(
            put("/api/models/{name}/versions/{version}/weights", may(Action::Create))
                .says("Send a network's weights; a worker then has the network prove itself.")
                .takes_bytes("application/octet-stream", bytes)
                .answers::<NetworkView>(202, "The network, which waits for its proof.")
                .body_limit(WEIGHTS_BYTES)
                .refuses(409, "network-proved: its weights are settled")
                .refuses(422, "wrong-hash: these are not the weights of the card")
                .streamed(),
            weights::put,
        )
        .add(
            post("/api/models/{name}/state", may(Action::Update))
                .says("Change who sees what of a network; an activated version takes over from another.")
                .takes::<state::NewState>()
                .answers::<Vec<NetworkView>>(200, "Every version of the network.")
                .refuses(403, "not-everywhere: who runs a clinic changes it for that clinic")
                .refuses(409, "network-not-proved: it has not run yet, or was refused"),
            state::change,
        )
        .add(
            post("/api/models/{name}/rollback", may(Action::Update))
                .says("Undo the last change of a network's state.")
                .may_take::<state::Rollback>()
                .answers::<Vec<NetworkView>>(200, "Every version of the network.")
                .refuses(403, "not-everywhere: who runs a clinic changes it for that clinic")
                .refuses(409, "nothing-to-undo: nothing was changed, or all of it is undone"),
            state::roll_back,
        )
        .add(
            get("/api/models/{name}/comparison", may(Action::Read))
                .says("What a network in the shadow says beside those that are shown, in the caller's clinic.")
                .query::<compare::Which>()
                .answers::<ComparisonView>(200, "Counts, agreement and differences."),
            compare::compare,
        )
        .add(
            get("/api/models/{name}/quality", may(Action::Read))
                .says("How a network does where it runs: agreement, positive rate and drift, by clinic, device and age.")
                .query::<quality::Which>()
                .answers::<QualityView>(200, "Statistics of its newest images beside those that it read first.")
                .refuses(403, "not-everywhere: who runs a clinic sees that clinic's"),
            quality::quality,
        )
        .with_state(state)
}
