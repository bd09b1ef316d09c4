//! Answers that were given within the last half hour, to give them again to the byte.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::ClinicId;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, GuardResult};
use sha2::{Digest, Sha256};

/// How long an answer is given again.
const KEPT: TimeDelta = TimeDelta::minutes(30);
/// So many bytes of answers are kept at most.
const MOST_BYTES: u64 = 64 << 20;
/// About how many answers that is.
const ABOUT: usize = 8_192;

/// Whoever asks what is being computed waits so long for it before computing it too; an answer takes a thousandth of that.
const WAITS: Duration = Duration::from_millis(500);

/// An answer as it was given; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The JSON text.
    pub text: Bytes,
    /// The level of urgency.
    pub urgency: &'static str,
    made_at: DateTime<Utc>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<[u8; 32], Answer> for ByBytes {
    fn weight(&self, _: &[u8; 32], answer: &Answer) -> u64 {
        answer.text.len() as u64 + 128
    }
}

/// Answers by the SHA-256 of the clinic, of what was asked and of the knowledge's version; whoever asks the same gets the same,
/// no clinic learns from the cache what another has asked, and no words of a patient are kept but those that the answer repeats.
pub struct AnswerCache {
    answers: Cache<[u8; 32], Answer, ByBytes>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Default for AnswerCache {
    fn default() -> Self {
        let answers = Cache::with_weighter(ABOUT, MOST_BYTES, ByBytes);
        Self { answers, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }
}

impl AnswerCache {
    /// The answer of `kind` to `asked`, remembered or made, and whether it was remembered; of several who ask the same at once
    /// one computes.
    ///
    /// # Errors
    ///
    /// Those of `make`: nothing is remembered then.
    pub(crate) fn answer<E>(
        &self,
        clinic: ClinicId,
        [kind, asked, version]: [&str; 3],
        now: DateTime<Utc>,
        make: impl FnOnce() -> Result<(Vec<u8>, &'static str), E>,
    ) -> Result<(Answer, bool), E> {
        let mut hash = Sha256::new();
        hash.update(clinic.0.as_bytes());
        for part in [kind, version, asked] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let key: [u8; 32] = hash.finalize().into();
        let is_fresh = |answer: &Answer| now - answer.made_at < KEPT && answer.made_at <= now;
        if self.answers.peek(&key).is_some_and(|answer| !is_fresh(&answer)) {
            self.answers.remove(&key);
        }
        let found = self.answers.get_value_or_guard(&key, Some(WAITS));
        if let GuardResult::Value(answer) = &found
            && is_fresh(answer)
        {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok((answer.clone(), true));
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let (text, urgency) = make()?;
        let answer = Answer { text: text.into(), urgency, made_at: now };
        match found {
            // Whoever waits gets it; one that is too large to be kept is given all the same.
            GuardResult::Guard(guard) => drop(guard.insert(answer.clone())),
            GuardResult::Value(_) | GuardResult::Timeout => self.answers.insert(key, answer.clone()),
        }
        Ok((answer, false))
    }

    /// Gives the numbers to whoever counts them.
    pub(crate) fn publish(&self) {
        metrics::describe_counter!("triage_cache_hits_total", "Answers that were remembered");
        metrics::describe_counter!("triage_cache_misses_total", "Answers that were made");
        metrics::describe_gauge!("triage_cache_hit_ratio", "Share of the answers that were remembered");
        metrics::describe_gauge!("triage_cache_bytes", "Bytes of remembered answers");
        let (hits, misses) = (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed));
        metrics::counter!("triage_cache_hits_total").absolute(hits);
        metrics::counter!("triage_cache_misses_total").absolute(misses);
        metrics::gauge!("triage_cache_hit_ratio").set(hits as f64 / (hits + misses).max(1) as f64);
        metrics::gauge!("triage_cache_bytes").set(self.answers.weight() as f64);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn ask(cache: &AnswerCache, asked: &str, version: &str, now: DateTime<Utc>) -> (String, bool) {
        let make = || Ok::<_, Infallible>((now.to_string().into_bytes(), "consultation"));
        let asked = ["assessment", asked, version];
        let Ok((answer, was_remembered)) = cache.answer(ClinicId::DEFAULT, asked, now, make);
        (String::from_utf8(answer.text.to_vec()).unwrap(), was_remembered)
    }

    /// The clinic application's own bound: 30 minutes.
    #[test]
    fn an_answer_is_given_again_for_half_an_hour_and_for_one_knowledge() {
        let cache = AnswerCache::default();
        let first = ask(&cache, "cough", "1", at(0));
        assert!(!first.1);
        assert_eq!(ask(&cache, "cough", "1", at(29)), (first.0.clone(), true));
        assert!(!ask(&cache, "cough", "1", at(30)).1);
        assert!(!ask(&cache, "cough", "2", at(30)).1);
        assert!(!ask(&cache, "coughs", "1", at(30)).1);
    }

    #[test]
    fn no_clinic_learns_what_another_has_asked() {
        let cache = AnswerCache::default();
        let make = || Ok::<_, Infallible>((Vec::new(), "consultation"));
        for clinic in [ClinicId::DEFAULT, ClinicId::new()] {
            let Ok((_, was_remembered)) = cache.answer(clinic, ["assessment", "cough", "1"], at(0), make);
            assert!(!was_remembered);
        }
    }

    #[test]
    fn of_several_who_ask_the_same_at_once_one_computes() {
        let (cache, computed) = (AnswerCache::default(), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let make = || {
                        computed.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(Duration::from_millis(5));
                        Ok::<_, Infallible>((b"{}".to_vec(), "consultation"))
                    };
                    let Ok((answer, _)) =
                        cache.answer(ClinicId::DEFAULT, ["assessment", "cough", "1"], at(0), make);
                    assert_eq!(answer.text, "{}");
                });
            }
        });
        assert_eq!(computed.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let cache = AnswerCache::default();
        for number in 0..300 {
            let asked = number.to_string();
            let make = || Ok::<_, Infallible>((vec![b'x'; 1 << 20], "self-care"));
            let Ok(_) = cache.answer(ClinicId::DEFAULT, ["assessment", &asked, "1"], at(0), make);
        }
        assert!(cache.answers.weight() <= MOST_BYTES, "{}", cache.answers.weight());
    }
}
