//! The paths of the worklist.

use clinical::role::{Action, Resource};
use gate::{Operation, Routes, Rule, get, post, put};
use serde_json::json;

use crate::state::DicomWebState;

const WORKITEMS: &str = "/dicom-web/workitems";

/// The worklist (PS3.18, chapter 11).
pub(crate) fn routes(routes: Routes<DicomWebState>) -> Routes<DicomWebState> {
    let uid = || json!({"type": "string", "maxLength": 64, "pattern": "^[0-9]+(\\.[0-9]+)*$"});
    let rule = |action| Rule::may(action, Resource::Workitem);
    let of = |tail: &str| format!("{WORKITEMS}/{{workitem}}{tail}");
    let takes = |operation: Operation| {
        let data_set = json!({"type": "object"});
        operation
            .path_value("workitem", uid())
            .takes_bytes("application/dicom+json", data_set)
            .body_limit(super::BODY_BYTES)
            .refuses(400, "invalid-workitem, invalid-uid, transaction-missing: what is asked does not read")
            .refuses(415, "unsupported-media-type: the body is application/dicom+json")
    };
    routes
        .add(
            takes(post(WORKITEMS, rule(Action::Create)))
                .says("Makes a step of work (UPS-RS).")
                .query_value("workitem", uid())
                .answers_nothing(201, "It is SCHEDULED; Content-Location says where.")
                .refuses(409, "workitem-exists: there is one of this UID"),
            super::create,
        )
        .add(
            get(WORKITEMS, rule(Action::List))
                .says("Searches for steps of work.")
                .query_value("limit", json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}))
                .query_value("offset", json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}))
                .query_value("ProcedureStepState", json!({"type": "string", "maxLength": 64}))
                .answers_bytes(200, "application/dicom+json", "The matches, the latest first.")
                .refuses(400, "unknown-key, invalid-value, invalid-page: the query does not read")
                .refuses(406, "not-acceptable: the answer is application/dicom+json"),
            super::search,
        )
        .add(
            get(of(""), rule(Action::Read))
                .path_value("workitem", uid())
                .says("One step of work.")
                .answers_bytes(200, "application/dicom+json", "Its data set, without the Transaction UID.")
                .refuses(400, "invalid-uid: the path names none")
                .refuses(406, "not-acceptable: the answer is application/dicom+json"),
            super::retrieve,
        )
        .add(
            takes(post(of(""), rule(Action::Update)))
                .says("Changes the data of a step of work.")
                .query_value("transaction-uid", uid())
                .answers_nothing(200, "They are changed.")
                .refuses(409, "transaction-wrong, workitem-over: it may not be changed now"),
            super::update,
        )
        .add(
            takes(put(of("/state"), rule(Action::Update)))
                .says("Claims, completes or cancels a step of work.")
                .answers_nothing(200, "It is in that state.")
                .refuses(
                    409,
                    "in-progress, not-in-progress, not-final, transaction-wrong, workitem-over and others",
                ),
            super::change_state,
        )
        .add(
            takes(post(of("/cancelrequest"), rule(Action::Update)))
                .says("Asks for a step of work to be canceled.")
                .answers_nothing(200, "It was canceled before.")
                .answers_nothing(202, "It is canceled, or whoever performs it will find the request.")
                .refuses(409, "workitem-over: it is completed"),
            super::request_cancel,
        )
}
