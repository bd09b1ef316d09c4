//! Under which URL a search came, and which page of it is asked for.

use axum::extract::{FromRef, FromRequestParts};
use clinical::fhir::{Bundle, BundleEntry};
use gate::{App, Problem};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Uri, header};
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::{BASE, Fhir};

/// The parameters of paging (FHIR R4, section 3.1.1.5.1); [`Asked`] reads them.
#[derive(Debug, Deserialize, IntoParams)]
#[expect(dead_code, reason = "it tells the document what Asked reads from the URL")]
pub(crate) struct Paging {
    /// Most resources of a page; the service may give fewer.
    #[serde(rename = "_count")]
    #[param(minimum = 1, maximum = 4_294_967_295_i64)]
    count: Option<u32>,
    /// Where the page begins: as the link `next` of the page before gives it.
    #[serde(rename = "_cursor")]
    #[param(pattern = "^[0-9a-fA-F]{32}$")]
    cursor: Option<String>,
}

/// The URL of the service as the client names it: `http://host/fhir/R4`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseUrl(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for BaseUrl {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts.uri.authority(), &parts.headers))
    }
}

impl BaseUrl {
    /// Where DICOMweb is served by the same host.
    pub(crate) fn dicomweb(&self) -> String {
        format!("{}/dicom-web", self.0.trim_end_matches(BASE))
    }

    fn of(authority: Option<&Authority>, headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let host = match authority {
            Some(authority) => Some(authority.clone()),
            None => text(header::HOST.as_str()).and_then(|host| host.parse().ok()),
        };
        let scheme = if text("x-forwarded-proto") == Some("https") { "https" } else { "http" };
        match host {
            Some(host) => Self(format!("{scheme}://{host}{BASE}")),
            None => Self(BASE.to_owned()),
        }
    }
}

/// One page of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    base: BaseUrl,
    /// The path behind the base.
    path: String,
    /// The other parameters, as they came.
    others: Vec<String>,
    count: u32,
    /// The last resource of the page before.
    pub(crate) after: Option<Uuid>,
}

impl<S> FromRequestParts<S> for Asked
where
    App: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let limits = &App::from_ref(state).limits;
        let base = BaseUrl::of(parts.uri.authority(), &parts.headers);
        Self::of(base, &parts.uri, limits.page_size, limits.page_size_max)
    }
}

impl Asked {
    fn of(base: BaseUrl, uri: &Uri, size: u32, size_max: u32) -> Result<Self, Problem> {
        let path = uri.path().strip_prefix(BASE).unwrap_or_default().to_owned();
        let mut asked = Self { base, path, others: Vec::new(), count: size, after: None };
        let invalid = |detail| Problem::bad_request("invalid-page", detail);
        for parameter in uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            match parameter.split_once('=') {
                Some(("_count", value)) => {
                    let count = value.parse::<u32>().ok().filter(|count| *count > 0);
                    asked.count =
                        count.ok_or_else(|| invalid("_count is a whole number above 0"))?.min(size_max);
                }
                Some(("_cursor", value)) => {
                    let last = Uuid::try_parse(value).ok().filter(|_| value.len() == 32);
                    let last =
                        last.ok_or_else(|| invalid("_cursor is what the link next of a page gives"))?;
                    asked.after = Some(last);
                }
                _ => asked.others.push(parameter.to_owned()),
            }
        }
        Ok(asked)
    }

    /// How many rows to ask the database for: one more than the page shows.
    pub(crate) fn rows(&self) -> i64 {
        i64::from(self.count) + 1
    }

    /// The page out of up to [`Asked::rows`] resources, behind `first` ones that no cursor counts.
    pub(crate) fn bundle(&self, first: Option<Value>, mut found: Vec<(Uuid, Value)>) -> Fhir {
        let has_more = found.len() > self.count as usize;
        found.truncate(self.count as usize);
        let last = found.last().filter(|_| has_more).map(|(id, _)| *id);
        let resources = first.into_iter().chain(found.into_iter().map(|(_, resource)| resource));
        let entries = resources.map(|resource| BundleEntry {
            full_url: format!(
                "{}/{}/{}",
                self.base.0,
                resource["resourceType"].as_str().unwrap_or_default(),
                resource["id"].as_str().unwrap_or_default()
            ),
            resource,
        });
        let bundle = Bundle {
            self_url: self.url(self.after),
            next_url: last.map(|last| self.url(Some(last))),
            entries: entries.collect(),
        };
        Fhir(bundle.searchset())
    }

    fn url(&self, after: Option<Uuid>) -> String {
        let mut parameters = self.others.clone();
        parameters.push(format!("_count={}", self.count));
        parameters.extend(after.map(|after| format!("_cursor={}", after.simple())));
        format!("{}{}?{}", self.base.0, self.path, parameters.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asked(query: &str) -> Result<Asked, Problem> {
        let uri = format!("/fhir/R4/Condition?{query}").parse().unwrap();
        Asked::of(BaseUrl("http://h/fhir/R4".to_owned()), &uri, 2, 10)
    }

    #[test]
    fn the_link_next_keeps_what_else_was_asked_and_reads_back() {
        let page = asked("patient=1&_count=3").unwrap();
        let found: Vec<_> =
            (1..=4).map(|n| (Uuid::from_u128(n), json!({"resourceType": "Condition"}))).collect();
        let Fhir(bundle) = page.bundle(None, found);
        assert_eq!(bundle["entry"].as_array().unwrap().len(), 3);
        let next = bundle["link"][1]["url"].as_str().unwrap();
        assert!(next.starts_with("http://h/fhir/R4/Condition?patient=1&_count=3&_cursor="), "{next}");
        let again = asked(next.split_once('?').unwrap().1).unwrap();
        assert_eq!(again.after, Some(Uuid::from_u128(3)));
    }

    #[test]
    fn a_page_outside_the_bounds_is_refused_or_made_smaller() {
        for query in ["_count=0", "_count=x", "_cursor=", "_cursor=1"] {
            assert_eq!(asked(query).unwrap_err().code(), "invalid-page", "{query}");
        }
        assert_eq!(
            asked("_count=11").unwrap().rows(),
            11,
            "at most 10, and one to see whether there are more"
        );
    }

    #[test]
    fn the_base_is_where_the_client_found_it() {
        let headers = |pairs: &[(&'static str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect::<HeaderMap>()
        };
        let base = |pairs| BaseUrl::of(None, &headers(pairs)).0;
        assert_eq!(base(&[("host", "h:1")]), "http://h:1/fhir/R4");
        assert_eq!(base(&[("host", "h"), ("x-forwarded-proto", "https")]), "https://h/fhir/R4");
        assert_eq!(base(&[]), "/fhir/R4");
    }
}
