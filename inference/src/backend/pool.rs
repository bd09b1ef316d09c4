//! Things of which each thread needs one for itself, made as they are needed.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// At most so many of `T`; whoever comes when all are in use waits for the next one.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    state: Mutex<State<T>>,
    freed: Condvar,
    at_most: usize,
}

#[derive(Debug)]
struct State<T> {
    idle: Vec<T>,
    /// Idle and in use together.
    alive: usize,
}

impl<T> Pool<T> {
    /// A pool with its first member; at least that one is allowed.
    pub(crate) fn of(first: T, at_most: usize) -> Self {
        Self {
            state: Mutex::new(State { idle: vec![first], alive: 1 }),
            freed: Condvar::new(),
            at_most: at_most.max(1),
        }
    }

    /// What `work` makes of an idle member, or of one that `make` makes where there may be more.
    ///
    /// # Errors
    ///
    /// Those of `make` and of `work`.
    pub(crate) fn with<R, E>(
        &self,
        make: impl FnOnce() -> Result<T, E>,
        work: impl FnOnce(&mut T) -> Result<R, E>,
    ) -> Result<R, E> {
        let mut member = match self.idle_or_room() {
            Some(idle) => idle,
            None => make().inspect_err(|_| self.gone())?,
        };
        let done = work(&mut member);
        self.give_back(member);
        done
    }

    /// An idle member, or `None` once there is room for another.
    fn idle_or_room(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(idle) = state.idle.pop() {
                return Some(idle);
            }
            if state.alive < self.at_most {
                state.alive += 1;
                return None;
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, member: T) {
        self.lock().idle.push(member);
        self.freed.notify_one();
    }

    fn gone(&self) {
        self.lock().alive -= 1;
        self.freed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rayon::prelude::*;

    use super::*;

    #[test]
    fn no_more_are_made_than_may_be_and_nobody_shares_one() {
        let made = AtomicUsize::new(1);
        let pool = Pool::of(0_usize, 3);
        let threads = rayon::ThreadPoolBuilder::new().num_threads(8).build().unwrap();
        threads.install(|| {
            (0..200).into_par_iter().for_each(|_| {
                let make = || Ok::<_, Infallible>(made.fetch_add(1, Ordering::SeqCst));
                pool.with(make, |member| {
                    std::thread::yield_now();
                    *member += 1;
                    Ok(())
                })
                .unwrap();
            });
        });
        assert!(made.into_inner() <= 3);
    }

    #[test]
    fn what_cannot_be_made_leaves_its_room_to_the_next() {
        let pool = Pool::of((), 2);
        let inner = |_: &mut ()| {
            for _ in 0..3 {
                assert_eq!(pool.with(|| Err("no memory"), |_| Ok(())), Err("no memory"));
            }
            pool.with(|| Ok(()), |_| Ok(()))
        };
        assert_eq!(pool.with(|| Err("the first is idle"), inner), Ok(()));
    }
}
