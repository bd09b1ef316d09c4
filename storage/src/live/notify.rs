//! Word to people by every channel: how any house tells them something.

use chrono::{DateTime, Utc};
use clinical::id::ClinicId;
use clinical::job::{Job, Priority};
use clinical::notice::{Notice, NoticeUrgency};
use serde_json::json;

use super::{Listing, NewMessage, Said, To, say};
use crate::db::{Result, Tx};
use crate::queue;

/// Tells people: at once over the socket, in their lists, and then by the channels that they want it by.
///
/// A second notice with the same `dedupe_key` reaches only those who have none with it. `None` where nobody is left to
/// be told. The notice has been held to [`Notice::check`].
pub async fn notify(
    db: &mut Tx,
    clinic: ClinicId,
    to: To<'_>,
    notice: &Notice,
    dedupe_key: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Option<Said>> {
    let (kind, body) = (notice.category.message_type(), json!(notice));
    let new = NewMessage { kind, body: &body, listing: Listing::Listed, dedupe_key };
    let Some(said) = say(db, clinic, to, &new, now).await? else { return Ok(None) };
    if notice.channels.as_ref().is_none_or(|channels| !channels.is_empty()) {
        let job = Job::PlanNotice { notification_id: said.notification_id };
        queue::ask(db, clinic, &job, priority(notice.urgency), now, now).await?;
    }
    Ok(Some(said))
}

/// How soon its deliveries are brought.
pub fn priority(urgency: NoticeUrgency) -> Priority {
    match urgency {
        NoticeUrgency::Low => Priority::Spare,
        NoticeUrgency::Normal => Priority::Routine,
        NoticeUrgency::High => Priority::Urgent,
        NoticeUrgency::Critical => Priority::Stat,
    }
}
