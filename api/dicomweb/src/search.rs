//! `GET /studies`, `/series`, `/instances` and below them: QIDO-RS (PS3.18, section 10.6).

mod answer;
mod data_sets;
mod keys;
mod query;

use std::collections::{BTreeSet, HashMap};

use axum::extract::State;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use clinical::id::{SeriesId, StudyId};
use dicom_core::Tag;
use gate::{App, Caller, Problem};
use storage::db::Conn;
use storage::records::search::{FoundInstance, FoundSeries, FoundStudy, Level, samples};
use uuid::Uuid;

use self::answer::Attributes;
#[cfg(test)]
pub(crate) use self::answer::answer_rows;
use self::data_sets::Wanted;
#[cfg(test)]
pub(crate) use self::keys::key_rows;
pub(crate) use self::keys::path_of;
use self::query::Query;
use crate::accept::{self, Accept};
use crate::base_url::BaseUrl;
use crate::dicom_json::{DICOM_JSON, key_of};
use crate::resource::Resource;

/// How many match in all, where that was counted.
const TOTAL_COUNT: &str = "x-total-count";

/// `GET /dicom-web/studies`
pub(crate) async fn studies(
    State(app): State<App>,
    caller: Caller,
    base: BaseUrl,
    accept: Accept,
    uri: Uri,
) -> Result<Response, Problem> {
    accept::json_or_problem(&accept)?;
    let query = query_of(Level::Study, &Resource::default(), &uri, &caller)?;
    let mut rows = app.db.of(caller.clinic).read().await?;
    let mut found = FoundStudy::search(&mut rows, caller.clinic, &query.search).await?;
    let seen = Seen::of(&mut rows, &caller, Level::Study, &query, &mut found).await?;
    if query.wants_classes {
        FoundStudy::add_sop_classes(&mut rows, caller.clinic, &mut found).await?;
    }
    let mut results: Vec<Attributes> = found.iter().map(|study| answer::study(study, &base)).collect();
    if !query.fields.is_empty() {
        let ids: Vec<Uuid> = found.iter().map(|study| study.study_id.0).collect();
        let wanted = wanted_samples(rows, &caller, Level::Study, &ids).await?;
        results =
            data_sets::added(&app.db.of(caller.clinic), caller.clinic, results, wanted, Some(&query.fields))
                .await?;
    }
    Ok(answered(&query, &seen, results))
}

/// `GET /dicom-web/series` and `/dicom-web/studies/{study}/series`
pub(crate) async fn series(
    State(app): State<App>,
    caller: Caller,
    base: BaseUrl,
    accept: Accept,
    resource: Resource,
    uri: Uri,
) -> Result<Response, Problem> {
    accept::json_or_problem(&accept)?;
    let query = query_of(Level::Series, &resource, &uri, &caller)?;
    let mut rows = app.db.of(caller.clinic).read().await?;
    let mut found = FoundSeries::search(&mut rows, caller.clinic, &query.search).await?;
    let seen = Seen::of(&mut rows, &caller, Level::Series, &query, &mut found).await?;
    let studies = found.iter().map(|series| series.study_id);
    let studies = studies_of(&mut rows, &caller, &query, studies, &base).await?;
    let mut results: Vec<Attributes> = found
        .iter()
        .map(|series| {
            let mut result = answer::series(series, &base);
            if let Some(study) = studies.get(&series.study_id) {
                result.add_above(study);
            }
            result
        })
        .collect();
    if !query.fields.is_empty() {
        let ids: Vec<Uuid> = found.iter().map(|series| series.series_id.0).collect();
        let wanted = wanted_samples(rows, &caller, Level::Series, &ids).await?;
        results =
            data_sets::added(&app.db.of(caller.clinic), caller.clinic, results, wanted, Some(&query.fields))
                .await?;
    }
    Ok(answered(&query, &seen, results))
}

/// `GET /dicom-web/instances`, `/dicom-web/studies/{study}/instances` and `…/series/{series}/instances`
pub(crate) async fn instances(
    State(app): State<App>,
    caller: Caller,
    base: BaseUrl,
    accept: Accept,
    resource: Resource,
    uri: Uri,
) -> Result<Response, Problem> {
    accept::json_or_problem(&accept)?;
    let query = query_of(Level::Instance, &resource, &uri, &caller)?;
    let mut rows = app.db.of(caller.clinic).read().await?;
    let mut found = FoundInstance::search(&mut rows, caller.clinic, &query.search).await?;
    let seen = Seen::of(&mut rows, &caller, Level::Instance, &query, &mut found).await?;
    let series = if query.wants_series {
        let ids: Vec<SeriesId> = distinct(found.iter().map(|instance| instance.series_id));
        let series = FoundSeries::of(&mut rows, caller.clinic, &ids).await?;
        series.into_iter().map(|series| (series.series_id, answer::series(&series, &base))).collect()
    } else {
        HashMap::new()
    };
    let studies = found.iter().map(|instance| instance.study_id);
    let studies = studies_of(&mut rows, &caller, &query, studies, &base).await?;
    drop(rows);
    let mut results: Vec<Attributes> = found
        .iter()
        .map(|instance| {
            let mut result = answer::instance(instance, &base);
            if let Some(series) = series.get(&instance.series_id) {
                result.add_above(series);
            }
            if let Some(study) = studies.get(&instance.study_id) {
                result.add_above(study);
            }
            result
        })
        .collect();
    if query.wants_all || !query.fields.is_empty() {
        let wanted: Vec<Wanted> = found
            .iter()
            .enumerate()
            .map(|(result, instance)| Wanted {
                result,
                instance_id: instance.instance_id,
                sha256: instance.sha256.clone(),
                url: answer::url_of(instance, &base),
            })
            .collect();
        let fields = (!query.wants_all).then_some(&query.fields);
        results = data_sets::added(&app.db.of(caller.clinic), caller.clinic, results, wanted, fields).await?;
    }
    Ok(answered(&query, &seen, results))
}

