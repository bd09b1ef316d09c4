//! What should run until it is told to stop: noticed when it ends early, cut off when it ends late.

use std::future::Future;

use anyhow::{Error, Result, anyhow};
use futures::future::select_all;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

/// Tasks with names for people; dropped, they run on.
#[derive(Default)]
pub struct Tasks(Vec<(&'static str, JoinHandle<()>)>);

impl Tasks {
    /// Starts one.
    pub fn spawn(&mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.0.push((name, tokio::spawn(work)));
    }

    /// Waits until one has ended, which none should by itself; says which. For ever where there is none.
    pub async fn first_end(&mut self) -> Error {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        let (ended, index, _) = select_all(self.0.iter_mut().map(|(_, task)| task)).await;
        let (name, _) = self.0.swap_remove(index);
        match ended {
            Ok(()) => anyhow!("{name} has ended by itself"),
            Err(error) => failed(name, error),
        }
    }

    /// Waits for all; what is not done by `until` is cut off.
    ///
    /// # Errors
    ///
    /// A task failed.
    pub async fn finish(self, until: Instant) -> Result<()> {
        let mut outcome = Ok(());
        for (name, mut task) in self.0 {
            let ended = match timeout_at(until, &mut task).await {
                Ok(ended) => ended,
                Err(_) => {
                    warn!("{name} was cut off by the shutdown");
                    task.abort();
                    task.await
                }
            };
            match ended {
                Err(error) if !error.is_cancelled() => outcome = Err(failed(name, error)),
                _ => {}
            }
        }
        outcome
    }
}

fn failed(name: &str, error: JoinError) -> Error {
    Error::new(error).context(format!("{name} has failed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn an_early_end_is_noticed_and_named() {
        let mut tasks = Tasks::default();
        tasks.spawn("the patient one", std::future::pending());
        tasks.spawn("the hasty one", async {});
        assert_eq!(tasks.first_end().await.to_string(), "the hasty one has ended by itself");
        tasks.spawn("the clumsy one", async { panic!("on purpose") });
        assert_eq!(tasks.first_end().await.to_string(), "the clumsy one has failed");
        tasks.finish(Instant::now()).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_late_is_cut_off() {
        let (done, is_done) = tokio::sync::oneshot::channel::<()>();
        let mut tasks = Tasks::default();
        tasks.spawn("the slow one", async move {
            std::future::pending::<()>().await;
            drop(done);
        });
        let late = Duration::from_secs(10);
        tokio::time::timeout(late, tasks.finish(Instant::now())).await.unwrap().unwrap();
        assert!(is_done.await.is_err(), "it holds nothing any more");
    }
}
