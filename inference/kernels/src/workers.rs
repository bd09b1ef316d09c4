//! Who does the work: the calling thread, or several.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::tensor::Buffer;

/// Numbers behind each task's room that must stay as they are; in builds with debug assertions only.
const CANARIES: usize = if cfg!(debug_assertions) { 64 } else { 0 };

/// Threads that the caller has: this crate starts none of its own.
///
/// An operator gives the same bits whatever the number of workers.
pub trait Workers: Sync {
    /// How many calls of `work` run side by side.
    fn count(&self) -> usize;

    /// Calls `work` with each number below [`count`](Workers::count), if possible side by side, and waits for all.
    fn each(&self, work: &(dyn Fn(usize) + Sync));
}

/// The calling thread alone: the best choice while there are other images.
#[derive(Debug, Clone, Copy, Default)]
pub struct OneThread;

impl Workers for OneThread {
    fn count(&self) -> usize {
        1
    }

    fn each(&self, work: &(dyn Fn(usize) + Sync)) {
        work(0);
    }
}

/// So many threads, started anew for every operator: for examples and tests. A service brings its own pool.
#[derive(Debug, Clone, Copy)]
pub struct ScopedThreads(pub usize);

impl Workers for ScopedThreads {
    fn count(&self) -> usize {
        self.0.max(1)
    }

    fn each(&self, work: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for worker in 1..self.count() {
                scope.spawn(move || work(worker));
            }
            work(0);
        });
    }
}

/// Room that operators work in; kept between runs, so that nothing is allocated once it has grown.
#[derive(Debug, Default)]
pub struct Scratch {
    parts: Vec<Mutex<Buffer>>,
}

impl Scratch {
    /// No room yet.
    pub fn new() -> Self {
        Scratch::default()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let held = self.parts.iter().map(|part| part.lock().map_or(0, |part| part.len() * size_of::<f32>()));
        held.sum()
    }

    /// Does every task below `tasks` once, with `len` numbers of room that no other task has at that time.
    pub(crate) fn spread(
        &mut self,
        workers: &dyn Workers,
        len: usize,
        tasks: usize,
        work: &(dyn Fn(usize, &mut [f32]) + Sync),
    ) {
        let count = workers.count().clamp(1, tasks.max(1));
        while self.parts.len() < count {
            self.parts.push(Mutex::default());
        }
        let next = AtomicUsize::new(0);
        let parts = &self.parts;
        let run = |worker: usize| {
            let Some(part) = parts.get(worker).filter(|_| worker < count) else { return };
            let mut room = part.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            room.reserve(len + CANARIES);
            loop {
                let task = next.fetch_add(1, Ordering::Relaxed);
                if task >= tasks {
                    return;
                }
                if CANARIES > 0 {
                    // what a task reads before it has written it shows up as no number
                    room[..len + CANARIES].fill(f32::NAN);
                }
                work(task, &mut room[..len]);
                assert!(room[len..len + CANARIES].iter().all(|it| it.is_nan()), "a task wrote past its room");
            }
        };
        if count > 1 {
            workers.each(&run);
        }
        // whatever the workers left, and all of it where there is one
        run(0);
    }
}

/// An address that tasks read from.
#[derive(Clone, Copy)]
pub(crate) struct Shared(pub *const f32);

/// An address that tasks write behind, each at places of its own.
#[derive(Clone, Copy)]
pub(crate) struct SharedMut(pub *mut f32);

// SAFETY: whoever makes one keeps the slice borrowed for as long, and nobody writes to it.
unsafe impl Sync for Shared {}
// SAFETY: as above; the tasks write to different places.
unsafe impl Sync for SharedMut {}

impl Shared {
    /// # Safety
    ///
    /// The slice goes on as far.
    pub(crate) unsafe fn at(&self, place: usize) -> *const f32 {
        // SAFETY: the caller's.
        unsafe { self.0.add(place) }
    }
}

impl SharedMut {
    /// # Safety
    ///
    /// The slice goes on as far.
    pub(crate) unsafe fn at(&self, place: usize) -> *mut f32 {
        // SAFETY: the caller's.
        unsafe { self.0.add(place) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_done_once() {
        for workers in [1, 2, 5] {
            let done: Vec<AtomicUsize> = (0..17).map(|_| AtomicUsize::new(0)).collect();
            let mut scratch = Scratch::new();
            scratch.spread(&ScopedThreads(workers), 8, done.len(), &|task, room| {
                assert_eq!(room.len(), 8);
                done[task].fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().all(|it| it.load(Ordering::Relaxed) == 1));
        }
    }

    /// Workers that never come do not lose the work.
    #[test]
    fn the_caller_does_what_the_workers_leave() {
        struct Lazy;
        impl Workers for Lazy {
            fn count(&self) -> usize {
                4
            }
            fn each(&self, _work: &(dyn Fn(usize) + Sync)) {}
        }
        let done = AtomicUsize::new(0);
        Scratch::new().spread(&Lazy, 0, 9, &|_, _| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.load(Ordering::Relaxed), 9);
    }
}
