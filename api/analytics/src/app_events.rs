//! What people do in the clinic's apps, as the apps tell it: words for things that are done, and how often.

use std::collections::BTreeMap;

use axum::extract::State;
use clinical::event::Event;
use gate::{App, Caller, Json, Problem, Who};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::outbox;
use utoipa::ToSchema;

use crate::counts;

/// So many are told at a time.
const EVENTS: usize = 100;
/// The longest word, in characters.
const NAME_CHARACTERS: usize = 60;
/// A clinic's apps have so many words; whatever else they tell is counted as one.
const KINDS: usize = 200;
/// The word for it.
const OTHER: &str = "other";

/// What was done in an app since it told of it last.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppEventsRequest {
    /// At most 100.
    #[schema(min_items = 1, max_items = 100)]
    events: Vec<AppEvent>,
}

/// Something that was done in an app.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppEvent {
    /// What, in the app's own word, as `screen.opened`: never a person's name or anything of their health.
    #[schema(pattern = "^[a-z][a-z0-9._-]{0,59}$")]
    name: String,
}

/// How much of what an app told is kept.
#[derive(Debug, Serialize, ToSchema)]
pub struct AppEventsView {
    /// So many events are counted.
    pub taken: usize,
}

fn is_word(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    name.len() <= NAME_CHARACTERS
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(is_plain)
}

/// `POST /api/mobile/events`
pub(crate) async fn track(
    State(app): State<App>,
    caller: Caller,
    Json(AppEventsRequest { events }): Json<AppEventsRequest>,
) -> Result<(StatusCode, Json<AppEventsView>), Problem> {
    let Who::User { user_id, .. } = caller.who else {
        let detail = "only people who signed in use apps";
        return Err(Problem::new(StatusCode::FORBIDDEN, "people-only", detail));
    };
    if !(1..=EVENTS).contains(&events.len()) || !events.iter().all(|event| is_word(&event.name)) {
        let detail =
            "events are 1 to 100, each with a name of a-z, 0-9, dot, dash and underscore, 60 at most";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-events", detail));
    }
    let db = app.db.of(caller.clinic);
    let known = counts::ever(&mut db.read().await?, caller.clinic, &["app_events"]).await?;
    let is_full = known.kinds("app_events").count() >= KINDS;
    let is_known = |name: &str| known.kinds("app_events").any(|(kind, _)| kind == name);
    let mut times = BTreeMap::<&str, i64>::new();
    for AppEvent { name } in &events {
        let name = if is_full && !is_known(name) { OTHER } else { name };
        *times.entry(name).or_default() += 1;
    }
    let mut tx = db.begin().await?;
    for (what, times) in times {
        let event = Event::AppUsed { user_id, what: what.to_owned(), times };
        outbox::tell(&mut tx, caller.clinic, &event, app.clock.now()).await?;
    }
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(AppEventsView { taken: events.len() })))
}
