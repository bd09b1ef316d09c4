//! Long lists, a page at a time.

use axum::extract::{FromRef, FromRequestParts};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, Uri, header};
use serde::Serialize;

use crate::{App, Json, Problem};

/// Which part of a list is asked for: `?limit=…&offset=…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Most rows of the answer.
    pub limit: u32,
    /// How many rows come before them.
    pub offset: u32,
    path: String,
    /// The other parameters, as they came.
    others: Vec<String>,
}

impl<S> FromRequestParts<S> for Page
where
    App: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let limits = &App::from_ref(state).limits;
        Self::of(&parts.uri, limits.page_size, limits.page_size_max)
    }
}

impl Page {
    fn of(uri: &Uri, size: u32, size_max: u32) -> Result<Self, Problem> {
        let mut page = Self { limit: size, offset: 0, path: uri.path().to_owned(), others: Vec::new() };
        let parameters = uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty());
        for parameter in parameters {
            match parameter.split_once('=') {
                Some(("limit", value)) => {
                    page.limit =
                        value.parse().ok().filter(|limit| (1..=size_max).contains(limit)).ok_or_else(
                            || invalid(format!("limit is a whole number from 1 to {size_max}")),
                        )?;
                }
                Some(("offset", value)) => {
                    page.offset =
                        value.parse().map_err(|_| invalid("offset is a whole number from 0".to_owned()))?;
                }
                _ => page.others.push(parameter.to_owned()),
            }
        }
        Ok(page)
    }

    /// How many rows to ask the database for: one more than the answer shows, to see whether there are more.
    pub fn rows(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// How many rows to pass over.
    pub fn skip(&self) -> i64 {
        i64::from(self.offset)
    }

    /// The answer out of up to [`Page::rows`] rows.
    pub fn of_rows<T>(&self, mut rows: Vec<T>) -> Paged<T> {
        let has_more = rows.len() > self.limit as usize;
        rows.truncate(self.limit as usize);
        Paged { items: rows, link: self.link(has_more) }
    }

    /// The header `Link` with `rel="next"` and `rel="prev"` (RFC 8288), where there are such pages.
    fn link(&self, has_more: bool) -> Option<HeaderValue> {
        let mut links = Vec::new();
        if has_more && let Some(next) = self.offset.checked_add(self.limit) {
            links.push(format!("<{}>; rel=\"next\"", self.at(next)));
        }
        if self.offset > 0 {
            links.push(format!("<{}>; rel=\"prev\"", self.at(self.offset.saturating_sub(self.limit))));
        }
        HeaderValue::from_str(&links.join(", ")).ok().filter(|value| !value.is_empty())
    }

    fn at(&self, offset: u32) -> String {
        let mut parameters = self.others.clone();
        parameters.push(format!("limit={}&offset={offset}", self.limit));
        format!("{}?{}", self.path, parameters.join("&"))
    }
}

fn invalid(detail: String) -> Problem {
    Problem::bad_request("invalid-page", detail)
}

/// One page: a bare JSON array, and where the next and the previous one are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paged<T> {
    /// The rows of this page.
    pub items: Vec<T>,
    link: Option<HeaderValue>,
}

impl<T: Serialize> IntoResponse for Paged<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.items).into_response();
        if let Some(link) = self.link {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(uri: &str) -> Result<Page, Problem> {
        Page::of(&uri.parse().unwrap(), 2, 10)
    }

    #[test]
    fn the_links_keep_what_else_was_asked() {
        let page = page("/api/findings?state=open&limit=3&offset=4").unwrap();
        assert_eq!((page.rows(), page.skip()), (4, 4));
        let paged = page.of_rows(vec![1, 2, 3, 4]);
        assert_eq!(paged.items, [1, 2, 3]);
        assert_eq!(
            paged.link.unwrap(),
            "</api/findings?state=open&limit=3&offset=7>; rel=\"next\", \
             </api/findings?state=open&limit=3&offset=1>; rel=\"prev\""
        );
    }

    #[test]
    fn a_list_that_fits_has_no_links() {
        assert_eq!(page("/api/findings").unwrap().of_rows(vec![1, 2]).link, None);
    }

    #[test]
    fn a_page_outside_the_bounds_is_refused() {
        for query in ["limit=0", "limit=11", "limit=x", "offset=-1", "limit=", "offset=99999999999"] {
            assert_eq!(page(&format!("/x?{query}")).unwrap_err().code(), "invalid-page", "{query}");
        }
    }
}
