//! Where jobs decode pixels and run networks: on threads that give way to those which answer people.
//!
//! A service has doors and worker in one process. With equal rights, a search that takes half a millisecond waited for the
//! processor behind a network that holds it for tens (benches/README.md).
//!
//! A child that decodes has the rights of whoever started it, and the pool of them is shared: one that a job has started
//! gives way for a viewer's frame, too, until it is idle and ends.

use std::sync::LazyLock;

use rustix::process::nice;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tracing::debug;

/// As `nice` counts (POSIX): about a ninth of the processor where somebody else wants it too, all of it otherwise.
const GIVES_WAY: i32 = 10;

/// Its threads end after some seconds without work.
static THREADS: LazyLock<Runtime> = LazyLock::new(|| {
    let threads = Builder::new_current_thread().thread_name("compute").on_thread_start(give_way).build();
    threads.expect("a runtime without time and I/O asks the system for nothing")
});

/// Runs what takes long; the thread may block.
pub fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    THREADS.spawn_blocking(work)
}

fn give_way() {
    if let Err(error) = nice(GIVES_WAY) {
        debug!(%error, "the threads that compute have the rights of all others");
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[tokio::test]
    async fn what_computes_gives_way_and_nobody_else_does() {
        let before = getpriority_process(None).unwrap();
        let there = spawn(|| getpriority_process(None).unwrap()).await.unwrap();
        assert_eq!(there, (before + GIVES_WAY).min(19));
        assert_eq!(tokio::task::spawn_blocking(|| getpriority_process(None).unwrap()).await.unwrap(), before);
    }
}
