//! Wake-ups: whoever waits for events or for work is rung at once when there is some.
//!
//! A bell carries nothing, and one that nobody heard is no loss: whoever waits
//! also looks from time to time. Inside a process a commit rings; between
//! processes PostgreSQL's NOTIFY does, once a batch of the relay, because NOTIFY
//! holds a lock of the whole server until its commit. SQLite has none: there
//! other processes find by looking.

use std::sync::Arc;

use sqlx::postgres::PgListener;
use tokio::sync::watch;

use crate::db::{Db, Result};

/// What a bell says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bell {
    /// This process has committed an event.
    Told,
    /// There are events to be read.
    Events,
    /// This process has asked for a job that is due.
    Asked,
    /// There are jobs that are due.
    Jobs,
    /// This process has committed a message to people.
    Said,
    /// There are messages to people to be read.
    Live,
}

/// The bells of one database in this process; cheap to clone.
#[derive(Clone, Default)]
pub struct Bells(Arc<Ropes>);

#[derive(Default)]
struct Ropes {
    told: watch::Sender<()>,
    events: watch::Sender<()>,
    asked: watch::Sender<()>,
    jobs: watch::Sender<()>,
    said: watch::Sender<()>,
    live: watch::Sender<()>,
}

impl Bells {
    /// Wakes everyone who waits for it.
    pub(crate) fn ring(&self, bell: Bell) {
        self.rope(bell).send_replace(());
    }

    /// An ear for the bell: what rings from now on is heard, also while nobody waits.
    pub fn ear(&self, bell: Bell) -> Ear {
        Ear { receiver: self.rope(bell).subscribe(), _bells: self.clone() }
    }

    fn rope(&self, bell: Bell) -> &watch::Sender<()> {
        match bell {
            Bell::Told => &self.0.told,
            Bell::Events => &self.0.events,
            Bell::Asked => &self.0.asked,
            Bell::Jobs => &self.0.jobs,
            Bell::Said => &self.0.said,
            Bell::Live => &self.0.live,
        }
    }
}

/// Hears one bell.
pub struct Ear {
    receiver: watch::Receiver<()>,
    /// It holds the ropes, so that none is gone while it waits.
    _bells: Bells,
}

impl Ear {
    /// Whether it has rung since the last time; what it says is heard with that.
    pub fn has_rung(&mut self) -> bool {
        let has_rung = self.receiver.has_changed().unwrap_or(false);
        self.receiver.mark_unchanged();
        has_rung
    }

    /// Returns once it has rung since the last time; many rings are one.
    pub async fn rung(&mut self) {
        // It fails only when the bells are gone, and this ear holds them.
        if self.receiver.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// What a transaction rings when it is committed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rings {
    pub(crate) told: bool,
    pub(crate) asked: bool,
    pub(crate) said: bool,
}

impl Rings {
    /// Rings; an event or a message of SQLite can be read at once, one of PostgreSQL when the relay has placed it.
    pub(crate) fn ring(self, bells: &Bells, is_postgres: bool) {
        if self.told {
            bells.ring(if is_postgres { Bell::Told } else { Bell::Events });
        }
        if self.said {
            bells.ring(if is_postgres { Bell::Said } else { Bell::Live });
        }
        if self.asked {
            bells.ring(Bell::Jobs);
            bells.ring(Bell::Asked);
        }
    }
}

/// Hears what other processes notify on PostgreSQL and rings it here, until the connection is lost for good.
/// On SQLite there is nothing to hear, for ever.
///
/// # Errors
///
/// [`crate::db::DbError::Engine`] when the server cannot be reached: listen again later.
pub async fn listen(db: &Db) -> Result<()> {
    let Some(pool) = db.postgres_pool() else { return std::future::pending().await };
    let schema: String = sqlx::query_scalar("SELECT current_schema()::text").fetch_one(pool).await?;
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(&channel(&schema)).await?;
    let bells = db.bells();
    // What was notified before is not heard again.
    let all = [Bell::Events, Bell::Jobs, Bell::Live];
    all.into_iter().for_each(|bell| bells.ring(bell));
    loop {
        match listener.try_recv().await? {
            Some(notification) => {
                let payload = notification.payload();
                if payload.contains('e') {
                    bells.ring(Bell::Events);
                }
                if payload.contains('j') {
                    bells.ring(Bell::Jobs);
                }
                if payload.contains('l') {
                    bells.ring(Bell::Live);
                }
            }
            // The connection was made anew: something may have been missed.
            None => {
                all.into_iter().for_each(|bell| bells.ring(bell));
            }
        }
    }
}

/// The channel of one schema.
fn channel(schema: &str) -> String {
    format!("medilink_{schema}")
}

/// Tells the other processes that there are `e`vents, `j`obs, `l`ive messages; once its transaction is committed.
pub(crate) const NOTIFY: &str = "SELECT pg_notify('medilink_' || current_schema(), $1)";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_ring_between_two_looks_is_not_lost_and_many_are_one() {
        let bells = Bells::default();
        let mut ear = bells.ear(Bell::Jobs);
        bells.ring(Bell::Jobs);
        bells.ring(Bell::Jobs);
        bells.ring(Bell::Told);
        ear.rung().await;
        let again = tokio::time::timeout(Duration::from_millis(20), ear.rung()).await;
        assert!(again.is_err(), "it has rung once");
    }
}
