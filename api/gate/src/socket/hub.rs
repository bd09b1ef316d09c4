//! Who is connected to this process, and what goes to whom.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clinical::id::{ClinicId, UserId};
use storage::live::Live;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::outgoing;

/// The service ends (RFC 6455, section 7.4.1).
pub(super) const GOING_AWAY: u16 = 1001;
/// «Try again later» (IANA's registry of close codes): the client takes too little.
pub(super) const TOO_SLOW: u16 = 1013;

/// A message on its way to one connection.
pub(super) struct Frame {
    /// Its position; `None` of what is for now alone.
    pub position: Option<i64>,
    pub text: Utf8Bytes,
}

/// A connection's place.
pub(super) struct Seat {
    number: u64,
    pub user: Option<UserId>,
    pub staff_of: Vec<ClinicId>,
    tray: Mutex<Tray>,
    /// Rung for each frame, and for the end.
    bell: Notify,
}

/// What lies ready for a connection: most hold nothing, and then it takes no memory, as a channel would.
#[derive(Default)]
struct Tray {
    frames: VecDeque<Frame>,
    /// Why the connection is to end.
    code: Option<u16>,
}

impl Seat {
    fn tray(&self) -> MutexGuard<'_, Tray> {
        self.tray.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection with a close code.
    fn close(&self, code: u16) {
        self.tray().code.get_or_insert(code);
        self.bell.notify_one();
    }

    /// Lays a frame down; whether there was room among `queue`.
    fn lay(&self, frame: Frame, queue: usize) -> bool {
        let mut tray = self.tray();
        if tray.frames.len() >= queue {
            return false;
        }
        tray.frames.push_back(frame);
        drop(tray);
        self.bell.notify_one();
        true
    }

    fn take(&self) -> Option<Frame> {
        let mut tray = self.tray();
        let frame = tray.frames.pop_front();
        if tray.frames.is_empty() {
            tray.frames = VecDeque::new();
        }
        frame
    }

    /// The next frame, or the close code once the connection is to end. Only its connection waits here.
    pub async fn next(&self) -> Result<Frame, u16> {
        loop {
            if let Some(code) = self.tray().code {
                return Err(code);
            }
            match self.take() {
                Some(frame) => return Ok(frame),
                None => self.bell.notified().await,
            }
        }
    }

    /// Returns the close code once the connection is to end; the frames stay.
    pub async fn closed(&self) -> u16 {
        loop {
            if let Some(code) = self.tray().code {
                return code;
            }
            self.bell.notified().await;
        }
    }
}

#[derive(Default)]
struct State {
    /// Of the last message that was brought; `None` before the first look.
    position: Option<i64>,
    people: HashMap<UserId, Vec<Arc<Seat>>>,
    staff: HashMap<ClinicId, Vec<Arc<Seat>>>,
    /// Neither people nor staff: machines.
    others: Vec<Arc<Seat>>,
    count: usize,
}

/// The connections of this process.
pub(super) struct Hub {
    state: Mutex<State>,
    queue: usize,
    per_person: usize,
    numbers: AtomicU64,
}

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSeat {
    /// It is not known yet where the messages begin.
    NotReady,
    /// The person has as many connections as one may have.
    TooMany,
}

/// A place that was taken.
pub(super) struct Taken {
    /// What is laid down here stands behind `joined`, and all of it does.
    pub seat: Arc<Seat>,
    pub joined: i64,
    /// Whether the person had no other place in this process.
    pub is_first: bool,
}

