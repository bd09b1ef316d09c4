//! The query of a search: keys, page and options (PS3.18, sections 8.3.4 and 10.6.1).

use std::collections::BTreeSet;

use axum::http::Uri;
use dicom_core::Tag;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use gate::Problem;
use storage::records::search::{Condition, Key, Level, Search, combine_date_and_time};

use super::answer;
use super::keys::{self, matching_key, path_of};
use crate::resource::Resource;

/// Most results of one answer, also where no `limit` is given; the rest is paged by `offset`.
const RESULTS_MAX: u32 = 5_000;
/// Most results whose data sets are looked into.
const DATA_SETS_MAX: u32 = 1_000;
/// Most parameters of one query.
const PARAMETERS_MAX: usize = 100;
/// Most attributes that a query names beyond those that are part of each result.
const FIELDS_MAX: usize = 100;

/// A query that has been read.
#[derive(Debug)]
pub(crate) struct Query {
    /// What to ask the rows for: one result more than is shown, so that it is seen whether there are more.
    pub(crate) search: Search,
    /// At most so many results are shown.
    pub(crate) shown: usize,
    /// It was this house that limited the results, not the client.
    pub(crate) is_capped: bool,
    /// Names are to be matched by words, and one that was asked for has wildcards within.
    pub(crate) is_literal: bool,
    /// The attributes of the study are part of each result.
    pub(crate) wants_study: bool,
    /// The attributes of the series are part of each result.
    pub(crate) wants_series: bool,
    /// SOP Classes in Study is part of each result, or of the study's attributes in it.
    pub(crate) wants_classes: bool,
    /// Every attribute of the data set is part of each result.
    pub(crate) wants_all: bool,
    /// Attributes that are no columns: from the data set of the instance, or of one of those below.
    pub(crate) fields: BTreeSet<Tag>,
    /// The keys whose values are ranges.
    ranges: Vec<Key>,
    /// Attributes by which was asked and is not matched.
    pub(crate) unmatched: BTreeSet<Tag>,
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
            is_literal: false,
            wants_study: level > Level::Study && resource.study.is_none(),
            wants_series: level > Level::Series && resource.series.is_none(),
            wants_classes: false,
            wants_all: false,
            fields: BTreeSet::new(),
            ranges: Vec::new(),
            unmatched: BTreeSet::new(),
        };
        let fuzzy = pairs.iter().rev().find(|(name, _)| name == "fuzzymatching");
        let is_fuzzy = match fuzzy.map(|(_, value)| value.as_str()) {
            Some("true") => true,
            None | Some("false" | "") => false,
            Some(_) => return Err(invalid("fuzzymatching", "true or false")),
        };
        for (name, value) in &pairs {
            query.parameter(level, name, value, is_fuzzy)?;
        }
        combine_date_and_time(&mut query.search.conditions, &query.ranges);
        let looks_further = query.wants_all || query.wants_classes || !query.fields.is_empty();
        if looks_further && query.search.limit > DATA_SETS_MAX {
            (query.search.limit, query.is_capped) = (DATA_SETS_MAX, true);
        }
        query.shown = query.search.limit as usize;
        query.search.limit += 1;
        Ok(query)
    }

    fn parameter(&mut self, level: Level, name: &str, value: &str, is_fuzzy: bool) -> Result<(), Problem> {
        match name {
            "limit" => {
                let limit = whole_number(name, value)?;
                self.is_capped = limit > RESULTS_MAX;
                self.search.limit = limit.min(RESULTS_MAX);
            }
            "offset" => self.search.offset = whole_number(name, value)?,
            "includefield" => self.include(level, value)?,
            "fuzzymatching" | "accept" | "charset" => {}
            name => return self.key(level, name, value, is_fuzzy),
        }
        Ok(())
    }

    /// The columns of a level are part of its results anyway; what can be included are the levels above and what the
    /// data sets hold beyond the columns.
    fn include(&mut self, level: Level, value: &str) -> Result<(), Problem> {
        for field in value.split(',').map(str::trim).filter(|field| !field.is_empty()) {
            if field == "all" {
                (self.wants_study, self.wants_series) = (level > Level::Study, level > Level::Series);
                self.wants_all = level == Level::Instance;
                self.wants_classes = true;
                continue;
            }
            // a path into a sequence names the sequence first, and the sequence comes whole
            let Some(&first) = path_of(field).as_deref().and_then(<[Tag]>::first) else {
                let wanted = "all, or keywords or tags of attributes, parted by commas";
                return Err(invalid("includefield", wanted));
            };
            if first == tags::SOP_CLASSES_IN_STUDY {
                (self.wants_study, self.wants_classes) = (level > Level::Study, true);
                continue;
            }
            match answer::level_of(first) {
                Some(Level::Study) => self.wants_study |= level > Level::Study,
                Some(Level::Series) if level >= Level::Series => self.wants_series |= level > Level::Series,
                Some(Level::Instance) if level == Level::Instance => {}
                _ => {
                    self.fields.insert(first);
                }
            }
            if self.fields.len() > FIELDS_MAX {
                return Err(invalid("includefield", "at most 100 attributes"));
            }
        }
        Ok(())
    }

    fn key(&mut self, level: Level, name: &str, value: &str, is_fuzzy: bool) -> Result<(), Problem> {
        let unknown = || {
            let detail = "a parameter is no attribute by which this level can be searched; \
                          CONFORMANCE.md lists those that are";
            Problem::bad_request("unknown-key", detail)
        };
        let path = path_of(name).ok_or_else(unknown)?;
        let Some(key) = matching_key(&path) else {
            // An attribute of the standard that is not matched here: the answer says so.
            let (first, last) = (path[0], path[path.len() - 1]);
            let is_known = StandardDataDictionary.by_tag(last).is_some_and(|entry| entry.tag() == last);
            if !is_known || self.unmatched.len() > FIELDS_MAX {
                return Err(unknown());
            }
            self.unmatched.insert(first);
            return Ok(());
        };
        if key.level > level {
            return Err(unknown());
        }
        let Some(mut condition) = key.condition(value).map_err(|wanted| invalid(name, wanted))? else {
            return Ok(());
        };
        if is_fuzzy && key.is_name() {
            if has_inner_wildcard(value) {
                self.is_literal = true;
            } else {
                condition = Condition::Words(vec![value.to_owned()]);
            }
        }
        self.wants_classes |= key.key == Key::SopClassesInStudy && level == Level::Study;
        if matches!(condition, Condition::Days { .. } | Condition::Times { .. }) && value.contains('-') {
            self.ranges.push(key.key);
        }
        let asked = &mut self.search.conditions;
        let before = asked.iter().position(|(it, _)| *it == key.key).map(|place| asked.swap_remove(place).1);
        match before.map(|before| keys::joined(before, condition.clone())) {
            None => asked.push((key.key, condition)),
            Some(Ok(both)) => asked.push((key.key, both)),
            Some(Err((first, second))) => asked.extend([(key.key, first), (key.key, second)]),
        }
        Ok(())
    }
}

