//! The routes of peers and of what is forwarded to them.

use clinical::role::{Action, Resource};
use gate::{App, Routes, Rule, delete, get, patch, post};

use crate::dicom_peer::{self, DicomPeerView};
use crate::forward_rule::{self, ForwardRuleView};

/// With the routes under `/dicom-peers` and `/forward-rules`.
pub(crate) fn of_peers(routes: Routes<App>) -> Routes<App> {
    let peer = |action| Rule::may(action, Resource::DicomPeer);
    let rule = |action| Rule::may(action, Resource::ForwardRule);
    routes
        .add(
            post("/api/v1/clinics/{clinicId}/dicom-peers", peer(Action::Create))
                .says("Name an application entity, to be sent to and to be told of storage commitment.")
                .takes::<dicom_peer::NewDicomPeer>()
                .answers::<DicomPeerView>(201, "The new peer.")
                .refuses(400, "invalid-ae-title, invalid-host")
                .refuses(409, "dicom-peer-exists: the clinic has a peer of that title"),
            dicom_peer::create,
        )
        .add(
            get("/api/v1/clinics/{clinicId}/dicom-peers", peer(Action::List))
                .says("The application entities that the clinic has named, newest first.")
                .paged::<DicomPeerView>("Peers."),
            dicom_peer::list,
        )
        .add(
            get("/api/v1/clinics/{clinicId}/dicom-peers/{peerId}", peer(Action::Read))
                .says("One peer.")
                .answers::<DicomPeerView>(200, "The peer."),
            dicom_peer::show,
        )
        .add(
            patch("/api/v1/clinics/{clinicId}/dicom-peers/{peerId}", peer(Action::Update))
                .says("Change where a peer is reached.")
                .takes::<dicom_peer::DicomPeerPatch>()
                .answers::<DicomPeerView>(200, "The changed peer.")
                .refuses(400, "invalid-ae-title, invalid-host")
                .refuses(409, "dicom-peer-exists: the clinic has a peer of that title"),
            dicom_peer::change,
        )
        .add(
            delete("/api/v1/clinics/{clinicId}/dicom-peers/{peerId}", peer(Action::Delete))
                .says("Forget a peer to which no rule sends.")
                .answers_nothing(204, "It is gone.")
                .refuses(409, "dicom-peer-in-use: a rule sends there"),
            dicom_peer::remove,
        )
        .add(
            post("/api/v1/clinics/{clinicId}/forward-rules", rule(Action::Create))
                .says("Forward what comes in to a peer: by modality, sender and body part.")
                .takes::<forward_rule::NewForwardRule>()
                .answers::<ForwardRuleView>(201, "The new rule; it counts after five seconds at the latest.")
                .refuses(400, "invalid-ae-title, invalid-text, unknown-dicom-peer")
                .refuses(409, "too-many-forward-rules: the clinic has a thousand"),
            forward_rule::create,
        )
        .add(
            get("/api/v1/clinics/{clinicId}/forward-rules", rule(Action::List))
                .says("What the clinic forwards, newest rule first.")
                .paged::<ForwardRuleView>("Rules."),
            forward_rule::list,
        )
        .add(
            get("/api/v1/clinics/{clinicId}/forward-rules/{ruleId}", rule(Action::Read))
                .says("One rule.")
                .answers::<ForwardRuleView>(200, "The rule."),
            forward_rule::show,
        )
        .add(
            patch("/api/v1/clinics/{clinicId}/forward-rules/{ruleId}", rule(Action::Update))
                .says("Change a rule.")
                .takes::<forward_rule::ForwardRulePatch>()
                .answers::<ForwardRuleView>(200, "The changed rule.")
                .refuses(400, "invalid-ae-title, invalid-text, unknown-dicom-peer"),
            forward_rule::change,
        )
        .add(
            delete("/api/v1/clinics/{clinicId}/forward-rules/{ruleId}", rule(Action::Delete))
                .says("Remove a rule; what waits by it is sent all the same.")
                .answers_nothing(204, "It is gone."),
            forward_rule::remove,
        )
}
