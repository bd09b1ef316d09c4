//! A provider as one clinic uses it: not too often, tried again where that helps, and left in peace while it fails.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use chrono::{DateTime, Utc};
use clinical::clock::Clock;
use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use metrics::{counter, histogram};
use recloser::{AsyncRecloser, Error as Breaker, Recloser};
use tracing::warn;

use super::{Notifier, Outgoing, SendError, Sent};

/// So many sends a second where nothing else is set.
const USUAL_RATE: NonZeroU32 = NonZeroU32::new(50).expect("50 is not 0");
/// A send waits so long for its turn, and then is left to the next provider or to later.
const LONGEST_TURN: Duration = Duration::from_secs(2);
/// A failure that came within this time is tried again at once; a slow one is not waited for again.
const QUICK: Duration = Duration::from_secs(3);
/// The breaker looks at so many sends, and judges by each further one: it opens …
const LOOKED_AT: usize = 5;
/// … when this share of them has failed …
const FAILING: f32 = 0.5;
/// … for so long; then a few are let through to see.
const OPEN: Duration = Duration::from_secs(30);
/// So many are let through.
const LET_THROUGH: usize = 2;

/// A provider and what holds one clinic's sends to it in bounds; each process counts for itself.
pub(crate) struct Line {
    pub(crate) notifier: Arc<dyn Notifier>,
    breaker: AsyncRecloser,
    limiter: DefaultDirectRateLimiter,
    clock: Arc<dyn Clock>,
    /// The provider has asked to be spared until then.
    rests_until: Mutex<Option<Instant>>,
    is_shut: AtomicBool,
    failed: Mutex<Option<(&'static str, DateTime<Utc>)>>,
}

/// What became of one try.
enum Missed {
    /// The breaker is open: nothing was tried.
    Shut,
    Failed(SendError),
}

impl Line {
    /// `per_second` sends a second; 0 means the usual number.
    pub(crate) fn new(notifier: Arc<dyn Notifier>, per_second: u32, clock: Arc<dyn Clock>) -> Self {
        let rate = NonZeroU32::new(per_second).unwrap_or(USUAL_RATE);
        let breaker = Recloser::custom()
            .error_rate(FAILING)
            .closed_len(LOOKED_AT)
            .half_open_len(LET_THROUGH)
            .open_wait(OPEN)
            .build();
        Self {
            notifier,
            breaker: AsyncRecloser::from(breaker),
            limiter: RateLimiter::direct(Quota::per_second(rate)),
            clock,
            rests_until: Mutex::new(None),
            is_shut: AtomicBool::new(false),
            failed: Mutex::new(None),
        }
    }

    /// Whether the breaker was open when a send was last tried.
    pub(crate) fn is_shut(&self) -> bool {
        self.is_shut.load(Ordering::Relaxed)
    }

    /// What the last failure was, and when; `None` after a success.
    pub(crate) fn failed(&self) -> Option<(&'static str, DateTime<Utc>)> {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a message over.
    ///
    /// # Errors
    ///
    /// [`SendError`]: of the provider, or [`SendError::Throttled`] and [`SendError::Unreachable`] where it was not
    /// asked because it is to be spared or because it fails.
    pub(crate) async fn send(&self, message: &Outgoing) -> Result<Sent, SendError> {
        let provider = self.notifier.provider().name();
        let started = Instant::now();
        let result = self.in_turn(message).await;
        histogram!("notification_send_duration_seconds", "provider" => provider)
            .record(started.elapsed().as_secs_f64());
        let outcome = result.as_ref().map_or_else(SendError::code, |_| "sent");
        counter!("notification_sends_total", "provider" => provider, "outcome" => outcome).increment(1);
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Ok(_) => *failed = None,
            Err(error) if error.is_providers() => *failed = Some((error.code(), self.clock.now())),
            // The provider is well; the message or the address is not.
            Err(_) => {}
        }
        result
    }

