//! Word to people by every channel: how any house tells them something.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, UserId};
use clinical::job::{Job, Priority};
use clinical::notice::{Notice, NoticeUrgency};
use clinical::role::Role;
use serde_json::json;
use uuid::Uuid;

use super::{Listing, NewMessage, Said, To, say};
use crate::db::{Conn, Result, Tx, sql};
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

/// Those with the role who have nothing with this `dedupe_key`.
pub async fn not_told(db: &mut Conn, clinic: ClinicId, role: Role, dedupe_key: &str) -> Result<Vec<UserId>> {
    let find = "SELECT m.user_id FROM memberships m WHERE m.clinic_id = $1 AND m.role = $2 AND NOT EXISTS
                   (SELECT 1 FROM live_recipients r
                     WHERE r.clinic_id = m.clinic_id AND r.user_id = m.user_id AND r.dedupe_key = $3)";
    let found: Vec<Uuid> = sql(find).bind(clinic).bind(role.as_str()).bind(dedupe_key).fetch_all(db).await?;
    Ok(found.into_iter().map(UserId).collect())
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
