//! `/docs`: a page to read the description and try it, served from the binary.

use std::sync::Arc;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use gate::{Path, Problem, Routes, Rule, get};
use utoipa_swagger_ui::Config;

/// The page loads nothing from elsewhere and speaks to nobody but us; Swagger UI sets styles in its markup.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The page and its files.
pub(crate) fn routes() -> Routes {
    Routes::new("service")
        .add(
            get("/docs", Rule::PUBLIC)
                .says("A page to read and try this description.")
                .answers_nothing(303, "It is at /docs/index.html."),
            async || Redirect::to("/docs/index.html"),
        )
        .add(
            get("/docs/{file}", Rule::PUBLIC)
                .says("The page's files.")
                .answers_bytes(200, "text/html", "The file.")
                .refuses(404, "not-found: there is no such file"),
            file,
        )
}

/// `GET /docs/{file}`
async fn file(Path(file): Path<String>) -> Result<Response, Problem> {
    let config = Arc::new(Config::from("/openapi.json").validator_url("none"));
    let found = utoipa_swagger_ui::serve(&file, config).ok().flatten().ok_or_else(Problem::not_found)?;
    let kind = HeaderValue::try_from(found.content_type).map_err(|_| Problem::not_found())?;
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    Ok((headers, found.bytes.into_owned()).into_response())
}
