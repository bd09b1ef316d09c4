//! How a person wants to be told: by which channels of what, in which hours, in which language.

use std::collections::BTreeMap;

use axum::extract::State;
use chrono::{DateTime, Days, NaiveTime, Utc};
use chrono_tz::Tz;
use clinical::id::UserId;
use clinical::notice::{NoticeCategory, NoticeUrgency};
use gate::{Caller, Json, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use storage::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::channel::{Channel, PhoneNumber};
use crate::quiet::{QuietHours, shows};
use crate::state::{NotificationsState, inbox_of};

/// How a person wants to be told; what is left out is as it is without preferences.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Preferences {
    /// Whether a channel is used at all, by its name: `email`, `push`, `sms`, `whatsapp`. The list is always there.
    pub channels: BTreeMap<Channel, bool>,
    /// By which channels a category is heard of, where it is not by its usual ones.
    pub categories: BTreeMap<NoticeCategory, BTreeMap<Channel, bool>>,
    /// When nothing is to come but what is critical.
    pub quiet_hours: Option<QuietHoursView>,
    /// Whose clock counts, as `Africa/Nairobi`; without it the clinic's.
    pub time_zone: Option<String>,
    /// Whether e-mails are gathered.
    pub digest: Digest,
    /// When they come, `HH:MM`; without it at eight in the morning.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    pub digest_at: Option<String>,
    /// The language, as `de` or `fr-CH`; without it the clinic's.
    #[schema(max_length = 35)]
    pub locale: Option<String>,
    /// The telephone for short messages and WhatsApp, as `+254201234567`.
    pub phone: Option<String>,
}

/// From when to when, `HH:MM`, across midnight where the end is the earlier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuietHoursView {
    /// The first quiet minute.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    start: String,
    /// The first that is quiet no more.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    end: String,
}

/// Whether e-mails that can wait are gathered into one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Digest {
    /// Each comes by itself.
    #[default]
    Off,
    /// At the next full hour.
    Hourly,
    /// Once a day.
    Daily,
}

fn invalid(detail: &str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-preferences", detail)
}

/// A time of the day, `HH:MM`.
fn time(text: &str) -> Option<NaiveTime> {
    let is_short = text.len() == 5;
    NaiveTime::parse_from_str(text, "%H:%M").ok().filter(|_| is_short)
}

impl Preferences {
    fn check(mut self) -> Result<Self, Problem> {
        if let Some(quiet) = &self.quiet_hours {
            let times = [time(&quiet.start), time(&quiet.end)];
            let [Some(start), Some(end)] = times else { return Err(invalid("quietHours are written HH:MM")) };
            if start == end {
                return Err(invalid(
                    "quietHours begin and end at different times; a channel is switched off in channels",
                ));
            }
        }
        if self.digest_at.as_deref().is_some_and(|text| time(text).is_none()) {
            return Err(invalid("digestAt is written HH:MM"));
        }
        if self.time_zone.as_deref().is_some_and(|zone| zone.parse::<Tz>().is_err()) {
            return Err(invalid("timeZone is the name of a zone, as Africa/Nairobi (IANA)"));
        }
        if self.locale.as_deref().is_some_and(|locale| !is_locale(locale)) {
            return Err(invalid("locale is a language, as de or fr-CH (BCP 47)"));
        }
        if let Some(phone) = &self.phone {
            let phone: PhoneNumber =
                phone.parse().map_err(|_| invalid("phone is written as +254201234567"))?;
            self.phone = Some(phone.as_str().to_owned());
        }
        Ok(self)
    }

    /// The zone whose clock counts.
    pub(crate) fn zone(&self, clinic: Tz) -> Tz {
        self.time_zone.as_deref().and_then(|zone| zone.parse().ok()).unwrap_or(clinic)
    }

    /// Whether the person wants to hear of `category` by `channel`; `usually` is what holds without a word of theirs.
    pub(crate) fn wants(&self, channel: Channel, category: NoticeCategory, usually: bool) -> bool {
        if channel == Channel::InApp {
            return true;
        }
        let of_category = self.categories.get(&category).and_then(|channels| channels.get(&channel));
        // A channel that is switched off stays off, whatever a category says.
        self.channels.get(&channel).copied().unwrap_or(true) && of_category.copied().unwrap_or(usually)
    }

