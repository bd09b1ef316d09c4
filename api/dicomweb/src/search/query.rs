//! The query of a search: keys, page and options (PS3.18, sections 8.3.4 and 10.6.1).

use axum::http::Uri;
use dicom_core::dictionary::DataDictionary;
use dicom_dictionary_std::StandardDataDictionary;
use gate::Problem;
use storage::records::search::Search;

use super::keys::{Level, matching_key, tag_of};
use crate::resource::Resource;

/// Most results of one answer, also where no `limit` is given; the rest is paged by `offset`.
const RESULTS_MAX: u32 = 5_000;
/// Most parameters of one query.
const PARAMETERS_MAX: usize = 100;

/// A query that has been read.
#[derive(Debug)]
pub(crate) struct Query {
    /// What to ask the rows for: one result more than is shown, so that it is seen whether there are more.
    pub(crate) search: Search,
    /// At most so many results are shown.
    pub(crate) shown: usize,
    /// It was this house that limited the results, not the client.
    pub(crate) is_capped: bool,
    pub(crate) is_fuzzy: bool,
    /// The attributes of the study are part of each result.
    pub(crate) wants_study: bool,
    /// The attributes of the series are part of each result.
    pub(crate) wants_series: bool,
}

impl Query {
    /// Reads the query of `uri` for a search of `level` below `resource`.
    ///
    /// # Errors
    ///
    /// 400 `unknown-key`, `invalid-value`, `invalid-page`, `invalid-query`.
    pub(crate) fn read(level: Level, resource: &Resource, uri: &Uri) -> Result<Self, Problem> {
        let axum::extract::Query(pairs) = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)?;
        if pairs.len() > PARAMETERS_MAX {
            let detail = format!("a query has at most {PARAMETERS_MAX} parameters");
            return Err(Problem::bad_request("invalid-query", detail));
        }
        let mut query = Self {
            search: Search {
                study: resource.study.clone(),
                series: resource.series.clone(),
                limit: RESULTS_MAX,
                ..Search::default()
            },
            shown: 0,
            is_capped: true,
            is_fuzzy: false,
            wants_study: level > Level::Study && resource.study.is_none(),
            wants_series: level > Level::Series && resource.series.is_none(),
        };
        for (name, value) in &pairs {
            query.parameter(level, name, value)?;
        }
        query.shown = query.search.limit as usize;
        query.search.limit += 1;
        Ok(query)
    }

    fn parameter(&mut self, level: Level, name: &str, value: &str) -> Result<(), Problem> {
        match name {
            "limit" => {
                let limit = whole_number(name, value)?;
                self.is_capped = limit > RESULTS_MAX;
                self.search.limit = limit.min(RESULTS_MAX);
            }
            "offset" => self.search.offset = whole_number(name, value)?,
            "fuzzymatching" => match value {
                "true" => self.is_fuzzy = true,
                "false" | "" => {}
                _ => return Err(invalid(name, "true or false")),
            },
            "includefield" => self.include(value)?,
            "accept" | "charset" => {}
            name => return self.key(level, name, value),
        }
        Ok(())
    }

    /// Every attribute that is known of a level is part of its results anyway; what
    /// can be included is the levels above. An attribute that the rows do not hold is left out.
    fn include(&mut self, value: &str) -> Result<(), Problem> {
        for field in value.split(',').map(str::trim).filter(|field| !field.is_empty()) {
            if field == "all" {
                (self.wants_study, self.wants_series) = (true, true);
                continue;
            }
            // a path into a sequence names the sequence first
            let first = field.split('.').next().unwrap_or(field);
            if tag_of(first).is_none() && StandardDataDictionary.by_name(first).is_none() {
                let wanted = "all, or keywords or tags of attributes, parted by commas";
                return Err(invalid("includefield", wanted));
            }
            match matching_key(first).map(|key| key.level) {
                Some(Level::Study) => self.wants_study = true,
                Some(Level::Series) => self.wants_series = true,
                Some(Level::Instance) | None => {}
            }
        }
        Ok(())
    }

    fn key(&mut self, level: Level, name: &str, value: &str) -> Result<(), Problem> {
        let Some(key) = matching_key(name).filter(|key| key.level <= level) else {
            let detail = "a parameter is no attribute by which this level can be searched; \
                          CONFORMANCE.md lists those that are";
            return Err(Problem::bad_request("unknown-key", detail));
        };
        if let Some(condition) = key.condition(value).map_err(|wanted| invalid(name, wanted))? {
            self.search.conditions.push((key.key, condition));
        }
        Ok(())
    }
}

fn whole_number(name: &str, value: &str) -> Result<u32, Problem> {
    value
        .parse()
        .map_err(|_| Problem::bad_request("invalid-page", format!("{name} is a whole number from 0")))
}

/// `name` is one that this house knows; the value, which may be of a patient, is not repeated.
fn invalid(name: &str, wanted: &str) -> Problem {
    Problem::bad_request("invalid-value", format!("{name} is {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(level: Level, query: &str) -> Result<Query, Problem> {
        Query::read(level, &Resource::default(), &format!("/studies?{query}").parse().unwrap())
    }

    fn code(level: Level, query: &str) -> &'static str {
        read(level, query).unwrap_err().code()
    }

    #[test]
    fn a_limit_above_the_greatest_is_capped_and_one_below_is_kept() {
        let capped = read(Level::Study, "limit=999999&offset=7").unwrap();
        assert_eq!((capped.search.limit, capped.is_capped, capped.search.offset), (5_001, true, 7));
        let kept = read(Level::Study, "limit=101").unwrap();
        assert_eq!((kept.shown, kept.is_capped), (101, false));
        assert_eq!(code(Level::Study, "limit=-1"), "invalid-page");
    }

    #[test]
    fn an_unknown_key_and_one_of_a_lower_level_are_refused() {
        assert_eq!(code(Level::Study, "Colour=red"), "unknown-key");
        assert_eq!(code(Level::Study, "Modality=CT"), "unknown-key");
        assert!(read(Level::Series, "Modality=CT&PatientName=a*").is_ok());
        assert_eq!(code(Level::Study, "StudyDate=yesterday"), "invalid-value");
        assert_eq!(code(Level::Study, &"PatientID=1&".repeat(101)), "invalid-query");
    }

    #[test]
    fn levels_above_are_part_of_a_result_where_the_path_does_not_name_them_or_they_are_included() {
        assert!(read(Level::Series, "").unwrap().wants_study);
        let within = Resource { study: Some("1.2".parse().unwrap()), ..Resource::default() };
        let read = |query: &str| Query::read(Level::Series, &within, &query.parse().unwrap()).unwrap();
        assert!(!read("/series").wants_study);
        assert!(read("/series?includefield=all").wants_study);
        assert!(read("/series?includefield=00080020,SeriesDescription").wants_study);
        assert!(!read("/series?includefield=00280010&includefield=Rows").wants_study);
    }

    #[test]
    fn a_field_that_is_no_attribute_is_refused() {
        assert_eq!(code(Level::Study, "includefield=Password"), "invalid-value");
        assert!(read(Level::Study, "includefield=00081030,00080060,NumberOfFrames").is_ok());
    }
}
