//! axum's extractors, with refusals that are problems.

use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::{Problem, body_problem};

/// A JSON body, both ways.
///
/// As a request: 415 `unsupported-media-type`, 413 `too-large`, 400
/// `invalid-json` for a text that is not JSON, 422 `invalid-json` for one that
/// is not what the path takes.
#[derive(Debug, Clone, Copy, Default, FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub struct Json<T>(pub T);

impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// A body, as [`Json`], that may be left out: what all of its members may be left out of needs none, and no Content-Type.
///
/// Declared by [`crate::Operation::may_take`].
#[derive(Debug, Clone, Copy)]
pub struct OrEmpty<B>(pub B);

impl<S: Send + Sync, B: FromRequest<S, Rejection = Problem> + Default> FromRequest<S> for OrEmpty<B> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let whole = Request::from_parts(parts.clone(), body);
        // A body of unknown length may turn out to be empty, too.
        let Bytes(whole) = Bytes::from_request(whole, state).await?;
        if whole.is_empty() {
            return Ok(Self(B::default()));
        }
        B::from_request(Request::from_parts(parts, whole.into()), state).await.map(Self)
    }
}

/// A body as it came, up to the path's limit; beyond it 413 `too-large`.
#[derive(Debug, Clone)]
pub struct Bytes(pub axum::body::Bytes);

impl<S: Send + Sync> FromRequest<S> for Bytes {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Ok(Self(axum::body::Bytes::from_request(request, state).await?))
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        body_problem(&rejection)
    }
}

/// The parameters in the path; one that does not read names no record: 404 `not-found`.
#[derive(Debug, Clone, Copy, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub struct Path<T>(pub T);

/// The parameters in the query; 400 `invalid-query` when they do not read.
#[derive(Debug, Clone, Copy, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub struct Query<T>(pub T);

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        match rejection {
            JsonRejection::MissingJsonContentType(_) => Self::unsupported_media_type("application/json"),
            JsonRejection::JsonDataError(error) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-json", error.body_text())
            }
            JsonRejection::JsonSyntaxError(error) => Self::bad_request("invalid-json", error.body_text()),
            rejection => body_problem(&rejection),
        }
    }
}

impl From<PathRejection> for Problem {
    fn from(_: PathRejection) -> Self {
        Self::not_found()
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request("invalid-query", rejection.body_text())
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    struct Wish {
        reason: Option<String>,
    }

    async fn read(media_type: Option<&str>, body: Body) -> Result<Wish, (u16, &'static str)> {
        let mut request = Request::new(body);
        if let Some(text) = media_type {
            request.headers_mut().insert(http::header::CONTENT_TYPE, text.parse().unwrap());
        }
        let read = OrEmpty::<Json<Wish>>::from_request(request, &()).await;
        read.map(|OrEmpty(Json(wish))| wish).map_err(|it| (it.status().as_u16(), it.code()))
    }

    #[tokio::test]
    async fn what_may_be_left_out_of_altogether_needs_no_body_and_one_that_is_there_is_read_as_ever() {
        let json = Some("application/json");
        let chunks = || futures::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::new())]);
        assert_eq!(read(None, Body::empty()).await, Ok(Wish::default()));
        assert_eq!(read(json, Body::empty()).await, Ok(Wish::default()));
        assert_eq!(read(None, Body::from_stream(chunks())).await, Ok(Wish::default()));
        let given = Wish { reason: Some("moved".to_owned()) };
        assert_eq!(read(json, Body::from(r#"{"reason": "moved"}"#)).await, Ok(given));
        assert_eq!(read(None, Body::from("{}")).await, Err((415, "unsupported-media-type")));
        assert_eq!(read(json, Body::from("{")).await, Err((400, "invalid-json")));
        assert_eq!(read(json, Body::from(r#"{"reason": 1}"#)).await, Err((422, "invalid-json")));
    }
}
