//! Long lists, a page at a time, by a cursor.
//!
//! A page begins after the record that the cursor names, so a list stays as
//! fast at its millionth row as at its first, and a record that comes meanwhile
//! shifts nothing.

use axum::extract::{FromRef, FromRequestParts};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, Uri, header};
use serde::Serialize;
use uuid::Uuid;

use crate::{App, Json, Problem};

/// What a cursor begins with, so that another service's is not taken for ours.
const MARK: &str = "m1";

/// Which part of a list is asked for: `?limit=…&cursor=…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Most rows of the answer.
    pub limit: u32,
    /// The last record of the page before.
    pub after: Option<Uuid>,
    path: String,
    /// The other parameters, as they came.
    others: Vec<String>,
}

impl<S> FromRequestParts<S> for Cursor
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

impl Cursor {
    fn of(uri: &Uri, size: u32, size_max: u32) -> Result<Self, Problem> {
        let mut page = Self { limit: size, after: None, path: uri.path().to_owned(), others: Vec::new() };
        let parameters = uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty());
        for parameter in parameters {
            match parameter.split_once('=') {
                Some(("limit", value)) => {
                    page.limit =
                        value.parse().ok().filter(|limit| (1..=size_max).contains(limit)).ok_or_else(
                            || invalid(format!("limit is a whole number from 1 to {size_max}")),
                        )?;
                }
                Some(("cursor", value)) => {
                    let wrong =
                        || invalid("cursor is what the header Link of the page before gives".to_owned());
                    page.after = Some(read(value).ok_or_else(wrong)?);
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

    /// The answer out of up to [`Cursor::rows`] rows; `key` is what the next page begins after.
    pub fn of_rows<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> Uuid) -> Paged<T> {
        let has_more = rows.len() > self.limit as usize;
        rows.truncate(self.limit as usize);
        let last = rows.last().filter(|_| has_more).map(key);
        let link = last.and_then(|last| HeaderValue::from_str(&self.next(last)).ok());
        Paged { items: rows, link }
    }

    /// The header `Link` with `rel="next"` (RFC 8288).
    fn next(&self, last: Uuid) -> String {
        let mut parameters = self.others.clone();
        parameters.push(format!("limit={}&cursor={MARK}{}", self.limit, last.simple()));
        format!("<{}?{}>; rel=\"next\"", self.path, parameters.join("&"))
    }
}

fn read(text: &str) -> Option<Uuid> {
    let digits = text.strip_prefix(MARK).filter(|digits| digits.len() == 32)?;
    Uuid::try_parse(digits).ok()
}

fn invalid(detail: String) -> Problem {
    Problem::bad_request("invalid-page", detail)
}

/// One page: a bare JSON array, and where the next one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paged<T> {
    /// The rows of this page.
    pub items: Vec<T>,
    link: Option<HeaderValue>,
}

impl<T> Paged<T> {
    /// The same page, shown otherwise.
    pub fn map<V>(self, show: impl FnMut(T) -> V) -> Paged<V> {
        Paged { items: self.items.into_iter().map(show).collect(), link: self.link }
    }
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

    fn page(uri: &str) -> Result<Cursor, Problem> {
        Cursor::of(&uri.parse().unwrap(), 2, 10)
    }

    #[test]
    fn the_link_keeps_what_else_was_asked_and_reads_back() {
        let page = page("/api/findings?state=open&limit=3").unwrap();
        assert_eq!((page.rows(), page.after), (4, None));
        let ids: Vec<Uuid> = (1..=4).map(Uuid::from_u128).collect();
        let paged = page.of_rows(ids.clone(), |id| *id);
        assert_eq!(paged.items, ids[..3]);
        let link = paged.link.unwrap().to_str().unwrap().to_owned();
        assert!(link.starts_with("</api/findings?state=open&limit=3&cursor=m1"), "{link}");
        let next = link.trim_start_matches('<').split('>').next().unwrap();
        assert_eq!(self::page(next).unwrap().after, Some(ids[2]));
    }

    #[test]
    fn a_list_that_fits_has_no_link() {
        let ids = vec![Uuid::from_u128(1), Uuid::from_u128(2)];
        assert_eq!(page("/api/findings").unwrap().of_rows(ids, |id| *id).link, None);
    }

    #[test]
    fn a_page_outside_the_bounds_is_refused() {
        for query in ["limit=0", "limit=11", "limit=x", "limit=", "cursor=", "cursor=m1", "cursor=abc"] {
            assert_eq!(page(&format!("/x?{query}")).unwrap_err().code(), "invalid-page", "{query}");
        }
    }
}
