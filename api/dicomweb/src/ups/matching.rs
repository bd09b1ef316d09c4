//! Keys of a worklist that no column holds: they are matched in the data set of each step (PS3.4, table CC.2.5-3).

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use serde_json::Value;

/// With what such a key begins; behind a sequence stands any attribute of its items.
const FIRST: [Tag; 12] = [
    tags::ISSUER_OF_PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::ADMISSION_ID,
    tags::SCHEDULED_WORKITEM_CODE_SEQUENCE,
    tags::SCHEDULED_STATION_NAME_CODE_SEQUENCE,
    tags::SCHEDULED_STATION_CLASS_CODE_SEQUENCE,
    tags::SCHEDULED_STATION_GEOGRAPHIC_LOCATION_CODE_SEQUENCE,
    tags::SCHEDULED_HUMAN_PERFORMERS_SEQUENCE,
    tags::INPUT_READINESS_STATE,
    tags::REFERENCED_REQUEST_SEQUENCE,
    tags::REPLACED_PROCEDURE_STEP_SEQUENCE,
];

/// One key with what it asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InDataSet {
    /// Tags as DICOM JSON writes them, from the outermost sequence to the attribute.
    path: Vec<String>,
    /// One of these; `*` stands for any characters and `?` for one. None: anything matches.
    texts: Vec<String>,
}

impl InDataSet {
    /// The key of that path; `None` where steps are not searched by it.
    pub(super) fn of(path: &[Tag], texts: Vec<String>) -> Option<Self> {
        let name = |tag: &Tag| format!("{:04X}{:04X}", tag.group(), tag.element());
        let is_known = path.first().is_some_and(|first| FIRST.contains(first));
        is_known.then(|| Self { path: path.iter().map(name).collect(), texts })
    }

    /// Whether the data set has a value that is asked for, in any item.
    pub(super) fn matches(&self, data_set: &Value) -> bool {
        self.texts.is_empty() || self.matches_below(&self.path, data_set)
    }

    fn matches_below(&self, path: &[String], data_set: &Value) -> bool {
        let [name, rest @ ..] = path else { return false };
        let mut values = data_set[name]["Value"].as_array().into_iter().flatten();
        if rest.is_empty() {
            values
                .any(|value| self.texts.iter().any(|text| is_like(value.as_str().unwrap_or_default(), text)))
        } else {
            values.any(|item| self.matches_below(rest, item))
        }
    }
}

/// Wildcard matching (PS3.4, section C.2.2.2.4).
fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.trim().chars().collect(), pattern.chars().collect());
    let (mut at, mut asked) = (0, 0);
    // where the last `*` stands, and what it has taken so far ends
    let mut star = None;
    while at < text.len() {
        match pattern.get(asked) {
            Some('*') => {
                star = Some((asked, at));
                asked += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == text[at] => (at, asked) = (at + 1, asked + 1),
            _ => {
                let Some((place, taken)) = star else { return false };
                star = Some((place, taken + 1));
                (at, asked) = (taken + 1, place + 1);
            }
        }
    }
    pattern[asked..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_in_any_item_matches() {
        let code = |value: &str| json!({"00080100": {"vr": "SH", "Value": [value]}});
        let step = json!({
            "00404018": {"vr": "SQ", "Value": [code("110005"), code("110013")]},
            "00404041": {"vr": "CS", "Value": ["READY"]},
            "00404025": {"vr": "SQ"},
        });
        let key = |path: &[Tag], texts: &[&str]| {
            InDataSet::of(path, texts.iter().map(|text| (*text).to_owned()).collect()).unwrap()
        };
        let workitem = [tags::SCHEDULED_WORKITEM_CODE_SEQUENCE, tags::CODE_VALUE];
        assert!(key(&workitem, &["110013"]).matches(&step));
        assert!(key(&workitem, &["1", "11000?"]).matches(&step));
        assert!(!key(&workitem, &["11001"]).matches(&step));
        assert!(key(&[tags::ADMISSION_ID], &[]).matches(&step));
        assert!(!key(&workitem[..1], &["110013"]).matches(&step));
        assert!(key(&[tags::INPUT_READINESS_STATE], &["R*Y"]).matches(&step));
        assert!(
            !key(&[tags::SCHEDULED_STATION_NAME_CODE_SEQUENCE, tags::CODE_VALUE], &["CAD"]).matches(&step)
        );
        assert_eq!(InDataSet::of(&[tags::MODALITY], Vec::new()), None);
    }

    #[test]
    fn a_star_takes_as_much_as_it_must() {
        for (text, pattern, is_match) in [
            ("aXbXc", "a*Xc", true),
            ("aXbXc", "a*Xb", false),
            ("", "*", true),
            ("a", "", false),
            ("ab", "?", false),
            ("READY ", "READY", true),
            ("aaaa", "*a*a*a*a*a", false),
        ] {
            assert_eq!(is_like(text, pattern), is_match, "{text} {pattern}");
        }
    }
}
