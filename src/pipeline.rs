//! Fetching runs ahead of computing, within bounds: neither waits for the other, and memory holds only so much.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// How much may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// So many items are worked on at a time, and as many again are fetched ahead.
    pub threads: usize,
    /// What is fetched and not yet worked off takes at most so many bytes; a longer item is fetched alone.
    pub bytes: u64,
}

/// Fetches every item in their order, works on them in threads, and hands each outcome to `done` as it comes.
///
/// `size` says what an item will take, in bytes, before it is fetched. `done` is called in this thread, with the
/// item's number; its first error ends the whole, once what is under way has ended.
///
/// # Errors
///
/// That of `done`.
pub fn run<I: Sync, F: Send, R: Send, E>(
    items: &[I],
    bounds: Bounds,
    size: impl Fn(&I) -> u64 + Sync,
    fetch: impl Fn(&I) -> F + Sync,
    work: impl Fn(&I, F) -> R + Sync,
    mut done: impl FnMut(usize, R) -> Result<(), E>,
) -> Result<(), E> {
    let threads = bounds.threads.max(1);
    let budget = Budget::of(bounds.bytes);
    let (fetched, to_work) = sync_channel::<(usize, Held<'_>, F)>(threads);
    let (worked, outcomes) = sync_channel::<(usize, R)>(threads);
    let to_work = Mutex::new(to_work);
    thread::scope(|scope| {
        scope.spawn({
            let (budget, size, fetch) = (&budget, &size, &fetch);
            move || {
                for (index, item) in items.iter().enumerate() {
                    let Some(held) = budget.take(size(item)) else { return };
                    if fetched.send((index, held, fetch(item))).is_err() {
                        return;
                    }
                }
            }
        });
        for _ in 0..threads {
            let (to_work, work, worked) = (&to_work, &work, worked.clone());
            scope.spawn(move || {
                while let Some((index, held, item)) = next(to_work) {
                    let outcome = work(&items[index], item);
                    drop(held);
                    if worked.send((index, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(worked);
        let ended = outcomes.iter().try_for_each(|(index, outcome)| done(index, outcome));
        // Whoever still has something to send learns that nobody listens.
        drop(outcomes);
        budget.close();
        ended.inspect_err(|_| drain(&to_work))
    })
}

/// The next item that is fetched; `None` when there will be no more.
fn next<T>(from: &Mutex<Receiver<T>>) -> Option<T> {
    from.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Takes what is fetched and will not be worked on, so that the fetching thread comes to its end.
fn drain<T>(from: &Mutex<Receiver<T>>) {
    while next(from).is_some() {}
}

/// Bytes that may be held together.
struct Budget {
    state: Mutex<State>,
    freed: Condvar,
    whole: u64,
}

struct State {
    free: u64,
    is_closed: bool,
}

/// Bytes that are held; dropped, they are free again.
struct Held<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.budget.lock().free += self.bytes;
        self.budget.freed.notify_all();
    }
}

impl Budget {
    fn of(bytes: u64) -> Self {
        let whole = bytes.max(1);
        Self { state: Mutex::new(State { free: whole, is_closed: false }), freed: Condvar::new(), whole }
    }

    /// Waits until so many bytes are free, at most all of them; `None` once nobody wants any more.
    fn take(&self, bytes: u64) -> Option<Held<'_>> {
        let bytes = bytes.min(self.whole);
        let mut state = self.lock();
        while state.free < bytes && !state.is_closed {
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed {
            return None;
        }
        state.free -= bytes;
        Some(Held { budget: self, bytes })
    }

    fn close(&self) {
        self.lock().is_closed = true;
        self.freed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const BOUNDS: Bounds = Bounds { threads: 3, bytes: 100 };

    #[test]
    fn every_item_is_fetched_in_order_and_worked_on_once() {
        let items: Vec<u64> = (0..500).collect();
        let fetched = Mutex::new(Vec::new());
        let mut outcomes = Vec::new();
        run(
            &items,
            BOUNDS,
            |_| 10,
            |item| {
                fetched.lock().unwrap().push(*item);
                *item
            },
            |item, fetched| item + fetched,
            |index, outcome| {
                outcomes.push((index as u64, outcome));
                Ok::<_, ()>(())
            },
        )
        .unwrap();
        assert_eq!(fetched.into_inner().unwrap(), items);
        outcomes.sort_unstable();
        assert_eq!(outcomes, items.iter().map(|item| (*item, 2 * item)).collect::<Vec<_>>());
    }

    #[test]
    fn no_more_is_held_than_the_bounds_allow_and_a_long_item_is_held_alone() {
        let items: Vec<u64> = (0..200).map(|index| if index % 50 == 7 { 1_000 } else { 30 }).collect();
        let (held, most) = (AtomicU64::new(0), AtomicU64::new(0));
        run(
            &items,
            BOUNDS,
            |item| *item,
            |item| {
                let now = held.fetch_add(item.min(&100).to_owned(), Ordering::SeqCst) + item.min(&100);
                most.fetch_max(now, Ordering::SeqCst);
            },
            |item, ()| {
                thread::yield_now();
                held.fetch_sub(*item.min(&100), Ordering::SeqCst);
            },
            |_, ()| Ok::<_, ()>(()),
        )
        .unwrap();
        assert_eq!((held.into_inner(), most.into_inner()), (0, 100));
    }

    #[test]
    fn whoever_listens_no_more_ends_the_whole() {
        let items: Vec<u64> = (0..10_000).collect();
        let worked = AtomicU64::new(0);
        let mut heard = 0;
        let ended = run(
            &items,
            BOUNDS,
            |_| 50,
            |item| *item,
            |_, _| worked.fetch_add(1, Ordering::SeqCst),
            |_, _| {
                heard += 1;
                if heard == 5 { Err("enough") } else { Ok(()) }
            },
        );
        assert_eq!(ended, Err("enough"));
        assert!(worked.into_inner() < 100, "the rest is not worked on");
    }

    #[test]
    fn without_items_nothing_is_done() {
        let none: [u64; 0] = [];
        let ended = run(&none, BOUNDS, |_| 0, |_| (), |_, ()| (), |_, ()| Err::<(), _>("called"));
        assert_eq!(ended, Ok(()));
    }
}
