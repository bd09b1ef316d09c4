//! What has happened.

use axum::extract::State;
use clinical::event::{Category, Event};
use clinical::id::EventId;
use gate::{App, Caller, Cursor, Paged, Problem, Query};
use serde::Deserialize;
use storage::outbox;
use utoipa::IntoParams;

use crate::EventView;

/// Which events are asked for.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct Filter {
    /// Of this category alone.
    category: Option<Category>,
    /// Of this name alone.
    #[serde(rename = "type")]
    #[param(rename = "type")]
    name: Option<String>,
}

impl Filter {
    /// The names that are meant; `None` means every one, those of newer programs too.
    fn names(self) -> Option<Vec<&'static str>> {
        if self.category.is_none() && self.name.is_none() {
            return None;
        }
        let mut names = self.category.map_or_else(|| Event::NAMES.to_vec(), Category::events);
        if let Some(wanted) = self.name {
            names.retain(|name| *name == wanted);
        }
        Some(names)
    }
}

/// `GET /api/v1/events?category=EHR_RECORD&type=findings_ready`: newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
    Query(filter): Query<Filter>,
) -> Result<Paged<EventView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let names = filter.names();
    let before = page.after.map(EventId);
    let told = outbox::list(&mut rows, caller.clinic, names.as_deref(), before, page.rows()).await?;
    Ok(page.of_rows(told, |told| told.event_id.0).map(EventView::from))
}
