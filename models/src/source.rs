//! What was looked up, as files of conditions and of drugs write it.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenSource {
    pub(crate) says: String,
    doi: Option<String>,
    pmid: Option<String>,
    isbn: Option<String>,
    url: Option<String>,
    looked_up: String,
}

/// Where a source stands.
pub(crate) enum Reference {
    /// By a number that stays: `doi:…`, `pmid:…`, `isbn:…`.
    Number(String),
    /// On a page.
    Page(String),
}

impl WrittenSource {
    /// Where it stands; `None` where it is not told, or in both ways, or not what it says and when it was looked up.
    pub(crate) fn reference(&self) -> Option<Reference> {
        let numbers = [("doi", &self.doi), ("pmid", &self.pmid), ("isbn", &self.isbn)];
        let mut numbers =
            numbers.into_iter().filter_map(|(kind, text)| Some(format!("{kind}:{}", text.as_ref()?)));
        if self.says.is_empty() || self.looked_up.is_empty() {
            return None;
        }
        match (numbers.next(), &self.url) {
            (Some(number), None) => Some(Reference::Number(number)),
            (None, Some(page)) => Some(Reference::Page(page.clone())),
            _ => None,
        }
    }
}
