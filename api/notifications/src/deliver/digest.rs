//! What a person wants to hear of together, in one e-mail.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clinical::id::UserId;
use clinical::notice::NoticeUrgency;
use storage::live;
use storage::queue::{self, Claimed};

use super::{DeliverError, Deliverer, TRIES, code, count, gives_up_address, sent_by, wait};
use crate::channel::switchboard::Undelivered;
use crate::channel::{Address, Channel, Outgoing, PushUrgency};
use crate::delivery::{Delivery, DeliveryState};
use crate::letter::{Letter, Person, TTL, corrupt};
use crate::suppression::is_suppressed;
use crate::templates;

/// Most messages of one digest; more come in a second one.
const GATHERED: i64 = 100;

impl Deliverer {
    /// Gathers what a person wants to hear of together, and brings it in one e-mail.
    ///
    /// # Errors
    ///
    /// [`DeliverError`]: what was gathered is gathered again.
    pub async fn digest(&self, claimed: &Claimed, user: UserId) -> Result<(), DeliverError> {
        let clinic = claimed.clinic_id;
        let mut read = self.db.read().await?;
        let gathered = Delivery::gathered(&mut read, clinic, user, GATHERED).await?;
        let Some(first) = gathered.first() else {
            drop(read);
            return self.end(claimed).await;
        };
        let mut lines = Vec::new();
        for delivery in &gathered {
            if let Some(letter) = Letter::of(&mut read, delivery, &self.public_url).await? {
                lines.push(format!("{}\n{}", letter.full.subject, letter.full.text));
            }
        }
        let person = Person::of(&mut read, clinic, user, &self.public_url).await?;
        let address = match &person {
            Some(person) => {
                Some(Address::Email(person.user.email.parse().map_err(|_| corrupt("users.email"))?))
            }
            None => None,
        };
        let is_stopped = match &address {
            Some(address) => is_suppressed(&mut read, clinic, Channel::Email, &address.key()).await?,
            None => true,
        };
        let (Some(person), Some(address), false) = (person, address, is_stopped || lines.is_empty()) else {
            drop(read);
            let over = |delivery| Delivery {
                state: DeliveryState::Suppressed,
                last_error: Some("nobody is there to read it".to_owned()),
                settled_at: Some(self.clock.now()),
                ..delivery
            };
            let over = Came { all: gathered.into_iter().map(over).collect(), ..Came::default() };
            return self.came_of_all(claimed, over).await;
        };
        let mut values = person.values();
        values.insert("count".to_owned(), lines.len().to_string());
        values.insert("body".to_owned(), lines.join("\n\n"));
        let said = templates::words(&mut read, clinic, "digest", &person.locale).await?.render(&values);
        drop(read);
        let outgoing = Outgoing {
            dedupe_id: first.delivery_id.0,
            to: address,
            subject: said.subject,
            text: said.text,
            html: Some(said.html),
            enclosure: None,
            template: None,
            data: BTreeMap::new(),
            urgency: PushUrgency::Low,
            ttl: TTL,
        };
        let came = match self.switchboard.send(clinic, &outgoing).await {
            Ok(sent) => {
                let now = self.clock.now();
                let done = |delivery: Delivery| Delivery {
                    tries: delivery.tries + 1,
                    ..sent_by(delivery, &sent, now)
                };
                let all = gathered.into_iter().map(done).collect();
                Came { all, reference: sent.provider_message_id.clone(), ..Came::default() }
            }
            Err(error) => self.failed(gathered, outgoing.to, &error),
        };
        self.came_of_all(claimed, came).await
    }

    /// What is left of a digest that nobody took: each message that was tried too often is over.
    fn failed(&self, gathered: Vec<Delivery>, to: Address, error: &Undelivered) -> Came {
        let now = self.clock.now();
        let is_worth = |tries: i64| error.is_worth_another_try() && tries < TRIES;
        let tried = gathered.iter().map(|delivery| delivery.tries + 1).filter(|tries| is_worth(*tries));
        let again = tried.max().map(|tries| now + wait(tries, error.retry_after()));
        let after = |delivery: Delivery| {
            let (tries, last_error) = (delivery.tries + 1, Some(code(error).to_owned()));
            match again {
                Some(next_at) if is_worth(tries) => Delivery { tries, last_error, next_at, ..delivery },
                _ => {
                    let (state, settled_at) = (DeliveryState::Failed, Some(now));
                    Delivery { state, tries, last_error, settled_at, ..delivery }
                }
            }
        };
        let refused = error.is_bad_address().then_some(to);
        Came { all: gathered.into_iter().map(after).collect(), reference: None, again, refused }
    }

    /// Writes what came of a digest, ends the job, and asks for the next one where something is left.
    async fn came_of_all(&self, claimed: &Claimed, came: Came) -> Result<(), DeliverError> {
        let Came { all, reference, again, refused } = came;
        let (clinic, now) = (claimed.clinic_id, self.clock.now());
        let priority = live::priority(NoticeUrgency::Low);
        let mut tx = self.db.begin().await?;
        for delivery in &all {
            delivery.write(&mut tx, reference.as_deref()).await?;
            if delivery.state != DeliveryState::Digest {
                count(delivery.channel, delivery.state.as_str());
            }
        }
        if let (Some(to), Some(delivery)) = (&refused, all.first()) {
            gives_up_address(&mut tx, delivery, to, now).await?;
        }
        match again {
            Some(next_at) => queue::ask(&mut tx, clinic, &claimed.job, priority, next_at, now).await?,
            // There may be more that is due by now.
            None if all.len() as i64 == GATHERED => {
                queue::hurry(&mut tx, clinic, &claimed.job, priority, now).await?;
            }
            None => {}
        }
        queue::finish(&mut tx, claimed).await?;
        Ok(tx.commit().await?)
    }
}

/// What came of a digest.
#[derive(Default)]
struct Came {
    /// Its messages, as they are to be written.
    all: Vec<Delivery>,
    /// How the provider calls it.
    reference: Option<String>,
    /// When it is tried again.
    again: Option<DateTime<Utc>>,
    /// The address that takes nothing.
    refused: Option<Address>,
}