    /// When a notice of this urgency may come at the earliest.
    pub(crate) fn not_before(&self, urgency: NoticeUrgency, now: DateTime<Utc>, clinic: Tz) -> DateTime<Utc> {
        let Some(quiet) = &self.quiet_hours else { return now };
        let times = (time(&quiet.start), time(&quiet.end));
        let (NoticeUrgency::Low | NoticeUrgency::Normal | NoticeUrgency::High, (Some(start), Some(end))) =
            (urgency, times)
        else {
            return now;
        };
        QuietHours { start, end, zone: self.zone(clinic) }.end_of(now)
    }

    /// When an e-mail of this urgency is gathered, and until when; `None` where it comes by itself.
    pub(crate) fn gathered_until(
        &self,
        urgency: NoticeUrgency,
        now: DateTime<Utc>,
        clinic: Tz,
    ) -> Option<DateTime<Utc>> {
        if urgency >= NoticeUrgency::High {
            return None;
        }
        match self.digest {
            Digest::Off => None,
            Digest::Hourly => {
                let next = (now.timestamp() / 3_600 + 1) * 3_600;
                DateTime::from_timestamp(next, 0)
            }
            Digest::Daily => {
                let zone = self.zone(clinic);
                let at =
                    self.digest_at.as_deref().and_then(time).unwrap_or(NaiveTime::from_hms_opt(8, 0, 0)?);
                let today = now.with_timezone(&zone).date_naive();
                let days = (0..3).filter_map(|days| today.checked_add_days(Days::new(days)));
                days.flat_map(|day| shows(zone, day, at)).find(|then| *then > now)
            }
        }
    }
}

/// Whether a text is a language tag, as far as its shape tells (RFC 5646, section 2.1).
pub(crate) fn is_locale(text: &str) -> bool {
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or_default();
    (2..=8).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphabetic())
        && text.len() <= 35
        && parts.all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

impl FromRow for Preferences {
    fn from_row(row: &Row) -> Result<Self> {
        let body: serde_json::Value = row.get("body")?;
        serde_json::from_value(body).map_err(|_| DbError::Corrupt("notification_preferences.body".to_owned()))
    }
}

struct Of(UserId, Preferences);

impl FromRow for Of {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self(row.id("user_id")?, Preferences::from_row(row)?))
    }
}

/// How a person wants to be told.
pub(crate) async fn of(db: &mut Conn, user: UserId) -> Result<Preferences> {
    let find = sql("SELECT body FROM notification_preferences WHERE user_id = $1").bind(user);
    Ok(find.fetch_optional(db).await?.unwrap_or_default())
}

/// How these people want to be told; who has said nothing is left out.
pub(crate) async fn of_all(db: &mut Conn, people: &[UserId]) -> Result<BTreeMap<UserId, Preferences>> {
    if people.is_empty() {
        return Ok(BTreeMap::new());
    }
    let places: Vec<_> = (1..=people.len()).map(|number| format!("${number}")).collect();
    let text = format!(
        "SELECT user_id, body FROM notification_preferences WHERE user_id IN ({})",
        places.join(", ")
    );
    let statement = people.iter().fold(built_sql(text), |statement, user| statement.bind(*user));
    let found: Vec<Of> = statement.fetch_all(db).await?;
    Ok(found.into_iter().map(|Of(user, preferences)| (user, preferences)).collect())
}

async fn keep(db: &mut Tx, user: UserId, preferences: &Preferences, now: DateTime<Utc>) -> Result<()> {
    let upsert = "INSERT INTO notification_preferences (user_id, body, changed_at) VALUES ($1, $2, $3)
                  ON CONFLICT (user_id) DO UPDATE SET body = excluded.body, changed_at = excluded.changed_at";
    sql(upsert).bind(user).bind(json!(preferences)).bind(now).execute(db).await.map(|_| ())
}

/// `GET /api/v1/notifications/preferences`
pub(crate) async fn show(
    State(state): State<NotificationsState>,
    caller: Caller,
) -> Result<Json<Preferences>, Problem> {
    let mut read = state.app.db.of(caller.clinic).read().await?;
    Ok(Json(of(&mut read, inbox_of(&caller)).await?))
}

