//! Taking the trail away, in flat memory however long it is.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use clinical::fhir::audit_event;
use clinical::id::{AuditId, ClinicId};
use futures::stream::{self, StreamExt};
use gate::{App, Caller, Problem, Query};
use http::header;
use serde::Deserialize;
use storage::audit::{Filter, Recorded, search};
use storage::db::Result;
use utoipa::{IntoParams, ToSchema};

use crate::{AuditView, filter};

/// Lines of one page.
const PAGE: i64 = 500;

/// How the lines are written.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct Asked {
    /// As the list shows them, or as FHIR R4 `AuditEvent`.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    #[default]
    Json,
    Fhir,
}

impl Format {
    fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-ndjson",
            Self::Fhir => "application/fhir+ndjson",
        }
    }

    fn line(self, line: Recorded) -> String {
        match self {
            Self::Json => serde_json::json!(AuditView::from(line)).to_string() + "\n",
            Self::Fhir => audit_event(line.audit_id, &line.entry).to_string() + "\n",
        }
    }
}

/// `GET /api/v1/audit/export?format=fhir&from=…`: newest first, what is there when it begins.
pub(crate) async fn export(
    State(app): State<App>,
    caller: Caller,
    Query(asked): Query<filter::Asked>,
    Query(Asked { format }): Query<Asked>,
) -> Result<Response, Problem> {
    let mut lines = Lines { app, clinic: caller.clinic, filter: asked.check()?, format, next: Next::First };
    // The first page before the answer's status, so that a failure has one.
    let first = lines.page().await?;
    let rest = stream::try_unfold(lines, |mut lines| async {
        Ok::<_, storage::db::DbError>(lines.page().await?.map(|page| (page, lines)))
    });
    let body = Body::from_stream(stream::iter(first.map(Ok)).chain(rest));
    Ok(([(header::CONTENT_TYPE, format.media_type())], body).into_response())
}

struct Lines {
    app: App,
    clinic: ClinicId,
    filter: Filter,
    format: Format,
    next: Next,
}

#[derive(Clone, Copy)]
enum Next {
    First,
    After(AuditId),
    Nothing,
}

impl Lines {
    /// The next page's text; a slow reader holds no connection to the database.
    async fn page(&mut self) -> Result<Option<Bytes>> {
        let after = match self.next {
            Next::First => None,
            Next::After(last) => Some(last),
            Next::Nothing => return Ok(None),
        };
        let mut rows = self.app.db.of(self.clinic).read().await?;
        let found = search(&mut rows, self.clinic, &self.filter, after, PAGE).await?;
        self.next = match found.last() {
            Some(last) if found.len() as i64 == PAGE => Next::After(last.audit_id),
            _ => Next::Nothing,
        };
        let text: String = found.into_iter().map(|line| self.format.line(line)).collect();
        Ok(Some(Bytes::from(text)))
    }
}
