//! One connection from its first message to its end.

use std::sync::{Arc, Mutex};

use clinical::id::{ClinicId, UserId};
use clinical::role::{Action, Permission, Reach, Resource, Role};
use hyper::upgrade::OnUpgrade;
use serde_json::{Value, json};
use storage::audit::{Actor, Entry, Outcome};
use storage::db::DbError;
use storage::live::{self, Gap};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Bytes;
use tokio_tungstenite::tungstenite::protocol::Message;

use super::allowance::{Allowance, Allowed};
use super::hub::{Frame, NoSeat, Seat, Taken};
use super::incoming::{self, Incoming};
use super::wire::{End, FAILED, GONE, NOT_AUTHENTICATED, POLICY, Wire};
use super::{Room, Sockets, outgoing};
use crate::authenticate::{Pass, Principal};
use crate::caller::{Asked, Note};
use crate::guard::{choose, is_open};
use crate::{AddressClass, Caller, Problem, Who};

/// So many missed messages are read at a time.
const PAGE: i64 = 100;
/// Every so many heartbeats it is asked whether the sign-in still stands.
const READMIT_EVERY: u32 = 2;

/// Who asks to be let in.
pub(super) struct Knock {
    /// Who it is, where the request's header said so.
    pub admitted: Option<(Arc<Principal>, Pass)>,
    /// The last message that they have seen.
    pub last_event: Option<i64>,
    pub address: Option<String>,
    pub request_id: Option<String>,
    /// Held for as long as the connection lives.
    pub _place: OwnedSemaphorePermit,
}

/// Serves one connection to its end.
pub(super) async fn serve(sockets: Sockets, upgrade: OnUpgrade, knock: Knock) {
    let Ok(upgraded) = upgrade.await else { return };
    let room = &*sockets.0;
    let mut wire = Wire::over(upgraded, &room.limits).await;
    // Boxed: what is needed once would else lie in every connection for as long as it lives.
    let end = match Box::pin(enter(room, &mut wire, knock)).await {
        Ok((mut visit, taken)) => {
            let end = visit.stay(&mut wire, &taken.seat).await;
            if room.hub.leave(&taken.seat)
                && let Some(user) = taken.seat.user
            {
                room.presence.changed(user, &visit.clinics());
            }
            end
        }
        Err(end) => end,
    };
    wire.end(end).await;
}

/// Finds out who it is and takes a place.
async fn enter<'r>(room: &'r Room, wire: &mut Wire, knock: Knock) -> Result<(Visit<'r>, Taken), End> {
    let Knock { admitted, mut last_event, address, request_id, _place: place } = knock;
    let (principal, pass) = match admitted {
        Some(admitted) => admitted,
        None => {
            let introduced = timeout(room.limits.authenticate, wire.introduction()).await;
            let late = End::of(NOT_AUTHENTICATED, "no token came in time");
            let introduction = match introduced.map_err(|_| late)?? {
                Ok(introduction) => introduction,
                Err(problem) => return Err(wire.refuse(&problem).await),
            };
            last_event = introduction.last_event.or(last_event);
            match room.app.authenticator.admit(&introduction.token).await {
                Ok(admitted) => admitted,
                Err(problem) => {
                    turned_away(room, &problem, address.as_deref(), request_id).await;
                    return Err(wire.refuse(&problem).await);
                }
            }
        }
    };
    let mut visit = Visit {
        room,
        principal,
        pass,
        address,
        request_id,
        seen: 0,
        allowance: Allowance::new(room.limits.messages_per_second),
        _place: place,
    };
    let taken = match room.hub.enter(visit.user(), visit.staff_of()) {
        Ok(taken) => taken,
        Err(NoSeat::NotReady) => return Err(End::of(FAILED, "the service has just begun")),
        Err(NoSeat::TooMany) => return Err(End::of(POLICY, "too many connections of one person")),
    };
    if taken.is_first
        && let Some(user) = taken.seat.user
    {
        room.presence.changed(user, &visit.clinics());
    }
    match visit.greet(wire, &taken, last_event).await {
        Ok(()) => Ok((visit, taken)),
        Err(end) => {
            if room.hub.leave(&taken.seat)
                && let Some(user) = taken.seat.user
            {
                room.presence.changed(user, &visit.clinics());
            }
            Err(end)
        }
    }
}

