//! People of a clinic tell others something: one, many, everybody of a role.

use std::collections::BTreeMap;

use axum::extract::State;
use clinical::id::{NotificationId, UserId};
use clinical::notice::{Notice, NoticeCategory, NoticeUrgency};
use clinical::role::Role;
use gate::{Caller, Json, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::db::Tx;
use storage::live::{self, Said, To};
use utoipa::ToSchema;

use crate::channel::Channel;
use crate::state::NotificationsState;

/// Most notifications of one bulk.
const BULK: usize = 500;
/// Most people of one notification.
const PEOPLE: usize = 10_000;
const KEY_CHARACTERS: usize = 200;

/// A request with the members that every notification has, behind its own.
macro_rules! notification {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Deserialize, ToSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub(crate) struct $name {
            $($(#[$field_doc])* $field: $type,)*
            /// What it is about.
            #[serde(default = "system")]
            category: NoticeCategory,
            /// How soon it should be heard.
            #[serde(default)]
            urgency: NoticeUrgency,
            /// One line.
            #[schema(min_length = 1, max_length = 200)]
            title: String,
            /// The text.
            #[serde(alias = "message")]
            #[schema(min_length = 1, max_length = 4000)]
            body: String,
            /// What programs need beside it; never anything of a person.
            #[serde(default)]
            data: BTreeMap<String, String>,
            /// Where it leads to, within the application: `/studies/…`.
            #[serde(alias = "actionUrl")]
            #[schema(max_length = 2000)]
            link: Option<String>,
            /// By which channels beside the list; without it those of its category and of the person's own wishes.
            channels: Option<Vec<Channel>>,
            /// Who has a notification with this key in the clinic gets no other.
            #[schema(min_length = 1, max_length = 200)]
            dedupe_key: Option<String>,
        }

        impl $name {
            /// What is told, and the key under which it is told once.
            fn content(self) -> Result<(Notice, Option<String>), Problem> {
                let notice = Notice {
                    category: self.category,
                    urgency: self.urgency,
                    title: self.title.trim().to_owned(),
                    body: self.body,
                    data: self.data,
                    link: self.link,
                    template: None,
                    channels: self.channels.map(names),
                };
                checked(notice, self.dedupe_key)
            }
        }
    };
}

notification! {
    /// A notification to people.
    NewNotification {
        /// The person.
        user_id: Option<UserId>,
        /// Or several: all of them get the same.
        #[serde(default)]
        #[schema(max_items = 10000)]
        user_ids: Vec<UserId>,
    }
}

notification! {
    /// A notification to everybody of a role.
    Broadcast {
        /// The role; without it everybody of the clinic.
        role: Option<Role>,
    }
}

/// The names of channels; the list needs none.
fn names(channels: Vec<Channel>) -> Vec<String> {
    let others = channels.into_iter().filter(|channel| *channel != Channel::InApp);
    others.map(|channel| channel.name().to_owned()).collect()
}

fn checked(notice: Notice, key: Option<String>) -> Result<(Notice, Option<String>), Problem> {
    let invalid = |fault| Problem::invalid("invalid-notification", vec![fault]);
    notice.check().map_err(invalid)?;
    if let Some(key) = &key {
        clinical::invalid::line("dedupeKey", key, KEY_CHARACTERS).map_err(invalid)?;
    }
    // A caller's key must not stand in the way of one of the program's own.
    Ok((notice, key.map(|key| format!("c:{key}"))))
}

fn system() -> NoticeCategory {
    NoticeCategory::System
}

/// Notifications, each to people of its own.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bulk {
    /// At most 500.
    #[schema(min_items = 1, max_items = 500)]
    notifications: Vec<NewNotification>,
}

/// What was told.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SentView {
    /// The notification; `null` where nobody was left to be told.
    id: Option<NotificationId>,
    /// How many people got it.
    recipients: usize,
    /// Those who were named and are no members, or had one with this key.
    left_out: Vec<UserId>,
}

impl SentView {
    fn of(named: &[UserId], said: Option<Said>) -> Self {
        let Some(said) = said else { return Self { id: None, recipients: 0, left_out: named.to_vec() } };
        let told: std::collections::HashSet<UserId> = said.people.iter().copied().collect();
        let left_out = named.iter().copied().filter(|user| !told.contains(user)).collect();
        Self { id: Some(said.notification_id), recipients: told.len(), left_out }
    }
}

impl NewNotification {
    fn check(mut self) -> Result<(Vec<UserId>, Notice, Option<String>), Problem> {
        let mut people = std::mem::take(&mut self.user_ids);
        people.extend(self.user_id);
        people.sort_unstable();
        people.dedup();
        if people.is_empty() || people.len() > PEOPLE {
            let detail = "name the person in userId, or up to 10,000 people in userIds";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-recipients", detail));
        }
        let (notice, key) = self.content()?;
        Ok((people, notice, key))
    }
}

async fn tell(
    state: &NotificationsState,
    caller: &Caller,
    tx: &mut Tx,
    people: &[UserId],
    notice: &Notice,
    key: Option<&str>,
) -> Result<SentView, Problem> {
    let now = state.app.clock.now();
    let said = live::notify(tx, caller.clinic, To::People(people), notice, key, now).await?;
    Ok(SentView::of(people, said))
}

/// `POST /api/v1/notifications`
pub(crate) async fn create(
    State(state): State<NotificationsState>,
    caller: Caller,
    Json(request): Json<NewNotification>,
) -> Result<(StatusCode, Json<SentView>), Problem> {
    let (people, notice, key) = request.check()?;
    let mut tx = state.app.db.of(caller.clinic).begin().await?;
    let sent = tell(&state, &caller, &mut tx, &people, &notice, key.as_deref()).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(sent)))
}

/// `POST /api/v1/notifications/bulk`: all of them or none.
pub(crate) async fn create_bulk(
    State(state): State<NotificationsState>,
    caller: Caller,
    Json(request): Json<Bulk>,
) -> Result<(StatusCode, Json<Vec<SentView>>), Problem> {
    let count = request.notifications.len();
    let people: usize = request.notifications.iter().map(|it| it.user_ids.len() + 1).sum();
    if count == 0 || count > BULK || people > 2 * PEOPLE {
        let detail = "a bulk has 1 to 500 notifications to at most 20,000 people";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-recipients", detail));
    }
    let checked: Vec<_> =
        request.notifications.into_iter().map(NewNotification::check).collect::<Result<_, _>>()?;
    let mut tx = state.app.db.of(caller.clinic).begin().await?;
    let mut sent = Vec::with_capacity(count);
    for (people, notice, key) in &checked {
        sent.push(tell(&state, &caller, &mut tx, people, notice, key.as_deref()).await?);
    }
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(sent)))
}

/// `POST /api/v1/notifications/broadcast`
pub(crate) async fn broadcast(
    State(state): State<NotificationsState>,
    caller: Caller,
    Json(request): Json<Broadcast>,
) -> Result<(StatusCode, Json<SentView>), Problem> {
    let to = request.role.map_or(To::Everybody, To::Role);
    let (notice, key) = request.content()?;
    let mut tx = state.app.db.of(caller.clinic).begin().await?;
    let now = state.app.clock.now();
    let said = live::notify(&mut tx, caller.clinic, to, &notice, key.as_deref(), now).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(SentView::of(&[], said))))
}
