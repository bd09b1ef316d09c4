//! A message in its reader's words.

use std::collections::BTreeMap;
use std::time::Duration;

use clinical::id::{ClinicId, UserId};
use clinical::notice::{Notice, NoticeUrgency};
use storage::db::{Conn, DbError};
use storage::live::inbox;
use storage::records::clinic::Clinic;
use storage::records::member::Member;
use storage::records::user::User;

use crate::channel::{Address, Channel, Outgoing, ProviderTemplate, PushUrgency};
use crate::delivery::Delivery;
use crate::plan::zone_of;
use crate::preferences::{self, Preferences};
use crate::settings::{self, Settings};
use crate::templates;
use crate::words::Rendered;

/// A message that is not critical is worth nothing to a device after so long.
pub(crate) const TTL: Duration = Duration::from_secs(24 * 3_600);
const CRITICAL_TTL: Duration = Duration::from_secs(3_600);

/// What is stored in this column does not read.
pub(crate) fn corrupt(column: &str) -> DbError {
    DbError::Corrupt(column.to_owned())
}

/// A person of a clinic, and how they want to be told.
pub(crate) struct Person {
    pub user: User,
    clinic: Clinic,
    pub zone: chrono_tz::Tz,
    pub wishes: Preferences,
    settings: Settings,
    pub locale: String,
    public_url: String,
}

impl Person {
    /// `None` where they are no member any more, or may not sign in.
    pub async fn of(
        read: &mut Conn,
        clinic: ClinicId,
        user: UserId,
        public_url: &str,
    ) -> Result<Option<Self>, DbError> {
        match Member::of(read, clinic, user).await {
            Ok(_) => {}
            Err(DbError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        }
        let user = User::find(read, user).await?;
        if !user.is_active {
            return Ok(None);
        }
        let clinic = Clinic::find(read, clinic).await?;
        let wishes = preferences::of(read, user.user_id).await?;
        let settings = settings::of(read, clinic.clinic_id).await?;
        let locale = wishes.locale.clone().unwrap_or_else(|| settings.locale.clone());
        let zone = zone_of(&clinic);
        Ok(Some(Self { user, zone, clinic, wishes, settings, locale, public_url: public_url.to_owned() }))
    }

    /// What every template may name.
    pub fn values(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("clinic".to_owned(), self.clinic.name.clone()),
            ("link".to_owned(), self.public_url.clone()),
        ])
    }
}

/// A message in its reader's words.
pub(crate) struct Letter {
    pub notice: Notice,
    pub person: Person,
    /// All that it says.
    pub full: Rendered,
    /// What others may read over a shoulder.
    outside: Rendered,
    /// The values of the outside, in the order of their names, for providers that keep templates themselves.
    template: ProviderTemplate,
}

impl Letter {
    /// `None` where the message or its reader is gone.
    pub async fn of(read: &mut Conn, delivery: &Delivery, public_url: &str) -> Result<Option<Self>, DbError> {
        let clinic = delivery.clinic_id;
        let notice: Notice = match inbox::said(read, clinic, delivery.notification_id).await {
            Ok((_, body)) => serde_json::from_value(body).map_err(|_| corrupt("live_messages.body"))?,
            Err(DbError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(person) = Person::of(read, clinic, delivery.user_id, public_url).await? else {
            return Ok(None);
        };
        let mut values = notice.data.clone();
        values.extend(person.values());
        values.insert("title".to_owned(), notice.title.clone());
        values.insert("body".to_owned(), notice.body.clone());
        if let Some(link) = &notice.link {
            values.insert("link".to_owned(), format!("{public_url}{link}"));
        }
        let name = notice.template.clone().unwrap_or_else(|| "notice".to_owned());
        let full = templates::words(read, clinic, &name, &person.locale).await?.render(&values);
        let is_discreet = notice.category.is_of_health() && !person.settings.shows_details;
        let (outside, named, shown) = if is_discreet {
            let said = templates::words(read, clinic, "discreet", &person.locale).await?.render(&values);
            (said, "discreet".to_owned(), vec![person.clinic.name.clone()])
        } else {
            (full.clone(), name, vec![full.subject.clone(), full.text.clone()])
        };
        let language = person.locale.replace('-', "_");
        let template = ProviderTemplate { name: named, language, values: shown };
        Ok(Some(Self { notice, person, full, outside, template }))
    }

    /// What goes out by a channel: where others may read along, nothing of anybody's health that the clinic does not
    /// allow.
    pub fn outgoing(&self, delivery: &Delivery, to: Address) -> Outgoing {
        let is_mail = delivery.channel == Channel::Email;
        let said = if is_mail { &self.full } else { &self.outside };
        let mut data = BTreeMap::from([
            ("notificationId".to_owned(), delivery.notification_id.to_string()),
            ("clinicId".to_owned(), delivery.clinic_id.to_string()),
            ("type".to_owned(), self.notice.category.message_type().to_owned()),
        ]);
        if let Some(link) = &self.notice.link {
            data.insert("link".to_owned(), link.clone());
        }
        let (urgency, ttl) = match self.notice.urgency {
            NoticeUrgency::Low => (PushUrgency::Low, TTL),
            NoticeUrgency::Normal => (PushUrgency::Normal, TTL),
            NoticeUrgency::High => (PushUrgency::High, TTL),
            NoticeUrgency::Critical => (PushUrgency::High, CRITICAL_TTL),
        };
        Outgoing {
            dedupe_id: delivery.delivery_id.0,
            to,
            subject: self.outside.subject.clone(),
            text: said.text.clone(),
            html: is_mail.then(|| said.html.clone()),
            enclosure: None,
            template: (delivery.channel == Channel::Whatsapp).then(|| self.template.clone()),
            data,
            urgency,
            ttl,
        }
    }
}
