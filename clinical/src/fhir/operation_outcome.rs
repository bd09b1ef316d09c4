//! `OperationOutcome`.

use serde_json::{Value, json};

/// Why a request was not done: the status of the answer, our stable code, and advice for people.
pub fn operation_outcome(status: u16, code: &str, detail: &str) -> Value {
    json!({
        "resourceType": "OperationOutcome",
        "issue": [{
            "severity": if status >= 500 { "fatal" } else { "error" },
            "code": issue_type(status),
            "details": {"coding": [{"system": "urn:medilink:problem", "code": code}]},
            "diagnostics": detail,
        }],
    })
}

/// FHIR R4, value set `issue-type`.
fn issue_type(status: u16) -> &'static str {
    match status {
        401 => "login",
        403 => "forbidden",
        404 => "not-found",
        405 | 415 => "not-supported",
        409 => "conflict",
        413 => "too-long",
        408 | 504 => "timeout",
        429 | 503 => "throttled",
        500.. => "exception",
        _ => "invalid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_the_code_of_its_status() {
        let outcome = operation_outcome(404, "not-found", "there is no such record");
        let issue = &outcome["issue"][0];
        assert_eq!((&issue["severity"], &issue["code"]), (&json!("error"), &json!("not-found")));
        assert_eq!(issue["details"]["coding"][0]["code"], "not-found");
        assert_eq!(operation_outcome(500, "x", "y")["issue"][0]["severity"], "fatal");
        assert_eq!(issue_type(422), "invalid");
    }
}