/// Writes down that somebody showed a token that nobody has, once a minute and address; guessing here counts as it
/// counts at every other door.
async fn turned_away(room: &Room, problem: &Problem, address: Option<&str>, request_id: Option<String>) {
    if problem.code() != "token-invalid" {
        return;
    }
    if let Some(address) = address.and_then(|text| text.parse().ok()) {
        let _ = room.app.rates.check_address(address, AddressClass::Stranger);
    }
    let entry = Entry {
        clinic_id: ClinicId::DEFAULT,
        at: room.app.clock.now(),
        actor: Actor::Unknown,
        role: None,
        session: None,
        action: "notification:read".to_owned(),
        record_id: None,
        patient_id: None,
        route: "WS authenticate".to_owned(),
        address: address.map(str::to_owned),
        request_id,
        outcome: Outcome::Denied,
        detail: None,
    };
    if let Err(error) = room.app.trail.record_once(entry, address.unwrap_or_default().to_owned()).await {
        tracing::error!(%error, "a refused token was not written down");
    }
}

/// A client that is known.
struct Visit<'r> {
    room: &'r Room,
    principal: Arc<Principal>,
    pass: Pass,
    address: Option<String>,
    request_id: Option<String>,
    /// The position of the last message that the client was sent.
    seen: i64,
    allowance: Allowance,
    _place: OwnedSemaphorePermit,
}

