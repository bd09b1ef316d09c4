//! Which study, series or instance a path names.

use std::collections::HashMap;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use clinical::uid::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid, UidError};
use gate::{App, Caller, Problem};
use storage::records::instance::Instance;

use crate::base_url::BaseUrl;

/// The UIDs in a path, checked; 400 `invalid-uid` for what is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) study: Option<StudyInstanceUid>,
    pub(crate) series: Option<SeriesInstanceUid>,
    pub(crate) instance: Option<SopInstanceUid>,
}

impl<S: Send + Sync> FromRequestParts<S> for Resource {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<HashMap<String, String>>::from_request_parts(parts, state).await;
        let Path(named) = path.map_err(|_| Problem::not_found())?;
        Ok(Self {
            study: uid(&named, "study")?,
            series: uid(&named, "series")?,
            instance: uid(&named, "instance")?,
        })
    }
}

/// The UID under the name `level`, checked; 400 `invalid-uid`.
pub(crate) fn uid<T: FromStr<Err = UidError>>(
    named: &HashMap<String, String>,
    level: &str,
) -> Result<Option<T>, Problem> {
    let Some(text) = named.get(level) else { return Ok(None) };
    let invalid = |error| Problem::bad_request("invalid-uid", format!("the UID of the {level}: {error}"));
    text.parse().map(Some).map_err(invalid)
}

impl Resource {
    /// The instances that it names, in the order of their series and numbers.
    ///
    /// # Errors
    ///
    /// 404 `not-found` where there are none.
    pub(crate) async fn instances(&self, app: &App, caller: &Caller) -> Result<Vec<Instance>, Problem> {
        let Some(study) = &self.study else { return Err(Problem::not_found()) };
        let mut rows = app.db.of(caller.clinic).read().await?;
        let found =
            Instance::of(&mut rows, caller.clinic, study, self.series.as_ref(), self.instance.as_ref())
                .await?;
        let Some(first) = found.first() else { return Err(Problem::not_found()) };
        caller.sees(&mut rows, first.patient_id).await?;
        caller.about_record(first.study_id);
        Ok(found)
    }

    /// The one instance that it names.
    ///
    /// # Errors
    ///
    /// 404 `not-found` where there is none.
    pub(crate) async fn one(&self, app: &App, caller: &Caller) -> Result<Instance, Problem> {
        self.instances(app, caller).await?.into_iter().next().ok_or_else(Problem::not_found)
    }
}

/// The URL of an instance.
pub(crate) fn url_of(instance: &Instance, base: &BaseUrl) -> String {
    let Instance { study_uid, series_uid, sop_uid, .. } = instance;
    format!("{}/studies/{study_uid}/series/{series_uid}/instances/{sop_uid}", base.0)
}
