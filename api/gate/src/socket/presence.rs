//! Who is there: `user_online` and `user_offline`, told to the clinic's staff.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clinical::id::{ClinicId, UserId};
use serde_json::{Value, json};
use storage::db::{DbError, Tx};
use storage::live::{self, Hearers, presence};
use storage::records::member::Member;

use super::Room;
use crate::{Caller, Problem};

/// How often it is written down who came and went.
const EVERY: Duration = Duration::from_secs(1);
/// Who comes back within this time was never away.
const GRACE: Duration = Duration::from_secs(3);
/// How often a process says that it lives.
const ALIVE_EVERY: Duration = Duration::from_secs(20);
/// Of more changes at once in a clinic only the count is told.
const TOLD_ONE_BY_ONE: usize = 50;
/// So many people may be asked for at once.
const ASKED_AT_ONCE: usize = 200;

/// What has changed here since it was written down.
#[derive(Default)]
pub(super) struct Presence(Mutex<HashMap<UserId, Change>>);

struct Change {
    at: Instant,
    clinics: Vec<ClinicId>,
}

impl Presence {
    /// A person has come, or has gone: which of the two is looked at when it is written down.
    pub fn changed(&self, user: UserId, clinics: &[ClinicId]) {
        let change = Change { at: Instant::now(), clinics: clinics.to_vec() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(user, change);
    }

    /// The changes that count: who came, at once; who went, after a while.
    fn take(&self, is_here: impl Fn(UserId) -> bool) -> Vec<(UserId, Change)> {
        let mut changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        changes.extract_if(|user, change| is_here(*user) || change.at.elapsed() >= GRACE).collect()
    }
}

/// Writes down who comes and goes, for ever.
pub(super) async fn keep(room: &Room) {
    // Who is written down as here.
    let mut known: HashSet<UserId> = HashSet::new();
    let mut lived: Option<Instant> = None;
    loop {
        let is_due = lived.is_none_or(|at| at.elapsed() >= ALIVE_EVERY);
        let changes = room.presence.take(|user| room.hub.has(user));
        if is_due || !changes.is_empty() {
            match write(room, &mut known, &changes).await {
                Ok(()) => lived = Some(Instant::now()),
                Err(error) => {
                    tracing::warn!(%error, "who is connected is written down later");
                    for (user, change) in changes {
                        room.presence.changed(user, &change.clinics);
                    }
                }
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn write(
    room: &Room,
    known: &mut HashSet<UserId>,
    changes: &[(UserId, Change)],
) -> Result<(), DbError> {
    let now = room.app.clock.now();
    let (here, away): (Vec<UserId>, Vec<UserId>) =
        changes.iter().map(|(user, _)| *user).partition(|user| room.hub.has(*user));
    let came: Vec<UserId> = here.into_iter().filter(|user| !known.contains(user)).collect();
    let went: Vec<UserId> = away.into_iter().filter(|user| known.contains(user)).collect();
    let mut tx = room.app.db.begin().await?;
    if presence::lives(&mut tx, room.process, now).await? && !known.is_empty() {
        // Another took this process for dead, and said of its people that they went.
        let back: Vec<UserId> = known.iter().filter(|user| !went.contains(user)).copied().collect();
        let online = presence::came(&mut tx, room.process, &back, now).await?;
        announce(room, &mut tx, "user_online", &online).await?;
    }
    let online = presence::came(&mut tx, room.process, &came, now).await?;
    let offline = presence::went(&mut tx, room.process, &went, now).await?;
    let clinics: HashMap<UserId, &[ClinicId]> =
        changes.iter().map(|(user, change)| (*user, change.clinics.as_slice())).collect();
    let clinics = |user: &UserId| clinics.get(user).copied().unwrap_or_default().to_vec();
    for (kind, people) in [("user_online", &online), ("user_offline", &offline)] {
        let people = people.iter().map(|user| (*user, clinics(user)));
        tell_clinics(room, &mut tx, kind, people.collect()).await?;
    }
    let buried = presence::bury(&mut tx, now).await?;
    announce(room, &mut tx, "user_offline", &buried).await?;
    tx.commit().await?;
    known.extend(came);
    for user in went {
        known.remove(&user);
    }
    Ok(())
}

/// Tells of people in every clinic of theirs.
async fn announce(room: &Room, tx: &mut Tx, kind: &str, people: &[UserId]) -> Result<(), DbError> {
    let mut all = Vec::with_capacity(people.len());
    for user in people {
        let members = Member::of_user(tx, *user).await?;
        all.push((*user, members.iter().map(|member| member.clinic_id).collect()));
    }
    tell_clinics(room, tx, kind, all).await
}

/// Tells of people in the clinics that stand beside them.
async fn tell_clinics(
    room: &Room,
    tx: &mut Tx,
    kind: &str,
    people: Vec<(UserId, Vec<ClinicId>)>,
) -> Result<(), DbError> {
    let mut of_clinics: HashMap<ClinicId, Vec<UserId>> = HashMap::new();
    for (user, clinics) in people {
        for clinic in clinics {
            of_clinics.entry(clinic).or_default().push(user);
        }
    }
    for (clinic, people) in of_clinics {
        tell(room, tx, clinic, kind, &people).await?;
    }
    Ok(())
}

async fn tell(
    room: &Room,
    tx: &mut Tx,
    clinic: ClinicId,
    kind: &str,
    people: &[UserId],
) -> Result<(), DbError> {
    let now = room.app.clock.now();
    if people.len() > TOLD_ONE_BY_ONE {
        let body = json!({"change": kind, "count": people.len()});
        return live::whisper(tx, clinic, Hearers::Staff, "presence_changed", &body, now).await;
    }
    for user in people {
        live::whisper(tx, clinic, Hearers::Staff, kind, &json!({"userId": user}), now).await?;
    }
    Ok(())
}

/// Those of the members that the client names who are connected.
pub(super) async fn asked(room: &Room, caller: &Caller, data: &Value) -> Result<Value, Problem> {
    let wrong =
        || Problem::bad_request("invalid-message", format!("userIds lists at most {ASKED_AT_ONCE} users"));
    let ids = data.get("userIds").and_then(Value::as_array).filter(|ids| ids.len() <= ASKED_AT_ONCE);
    let mut people = Vec::new();
    let mut read = room.app.db.read().await?;
    for id in ids.ok_or_else(wrong)? {
        let user: UserId = id.as_str().and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
        match Member::of(&mut read, caller.clinic, user).await {
            Ok(_) => people.push(user),
            Err(DbError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let online = presence::online(&mut read, &people, room.app.clock.now()).await?;
    Ok(json!({ "online": online }))
}

/// Removes this process and who was connected to it.
pub(super) async fn end(room: &Room) -> Result<(), DbError> {
    let mut tx = room.app.db.begin().await?;
    presence::ends(&mut tx, room.process).await?;
    tx.commit().await
}