/// `PUT /api/v1/notifications/preferences`
pub(crate) async fn write(
    State(state): State<NotificationsState>,
    caller: Caller,
    Json(request): Json<Preferences>,
) -> Result<Json<Preferences>, Problem> {
    let preferences = request.check()?;
    let user = inbox_of(&caller);
    if user.0 == Uuid::nil() {
        let detail = "only people have preferences; sign in as one";
        return Err(Problem::new(StatusCode::FORBIDDEN, "people-only", detail));
    }
    let mut tx = state.app.db.of(caller.clinic).begin().await?;
    keep(&mut tx, user, &preferences, state.app.clock.now()).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(Json(preferences))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: serde_json::Value) -> Result<Preferences, Problem> {
        serde_json::from_value::<Preferences>(value).unwrap().check()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_channel_that_is_off_stays_off_and_a_category_has_its_own_word() {
        let all = read(json!({
            "channels": {"sms": false},
            "categories": {"billing": {"email": false, "sms": true, "push": true}},
        }))
        .unwrap();
        let billing = |channel, usually| all.wants(channel, NoticeCategory::Billing, usually);
        assert!(
            !billing(Channel::Email, true) && !billing(Channel::Sms, true) && billing(Channel::Push, false)
        );
        assert!(all.wants(Channel::Email, NoticeCategory::System, true), "others as usual");
        assert!(all.wants(Channel::InApp, NoticeCategory::Billing, false), "the list is always there");
    }

    #[test]
    fn quiet_hours_are_those_of_the_persons_zone_and_never_hold_what_is_critical() {
        let night = json!({"quietHours": {"start": "22:00", "end": "07:00"}, "timeZone": "Africa/Nairobi"});
        let night = read(night).unwrap();
        let now = at("2026-05-01T20:00:00Z");
        assert_eq!(night.not_before(NoticeUrgency::High, now, Tz::UTC), at("2026-05-02T04:00:00Z"));
        assert_eq!(night.not_before(NoticeUrgency::Critical, now, Tz::UTC), now);
    }

    /// On 2026-03-29 Berlin's clocks jump from 02:00 to 03:00: the digest of 02:30 comes at the jump.
    #[test]
    fn a_digest_comes_at_its_hour_on_the_day_that_clocks_change_too() {
        let daily =
            |at: &str| read(json!({"digest": "daily", "digestAt": at, "timeZone": "Europe/Berlin"})).unwrap();
        let until = |digest: Preferences, now| {
            digest.gathered_until(NoticeUrgency::Normal, at(now), Tz::UTC).unwrap()
        };
        assert_eq!(until(daily("02:30"), "2026-03-28T20:00:00Z"), at("2026-03-29T01:00:00Z"));
        assert_eq!(until(daily("08:00"), "2026-03-28T20:00:00Z"), at("2026-03-29T06:00:00Z"));
        assert_eq!(
            until(daily("08:00"), "2026-03-28T07:00:00Z"),
            at("2026-03-29T06:00:00Z"),
            "behind today's"
        );
        let hourly = read(json!({"digest": "hourly"})).unwrap();
        assert_eq!(until(hourly.clone(), "2026-03-28T20:00:00Z"), at("2026-03-28T21:00:00Z"));
        assert_eq!(hourly.gathered_until(NoticeUrgency::High, at("2026-03-28T20:00:00Z"), Tz::UTC), None);
    }

    #[test]
    fn what_does_not_read_is_refused() {
        for odd in [
            json!({"quietHours": {"start": "24:00", "end": "07:00"}}),
            json!({"quietHours": {"start": "7:00", "end": "07:30"}}),
            json!({"quietHours": {"start": "07:00", "end": "07:00"}}),
            json!({"timeZone": "Moon/Tycho"}),
            json!({"locale": "d"}),
            json!({"locale": "de\r\nBcc: x"}),
            json!({"phone": "call me"}),
            json!({"digestAt": "8 am"}),
        ] {
            assert_eq!(read(odd.clone()).unwrap_err().code(), "invalid-preferences", "{odd}");
        }
    }
}
