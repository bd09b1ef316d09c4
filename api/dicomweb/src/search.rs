//! `GET /studies`, `/series`, `/instances` and below them: QIDO-RS (PS3.18, section 10.6).

mod answer;
mod keys;
mod query;

use std::collections::HashMap;

use axum::extract::State;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use clinical::id::{SeriesId, StudyId};
use gate::{App, Caller, Problem};
use serde_json::Value;
use storage::db::Conn;
use storage::records::search::{FoundInstance, FoundSeries, FoundStudy};

use self::keys::Level;
use self::query::Query;
use crate::accept::{self, Accept};
use crate::base_url::BaseUrl;
use crate::dicom_json::DICOM_JSON;
use crate::resource::Resource;

/// `GET /dicom-web/studies`
pub(crate) async fn studies(
    State(app): State<App>,
    caller: Caller,
    base: BaseUrl,
    accept: Accept,
    uri: Uri,
) -> Result<Response, Problem> {
    accept::json_or_problem(&accept)?;
    let mut query = Query::read(Level::Study, &Resource::default(), &uri)?;
    query.search.shown = caller.shown();
    let mut rows = app.db.of(caller.clinic).read().await?;
    let found = FoundStudy::search(&mut rows, caller.clinic, &query.search).await?;
    Ok(answered(&query, found, |study| answer::study(study, &base)))
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
    let mut query = Query::read(Level::Series, &resource, &uri)?;
    query.search.shown = caller.shown();
    let mut rows = app.db.of(caller.clinic).read().await?;
    let found = FoundSeries::search(&mut rows, caller.clinic, &query.search).await?;
    let studies = if query.wants_study {
        studies_of(&mut rows, &caller, found.iter().map(|series| series.study_id)).await?
    } else {
        HashMap::new()
    };
    Ok(answered(&query, found, |series| {
        let mut value = answer::series(series, &base);
        if let Some(study) = studies.get(&series.study_id) {
            answer::add_above(&mut value, answer::study(study, &base));
        }
        value
    }))
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
    let mut query = Query::read(Level::Instance, &resource, &uri)?;
    query.search.shown = caller.shown();
    let mut rows = app.db.of(caller.clinic).read().await?;
    let found = FoundInstance::search(&mut rows, caller.clinic, &query.search).await?;
    let series = if query.wants_series {
        let ids: Vec<SeriesId> = distinct(found.iter().map(|instance| instance.series_id));
        let series = FoundSeries::of(&mut rows, caller.clinic, &ids).await?;
        series.into_iter().map(|series| (series.series_id, series)).collect()
    } else {
        HashMap::new()
    };
    let studies = if query.wants_study {
        studies_of(&mut rows, &caller, found.iter().map(|instance| instance.study_id)).await?
    } else {
        HashMap::new()
    };
    Ok(answered(&query, found, |instance| {
        let mut value = answer::instance(instance, &base);
        if let Some(series) = series.get(&instance.series_id) {
            answer::add_above(&mut value, answer::series(series, &base));
        }
        if let Some(study) = studies.get(&instance.study_id) {
            answer::add_above(&mut value, answer::study(study, &base));
        }
        value
    }))
}

async fn studies_of(
    rows: &mut Conn,
    caller: &Caller,
    ids: impl Iterator<Item = StudyId>,
) -> Result<HashMap<StudyId, FoundStudy>, Problem> {
    let studies = FoundStudy::of(rows, caller.clinic, &distinct(ids)).await?;
    Ok(studies.into_iter().map(|study| (study.study_id, study)).collect())
}

fn distinct<T: Ord>(ids: impl Iterator<Item = T>) -> Vec<T> {
    let mut ids: Vec<T> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The results as a JSON array; none is `[]` with 200 (PS3.18, section 8.5.1), as dicomweb-client and OHIF read it.
fn answered<T>(query: &Query, mut found: Vec<T>, to_json: impl Fn(&T) -> Value) -> Response {
    let is_cut = found.len() > query.shown;
    found.truncate(query.shown);
    let results: Vec<Value> = found.iter().map(to_json).collect();
    let mut response = Value::Array(results).to_string().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(DICOM_JSON));
    if is_cut && query.is_capped {
        let warning = "299 medilink \"There are additional results that can be requested\"";
        headers.append(header::WARNING, HeaderValue::from_static(warning));
    }
    if query.is_fuzzy {
        let warning = "299 medilink \"The fuzzymatching parameter is not supported. \
                       Only literal matching has been performed.\"";
        headers.append(header::WARNING, HeaderValue::from_static(warning));
    }
    response
}
