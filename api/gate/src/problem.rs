//! A refusal that a program and a person can both read: RFC 9457.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use clinical::invalid::Invalid;
use http::{HeaderName, HeaderValue, StatusCode, header};
use storage::archive::ArchiveError;
use storage::db::DbError;

use crate::RequestId;

/// Why a request was not done, as `application/problem+json`.
///
/// `code` is stable and made for programs; `detail` is made for people and
/// says what to do. Neither holds anything about a patient. `instance` is the
/// request id, under which the log tells more.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    faults: Vec<Invalid>,
}

impl Problem {
    /// A problem with its status, stable code and advice.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), headers: Vec::new(), faults: Vec::new() }
    }

    /// 400: the request does not read.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 422: every member that must be mended, each named by a pointer under `errors` (RFC 9457, section 3).
    pub fn invalid(code: &'static str, faults: Vec<Invalid>) -> Self {
        let detail = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Self { faults, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail) }
    }

    /// 404 `not-found`: there is no such record in the caller's clinic.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "there is no such record")
    }

    /// 409: the present state does not allow it.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 413 `too-large`: the body, or a file in it, has more bytes than this path takes.
    pub fn too_large(most_bytes: u64) -> Self {
        let detail = format!("this path takes at most {most_bytes} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
    }

    /// 415 `unsupported-media-type`: the path takes another Content-Type.
    pub fn unsupported_media_type(wanted: &str) -> Self {
        let detail = format!("this path takes {wanted}");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail)
    }

    /// 500: our own failure; `cause` goes to the log and not to the caller.
    pub fn internal(code: &'static str, cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(code, cause = %Chain(cause), "a request failed: {code}");
        Self::failed(code)
    }

    /// 500 without a cause that could be written down.
    pub(crate) fn failed(code: &'static str) -> Self {
        let detail = "the service failed; its log says more under the request id in `instance`";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, detail)
    }

    /// With one header more.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What it says to people.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The document as JSON text.
    pub(crate) fn document(&self, request: Option<&RequestId>) -> String {
        let mut title = self.code.replace('-', " ");
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let mut document = serde_json::json!({
            "type": format!("urn:medilink:problem:{}", self.code),
            "title": title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
        });
        if !self.faults.is_empty() {
            let error = |fault: &Invalid| {
                let pointer = format!("#/{}", fault.member.replace('.', "/"));
                serde_json::json!({ "pointer": pointer, "detail": format!("{} {}", fault.member, fault.rule) })
            };
            document["errors"] = self.faults.iter().map(error).collect();
        }
        if let Some(request) = request {
            document["instance"] = format!("urn:medilink:request:{request}").into();
        }
        document.to_string()
    }
}

/// The answer carries the problem itself as well, so that [`crate::layers`] can add the request id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.document(None)));
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers.clone());
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response.extensions_mut().insert(self);
        response
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        match error {
            DbError::NotFound => Self::not_found(),
            DbError::Conflict => Self::conflict("conflict", "the record exists already"),
            error => Self::internal("database-failed", &error),
        }
    }
}

/// A blob that a row names and the archive lacks is our failure, not the caller's.
impl From<ArchiveError> for Problem {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Database(error) => error.into(),
            error => Self::internal("archive-failed", &error),
        }
    }
}

/// An error with everything that led to it.
struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The members of RFC 9457, section 3.1, and our `code`.
    #[test]
    fn the_document_has_type_title_status_detail_and_code() {
        let text = Problem::too_large(10).document(Some(&RequestId::accepted("r-1").unwrap()));
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            document,
            serde_json::json!({
                "type": "urn:medilink:problem:too-large",
                "title": "Too large",
                "status": 413,
                "detail": "this path takes at most 10 bytes",
                "code": "too-large",
                "instance": "urn:medilink:request:r-1",
            })
        );
    }

    /// RFC 9457, section 3, figure 4: `errors` with `detail` and `pointer`.
    #[test]
    fn every_member_that_must_be_mended_is_named() {
        let faults = vec![clinical::invalid::invalid("vitals.spo2", "is 10 to 100 per cent")];
        let text = Problem::invalid("invalid-presentation", faults).document(None);
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let error =
            serde_json::json!({"pointer": "#/vitals/spo2", "detail": "vitals.spo2 is 10 to 100 per cent"});
        assert_eq!((&document["status"], &document["errors"][0]), (&422.into(), &error));
    }

    #[test]
    fn what_failed_inside_is_not_shown() {
        let problem = Problem::from(DbError::Corrupt("studies.study_uid".into()));
        assert_eq!((problem.status().as_u16(), problem.code()), (500, "database-failed"));
        assert!(!problem.document(None).contains("study_uid"));
    }
}