impl Hub {
    pub fn new(queue: usize, per_person: usize) -> Self {
        let state = Mutex::default();
        Self { state, queue: queue.max(1), per_person: per_person.max(1), numbers: AtomicU64::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The position of the last message that was brought.
    pub fn position(&self) -> Option<i64> {
        self.state().position
    }

    /// Lets people in: what is told from `position` on is brought.
    pub fn open(&self, position: i64) {
        self.state().position = Some(position);
    }

    pub fn count(&self) -> usize {
        self.state().count
    }

    /// Whether the person is connected here.
    pub fn has(&self, user: UserId) -> bool {
        self.state().people.contains_key(&user)
    }

    /// Takes a place.
    pub fn enter(&self, user: Option<UserId>, staff_of: Vec<ClinicId>) -> Result<Taken, NoSeat> {
        let seat = Arc::new(Seat {
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            user,
            staff_of,
            tray: Mutex::default(),
            bell: Notify::new(),
        });
        let mut state = self.state();
        let joined = state.position.ok_or(NoSeat::NotReady)?;
        let mut is_first = false;
        match user {
            Some(user) => {
                let seats = state.people.entry(user).or_default();
                if seats.len() >= self.per_person {
                    return Err(NoSeat::TooMany);
                }
                is_first = seats.is_empty();
                seats.push(Arc::clone(&seat));
            }
            None if seat.staff_of.is_empty() => state.others.push(Arc::clone(&seat)),
            None => {}
        }
        for clinic in &seat.staff_of {
            state.staff.entry(*clinic).or_default().push(Arc::clone(&seat));
        }
        state.count += 1;
        metrics::gauge!("socket_connections").set(state.count as f64);
        Ok(Taken { seat, joined, is_first })
    }

    /// Gives a place back; whether it was the person's last in this process.
    pub fn leave(&self, seat: &Seat) -> bool {
        let mut state = self.state();
        let state = &mut *state;
        let mut is_last = false;
        if let Some(user) = seat.user {
            is_last = without(&mut state.people, user, seat);
        }
        for clinic in &seat.staff_of {
            without(&mut state.staff, *clinic, seat);
        }
        state.others.retain(|other| other.number != seat.number);
        state.count -= 1;
        metrics::gauge!("socket_connections").set(state.count as f64);
        is_last
    }

    /// Brings a message to those who are here, whose queue has room; who has none is dropped, and finds it later.
    pub fn bring(&self, message: &Live) {
        let mut state = self.state();
        let mut frame = Lazy { message, queue: self.queue, text: None, brought: 0, left: 0 };
        for user in &message.people {
            for seat in state.people.get(user).into_iter().flatten() {
                frame.to(seat);
            }
        }
        if message.is_to_staff {
            for seat in state.staff.get(&message.clinic_id).into_iter().flatten() {
                frame.to(seat);
            }
        }
        state.position = Some(message.position);
        drop(state);
        metrics::counter!("socket_messages_total", "outcome" => "brought").increment(frame.brought);
        metrics::counter!("socket_messages_total", "outcome" => "left").increment(frame.left);
    }

    /// Leaves a message to the lists: nobody hears it now.
    pub fn pass_by(&self, message: &Live) {
        self.state().position = Some(message.position);
    }

    /// Ends every connection: the service stops.
    pub fn close_all(&self) {
        let state = self.state();
        let seats = state.people.values().chain(state.staff.values()).flatten().chain(&state.others);
        seats.for_each(|seat| seat.close(GOING_AWAY));
    }
}

/// Removes a seat from those under `key`; whether none is left there.
fn without<K: std::hash::Hash + Eq>(seats: &mut HashMap<K, Vec<Arc<Seat>>>, key: K, gone: &Seat) -> bool {
    let Some(some) = seats.get_mut(&key) else { return false };
    some.retain(|seat| seat.number != gone.number);
    if some.is_empty() {
        seats.remove(&key);
        return true;
    }
    false
}

/// A message that becomes a text when the first connection needs it, and is shared by all.
struct Lazy<'a> {
    message: &'a Live,
    queue: usize,
    text: Option<Utf8Bytes>,
    brought: u64,
    left: u64,
}

impl Lazy<'_> {
    fn to(&mut self, seat: &Seat) {
        let text = self.text.get_or_insert_with(|| outgoing::live(self.message)).clone();
        let position = (!self.message.is_fleeting).then_some(self.message.position);
        if seat.lay(Frame { position, text }, self.queue) {
            self.brought += 1;
        } else {
            self.left += 1;
            seat.close(TOO_SLOW);
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use clinical::id::NotificationId;

    use super::*;

    const CLINIC: ClinicId = ClinicId::DEFAULT;

    fn message(position: i64, people: &[UserId]) -> Live {
        Live {
            position,
            notification_id: NotificationId::new(),
            clinic_id: CLINIC,
            kind: "notification".to_owned(),
            body: serde_json::json!({"n": position}),
            people: people.to_vec(),
            is_to_staff: false,
            is_fleeting: false,
            told_at: DateTime::UNIX_EPOCH,
        }
    }

    fn positions(taken: &Taken) -> Vec<i64> {
        std::iter::from_fn(|| taken.seat.take()).filter_map(|frame| frame.position).collect()
    }

    #[test]
    fn nobody_enters_before_it_is_known_where_the_messages_begin() {
        let hub = Hub::new(8, 1);
        assert_eq!(hub.enter(None, Vec::new()).err(), Some(NoSeat::NotReady));
        hub.open(7);
        let user = Some(UserId::new());
        let first = hub.enter(user, Vec::new()).unwrap_or_else(|_| panic!("it is open"));
        assert_eq!((first.joined, first.is_first), (7, true));
        assert_eq!(hub.enter(user, Vec::new()).err(), Some(NoSeat::TooMany));
        assert!(hub.leave(&first.seat));
        assert_eq!(hub.count(), 0);
    }

    #[tokio::test]
    async fn each_gets_their_own_behind_where_they_joined_and_a_full_queue_drops_its_client() {
        let hub = Hub::new(2, 8);
        hub.open(0);
        let (ada, eve) = (UserId::new(), UserId::new());
        let of_ada = hub.enter(Some(ada), Vec::new()).unwrap_or_else(|_| panic!("it is open"));
        hub.bring(&message(1, &[ada, eve]));
        let of_eve = hub.enter(Some(eve), vec![CLINIC]).unwrap_or_else(|_| panic!("it is open"));
        assert_eq!(of_eve.joined, 1);
        hub.bring(&message(2, &[eve]));
        hub.bring(&Live { is_to_staff: true, ..message(3, &[]) });
        assert_eq!((positions(&of_ada), positions(&of_eve)), (vec![1], vec![2, 3]));
        for position in 4..7 {
            hub.bring(&message(position, &[ada]));
        }
        assert_eq!(of_ada.seat.closed().await, TOO_SLOW);
        assert_eq!(positions(&of_ada), [4, 5], "what was in the queue is in order; the rest is found later");
        hub.close_all();
        assert_eq!(of_eve.seat.closed().await, GOING_AWAY);
    }
}