    async fn in_turn(&self, message: &Outgoing) -> Result<Sent, SendError> {
        if let Some(rest) = self.rest() {
            return Err(SendError::Throttled { retry_after: Some(rest) });
        }
        self.turn().await?;
        let started = Instant::now();
        let again = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(1))
            .with_max_times(2)
            .with_jitter();
        let quick = |missed: &Missed| {
            matches!(missed, Missed::Failed(SendError::Unreachable(_))) && started.elapsed() < QUICK
        };
        match (|| self.attempt(message)).retry(again).when(quick).await {
            Ok(sent) => Ok(sent),
            Err(Missed::Shut) => Err(SendError::Unreachable("it failed too often lately".to_owned())),
            Err(Missed::Failed(error)) => {
                if let SendError::Throttled { retry_after: Some(rest) } = &error {
                    let until = Instant::now() + *rest;
                    *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
                }
                Err(error)
            }
        }
    }

    async fn attempt(&self, message: &Outgoing) -> Result<Sent, Missed> {
        let says_something =
            |error: &SendError| matches!(error, SendError::Unreachable(_) | SendError::Authentication(_));
        let answer = self.breaker.call_with(says_something, self.notifier.send(message)).await;
        let is_shut = matches!(answer, Err(Breaker::Rejected));
        if is_shut != self.is_shut.swap(is_shut, Ordering::Relaxed) && is_shut {
            warn!(
                provider = self.notifier.provider().name(),
                "a provider fails and is left in peace for a while"
            );
        }
        answer.map_err(|error| match error {
            Breaker::Rejected => Missed::Shut,
            Breaker::Inner(error) => Missed::Failed(error),
        })
    }

    /// How much longer the provider wants to be spared.
    fn rest(&self) -> Option<Duration> {
        let until = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.and_then(|until| until.checked_duration_since(Instant::now()))
    }

    /// Waits for this send's turn.
    async fn turn(&self) -> Result<(), SendError> {
        let asked = Instant::now();
        while let Err(not_until) = self.limiter.check() {
            let wait = not_until.wait_time_from(self.limiter.clock().now());
            if asked.elapsed() + wait > LONGEST_TURN {
                return Err(SendError::Throttled { retry_after: Some(wait) });
            }
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Address;
    use crate::channel::testing::{Scripted, outgoing};

    fn line(script: Arc<Scripted>) -> Line {
        Line::new(script, 0, Arc::new(clinical::clock::SystemClock))
    }

    fn message() -> Outgoing {
        outgoing(Address::Email("ana@example.org".parse().unwrap()))
    }

    fn unreachable() -> SendError {
        SendError::Unreachable("test".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_reached_is_tried_again_and_then_left_in_peace() {
        let script = Arc::new(Scripted::failing(unreachable()));
        let line = line(Arc::clone(&script));
        assert_eq!(line.send(&message()).await, Err(unreachable()));
        assert_eq!(script.asked(), 3, "once, and twice again");
        line.send(&message()).await.unwrap_err();
        assert_eq!(script.asked(), 6);
        let shut = line.send(&message()).await.unwrap_err();
        assert!(matches!(shut, SendError::Unreachable(_)) && script.asked() == 6, "nobody was asked: {shut}");
        assert!(line.is_shut());
        assert_eq!(line.failed().map(|(code, _)| code), Some("unreachable"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bad_address_says_nothing_about_the_provider() {
        let script = Arc::new(Scripted::failing(SendError::BadAddress("test".to_owned())));
        let line = line(Arc::clone(&script));
        for _ in 0..20 {
            assert!(matches!(line.send(&message()).await, Err(SendError::BadAddress(_))));
        }
        assert_eq!((script.asked(), line.is_shut(), line.failed()), (20, false, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_asks_to_be_spared_is_spared() {
        let rest = SendError::Throttled { retry_after: Some(Duration::from_secs(60)) };
        let script = Arc::new(Scripted::failing(rest));
        let line = line(Arc::clone(&script));
        line.send(&message()).await.unwrap_err();
        assert!(matches!(line.send(&message()).await, Err(SendError::Throttled { retry_after: Some(_) })));
        assert_eq!(script.asked(), 1);
    }

    /// Quota::per_second(n) lets n through at once, and then one each 1/n s.
    #[tokio::test]
    async fn sends_wait_for_their_turn() {
        let script = Arc::new(Scripted::well());
        let line =
            Line::new(Arc::clone(&script) as Arc<dyn Notifier>, 20, Arc::new(clinical::clock::SystemClock));
        let started = Instant::now();
        for _ in 0..24 {
            line.send(&message()).await.unwrap();
        }
        assert!(started.elapsed() >= Duration::from_millis(190), "{:?}", started.elapsed());
    }
}
