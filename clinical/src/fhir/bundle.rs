//! `Bundle`.

use serde_json::{Value, json};

/// One resource of a [`Bundle`] with its absolute URL.
#[derive(Debug, Clone, PartialEq)]
pub struct BundleEntry {
    /// Where it can be read.
    pub full_url: String,
    /// The resource.
    pub resource: Value,
}

/// What a search has found, a page at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// The URL of this page.
    pub self_url: String,
    /// The URL of the next one, where there is one.
    pub next_url: Option<String>,
    /// What was found.
    pub entries: Vec<BundleEntry>,
}

impl Bundle {
    /// The resource, of type `searchset`; there is no total, for counting would read what nobody asked for.
    pub fn searchset(self) -> Value {
        let mut links = vec![json!({"relation": "self", "url": self.self_url})];
        links.extend(self.next_url.map(|url| json!({"relation": "next", "url": url})));
        let entries = self.entries.into_iter().map(|entry| {
            json!({"fullUrl": entry.full_url, "resource": entry.resource, "search": {"mode": "match"}})
        });
        super::pruned(json!({
            "resourceType": "Bundle",
            "type": "searchset",
            "link": links,
            "entry": entries.collect::<Vec<_>>(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_links_to_itself_and_to_the_next_one() {
        let entry = BundleEntry {
            full_url: "http://h/fhir/R4/Patient/1".into(),
            resource: json!({"resourceType": "Patient"}),
        };
        let bundle = Bundle {
            self_url: "http://h/a".into(),
            next_url: Some("http://h/b".into()),
            entries: vec![entry],
        };
        let resource = bundle.clone().searchset();
        assert_eq!(resource["link"][1], json!({"relation": "next", "url": "http://h/b"}));
        assert_eq!(resource["entry"][0]["search"]["mode"], "match");
        let last = Bundle { next_url: None, entries: Vec::new(), ..bundle }.searchset();
        assert_eq!(last["link"].as_array().unwrap().len(), 1);
        assert!(last.get("entry").is_none());
    }
}