fn query_of(level: Level, resource: &Resource, uri: &Uri, caller: &Caller) -> Result<Query, Problem> {
    let mut query = Query::read(level, resource, uri)?;
    query.search.shown = caller.shown();
    Ok(query)
}

async fn studies_of(
    rows: &mut Conn,
    caller: &Caller,
    query: &Query,
    ids: impl Iterator<Item = StudyId>,
    base: &BaseUrl,
) -> Result<HashMap<StudyId, Attributes>, Problem> {
    if !query.wants_study {
        return Ok(HashMap::new());
    }
    let mut studies = FoundStudy::of(rows, caller.clinic, &distinct(ids)).await?;
    if query.wants_classes {
        FoundStudy::add_sop_classes(rows, caller.clinic, &mut studies).await?;
    }
    Ok(studies.into_iter().map(|study| (study.study_id, answer::study(&study, base))).collect())
}

/// One instance of each study or series, whose data set says what was asked for and is no column.
async fn wanted_samples(
    mut rows: Conn,
    caller: &Caller,
    level: Level,
    ids: &[Uuid],
) -> Result<Vec<Wanted>, Problem> {
    let mut samples = samples(&mut rows, caller.clinic, level, ids).await?;
    let wanted = ids.iter().enumerate().filter_map(|(result, id)| {
        let (instance_id, sha256) = samples.remove(id)?;
        Some(Wanted { result, instance_id, sha256, url: String::new() })
    });
    Ok(wanted.collect())
}

fn distinct<T: Ord>(ids: impl Iterator<Item = T>) -> Vec<T> {
    let mut ids: Vec<T> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// How much there is beyond what is shown.
struct Seen {
    is_cut: bool,
    total: Option<i64>,
}

impl Seen {
    /// Cuts what was `found` to what is shown; counts only what is not seen anyway.
    async fn of<T>(
        rows: &mut Conn,
        caller: &Caller,
        level: Level,
        query: &Query,
        found: &mut Vec<T>,
    ) -> Result<Self, Problem> {
        let is_cut = found.len() > query.shown;
        found.truncate(query.shown);
        let offset = query.search.offset;
        let total = if is_cut || found.is_empty() && offset > 0 {
            query.search.count(rows, caller.clinic, level).await?
        } else {
            Some(i64::from(offset) + i64::try_from(found.len()).unwrap_or(i64::MAX))
        };
        Ok(Self { is_cut, total })
    }
}

/// The results as a JSON array; none is `[]` with 200 (PS3.18, section 8.5.1), as dicomweb-client and OHIF read it.
fn answered(query: &Query, seen: &Seen, results: Vec<Attributes>) -> Response {
    let mut text = String::with_capacity(results.len() * 1_500 + 2);
    text.push('[');
    for (index, result) in results.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        result.write(&mut text);
    }
    text.push(']');
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(DICOM_JSON));
    if let Some(total) = seen.total {
        headers.insert(TOTAL_COUNT, HeaderValue::from(total));
    }
    let mut warn = |what: String| {
        if let Ok(value) = HeaderValue::from_str(&format!("299 medilink \"{what}\"")) {
            headers.append(header::WARNING, value);
        }
    };
    if seen.is_cut && query.is_capped {
        match seen.total {
            Some(total) => {
                let shown = i64::from(query.search.offset) + i64::try_from(query.shown).unwrap_or(i64::MAX);
                warn(format!("There are {} additional results that can be requested", total - shown));
            }
            None => warn("There are additional results that can be requested".to_owned()),
        }
    }
    if query.is_literal {
        let what = "The fuzzymatching parameter is not supported with wildcards within words. \
                    Only literal matching has been performed.";
        warn(what.to_owned());
    }
    if !query.unmatched.is_empty() {
        warn(format!("These attributes are not matched: {}", listed(&query.unmatched)));
    }
    response
}

fn listed(tags: &BTreeSet<Tag>) -> String {
    tags.iter().map(|tag| key_of(*tag)).collect::<Vec<_>>().join(", ")
}
