//! Under which URL the client reached this house, for the URLs in answers.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};

/// `http://host/dicom-web`, or only `/dicom-web` where the request names no host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseUrl(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for BaseUrl {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts.uri.authority(), &parts.headers))
    }
}

impl BaseUrl {
    fn of(authority: Option<&Authority>, headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let host = match authority {
            Some(authority) => Some(authority.clone()),
            None => text(header::HOST.as_str()).and_then(|host| host.parse().ok()),
        };
        let scheme = match text("x-forwarded-proto") {
            Some("https") => "https",
            _ => "http",
        };
        match host {
            Some(host) => Self(format!("{scheme}://{host}/dicom-web")),
            None => Self("/dicom-web".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(pairs: &[(&'static str, &str)]) -> String {
        let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        BaseUrl::of(None, &headers.collect()).0
    }

    #[test]
    fn the_url_is_the_one_that_the_client_used() {
        assert_eq!(base(&[("host", "pacs:8080")]), "http://pacs:8080/dicom-web");
        assert_eq!(base(&[("host", "pacs"), ("x-forwarded-proto", "https")]), "https://pacs/dicom-web");
        assert_eq!(base(&[("host", "not a host")]), "/dicom-web");
        assert_eq!(base(&[]), "/dicom-web");
    }
}
