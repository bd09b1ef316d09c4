//! Who is connected to this process, and what goes to whom.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clinical::id::{ClinicId, UserId};
use storage::live::Live;
use tokio::sync::{Notify, mpsc};
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
    sender: mpsc::Sender<Frame>,
    closing: Notify,
    code: AtomicU16,
}

impl Seat {
    /// Ends the connection with a close code.
    fn close(&self, code: u16) {
        if self.code.compare_exchange(0, code, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.closing.notify_one();
        }
    }

    /// Returns the close code once the connection is to end.
    pub async fn closed(&self) -> u16 {
        loop {
            match self.code.load(Ordering::Acquire) {
                0 => self.closing.notified().await,
                code => return code,
            }
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
    pub seat: Arc<Seat>,
    pub frames: mpsc::Receiver<Frame>,
    /// What comes through `frames` stands behind this position, and all of it does.
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
        let (sender, frames) = mpsc::channel(self.queue);
        let seat = Arc::new(Seat {
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            user,
            staff_of,
            sender,
            closing: Notify::new(),
            code: AtomicU16::new(0),
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
        Ok(Taken { seat, frames, joined, is_first })
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
        let mut frame = Lazy { message, text: None };
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
    text: Option<Utf8Bytes>,
}

impl Lazy<'_> {
    fn to(&mut self, seat: &Seat) {
        let text = self.text.get_or_insert_with(|| outgoing::live(self.message)).clone();
        let position = (!self.message.is_fleeting).then_some(self.message.position);
        match seat.sender.try_send(Frame { position, text }) {
            Ok(()) => metrics::counter!("socket_messages_total", "outcome" => "brought").increment(1),
            Err(_) => {
                metrics::counter!("socket_messages_total", "outcome" => "left").increment(1);
                seat.close(TOO_SLOW);
            }
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

    fn positions(taken: &mut Taken) -> Vec<i64> {
        std::iter::from_fn(|| taken.frames.try_recv().ok()).filter_map(|frame| frame.position).collect()
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
        let mut of_ada = hub.enter(Some(ada), Vec::new()).unwrap_or_else(|_| panic!("it is open"));
        hub.bring(&message(1, &[ada, eve]));
        let mut of_eve = hub.enter(Some(eve), vec![CLINIC]).unwrap_or_else(|_| panic!("it is open"));
        assert_eq!(of_eve.joined, 1);
        hub.bring(&message(2, &[eve]));
        hub.bring(&Live { is_to_staff: true, ..message(3, &[]) });
        assert_eq!((positions(&mut of_ada), positions(&mut of_eve)), (vec![1], vec![2, 3]));
        for position in 4..7 {
            hub.bring(&message(position, &[ada]));
        }
        assert_eq!(of_ada.seat.closed().await, TOO_SLOW);
        assert_eq!(
            positions(&mut of_ada),
            [4, 5],
            "what was in the queue is in order; the rest is found later"
        );
        hub.close_all();
        assert_eq!(of_eve.seat.closed().await, GOING_AWAY);
    }
}
