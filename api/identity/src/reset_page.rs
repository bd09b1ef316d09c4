//! `/reset-password`: the page that a mailed link leads to. The token stands behind the `#` of the link, which browsers
//! send to nobody; the page posts it.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::response::{Html, IntoResponse};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header;

const SCRIPT: &str = include_str!("reset_page/page.js");

static PAGE: LazyLock<String> =
    LazyLock::new(|| include_str!("reset_page/page.html").replace("{{script}}", SCRIPT));

/// Only this script runs, and it speaks to nobody but us.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let sha256 = STANDARD.encode(digest(&SHA256, SCRIPT.as_bytes()));
    format!(
        "default-src 'none'; script-src 'sha256-{sha256}'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    )
});

/// `GET /reset-password`
pub(crate) async fn show() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Html(PAGE.as_str()))
}