/// A wildcard that does not stand for the rest of a word.
fn has_inner_wildcard(value: &str) -> bool {
    let mut words = value.split([' ', '^', '=', ',']);
    words.any(|word| word.trim_end_matches('*').contains(['*', '?']))
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
        let whole = read(Level::Instance, "limit=2000&includefield=all").unwrap();
        assert_eq!((whole.shown, whole.is_capped), (1_000, true), "data sets are longer than columns");
    }

    #[test]
    fn an_unknown_key_and_one_of_a_lower_level_are_refused_and_an_unmatched_one_is_told() {
        assert_eq!(code(Level::Study, "Colour=red"), "unknown-key");
        assert_eq!(code(Level::Study, "Modality=CT"), "unknown-key");
        assert_eq!(code(Level::Study, "00091001=x"), "unknown-key");
        assert!(read(Level::Series, "Modality=CT&PatientName=a*").is_ok());
        assert_eq!(code(Level::Study, "StudyDate=yesterday"), "invalid-value");
        assert_eq!(code(Level::Study, &"PatientID=1&".repeat(101)), "invalid-query");
        let unmatched = read(Level::Study, "PatientWeight=80&PatientID=1").unwrap();
        assert_eq!(unmatched.unmatched, BTreeSet::from([tags::PATIENT_WEIGHT]));
        assert_eq!(unmatched.search.conditions.len(), 1);
    }

    #[test]
    fn levels_above_are_part_of_a_result_where_the_path_does_not_name_them_or_they_are_included() {
        assert!(read(Level::Series, "").unwrap().wants_study);
        let within = Resource { study: Some("1.2".parse().unwrap()), ..Resource::default() };
        let read = |query: &str| Query::read(Level::Series, &within, &query.parse().unwrap()).unwrap();
        assert!(!read("/series").wants_study);
        assert!(read("/series?includefield=all").wants_study);
        assert!(read("/series?includefield=00080020,SeriesDescription").wants_study);
        let below = read("/series?includefield=00280010&includefield=Manufacturer");
        assert!(!below.wants_study);
        assert_eq!(below.fields, BTreeSet::from([tags::ROWS, tags::MANUFACTURER]));
    }

    #[test]
    fn a_field_that_is_no_attribute_is_refused() {
        assert_eq!(code(Level::Study, "includefield=Password"), "invalid-value");
        assert!(read(Level::Study, "includefield=00081030,00080060,NumberOfFrames").is_ok());
        let path = read(Level::Instance, "includefield=ReferencedStudySequence.00081155").unwrap();
        assert_eq!(path.fields, BTreeSet::from([tags::REFERENCED_STUDY_SEQUENCE]));
    }

    #[test]
    fn any_value_of_a_key_that_is_asked_for_twice_will_do() {
        let twice = read(Level::Study, "PatientID=1&00100020=2&StudyDate=2026-&StudyDate=x").unwrap_err();
        assert_eq!(twice.code(), "invalid-value");
        let twice = read(Level::Study, "PatientID=1&StudyID=3&00100020=2").unwrap().search.conditions;
        assert!(twice.contains(&(Key::PatientId, Condition::Pattern(vec!["1".into(), "2".into()]))));
        let ranges = read(Level::Study, "StudyDate=20260101-&StudyDate=-20260201").unwrap();
        assert_eq!(ranges.search.conditions.len(), 2);
    }

    /// PS3.4, C.2.2.2.5.3, which PS3.18, 8.3.4.1 asks of every search.
    #[test]
    fn ranges_of_days_and_times_are_one_stretch_and_a_single_time_is_none() {
        let stretch = read(Level::Study, "StudyDate=20260101-20260103&StudyTime=1000-18").unwrap();
        let (from, to) = (Some("20260101100000".into()), Some("20260103185959".into()));
        let stretched = (Key::StudyDate, Condition::Moments { from, to });
        assert!(stretch.search.conditions.contains(&stretched), "{:?}", stretch.search.conditions);
        let single = read(Level::Study, "StudyDate=20260101-20260103&StudyTime=10").unwrap();
        assert!(matches!(single.search.conditions[1], (Key::StudyTime, Condition::Times { .. })));
    }

    #[test]
    fn the_classes_of_a_study_are_looked_up_where_they_are_asked_for() {
        assert!(!read(Level::Study, "includefield=StudyDescription").unwrap().wants_classes);
        for asked in ["includefield=00080062", "includefield=all", "SOPClassesInStudy=1.2.3"] {
            let query = read(Level::Study, asked).unwrap();
            assert!(query.wants_classes && query.fields.is_empty(), "{asked}");
        }
        let series = read(Level::Series, "includefield=SOPClassesInStudy").unwrap();
        assert!(series.wants_classes && series.wants_study);
    }

    #[test]
    fn names_are_matched_by_words_unless_wildcards_stand_within_them() {
        let fuzzy = read(Level::Study, "PatientName=must*^ada&fuzzymatching=true").unwrap();
        assert_eq!(fuzzy.search.conditions[0].1, Condition::Words(vec!["must*^ada".into()]));
        assert!(!fuzzy.is_literal);
        let literal = read(Level::Study, "fuzzymatching=true&PatientName=m?st*").unwrap();
        assert_eq!(literal.search.conditions[0].1, Condition::Pattern(vec!["m?st*".into()]));
        assert!(literal.is_literal);
        assert_eq!(code(Level::Study, "fuzzymatching=maybe"), "invalid-value");
    }
}
