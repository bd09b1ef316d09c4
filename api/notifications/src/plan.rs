//! By which channels the people of a message hear of it: decided once, person by person.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use clinical::clock::Clock;
use clinical::id::{ClinicId, NotificationId, UserId};
use clinical::job::Job;
use clinical::notice::{Notice, NoticeCategory};
use storage::db::{Db, DbError, Tx};
use storage::live::{self, inbox};
use storage::queue::{self, Claimed};
use storage::records::clinic::Clinic;
use uuid::Uuid;

use crate::channel::Channel;
use crate::delivery::{Delivery, DeliveryState};
use crate::preferences::{self, Preferences};
use crate::targets::Target;

/// So many people are planned for in one transaction.
const PEOPLE: i64 = 100;

/// Plans deliveries; cheap to clone.
#[derive(Clone)]
pub(crate) struct Planner {
    pub db: Db,
    pub clock: Arc<dyn Clock>,
}

/// By which channels a category is heard of where nobody says otherwise.
///
/// Source: the clinic applications that were there first (appointments by e-mail, push and WhatsApp); no short
/// messages, which cost money, but in an emergency.
fn usual(category: NoticeCategory) -> &'static [Channel] {
    match category {
        NoticeCategory::Emergency => &[Channel::Push, Channel::Sms, Channel::Email],
        NoticeCategory::Appointment => &[Channel::Push, Channel::Email, Channel::Whatsapp],
        NoticeCategory::Clinical => &[Channel::Push, Channel::Email],
        NoticeCategory::Billing | NoticeCategory::System => &[Channel::Email],
        NoticeCategory::Message | NoticeCategory::Call | NoticeCategory::Worksheet => &[Channel::Push],
    }
}

/// A clinic's zone; UTC where it names none that is known.
pub(crate) fn zone_of(clinic: &Clinic) -> Tz {
    clinic.time_zone.parse().unwrap_or(Tz::UTC)
}

impl Planner {
    /// Plans the deliveries of a message. Run twice, or again after a crash in the middle, it plans the same.
    pub async fn run(&self, claimed: &Claimed, id: NotificationId) -> Result<(), DbError> {
        let clinic_id = claimed.clinic_id;
        let mut read = self.db.read().await?;
        let said = match inbox::said(&mut read, clinic_id, id).await {
            Ok((_, body)) => serde_json::from_value::<Notice>(body).ok(),
            Err(DbError::NotFound) => None,
            Err(error) => return Err(error),
        };
        let zone = zone_of(&Clinic::find(&mut read, clinic_id).await?);
        drop(read);
        let Some(notice) = said else { return self.finish(claimed).await };
        let mut after = UserId(Uuid::nil());
        loop {
            let mut tx = self.db.begin().await?;
            let people = inbox::people(&mut tx, clinic_id, id, after, PEOPLE).await?;
            let Some(last) = people.last() else { break };
            after = *last;
            self.plan(&mut tx, clinic_id, id, &notice, &people, zone).await?;
            tx.commit().await?;
            if (people.len() as i64) < PEOPLE {
                break;
            }
        }
        self.finish(claimed).await
    }

    async fn finish(&self, claimed: &Claimed) -> Result<(), DbError> {
        let mut tx = self.db.begin().await?;
        queue::finish(&mut tx, claimed).await?;
        tx.commit().await
    }

    async fn plan(
        &self,
        tx: &mut Tx,
        clinic: ClinicId,
        id: NotificationId,
        notice: &Notice,
        people: &[UserId],
        zone: Tz,
    ) -> Result<(), DbError> {
        let now = self.clock.now();
        let all = preferences::of_all(tx, people).await?;
        let targets = Target::of_all(tx, clinic, people).await?;
        let nothing_said = Preferences::default();
        for user in people {
            let wishes = all.get(user).unwrap_or(&nothing_said);
            for channel in channels(notice, wishes) {
                let new = |target| Delivery::new(clinic, id, *user, channel, target, now);
                let ways: Vec<Delivery> = match channel {
                    Channel::InApp => Vec::new(),
                    Channel::Push => {
                        let own = targets.iter().filter(|target| target.user() == *user);
                        own.map(|target| new(Some(target.id()))).collect()
                    }
                    Channel::Sms | Channel::Whatsapp if wishes.phone.is_none() => Vec::new(),
                    Channel::Email | Channel::Sms | Channel::Whatsapp => vec![new(None)],
                };
                for way in ways {
                    ask(tx, way, notice, wishes, zone, now).await?;
                }
            }
        }
        Ok(())
    }
}

/// The channels by which a person hears of a notice.
fn channels(notice: &Notice, wishes: &Preferences) -> Vec<Channel> {
    let named: Vec<Channel> = match &notice.channels {
        Some(names) => names.iter().filter_map(|name| Channel::named(name)).collect(),
        None => usual(notice.category).to_vec(),
    };
    let all = Channel::ALL.into_iter().filter(|channel| *channel != Channel::InApp);
    // A person's own word adds a channel only where the sender has named none.
    let may_be_added = notice.channels.is_none();
    all.filter(|channel| {
        let usually = named.contains(channel);
        (usually || may_be_added) && wishes.wants(*channel, notice.category, usually)
    })
    .collect()
}

/// Writes a delivery and asks for the work that brings it, in its time.
async fn ask(
    tx: &mut Tx,
    mut way: Delivery,
    notice: &Notice,
    wishes: &Preferences,
    zone: Tz,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let gathered = wishes.gathered_until(notice.urgency, now, zone).filter(|_| way.channel == Channel::Email);
    let job = match gathered {
        Some(until) => {
            way.state = DeliveryState::Digest;
            way.next_at = until;
            Job::SendDigest { user_id: way.user_id }
        }
        None => {
            way.next_at = wishes.not_before(notice.urgency, now, zone);
            way.job()
        }
    };
    if way.plan(tx).await? {
        queue::ask(tx, way.clinic_id, &job, live::priority(notice.urgency), way.next_at, now).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clinical::notice::NoticeUrgency;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_person_hears_by_the_usual_channels_by_those_named_or_by_their_own_word() {
        let notice = Notice::new(NoticeCategory::Billing, NoticeUrgency::Normal, "t", "b");
        let nothing = Preferences::default();
        assert_eq!(channels(&notice, &nothing), [Channel::Email]);
        let by_sms = Notice { channels: Some(vec!["sms".into(), "push".into()]), ..notice.clone() };
        assert_eq!(channels(&by_sms, &nothing), [Channel::Push, Channel::Sms]);
        let wishes: Preferences = serde_json::from_value(json!({
            "channels": {"push": false},
            "categories": {"billing": {"whatsapp": true, "email": false}},
        }))
        .unwrap();
        assert_eq!(channels(&notice, &wishes), [Channel::Whatsapp], "their own word");
        assert_eq!(channels(&by_sms, &wishes), [Channel::Sms], "a switched-off channel stays off");
    }
}