impl Visit<'_> {
    fn user(&self) -> Option<UserId> {
        match self.principal.who {
            Who::User { user_id, .. } => Some(user_id),
            Who::Administrator | Who::Key { .. } => None,
        }
    }

    fn clinics(&self) -> Vec<ClinicId> {
        self.principal.memberships.iter().map(|membership| membership.clinic_id).collect()
    }

    /// The clinics whose members the person may see, in the order of their identifiers.
    fn staff_of(&self) -> Vec<ClinicId> {
        let members = self.principal.memberships.iter();
        let mut clinics: Vec<ClinicId> =
            members.filter(|it| it.role.is_some_and(is_staff)).map(|it| it.clinic_id).collect();
        clinics.sort_unstable();
        clinics
    }

    /// Tells the client that it is known, and then what it has missed since `last_event`.
    async fn greet(&mut self, wire: &mut Wire, taken: &Taken, last_event: Option<i64>) -> Result<(), End> {
        self.seen = taken.joined;
        let mut resumes_at = None;
        if let Some(last_event) = last_event {
            // No message was ever shown that stands behind the last one there is.
            match self.newest().await {
                Ok(newest) if last_event <= newest => resumes_at = Some(last_event),
                Ok(_) => wire.send(outgoing::error(&no_such_event(), None)).await?,
                Err(error) => return Err(failed(&error)),
            }
        }
        let clinics = json!(self.clinics());
        let at = resumes_at.unwrap_or(taken.joined);
        let heartbeat_s = self.room.limits.heartbeat.as_secs();
        let user = self.user().map(|user| json!(user));
        wire.send(outgoing::authenticated(user, &clinics, at, heartbeat_s)).await?;
        if let Some(last_event) = resumes_at {
            self.seen = last_event;
            let count = self.resume(wire, taken).await?;
            self.seen = self.seen.max(taken.joined);
            wire.send(outgoing::resumed(count, self.seen)).await?;
        }
        Ok(())
    }

    async fn newest(&self) -> Result<i64, DbError> {
        live::last(&mut self.room.app.db.read().await?).await
    }

    /// Sends what was told to the person up to where the connection joined; how many messages.
    async fn resume(&mut self, wire: &mut Wire, taken: &Taken) -> Result<u64, End> {
        let Some(user) = taken.seat.user else { return Ok(0) };
        let callers = self.readers().await?;
        let clinics: Vec<ClinicId> = callers.iter().map(|caller| caller.clinic).collect();
        let mut count = 0;
        let mut gap = None;
        loop {
            let page = async {
                let mut read = self.room.app.db.read().await?;
                let here: Gap = match gap {
                    Some(gap) => gap,
                    None => Gap::of(&mut read, self.seen, taken.joined).await?,
                };
                Ok::<_, DbError>((here, live::of_person(&mut read, &clinics, user, here, PAGE).await?))
            };
            let (here, page) = Box::pin(page).await.map_err(|error| failed(&error))?;
            let Some(last) = page.last() else { return Ok(count) };
            gap = Some(here.behind(last));
            if count == 0 {
                // As over HTTP: what cannot be written down is not shown.
                for caller in &callers {
                    let entry = caller.entry(Outcome::Success);
                    self.room.app.trail.record(entry).await.map_err(|error| failed(&error))?;
                }
            }
            for message in &page {
                wire.send(outgoing::live(message)).await?;
                self.seen = message.position;
                count += 1;
            }
            if (page.len() as i64) < PAGE {
                return Ok(count);
            }
        }
    }

    /// The person in each clinic whose list they may read at this moment.
    async fn readers(&self) -> Result<Vec<Caller>, End> {
        let may = Permission { resource: Resource::Notification, action: Action::List };
        let mut callers = Vec::new();
        for clinic in self.clinics() {
            match Box::pin(self.caller("resume", may, Some(clinic))).await {
                Ok(caller) => callers.push(caller),
                // Not theirs, or suspended: nothing of it is told.
                Err(problem) if matches!(problem.status().as_u16(), 403 | 404) => {}
                Err(_) => return Err(End::of(FAILED, "try again")),
            }
        }
        Ok(callers)
    }

    /// Sends what is told and hears what is said, until one of the two wants no more.
    async fn stay(&mut self, wire: &mut Wire, seat: &Seat) -> End {
        let heartbeat = self.room.limits.heartbeat;
        let mut beats = 0_u32;
        let mut beat = std::pin::pin!(tokio::time::sleep(heartbeat));
        loop {
            let stepped = tokio::select! {
                next = seat.next() => match next {
                    Ok(frame) => tokio::select! {
                        biased;
                        sent = self.tell(wire, frame) => sent,
                        // A client that takes nothing is not waited for once its queue is full.
                        code = seat.closed() => Err(End::of(code, "try again")),
                    },
                    Err(code) => Err(End::of(code, "try again")),
                },
                read = wire.next() => match read {
                    Ok(Some(text)) => self.hear(wire, &text).await,
                    Ok(None) => Ok(()),
                    Err(end) => Err(end),
                },
                () = &mut beat => {
                    beats += 1;
                    beat.as_mut().reset(tokio::time::Instant::now() + heartbeat);
                    self.beat(wire, seat, beats).await
                }
            };
            if let Err(end) = stepped {
                return end;
            }
        }
    }

    async fn tell(&mut self, wire: &mut Wire, frame: Frame) -> Result<(), End> {
        if let Some(position) = frame.position {
            if position <= self.seen {
                return Ok(());
            }
            self.seen = position;
        }
        wire.send(frame.text).await
    }

    /// Asks whether the client is there, and from time to time whether its sign-in still stands.
    async fn beat(&mut self, wire: &mut Wire, seat: &Seat, beats: u32) -> Result<(), End> {
        if wire.heard.elapsed() > self.room.limits.heartbeat.mul_f32(2.5) {
            return Err(End::of(GONE, "nothing was heard for too long"));
        }
        if beats.is_multiple_of(READMIT_EVERY) {
            match Box::pin(self.room.app.authenticator.readmit(self.pass)).await {
                Ok(principal) => self.principal = principal,
                Err(problem) if problem.status().is_server_error() => {}
                Err(_) => return Err(End::of(NOT_AUTHENTICATED, "the sign-in has ended")),
            }
            // What its seat hears was settled when it came in.
            if self.staff_of() != seat.staff_of {
                return Err(End::of(POLICY, "your rights have changed; come back"));
            }
        }
        wire.put(Message::Ping(Bytes::new())).await
    }

    async fn hear(&mut self, wire: &mut Wire, text: &str) -> Result<(), End> {
        match self.allowance.take() {
            Allowed::Yes => {}
            Allowed::No => {
                let detail = "you send more messages than are heard; wait a little";
                let problem = Problem::new(http::StatusCode::TOO_MANY_REQUESTS, "too-many-messages", detail);
                return wire.send(outgoing::error(&problem, None)).await;
            }
            Allowed::Silence => return Ok(()),
            Allowed::Never => return Err(End::of(POLICY, "too many messages")),
        }
        let message = match incoming::read(text) {
            Ok(message) => message,
            Err(problem) => return wire.send(outgoing::error(&problem, None)).await,
        };
        let Incoming { kind, id, clinic, data } = message;
        let heard = Box::pin(self.heard(&kind, clinic, data)).await;
        metrics::counter!("socket_heard_total", "outcome" => if heard.is_ok() { "taken" } else { "refused" })
            .increment(1);
        match heard {
            Ok((kind, answer)) => wire.send(outgoing::answer(&kind, &answer, id.as_ref())).await,
            Err(problem) => wire.send(outgoing::error(&problem, id.as_ref())).await,
        }
    }

    /// The answer's type, and what it says.
    async fn heard(
        &self,
        kind: &str,
        clinic: Option<ClinicId>,
        data: Value,
    ) -> Result<(String, Value), Problem> {
        match kind {
            "ping" => return Ok(("pong".to_owned(), data)),
            "authenticate" => {
                let detail = "this connection is authenticated; another one takes another person";
                return Err(Problem::conflict("authenticated-already", detail));
            }
            "presence" => {
                let may = Permission { resource: Resource::Member, action: Action::List };
                let caller = self.caller(kind, may, clinic).await?;
                return Ok((kind.to_owned(), super::presence::asked(self.room, &caller, &data).await?));
            }
            _ => {}
        }
        let (permission, hears) = self.room.kinds.of(kind)?;
        let caller = self.caller(kind, permission, clinic).await?;
        let answer = hears.hear(&caller, data).await;
        if !caller.note().is_written {
            let outcome = match &answer {
                Ok(_) => Outcome::Success,
                Err(problem) if problem.status().is_server_error() => Outcome::Failed,
                Err(_) => Outcome::Refused,
            };
            let written = self.room.app.trail.record(caller.entry(outcome)).await;
            written.map_err(|error| Problem::internal("audit-failed", &error))?;
        }
        Ok((kind.to_owned(), answer?))
    }

    /// The client as a caller who may do what its message needs.
    async fn caller(
        &self,
        kind: &str,
        permission: Permission,
        clinic: Option<ClinicId>,
    ) -> Result<Caller, Problem> {
        let app = &self.room.app;
        let place = choose(&self.principal, permission, clinic)?;
        is_open(app, permission, &self.principal, &place).await?;
        app.rates.check_caller(self.principal.who, place.clinic)?;
        let asked = Asked {
            at: app.clock.now(),
            permission,
            route: format!("WS {kind}"),
            address: self.address.clone(),
            request_id: self.request_id.clone(),
        };
        Ok(Caller {
            clinic: place.clinic,
            who: self.principal.who,
            name: self.principal.name.clone(),
            role: place.role,
            reach: place.reach,
            patient: place.patient,
            scopes: self.principal.scopes.clone(),
            request: Arc::new(asked),
            note: Arc::new(Mutex::new(Note::default())),
        })
    }
}

/// Whether who has the role may see who is there.
fn is_staff(role: Role) -> bool {
    role.reach(Permission { resource: Resource::Member, action: Action::List }) > Some(Reach::Own)
}

fn no_such_event() -> Problem {
    Problem::bad_request("unknown-event", "no message has this lastEventId; what is told from now on comes")
}

fn failed(error: &DbError) -> End {
    tracing::error!(%error, "what a client has missed could not be read");
    End::of(FAILED, "try again")
}
