//! What may become of a step: the state machine of PS3.4, table CC.1.1-2, in the words of PS3.18, section 11.7.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gate::Problem;
use storage::records::workitem::{State, Workitem};

/// What a request for a state does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The step goes on.
    To(State),
    /// It is there, and stays.
    AlreadyThere,
}

/// Whether `step` goes to `wanted` for whoever shows `transaction`; `has_performed` where its data say what was done.
///
/// # Errors
///
/// 409 with the code of what stands against it.
pub(super) fn change(
    step: &Workitem,
    wanted: State,
    transaction: &str,
    has_performed: bool,
) -> Result<Change, Problem> {
    let refuse = |code, detail: &str| Err(Problem::conflict(code, detail));
    if wanted == State::Scheduled {
        return refuse("state-not-reachable", "a workitem is SCHEDULED when it is made, and never again");
    }
    match (step.state, wanted) {
        (State::Completed, State::Completed) | (State::Canceled, State::Canceled) => Ok(Change::AlreadyThere),
        (State::Completed | State::Canceled, _) => Err(over()),
        (State::Scheduled, State::InProgress) if step.is_ours => {
            refuse("performed-here", "this workitem asked for an analysis here, which performs it")
        }
        (State::Scheduled, State::InProgress) => Ok(Change::To(State::InProgress)),
        (State::Scheduled, _) => {
            refuse("not-in-progress", "whoever performs it claims it first: IN PROGRESS")
        }
        (State::InProgress, State::InProgress) => {
            refuse("in-progress", "somebody performs this workitem already")
        }
        (State::InProgress, wanted) => {
            is_performer(step, Some(transaction))?;
            if wanted == State::Completed && !has_performed {
                let detail =
                    "the Unified Procedure Step Performed Procedure Sequence (0074,1216) says what was done";
                return refuse("not-final", detail);
            }
            Ok(Change::To(wanted))
        }
    }
}

/// Whether the data of `step` may be changed by whoever shows `transaction` (section 11.6).
///
/// # Errors
///
/// 400 `transaction-missing`; 409.
pub(super) fn may_update(step: &Workitem, transaction: Option<&str>) -> Result<(), Problem> {
    match step.state {
        State::Scheduled => Ok(()),
        State::InProgress => is_performer(step, transaction),
        State::Completed | State::Canceled => Err(over()),
    }
}

fn is_performer(step: &Workitem, transaction: Option<&str>) -> Result<(), Problem> {
    let Some(transaction) = transaction else {
        let detail = "whoever performs the workitem shows its Transaction UID";
        return Err(Problem::bad_request("transaction-missing", detail));
    };
    if step.transaction_uid.as_deref() == Some(transaction) {
        return Ok(());
    }
    Err(Problem::conflict("transaction-wrong", "this is not the Transaction UID of whoever performs it"))
}

/// The step is completed or canceled.
pub(super) fn over() -> Problem {
    Problem::conflict("workitem-over", "the workitem is COMPLETED or CANCELED and changes no more")
}

/// 200 with the warning of section 11.7.3.
pub(super) fn already(state: State) -> Response {
    let mut response = StatusCode::OK.into_response();
    let warning = match state {
        State::Canceled => "299 medilink \"The UPS is already in the requested state of CANCELED.\"",
        _ => "299 medilink \"The UPS is already in the requested state of COMPLETED.\"",
    };
    response.headers_mut().insert(header::WARNING, HeaderValue::from_static(warning));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use clinical::id::WorkitemId;

    fn at(state: State) -> Workitem {
        Workitem {
            workitem_id: WorkitemId::new(),
            uid: "2.25.1".parse().unwrap(),
            state,
            transaction_uid: (state != State::Scheduled).then(|| "2.25.7".to_owned()),
            study_id: None,
            is_ours: false,
            body: serde_json::json!({}),
            updated_at: chrono::DateTime::UNIX_EPOCH,
        }
    }

    fn code(from: State, to: State, transaction: &str) -> &'static str {
        change(&at(from), to, transaction, true).unwrap_err().code()
    }

    /// PS3.4, table CC.1.1-2: its errors C300 to C312 and warnings B304 and B306.
    #[test]
    fn a_step_goes_forward_by_the_hand_that_claimed_it() {
        use State::{Canceled, Completed, InProgress, Scheduled};
        let to = |from, to| change(&at(from), to, "2.25.7", true).unwrap();
        assert_eq!(to(Scheduled, InProgress), Change::To(InProgress));
        assert_eq!(to(InProgress, Completed), Change::To(Completed));
        assert_eq!(to(InProgress, Canceled), Change::To(Canceled));
        assert_eq!(to(Completed, Completed), Change::AlreadyThere);
        assert_eq!(to(Canceled, Canceled), Change::AlreadyThere);
        for (from, to, transaction, refusal) in [
            (Scheduled, Completed, "2.25.7", "not-in-progress"),
            (Scheduled, Canceled, "2.25.7", "not-in-progress"),
            (InProgress, Scheduled, "2.25.7", "state-not-reachable"),
            (InProgress, InProgress, "2.25.7", "in-progress"),
            (InProgress, Completed, "2.25.8", "transaction-wrong"),
            (Completed, Canceled, "2.25.7", "workitem-over"),
            (Canceled, InProgress, "2.25.7", "workitem-over"),
        ] {
            assert_eq!(code(from, to, transaction), refusal, "{from} to {to}");
        }
        let undone = change(&at(InProgress), Completed, "2.25.7", false).unwrap_err();
        assert_eq!(undone.code(), "not-final");
        let ours = Workitem { is_ours: true, ..at(Scheduled) };
        assert_eq!(change(&ours, InProgress, "2.25.7", true).unwrap_err().code(), "performed-here");
    }

    #[test]
    fn data_are_changed_by_anybody_before_and_by_the_performer_alone_afterwards() {
        assert!(may_update(&at(State::Scheduled), None).is_ok());
        assert!(may_update(&at(State::InProgress), Some("2.25.7")).is_ok());
        let code = |state, transaction| may_update(&at(state), transaction).unwrap_err().code();
        assert_eq!(code(State::InProgress, None), "transaction-missing");
        assert_eq!(code(State::InProgress, Some("2.25.8")), "transaction-wrong");
        assert_eq!(code(State::Completed, Some("2.25.7")), "workitem-over");
    }
}
